package auth_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/dragoman-id/dragoman/server/auth"
)

// issuerKeys are private keys of each kind that an issuer may have.
var issuerKeys = sync.OnceValue(func() (k struct {
	rsa, otherRSA, smallRSA *rsa.PrivateKey
	p256, p384              *ecdsa.PrivateKey
	ed25519                 ed25519.PrivateKey
}) {
	k.rsa = must(rsa.GenerateKey(rand.Reader, 2048))
	k.otherRSA = must(rsa.GenerateKey(rand.Reader, 2048))
	k.smallRSA = must(rsa.GenerateKey(rand.Reader, 1024))
	k.p256 = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	k.p384 = must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	_, k.ed25519, _ = ed25519.GenerateKey(rand.Reader)
	return k
})

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func pkix(public any) []byte { return block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(public))) }

// certificate returns an expired certificate of the key. Only its key is used.
func certificate(key crypto.Signer) []byte {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(1, 0)}
	return block("CERTIFICATE", must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)))
}

const fromIssuer = `"iss":"https://id.example.com","aud":"dragoman"`

func keyConfig(file []byte) auth.Config {
	return only(auth.Issuer{PublicKeyPEM: file, Rules: rulesFor("https://id.example.com", "dragoman")})
}

func TestPublicKeyFiles(t *testing.T) {
	k := issuerKeys()
	for _, test := range []struct {
		name   string
		file   []byte
		method jwt.SigningMethod
		key    any
	}{
		{"RSA, PKIX", pkix(k.rsa.Public()), jwt.SigningMethodRS256, k.rsa},
		{"RSA, PKCS #1", block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&k.rsa.PublicKey)), jwt.SigningMethodRS256, k.rsa},
		{"RSA, certificate", certificate(k.rsa), jwt.SigningMethodRS256, k.rsa},
		{"ECDSA, PKIX", pkix(k.p256.Public()), jwt.SigningMethodES256, k.p256},
		{"ECDSA, certificate", certificate(k.p256), jwt.SigningMethodES256, k.p256},
		{"Ed25519, PKIX", pkix(k.ed25519.Public()), jwt.SigningMethodEdDSA, k.ed25519},
		{"Ed25519, certificate", certificate(k.ed25519), jwt.SigningMethodEdDSA, k.ed25519},
		{"text around it", concat([]byte("Issuer's key\n"), pkix(k.p256.Public()), []byte("\nend\n")), jwt.SigningMethodES256, k.p256},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newVerifier(t, keyConfig(test.file))
			good := forge(t, test.method, test.key, `{"alg":"`+test.method.Alg()+`"}`, payload(fromIssuer))
			if pr, err := v.Verify([]string{"Bearer " + good}); err != nil || pr.Subject != "ada" {
				t.Fatalf("Verify = %q, %v", pr.Subject, err)
			}

			foreign := forge(t, test.method, test.key, `{"alg":"`+test.method.Alg()+`"}`, payload(`"iss":"https://id.example.com","aud":"canary"`))
			expired := forge(t, test.method, test.key, `{"alg":"`+test.method.Alg()+`"}`, payload(fromIssuer, `"exp":0`))
			parts := strings.Split(good, ".")
			other := parts[0] + "." + segment(payload(fromIssuer, `"customer_id":3393`)) + "." + parts[2]
			for _, token := range []string{foreign, expired, other, parts[0] + "." + parts[1] + "."} {
				pr, err := v.Verify([]string{"Bearer " + token})
				wantUnauthenticated(t, pr, err, token)
			}
		})
	}
}

