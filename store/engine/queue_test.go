package engine

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var errNegative = errors.New("negative")

// numbers is a queue of numbers that records its batches, in the order in which they begin. A batch with a zero waits until block
// is closed.
type numbers struct {
	Queue[int]
	batches [][]int
	block   chan struct{}
}

func newNumbers() *numbers {
	q := &numbers{block: make(chan struct{})}
	q.Queue = Queue[int]{Jobs: "numbers", MaxBatch: 3, MaxRunning: 1, Run: func(batch []*Job[int]) {
		var claimed []int
		for _, j := range Claim(batch) {
			claimed = append(claimed, j.Work)
			if j.Work < 0 {
				j.Err = errNegative
			}
		}
		q.batches = append(q.batches, claimed)
		if slices.Contains(claimed, 0) {
			<-q.block
		}
		if slices.Contains(claimed, 99) {
			panic("ninety-nine")
		}
	}}
	return q
}

func (q *numbers) do(t *testing.T, ctx context.Context, number int) {
	go func() {
		if err := q.Do(ctx, number); err != nil {
			t.Errorf("%d: %v", number, err)
		}
	}()
	synctest.Wait()
}

func (q *numbers) check(t *testing.T, want ...[]int) {
	t.Helper()
	if !slices.EqualFunc(q.batches, want, slices.Equal) {
		t.Errorf("the batches are %v, want %v", q.batches, want)
	}
	if q.running != 0 || len(q.waiting) != 0 {
		t.Errorf("%d batches run, %d jobs wait", q.running, len(q.waiting))
	}
}

func TestJobsFormBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newNumbers()
		for n := range 6 {
			q.do(t, t.Context(), n)
		}
		close(q.block)
		synctest.Wait()
		q.do(t, t.Context(), 6)
		q.check(t, []int{0}, []int{1, 2, 3}, []int{4, 5}, []int{6})
	})
}

// TestLoneJobRunsOnItsCaller checks that a job without companions starts no goroutine: its panic is its caller's own.
func TestLoneJobRunsOnItsCaller(t *testing.T) {
	t.Parallel()
	caller := make(chan struct{}, 1)
	q := Queue[int]{MaxBatch: 3, MaxRunning: 1, Run: func([]*Job[int]) {
		var stack [1 << 14]byte
		if !strings.Contains(string(stack[:runtime.Stack(stack[:], false)]), "TestLoneJobRunsOnItsCaller(") {
			t.Error("the job runs on another goroutine")
		}
		caller <- struct{}{}
	}}
	if err := q.Do(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	<-caller
}

// TestDetachedJobEndsWithContext checks that a caller without companions returns at its deadline although its job does not end, and that
// the queue works on.
func TestDetachedJobEndsWithContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newNumbers()
		q.Detached = true
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := q.Do(ctx, 0); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a job that does not end: %v", err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("the caller returns after %s", took)
		}
		close(q.block)
		synctest.Wait()
		q.do(t, t.Context(), 1)
		q.check(t, []int{0}, []int{1})
	})
}

func TestEachJobGetsItsOwnResult(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newNumbers()
		for n := range 90 {
			if n%3 == 1 {
				n = -n
			}
			go func() {
				if err := q.Do(t.Context(), n); n < 0 != errors.Is(err, errNegative) {
					t.Errorf("%d: %v", n, err)
				}
			}()
		}
		synctest.Wait()
		close(q.block)
		synctest.Wait()
		total := 0
		for _, batch := range q.batches {
			total += len(batch)
		}
		if total != 90 || q.running != 0 || len(q.waiting) != 0 {
			t.Errorf("%d of 90 were done, %d batches run, %d jobs wait", total, q.running, len(q.waiting))
		}
	})
}

// TestQueueIsBounded checks that a full queue refuses at once, and takes work again as soon as a caller has given up.
func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newNumbers()
		q.MaxWaiting = 2
		q.do(t, t.Context(), 0)
		ctx, giveUp := context.WithCancel(t.Context())
		for n := 2; n <= 3; n++ {
			go func() {
				if err := q.Do(ctx, n); !errors.Is(err, context.Canceled) {
					t.Errorf("%d: %v, want context.Canceled", n, err)
				}
			}()
		}
		synctest.Wait()
		if err := q.Do(t.Context(), 4); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a full queue: %v, want ErrUnavailable", err)
		}
		giveUp()
		synctest.Wait()
		if n := q.Waiting(); n != 0 {
			t.Errorf("%d wait after their callers gave up", n)
		}
		q.do(t, t.Context(), 5)
		close(q.block)
		synctest.Wait()
		q.check(t, []int{0}, []int{5})
	})
}

// TestStalledBatch checks that jobs do not wait longer than StallAfter for a batch that does not end, nor again once it has ended.
func TestStalledBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newNumbers()
		q.StallAfter = time.Second
		q.do(t, t.Context(), 0)
		began := time.Now()
		for n := 1; n <= 3; n++ {
			if err := q.Do(t.Context(), n); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("three jobs beside a stalled one took %s", took)
		}
		close(q.block)
		synctest.Wait()
		q.check(t, []int{0}, []int{1}, []int{2}, []int{3})
	})
}

// TestBatchContext checks that a batch's context ends when its last caller has gone, and not before.
func TestBatchContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ended []bool
		hold := make(chan struct{})
		q := Queue[int]{Jobs: "numbers", MaxBatch: 3, MaxRunning: 1}
		q.Run = func(batch []*Job[int]) {
			Claim(batch)
			if len(batch) == 1 {
				<-hold
				return
			}
			ctx, done := BatchContext(batch)
			defer done()
			<-ctx.Done()
			ended = append(ended, true)
		}
		go func() { _ = q.Do(t.Context(), 0) }()
		synctest.Wait()
		first, goFirst := context.WithCancel(t.Context())
		second, goSecond := context.WithCancel(t.Context())
		for _, ctx := range []context.Context{first, second} {
			go func() {
				if err := q.Do(ctx, 1); !errors.Is(err, context.Canceled) {
					t.Errorf("a caller who left gets %v", err)
				}
			}()
		}
		synctest.Wait()
		close(hold)
		synctest.Wait()
		goFirst()
		synctest.Wait()
		if len(ended) != 0 {
			t.Error("the first caller's end ended the batch")
		}
		goSecond()
		synctest.Wait()
		if len(ended) != 1 {
			t.Error("the batch goes on although nobody waits for it")
		}
	})
}

// TestPanicReachesCallers checks that a panic of a batch is each caller's, and that the queue works on.
func TestPanicReachesCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newNumbers()
		q.do(t, t.Context(), 0)
		panics := make(chan any, 2)
		for _, n := range []int{99, 1} {
			go func() {
				defer func() { panics <- recover() }()
				_ = q.Do(t.Context(), n)
			}()
		}
		synctest.Wait()
		close(q.block)
		for range 2 {
			if p, _ := (<-panics).(string); !strings.HasPrefix(p, "ninety-nine") {
				t.Errorf("a caller gets the panic %q", p)
			}
		}
		q.do(t, t.Context(), 2)
	})
}
