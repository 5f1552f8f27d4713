package store

import (
	"cmp"
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// groupQueue makes groups of pieces of work that come at the same time, so that the database is asked once for all of a group. A
// piece that comes alone is done at once; those that come while it is under way are the next group.
type groupQueue[W any] struct {
	// others is what those are who ask, as errors say it.
	others string
	// do does the work of those of a group whom it takes, and sets the error of each.
	do func(group []*queued[W])
	// size is how many a group has at most, so that the first of them does not wait for a crowd.
	size int
	// workers is how many groups may be under way: another begins beside the first when a full one waits.
	workers int
	// patience is how long a group waits for those under way. Then it begins, and they do not count
	// any more. Zero is for ever.
	patience time.Duration
	// byAsker says that who asks does a piece that comes alone, which must then end with the asker's context.
	byAsker bool
	// limit is how many pieces may wait; a further one is refused. Zero means maxQueued.
	limit int

	mu       sync.Mutex
	waiting  []*queued[W]
	working  int         // how many groups are under way that are waited for
	epoch    int         // counts how often those under way were not waited for any longer
	overtake *time.Timer // ends the patience of those who wait; nil while nobody does
}

// maxQueued bounds what waits in a queue: several seconds' worth of work, and some ten megabytes of users.
const maxQueued = 4096

// queued is a piece of work in the queue. Whoever asked for it waits for done, and reads the rest after.
type queued[W any] struct {
	ctx      context.Context // of who asked for it
	work     W
	taken    atomic.Bool // by the group; or by who asked for it, to give it up
	waiters  atomic.Pointer[waiters]
	left     atomic.Bool // who asked for it is not one of the waiters any more
	done     chan struct{}
	err      error
	panicked any
}

// ask has the work done in a group and returns its error. When ctx ends first the error is an ErrUnavailable; the work was then
// not done, or its outcome is unknown. Work that was not begun by then leaves the queue at once. The error is also an ErrUnavailable,
// immediately, when the queue is full.
func (q *groupQueue[W]) ask(ctx context.Context, work W) error {
	w := &queued[W]{ctx: ctx, work: work, done: make(chan struct{})}
	next, epoch := q.enter(w)
	switch next {
	case refuse:
		return fmt.Errorf("waiting for other %s: %w: the queue is full", q.others, ErrUnavailable)
	case beginAlone:
		q.finish([]*queued[W]{w})
		q.goOn(epoch)
		return w.outcome()
	case beginGroup:
		go q.run(epoch)
	}
	select {
	case <-w.done:
		return w.outcome()
	case <-ctx.Done():
		w.leave()
		if w.taken.CompareAndSwap(false, true) {
			q.remove(w)
			return databaseError(ctx, "waiting for other "+q.others, ctx.Err())
		}
		return databaseError(ctx, "waiting for the transaction's end", ctx.Err())
	}
}

// outcome returns the error of what is done.
func (w *queued[W]) outcome() error {
	if w.panicked != nil {
		panic(w.panicked)
	}
	return w.err
}

// begin is what who asks is to do.
type begin int

const (
	wait       begin = iota
	beginGroup       // run the queue
	beginAlone       // do the own piece
	refuse           // too many wait already
)

func (q *groupQueue[W]) enter(w *queued[W]) (begin, int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.working == 0 && len(q.waiting) == 0 && q.byAsker {
		q.working++
		return beginAlone, q.epoch
	}
	if len(q.waiting) >= cmp.Or(q.limit, maxQueued) {
		return refuse, q.epoch
	}
	q.waiting = append(q.waiting, w)
	if q.working == 0 || len(q.waiting) >= q.size && q.working < q.workers {
		q.working++
		return beginGroup, q.epoch
	}
	q.limitPatience()
	return wait, q.epoch
}

// remove takes a piece that its caller has given up out of the queue. One that is in a group already keeps its place there, but none of
// what it would have done: it must have been taken, so that nobody else reads its work.
func (q *groupQueue[W]) remove(w *queued[W]) {
	var nothing W
	w.work = nothing
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.waiting, w); i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	}
}

// limitPatience sees to it that those who wait do not do so for ever. The mutex must be held.
func (q *groupQueue[W]) limitPatience() {
	if q.patience == 0 || q.overtake != nil || len(q.waiting) == 0 {
		return
	}
	q.overtake = time.AfterFunc(q.patience, func() {
		q.mu.Lock()
		q.epoch++
		q.working = 1
		epoch := q.epoch
		q.mu.Unlock()
		q.run(epoch)
	})
}

// goOn leaves the queue to another goroutine if somebody waits.
func (q *groupQueue[W]) goOn(epoch int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case epoch != q.epoch: // somebody has taken over
	case len(q.waiting) > 0:
		go q.run(epoch)
	default:
		q.working--
	}
}

// run does one group after the other until nobody waits, or somebody has taken over.
func (q *groupQueue[W]) run(epoch int) {
	for group := q.next(epoch); group != nil; group = q.next(epoch) {
		q.finish(group)
	}
}

// next returns the next group, or nil.
func (q *groupQueue[W]) next(epoch int) []*queued[W] {
	q.mu.Lock()
	defer q.mu.Unlock()
	if epoch != q.epoch {
		return nil
	}
	if q.overtake != nil {
		q.overtake.Stop()
		q.overtake = nil
	}
	if len(q.waiting) == 0 {
		q.working--
		return nil
	}
	group := q.waiting
	q.waiting = nil
	if len(group) > q.size {
		group, q.waiting = group[:q.size:q.size], group[q.size:]
	}
	q.limitPatience()
	return group
}

// takeAll takes those of a group who did not give up meanwhile, and cannot any more. Only their work may be read.
func takeAll[W any](group []*queued[W]) []*queued[W] {
	taken := make([]*queued[W], 0, len(group))
	for _, w := range group {
		if w.taken.CompareAndSwap(false, true) {
			taken = append(taken, w)
		}
	}
	return taken
}

// waiters are those who wait for the end of a group.
type waiters struct {
	number atomic.Int64
	cancel context.CancelFunc // for when there are none any more
}

// leave is called when who asked for a piece of work does not wait for it any more.
func (w *queued[W]) leave() {
	if all := w.waiters.Load(); all != nil && w.left.CompareAndSwap(false, true) && all.number.Add(-1) == 0 {
		all.cancel()
	}
}

// whileAnyWaits returns a context that ends when nobody of a group waits any more: one alone cannot call off what others wait for. Its
// values are those of the first.
func whileAnyWaits[W any](group []*queued[W]) (ctx context.Context, done context.CancelFunc) {
	if len(group) == 1 {
		return group[0].ctx, func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(group[0].ctx))
	all := &waiters{cancel: cancel}
	all.number.Store(int64(len(group)))
	for _, w := range group {
		w.waiters.Store(all)
		if w.ctx.Err() != nil {
			w.leave() // who has left already did not find the others
		}
	}
	return ctx, cancel
}

// finish does a group and tells those who wait for it.
func (q *groupQueue[W]) finish(group []*queued[W]) {
	defer func() {
		// A panic is kept for those who asked.
		if p := recover(); p != nil {
			for _, w := range group {
				w.panicked = fmt.Sprintf("%v\n%s", p, debug.Stack())
			}
		}
		for _, w := range group {
			close(w.done)
		}
	}()
	q.do(group)
}