// TestAlgorithmConfusion checks that a key verifies its own algorithm and no other that a token's header names.
func TestAlgorithmConfusion(t *testing.T) {
	k := issuerKeys()
	files := map[string][]byte{
		"RS256": pkix(k.rsa.Public()),
		"ES256": pkix(k.p256.Public()),
		"EdDSA": pkix(k.ed25519.Public()),
	}
	claims := payload(fromIssuer)
	forged := func(method jwt.SigningMethod, key any, alg string) string {
		return forge(t, method, key, `{"alg":"`+alg+`"}`, claims)
	}
	tokens := map[string]string{
		"RS256":                 forged(jwt.SigningMethodRS256, k.rsa, "RS256"),
		"ES256":                 forged(jwt.SigningMethodES256, k.p256, "ES256"),
		"EdDSA":                 forged(jwt.SigningMethodEdDSA, k.ed25519, "EdDSA"),
		"HS256":                 forged(jwt.SigningMethodHS256, secret, "HS256"),
		"RS256 by another key":  forged(jwt.SigningMethodRS256, k.otherRSA, "RS256"),
		"RS384":                 forged(jwt.SigningMethodRS384, k.rsa, "RS384"),
		"RS512":                 forged(jwt.SigningMethodRS512, k.rsa, "RS512"),
		"PS256":                 forged(jwt.SigningMethodPS256, k.rsa, "PS256"),
		"PS256 said to be RS":   forged(jwt.SigningMethodPS256, k.rsa, "RS256"),
		"RS384 said to be 256":  forged(jwt.SigningMethodRS384, k.rsa, "RS256"),
		"ES384":                 forged(jwt.SigningMethodES384, k.p384, "ES384"),
		"ES384 said to be 256":  forged(jwt.SigningMethodES384, k.p384, "ES256"),
		"RS256 said to be ES":   forged(jwt.SigningMethodRS256, k.rsa, "ES256"),
		"RS256 said to be none": forged(jwt.SigningMethodRS256, k.rsa, "none"),
		"Ed25519":               forged(jwt.SigningMethodEdDSA, k.ed25519, "Ed25519"),
		"none":                  segment(`{"alg":"none"}`) + "." + segment(claims) + ".",
		"None":                  segment(`{"alg":"None"}`) + "." + segment(claims) + ".",
		"zero ES256":            segment(`{"alg":"ES256"}`) + "." + segment(claims) + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64)),
	}
	// HMAC keys that anyone with the public key can make.
	for name, file := range files {
		block, _ := pem.Decode(file)
		tokens["HS256 with the PEM of "+name] = forged(jwt.SigningMethodHS256, file, "HS256")
		tokens["HS256 with the trimmed PEM of "+name] = forged(jwt.SigningMethodHS256, bytes.TrimSpace(file), "HS256")
		tokens["HS256 with the DER of "+name] = forged(jwt.SigningMethodHS256, block.Bytes, "HS256")
		tokens["HS256 with the PEM of "+name+" said to be it"] = forged(jwt.SigningMethodHS256, file, name)
	}
	tokens["HS256 with nothing"] = forged(jwt.SigningMethodHS256, []byte{}, "HS256")

	for name, file := range files {
		alone := newVerifier(t, keyConfig(file))
		with := keyConfig(file)
		with.Issuers[0].Secret = secret
		both := newVerifier(t, with)
		for kind, token := range tokens {
			if kind == "Ed25519" && name == "EdDSA" {
				kind = name // by its other name
			}
			for _, test := range []struct {
				verifier *auth.Verifier
				ok       bool
			}{
				{alone, kind == name},
				{both, kind == name || kind == "HS256"},
			} {
				pr, err := test.verifier.Verify([]string{"Bearer " + token})
				if test.ok && err != nil {
					t.Errorf("%s key, token %s: %v", name, kind, err)
				}
				if !test.ok {
					if err == nil {
						t.Errorf("%s key, token %s: accepted", name, kind)
						continue
					}
					wantUnauthenticated(t, pr, err, token)
				}
			}
		}
	}
}

