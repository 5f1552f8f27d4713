package server

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"

	"github.com/jellydator/ttlcache/v3"

	"github.com/dragoman-id/dragoman/server/auth"
)

// actors gives those who call the names that logs and traces know them by. A caller with a UUID has that. Some identity
// providers put an e-mail address into a token's sub; so of any other caller the log has only a keyed hash of the sub, which
// stays the same from line to line, and as long as the secret key does. Who it was, the history tells by the request id.
type actors struct {
	key   []byte
	known *ttlcache.Cache[auth.TokenHash, string] // names, by the tokens: a token asks again and again
}

// maxKnownActors is how many tokens' names are remembered: those that were seen last, some hundreds of kilobytes of them.
const maxKnownActors = 1 << 12

// actorPrefix marks a hash.
const actorPrefix = "sub:"

func newActors(secretKey []byte) *actors {
	derived := hmac.New(sha256.New, secretKey)
	derived.Write([]byte("dragoman: names of actors in the log"))
	return &actors{
		key:   derived.Sum(nil),
		known: ttlcache.New(ttlcache.WithCapacity[auth.TokenHash, string](maxKnownActors)),
	}
}

// name gives the name of p, or "" of a principal who is not known.
func (a *actors) name(p auth.Principal) string {
	if p.Subject == "" {
		return ""
	}
	if known := a.known.Get(p.Token); known != nil {
		return known.Value()
	}
	name := a.nameAnew(p)
	a.known.Set(p.Token, name, ttlcache.NoTTL)
	return name
}

func (a *actors) nameAnew(p auth.Principal) string {
	if id := p.Actor(); id != nil {
		return id.String()
	}
	h := hmac.New(sha256.New, a.key)
	h.Write([]byte(p.Subject))
	var sum [sha256.Size]byte
	return actorPrefix + hex.EncodeToString(h.Sum(sum[:0])[:8])
}
