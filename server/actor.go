package server

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"

	"github.com/dragoman-id/dragoman/server/auth"
)

// actors names principals in the log. A principal with a user's UUID has that name. Others have a keyed hash of the subject, since some
// identity providers use e-mail addresses as subjects, and so have those of an issuer that may speak for some customers only: it could
// name a user of another one, which is only checked for writes. The hash stays the same as long as the secret key does. The
// history has the subject, by request id.
type actors struct{ key []byte }

// actorPrefix marks a hash.
const actorPrefix = "sub:"

func newActors(secretKey []byte) actors {
	derived := hmac.New(sha256.New, secretKey)
	derived.Write([]byte("dragoman: names of actors in the log"))
	return actors{derived.Sum(nil)}
}

// name returns the name of p, or "" if p is not authenticated.
func (a actors) name(p auth.Principal) string {
	if p.Subject == "" {
		return ""
	}
	if id := p.Actor(); id != nil && !p.IsLimited() {
		return id.String()
	}
	h := hmac.New(sha256.New, a.key)
	h.Write([]byte(p.Subject))
	var sum [sha256.Size]byte
	return actorPrefix + hex.EncodeToString(h.Sum(sum[:0])[:8])
}
