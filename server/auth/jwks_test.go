package auth_test

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/dragoman-id/dragoman/server/auth"
)

// issuer is an identity provider's HTTP server that publishes a key set.
type issuer struct {
	url string

	mu       sync.Mutex
	status   int
	header   http.Header
	body     string
	requests int
}

// newIssuer starts an issuer. Call it outside a synctest bubble, whose clock would not advance while the issuer listens.
func newIssuer(t *testing.T, keys ...string) *issuer {
	t.Helper()
	i := &issuer{}
	i.publish(keys...)
	s := httptest.NewServer(i)
	t.Cleanup(s.Close)
	i.url = s.URL + "/jwks.json"
	return i
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.requests++
	for name, values := range i.header {
		w.Header()[name] = values
	}
	w.WriteHeader(i.status)
	fmt.Fprint(w, i.body)
}

// answer sets what the issuer answers.
func (i *issuer) answer(status int, body string, header ...string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.status, i.body, i.header = status, body, http.Header{}
	for n := 0; n < len(header); n += 2 {
		i.header.Set(header[n], header[n+1])
	}
}

func (i *issuer) publish(keys ...string) { i.answer(http.StatusOK, jwkSet(keys...)) }

// asked returns how many requests the issuer got since the last call.
func (i *issuer) asked() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := i.requests
	i.requests = 0
	return n
}

