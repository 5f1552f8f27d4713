package auth_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/golang-jwt/jwt/v5"

	"github.com/dragoman-id/dragoman/server/auth"
)

// twoIssuers are Worth's own tokens, by a secret, and a provider's, by a key set.
func twoIssuers(t *testing.T) auth.Config {
	t.Helper()
	k := issuerKeys()
	return auth.Config{Issuers: []auth.Issuer{
		{Secret: secret, Rules: auth.Rules{Issuer: "worth", Audiences: []string{"dragoman"}, Scope: &auth.Scope{Customers: []string{"*"}, Platform: true}}},
		{
			JWKSURL: setFile(t, jwk(k.p256.Public(), `"kid":"1"`)),
			Rules: auth.Rules{
				Issuer: "https://sso.example.com", Audiences: []string{"dragoman", "other"}, Authorities: auth.Claim{Name: "roles"},
				Scope: &auth.Scope{Customers: []string{"3393"}},
			},
		},
	}}
}

func TestSeveralIssuers(t *testing.T) {
	t.Parallel()
	k, p := issuerKeys(), policy(t)
	v := newVerifier(t, twoIssuers(t))
	hs256 := func(members ...string) string {
		return forge(t, jwt.SigningMethodHS256, secret, `{"alg":"HS256"}`, payload(members...))
	}
	es256 := func(members ...string) string {
		return forge(t, jwt.SigningMethodES256, k.p256, `{"alg":"ES256","kid":"1"}`, payload(members...))
	}
	const worth, sso = `"iss":"worth","aud":"dragoman"`, `"iss":"https://sso.example.com","aud":"dragoman"`
	all := rights{rank: 3, sandbox: true, elsewhere: true, platform: true, read: true, write: true, create: true, history: true, provisioning: true, seesAccessTokens: true}
	inSandbox := all
	inSandbox.elsewhere, inSandbox.platform = false, false
	nowhere := inSandbox
	nowhere.sandbox = false
	for name, test := range map[string]struct {
		token   string
		subject string // empty: refused
		want    rights
	}{
		"the first's administrator":        {hs256(worth, `"customer_id":"*"`, `"authorities":"ROLE_ADMIN"`), "worth ada", all},
		"the first's writer without roles": {hs256(worth, `"customer_id":3393`, `"permissions":"customer_user:write"`), "worth ada", rights{sandbox: true, write: true}},
		"the second's administrator":       {es256(sso, `"customer_id":3393`, `"roles":"ROLE_ADMIN"`), "https://sso.example.com ada", inSandbox},
		"the second for all":               {es256(sso, `"customer_id":"*"`, `"roles":"ROLE_ADMIN"`), "https://sso.example.com ada", nowhere},
		"the second for another customer":  {es256(sso, `"customer_id":[3394]`, `"roles":"ROLE_ADMIN"`), "https://sso.example.com ada", nowhere},
		"the second by another id":         {es256(sso, `"customer_id":"`+sandbox.UUID.String()+`"`, `"roles":"ROLE_ADMIN"`), "https://sso.example.com ada", nowhere},
		"the second by the first's claims": {es256(sso, `"customer_id":3393`, `"authorities":"ROLE_ADMIN"`), "https://sso.example.com ada", rights{sandbox: true}},

		"the second's key for the first":   {es256(worth, `"authorities":"ROLE_ADMIN"`), "", rights{}},
		"the first's key for the second":   {hs256(sso, `"roles":"ROLE_ADMIN"`), "", rights{}},
		"a third":                          {hs256(`"iss":"canary","aud":"dragoman"`), "", rights{}},
		"none":                             {hs256(`"aud":"dragoman"`), "", rights{}},
		"no text":                          {hs256(`"iss":["worth"],"aud":"dragoman"`), "", rights{}},
		"empty":                            {hs256(`"iss":"","aud":"dragoman"`), "", rights{}},
		"with a slash":                     {es256(`"iss":"https://sso.example.com/","aud":"dragoman"`), "", rights{}},
		"the second's audience":            {hs256(`"iss":"worth","aud":"other"`), "", rights{}},
		"another key":                      {forge(t, jwt.SigningMethodRS256, k.rsa, `{"alg":"RS256","kid":"1"}`, payload(sso)), "", rights{}},
		"a key that is there twice over":   {forge(t, jwt.SigningMethodHS256, pkix(k.p256.Public()), `{"alg":"HS256","kid":"1"}`, payload(sso)), "", rights{}},
		"the issuer within the subject":    {hs256(worth, `"sub":"x"`, `"customer_id":3393`), "worth x", rights{sandbox: true}},
		"a subject like the other's":       {hs256(worth, `"sub":"https://sso.example.com ada"`), "worth https://sso.example.com ada", rights{}},
		"a subject that is a user's":       {es256(sso, `"sub":"`+ada.String()+`"`), "https://sso.example.com " + ada.String(), rights{}},
		"a subject that is a user's again": {es256(sso, `"sub":"`+ada.String()+`"`, `"x":1`), "https://sso.example.com " + ada.String(), rights{}},
	} {
		for range 2 { // verified, and cached
			pr, err := v.Verify([]string{"Bearer " + test.token})
			if test.subject == "" {
				wantUnauthenticated(t, pr, err, test.token)
				continue
			}
			if err != nil || pr.Subject != test.subject || rightsOf(p, pr) != test.want {
				t.Errorf("%s: %q, %+v, %v, want %q, %+v", name, pr.Subject, rightsOf(p, pr), err, test.subject, test.want)
			}
			if id, ok := pr.UserID(); strings.Contains(name, "user's") && (!ok || id != ada) {
				t.Errorf("%s: the user is %v", name, id)
			}
		}
	}
}

