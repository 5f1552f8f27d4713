package dialect

import (
	"errors"
	"hash/maphash"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// The limits on the bytes of bodies in memory. A body counts from when it is read until its request is finished. Its first
// freeBytes do not count, so that small bodies are accepted whatever other callers send. A decoded body takes a few times as
// much memory.
const (
	maxCallerBytes = 8 << 20  // of one caller
	maxBytes       = 64 << 20 // of all callers
	freeBytes      = 4 << 10
)

// errTooManyBytes reports that the bodies of all callers together exceed maxBytes.
var errTooManyBytes = errors.New("too many bytes of bodies in flight")

// retryInFlight is the Retry-After of a request that exceeds a limit. Other requests usually finish within that time.
const retryInFlight = time.Second

// InFlight limits the concurrent requests of each caller, and the bytes of their bodies. It refuses a request at once instead
// of queueing it, since a queued request would take memory too. It is safe for concurrent use.
type InFlight struct {
	requests int // the limit for one caller; 0 means no limit
	seed     maphash.Seed
	refused  atomic.Int64

	mu      sync.Mutex
	callers map[uint64]callerLoad // callers with a request in flight, by the hashes of their names
	bytes   int64
}

type callerLoad struct {
	requests int
	bytes    int64
}

// NewInFlight returns an InFlight that permits each caller this many concurrent requests. 0 means no limit on requests.
func NewInFlight(requests int) *InFlight {
	return &InFlight{requests: requests, seed: maphash.MakeSeed(), callers: map[uint64]callerLoad{}}
}

// Refused returns how many requests were refused so far.
func (f *InFlight) Refused() int64 { return f.refused.Load() }

// begin counts a request of a caller. It returns the key for take and end, or a *RateLimitedError.
func (f *InFlight) begin(caller string) (key uint64, err error) {
	key = maphash.String(f.seed, caller)
	f.mu.Lock()
	defer f.mu.Unlock()
	load := f.callers[key]
	if f.requests > 0 && load.requests >= f.requests {
		f.refused.Add(1)
		return 0, &RateLimitedError{Limit: "in_flight", RetryAfter: retryInFlight}
	}
	load.requests++
	f.callers[key] = load
	return key, nil
}

// take counts n more bytes of a body. It returns a *RateLimitedError if the caller exceeds its limit, and errTooManyBytes if all
// callers together exceed theirs.
func (f *InFlight) take(key uint64, n int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	load := f.callers[key]
	switch {
	case load.bytes+n > maxCallerBytes:
		f.refused.Add(1)
		return &RateLimitedError{Limit: "in_flight", RetryAfter: retryInFlight}
	case f.bytes+n > maxBytes:
		f.refused.Add(1)
		return errTooManyBytes
	}
	load.bytes += n
	f.bytes += n
	f.callers[key] = load
	return nil
}

// end stops counting a request and the n bytes of its body.
func (f *InFlight) end(key uint64, n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bytes -= n
	load := f.callers[key]
	load.requests--
	load.bytes -= n
	if load.requests == 0 {
		delete(f.callers, key)
		return
	}
	f.callers[key] = load
}

// bodyInFlight is a request body whose bytes are counted as they are read.
type bodyInFlight struct {
	io.ReadCloser
	call *Call
	read int64
}

func (b *bodyInFlight) Read(part []byte) (int, error) {
	n, err := b.ReadCloser.Read(part)
	free := max(freeBytes-b.read, 0)
	b.read += int64(n)
	if counted := int64(n) - free; counted > 0 {
		if over := b.call.flight.take(b.call.caller, counted); over != nil {
			return 0, over
		}
		b.call.bytes += counted
	}
	return n, err
}
