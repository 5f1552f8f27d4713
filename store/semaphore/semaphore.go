// Package semaphore bounds how much work goes on at once, fairly between tenants: those who wait are admitted round-robin over
// the tenants that wait, and first come, first served within one. A tenant that sends a hundred jobs delays another's one by
// those that run already and by one more, not by a hundred.
package semaphore

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrFull is the error of a job for which the queue has no room: too many wait already, of its tenant or in all.
var ErrFull = errors.New("too many wait already")

// Bounds are how many may wait at once: of one tenant, and of all. Neither is 0.
type Bounds struct{ Tenant, All int }

// Semaphore has so many slots. It is safe for concurrent use.
type Semaphore struct {
	slots  int
	bounds Bounds

	mu      sync.Mutex
	running int
	waiting int
	queues  map[int64]*queue // of the tenants of whom somebody waits
	next    *queue           // whose turn it is: one of a ring of all queues; nil: nobody waits
	stats   Stats
}

// Stats is what a semaphore has had to do so far.
type Stats struct {
	Waits     int64         // jobs that had to wait
	WaitedFor time.Duration // for how long, in all
	Refused   int64         // jobs for which the queue had no room
}

// queue is those of one tenant who wait, in the order in which they came.
type queue struct {
	tenant      int64
	first, last *waiter
	length      int
	before      *queue
	after       *queue
}

type waiter struct {
	admitted      chan struct{} // closed when it has a slot
	queue         *queue
	before, after *waiter
}

// New returns a semaphore with so many slots, and bounds for those who wait.
func New(slots int, bounds Bounds) *Semaphore {
	return &Semaphore{slots: slots, bounds: bounds, queues: map[int64]*queue{}}
}

// Acquire waits for a slot in the name of a tenant; Release gives it back. The error is ErrFull, or ctx's when that ends
// first: whoever waited for it then leaves the queue at once.
func (s *Semaphore) Acquire(ctx context.Context, tenant int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.running < s.slots { // nobody waits then
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

// Release gives a slot back, to whoever is next.
func (s *Semaphore) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pass()
}

// pass gives a slot to whoever is next, and the turn to the tenant after theirs.
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

// insert puts a tenant's queue into the ring, behind all others.
func (s *Semaphore) insert(q *queue) {
	if s.next == nil {
		q.before, q.after = q, q
		s.next = q
		return
	}
	q.after, q.before = s.next, s.next.before
	q.before.after, q.after.before = q, q
}

// remove takes a waiter out of its queue, and the queue out of the ring when it is empty.
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

// Load is how much a semaphore has to do at a moment.
type Load struct{ Slots, Running, Waiting int }

// Load returns how much s has to do.
func (s *Semaphore) Load() Load {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Load{Slots: s.slots, Running: s.running, Waiting: s.waiting}
}

// Stats returns what s has had to do so far.
func (s *Semaphore) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}