func jwkSet(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

// jwk returns a public key as a JWK with further members, each "name":value as JSON text.
func jwk(public any, members ...string) string {
	text := func(b []byte) string { return `"` + base64.RawURLEncoding.EncodeToString(b) + `"` }
	var own []string
	switch key := public.(type) {
	case *rsa.PublicKey:
		own = []string{`"kty":"RSA"`, `"n":` + text(key.N.Bytes()), `"e":` + text(big.NewInt(int64(key.E)).Bytes())}
	case *ecdsa.PublicKey:
		point := must(key.Bytes())[1:]
		own = []string{`"kty":"EC"`, `"crv":"` + key.Curve.Params().Name + `"`, `"x":` + text(point[:len(point)/2]), `"y":` + text(point[len(point)/2:])}
	case ed25519.PublicKey:
		own = []string{`"kty":"OKP"`, `"crv":"Ed25519"`, `"x":` + text(key)}
	case *ecdh.PublicKey:
		own = []string{`"kty":"OKP"`, `"crv":"X25519"`, `"x":` + text(key.Bytes())}
	case []byte:
		own = []string{`"kty":"oct"`, `"k":` + text(key)}
	}
	return "{" + strings.Join(append(own, members...), ",") + "}"
}

// setConfig returns a configuration with a key set.
func setConfig(place string) auth.Config { return setConfigWith(place, auth.Config{}) }

func setConfigWith(place string, c auth.Config) auth.Config {
	var i auth.Issuer
	if len(c.Issuers) > 0 {
		i = c.Issuers[0]
	}
	i.JWKSURL, i.Rules = place, rulesFor("https://id.example.com", "dragoman")
	c.Issuers = []auth.Issuer{i}
	return c
}

// setFile writes a key set to a file and returns its path.
func setFile(t testing.TB, keys ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(path, []byte(jwkSet(keys...)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// named returns a valid token with a kid.
func named(t testing.TB, method jwt.SigningMethod, key any, kid string) string {
	t.Helper()
	return forge(t, method, key, `{"alg":"`+method.Alg()+`","kid":"`+kid+`"}`, payload(fromIssuer))
}

func verify(v *auth.Verifier, token string) error {
	_, err := v.Verify([]string{"Bearer " + token})
	return err
}

func wantAccepted(t testing.TB, v *auth.Verifier, what, token string) {
	t.Helper()
	if err := verify(v, token); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

func wantRefused(t testing.TB, v *auth.Verifier, what, token string) {
	t.Helper()
	pr, err := v.Verify([]string{"Bearer " + token})
	if err == nil {
		t.Errorf("%s: accepted", what)
		return
	}
	wantUnauthenticated(t, pr, err, token)
}

// pass advances the clock of a synctest bubble and waits until its goroutines are idle.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// compress returns a text in gzip format.
func compress(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(text))
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestKeySetOfEveryKind(t *testing.T) {
	t.Parallel()
	k := issuerKeys()
	for _, test := range []struct {
		method jwt.SigningMethod
		key    any
		public any
	}{
		{jwt.SigningMethodRS256, k.rsa, k.rsa.Public()},
		{jwt.SigningMethodES256, k.p256, k.p256.Public()},
		{jwt.SigningMethodEdDSA, k.ed25519, k.ed25519.Public()},
	} {
		alg := test.method.Alg()
		for name, key := range map[string]string{
			"a kid":             jwk(test.public, `"kid":"1"`),
			"all there is":      jwk(test.public, `"kid":"1"`, `"use":"sig"`, `"alg":"`+alg+`"`, `"key_ops":["verify"]`, `"unknown":[1]`),
			"a strange x5c":     jwk(test.public, `"kid":"1"`, `"x5c":["canary"]`, `"x5t":1`, `"x5u":"http://canary"`),
			"key_ops with more": jwk(test.public, `"kid":"1"`, `"key_ops":["sign","verify"]`),
		} {
			v := newVerifier(t, setConfig(setFile(t, key)))
			wantAccepted(t, v, alg+", "+name, named(t, test.method, test.key, "1"))
			wantRefused(t, v, alg+", "+name+", another kid", named(t, test.method, test.key, "2"))
			wantRefused(t, v, alg+", "+name+", expired", forge(t, test.method, test.key, `{"alg":"`+alg+`","kid":"1"}`, payload(fromIssuer, `"exp":0`)))
			wantRefused(t, v, alg+", "+name+", another audience", forge(t, test.method, test.key, `{"alg":"`+alg+`","kid":"1"}`, payload(`"iss":"https://id.example.com"`, `"aud":"canary"`)))
		}
	}
}

// TestKeySetUnusableKeys checks that keys for another purpose, and keys whose secret is public, verify no token, and that the keys
// beside them do.
func TestKeySetUnusableKeys(t *testing.T) {
	t.Parallel()
	k := issuerKeys()
	rsaKey, p256 := k.rsa.Public(), k.p256.Public()
	x25519 := must(ecdh.X25519().GenerateKey(rand.Reader)).PublicKey()
	rs256 := named(t, jwt.SigningMethodRS256, k.rsa, "1")
	es256 := named(t, jwt.SigningMethodES256, k.p256, "1")
	hs256 := named(t, jwt.SigningMethodHS256, secret, "1")
	for _, test := range []struct{ name, key, token string }{
		{"use enc", jwk(rsaKey, `"kid":"1"`, `"use":"enc"`), rs256},
		{"use empty", jwk(rsaKey, `"kid":"1"`, `"use":""`), rs256},
		{"use null", jwk(rsaKey, `"kid":"1"`, `"use":null`), rs256},
		{"use a list", jwk(rsaKey, `"kid":"1"`, `"use":["sig"]`), rs256},
		{"alg RSA-OAEP", jwk(rsaKey, `"kid":"1"`, `"alg":"RSA-OAEP"`), rs256},
		{"alg PS384, token too", jwk(rsaKey, `"kid":"1"`, `"alg":"PS384"`), named(t, jwt.SigningMethodPS384, k.rsa, "1")},
		{"alg RS512, token too", jwk(rsaKey, `"kid":"1"`, `"alg":"RS512"`), named(t, jwt.SigningMethodRS512, k.rsa, "1")},
		{"alg of another type", jwk(p256, `"kid":"1"`, `"alg":"RS256"`), es256},
		{"alg HS256", jwk(p256, `"kid":"1"`, `"alg":"HS256"`), es256},
		{"alg null", jwk(p256, `"kid":"1"`, `"alg":null`), es256},
		{"key_ops without verify", jwk(p256, `"kid":"1"`, `"key_ops":["sign"]`), es256},
		{"key_ops empty", jwk(p256, `"kid":"1"`, `"key_ops":[]`), es256},
		{"kid a number", jwk(p256, `"kid":1`), es256},
		{"private RSA key", jwk(rsaKey, `"kid":"1"`, `"d":"AQ"`), rs256},
		{"private ECDSA key", jwk(p256, `"kid":"1"`, `"d":"`+base64.RawURLEncoding.EncodeToString(must(k.p256.Bytes()))+`"`), es256},
		{"private member null", jwk(p256, `"kid":"1"`, `"d":null`), es256},
		{"symmetric key", jwk(secret, `"kid":"1"`), hs256},
		{"symmetric key, alg HS256", jwk(secret, `"kid":"1"`, `"alg":"HS256"`, `"use":"sig"`), hs256},
		{"symmetric key, alg RS256", jwk(secret, `"kid":"1"`, `"alg":"RS256"`), forge(t, jwt.SigningMethodHS256, secret, `{"alg":"RS256","kid":"1"}`, payload(fromIssuer))},
		{"RSA of 1024 bits", jwk(k.smallRSA.Public(), `"kid":"1"`), named(t, jwt.SigningMethodRS256, k.smallRSA, "1")},
		{"P-384", jwk(k.p384.Public(), `"kid":"1"`), named(t, jwt.SigningMethodES384, k.p384, "1")},
		{"X25519", jwk(x25519, `"kid":"1"`), named(t, jwt.SigningMethodEdDSA, k.ed25519, "1")},
		{"kty lower case", strings.Replace(jwk(p256, `"kid":"1"`), `"EC"`, `"ec"`, 1), es256},
		{"kty missing", strings.Replace(jwk(p256, `"kid":"1"`), `"kty"`, `"Kty"`, 1), es256},
		{"kty unknown", strings.Replace(jwk(p256, `"kid":"1"`), `"EC"`, `"canary"`, 1), es256},
		{"crv unknown", strings.Replace(jwk(p256, `"kid":"1"`), `P-256`, `secp256k1`, 1), es256},
		{"not on its curve", strings.Replace(jwk(p256, `"kid":"1"`), `"x":"`, `"x":"AAAA`, 1), es256},
		{"x missing", strings.Replace(jwk(p256, `"kid":"1"`), `"x"`, `"X"`, 1), es256},
		{"null", `null`, es256},
		{"a list", `[]`, es256},
		{"a string", `"canary"`, es256},
		{"nothing", `{}`, es256},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			beside := jwk(k.ed25519.Public(), `"kid":"good"`)
			v := newVerifier(t, setConfig(setFile(t, test.key, beside)))
			wantRefused(t, v, test.name, test.token)
			wantAccepted(t, v, "the key beside it", named(t, jwt.SigningMethodEdDSA, k.ed25519, "good"))

			_, err := auth.NewVerifier(setConfig(setFile(t, test.key)))
			if err == nil || strings.Contains(err.Error(), "canary") {
				t.Errorf("alone: %v", err)
			}
		})
	}
}

// TestKeySetAlgorithmConfusion checks that no token is accepted that was signed with the public keys themselves.
func TestKeySetAlgorithmConfusion(t *testing.T) {
	t.Parallel()
	k := issuerKeys()
	set := []string{jwk(k.rsa.Public(), `"kid":"1"`), jwk(k.p256.Public(), `"kid":"2"`), jwk(k.ed25519.Public(), `"kid":"3"`)}
	file := setFile(t, set...)
	for _, c := range []auth.Config{setConfig(file), setConfigWith(file, auth.Config{Issuers: []auth.Issuer{{Secret: secret}}})} {
		v := newVerifier(t, c)
		for _, kid := range []string{"1", "2", "3"} {
			for _, alg := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
				for _, public := range [][]byte{
					pkix(k.rsa.Public()), bytes.TrimSpace(pkix(k.rsa.Public())), k.rsa.N.Bytes(), k.ed25519.Public().(ed25519.PublicKey),
					must(k.p256.PublicKey.Bytes()), []byte(set[0]), []byte(set[1]), []byte(jwkSet(set...)), {},
				} {
					wantRefused(t, v, alg+" by what is public", forge(t, jwt.SigningMethodHS256, public, `{"alg":"`+alg+`","kid":"`+kid+`"}`, payload(fromIssuer)))
				}
				wantRefused(t, v, alg+" zero", segment(`{"alg":"`+alg+`","kid":"`+kid+`"}`)+"."+segment(payload(fromIssuer))+"."+base64.RawURLEncoding.EncodeToString(make([]byte, 64)))
			}
			wantRefused(t, v, "none", segment(`{"alg":"none","kid":"`+kid+`"}`)+"."+segment(payload(fromIssuer))+".")
		}
		// Each key under another key's kid.
		wantRefused(t, v, "RS256", named(t, jwt.SigningMethodRS256, k.rsa, "2"))
		wantRefused(t, v, "ES256", named(t, jwt.SigningMethodES256, k.p256, "3"))
		wantRefused(t, v, "EdDSA", named(t, jwt.SigningMethodEdDSA, k.ed25519, "1"))
		wantRefused(t, v, "another RSA key", named(t, jwt.SigningMethodRS256, k.otherRSA, "1"))
		wantAccepted(t, v, "RS256", named(t, jwt.SigningMethodRS256, k.rsa, "1"))

		// The secret verifies HS256 tokens with any kid.
		token := named(t, jwt.SigningMethodHS256, secret, "1")
		if c.Issuers[0].Secret != nil {
			wantAccepted(t, v, "HS256", token)
		} else {
			wantRefused(t, v, "HS256", token)
		}
	}
}

func TestKeySetKid(t *testing.T) {
	t.Parallel()
	k := issuerKeys()
	es256 := func(header string) string {
		return forge(t, jwt.SigningMethodES256, k.p256, header, payload(fromIssuer))
	}
	without := es256(`{"alg":"ES256"}`)
	other := must(ecdsa.GenerateKey(k.p256.Curve, rand.Reader))

	one := newVerifier(t, setConfig(setFile(t, jwk(k.p256.Public(), `"kid":"1"`), jwk(k.rsa.Public(), `"kid":"2"`))))
	wantAccepted(t, one, "no kid, one key of the type", without)
	wantAccepted(t, one, "no kid, one key of the other type", forge(t, jwt.SigningMethodRS256, k.rsa, `{"alg":"RS256"}`, payload(fromIssuer)))
	wantRefused(t, one, "no kid, no key of the type", forge(t, jwt.SigningMethodEdDSA, k.ed25519, `{"alg":"EdDSA"}`, payload(fromIssuer)))
	wantRefused(t, one, "no kid, another key", forge(t, jwt.SigningMethodES256, other, `{"alg":"ES256"}`, payload(fromIssuer)))
	for _, kid := range []string{`null`, `1`, `true`, `["1"]`, `{}`, `""`, `" 1"`, `"01"`} {
		wantRefused(t, one, "kid "+kid, es256(`{"alg":"ES256","kid":`+kid+`}`))
	}
	wantRefused(t, one, "the kid under another name", forge(t, jwt.SigningMethodES256, other, `{"alg":"ES256","Kid":"1"}`, payload(fromIssuer)))

	unnamed := newVerifier(t, setConfig(setFile(t, jwk(k.p256.Public()))))
	wantAccepted(t, unnamed, "no kid on either side", without)
	wantRefused(t, unnamed, "a kid that no key has", es256(`{"alg":"ES256","kid":"1"}`))
	wantRefused(t, unnamed, "the empty kid", es256(`{"alg":"ES256","kid":""}`))

	two := newVerifier(t, setConfig(setFile(t, jwk(k.p256.Public(), `"kid":"1"`), jwk(other.Public(), `"kid":"2"`))))
	wantRefused(t, two, "no kid, two keys of the type", without)
	wantAccepted(t, two, "a kid, two keys of the type", es256(`{"alg":"ES256","kid":"1"}`))

	repeated := newVerifier(t, setConfig(setFile(t, jwk(k.p256.Public(), `"kid":"1"`), jwk(k.p256.Public(), `"kid":"2"`), jwk(k.p256.Public(), `"kid":"2"`))))
	wantAccepted(t, repeated, "no kid, one key under two", without)
	wantAccepted(t, repeated, "the same key twice", es256(`{"alg":"ES256","kid":"2"}`))

	shared := newVerifier(t, setConfig(setFile(t, jwk(k.p256.Public(), `"kid":"1"`), jwk(other.Public(), `"kid":"1"`), jwk(k.rsa.Public(), `"kid":"1"`))))
	wantRefused(t, shared, "two keys of the kid, the first", es256(`{"alg":"ES256","kid":"1"}`))
	wantRefused(t, shared, "two keys of the kid, the last", named(t, jwt.SigningMethodES256, other, "1"))
	wantRefused(t, shared, "two keys of the kid, none", without)
	wantAccepted(t, shared, "a key of another type with the kid", named(t, jwt.SigningMethodRS256, k.rsa, "1"))
}

func TestKeySetRotates(t *testing.T) {
	t.Parallel()
	k := issuerKeys()
	old, current := jwk(k.p256.Public(), `"kid":"old"`), jwk(k.rsa.Public(), `"kid":"new"`)
	oldToken, newToken := named(t, jwt.SigningMethodES256, k.p256, "old"), named(t, jwt.SigningMethodRS256, k.rsa, "new")
	i := newIssuer(t, old)
	synctest.Test(t, func(t *testing.T) {
		v := newVerifier(t, setConfig(i.url))
		wantAccepted(t, v, "old key", oldToken)
		wantRefused(t, v, "new key, not published", newToken)
		if n := i.asked(); n != 2 {
			t.Errorf("the issuer was asked %d times, want once at the start and once for the new key", n)
		}

		// The old key stays published for a while.
		i.publish(old, current)
		wantRefused(t, v, "new key within ten seconds", newToken)
		pass(10 * time.Second)
		wantAccepted(t, v, "new key", newToken)
		wantAccepted(t, v, "old key, still published", oldToken)
		if n := i.asked(); n != 1 {
			t.Errorf("the issuer was asked %d times for the new key, want once", n)
		}

		i.publish(current)
		wantAccepted(t, v, "old key, before the set was read again", oldToken)
		pass(auth.DefaultJWKSRefresh)
		wantAccepted(t, v, "old key, missing from one reading", oldToken)
		pass(auth.DefaultJWKSRefresh)
		wantRefused(t, v, "old key, missing from two readings", oldToken)
		wantAccepted(t, v, "new key", newToken)

		// The kid may be reused for another key.
		i.publish(jwk(k.otherRSA.Public(), `"kid":"new"`))
		pass(auth.DefaultJWKSRefresh)
		wantRefused(t, v, "replaced key", newToken)
		wantAccepted(t, v, "its replacement", named(t, jwt.SigningMethodRS256, k.otherRSA, "new"))
	})
}

func TestKeySetIsReadInTheBackground(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, jwk(issuerKeys().p256.Public(), `"kid":"1"`))
	synctest.Test(t, func(t *testing.T) {
		v := newVerifier(t, setConfigWith(i.url, only(auth.Issuer{JWKSRefresh: time.Hour})))
		pass(10*time.Hour + time.Minute)
		if n := i.asked(); n != 11 {
			t.Errorf("the issuer was asked %d times in ten hours, want once at the start and once an hour", n)
		}
		v.Close()
		pass(10 * time.Hour)
		if n := i.asked(); n != 0 {
			t.Errorf("the issuer was asked %d times after the end", n)
		}
		wantAccepted(t, v, "after the end", named(t, jwt.SigningMethodES256, issuerKeys().p256, "1"))
		wantRefused(t, v, "unknown kid after the end", named(t, jwt.SigningMethodES256, issuerKeys().p256, "2"))
		v.Close()
		if n := i.asked(); n != 0 {
			t.Errorf("the issuer was asked %d times after the end", n)
		}
	})
}

// TestUnknownKidsAreLimited checks that tokens with unknown kids cause one request in ten seconds to the issuer.
func TestUnknownKidsAreLimited(t *testing.T) {
	t.Parallel()
	k := issuerKeys()
	i := newIssuer(t, jwk(k.p256.Public(), `"kid":"1"`))
	good := named(t, jwt.SigningMethodES256, k.p256, "1")
	var made []string
	for n := range 200 {
		made = append(made, named(t, jwt.SigningMethodES256, k.p256, fmt.Sprintf("made-up-%d", n)))
	}
	synctest.Test(t, func(t *testing.T) {
		v := newVerifier(t, setConfigWith(i.url, only(auth.Issuer{JWKSRefresh: 24 * time.Hour})))
		synctest.Wait()
		if n := i.asked(); n != 1 {
			t.Fatalf("the issuer was asked %d times at the start", n)
		}
		storm := func() {
			var callers sync.WaitGroup
			for _, token := range made {
				callers.Go(func() { wantRefused(t, v, "made-up kid", token) })
				callers.Go(func() { wantAccepted(t, v, "known kid", good) })
			}
			callers.Wait()
		}
		for k := range 3 {
			storm()
			pass(3 * time.Second)
			storm()
			if n := i.asked(); n != 1 {
				t.Errorf("interval %d: the issuer was asked %d times", k, n)
			}
			pass(7 * time.Second)
		}
		// A token that no key could verify causes none.
		for _, header := range []string{`{"alg":"ES256"}`, `{"alg":"EdDSA"}`, `{"alg":"ES256","kid":""}`, `{"alg":"ES256","kid":2}`, `{"alg":"HS256","kid":"2"}`, `{"alg":"none","kid":"2"}`, `{"alg":"ES256","kid":"2","crit":["exp"]}`} {
			wantRefused(t, v, header, segment(header)+"."+segment(payload(fromIssuer))+".AAAA")
		}
		// Nor does a token of another issuer.
		wantRefused(t, v, "another issuer", segment(`{"alg":"ES256","kid":"2"}`)+"."+segment(payload(`"iss":"https://other.example.com","aud":"dragoman"`))+".AAAA")
		if n := i.asked(); n != 0 {
			t.Errorf("the issuer was asked %d times for tokens without a usable kid", n)
		}
	})
}

// TestKeySetServerErrors checks that only a valid set replaces the last one.
func TestKeySetServerErrors(t *testing.T) {
	t.Parallel()
	k := issuerKeys()
	good, evil := jwk(k.p256.Public(), `"kid":"1"`), jwk(k.rsa.Public(), `"kid":"evil"`)
	cachedToken, evilToken := named(t, jwt.SigningMethodES256, k.p256, "1"), named(t, jwt.SigningMethodRS256, k.rsa, "evil")
	elsewhere := newIssuer(t, evil)
	for _, test := range []struct {
		name   string
		status int
		body   string
		header []string
	}{
		{"500", 500, jwkSet(evil), nil},
		{"404", 404, jwkSet(evil), nil},
		{"204", 204, "", nil},
		{"206", 206, jwkSet(evil), nil},
		{"redirect", 302, jwkSet(evil), []string{"Location", elsewhere.url}},
		{"permanent redirect", 308, "", []string{"Location", elsewhere.url}},
		{"nothing", 200, "", nil},
		{"HTML", 200, "<html>canary</html>", []string{"Content-Type", "text/html"}},
		{"null", 200, "null", nil},
		{"a list of keys", 200, "[" + evil + "]", nil},
		{"a key", 200, evil, nil},
		{"no keys", 200, `{}`, nil},
		{"keys null", 200, `{"keys":null}`, nil},
		{"keys an object", 200, `{"keys":` + evil + `}`, nil},
		{"the empty set", 200, jwkSet(), nil},
		{"none of use", 200, jwkSet(jwk(secret, `"kid":"evil"`), jwk(k.rsa.Public(), `"kid":"evil"`, `"use":"enc"`)), nil},
		{"keys twice", 200, `{"keys":[` + evil + `],"keys":[` + evil + `]}`, nil},
		{"a member twice", 200, jwkSet(jwk(k.rsa.Public(), `"kid":"1"`, `"kid":"evil"`)), nil},
		{"two sets", 200, jwkSet(evil) + jwkSet(evil), nil},
		{"broken off", 200, strings.TrimSuffix(jwkSet(evil), "}"), nil},
		{"shorter than said", 200, jwkSet(evil), []string{"Content-Length", "100000"}},
		{"huge", 200, jwkSet(evil) + strings.Repeat(" ", 1<<20), nil},
		{"huge, compressed", 200, string(compress(t, jwkSet(evil)+strings.Repeat(" ", 16<<20))), []string{"Content-Encoding", "gzip"}},
		{"huge header", 200, jwkSet(evil), []string{"X-Canary", strings.Repeat("a", 1<<20)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			i := newIssuer(t, good)
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				v := newVerifier(t, setConfigWith(i.url, auth.Config{Log: slog.New(slog.NewTextHandler(&log, nil))}))
				wantAccepted(t, v, "good key", cachedToken)

				i.answer(test.status, test.body, test.header...)
				wantRefused(t, v, "evil key", evilToken)
				wantAccepted(t, v, "good key, after a kid that is not known", cachedToken)
				pass(auth.DefaultJWKSRefresh)
				wantRefused(t, v, "evil key", evilToken)
				wantAccepted(t, v, "good key, after the set was read again", cachedToken)
				if i.asked() < 3 {
					t.Error("the issuer was not asked again")
				}

				// The failures are counted.
				i.publish(good, jwk(k.otherRSA.Public(), `"kid":"2"`))
				pass(30 * time.Second)
				wantAccepted(t, v, "new key", named(t, jwt.SigningMethodRS256, k.otherRSA, "2"))
				v.Close()
				if strings.Count(log.String(), "level=WARN") < 2 || strings.Contains(log.String(), "canary") {
					t.Errorf("the log is\n%s", &log)
				}
			})
		})
	}
	if n := elsewhere.asked(); n != 0 {
		t.Errorf("a redirect was followed %d times", n)
	}
}

