package auth_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/dragoman-id/dragoman/server/auth"
)

func TestPasswordRoundTrip(t *testing.T) {
	p, ctx := auth.NewCheapPasswords(), context.Background()
	rapid.Check(t, func(r *rapid.T) {
		plain, other := rapid.String().Draw(r, "plain"), rapid.String().Draw(r, "other")
		first, err := p.Hash(ctx, plain)
		if err != nil {
			r.Fatal(err)
		}
		second, err := p.Hash(ctx, plain)
		if err != nil {
			r.Fatal(err)
		}
		if first == second {
			r.Fatal("two hashes have one salt")
		}
		if ok, err := p.Verify(ctx, plain, &first); !ok || err != nil {
			r.Fatalf("right password: %v, %v", ok, err)
		}
		if ok, err := p.Verify(ctx, other, &first); ok != (plain == other) || err != nil {
			r.Fatalf("another password: %v, %v", ok, err)
		}
		if ok, err := p.Verify(ctx, plain, nil); ok || err != nil {
			r.Fatalf("no password: %v, %v", ok, err)
		}
	})
}

func TestPasswordHashParameters(t *testing.T) {
	ctx := context.Background()
	hash, err := auth.NewPasswords().Hash(ctx, "Correct-horse")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash %q has other parameters than OWASP's", hash)
	}
	// A hash with other parameters is verified with its own.
	if ok, err := auth.NewCheapPasswords().Verify(ctx, "Correct-horse", &hash); !ok || err != nil {
		t.Errorf("Verify = %v, %v", ok, err)
	}
}

func TestInvalidPasswordHashes(t *testing.T) {
	p, ctx := auth.NewCheapPasswords(), context.Background()
	const salt, key = "AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	good := "$argon2id$v=19$m=8,t=1,p=1$" + salt + "$" + key
	if ok, err := p.Verify(ctx, "canary", &good); ok || err != nil {
		t.Fatalf("the hash that the others are made of: %v, %v", ok, err)
	}
	for name, hash := range map[string]string{
		"empty":             "",
		"plain text":        "canary",
		"bcrypt":            "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
		"argon2i":           "$argon2i$v=19$m=8,t=1,p=1$" + salt + "$" + key,
		"another version":   "$argon2id$v=16$m=8,t=1,p=1$" + salt + "$" + key,
		"no parameters":     "$argon2id$v=19$canary$" + salt + "$" + key,
		"no base64":         "$argon2id$v=19$m=8,t=1,p=1$" + salt + "$canary!",
		"empty key":         "$argon2id$v=19$m=8,t=1,p=1$" + salt + "$",
		"short key":         "$argon2id$v=19$m=8,t=1,p=1$" + salt + "$AAAA",
		"empty salt":        "$argon2id$v=19$m=8,t=1,p=1$$" + key,
		"no iterations":     "$argon2id$v=19$m=8,t=0,p=1$" + salt + "$" + key,
		"no lanes":          "$argon2id$v=19$m=8,t=1,p=0$" + salt + "$" + key,
		"4 TiB":             "$argon2id$v=19$m=4294967295,t=1,p=1$" + salt + "$" + key,
		"years":             "$argon2id$v=19$m=8,t=4294967295,p=1$" + salt + "$" + key,
		"too large a m":     "$argon2id$v=19$m=4294967296,t=1,p=1$" + salt + "$" + key,
		"255 lanes":         "$argon2id$v=19$m=8,t=1,p=255$" + salt + "$" + key,
		"an endless salt":   "$argon2id$v=19$m=8,t=1,p=1$" + strings.Repeat("AAAA", 1000) + "$" + key,
		"an endless key":    "$argon2id$v=19$m=8,t=1,p=1$" + salt + "$" + strings.Repeat("AAAA", 1000),
		"negative memory":   "$argon2id$v=19$m=-8,t=1,p=1$" + salt + "$" + key,
		"one part too many": good + "$canary",
	} {
		t.Run(name, func(t *testing.T) {
			ok, err := p.Verify(ctx, "canary", &hash)
			if ok || err == nil {
				t.Fatalf("Verify = %v, %v", ok, err)
			}
			if text := err.Error(); strings.Contains(text, "canary") || strings.Contains(text, "AAAA") {
				t.Errorf("error %q quotes the hash", text)
			}
		})
	}
}

func TestPasswordsContext(t *testing.T) {
	p := auth.NewCheapPasswords()
	hash, err := p.Hash(t.Context(), "Correct-horse")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for range 50 { // must never depend on chance
		if _, err := p.Hash(ctx, "Correct-horse"); !errors.Is(err, context.Canceled) {
			t.Fatalf("Hash: %v", err)
		}
		for _, hash := range []*string{nil, &hash} {
			if ok, err := p.Verify(ctx, "Correct-horse", hash); ok || !errors.Is(err, context.Canceled) {
				t.Fatalf("Verify: %v, %v", ok, err)
			}
		}
	}
}

func TestPasswordsConcurrently(t *testing.T) {
	p := auth.NewCheapPasswords()
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			hash, err := p.Hash(context.Background(), "Correct-horse")
			if err != nil {
				t.Error(err)
				return
			}
			if ok, err := p.Verify(context.Background(), "Correct-horse", &hash); !ok || err != nil {
				t.Errorf("Verify = %v, %v", ok, err)
			}
		})
	}
	all.Wait()
}

func TestPasswordProblem(t *testing.T) {
	for plain, want := range map[string]string{
		"Correct-horse":                       "",
		"Aa-45678":                            "",
		"Aa-45678" + strings.Repeat("0", 120): "",
		"Aa-45678" + strings.Repeat("0", 121): "must have 8 to 128 characters",
		"Aa-4567":                             "must have 8 to 128 characters",
		"Aa-45€é":                             "must have 8 to 128 characters", // 7 characters, 10 bytes
		"Äé-45678":                            "",                              // letters of any script
		"Ωω!ΩωΩωΩ":                            "",
		"AA-45678":                            "must have a lower-case letter",
		"aa-45678":                            "must have an upper-case letter",
		"Aa345678":                            "must have an ASCII symbol",
		"Aa 45678":                            "must have an ASCII symbol",
		"Aa\t45678":                           "must have an ASCII symbol",
		"Aa\x7f45678":                         "must have an ASCII symbol",
		"Aa§45678":                            "must have an ASCII symbol",
		"Aa€45678":                            "must have an ASCII symbol",
		"Aa٣45678":                            "must have an ASCII symbol",
		"12345678":                            "must have a lower-case letter, an upper-case letter and an ASCII symbol",
		"aaaaaaaa":                            "must have an upper-case letter and an ASCII symbol",
		"ǅǅǅǅǅǅǅ-":                            "must have a lower-case letter and an upper-case letter", // title case is neither
		"":                                    "must have 8 to 128 characters, a lower-case letter, an upper-case letter and an ASCII symbol",
	} {
		if got := auth.PasswordProblem(plain); got != want {
			t.Errorf("PasswordProblem(%q) = %q, want %q", plain, got, want)
		}
	}
	for _, symbol := range "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~" {
		if problem := auth.PasswordProblem("Aa345678" + string(symbol)); problem != "" {
			t.Errorf("symbol %q: %s", symbol, problem)
		}
	}

	rapid.Check(t, func(r *rapid.T) {
		plain := "aA!" + rapid.StringN(5, 125, -1).Draw(r, "rest")
		if problem := auth.PasswordProblem(plain); problem != "" {
			r.Fatalf("%d characters: %s", utf8.RuneCountInString(plain), problem)
		}
	})
}
