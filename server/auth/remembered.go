package auth

import (
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jellydator/ttlcache/v3"
)

// maxRemembered is how many tokens a Verifier remembers: those that it saw last, some sixteen megabytes of them at most.
const maxRemembered = 1 << 14

// remembered are the tokens that were found good, so that each signature is checked once. What can change since is asked
// anew each time: the clock, and whether the key of the key set that the token was verified with is still in force. It holds no token,
// only hashes, and none that was refused, so that nobody without a good token takes up room.
type remembered struct {
	tokens       *ttlcache.Cache[TokenHash, *goodToken]
	hits, misses atomic.Uint64
}

// goodToken is a token whose signature and claims were good when it was first seen. It is not altered after.
type goodToken struct {
	principal Principal
	claims    claims // the registered ones alone
	by        signedBy
	// The token is good from one of these times until the other, that one left out; outside of them the claims are asked.
	from, until time.Time
}

func newGoodToken(p Principal, c claims, by signedBy) *goodToken {
	t := &goodToken{principal: p, claims: c, by: by, until: c.ExpiresAt.Add(leeway)}
	for _, begin := range []*jwt.NumericDate{c.NotBefore, c.IssuedAt} {
		if begin != nil && begin.Add(-leeway).After(t.from) {
			t.from = begin.Add(-leeway)
		}
	}
	return t
}

// signedBy is what verified a token: a key of the key set and what the token's header said of it. The zero value is a key that
// is configured.
type signedBy struct {
	key    *trustedKey
	name   keyName
	hasKid bool
}

// holds reports whether the header still names the same key.
func (b signedBy) holds(keys *keysInForce) bool {
	return b.key == nil || keys.find(b.name, b.hasKid) == b.key
}

func newRemembered(size uint64) *remembered {
	return &remembered{tokens: ttlcache.New(ttlcache.WithCapacity[TokenHash, *goodToken](size))}
}

// find returns the token with this hash, or nil if it must be verified: it was not seen lately, or its header does not name the
// same key any more.
func (r *remembered) find(hash TokenHash, keys *keysInForce) *goodToken {
	if item := r.tokens.Get(hash); item != nil && item.Value().by.holds(keys) {
		r.hits.Add(1)
		return item.Value()
	}
	r.misses.Add(1)
	return nil
}

func (r *remembered) add(hash TokenHash, t *goodToken) { r.tokens.Set(hash, t, ttlcache.NoTTL) }

// RememberedTokens is how the memory of good tokens fares: how many it holds, and how often a token was in it and was not.
type RememberedTokens struct {
	Size         int
	Hits, Misses uint64
}

// Remembered tells how the memory of good tokens fares.
func (v *Verifier) Remembered() RememberedTokens {
	r := v.remembered
	return RememberedTokens{Size: r.tokens.Len(), Hits: r.hits.Load(), Misses: r.misses.Load()}
}
