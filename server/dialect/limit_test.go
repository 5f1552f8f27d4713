package dialect

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// clock is a clock that moves when a test moves it.
type clock struct{ at time.Time }

func newClock() *clock { return &clock{time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) now() time.Time { return c.at }

func limiter(t *testing.T, r Rate, c *clock, size int) *Limiter {
	t.Helper()
	l, err := newLimiter("address", r, c.now, size)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// refusedFor gives how long client must wait, 0 if it need not.
func refusedFor(t *testing.T, l *Limiter, client string) time.Duration {
	t.Helper()
	err := l.Admit(client, http.Header{})
	var limited *RateLimitedError
	if err == nil {
		return 0
	}
	if !errors.As(err, &limited) {
		t.Fatalf("Admit gives %v", err)
	}
	return limited.RetryAfter
}

func TestLimiterBurstThenRate(t *testing.T) {
	t.Parallel()
	c := newClock()
	l := limiter(t, Rate{PerSecond: 0.5, Burst: 3}, c, 10)
	for i := range 3 {
		if wait := refusedFor(t, l, "a"); wait != 0 {
			t.Fatalf("request %d of a burst of 3 must wait %v", i+1, wait)
		}
	}
	if wait := refusedFor(t, l, "a"); wait != 2*time.Second {
		t.Errorf("after the burst the wait is %v, want 2s", wait)
	}
	c.at = c.at.Add(1500 * time.Millisecond)
	if wait := refusedFor(t, l, "a"); wait != 500*time.Millisecond {
		t.Errorf("a refusal costs something: the wait is %v, want 500ms", wait)
	}
	c.at = c.at.Add(500 * time.Millisecond)
	if wait := refusedFor(t, l, "a"); wait != 0 {
		t.Errorf("after its wait the client must wait %v again", wait)
	}
	c.at = c.at.Add(time.Hour)
	for range 3 {
		if wait := refusedFor(t, l, "a"); wait != 0 {
			t.Errorf("after a rest the burst is not whole: wait %v", wait)
		}
	}
	if wait := refusedFor(t, l, "a"); wait == 0 {
		t.Error("a rest saves more than one burst")
	}
}

func TestLimiterKeepsClientsApart(t *testing.T) {
	t.Parallel()
	l := limiter(t, Rate{PerSecond: 1, Burst: 1}, newClock(), 10)
	if refusedFor(t, l, "a") != 0 || refusedFor(t, l, "b") != 0 {
		t.Error("two clients share a burst")
	}
	if refusedFor(t, l, "a") == 0 || refusedFor(t, l, "b") == 0 {
		t.Error("a client has more than its burst")
	}
}

func TestLimiterEvictsLeastRecentlyUsed(t *testing.T) {
	t.Parallel()
	const size = 100
	l := limiter(t, Rate{PerSecond: 1, Burst: 1}, newClock(), size)
	refusedFor(t, l, "busy")
	for i := range 50 * size {
		refusedFor(t, l, strconv.Itoa(i))
		if refusedFor(t, l, "busy") == 0 {
			t.Fatalf("a client that keeps asking is forgotten after %d others", i)
		}
	}
	if n := l.clients.Len(); n != size {
		t.Errorf("%d clients are remembered, want %d", n, size)
	}
}

func TestLimiterCountsConcurrentRequestsOfNewClient(t *testing.T) {
	t.Parallel()
	const burst = 10
	for range 20 {
		l := limiter(t, Rate{PerSecond: 1, Burst: burst}, newClock(), 10)
		var passed atomic.Int64
		var all sync.WaitGroup
		for range 4 * burst {
			all.Go(func() {
				if l.Admit("a", http.Header{}) == nil {
					passed.Add(1)
				}
			})
		}
		all.Wait()
		if n := passed.Load(); n != burst {
			t.Fatalf("%d requests passed at once, want %d", n, burst)
		}
	}
}

func TestLimiterRefusesInvalidRate(t *testing.T) {
	t.Parallel()
	for _, r := range []Rate{{0, 1}, {-1, 1}, {math.NaN(), 1}, {math.Inf(1), 1}, {1, 0}, {1, -1}} {
		if _, err := NewLimiter("address", r, time.Now); !errors.Is(err, errNoRate) {
			t.Errorf("NewLimiter(%v): %v", r, err)
		}
	}
}

func TestNilLimiterAllowsEverything(t *testing.T) {
	t.Parallel()
	var l *Limiter
	if err := l.Admit("a", http.Header{}); err != nil {
		t.Error(err)
	}
}

func TestLimiterTellsWhatIsLeft(t *testing.T) {
	t.Parallel()
	c := newClock()
	l := limiter(t, Rate{PerSecond: 0.5, Burst: 3}, c, 10)
	for _, want := range []string{`"address";r=2;t=2`, `"address";r=1;t=4`, `"address";r=0;t=2`, `"address";r=0;t=2`} {
		h := http.Header{}
		err := l.Admit("a", h)
		if got := h.Get("RateLimit"); got != want {
			t.Errorf("RateLimit: %s, want %s", got, want)
		}
		if got, want := h.Get("RateLimit-Policy"), `"address";q=3;w=6`; got != want {
			t.Errorf("RateLimit-Policy: %s, want %s", got, want)
		}
		if err != nil && RetryAfter(err) != "2" {
			t.Errorf("Retry-After: %s", RetryAfter(err))
		}
	}
}