// TestOneIssuerIsDown checks that an issuer without keys refuses its own tokens only.
func TestOneIssuerIsDown(t *testing.T) {
	t.Parallel()
	down := newDiscoverable(t)
	down.down = true
	c := twoIssuers(t)
	c.Issuers[1].JWKSURL, c.Issuers[1].Discover, c.Issuers[1].Rules.Issuer = "", true, down.url
	v := newVerifier(t, c)
	if err := verify(v, forge(t, jwt.SigningMethodHS256, secret, `{"alg":"HS256"}`, payload(`"iss":"worth","aud":"dragoman"`))); err != nil {
		t.Error(err)
	}
	if err := verify(v, tokenOf(t, down.url, "1")); !errors.Is(err, auth.ErrKeysUnavailable) {
		t.Errorf("the issuer that is down: %v", err)
	}
	if err := v.Ready(); err != nil {
		t.Errorf("not ready: %v", err)
	}
	if states := v.KeySets(); len(states) != 1 || states[0].Issuer != down.url || states[0].Keys != 0 {
		t.Errorf("KeySets() = %+v", states)
	}
}

// TestCachedTokenOfItsIssuer checks that a cached token is dropped with its own issuer's key.
func TestCachedTokenOfItsIssuer(t *testing.T) {
	t.Parallel()
	k := issuerKeys()
	i := newIssuer(t, jwk(k.p256.Public(), `"kid":"1"`))
	token := tokenOf(t, "https://sso.example.com", "1")
	synctest.Test(t, func(t *testing.T) {
		c := twoIssuers(t)
		c.Issuers[1].JWKSURL = i.url
		v := newVerifier(t, c)
		wantAccepted(t, v, "a key", token)
		wantAccepted(t, v, "a key, cached", token)
		i.publish(jwk(k.otherRSA.Public(), `"kid":"2"`))
		pass(2 * auth.DefaultJWKSRefresh)
		wantRefused(t, v, "a withdrawn key", token)
		v.Close()
	})
}

func TestInvalidIssuers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*auth.Config)
		says   string
	}{
		"the same twice":   {func(c *auth.Config) { c.Issuers[1].Rules.Issuer = "worth" }, "another has the same issuer"},
		"no name":          {func(c *auth.Config) { c.Issuers[0].Rules.Issuer = "" }, "needs its issuer"},
		"a space":          {func(c *auth.Config) { c.Issuers[0].Rules.Issuer = "worth one" }, "white space"},
		"legacy":           {func(c *auth.Config) { c.Issuers[0].MissingClaims = auth.MissingLegacy }, "--missing-claims=legacy cannot"},
		"no key":           {func(c *auth.Config) { c.Issuers[0].Secret = nil }, "neither a secret nor a public key"},
		"for no customer":  {func(c *auth.Config) { c.Issuers[1].Scope.Customers = nil }, "speak for no customer"},
		"for any customer": {func(c *auth.Config) { c.Issuers[1].Scope.Customers = []string{"acme"} }, `"acme" is neither`},
	} {
		c := twoIssuers(t)
		test.change(&c)
		problems := c.Problems()
		if len(problems) != 1 || !strings.Contains(problems[0].Error(), test.says) || !strings.HasPrefix(problems[0].Error(), "issuer ") {
			t.Errorf("%s: %v, want %q", name, problems, test.says)
		}
		if _, err := auth.NewVerifier(c); err == nil {
			t.Errorf("%s: there is a verifier", name)
		}
	}
}
