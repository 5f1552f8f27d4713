// Package semaphore provides a semaphore that is fair between tenants. Waiting jobs are admitted round-robin over the tenants that
// have any, and in FIFO order within a tenant. A tenant that queues a hundred jobs delays another tenant's job by those already
// running and by one more, not by a hundred. The package does not know what a job does: a tenant is a number, and a job holds a slot.
package semaphore

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"
)

// ErrFull: too many jobs are already waiting, of the tenant or in total.
var ErrFull = errors.New("too many jobs are waiting")

// Bounds limits the jobs that may wait at once: those of one tenant, and those of all tenants. Neither may be 0.
type Bounds struct{ Tenant, All int }

// Semaphore is a counting semaphore with a queue for each tenant. It is safe for concurrent use.
type Semaphore struct {
	slots  int
	bounds Bounds

	mu      sync.Mutex
	running int
	waiting int
	turns   list.List               // the *queue of each tenant that waits, in the order in which they are admitted from; none is empty
	queues  map[int64]*list.Element // of turns, by tenant
	stats   Stats
}

// Stats counts what a semaphore has done since it was made.
type Stats struct {
	Waits     int64         // jobs that had to wait
	WaitedFor time.Duration // the total time that they waited
	Refused   int64         // jobs rejected with ErrFull
}

// queue is a FIFO of one tenant's waiting jobs, each a *waiter.
type queue struct {
	tenant int64
	list.List
}

type waiter struct {
	admitted chan struct{} // closed when the waiter gets a slot
	queue    *list.Element // of turns
	place    *list.Element // in the queue; nil once the waiter has left it
}

// New returns a semaphore with the given number of slots and bounds on its queues.
func New(slots int, bounds Bounds) *Semaphore {
	return &Semaphore{slots: slots, bounds: bounds, queues: map[int64]*list.Element{}}
}

// Acquire waits for a slot on behalf of a tenant. Call Release to return the slot. The error is ErrFull, or ctx's error if ctx ends
// first; the job then leaves the queue at once.
func (s *Semaphore) Acquire(ctx context.Context, tenant int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.running < s.slots { // then no job is waiting
		s.running++
		s.mu.Unlock()
		return nil
	}
	w, err := s.enqueue(tenant)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	began := time.Now()
	select {
	case <-w.admitted:
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Waits++
	s.stats.WaitedFor += time.Since(began)
	if err == nil {
		return nil
	}
	if w.place != nil {
		s.remove(w)
	} else {
		s.pass() // it was admitted at the same moment
	}
	return err
}

// Release returns a slot, which passes to the next waiting job if there is one.
func (s *Semaphore) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pass()
}

// pass gives a slot to the next waiting job and advances to the next tenant. If no job is waiting, it frees the slot.
func (s *Semaphore) pass() {
	next := s.turns.Front()
	if next == nil {
		s.running--
		return
	}
	s.turns.MoveToBack(next)
	w := next.Value.(*queue).Front().Value.(*waiter)
	s.remove(w)
	close(w.admitted)
}

func (s *Semaphore) enqueue(tenant int64) (*waiter, error) {
	turn := s.queues[tenant]
	if s.waiting >= s.bounds.All || turn != nil && turn.Value.(*queue).Len() >= s.bounds.Tenant {
		s.stats.Refused++
		return nil, ErrFull
	}
	if turn == nil {
		turn = s.turns.PushBack(&queue{tenant: tenant})
		s.queues[tenant] = turn
	}
	w := &waiter{admitted: make(chan struct{}), queue: turn}
	w.place = turn.Value.(*queue).PushBack(w)
	s.waiting++
	return w, nil
}

// remove removes a waiter from its queue, and the queue if it is now empty.
func (s *Semaphore) remove(w *waiter) {
	q := w.queue.Value.(*queue)
	q.Remove(w.place)
	w.place = nil
	s.waiting--
	if q.Len() == 0 {
		s.turns.Remove(w.queue)
		delete(s.queues, q.tenant)
	}
}

// Load is the number of a semaphore's slots, running jobs and waiting jobs at one moment.
type Load struct{ Slots, Running, Waiting int }

// Load returns the current load of s.
func (s *Semaphore) Load() Load {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Load{Slots: s.slots, Running: s.running, Waiting: s.waiting}
}

// Stats returns the statistics of s.
func (s *Semaphore) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}