func TestKeySetServerDown(t *testing.T) {
	t.Parallel()
	k := issuerKeys()
	i := &issuer{}
	i.publish(jwk(k.p256.Public(), `"kid":"1"`))
	s := httptest.NewServer(i)
	token := named(t, jwt.SigningMethodES256, k.p256, "1")
	synctest.Test(t, func(t *testing.T) {
		v := newVerifier(t, setConfig(s.URL))
		wantAccepted(t, v, "server up", token)
		s.Close()
		pass(23 * time.Hour)
		wantAccepted(t, v, "server down", token)
		wantRefused(t, v, "server down, unknown kid", named(t, jwt.SigningMethodES256, k.p256, "2"))
		if err := v.Ready(); err != nil {
			t.Error(err)
		}
	})
}

func TestKeySetNeverRead(t *testing.T) {
	t.Parallel()
	k := issuerKeys()
	i := newIssuer(t)
	i.answer(http.StatusInternalServerError, "")
	token := named(t, jwt.SigningMethodES256, k.p256, "1")
	synctest.Test(t, func(t *testing.T) {
		v := newVerifier(t, setConfigWith(i.url, auth.Config{Issuers: []auth.Issuer{{Secret: secret}}}))
		pr, err := v.Verify([]string{"Bearer " + token})
		if !errors.Is(err, auth.ErrKeysUnavailable) || errors.Is(err, auth.ErrUnauthenticated) || errors.Is(err, auth.ErrForbidden) || pr.Subject != "" {
			t.Errorf("Verify = %q, %v", pr.Subject, err)
		}
		if err := v.Ready(); !errors.Is(err, auth.ErrKeysUnavailable) {
			t.Errorf("Ready = %v", err)
		}
		// Tokens that no key set would make valid are refused as such, and the secret works without the set.
		if _, err := v.Verify(nil); !errors.Is(err, auth.ErrTokenMissing) {
			t.Errorf("no token: %v", err)
		}
		wantRefused(t, v, "garbage", "canary")
		wantRefused(t, v, "unsigned", segment(`{"alg":"none","kid":"1"}`)+"."+segment(payload(fromIssuer))+".")
		wantAccepted(t, v, "HS256", signed(t, payload(fromIssuer)))

		// Without any key the intervals double from one second and stay short.
		i.asked()
		pass(time.Minute)
		if n := i.asked(); n != 16 {
			t.Errorf("the issuer was asked %d times in the first minute, want after 1, 3, 7, 11, 15 seconds and so on", n)
		}
		pass(time.Hour)
		if n := i.asked(); n != 900 {
			t.Errorf("the issuer was asked %d times in an hour, want every 4 seconds", n)
		}
		i.publish(jwk(k.p256.Public(), `"kid":"1"`))
		pass(4 * time.Second)
		wantAccepted(t, v, "the issuer is back", token)
		if err := v.Ready(); err != nil {
			t.Errorf("the issuer is back: %v", err)
		}
	})
}

