//go:build linux

package faulttest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// TestKeySetIsDown checks that requests are 503 without keys, and are served with cached keys, whether the key set's URL is configured or
// discovered.
func TestKeySetIsDown(t *testing.T) {
	t.Parallel()
	for _, discovered := range []bool{false, true} {
		t.Run(fmt.Sprintf("discovered %t", discovered), func(t *testing.T) {
			t.Parallel()
			testKeySetIsDown(t, discovered)
		})
	}
}

func testKeySetIsDown(t *testing.T, discovered bool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	var up atomic.Bool
	issuer := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !up.Load() {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "/openid-configuration") {
			fmt.Fprintf(w, `{"issuer":"https://%s","jwks_uri":"https://%s/keys"}`, r.Host, r.Host)
			return
		}
		_, _ = w.Write(keys)
	}))
	t.Cleanup(issuer.Close)
	certificate := filepath.Join(folder(t), "issuer.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issuer.Certificate().Raw})
	if err := os.WriteFile(certificate, text, 0o600); err != nil {
		t.Fatal(err)
	}
	name, place := "issuer", "DRAGOMAN_JWKS_URL="+issuer.URL
	if discovered {
		name, place = issuer.URL, "DRAGOMAN_JWKS_MAX_AGE=24h" // the default
	}
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"sub": "somebody", "iss": name, "aud": "dragoman", "exp": time.Now().Add(time.Hour).Unix(),
		"customer_id": []int{3393}, "authorities": []string{"ROLE_ADMIN"},
	})
	token.Header["kid"] = "k"
	signed, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}

	_, url := sqliteFile(t)
	env := append(withoutSecret(environment(url)), "SSL_CERT_FILE="+certificate, place, "DRAGOMAN_ISSUER="+name, "DRAGOMAN_AUDIENCE=dragoman")
	p := servingAs(t, dragoman(t), env, "--request-timeout=5s")
	p.token = signed
	p.expectUnavailable(t, answered, append(reads, writes...)...)
	p.expectHealth(t, http.StatusServiceUnavailable)
	p.expectLog(t, "ERROR", "token keys could not be read")
	p.expectMetric(t, `dragoman_key_set_reads_total{issuer="`+name+`",outcome="failed"}`, 1)

	up.Store(true)
	recovers(t, p)
	up.Store(false)
	issuer.CloseClientConnections()
	p.expect(t, http.StatusOK, reads[0])
	p.expectHealth(t, http.StatusOK)

	// A token with an unknown key waits for the key set, for a limited time.
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	token.Header["kid"] = "new"
	if p.token, err = token.SignedString(key); err != nil {
		t.Fatal(err)
	}
	a, err := p.send(ctx, reads[0])
	if err != nil || a.status != http.StatusUnauthorized {
		t.Error(errors.Join(err, errors.New(a.String())))
	}
}
