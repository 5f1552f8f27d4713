package store

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
)

// numberQueue is a queue of numbers whose groups are noted, in the order of their beginnings.
func numberQueue(groups *[][]int) *groupQueue[int] {
	return &groupQueue[int]{others: "others", size: 3, workers: 1, byAsker: true, do: func(group []*queued[int]) {
		var numbers []int
		for _, w := range takeAll(group) {
			numbers = append(numbers, w.work)
			if w.work < 0 {
				w.err = errUndone
			}
		}
		*groups = append(*groups, numbers)
	}}
}

func entered(t *testing.T, q *groupQueue[int], number int, want begin) (*queued[int], int) {
	t.Helper()
	w := &queued[int]{ctx: t.Context(), work: number, done: make(chan struct{})}
	next, epoch := q.enter(w)
	if next != want {
		t.Fatalf("%d enters and is to do %d, want %d", number, next, want)
	}
	return w, epoch
}

// TestAskedAllAtOnceEachIsAnsweredItsOwn, whether they went alone or together.
func TestAskedAllAtOnceEachIsAnsweredItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var groups [][]int
		q := numberQueue(&groups)
		for n := range 100 {
			if n%3 == 1 {
				n = -n
			}
			go func() {
				if err := q.ask(t.Context(), n); n < 0 != errors.Is(err, errUndone) {
					t.Errorf("%d: %v", n, err)
				}
			}()
		}
		synctest.Wait()
		total := 0
		for _, group := range groups {
			total += len(group)
		}
		if total != 100 || q.working != 0 || len(q.waiting) != 0 {
			t.Errorf("%d of 100 were done, %d are at work, %d wait", total, q.working, len(q.waiting))
		}
	})
}

// TestQueueIsBounded checks that a full queue refuses at once, and takes work again as soon as a caller has given up.
func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var groups [][]int
		q := numberQueue(&groups)
		q.limit = 2
		_, epoch := entered(t, q, 1, beginAlone)
		ctx, giveUp := context.WithCancel(t.Context())
		for n := 2; n <= 3; n++ {
			go func() {
				if err := q.ask(ctx, n); !errors.Is(err, context.Canceled) {
					t.Errorf("%d: %v, want context.Canceled", n, err)
				}
			}()
		}
		synctest.Wait()
		if err := q.ask(t.Context(), 4); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a full queue: %v, want ErrUnavailable", err)
		}
		giveUp()
		synctest.Wait()
		if n := q.length(); n != 0 {
			t.Errorf("%d wait after their callers gave up", n)
		}
		go func() {
			if err := q.ask(t.Context(), 5); err != nil {
				t.Errorf("5: %v", err)
			}
		}()
		synctest.Wait()
		q.goOn(epoch)
		synctest.Wait()
		if want := [][]int{{5}}; !slices.EqualFunc(groups, want, slices.Equal) {
			t.Errorf("the groups are %v, want %v", groups, want)
		}
	})
}
