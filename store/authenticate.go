package store

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// Authenticate returns a code (HMAC-SHA-256) by which [Store.Authentic] recognizes a message, in every process with the same secret key.
// The code of a message for one purpose is of no use for another.
func (s *Store) Authenticate(purpose string, message []byte) []byte {
	return authenticate(s.keys.codeKeys[0], purpose, message)
}

// Authentic reports whether a code is that of the message and the purpose, under the secret key or an old one.
func (s *Store) Authentic(purpose string, message, code []byte) bool {
	for _, key := range s.keys.codeKeys {
		if hmac.Equal(code, authenticate(key, purpose, message)) {
			return true
		}
	}
	return false
}

func authenticate(key []byte, purpose string, message []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(purpose))))
	h.Write([]byte(purpose))
	h.Write(message)
	return h.Sum(nil)
}

// What the keys that are derived from a secret key are for; see deriveKey. Changing one makes what was made with its key invalid.
const (
	forCodes        = "dragoman: codes of messages"
	forFingerprints = "dragoman: fingerprints of requests with an idempotency key"
)

// deriveKey derives a key for one purpose from a secret key.
func deriveKey(secretKey []byte, purpose string) []byte {
	h := hmac.New(sha256.New, secretKey)
	h.Write([]byte(purpose))
	return h.Sum(nil)
}
