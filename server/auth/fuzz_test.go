package auth_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/dragoman-id/dragoman/server/auth"
)

// fuzzed is an issuer with the same keys in every process, since fuzzing uses several.
type fuzzed struct {
	verifier *auth.Verifier
	secret   []byte
	p256     *ecdsa.PrivateKey
	ed25519  ed25519.PrivateKey
}

func newFuzzed(f *testing.F) fuzzed {
	f.Helper()
	scalar := make([]byte, 32)
	scalar[31] = 7
	z := fuzzed{
		secret:  []byte("the secret of a server that is being fuzzed"),
		p256:    must(ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)),
		ed25519: ed25519.NewKeyFromSeed(scalar),
	}
	z.verifier = newVerifier(f, setConfigWith(setFile(f, jwk(z.p256.Public(), `"kid":"p256"`), jwk(z.ed25519.Public(), `"kid":"ed25519"`)), auth.Config{Issuers: []auth.Issuer{{Secret: z.secret}}}))
	return z
}

// signedBy reports, with the standard library alone, whether the issuer signed the first two parts of the token with the
// algorithm that the header names.
func (z fuzzed) signedBy(token string) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	header, headerErr := base64.RawURLEncoding.DecodeString(parts[0])
	signature, signatureErr := base64.RawURLEncoding.DecodeString(parts[2])
	var members map[string]any
	if errors.Join(headerErr, signatureErr, json.Unmarshal(header, &members)) != nil {
		return false
	}
	text := []byte(parts[0] + "." + parts[1])
	digest := sha256.Sum256(text)
	switch members["alg"] {
	case "HS256":
		code := hmac.New(sha256.New, z.secret)
		code.Write(text)
		return hmac.Equal(code.Sum(nil), signature)
	case "ES256":
		return len(signature) == 64 && ecdsa.Verify(&z.p256.PublicKey, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
	case "EdDSA", "Ed25519":
		return ed25519.Verify(z.ed25519.Public().(ed25519.PublicKey), text, signature)
	}
	return false
}

// check checks a result of Verify against what is true for every header.
func (z fuzzed) check(t *testing.T, authorization []string) {
	pr, err := z.verifier.Verify(authorization)
	if err != nil {
		wantUnauthenticated(t, pr, err, "")
		return
	}
	if len(authorization) != 1 {
		t.Fatalf("%d headers accepted", len(authorization))
	}
	scheme, token, _ := strings.Cut(authorization[0], " ")
	token = strings.TrimLeft(token, " ")
	if !strings.EqualFold(scheme, "Bearer") || len(token) > auth.DefaultMaxTokenBytes || !z.signedBy(token) {
		t.Fatalf("accepted, and not signed by the issuer: %q", authorization[0])
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Exp, Nbf, Iat float64
		Sub, Iss      string
		Aud           any
	}
	// A map, since encoding/json matches the names of a struct's fields ignoring case.
	var members map[string]json.RawMessage
	err = json.Unmarshal(payload, &members)
	for name, into := range map[string]any{
		"exp": &claims.Exp, "nbf": &claims.Nbf, "iat": &claims.Iat, "sub": &claims.Sub, "iss": &claims.Iss, "aud": &claims.Aud,
	} {
		if value, ok := members[name]; ok {
			err = errors.Join(err, json.Unmarshal(value, into))
		}
	}
	if err != nil {
		t.Fatalf("accepted, and no object of claims: %q", payload)
	}
	at := func(seconds float64) time.Duration {
		return time.Duration(seconds*float64(time.Second)) - time.Duration(now.UnixNano())
	}
	list, _ := claims.Aud.([]any)
	ours := claims.Aud == "dragoman"
	for _, aud := range list {
		ours = ours || aud == "dragoman"
	}
	const leeway = 31 * time.Second
	switch {
	case pr.Subject == "" || pr.Subject != claims.Sub || strings.ContainsRune(pr.Subject, 0):
		t.Errorf("accepted for %q: %q", pr.Subject, payload)
	case claims.Exp < 1e9 || claims.Exp > 253402300799 || claims.Exp < 9e9 && at(claims.Exp) < -leeway:
		t.Errorf("accepted, and expired: %q", payload)
	case claims.Nbf > 9e9 || at(claims.Nbf) > leeway || claims.Iat > 9e9 || at(claims.Iat) > leeway:
		t.Errorf("accepted, and not valid yet: %q", payload)
	case claims.Iss != "https://id.example.com" || !ours:
		t.Errorf("accepted, and for others: %q", payload)
	}
}

