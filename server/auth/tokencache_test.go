package auth_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/dragoman-id/dragoman/server/auth"
)

// TestCachedTokenExpires checks that a cached token is compared with the clock at each use.
func TestCachedTokenExpires(t *testing.T) {
	t.Parallel()
	at := now
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{{Secret: secret}}, Now: func() time.Time { return at }})
	header := []string{"Bearer " + signed(t, payload(`"nbf":`+fmt.Sprint(now.Unix())))}
	for _, step := range []struct {
		name string
		at   time.Time
		want error
	}{
		{"first use", now, nil},
		{"cached", now.Add(time.Minute), nil},
		{"expired within the leeway", now.Add(time.Hour + 29*time.Second), nil},
		{"expired", now.Add(time.Hour + 31*time.Second), auth.ErrTokenExpired},
		{"before its nbf, when the clock is set back", now.Add(-31 * time.Second), auth.ErrUnauthenticated},
		{"valid again", now, nil},
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
	if got, want := v.TokenCache(), (auth.TokenCacheState{Size: 1, Hits: 5, Misses: 1}); got != want {
		t.Errorf("TokenCache() = %+v, want %+v", got, want)
	}
}

// TestInvalidTokensAreNotCached checks that invalid tokens use no memory.
func TestInvalidTokensAreNotCached(t *testing.T) {
	t.Parallel()
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{{Secret: secret}}})
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
	if got := v.TokenCache(); got.Size != 0 || got.Hits != 0 {
		t.Errorf("TokenCache() = %+v after invalid tokens", got)
	}
}

// TestTokenCacheIsBounded checks that the cache does not grow beyond its capacity.
func TestTokenCacheIsBounded(t *testing.T) {
	t.Parallel()
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{{Secret: secret}}})
	const more = 100
	for i := range auth.MaxCachedTokens + more {
		if _, err := v.Verify([]string{"Bearer " + signed(t, payload(fmt.Sprintf(`"sub":"%d"`, i)))}); err != nil {
			t.Fatal(err)
		}
	}
	if got := v.TokenCache(); got.Size != auth.MaxCachedTokens {
		t.Errorf("%d tokens are cached, want %d", got.Size, auth.MaxCachedTokens)
	}
}

// BenchmarkStageToken measures the first stage of a request, for a cached token and for a new one.
func BenchmarkStageToken(b *testing.B) {
	k := issuerKeys()
	for _, bench := range []struct {
		name   string
		config auth.Config
		token  string
	}{
		{"HS256", auth.Config{Issuers: []auth.Issuer{{Secret: secret}}}, signed(b, payload(`"customer_id":3393`, `"authorities":["ROLE_COMPANY_ADMIN"]`))},
		{"RS256", setConfig(setFile(b, jwk(k.rsa.Public(), `"kid":"1"`))), named(b, jwt.SigningMethodRS256, k.rsa, "1")},
	} {
		header := []string{"Bearer " + bench.token}
		b.Run(bench.name+"/cached", func(b *testing.B) {
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
				auth.ClearTokenCache(v)
				if _, err := v.Verify(header); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