func TestKeySetServerWithUntrustedCertificate(t *testing.T) {
	t.Parallel()
	k := issuerKeys()
	i := &issuer{}
	i.publish(jwk(k.p256.Public(), `"kid":"1"`))
	s := httptest.NewUnstartedServer(i)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	v := newVerifier(t, setConfig(s.URL))
	if err := verify(v, named(t, jwt.SigningMethodES256, k.p256, "1")); !errors.Is(err, auth.ErrKeysUnavailable) {
		t.Errorf("error %v", err)
	}
	if n := i.asked(); n != 0 {
		t.Errorf("the server was asked %d times", n)
	}
}

func TestKeySetFile(t *testing.T) {
	t.Parallel()
	k := issuerKeys()
	oldToken, newToken := named(t, jwt.SigningMethodES256, k.p256, "old"), named(t, jwt.SigningMethodRS256, k.rsa, "new")
	for name, place := range map[string]func(path string) string{
		"path":                func(path string) string { return path },
		"file:":               func(path string) string { return "file:" + path },
		"file://":             func(path string) string { return (&url.URL{Scheme: "file", Path: path}).String() },
		"file://localhost":    func(path string) string { return (&url.URL{Scheme: "file", Host: "localhost", Path: path}).String() },
		"FILE:// and escapes": func(path string) string { return "FILE://" + strings.ReplaceAll(path, "jwks", "%6Awks") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				path := setFile(t, jwk(k.p256.Public(), `"kid":"old"`))
				write := func(content string) {
					if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				v := newVerifier(t, setConfig(place(path)))
				wantAccepted(t, v, "old key", oldToken)

				write(jwkSet(jwk(k.rsa.Public(), `"kid":"new"`)))
				wantAccepted(t, v, "new key, by its kid", newToken)
				wantAccepted(t, v, "old key, missing from one reading", oldToken)
				pass(auth.DefaultJWKSRefresh)
				wantRefused(t, v, "old key, missing from two readings", oldToken)

				write("canary")
				pass(time.Hour)
				wantAccepted(t, v, "file of garbage", newToken)
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				pass(time.Hour)
				wantAccepted(t, v, "no file", newToken)

				write(jwkSet(jwk(k.p256.Public(), `"kid":"old"`)))
				pass(2 * auth.DefaultJWKSRefresh)
				wantRefused(t, v, "new key, gone again", newToken)
				wantAccepted(t, v, "old key, back again", oldToken)
			})
		})
	}
}

