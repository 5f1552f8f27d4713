package auth

import (
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jellydator/ttlcache/v3"
)

// maxCachedTokens is the capacity of a Verifier's cache, which evicts the least recently used tokens. It takes about 16 MB.
const maxCachedTokens = 1 << 14

// tokenCache caches valid tokens, so that each signature is verified only once. What can change is checked at each use: the token's
// validity period, and that the key which verified it is still active. The cache stores hashes instead of tokens. It does not store
// refused tokens, so that only callers with a valid token can fill it.
type tokenCache struct {
	tokens       *ttlcache.Cache[TokenHash, *cachedToken]
	hits, misses atomic.Uint64
}

// cachedToken is a token whose signature and claims were valid when it was first used. It is immutable.
type cachedToken struct {
	principal Principal
	issuer    *issuer
	claims    claims // only the registered ones
	by        signedBy
	// The claims are valid at from and later, and before until. At other times they are validated again, to get the right error.
	from, until time.Time
}

func newCachedToken(p Principal, i *issuer, c claims, by signedBy) *cachedToken {
	t := &cachedToken{principal: p, issuer: i, claims: c, by: by, until: c.ExpiresAt.Add(leeway)}
	for _, begin := range []*jwt.NumericDate{c.NotBefore, c.IssuedAt} {
		if begin != nil && begin.Add(-leeway).After(t.from) {
			t.from = begin.Add(-leeway)
		}
	}
	return t
}

// signedBy is the key of the key set that verified a token, and the name by which the token's header selected it. It is zero if a
// secret or public key from the configuration verified the token.
type signedBy struct {
	key    *trustedKey
	name   keyName
	hasKid bool
}

// valid reports whether the token's header still selects the same key.
func (b signedBy) valid(keys *activeKeys) bool {
	return b.key == nil || keys.find(b.name, b.hasKid) == b.key
}

func newTokenCache(size uint64) *tokenCache {
	return &tokenCache{tokens: ttlcache.New(ttlcache.WithCapacity[TokenHash, *cachedToken](size))}
}

// find returns the cached token with this hash. It returns nil if the token must be verified, because it is not cached or its header
// no longer selects the same key.
func (c *tokenCache) find(hash TokenHash) *cachedToken {
	if item := c.tokens.Get(hash); item != nil {
		if t := item.Value(); t.by.valid(t.issuer.activeKeys()) {
			c.hits.Add(1)
			return t
		}
	}
	c.misses.Add(1)
	return nil
}

func (c *tokenCache) add(hash TokenHash, t *cachedToken) { c.tokens.Set(hash, t, ttlcache.NoTTL) }

// TokenCacheState describes the cache of valid tokens.
type TokenCacheState struct {
	Size         int    // the number of cached tokens
	Hits, Misses uint64 // the numbers of lookups since the start
}

// TokenCache returns the state of the cache of valid tokens.
func (v *Verifier) TokenCache() TokenCacheState {
	c := v.cache
	return TokenCacheState{Size: c.tokens.Len(), Hits: c.hits.Load(), Misses: c.misses.Load()}
}
