package auth_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/dragoman-id/dragoman/server/auth"
)

// state returns the state of the verifier's key set.
func state(t *testing.T, v *auth.Verifier) auth.KeySetState {
	t.Helper()
	states := v.KeySets()
	if len(states) != 1 {
		t.Fatalf("there are %d key sets", len(states))
	}
	return states[0]
}

func TestKeyIsWithdrawnAfterTwoRefreshes(t *testing.T) {
	t.Parallel()
	k := issuerKeys()
	old, other := jwk(k.p256.Public(), `"kid":"old"`), jwk(k.rsa.Public(), `"kid":"other"`)
	oldToken, otherToken := named(t, jwt.SigningMethodES256, k.p256, "old"), named(t, jwt.SigningMethodRS256, k.rsa, "other")
	i := newIssuer(t, old, other)
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		v := newVerifier(t, setConfigWith(i.url, auth.Config{Log: slog.New(slog.NewTextHandler(&log, nil))}))
		wantAccepted(t, v, "old key", oldToken)

		// A set that lacks the key once, as when servers of the issuer disagree.
		i.publish(other)
		pass(auth.DefaultJWKSRefresh)
		wantAccepted(t, v, "missing once", oldToken)
		i.publish(old, other)
		pass(auth.DefaultJWKSRefresh)
		i.publish(other)
		pass(auth.DefaultJWKSRefresh)
		wantAccepted(t, v, "missing once again", oldToken)

		// Failed readings do not count, and reading an empty set is a failure.
		i.publish()
		pass(auth.DefaultJWKSRefresh)
		i.answer(http.StatusInternalServerError, "")
		pass(10 * time.Minute)
		wantAccepted(t, v, "after failed readings", oldToken)
		if s := state(t, v); s.Keys != 2 || s.Withdrawn != 0 || s.Failures == 0 {
			t.Errorf("state %+v", s)
		}

		i.publish(other)
		pass(auth.DefaultJWKSRefresh)
		wantRefused(t, v, "missing twice, and cached", oldToken)
		wantAccepted(t, v, "the other key", otherToken)
		if s := state(t, v); s.Keys != 1 || s.Withdrawn != 1 || s.Expired != 0 {
			t.Errorf("state %+v", s)
		}
		v.Close()
		if !strings.Contains(log.String(), "token keys withdrawn") || !strings.Contains(log.String(), "ES256 old") {
			t.Errorf("the log is\n%s", &log)
		}
	})
}

func TestKeysExpireWithoutASuccessfulReading(t *testing.T) {
	t.Parallel()
	k := issuerKeys()
	i := newIssuer(t, jwk(k.p256.Public(), `"kid":"1"`))
	token := named(t, jwt.SigningMethodES256, k.p256, "1")
	for _, maxAge := range []time.Duration{0, 2 * time.Hour} {
		for _, broken := range []func(){
			func() { i.answer(http.StatusInternalServerError, "") },
			func() { i.publish() }, // the empty set
			func() { i.publish(jwk(secret, `"kid":"1"`)) },
		} {
			i.publish(jwk(k.p256.Public(), `"kid":"1"`))
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				v := newVerifier(t, setConfigWith(i.url, auth.Config{Issuers: []auth.Issuer{{JWKSMaxAge: maxAge}}, Log: slog.New(slog.NewTextHandler(&log, nil))}))
				wantAccepted(t, v, "good", token)
				broken()
				age := maxAge
				if age == 0 {
					age = auth.DefaultJWKSMaxAge
				}
				pass(age - time.Minute)
				wantAccepted(t, v, "before the maximum age", token)
				pass(2 * time.Minute)
				if _, err := v.Verify([]string{"Bearer " + token}); !errors.Is(err, auth.ErrKeysUnavailable) {
					t.Errorf("max age %s: %v, want %v", age, err, auth.ErrKeysUnavailable)
				}
				if err := v.Ready(); !errors.Is(err, auth.ErrKeysUnavailable) {
					t.Errorf("max age %s: Ready() = %v", age, err)
				}
				if s := state(t, v); s.Keys != 0 || s.Expired != 1 || s.Withdrawn != 0 {
					t.Errorf("state %+v", s)
				}

				i.publish(jwk(k.p256.Public(), `"kid":"1"`))
				pass(4 * time.Second) // without keys the interval is short
				wantAccepted(t, v, "the issuer is back", token)
				if err := v.Ready(); err != nil {
					t.Error(err)
				}
				v.Close()
				if !strings.Contains(log.String(), "token keys dropped") || !strings.Contains(log.String(), "no_key_left=true") {
					t.Errorf("the log is\n%s", &log)
				}
			})
		}
	}
}

func TestRefreshKeepsCachedTokens(t *testing.T) {
	t.Parallel()
	k := issuerKeys()
	one, two := jwk(k.p256.Public(), `"kid":"1"`), jwk(k.rsa.Public(), `"kid":"2"`)
	i := newIssuer(t, one, two)
	token := named(t, jwt.SigningMethodES256, k.p256, "1")
	synctest.Test(t, func(t *testing.T) {
		v := newVerifier(t, setConfig(i.url))
		wantAccepted(t, v, "first", token)
		for n, keys := range [][]string{{one, two}, {two, one}, {one}, {one}, {one, jwk(k.otherRSA.Public(), `"kid":"3"`)}} {
			i.publish(keys...)
			pass(auth.DefaultJWKSRefresh)
			before := v.TokenCache()
			wantAccepted(t, v, fmt.Sprint("refresh ", n), token)
			if after := v.TokenCache(); after.Misses != before.Misses || after.Hits <= before.Hits {
				t.Errorf("refresh %d: the token was verified again: %+v, then %+v", n, before, after)
			}
		}
		// The kid names another key, or several.
		i.publish(jwk(k.p256.Public(), `"kid":"9"`), two, jwk(k.otherRSA.Public(), `"kid":"1"`))
		pass(auth.DefaultJWKSRefresh)
		wantAccepted(t, v, "a kid of another algorithm's key", token)
		another, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		other := jwk(another.Public(), `"kid":"1"`)
		i.publish(one, other)
		pass(auth.DefaultJWKSRefresh)
		wantRefused(t, v, "a kid of two keys", token)
		i.publish(other)
		pass(auth.DefaultJWKSRefresh)
		wantRefused(t, v, "a kid of another key", token)
	})
}

func TestMaxAgeBelowRefreshIsRefused(t *testing.T) {
	t.Parallel()
	c := setConfigWith("https://keys.example.com/", only(auth.Issuer{JWKSRefresh: time.Hour, JWKSMaxAge: time.Minute}))
	problems := c.Problems()
	if len(problems) != 1 || !strings.Contains(problems[0].Error(), "--jwks-max-age") {
		t.Errorf("%v", problems)
	}
	c.Issuers[0].JWKSMaxAge = 0
	if problems := c.Problems(); len(problems) != 0 {
		t.Errorf("%v", problems)
	}
}