func TestKeySetFileInvalidAtStart(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"", "canary", jwkSet(), jwkSet(jwk(secret, `"kid":"1"`)), jwkSet(jwk(issuerKeys().p256.Public())) + strings.Repeat(" ", 1<<20)} {
		path := filepath.Join(t.TempDir(), "jwks.json")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		v, err := auth.NewVerifier(setConfig(path))
		if err == nil || v != nil || !strings.Contains(err.Error(), "the JWKS file cannot be used") || strings.Contains(err.Error(), "canary") {
			t.Errorf("%.20q: %v", content, err)
		}
	}
}

func TestKeySetOnLoopback(t *testing.T) {
	t.Parallel()
	k := issuerKeys()
	i := newIssuer(t, jwk(k.p256.Public(), `"kid":"1"`))
	u := must(url.Parse(i.url))
	for _, host := range []string{"127.0.0.1", "localhost", "LOCALHOST"} {
		v := newVerifier(t, setConfig("http://"+host+":"+u.Port()))
		wantAccepted(t, v, host, named(t, jwt.SigningMethodES256, k.p256, "1"))
	}
	for _, host := range []string{"127.1.2.3", "[::1]", "[::ffff:127.0.0.1]"} {
		newVerifier(t, setConfig("http://"+host+":1/"))
	}
}

