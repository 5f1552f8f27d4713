package engine

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

// MaxQueued bounds the jobs that wait in a queue: several seconds' worth of work, and some ten megabytes.
const MaxQueued = 4096

// Queue runs jobs, and collects those that come at the same time into batches, so that the database is asked once for all of a
// batch. A job that comes while no batch runs has no companions: it is run at once, on its caller's goroutine unless Detached is set.
// Those that come meanwhile form the next batch. The exported fields must not change once the queue is used.
type Queue[W any] struct {
	// Jobs is what the jobs are, such as "writers", for errors.
	Jobs string
	// Run runs the jobs of a batch that [Claim] returns, and sets the error of each. Unless Detached is set, a job that is run alone
	// must end with its context.
	Run func(batch []*Job[W])
	// Detached runs each batch on a goroutine of its own, so that a caller returns when its context ends even where Run does not.
	Detached bool
	// MaxBatch is how many jobs a batch has at most, so that the first of them does not wait for all.
	MaxBatch int
	// MaxRunning is how many batches may run: another begins beside the first when a full one waits.
	MaxRunning int
	// StallAfter is how long jobs wait for the batches that run. Then these count as stalled, and the next one begins beside them.
	// Zero is for ever.
	StallAfter time.Duration
	// MaxWaiting is how many jobs may wait; a further one is refused. Zero means MaxQueued.
	MaxWaiting int

	mu         sync.Mutex
	waiting    []*Job[W]
	running    int         // batches, but for those that have stalled
	generation int         // counts how often the running batches were found to have stalled
	stall      *time.Timer // for the jobs that wait; nil while none does
}

// Job is a piece of work in a queue.
type Job[W any] struct {
	// Context is the caller's.
	Context context.Context
	// Work is what is to be done. Only a job that was claimed has any.
	Work W
	// Err is what the caller gets.
	Err error

	claimed  atomic.Bool // by the batch that runs it, or by a caller who gives up
	batch    atomic.Pointer[callers]
	left     atomic.Bool // the caller is none of the batch's callers any more
	done     chan struct{}
	panicked any
}

// Do has work done, alone or in a batch, and returns its error. When ctx ends first the error is an ErrUnavailable or ctx's; the
// work was then not done, or its outcome is unknown. Work that was not begun by then leaves the queue at once. The error is also an
// ErrUnavailable, immediately, when the queue is full.
func (q *Queue[W]) Do(ctx context.Context, work W) error {
	j := &Job[W]{Context: ctx, Work: work, done: make(chan struct{})}
	next, generation := q.enter(j)
	switch next {
	case refuse:
		return fmt.Errorf("waiting for other %s: %w: the queue is full", q.Jobs, ErrUnavailable)
	case runAlone:
		q.finish([]*Job[W]{j})
		q.handOver(generation)
		return j.result()
	case runBatches:
		go q.runBatches(generation)
	}
	select {
	case <-j.done:
		return j.result()
	case <-ctx.Done():
		j.leave()
		if j.claimed.CompareAndSwap(false, true) {
			q.remove(j)
			return q.ended(ctx, "waiting for other "+q.Jobs)
		}
		return q.ended(ctx, "waiting for the transaction's end")
	}
}

func (q *Queue[W]) ended(ctx context.Context, doing string) error {
	return Wrap(ctx, doing, ctx.Err(), func(err error) error { return Kind(err, func(error) error { return nil }) })
}

func (j *Job[W]) result() error {
	if j.panicked != nil {
		panic(j.panicked)
	}
	return j.Err
}

// action is what a caller does about its job.
type action int

const (
	wait       action = iota
	runBatches        // run the queue's batches on a new goroutine
	runAlone          // run its own job
	refuse            // too many jobs wait already
)

