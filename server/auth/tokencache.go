package auth

import (
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jellydator/ttlcache/v3"
)

// maxCachedTokens is how many tokens a Verifier caches, the most recently used ones. They take some 16 MB.
const maxCachedTokens = 1 << 14

// tokenCache caches tokens that were valid, so that each signature is verified once. Each use checks again what can change: the
// time, and that the key which verified the token is still active. The cache has hashes instead of tokens, and no refused ones:
// only callers with a valid token use its memory.
type tokenCache struct {
	tokens       *ttlcache.Cache[TokenHash, *cachedToken]
	hits, misses atomic.Uint64
}

// cachedToken is a token whose signature and claims were valid when it was first used. It is immutable.
type cachedToken struct {
	principal Principal
	claims    claims // only the registered ones
	by        signedBy
	// The claims are valid at from and later and before until. At other times they are validated, for the right error.
	from, until time.Time
}

func newCachedToken(p Principal, c claims, by signedBy) *cachedToken {
	t := &cachedToken{principal: p, claims: c, by: by, until: c.ExpiresAt.Add(leeway)}
	for _, begin := range []*jwt.NumericDate{c.NotBefore, c.IssuedAt} {
		if begin != nil && begin.Add(-leeway).After(t.from) {
			t.from = begin.Add(-leeway)
		}
	}
	return t
}

// signedBy is the key of the key set that verified a token, and the name by which the token's header chose it. The zero value
// stands for a configured key.
type signedBy struct {
	key    *trustedKey
	name   keyName
	hasKid bool
}

// valid reports whether the header still names the same key.
func (b signedBy) valid(keys *activeKeys) bool {
	return b.key == nil || keys.find(b.name, b.hasKid) == b.key
}

func newTokenCache(size uint64) *tokenCache {
	return &tokenCache{tokens: ttlcache.New(ttlcache.WithCapacity[TokenHash, *cachedToken](size))}
}

// find returns the token with this hash, or nil if it must be verified: it is not cached, or its header no longer names the same
// key.
func (c *tokenCache) find(hash TokenHash, keys *activeKeys) *cachedToken {
	if item := c.tokens.Get(hash); item != nil && item.Value().by.valid(keys) {
		c.hits.Add(1)
		return item.Value()
	}
	c.misses.Add(1)
	return nil
}

func (c *tokenCache) add(hash TokenHash, t *cachedToken) { c.tokens.Set(hash, t, ttlcache.NoTTL) }

// TokenCacheState describes the cache of valid tokens.
type TokenCacheState struct {
	Size         int    // tokens that are cached
	Hits, Misses uint64 // lookups since the start
}

// TokenCache returns the state of the cache of valid tokens.
func (v *Verifier) TokenCache() TokenCacheState {
	c := v.cache
	return TokenCacheState{Size: c.tokens.Len(), Hits: c.hits.Load(), Misses: c.misses.Load()}
}
