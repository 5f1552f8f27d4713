package provisioning

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/store"
	"github.com/jellydator/ttlcache/v3"
)

// The bounds of a verifier. A revoked token is accepted for cacheFor at most, which is counted from before the store is asked.
const (
	cacheFor    = 4 * time.Second
	maxCached   = 1 << 14
	maxUnknown  = 2   // queries at once for tokens that were not seen to be valid lately
	maxWaiting  = 256 // requests that wait for one of these
	rememberFor = 10 * time.Minute
)

// Verifier verifies tokens against the store. It caches what it finds, also that there is no such token, for less than five seconds. Tokens
// that have not been valid within the last minutes share two queries at a time, so that inventing tokens cannot load the database. It is
// safe for concurrent use.
type Verifier struct {
	store *store.Store
	now   func() time.Time
	warn  func(error)

	found   *ttlcache.Cache[auth.TokenHash, entry]
	valid   *ttlcache.Cache[auth.TokenHash, struct{}]
	unknown chan struct{}
	waiting atomic.Int64
}

// entry is what the store said of a token. Its Hash is empty if there is none.
type entry struct {
	token    store.ProvisioningToken
	customer store.Customer
	until    time.Time // when the store is to be asked again
}

// NewVerifier returns a verifier of the store's tokens. now is the clock, also for what is cached; nil means time.Now. warn is called when the last use of a token
// cannot be recorded, which refuses no request.
func NewVerifier(s *store.Store, now func() time.Time, warn func(error)) *Verifier {
	if now == nil {
		now = time.Now
	}
	return &Verifier{
		store: s, now: now, warn: warn,
		found:   ttlcache.New(ttlcache.WithCapacity[auth.TokenHash, entry](maxCached)),
		valid:   ttlcache.New(ttlcache.WithCapacity[auth.TokenHash, struct{}](maxCached), ttlcache.WithTTL[auth.TokenHash, struct{}](rememberFor)),
		unknown: make(chan struct{}, maxUnknown),
	}
}

// Verify returns the principal of a token for which [Is] holds. The error is an [auth.ErrUnauthenticated] if the token is malformed, unknown,
// revoked or expired; [store.ErrUnavailable] if the store cannot tell, or too many unknown tokens are being looked up.
func (v *Verifier) Verify(ctx context.Context, token string) (auth.Principal, error) {
	if !WellFormed(token) {
		return auth.Principal{}, auth.Refuse(auth.FaultMalformed, "the provisioning token is malformed: its checksum does not match, so it was not copied as it was issued")
	}
	hash := auth.TokenHash(sha256.Sum256([]byte(token)))
	e, err := v.find(ctx, hash)
	if err != nil {
		return auth.Principal{}, err
	}
	switch {
	case e.token.Hash == "":
		return auth.Principal{}, auth.Refuse(auth.FaultUnknown, "there is no such provisioning token")
	case e.token.RevokedAt != nil:
		return auth.Principal{}, auth.Refuse(auth.FaultUnknown, "the provisioning token is revoked")
	case !e.token.Valid(v.now()):
		return auth.Principal{}, auth.ErrTokenExpired
	}
	return auth.NewProvisioner(e.token.ID, hash, e.customer, e.token.Role), nil
}

// find returns what the store has of a token, from the cache if that was asked lately.
func (v *Verifier) find(ctx context.Context, hash auth.TokenHash) (entry, error) {
	if e, ok := v.cached(hash); ok {
		return e, nil
	}
	if v.valid.Get(hash) == nil {
		leave, err := v.enter(ctx)
		if err != nil {
			return entry{}, err
		}
		defer leave()
		if e, ok := v.cached(hash); ok { // another request has looked it up meanwhile
			return e, nil
		}
	}
	until := v.now().Add(cacheFor)
	e, err := v.read(ctx, kept(hash))
	if err != nil {
		return entry{}, err
	}
	e.until = until
	v.found.Set(hash, e, ttlcache.NoTTL)
	if e.token.Hash != "" && e.token.Valid(v.now()) {
		v.valid.Set(hash, struct{}{}, ttlcache.DefaultTTL)
		if err := v.store.UseProvisioningToken(ctx, e.token); err != nil && v.warn != nil {
			v.warn(err)
		}
	}
	return e, nil
}

// cached returns what the store has said of a token lately.
func (v *Verifier) cached(hash auth.TokenHash) (entry, bool) {
	item := v.found.Get(hash)
	if item == nil || !v.now().Before(item.Value().until) {
		return entry{}, false
	}
	return item.Value(), true
}

// enter waits until an unknown token may be looked up. leave must be called afterwards.
func (v *Verifier) enter(ctx context.Context) (leave func(), err error) {
	defer v.waiting.Add(-1)
	if v.waiting.Add(1) > maxWaiting {
		return nil, fmt.Errorf("verifying a provisioning token: %w: too many unknown tokens are being looked up", store.ErrUnavailable)
	}
	select {
	case v.unknown <- struct{}{}:
		return func() { <-v.unknown }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("verifying a provisioning token: %w: %w", store.ErrUnavailable, ctx.Err())
	}
}

// read asks the store for a token, and for its customer.
func (v *Verifier) read(ctx context.Context, hash string) (e entry, err error) {
	e.token, err = v.store.FindProvisioningToken(ctx, hash)
	if errors.Is(err, store.ErrNotFound) {
		return entry{}, nil
	}
	if err == nil {
		e.customer, err = v.store.FindCustomer(ctx, store.CustomerByID(e.token.CustomerID))
	}
	if err != nil {
		return entry{}, fmt.Errorf("verifying a provisioning token: %w", err)
	}
	return e, nil
}