func (q *Queue[W]) enter(j *Job[W]) (action, int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.running == 0 && len(q.waiting) == 0 && !q.Detached {
		q.running++
		return runAlone, q.generation
	}
	if len(q.waiting) >= cmp.Or(q.MaxWaiting, MaxQueued) {
		return refuse, q.generation
	}
	q.waiting = append(q.waiting, j)
	if q.running == 0 || len(q.waiting) >= q.MaxBatch && q.running < q.MaxRunning {
		q.running++
		return runBatches, q.generation
	}
	q.watchForStall()
	return wait, q.generation
}

// remove takes a job that its caller has given up, and claimed, out of the queue. One that is in a batch keeps its place there, but
// not its work.
func (q *Queue[W]) remove(j *Job[W]) {
	var none W
	j.Work = none
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.waiting, j); i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	}
}

// watchForStall starts the timer for the jobs that wait. The mutex must be locked.
func (q *Queue[W]) watchForStall() {
	if q.StallAfter == 0 || q.stall != nil || len(q.waiting) == 0 {
		return
	}
	q.stall = time.AfterFunc(q.StallAfter, func() {
		q.mu.Lock()
		q.generation++
		q.running = 1
		generation := q.generation
		q.mu.Unlock()
		q.runBatches(generation)
	})
}

// handOver leaves the queue to a new goroutine if jobs wait.
func (q *Queue[W]) handOver(generation int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case generation != q.generation: // this goroutine's batch had stalled
	case len(q.waiting) > 0:
		go q.runBatches(generation)
	default:
		q.running--
	}
}

// runBatches runs one batch after the other until no job waits, or one of them has stalled.
func (q *Queue[W]) runBatches(generation int) {
	for batch := q.next(generation); batch != nil; batch = q.next(generation) {
		q.finish(batch)
	}
}

// next returns the next batch, or nil.
func (q *Queue[W]) next(generation int) []*Job[W] {
	q.mu.Lock()
	defer q.mu.Unlock()
	if generation != q.generation {
		return nil
	}
	if q.stall != nil {
		q.stall.Stop()
		q.stall = nil
	}
	if len(q.waiting) == 0 {
		q.running--
		return nil
	}
	batch := q.waiting
	q.waiting = nil
	if len(batch) > q.MaxBatch {
		batch, q.waiting = batch[:q.MaxBatch:q.MaxBatch], batch[q.MaxBatch:]
	}
	q.watchForStall()
	return batch
}

// finish runs a batch and wakes its callers. A panic is theirs.
func (q *Queue[W]) finish(batch []*Job[W]) {
	defer func() {
		if p := recover(); p != nil {
			for _, j := range batch {
				j.panicked = fmt.Sprintf("%v\n%s", p, debug.Stack())
			}
		}
		for _, j := range batch {
			close(j.done)
		}
	}()
	q.Run(batch)
}

// Waiting returns how many jobs wait for the next batch.
func (q *Queue[W]) Waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// Claim returns the jobs of a batch whose callers have not given up, and now cannot any more.
func Claim[W any](batch []*Job[W]) []*Job[W] {
	claimed := make([]*Job[W], 0, len(batch))
	for _, j := range batch {
		if j.claimed.CompareAndSwap(false, true) {
			claimed = append(claimed, j)
		}
	}
	return claimed
}

// callers are those of a batch who still wait for it.
type callers struct {
	number atomic.Int64
	cancel context.CancelFunc // called when none is left
}

// leave is called when the caller of a job does not wait for it any more.
func (j *Job[W]) leave() {
	if all := j.batch.Load(); all != nil && j.left.CompareAndSwap(false, true) && all.number.Add(-1) == 0 {
		all.cancel()
	}
}

// BatchContext returns a context that ends when no caller of a batch waits any more: one alone cannot cancel what others wait
// for. Its values are those of the first.
func BatchContext[W any](batch []*Job[W]) (ctx context.Context, done context.CancelFunc) {
	if len(batch) == 1 {
		return batch[0].Context, func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(batch[0].Context))
	all := &callers{cancel: cancel}
	all.number.Store(int64(len(batch)))
	for _, j := range batch {
		j.batch.Store(all)
		if j.Context.Err() != nil {
			j.leave() // a caller who left before did not find the batch
		}
	}
	return ctx, cancel
}