// TestKeySetAlgorithms checks which algorithm a key verifies by its alg, and both names of EdDSA.
func TestKeySetAlgorithms(t *testing.T) {
	t.Parallel()
	k := issuerKeys()
	rsaKey, ed := k.rsa.Public(), k.ed25519.Public()
	token := func(alg string, key any, kid string) string {
		header := `{"alg":"` + alg + `"`
		if kid != "" {
			header += `,"kid":"` + kid + `"`
		}
		method := jwt.GetSigningMethod(alg)
		return forge(t, method, key, header+"}", payload(fromIssuer))
	}
	for name, test := range map[string]struct {
		keys              []string
		accepted, refused []string
	}{
		"RSA for PS256": {[]string{jwk(rsaKey, `"kid":"1"`, `"alg":"PS256"`)},
			[]string{token("PS256", k.rsa, "1"), token("PS256", k.rsa, "")}, []string{token("RS256", k.rsa, "1"), token("RS256", k.rsa, ""), token("PS384", k.rsa, "1")}},
		"RSA for RS256": {[]string{jwk(rsaKey, `"kid":"1"`, `"alg":"RS256"`)}, []string{token("RS256", k.rsa, "1")}, []string{token("PS256", k.rsa, "1"), token("PS256", k.rsa, "")}},
		"RSA":           {[]string{jwk(rsaKey, `"kid":"1"`)}, []string{token("RS256", k.rsa, "1")}, []string{token("PS256", k.rsa, "1"), token("PS256", k.rsa, "")}},
		"RSA for both, by kid": {[]string{jwk(rsaKey, `"kid":"1"`, `"alg":"PS256"`), jwk(rsaKey, `"kid":"2"`)},
			[]string{token("PS256", k.rsa, "1"), token("RS256", k.rsa, "2")}, []string{token("PS256", k.rsa, "2"), token("RS256", k.rsa, "1")}},
		"two RSA keys for PS256": {[]string{jwk(rsaKey, `"kid":"1"`, `"alg":"PS256"`), jwk(k.otherRSA.Public(), `"kid":"2"`, `"alg":"PS256"`)},
			[]string{token("PS256", k.otherRSA, "2")}, []string{token("PS256", k.rsa, "2"), token("PS256", k.rsa, "")}},
		"Ed25519":                {[]string{jwk(ed, `"kid":"1"`)}, []string{token("EdDSA", k.ed25519, "1"), token("Ed25519", k.ed25519, "1"), token("Ed25519", k.ed25519, "")}, []string{token("Ed25519", k.ed25519, "2")}},
		"Ed25519 called EdDSA":   {[]string{jwk(ed, `"kid":"1"`, `"alg":"EdDSA"`)}, []string{token("EdDSA", k.ed25519, "1"), token("Ed25519", k.ed25519, "1")}, nil},
		"Ed25519 called Ed25519": {[]string{jwk(ed, `"kid":"1"`, `"alg":"Ed25519"`)}, []string{token("EdDSA", k.ed25519, "1"), token("Ed25519", k.ed25519, "1")}, nil},
		"P-256 called Ed25519":   {[]string{jwk(k.p256.Public(), `"kid":"1"`, `"alg":"Ed25519"`), jwk(rsaKey, `"kid":"2"`)}, []string{token("RS256", k.rsa, "2")}, []string{token("ES256", k.p256, "1")}},
		"Ed25519 called PS256":   {[]string{jwk(ed, `"kid":"1"`, `"alg":"PS256"`), jwk(rsaKey, `"kid":"2"`)}, []string{token("RS256", k.rsa, "2")}, []string{token("EdDSA", k.ed25519, "1")}},
	} {
		v := newVerifier(t, setConfig(setFile(t, test.keys...)))
		for i, token := range test.accepted {
			wantAccepted(t, v, fmt.Sprintf("%s, token %d", name, i), token)
		}
		for i, token := range test.refused {
			wantRefused(t, v, fmt.Sprintf("%s, refused token %d", name, i), token)
		}
	}
	wantAccepted(t, newVerifier(t, keyConfig(pkix(ed))), "a file, Ed25519", token("Ed25519", k.ed25519, ""))
	wantRefused(t, newVerifier(t, keyConfig(pkix(rsaKey))), "a file, PS256", token("PS256", k.rsa, ""))
	wantRefused(t, newVerifier(t, auth.Config{Issuers: []auth.Issuer{{Secret: secret}}}), "no key, Ed25519", token("Ed25519", k.ed25519, ""))
}

func TestMaxTokenBytes(t *testing.T) {
	t.Parallel()
	token := signed(t, payload(`"x":"`+strings.Repeat("a", 20<<10)+`"`))
	for size, want := range map[int]bool{1 << 10: false, 48 << 10: true, len(token): true, len(token) - 1: false} {
		v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{{Secret: secret}}, MaxTokenBytes: size})
		if err := verify(v, token); (err == nil) != want {
			t.Errorf("at most %d bytes: %v", size, err)
		} else if err != nil && !strings.Contains(err.Error(), "--max-token-bytes") {
			t.Errorf("error %v names no setting", err)
		}
	}
	for _, size := range []int{-1, 1, 1<<10 - 1, 48<<10 + 1} {
		if problems := (auth.Config{Issuers: []auth.Issuer{{Secret: secret}}, MaxTokenBytes: size}).Problems(); len(problems) != 1 {
			t.Errorf("at most %d bytes: %v", size, problems)
		}
	}
}
