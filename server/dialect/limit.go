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

// Rate is a token bucket's rate: a client may make PerSecond requests per second on average, and Burst requests at once.
type Rate struct {
	PerSecond float64
	Burst     int
}

// errNoRate reports a Rate that permits no request or every request.
var errNoRate = errors.New("must be more than 0 requests a second, with a burst of 1 or more")

// maxLimited is the maximum number of clients that a Limiter tracks. They take about ten megabytes. An evicted client starts
// with a full burst again.
const maxLimited = 1 << 16

// Limiter limits the rate of each client's requests. A client is identified by a name, such as an address or a token's subject.
// A Limiter tracks the most recently seen clients only, so that its memory is bounded. It is safe for concurrent use. A nil
// Limiter permits all requests.
type Limiter struct {
	name    string
	rate    Rate
	now     func() time.Time
	policy  string // its item of the RateLimit-Policy header
	seed    maphash.Seed
	refused atomic.Int64
	clients *ttlcache.Cache[uint64, *rate.Limiter] // by the hashes of names, since a name may be long
}

// NewLimiter returns a limiter that uses the clock now. Its name is sent to clients, and consists of a few lower-case letters.
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

// RateLimitedError reports that a client exceeded a limit. It is rendered as 429.
type RateLimitedError struct {
	// Limit is the name of the limit, for logs.
	Limit string
	// RetryAfter is how long the client should wait. A request then succeeds unless the same client has made others meanwhile.
	// It is greater than 0.
	RetryAfter time.Duration
}

func (e *RateLimitedError) Error() string { return "too many requests" }

// Admit counts one request of a client, and returns a *RateLimitedError if it exceeds the limit. It adds the limiter's state to
// the RateLimit and RateLimit-Policy headers in h (draft-ietf-httpapi-ratelimit-headers-11), after that of other limiters.
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
	l.addHeaders(h, left, allowed)
	if allowed {
		return nil
	}
	l.refused.Add(1)
	// Never 0, since a concurrent request may have been refused where this one would now pass.
	wait := max(time.Duration((1-left)/l.rate.PerSecond*float64(time.Second)), 1)
	return &RateLimitedError{Limit: l.name, RetryAfter: wait}
}

// The names of the two headers in canonical form. Several lines of one header form a list (RFC 9651).
const (
	headerRateLimit       = "Ratelimit"
	headerRateLimitPolicy = "Ratelimit-Policy"
)

// addHeaders adds the limiter's items to the two headers. If no request is left, the reset time equals Retry-After.
func (l *Limiter) addHeaders(h http.Header, left float64, allowed bool) {
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

// Refused returns how many requests were refused so far.
func (l *Limiter) Refused() int64 {
	if l == nil {
		return 0
	}
	return l.refused.Load()
}
