package screen_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/dragoman-id/dragoman/server/moving/screen"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/userfile"
)

func directory(t *testing.T) *store.Store {
	t.Helper()
	s, err := screen.Directory(t.Context(), store.Customer{ID: 3393, Name: "Sandbox"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func line(id int, username, email, more string) string {
	return fmt.Sprintf(`{"id":%d,"customer":3393,"first_name":"A","last_name":"B","username":%q,"email":%q%s}`, id, username, email, more)
}

// TestRefusedLinesClaimNothing: who is refused leaves ids and names to others.
func TestRefusedLinesClaimNothing(t *testing.T) {
	t.Parallel()
	const (
		one   = `,"uuid":"94520740-d63c-4e02-85ca-c4e138801e73"`
		space = "a b"
	)
	for name, tc := range map[string]struct {
		lines []string
		want  string
	}{
		"an e-mail":              {[]string{line(1, space, "a@x.y", ""), line(2, "b", "A@X.y", "")}, "1: username must be"},
		"a username":             {[]string{line(1, "a", "no", ""), line(2, "A", "b@x.y", "")}, "1: email must be"},
		"an id":                  {[]string{line(1, space, "a@x.y", ""), line(1, "b", "b@x.y", "")}, "1: username must be"},
		"a UUID":                 {[]string{line(1, space, "a@x.y", one), line(2, "b", "b@x.y", one)}, "1: username must be"},
		"an external id":         {[]string{line(1, space, "a@x.y", `,"external_id":"e"`), line(2, "b", "b@x.y", `,"external_id":"e"`)}, "1: username must be"},
		"two in a row":           {[]string{line(1, space, "a@x.y", ""), line(2, space, "a@x.y", ""), line(3, "c", "a@x.y", "")}, "1: username must be, 2: username must be"},
		"refused for a likeness": {[]string{line(1, "a", "a@x.y", ""), line(2, "A", "b@x.y", ""), line(3, "c", "B@x.y", "")}, "2: username is like 1"},
		"the third":              {[]string{line(1, space, "a@x.y", ""), line(2, "b", "a@x.y", ""), line(3, "c", "a@x.y", "")}, "1: username must be, 3: email is like 2"},
		"named by e-mail":        {[]string{line(1, "b@x.y", "a@x.y", ""), line(2, "b@x.y", "b@x.y", "")}, "2: username is like 1"},
		"e-mail and username":    {[]string{line(1, "a@x.y", "a@x.y", ""), line(2, "a@x.y", "a@x.y", "")}, "2: email is like 1"},
		"another customer":       {[]string{line(1, "a", "a@x.y", ""), strings.Replace(line(2, "b", "b@x.y", ""), "3393", "4711", 1)}, "2: customer must be a customer of this directory"},
		"malformed":              {[]string{line(1, "a", "a@x.y", `,"mobile":5`), line(1, "a", "a@x.y", "")}, "1: mobile must be"},
	} {
		bad, err := screen.Lines(t.Context(), strings.NewReader(strings.Join(tc.lines, "\n")+"\n"), directory(t))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for n := int64(1); n <= int64(len(tc.lines)); n++ {
			for _, reason := range bad[n].Reasons {
				got = append(got, fmt.Sprintf("%d: %s", n, reason))
			}
			for _, l := range bad[n].Like {
				got = append(got, fmt.Sprintf("%d: %s is like %d", n, l.Column, l.First))
			}
		}
		want := strings.Split(tc.want, ", ")
		if len(got) != len(want) {
			t.Errorf("%s: %q, want %q", name, got, want)
			continue
		}
		for i := range want {
			if !strings.HasPrefix(got[i], want[i]) {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	}
}

// TestOthersAreImported: whatever a file has, an import takes all lines that are not refused, and each that is refused would not be taken
// beside those.
func TestOthersAreImported(t *testing.T) {
	t.Parallel()
	s := directory(t)
	imports := func(r *rapid.T, lines []string) bool {
		name := filepath.Join(t.TempDir(), "users.ndjson")
		if err := os.WriteFile(name, []byte(strings.Join(lines, "")), 0o600); err != nil {
			r.Fatal(err)
		}
		f, err := userfile.OpenSource(t.Context(), name)
		if err != nil {
			r.Fatal(err)
		}
		defer f.Close()
		n, err := userfile.Import{Store: s, Format: userfile.NDJSON, DryRun: true}.Run(t.Context(), f)
		if err != nil && !errors.As(err, new(*userfile.RefusedError)) {
			r.Fatal(err)
		}
		return err == nil && n == int64(len(lines))
	}
	rapid.Check(t, func(r *rapid.T) {
		var lines []string
		for range rapid.IntRange(1, 8).Draw(r, "lines") {
			username := rapid.SampledFrom([]string{"a", "A", "b", "a@x.y", "a b", ""}).Draw(r, "username")
			email := rapid.SampledFrom([]string{"a@x.y", "A@x.y", "b@x.y", "c@x.y", "no", ""}).Draw(r, "email")
			more := rapid.SampledFrom([]string{"", "", `,"status":"GONE"`, `,"external_id":"e"`, `,"mobile":5`, `,"roles":["ROLE_PILOT"]`, `,"uuid":"94520740-d63c-4e02-85ca-c4e138801e73"`, `,"customer":1`}).Draw(r, "more")
			lines = append(lines, line(rapid.IntRange(0, 5).Draw(r, "id"), username, email, more)+"\n")
		}
		bad, err := screen.Lines(t.Context(), bytes.NewReader([]byte(strings.Join(lines, ""))), s)
		if err != nil {
			r.Fatal(err)
		}
		var good []string
		for i, l := range lines {
			if _, refused := bad[int64(i+1)]; !refused {
				good = append(good, l)
			}
		}
		if len(good) > 0 && !imports(r, good) {
			r.Errorf("not all are imported of\n%s", strings.Join(good, ""))
		}
		for number := range bad {
			if imports(r, append(append([]string{}, good...), lines[number-1])) {
				r.Errorf("%s would be imported beside\n%s", lines[number-1], strings.Join(good, ""))
			}
		}
	})
}
