package auth_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/dragoman-id/dragoman/server/auth"
)

// TestRememberedTokenEnds holds that a token that was found good is held against the clock each time all the same.
func TestRememberedTokenEnds(t *testing.T) {
	t.Parallel()
	at := now
	v := newVerifier(t, auth.Config{Secret: secret, Now: func() time.Time { return at }})
	header := []string{"Bearer " + signed(t, payload(`"nbf":`+fmt.Sprint(now.Unix())))}
	for _, step := range []struct {
		name string
		at   time.Time
		want error
	}{
		{"seen first", now, nil},
		{"seen again", now.Add(time.Minute), nil},
		{"at its end, with the leeway", now.Add(time.Hour + 29*time.Second), nil},
		{"after its end", now.Add(time.Hour + 31*time.Second), auth.ErrTokenExpired},
		{"before its beginning, when the clock is set back", now.Add(-31 * time.Second), auth.ErrUnauthenticated},
		{"good again", now, nil},
	} {
		at = step.at
		pr, err := v.Verify(header)
		if !errors.Is(err, step.want) {
			t.Errorf("%s: error %v, want %v", step.name, err, step.want)
		}
		if err == nil && pr.Subject != "ada" || err != nil && pr.Subject != "" {
			t.Errorf("%s: the principal is %q", step.name, pr.Subject)
		}
	}
	if got, want := v.Remembered(), (auth.RememberedTokens{Size: 1, Hits: 5, Misses: 1}); got != want {
		t.Errorf("Remembered() = %+v, want %+v", got, want)
	}
}

// TestOnlyGoodTokensAreRemembered holds that whoever has no good token takes up no room.
func TestOnlyGoodTokensAreRemembered(t *testing.T) {
	t.Parallel()
	v := newVerifier(t, auth.Config{Secret: secret})
	for _, token := range []string{
		"canary",
		signed(t, payload(`"exp":`+fmt.Sprint(now.Add(-time.Hour).Unix()))),
		signed(t, payload(`"sub":""`)),
		forge(t, jwt.SigningMethodHS256, randomBytes(32), `{"alg":"HS256"}`, payload()),
	} {
		for range 2 {
			pr, err := v.Verify([]string{"Bearer " + token})
			wantUnauthenticated(t, pr, err, token)
		}
	}
	if got := v.Remembered(); got.Size != 0 || got.Hits != 0 {
		t.Errorf("Remembered() = %+v after bad tokens alone", got)
	}
}

// TestRememberedTokensAreBounded holds that the memory of tokens does not grow with how many there are.
func TestRememberedTokensAreBounded(t *testing.T) {
	t.Parallel()
	v := newVerifier(t, auth.Config{Secret: secret})
	const more = 100
	for i := range auth.MaxRemembered + more {
		if _, err := v.Verify([]string{"Bearer " + signed(t, payload(fmt.Sprintf(`"sub":"%d"`, i)))}); err != nil {
			t.Fatal(err)
		}
	}
	if got := v.Remembered(); got.Size != auth.MaxRemembered {
		t.Errorf("%d tokens are remembered, want %d", got.Size, auth.MaxRemembered)
	}
}

// BenchmarkStageToken is the first stage of a request, for a token that is known and for one that is new.
func BenchmarkStageToken(b *testing.B) {
	k := issuerKeys()
	for _, bench := range []struct {
		name   string
		config auth.Config
		token  string
	}{
		{"HS256", auth.Config{Secret: secret}, signed(b, payload(`"customer_id":3393`, `"authorities":["ROLE_COMPANY_ADMIN"]`))},
		{"RS256", setConfig(setFile(b, jwk(k.rsa.Public(), `"kid":"1"`))), named(b, jwt.SigningMethodRS256, k.rsa, "1")},
	} {
		header := []string{"Bearer " + bench.token}
		b.Run(bench.name+"/remembered", func(b *testing.B) {
			v := newVerifier(b, bench.config)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(header); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(bench.name+"/first", func(b *testing.B) {
			v := newVerifier(b, bench.config)
			b.ReportAllocs()
			for b.Loop() {
				auth.Forget(v)
				if _, err := v.Verify(header); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
