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

// keyMethods are the algorithms that keys of a set verify, as methodOf gives them. HS256 is none of them.
var keyMethods = []jwt.SigningMethod{jwt.SigningMethodRS256, jwt.SigningMethodES256, jwt.SigningMethodEdDSA}

// keySet is what one reading of a JSON Web Key Set (RFC 7517) has to verify tokens with.
type keySet struct {
	all     []publicKey      // each key once by each of its names; without a kid where that names several keys
	shared  map[keyName]bool // names of several keys, which therefore name none
	keys    map[keyName]any
	usable  int      // how many different keys of the set can verify tokens
	unused  []string // why a key of the set is none of keys, a sentence each, for the log
	content []byte   // as read
}

// keyName is what a token's header says of its key. A kid names one key of an algorithm, and may name one of another
// algorithm as well (RFC 7517, section 4.5).
type keyName struct{ algorithm, kid string }

// publicKey is a key that verifies tokens of one algorithm.
type publicKey struct {
	keyName
	public      any
	fingerprint string // equal for equal keys
}

// maxUnusedKeys bounds how many of a set's unused keys are told about.
const maxUnusedKeys = 8

// parseKeySet reads a JWK Set. Keys that cannot verify a token are passed over, as RFC 7517, section 5, asks; a set in which
// no other is left is an error.
func parseKeySet(content []byte) (*keySet, error) {
	var members struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := json.Unmarshal(content, &members); err != nil {
		// The text of err may quote what was read.
		return nil, errors.New("the key set is not a JSON object with an array of keys")
	}
	s := &keySet{shared: map[keyName]bool{}, keys: map[keyName]any{}, content: content}
	known := map[string]map[string]bool{} // by algorithm and fingerprint
	named := map[keyName]string{}
	for i, text := range members.Keys {
		name, key, err := parseKey(text)
		if err != nil {
			s.pass(fmt.Sprintf("key %d of the set: %s", i+1, err))
			continue
		}
		print, err := fingerprint(key)
		if err != nil {
			s.pass(fmt.Sprintf("key %d of the set: %s", i+1, err))
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
		s.pass(fmt.Sprintf("several keys for %s have the same kid, and which of them it names is not clear", name.algorithm))
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

// pass notes why a key is passed over.
func (s *keySet) pass(reason string) {
	if len(s.unused) < maxUnusedKeys {
		s.unused = append(s.unused, reason)
	}
}

// fingerprint returns a text that two public keys share if they are equal.
func fingerprint(key any) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", errors.New("its members do not make a public key")
	}
	return string(der), nil
}

// secretMembers are what a JWK has that is more than a public key (RFC 7518, section 6; RFC 9964).
var secretMembers = []string{"k", "d", "p", "q", "dp", "dq", "qi", "oth", "priv"}

// publicMembers are what a JWK's public key is made of. Whatever else describes it, such as a certificate in x5c, means
// nothing here, as it does not in a PEM file.
var publicMembers = []string{"kty", "crv", "n", "e", "x", "y"}

// parseKey reads one JWK that can verify tokens and returns its kid, empty if it has none, with the one algorithm that it
// verifies.
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
		// A symmetric key, or one whose private half is published: whoever reads the set could sign with it.
		if _, ok := members[name]; ok {
			return keyName{}, nil, fmt.Errorf("it holds the secret member %s", name)
		}
	}
	method, key, err := parsePublicMembers(public)
	if err != nil {
		return keyName{}, nil, err
	}
	name := keyName{algorithm: method.Alg()}
	if err := checkPurpose(members, name.algorithm); err != nil {
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
		return nil, nil, errors.New("its kty or crv is none that verifies tokens")
	case err != nil:
		return nil, nil, errors.New("its members do not make a public key")
	}
	method, err := methodOf(key.Key)
	return method, key.Key, err
}

// checkPurpose refuses a key that its owner has meant for something else: its use, its key_ops and its alg, where it has
// them, are to be a signature's, to verify one, and the algorithm (RFC 7517, sections 4.2 to 4.4).
func checkPurpose(members map[string]jsontext.Value, algorithm string) error {
	var use, alg string
	var operations []string
	if value, ok := members["use"]; ok && (!readText(&use)(value) || use != "sig") {
		return errors.New("its use is not sig")
	}
	if value, ok := members["key_ops"]; ok && (!readTexts(&operations)(value) || !slices.Contains(operations, "verify")) {
		return errors.New("its key_ops do not have verify")
	}
	if value, ok := members["alg"]; ok && (!readText(&alg)(value) || alg != algorithm) {
		return fmt.Errorf("its alg is not %s, the one that a key of its type verifies", algorithm)
	}
	return nil
}

// sameContent reports whether the set was read from the same bytes as another, which may be nil.
func (s *keySet) sameContent(other *keySet) bool {
	return other != nil && bytes.Equal(s.content, other.content)
}
