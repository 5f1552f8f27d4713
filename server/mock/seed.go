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

// Start is when a mock's clock begins.
var Start = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// clock tells how many ticks, of a millisecond each, have gone since Start.
type clock struct{ ticks atomic.Int64 }

func newClock() *clock { return &clock{} }

func (c *clock) tick() { c.ticks.Add(1) }

func (c *clock) read() time.Time {
	return Start.Add(time.Duration(c.ticks.Load()) * time.Millisecond)
}

// random gives bytes that follow from a seed. What draws on one has no part in what another gives.
type random struct {
	mu     sync.Mutex
	source *rand.ChaCha8
}

func newRandom(seed uint64, purpose string) *random {
	return &random{source: rand.NewChaCha8(sha256.Sum256(fmt.Appendf(nil, "dragoman mock %d %s", seed, purpose)))}
}

// Read fills p, and never fails.
func (r *random) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.source.Read(p)
}

// uuid gives the next UUID, of version 4.
func (r *random) uuid() string { return uuid.Must(uuid.NewRandomFromReader(r)).String() }
