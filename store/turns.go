package store

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// turns let so many readers at a time ask the database, in the order of coming. Of those who wait for a connection database/sql picks
// one at random, and the unlucky wait several times as long as most.
type turns struct {
	taken chan struct{} // one is in it for each turn that is taken

	waits     atomic.Int64
	waitedFor atomic.Int64 // nanoseconds
}

func newTurns(n int) *turns { return &turns{taken: make(chan struct{}, n)} }

// take waits for a turn until ctx ends. Its error is ctx's.
func (t *turns) take(ctx context.Context) error {
	select {
	case t.taken <- struct{}{}:
		return nil
	default:
	}
	began := time.Now()
	defer func() {
		t.waits.Add(1)
		t.waitedFor.Add(int64(time.Since(began)))
	}()
	select {
	case t.taken <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for other readers: %w", ctx.Err())
	}
}

// release passes the turn to the one who has waited longest.
func (t *turns) release() { <-t.taken }

// addTo adds to the state of a pool how those who ask over it waited for their turns.
func (t *turns) addTo(p *Pool) {
	p.Waited += t.waits.Load()
	p.WaitedFor += time.Duration(t.waitedFor.Load())
}
