package mock

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// Start is the time at which a mock's clock starts.
var Start = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// clock is a clock that each tick advances by a millisecond from Start.
type clock struct{ ticks atomic.Int64 }

func newClock() *clock { return &clock{} }

func (c *clock) tick() { c.ticks.Add(1) }

func (c *clock) read() time.Time {
	return Start.Add(time.Duration(c.ticks.Load()) * time.Millisecond)
}

// random returns bytes that follow from a seed and a purpose.
type random struct {
	mu     sync.Mutex
	source *rand.ChaCha8
}

func newRandom(seed uint64, purpose string) *random {
	return &random{source: rand.NewChaCha8(sha256.Sum256(fmt.Appendf(nil, "dragoman mock %d %s", seed, purpose)))}
}

// Read fills p. It never returns an error.
func (r *random) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.source.Read(p)
}

// uuid returns the next UUID, of version 4.
func (r *random) uuid() string { return uuid.Must(uuid.NewRandomFromReader(r)).String() }
