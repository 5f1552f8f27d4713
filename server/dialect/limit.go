package dialect

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"net/http"
	"strconv"
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
	name    string
	rate    Rate
	now     func() time.Time
	policy  string // its item of RateLimit-Policy
	seed    maphash.Seed
	refused atomic.Int64
	clients *ttlcache.Cache[uint64, *rate.Limiter] // by the names' hashes, since a name may be long
}

// NewLimiter returns a limiter by the clock now. Clients are told its name, which is a few lower-case letters.
func NewLimiter(name string, r Rate, now func() time.Time) (*Limiter, error) {
	return newLimiter(name, r, now, maxLimited)
}

func newLimiter(name string, r Rate, now func() time.Time, size int) (*Limiter, error) {
	if !(r.PerSecond > 0) || math.IsInf(r.PerSecond, 0) || r.Burst < 1 {
		return nil, fmt.Errorf("a rate of %v and %d: %w", r.PerSecond, r.Burst, errNoRate)
	}
	clients := ttlcache.New(ttlcache.WithCapacity[uint64, *rate.Limiter](uint64(max(size, 1))))
	window := int64(math.Ceil(float64(r.Burst) / r.PerSecond))
	policy := fmt.Sprintf("%q;q=%d;w=%d", name, r.Burst, window)
	return &Limiter{name: name, rate: r, now: now, policy: policy, seed: maphash.MakeSeed(), clients: clients}, nil
}

// RateLimitedError is a client that makes more requests than it may: a 429.
type RateLimitedError struct {
	// Limit is the name of the limit that it ran into, for logs.
	Limit string
	// RetryAfter is when the next request would pass if nobody else made one for the same client. It is more than 0.
	RetryAfter time.Duration
}

func (e *RateLimitedError) Error() string { return "too many requests" }

// Admit counts one request of a client, and returns a *RateLimitedError if it is one too many. It says in the header of the
// answer what the client may ask (draft-ietf-httpapi-ratelimit-headers-11), beside what other limiters say there.
func (l *Limiter) Admit(client string, h http.Header) error {
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
	allowed := limiter.AllowN(now, 1)
	left := limiter.TokensAt(now)
	l.tell(h, left, allowed)
	if allowed {
		return nil
	}
	l.refused.Add(1)
	// Never 0, since a concurrent request may have been refused where this one would now pass.
	wait := max(time.Duration((1-left)/l.rate.PerSecond*float64(time.Second)), 1)
	return &RateLimitedError{Limit: l.name, RetryAfter: wait}
}

// The names of the two fields in canonical form. Several lines of one are a list, as RFC 9651 has it.
const (
	headerRateLimit       = "Ratelimit"
	headerRateLimitPolicy = "Ratelimit-Policy"
)

// tell adds the limiter's items to the two fields. Where nothing is left, the time is that of Retry-After.
func (l *Limiter) tell(h http.Header, left float64, allowed bool) {
	remaining, missing := int64(0), 1-left
	if allowed && left >= 1 {
		remaining, missing = int64(left), float64(l.rate.Burst)-left
	}
	reset := max(int64(math.Ceil(missing/l.rate.PerSecond)), 0)
	var space [64]byte
	item := append(append(append(space[:0], '"'), l.name...), `";r=`...)
	item = append(strconv.AppendInt(item, remaining, 10), ";t="...)
	item = strconv.AppendInt(item, reset, 10)
	h[headerRateLimitPolicy] = append(h[headerRateLimitPolicy], l.policy)
	h[headerRateLimit] = append(h[headerRateLimit], string(item))
}

// Refused tells how many requests were refused so far.
func (l *Limiter) Refused() int64 {
	if l == nil {
		return 0
	}
	return l.refused.Load()
}
