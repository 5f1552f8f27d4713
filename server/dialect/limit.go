package dialect

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"sync/atomic"
	"time"

	"github.com/jellydator/ttlcache/v3"
	"golang.org/x/time/rate"
)

// Rate is how many requests one client may make: PerSecond in the long run, and Burst at once after a rest.
type Rate struct {
	PerSecond float64
	Burst     int
}

// errNoRate: a Rate that no client could keep to, or that every client would.
var errNoRate = errors.New("must be more than 0 requests a second, with a burst of 1 or more")

// maxLimited is how many clients a Limiter remembers: some ten megabytes of them. Who is forgotten begins with a whole
// burst again.
const maxLimited = 1 << 16

// Limiter holds each client to a rate of its own, by a name such as an address or a token's subject. It remembers those
// that it saw last, so that its memory is bounded however many there are. It is safe for concurrent use. A nil Limiter
// lets everything pass.
type Limiter struct {
	rate    Rate
	now     func() time.Time
	seed    maphash.Seed
	refused atomic.Int64
	clients *ttlcache.Cache[uint64, *rate.Limiter] // by the names' hashes, since a name may be long
}

// NewLimiter gives a limiter by the clock now.
func NewLimiter(r Rate, now func() time.Time) (*Limiter, error) {
	return newLimiter(r, now, maxLimited)
}

func newLimiter(r Rate, now func() time.Time, size int) (*Limiter, error) {
	if !(r.PerSecond > 0) || math.IsInf(r.PerSecond, 0) || r.Burst < 1 {
		return nil, fmt.Errorf("a rate of %v and %d: %w", r.PerSecond, r.Burst, errNoRate)
	}
	clients := ttlcache.New(ttlcache.WithCapacity[uint64, *rate.Limiter](uint64(max(size, 1))))
	return &Limiter{rate: r, now: now, seed: maphash.MakeSeed(), clients: clients}, nil
}

// RateLimitedError is a client that makes more requests than it may: a 429.
type RateLimitedError struct {
	// RetryAfter is when the next request would pass if nobody else made one for the same client. It is more than 0.
	RetryAfter time.Duration
}

func (e *RateLimitedError) Error() string { return "too many requests" }

// Allow counts one request of a client, and gives a *RateLimitedError if it is one too many.
func (l *Limiter) Allow(client string) error {
	if l == nil {
		return nil
	}
	key := maphash.String(l.seed, client)
	item := l.clients.Get(key)
	if item == nil {
		item, _ = l.clients.GetOrSetFunc(key, func() *rate.Limiter {
			return rate.NewLimiter(rate.Limit(l.rate.PerSecond), l.rate.Burst)
		})
	}
	limiter := item.Value()
	now := l.now()
	if limiter.AllowN(now, 1) {
		return nil
	}
	l.refused.Add(1)
	missing := 1 - limiter.TokensAt(now)
	// Never 0, since a concurrent request may have been refused where this one would now pass.
	wait := max(time.Duration(missing/l.rate.PerSecond*float64(time.Second)), 1)
	return &RateLimitedError{RetryAfter: wait}
}

// Refused tells how many requests were refused so far.
func (l *Limiter) Refused() int64 {
	if l == nil {
		return 0
	}
	return l.refused.Load()
}
