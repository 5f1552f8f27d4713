package auth

import (
	"testing"
)

// FuzzKeySet checks that parseKeySet never panics, and that it returns only keys that may verify tokens, each for the algorithm
// of its type.
func FuzzKeySet(f *testing.F) {
	const p256 = `{"kty":"EC","crv":"P-256","x":"axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY","y":"T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU","kid":"1"`
	for _, text := range []string{
		"", "null", "{}", "[]", `{"keys":null}`, `{"keys":[]}`, `{"keys":[null,1,"",[],{}]}`, `{"keys":[` + p256 + `}]}`, `{"keys":[` + p256 + `}`,
		`{"keys":[` + p256 + `,"use":"sig","alg":"ES256","key_ops":["verify"],"x5c":["AA"]}]}`, `{"keys":[` + p256 + `},` + p256 + `}]}`,
		`{"keys":[` + p256 + `,"d":"AQ"}]}`, `{"keys":[` + p256 + `,"use":"enc"}]}`, `{"keys":[` + p256 + `,"kid":"2"}]}`, string(edSet("1")), string(edSet("")),
		`{"keys":[{"kty":"oct","k":"AQ"}]}`, `{"keys":[{"kty":"RSA","n":"AQ","e":"AQAB"}]}`, `{"keys":[{"kty":"RSA","n":"","e":"AAAAAAAAAAAAAAAA"}]}`,
		`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`, `{"keys":[{"kty":"OKP","crv":"X25519","x":"AA"}]}`, `{"keys":[{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"}]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		s, err := parseKeySet(content)
		if err != nil {
			return
		}
		if s.usable == 0 || len(s.unused) > maxUnusedKeys {
			t.Errorf("%d keys, %d unused", s.usable, len(s.unused))
		}
		check := func(algorithm string, key any) {
			if method, err := methodOf(key); err != nil || method.Alg() != algorithm && (method.Alg() != "RS256" || algorithm != "PS256") {
				t.Errorf("a %T verifies %s: %v", key, algorithm, err)
			}
		}
		for name, key := range s.keys {
			if name.kid == "" {
				t.Error("a key has the empty kid")
			}
			check(name.algorithm, key)
		}
		for _, key := range s.all {
			check(key.algorithm, key.public)
		}
	})
}
