package auth

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"
)

// keyMethods are the algorithms of the keys of a set. HS256 is not among them.
var keyMethods = []jwt.SigningMethod{jwt.SigningMethodRS256, jwt.SigningMethodPS256, jwt.SigningMethodES256, jwt.SigningMethodEdDSA}

// keySet contains the keys of a JSON Web Key Set (RFC 7517) that can verify tokens.
type keySet struct {
	all     []publicKey      // each key once per name; the kid is removed if different keys share it
	shared  map[keyName]bool // the names that different keys share, and which therefore select none of them
	keys    map[keyName]any  // the keys by their unambiguous names
	usable  int              // the number of different keys that can verify tokens
	unused  []string         // sentences for the log, each about a key that is not used
	content []byte           // the text from which the set was parsed
}

// keyName is the name by which a token's header selects a key. The same kid may name different keys for different algorithms (RFC
// 7517, section 4.5).
type keyName struct{ algorithm, kid string }

// publicKey is a key that verifies tokens of one algorithm.
type publicKey struct {
	keyName
	public      any
	fingerprint string // equal for equal keys only
}

// maxUnusedKeys is the maximum number of a set's unused keys that are logged.
const maxUnusedKeys = 8

// parseKeySet parses a JWK Set. It skips keys that cannot verify tokens, as RFC 7517, section 5, requires, and returns an error if
// no other key is left.
func parseKeySet(content []byte) (*keySet, error) {
	var members struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := json.Unmarshal(content, &members); err != nil {
		// err may quote the content.
		return nil, errors.New("the key set is not a JSON object with an array of keys")
	}
	s := &keySet{shared: map[keyName]bool{}, keys: map[keyName]any{}, content: content}
	known := map[string]map[string]bool{} // by algorithm and fingerprint
	named := map[keyName]string{}
	for i, text := range members.Keys {
		name, key, err := parseKey(text)
		if err != nil {
			s.skip(fmt.Sprintf("key %d of the set: %s", i+1, err))
			continue
		}
		print, err := fingerprint(key)
		if err != nil {
			s.skip(fmt.Sprintf("key %d of the set: %s", i+1, err))
			continue
		}
		if known[name.algorithm] == nil {
			known[name.algorithm] = map[string]bool{}
		}
		known[name.algorithm][print] = true
		other, taken := named[name]
		if name.kid == "" || !taken || other != print {
			s.all = append(s.all, publicKey{name, key, print})
		}
		if name.kid == "" {
			continue
		}
		if taken && other != print {
			s.shared[name] = true
		}
		named[name], s.keys[name] = print, key
	}
	for name := range s.shared {
		delete(s.keys, name)
		s.skip(fmt.Sprintf("several keys for %s have the same kid, so that it names none of them", name.algorithm))
	}
	for i, k := range s.all {
		if s.shared[k.keyName] {
			s.all[i].kid = ""
		}
	}
	for _, keys := range known {
		s.usable += len(keys)
	}
	if s.usable == 0 {
		return nil, fmt.Errorf("the key set has no key that can verify a token, among %d", len(members.Keys))
	}
	return s, nil
}

// skip records why a key is skipped.
func (s *keySet) skip(reason string) {
	if len(s.unused) < maxUnusedKeys {
		s.unused = append(s.unused, reason)
	}
}

// fingerprint returns a string that is the same for equal public keys and differs for others.
func fingerprint(key any) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", errors.New("its members do not make a public key")
	}
	return string(der), nil
}

// secretMembers are the members of symmetric and private keys (RFC 7518, section 6; RFC 9964).
var secretMembers = []string{"k", "d", "p", "q", "dp", "dq", "qi", "oth", "priv"}

// publicMembers are the members of a public key. Others, such as a certificate in x5c, are ignored.
var publicMembers = []string{"kty", "crv", "n", "e", "x", "y"}

// parseKey parses a JWK that can verify tokens. The name contains the kid, which is empty if there is none, and the algorithm.
func parseKey(text jsontext.Value) (keyName, any, error) {
	var members map[string]jsontext.Value
	if err := json.Unmarshal(text, &members); err != nil || members == nil {
		return keyName{}, nil, errors.New("it is not a JSON object")
	}
	public := map[string]jsontext.Value{}
	for _, name := range publicMembers {
		if value, ok := members[name]; ok {
			public[name] = value
		}
	}
	for _, name := range secretMembers {
		// It is a symmetric or private key. Everyone who can read the set could sign tokens with it.
		if _, ok := members[name]; ok {
			return keyName{}, nil, fmt.Errorf("it has the secret member %s", name)
		}
	}
	method, key, err := parsePublicMembers(public)
	if err != nil {
		return keyName{}, nil, err
	}
	var name keyName
	if name.algorithm, err = purpose(members, method); err != nil {
		return keyName{}, nil, err
	}
	if value, ok := members["kid"]; ok && !readText(&name.kid)(value) {
		return keyName{}, nil, errors.New("its kid is not a string")
	}
	return name, key, nil
}

func parsePublicMembers(public map[string]jsontext.Value) (jwt.SigningMethod, any, error) {
	text, err := json.Marshal(public)
	if err != nil {
		return nil, nil, errors.New("it is not a JSON object")
	}
	var key jose.JSONWebKey
	err = key.UnmarshalJSON(text)
	switch {
	case errors.Is(err, jose.ErrUnsupportedKeyType):
		return nil, nil, errors.New("its kty or crv is not supported")
	case err != nil:
		return nil, nil, errors.New("its members do not make a public key")
	}
	method, err := methodOf(key.Key)
	return method, key.Key, err
}

// purpose returns the only algorithm for which a key of a method is used, or an error if the key is for another purpose. If present,
// use must be sig, key_ops must contain verify, and alg must be an algorithm for a key of its type (RFC 7517, sections 4.2 to 4.4). An
// RSA key is for RS256, or for PS256 if its alg says so.
func purpose(members map[string]jsontext.Value, method jwt.SigningMethod) (string, error) {
	var use, alg string
	var operations []string
	if value, ok := members["use"]; ok && (!readText(&use)(value) || use != "sig") {
		return "", errors.New("its use is not sig")
	}
	if value, ok := members["key_ops"]; ok && (!readTexts(&operations)(value) || !slices.Contains(operations, "verify")) {
		return "", errors.New("its key_ops do not have verify")
	}
	value, ok := members["alg"]
	switch {
	case !ok:
		return method.Alg(), nil
	case !readText(&alg)(value):
		return "", errors.New("its alg is not a string")
	case algorithmOf(alg) == method.Alg(), method == jwt.SigningMethodRS256 && alg == jwt.SigningMethodPS256.Alg():
		return algorithmOf(alg), nil
	}
	return "", fmt.Errorf("its alg is not one that is supported for a key of its type, such as %s", method.Alg())
}

// sameContent reports whether both sets were parsed from the same text. other may be nil.
func (s *keySet) sameContent(other *keySet) bool {
	return other != nil && bytes.Equal(s.content, other.content)
}
