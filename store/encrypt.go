package store

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// Encrypt encrypts and authenticates a message (AES-256-GCM), for a purpose and a place that [Store.Decrypt] must be given too. Any process
// with the same secret key can decrypt it. Encrypting a message again gives another text of the same length.
func (s *Store) Encrypt(purpose string, place, message []byte) []byte {
	// #nosec G407 -- no nonce is given, because the AEAD takes a random one itself
	return s.keys.messages[0].Seal(nil, nil, message, placeOf(purpose, place))
}

// Decrypt returns the message of an encrypted text. It is not ok for anything that [Store.Encrypt] has not made for the purpose and the place,
// under the secret key or an old one.
func (s *Store) Decrypt(purpose string, place, encrypted []byte) (message []byte, ok bool) {
	for _, key := range s.keys.messages {
		if message, err := key.Open(nil, nil, encrypted, placeOf(purpose, place)); err == nil {
			return message, true
		}
	}
	return nil, false
}

// placeOf is the additional data of an encrypted message.
func placeOf(purpose string, place []byte) []byte {
	all := binary.BigEndian.AppendUint64(nil, uint64(len(purpose)))
	all = append(all, purpose...)
	return append(all, place...)
}

// What the keys that are derived from a secret key are for; see deriveKey. Changing one makes what was made with its key invalid.
const (
	forMessages     = "dragoman: encrypted messages"
	forFingerprints = "dragoman: fingerprints of requests with an idempotency key"
)

// deriveKey derives a key for one purpose from a secret key.
func deriveKey(secretKey []byte, purpose string) []byte {
	h := hmac.New(sha256.New, secretKey)
	h.Write([]byte(purpose))
	return h.Sum(nil)
}