// seeds returns headers and payloads of tokens, valid and invalid.
func seeds() (headers, payloads []string) {
	headers = []string{
		`{"alg":"HS256"}`, `{"alg":"HS256","typ":"JWT"}`, `{"alg":"ES256","kid":"p256"}`, `{"alg":"ES256"}`, `{"alg":"EdDSA","kid":"ed25519"}`, `{"alg":"Ed25519","kid":"ed25519"}`,
		`{"alg":"EdDSA","kid":"p256"}`, `{"alg":"EdDSA","kid":1}`, `{"alg":"EdDSA","kid":null}`, `{"alg":"EdDSA","kid":""}`, `{"alg":"none"}`,
		`{"alg":"RS256","kid":"p256"}`, `{"alg":"HS256","crit":["exp"]}`, `{"alg":"HS256","alg":"ES256"}`, `{"alg":["HS256"]}`, `{}`, `null`, `[]`, ``,
	}
	payloads = []string{
		payload(fromIssuer), payload(fromIssuer, `"nbf":`+at(0), `"iat":`+at(0)), payload(fromIssuer, `"custom:id":"`+ada.String()+`"`),
		payload(fromIssuer, `"customer_id":3393`, `"permissions":["customer_user:write"]`, `"authorities":["ROLE_ADMIN"]`),
		payload(fromIssuer, `"customer_id":["3393","`+ada.String()+`",9223372036854775807]`), payload(fromIssuer, `"customer_id":null`),
		payload(fromIssuer, `"exp":0`), payload(fromIssuer, `"exp":1e400`), payload(fromIssuer, `"exp":253402300800`), payload(fromIssuer, `"nbf":4e9`),
		payload(fromIssuer, `"sub":"a\u0000"`), payload(fromIssuer, `"x":1`, `"x":2`), payload(fromIssuer) + "{}",
		payload(`"iss":"https://id.example.com"`, `"aud":["other","dragoman"]`), payload(`"iss":"other","aud":"dragoman"`), payload(), `{}`, `null`, `[`, ``,
	}
	return headers, payloads
}

func (z fuzzed) sign(t testing.TB, kind byte, header, payload string) string {
	t.Helper()
	switch kind % 3 {
	case 0:
		return forge(t, jwt.SigningMethodHS256, z.secret, header, payload)
	case 1:
		return forge(t, jwt.SigningMethodES256, z.p256, header, payload)
	default:
		return forge(t, jwt.SigningMethodEdDSA, z.ed25519, header, payload)
	}
}

// FuzzVerify checks that no Authorization header makes Verify panic, and that it accepts only tokens that the issuer signed, for
// this server and this time.
func FuzzVerify(f *testing.F) {
	z := newFuzzed(f)
	headers, payloads := seeds()
	for i, header := range headers {
		for j, payload := range payloads {
			token := z.sign(f, byte(i+j), header, payload)
			f.Add("Bearer "+token, "")
		}
	}
	good := z.sign(f, 0, headers[0], payloads[0])
	for _, authorization := range []string{"", "Bearer", "Bearer ", "bearer   " + good, "Basic " + good, good, "Bearer " + good + "=", "Bearer " + good + "\n", "Bearer " + good + ".a", "Bearer " + good[:len(good)-1], "Bearer ..", "Bearer " + strings.Repeat(".", 9000)} {
		f.Add(authorization, "")
		f.Add(authorization, authorization)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		z.check(t, []string{first})
		if second != "" {
			z.check(t, []string{first, second})
		}
	})
}

// FuzzVerifySigned checks the same for headers and claims that the issuer signed.
func FuzzVerifySigned(f *testing.F) {
	z := newFuzzed(f)
	headers, payloads := seeds()
	for i, header := range headers {
		f.Add(byte(i), header, payloads[i%4])
	}
	for i, payload := range payloads {
		f.Add(byte(0), headers[i%2], payload)
		f.Add(byte(1), headers[2+i%2], payload)
		f.Add(byte(2), headers[4+i%2], payload)
	}
	f.Fuzz(func(t *testing.T, kind byte, header, payload string) {
		z.check(t, []string{"Bearer " + z.sign(t, kind, header, payload)})
	})
}
