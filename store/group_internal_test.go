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

// TestWhoComesRightAfterAPieceGoesWithIt: the first, which was to go alone, is then the first of a group.
func TestWhoComesRightAfterAPieceGoesWithIt(t *testing.T) {
	t.Parallel()
	var groups [][]int
	q := numberQueue(&groups)
	first, epoch := entered(t, q, 1, beginAlone)
	if q.joined(first, epoch) {
		t.Error("a piece is joined by nobody")
	}
	var all []*queued[int]
	for n := 2; n <= 4; n++ {
		w, _ := entered(t, q, n, wait)
		all = append(all, w)
	}
	if !q.joined(first, epoch) {
		t.Fatal("three have come, and the first does not know")
	}
	q.run(epoch)
	for _, w := range append(all, first) {
		<-w.done
	}
	if want := [][]int{{1, 2, 3}, {4}}; !slices.EqualFunc(groups, want, slices.Equal) {
		t.Errorf("the groups are %v, want %v", groups, want)
	}
	entered(t, q, 5, beginAlone) // nobody is at work any more
}

// TestAPieceDoesNotJoinThoseWhoWaitForNobodyAnyMore: somebody else runs the queue by then.
func TestAPieceDoesNotJoinThoseWhoWaitForNobodyAnyMore(t *testing.T) {
	t.Parallel()
	q := numberQueue(new([][]int))
	first, epoch := entered(t, q, 1, beginAlone)
	entered(t, q, 2, wait)
	q.epoch++
	if q.joined(first, epoch) {
		t.Error("the first would run a queue that somebody has taken over")
	}
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
