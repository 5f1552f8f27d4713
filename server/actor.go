package server

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"sync"

	"github.com/dragoman-id/dragoman/server/auth"
)

// actors gives those who call the names that logs and traces know them by. A caller with a UUID has that. Some identity
// providers put an e-mail address into a token's sub; so of any other caller the log has only a keyed hash of the sub, which
// stays the same from line to line, and as long as the secret key does. Who it was, the history tells by the request id.
type actors struct{ hashes sync.Pool }

// actorPrefix marks a hash.
const actorPrefix = "sub:"

func newActors(secretKey []byte) *actors {
	derived := hmac.New(sha256.New, secretKey)
	derived.Write([]byte("dragoman: names of actors in the log"))
	key := derived.Sum(nil)
	return &actors{sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

// name gives the name of p, or "" of a principal who is not known.
func (a *actors) name(p auth.Principal) string {
	if p.Subject == "" {
		return ""
	}
	if id := p.Actor(); id != nil {
		return id.String()
	}
	h := a.hashes.Get().(hash.Hash)
	defer a.hashes.Put(h)
	h.Reset()
	h.Write([]byte(p.Subject))
	var sum [sha256.Size]byte
	return actorPrefix + hex.EncodeToString(h.Sum(sum[:0])[:8])
}
