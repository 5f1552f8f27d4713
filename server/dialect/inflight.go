package dialect

import (
	"errors"
	"hash/maphash"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// How many bytes of bodies may be in memory at once, those of one caller and all. A body counts from when it is read until
// its request is answered, but for its first freeBytes, so that ordinary bodies pass whatever others send. Decoded, a body takes
// a few times as much.
const (
	maxCallerBytes = 8 << 20
	maxBytes       = 64 << 20
	freeBytes      = 4 << 10
)

// errTooManyBytes: all callers together have sent more than the server may keep in memory.
var errTooManyBytes = errors.New("too many bytes of bodies in flight")

// retryInFlight is when to try again what was one request, or one body, too many at once: others end within that time.
const retryInFlight = time.Second

// InFlight bounds what is in flight at once: the requests of each caller, and the bytes of their bodies. It keeps nobody
// waiting, since who waited would hold memory too. It is safe for concurrent use.
type InFlight struct {
	requests int // of one caller; 0: as many as they like
	seed     maphash.Seed
	refused  atomic.Int64

	mu      sync.Mutex
	callers map[uint64]callerLoad // of those who have a request in flight, by their names' hashes
	bytes   int64
}

type callerLoad struct {
	requests int
	bytes    int64
}

// NewInFlight returns bounds that allow each caller so many requests at once; 0 is no bound on requests.
func NewInFlight(requests int) *InFlight {
	return &InFlight{requests: requests, seed: maphash.MakeSeed(), callers: map[uint64]callerLoad{}}
}

// Refused returns how many requests were refused so far.
func (f *InFlight) Refused() int64 { return f.refused.Load() }

// begin counts a request of a caller, and returns the key to end it with, or a *RateLimitedError.
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

// take counts further bytes of a body: a *RateLimitedError if the caller has too many, errTooManyBytes if all have.
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

// end takes a request, and the bytes that it took, off again.
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

// bodyInFlight is a body whose bytes are counted as they come.
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
