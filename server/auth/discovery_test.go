package auth_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/dragoman-id/dragoman/server/auth"
)

// discoverable is an identity provider's HTTP server, which answers by path.
type discoverable struct {
	url string

	mu    sync.Mutex
	pages map[string]page
	down  bool
	asked []string // the paths of all requests
}

type page struct {
	status int
	body   string
	header map[string]string
}

func newDiscoverable(t *testing.T) *discoverable {
	t.Helper()
	d := &discoverable{pages: map[string]page{}}
	s := httptest.NewServer(d)
	t.Cleanup(s.Close)
	d.url = s.URL
	return d
}

func (d *discoverable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, r.URL.Path)
	p, ok := d.pages[r.URL.Path]
	switch {
	case d.down:
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	case !ok:
		http.NotFound(w, r)
		return
	}
	for name, value := range p.header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(p.status)
	fmt.Fprint(w, p.body)
}

func (d *discoverable) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

// publish makes a path answer 200.
func (d *discoverable) publish(path, body string) {
	d.set(func() { d.pages[path] = page{status: 200, body: body} })
}

func (d *discoverable) paths() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	paths := strings.Join(d.asked, " ")
	d.asked = nil
	return paths
}

// document returns a discovery document.
func document(issuer, keys string) string {
	return fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q,"authorization_endpoint":"x","id_token_signing_alg_values_supported":["RS256"]}`, issuer, keys)
}

func discovering(issuer string) auth.Config {
	return only(auth.Issuer{Discover: true, Rules: rulesFor(issuer, "dragoman")})
}

// tokenOf returns a token of an issuer.
func tokenOf(t *testing.T, issuer, kid string, members ...string) string {
	t.Helper()
	return forge(t, jwt.SigningMethodES256, issuerKeys().p256, `{"alg":"ES256","kid":"`+kid+`"}`, payload(append(members, `"iss":"`+issuer+`"`, `"aud":"dragoman"`)...))
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ path, document, asked string }{
		"a host":                 {"", "/.well-known/openid-configuration", "/.well-known/openid-configuration /keys"},
		"a slash":                {"/", "/.well-known/openid-configuration", "/.well-known/openid-configuration /keys"},
		"a path":                 {"/realms/acme", "/realms/acme/.well-known/openid-configuration", "/realms/acme/.well-known/openid-configuration /keys"},
		"a path and a slash":     {"/TID/", "/TID/.well-known/openid-configuration", "/TID/.well-known/openid-configuration /keys"},
		"two slashes":            {"/a//", "/a//.well-known/openid-configuration", "/a//.well-known/openid-configuration /keys"},
		"an escape":              {"/a%20b", "/a b/.well-known/openid-configuration", "/a b/.well-known/openid-configuration /keys"},
		"RFC 8414, a host":       {"", "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration /.well-known/oauth-authorization-server /keys"},
		"RFC 8414, a path":       {"/realms/acme", "/.well-known/oauth-authorization-server/realms/acme", "/realms/acme/.well-known/openid-configuration /.well-known/oauth-authorization-server/realms/acme /keys"},
		"RFC 8414, with a slash": {"/TID/", "/.well-known/oauth-authorization-server/TID", "/TID/.well-known/openid-configuration /.well-known/oauth-authorization-server/TID /keys"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDiscoverable(t)
			issuer := d.url + test.path
			d.publish(test.document, document(issuer, d.url+"/keys"))
			d.publish("/keys", jwkSet(jwk(issuerKeys().p256.Public(), `"kid":"1"`)))
			v := newVerifier(t, discovering(issuer))
			wantAccepted(t, v, "its token", tokenOf(t, issuer, "1"))
			if asked := d.paths(); asked != test.asked {
				t.Errorf("asked for %s, want %s", asked, test.asked)
			}
			other := issuer + "/"
			if strings.HasSuffix(issuer, "/") {
				other = strings.TrimSuffix(issuer, "/")
			}
			for _, stranger := range []string{other, strings.ToUpper(issuer), "https://canary.example.com"} {
				token := tokenOf(t, stranger, "1")
				wantRefused(t, v, stranger, token)
				if fault := auth.FaultOf(verify(v, token)); fault != auth.FaultIssuer {
					t.Errorf("%s: fault %s", stranger, fault)
				}
			}
		})
	}
}

// TestDiscoveryOfUntrustworthyDocuments checks that no keys are taken from answers that the issuer may not have given.
func TestDiscoveryOfUntrustworthyDocuments(t *testing.T) {
	t.Parallel()
	evil := newDiscoverable(t)
	evil.publish("/keys", jwkSet(jwk(issuerKeys().p256.Public(), `"kid":"1"`)))
	const path = "/.well-known/openid-configuration"
	for name, test := range map[string]struct {
		page page // ISSUER, EVIL are URLs
		says string
	}{
		"another issuer":             {page{200, document("EVIL", "ISSUER/keys"), nil}, "differs from --issuer"},
		"the issuer with a slash":    {page{200, document("ISSUER/", "ISSUER/keys"), nil}, "differs from --issuer"},
		"the issuer in upper case":   {page{200, document("SHOUT", "ISSUER/keys"), nil}, "differs from --issuer"},
		"a template of issuers":      {page{200, document("https://login.example.com/{tenantid}/v2.0", "ISSUER/keys"), nil}, "{tenantid}"},
		"no issuer":                  {page{200, `{"jwks_uri":"ISSUER/keys"}`, nil}, "not a JSON object with an issuer"},
		"the issuer null":            {page{200, `{"issuer":null,"jwks_uri":"ISSUER/keys"}`, nil}, "not a JSON object with an issuer"},
		"the issuer under Issuer":    {page{200, `{"Issuer":"ISSUER","jwks_uri":"ISSUER/keys"}`, nil}, "not a JSON object with an issuer"},
		"issuer twice":               {page{200, `{"issuer":"EVIL","issuer":"ISSUER","jwks_uri":"ISSUER/keys"}`, nil}, "not a JSON object"},
		"no key set":                 {page{200, `{"issuer":"ISSUER"}`, nil}, "not a JSON object with an issuer and a jwks_uri"},
		"key set null":               {page{200, `{"issuer":"ISSUER","jwks_uri":null}`, nil}, "not a JSON object with an issuer and a jwks_uri"},
		"key set no URL":             {page{200, `{"issuer":"ISSUER","jwks_uri":"http://[canary"}`, nil}, "jwks_uri of the discovery document is not a URL"},
		"key set a list":             {page{200, `{"issuer":"ISSUER","jwks_uri":["ISSUER/keys"]}`, nil}, "not a JSON object"},
		"key set in a file":          {page{200, document("ISSUER", "file:///etc/passwd"), nil}, "must begin with https://"},
		"key set at a path":          {page{200, document("ISSUER", "/keys"), nil}, "must begin with https://"},
		"key set over http":          {page{200, document("ISSUER", "http://keys.example.com/"), nil}, "must be https"},
		"key set with a password":    {page{200, document("ISSUER", "http://canary:canary@127.0.0.1/"), nil}, "user name or a password"},
		"key set without a host":     {page{200, document("ISSUER", "https:///keys"), nil}, "has no host"},
		"a redirect":                 {page{302, "", map[string]string{"Location": "EVIL/.well-known/openid-configuration"}}, "answers 302, and redirects are not followed"},
		"a redirect of the key set":  {page{200, document("ISSUER", "ISSUER/moved"), nil}, "the key set's server answers 307, and redirects are not followed"},
		"a huge document":            {page{200, document("ISSUER", "ISSUER/keys") + strings.Repeat(" ", 1<<20), nil}, "longer than"},
		"a huge key set":             {page{200, document("ISSUER", "ISSUER/huge"), nil}, "the key set is longer than"},
		"HTML":                       {page{200, "<html>canary", nil}, "not a JSON object"},
		"a list":                     {page{200, `[]`, nil}, "not a JSON object"},
		"no document":                {page{404, "", nil}, "the discovery document's server answers 404"},
		"a failing server":           {page{500, "", nil}, "the discovery document's server answers 500"},
		"a document without content": {page{204, "", nil}, "the discovery document's server answers 204"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDiscoverable(t)
			places := strings.NewReplacer("SHOUT", strings.ToUpper(d.url), "ISSUER", d.url, "EVIL", evil.url)
			test.page.body = places.Replace(test.page.body)
			for header, value := range test.page.header {
				test.page.header[header] = places.Replace(value)
			}
			d.pages[path] = test.page
			d.publish("/keys", jwkSet(jwk(issuerKeys().p256.Public(), `"kid":"1"`)))
			d.publish("/huge", jwkSet(jwk(issuerKeys().p256.Public(), `"kid":"1"`))+strings.Repeat(" ", 1<<20))
			d.pages["/moved"] = page{307, "", map[string]string{"Location": evil.url + "/keys"}}
			var log bytes.Buffer
			synctest.Test(t, func(t *testing.T) {
				c := discovering(d.url)
				c.Log = slog.New(slog.NewTextHandler(&log, nil))
				v := newVerifier(t, c)
				if err := verify(v, tokenOf(t, d.url, "1")); !errors.Is(err, auth.ErrKeysUnavailable) {
					t.Errorf("error %v", err)
				}
				if err := v.Ready(); !errors.Is(err, auth.ErrKeysUnavailable) {
					t.Errorf("ready: %v", err)
				}
				v.Close()
			})
			if said := log.String(); !strings.Contains(said, test.says) || strings.Contains(said, "canary") {
				t.Errorf("the log says %s, want %q", said, test.says)
			}
		})
	}
	if asked := evil.paths(); asked != "" {
		t.Errorf("another server was asked for %s", asked)
	}
}

// TestDiscoveryOfSecondDocument checks when RFC 8414's document is read: if the server has no document at OpenID's address, also if it
// answers 200 there with something else, as servers of single-page applications do. A document that is another issuer's is refused.
func TestDiscoveryOfSecondDocument(t *testing.T) {
	t.Parallel()
	const first, second = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"
	for name, test := range map[string]struct {
		first page // ISSUER is a URL
		want  bool
	}{
		"none":                     {page{404, "", nil}, true},
		"an error":                 {page{500, "", nil}, true},
		"a redirect":               {page{302, "", map[string]string{"Location": "/login"}}, true},
		"HTML":                     {page{200, "<!doctype html><title>Sign in</title>", nil}, true},
		"nothing":                  {page{200, "", nil}, true},
		"another object":           {page{200, `{"error":"not_found"}`, nil}, true},
		"an array":                 {page{200, `[1]`, nil}, true},
		"too long":                 {page{200, strings.Repeat(" ", 1<<20) + "{}", nil}, true},
		"without a key set":        {page{200, `{"issuer":"ISSUER"}`, nil}, true},
		"another issuer's":         {page{200, document("https://other.example.com", "ISSUER/keys"), nil}, false},
		"another issuer's, empty":  {page{200, `{"issuer":"https://other.example.com"}`, nil}, false},
		"an unsafe key set":        {page{200, document("ISSUER", "http://keys.example.com/"), nil}, false},
		"an unsafe key set's path": {page{200, document("ISSUER", "/keys"), nil}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDiscoverable(t)
			test.first.body = strings.ReplaceAll(test.first.body, "ISSUER", d.url)
			d.pages[first] = test.first
			d.publish(second, document(d.url, d.url+"/keys"))
			d.publish("/keys", jwkSet(jwk(issuerKeys().p256.Public(), `"kid":"1"`)))
			v := newVerifier(t, discovering(d.url))
			err := verify(v, tokenOf(t, d.url, "1"))
			if asked := strings.Contains(d.paths(), second); (err == nil) != test.want || asked != test.want {
				t.Errorf("%v, the second document was read: %t", err, asked)
			}
			if err != nil && !errors.Is(err, auth.ErrKeysUnavailable) {
				t.Error(err)
			}
		})
	}
}

// TestDiscoveryGoesOn checks a provider that is down at the start and later, moves its key set, and rotates its keys.
func TestDiscoveryGoesOn(t *testing.T) {
	t.Parallel()
	k := issuerKeys()
	d := newDiscoverable(t)
	d.publish("/.well-known/openid-configuration", document(d.url, d.url+"/keys"))
	d.publish("/keys", jwkSet(jwk(k.p256.Public(), `"kid":"1"`)))
	d.down = true
	token := tokenOf(t, d.url, "1")
	var log bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		c := discovering(d.url)
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
		v := newVerifier(t, c)
		if err := verify(v, token); !errors.Is(err, auth.ErrKeysUnavailable) {
			t.Errorf("down at the start: %v", err)
		}
		d.set(func() { d.down = false })
		pass(4 * time.Second)
		wantAccepted(t, v, "up", token)

		d.set(func() { d.down = true })
		pass(time.Hour)
		wantAccepted(t, v, "down for an hour", token)
		pass(24 * time.Hour)
		if err := verify(v, token); !errors.Is(err, auth.ErrKeysUnavailable) {
			t.Errorf("down for a day: %v", err)
		}
		d.set(func() { d.down = false })
		pass(4 * time.Second)
		wantAccepted(t, v, "up again", token)

		// The key set moves, and has another key.
		d.publish("/new", jwkSet(jwk(k.p256.Public(), `"kid":"2"`)))
		d.publish("/.well-known/openid-configuration", document(d.url, d.url+"/new"))
		wantAccepted(t, v, "a new key, by its kid", tokenOf(t, d.url, "2"))
		wantAccepted(t, v, "the old key, missing once", token)
		pass(2 * auth.DefaultJWKSRefresh)
		wantRefused(t, v, "the old key, missing twice", token)

		// A document that became another issuer's changes nothing.
		d.publish("/.well-known/openid-configuration", document("https://canary.example.com", d.url+"/keys"))
		pass(2 * auth.DefaultJWKSRefresh)
		wantAccepted(t, v, "a document of another issuer", tokenOf(t, d.url, "2"))
		wantRefused(t, v, "a document of another issuer", token)
		v.Close()
	})
	if said := log.String(); strings.Count(said, "token keys located") != 2 || !strings.Contains(said, "path=/new") {
		t.Errorf("the log says %s", said)
	}
}

// TestExplainWaitsForKeys checks that a token is explained with the keys of a provider that takes longer to answer than a request waits.
func TestExplainWaitsForKeys(t *testing.T) {
	t.Parallel()
	d := newDiscoverable(t)
	d.publish("/.well-known/openid-configuration", document(d.url, d.url+"/keys"))
	d.publish("/keys", jwkSet(jwk(issuerKeys().p256.Public(), `"kid":"1"`)))
	token := tokenOf(t, d.url, "1")
	p := policy(t)
	synctest.Test(t, func(t *testing.T) {
		c := discovering(d.url)
		c.Transport = func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				<-time.After(4 * time.Second)
				return next.RoundTrip(r)
			})
		}
		v := newVerifier(t, c)
		if err := verify(v, token); !errors.Is(err, auth.ErrKeysUnavailable) {
			t.Errorf("a request: %v", err)
		}
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		if err := v.Explain(canceled, token, p).Err(); !errors.Is(err, auth.ErrKeysUnavailable) {
			t.Errorf("explained without waiting: %v", err)
		}
		if err := v.Explain(t.Context(), token, p).Err(); err != nil {
			t.Errorf("explained: %v", err)
		}
		v.Close()
	})
}

// roundTripper is a function that is an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestDiscoveryOverHTTPS(t *testing.T) {
	t.Parallel()
	d := &discoverable{pages: map[string]page{}}
	s := httptest.NewUnstartedServer(d)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	plain := newIssuer(t, jwk(issuerKeys().p256.Public(), `"kid":"1"`))
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	trusting := func(r http.RoundTripper) http.RoundTripper {
		r.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: roots}
		return r
	}
	d.publish("/.well-known/openid-configuration", document(s.URL, s.URL+"/keys"))
	d.publish("/keys", jwkSet(jwk(issuerKeys().p256.Public(), `"kid":"1"`)))
	c := discovering(s.URL)
	if err := verify(newVerifier(t, c), tokenOf(t, s.URL, "1")); !errors.Is(err, auth.ErrKeysUnavailable) {
		t.Errorf("an untrusted certificate: %v", err)
	}
	c.Transport = trusting
	wantAccepted(t, newVerifier(t, c), "https", tokenOf(t, s.URL, "1"))

	d.publish("/.well-known/openid-configuration", document(s.URL, plain.url))
	wantAccepted(t, newVerifier(t, c), "a key set over http, and both on this machine", tokenOf(t, s.URL, "1"))
	if plain.asked() == 0 {
		t.Error("the keys were not read over http")
	}

	// The same server under a name that is not a loopback address.
	const elsewhere = "https://sso.example.com"
	d.publish("/.well-known/openid-configuration", document(elsewhere, plain.url))
	c = discovering(elsewhere)
	c.Transport = func(r http.RoundTripper) http.RoundTripper {
		r.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			if strings.HasPrefix(address, "sso.example.com:") {
				address = s.Listener.Addr().String()
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		}
		return trusting(r)
	}
	if err := verify(newVerifier(t, c), tokenOf(t, elsewhere, "1")); !errors.Is(err, auth.ErrKeysUnavailable) {
		t.Errorf("a key set over http of an issuer that is elsewhere: %v", err)
	}
	if plain.asked() != 0 {
		t.Error("the server without TLS was asked for the keys of an issuer that is elsewhere")
	}
	d.publish("/.well-known/openid-configuration", document(elsewhere, elsewhere+"/keys"))
	wantAccepted(t, newVerifier(t, c), "a key set over https of an issuer that is elsewhere", tokenOf(t, elsewhere, "1"))
}

func TestInvalidDiscovery(t *testing.T) {
	t.Parallel()
	for issuer, says := range map[string]string{
		"":                               "needs an audience",
		"acme":                           "must begin with https://",
		"http://sso.example.com":         "must be https",
		"http://localhost.example.com":   "must be https",
		"https://ada:canary@example.com": "user name or a password",
		"https://sso.example.com?a=b":    "a query or a fragment",
		"https://sso.example.com#a":      "a query or a fragment",
		"https:sso.example.com":          "is not a URL",
		"https://":                       "has no host",
		"ftp://sso.example.com":          "must begin with https://",
		"https://sso.example.com:canary": "is not a URL",
	} {
		problems := discovering(issuer).Problems()
		if len(problems) == 0 || !strings.Contains(problems[0].Error(), says) || strings.Contains(problems[0].Error(), "canary") {
			t.Errorf("%s: %v, want %q", issuer, problems, says)
		}
	}
	for _, c := range []auth.Config{
		only(auth.Issuer{Discover: true, Rules: rulesFor("https://sso.example.com", "")}),
		only(auth.Issuer{Discover: true, PublicKeyPEM: pkix(issuerKeys().p256.Public()), Rules: rulesFor("https://sso.example.com", "a")}),
	} {
		if len(c.Problems()) == 0 {
			t.Errorf("%+v is accepted", c.Issuers[0].Rules)
		}
	}
	if u := must(url.Parse("https://sso.example.com/realms/acme")); len(discovering(u.String()).Problems()) != 0 {
		t.Error("a good issuer is rejected")
	}
}
