package store_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

var (
	email    = compiled(store.EmailPattern)
	username = compiled(store.UsernamePattern)
)

func compiled(pattern string) *regexp.Regexp {
	re, err := store.CompilePattern(pattern)
	if err != nil {
		panic(err)
	}
	return re
}

func TestEmailPattern(t *testing.T) {
	t.Parallel()
	for _, ok := range []string{
		"a@b", "ada.lovelace@example.com", "a+b@x.y", "!#$%&'*+/=?^_`{|}~-@x", ".a.@x", "ü@bücher.de", "用户@例子.公司", "a@x--y.z",
		"😀@😀.😀", "a@1.2", "a@xn--a", "a\u00AD@x",
	} {
		if !email.MatchString(ok) {
			t.Errorf("%q is refused", ok)
		}
	}
	for _, bad := range []string{
		"", "@", "a", "a@", "@b", "a@b@c", "a b@c", "a@b c", "a@-b", "a@b-", "a@b.", "a@.b", "a@b..c", "a@b-.c", "a@b_c", "a@[1.2.3.4]",
		`"a"@b`, "a(b)@c", "a,b@c", "a;b@c", "a:b@c", "<a@b>", "a\\b@c", "a@b\n", "\na@b", "a@b\x00", "a\x7f@b", "a\u0085@b", "a@b\u0085", "a\u00a0@b",
		"a@b\u2028",
	} {
		if email.MatchString(bad) {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestNoPatternAcceptsWhiteSpaceOrControls(t *testing.T) {
	t.Parallel()
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if 0xD800 <= r && r < 0xE000 || r > 0x3100 && r%61 != 0 { // neither is beyond: samples do
			continue
		}
		space, control, c := unicode.Is(unicode.White_Space, r), unicode.IsControl(r), string(r)
		if got, want := username.MatchString(c), !space && r != 0; got != want {
			t.Errorf("%U in a username: %v", r, got)
		}
		if r < 0x80 {
			continue // TestEmailPattern's
		}
		want := !space && !control
		if email.MatchString(c+"@a") != want || email.MatchString("a@"+c) != want || email.MatchString("a@a.a"+c+"-"+c) != want {
			t.Errorf("%U in an e-mail", r)
		}
	}
}

// RE2 and ECMAScript, with the u flag and without, agree on escapes of the form \xNN and of punctuation, on \uNNNN where
// CompilePattern translates it, on negated classes, and on little else beyond ASCII.
func TestPatternsMatchAlikeInBothEngines(t *testing.T) {
	t.Parallel()
	for _, p := range []string{store.EmailPattern, store.UsernamePattern} {
		rest := regexp.MustCompile(`\\x[0-9A-F]{2}|\\u[0-9A-F]{4}|\\[\\\[\].]`).ReplaceAllString(p, "")
		if strings.Contains(rest, `\`) {
			t.Errorf("another escape in %q", rest)
		}
		for _, class := range regexp.MustCompile(`\[[^\]]*`).FindAllString(strings.ReplaceAll(rest, "(?:", ""), -1) {
			if !strings.HasPrefix(class, "[^") {
				t.Errorf("class %q is not negated", class)
			}
		}
		for _, r := range p {
			if r > unicode.MaxASCII {
				t.Errorf("%U stands for itself", r)
			}
		}
		if strings.ContainsAny(rest, "{}") {
			t.Errorf("%q counts", rest)
		}
	}
}

func TestGeneratedUsersAreValid(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		u := storetest.UserGen().Draw(t, "user")
		if !email.MatchString(u.Email) || !username.MatchString(u.Username) {
			t.Fatalf("%q, %q", u.Email, u.Username)
		}
	})
}
