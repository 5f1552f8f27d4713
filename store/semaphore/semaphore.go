// Package semaphore provides a semaphore that is fair between tenants. Waiting jobs are admitted round-robin over the tenants that
// have any, and in FIFO order within a tenant. A tenant that queues a hundred jobs delays another tenant's job by those already
// running and by one more, not by a hundred.
package semaphore

import (
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
	queues  map[int64]*queue // by tenant; no queue is empty
	next    *queue           // the queue to admit from next, in a ring of all queues; nil if nothing waits
	stats   Stats
}

// Stats counts what a semaphore has done since it was made.
type Stats struct {
	Waits     int64         // jobs that had to wait
	WaitedFor time.Duration // the total time that they waited
	Refused   int64         // jobs rejected with ErrFull
}

// queue is a FIFO of one tenant's waiting jobs.
type queue struct {
	tenant      int64
	first, last *waiter
	length      int
	before      *queue
	after       *queue
}

type waiter struct {
	admitted      chan struct{} // closed when the waiter gets a slot
	queue         *queue        // nil once the waiter has left it
	before, after *waiter
}

// New returns a semaphore with the given number of slots and bounds on its queues.
func New(slots int, bounds Bounds) *Semaphore {
	return &Semaphore{slots: slots, bounds: bounds, queues: map[int64]*queue{}}
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
	if w.queue != nil {
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
	if s.next == nil {
		s.running--
		return
	}
	w := s.next.first
	s.next = s.next.after
	s.remove(w)
	close(w.admitted)
}

func (s *Semaphore) enqueue(tenant int64) (*waiter, error) {
	q := s.queues[tenant]
	if s.waiting >= s.bounds.All || q != nil && q.length >= s.bounds.Tenant {
		s.stats.Refused++
		return nil, ErrFull
	}
	if q == nil {
		q = &queue{tenant: tenant}
		s.queues[tenant] = q
		s.insert(q)
	}
	w := &waiter{admitted: make(chan struct{}), queue: q, before: q.last}
	if q.last == nil {
		q.first = w
	} else {
		q.last.after = w
	}
	q.last = w
	q.length++
	s.waiting++
	return w, nil
}

// insert adds a tenant's queue to the ring, so that all others are served before it.
func (s *Semaphore) insert(q *queue) {
	if s.next == nil {
		q.before, q.after = q, q
		s.next = q
		return
	}
	q.after, q.before = s.next, s.next.before
	q.before.after, q.after.before = q, q
}

// remove removes a waiter from its queue, and the queue from the ring if it is now empty.
func (s *Semaphore) remove(w *waiter) {
	q := w.queue
	w.queue = nil
	if w.before == nil {
		q.first = w.after
	} else {
		w.before.after = w.after
	}
	if w.after == nil {
		q.last = w.before
	} else {
		w.after.before = w.before
	}
	q.length--
	s.waiting--
	if q.length > 0 {
		return
	}
	delete(s.queues, q.tenant)
	if q.after == q {
		s.next = nil
		return
	}
	q.before.after, q.after.before = q.after, q.before
	if s.next == q {
		s.next = q.after
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