func TestInvalidConfigurations(t *testing.T) {
	k := issuerKeys()
	good := pkix(k.p256.Public())
	x25519 := must(ecdh.X25519().GenerateKey(rand.Reader))
	for _, test := range []struct {
		name   string
		config auth.Config
		want   string
	}{
		{"nothing", auth.Config{}, "neither a secret nor a public key"},
		{"nothing but names", only(auth.Issuer{Rules: rulesFor("a", "b")}), "neither a secret nor a public key"},
		{"empty secret", auth.Config{Issuers: []auth.Issuer{{Secret: []byte{}}}}, "neither a secret nor a public key"},
		{"short secret", auth.Config{Issuers: []auth.Issuer{{Secret: []byte("canary-canary-canary-canary-cana")[:31]}}}, "has 31 bytes and needs at least 32"},
		{"short secret beside a key", only(auth.Issuer{Secret: []byte("canary"), PublicKeyPEM: good, Rules: rulesFor("a", "b")}), "has 6 bytes"},
		{"PEM as secret", auth.Config{Issuers: []auth.Issuer{{Secret: good}}}, "the secret is a PEM file"},
		{"key set and public key", only(auth.Issuer{JWKSURL: "https://id.example.com/jwks.json", PublicKeyPEM: good, Rules: rulesFor("a", "b")}), "both a public key and a JWKS URL"},
		{"key set without issuer", only(auth.Issuer{JWKSURL: "https://id.example.com/jwks.json", Rules: rulesFor("", "b")}), "a JWKS URL needs an issuer and an audience"},
		{"key set without audience", only(auth.Issuer{JWKSURL: "https://id.example.com/jwks.json", Rules: rulesFor("a", "")}), "a JWKS URL needs an issuer and an audience"},
		{"key set without issuer beside a secret", only(auth.Issuer{JWKSURL: "https://id.example.com/jwks.json", Secret: secret}), "a JWKS URL needs an issuer and an audience"},
		{"key set and short secret", setConfigWith("https://id.example.com/jwks.json", auth.Config{Issuers: []auth.Issuer{{Secret: []byte("canary")}}}), "has 6 bytes"},
		{"key set read all the time", setConfigWith("https://id.example.com/jwks.json", only(auth.Issuer{JWKSRefresh: time.Second - 1})), "the minimum is 1s"},
		{"key set read in the past", setConfigWith("https://id.example.com/jwks.json", only(auth.Issuer{JWKSRefresh: -time.Hour})), "the minimum is 1s"},
		{"key set over http", setConfig("http://id.example.com/canary"), "must be https"},
		{"key set over http, like loopback", setConfig("http://localhost.example.com/"), "must be https"},
		{"key set over http, any address", setConfig("http://0.0.0.0/"), "must be https"},
		{"key set over http, any IPv6 address", setConfig("http://[::]/"), "must be https"},
		{"key set over http, loopback as user", setConfig("http://127.0.0.1@id.example.com/"), "user name or a password"},
		{"key set without host", setConfig("https:///jwks.json"), "no host"},
		{"key set with password", setConfig("https://ada:canary@id.example.com/"), "user name or a password"},
		{"key set of another scheme", setConfig("ftp://id.example.com/canary"), "must begin with https://"},
		{"key set, broken URL", setConfig("https://id.example.com:canary/"), "neither a URL nor a path"},
		{"key set, file of another machine", setConfig("file://canary/jwks.json"), "names no local file"},
		{"key set, no file", setConfig("file:"), "names no local file"},
		{"key set, file not there", setConfig("testdata/none.json"), "the JWKS file cannot be used"},
		{"key set, file a directory", setConfig("."), "the JWKS file cannot be used"},
		{"no issuer", only(auth.Issuer{PublicKeyPEM: good, Rules: rulesFor("", "b")}), "needs an issuer and an audience"},
		{"no audience", only(auth.Issuer{PublicKeyPEM: good, Rules: rulesFor("a", "")}), "needs an issuer and an audience"},
		{"no issuer beside a secret", only(auth.Issuer{Secret: secret, PublicKeyPEM: good}), "needs an issuer and an audience"},
		{"empty file", keyConfig([]byte{}), "no PEM block"},
		{"empty file beside a secret", only(auth.Issuer{Secret: secret, PublicKeyPEM: []byte{}}), "no PEM block"},
		{"no PEM", keyConfig([]byte("canary")), "no PEM block"},
		{"DER", keyConfig(must(x509.MarshalPKIXPublicKey(k.p256.Public()))), "no PEM block"},
		{"two keys", keyConfig(concat(good, pkix(k.rsa.Public()))), "more than one PEM block"},
		{"private key, PKCS #8", keyConfig(block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(k.p256)))), "private key"},
		{"private key, PKCS #1", keyConfig(block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k.rsa))), "private key"},
		{"private key, SEC 1", keyConfig(block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(k.p256)))), "private key"},
		{"another block", keyConfig(block("CANARY", []byte("canary"))), "must have a PUBLIC KEY"},
		{"broken key", keyConfig(block("PUBLIC KEY", []byte("canary"))), "reading the public key file"},
		{"broken PKCS #1 key", keyConfig(block("RSA PUBLIC KEY", []byte("canary"))), "reading the public key file"},
		{"broken certificate", keyConfig(block("CERTIFICATE", []byte("canary"))), "reading the public key file"},
		{"RSA of 1024 bits", keyConfig(pkix(k.smallRSA.Public())), "has 1024 bits and needs at least 2048"},
		{"P-384", keyConfig(pkix(k.p384.Public())), "on the curve P-384 and must be on P-256"},
		{"X25519", keyConfig(pkix(x25519.Public())), "must be an RSA, an ECDSA P-256 or an Ed25519 key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			v, err := auth.NewVerifier(test.config)
			if err == nil || v != nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q, want %q", err, test.want)
			}
			if strings.Contains(strings.ToLower(err.Error()), "canary") || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q quotes a key or is no sentence", err)
			}
		})
	}
}

// TestSecretIsCopied checks that a caller may overwrite the secret that it passed.
func TestSecretIsCopied(t *testing.T) {
	mine := bytes.Clone(secret)
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{{Secret: mine}}})
	clear(mine)
	if _, err := v.Verify([]string{"Bearer " + signed(t, payload())}); err != nil {
		t.Error(err)
	}
}

func concat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
