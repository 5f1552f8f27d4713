package dialect_test

import (
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/golang-jwt/jwt/v5"
)

func sign(t *testing.T, method jwt.SigningMethod, key any, change func(jwt.MapClaims)) string {
	t.Helper()
	claims := jwt.MapClaims{
		"sub": "grace", "exp": time.Now().Add(time.Hour).Unix(), "customer_id": 3393, "authorities": []string{"ROLE_COMPANY_ADMIN"},
	}
	change(claims)
	token, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func unchanged(jwt.MapClaims) {}

// What makes a token good is server/auth's; here is what a client sees of one that is not.
func TestTokenThatCannotBeBelievedIsRefused(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	hs256 := func(change func(jwt.MapClaims)) []string {
		return []string{"Bearer " + sign(t, jwt.SigningMethodHS256, servertest.Secret, change)}
	}
	good := hs256(unchanged)
	const invalid = `Bearer error="invalid_token"`
	cases := []struct {
		name      string
		header    []string
		kind      dialect.Kind
		challenge string
	}{
		{"none", nil, dialect.Unauthenticated, "Bearer"},
		{"empty", []string{""}, dialect.Unauthenticated, invalid},
		{"another scheme", []string{"Basic Z3JhY2U6aG9wcGVy"}, dialect.Unauthenticated, invalid},
		{"no token", []string{"Bearer"}, dialect.Unauthenticated, invalid},
		{"no JWT", []string{"Bearer abc"}, dialect.Unauthenticated, invalid},
		{"two", append(good, good...), dialect.Unauthenticated, invalid},
		{"unsigned", []string{"Bearer " + sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, unchanged)}, dialect.Unauthenticated, invalid},
		{"signed by another", []string{"Bearer " + sign(t, jwt.SigningMethodHS256, []byte("another secret, which is as long as it must be"), unchanged)}, dialect.Unauthenticated, invalid},
		{"signed with another algorithm", []string{"Bearer " + sign(t, jwt.SigningMethodHS512, servertest.Secret, unchanged)}, dialect.Unauthenticated, invalid},
		{"expired", hs256(func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Minute).Unix() }), dialect.TokenExpired, `Bearer error="invalid_token", error_description="the token has expired"`},
		{"not yet valid", hs256(func(c jwt.MapClaims) { c["nbf"] = time.Now().Add(time.Minute).Unix() }), dialect.Unauthenticated, invalid},
		{"without exp", hs256(func(c jwt.MapClaims) { delete(c, "exp") }), dialect.Unauthenticated, invalid},
		{"without sub", hs256(func(c jwt.MapClaims) { delete(c, "sub") }), dialect.Unauthenticated, invalid},
	}
	onEach(t, s, func(t *testing.T, f surface) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				r := f.request(s)
				delete(r.Header, "Authorization")
				if c.header != nil {
					r.Header["Authorization"] = c.header
				}
				a := s.Send(r)
				f.refuses(t, a, c.kind)
				a.ExpectHeader(t, "WWW-Authenticate", c.challenge)
			})
		}
		r := f.request(s)
		r.Header["Authorization"] = good
		f.accepts(t, s.Send(r))
	})
	untouched(t, s)
}

func TestTokenOfAnotherIssuerOrAudienceIsRefused(t *testing.T) {
	t.Parallel()
	s := servertest.StartWith(t, server.Config{Auth: auth.Config{Issuers: []auth.Issuer{{Secret: servertest.Secret, Rules: auth.Rules{Issuer: "https://id.example.com", Audiences: []string{"dragoman"}}}}}})
	onEach(t, s, func(t *testing.T, f surface) {
		for _, c := range []struct {
			name, issuer, audience string
			good                   bool
		}{
			{"right", "https://id.example.com", "dragoman", true},
			{"another issuer", "https://id.example.org", "dragoman", false},
			{"another audience", "https://id.example.com", "parrot", false},
			{"neither", "", "", false},
		} {
			t.Run(c.name, func(t *testing.T) {
				who := servertest.Manager()
				who.Issuer, who.Audience = c.issuer, c.audience
				a := s.Send(f.requestBy(s, who))
				if c.good {
					f.accepts(t, a)
				} else {
					f.refuses(t, a, dialect.Unauthenticated)
				}
			})
		}
	})
}
