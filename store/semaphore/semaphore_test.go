package semaphore_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/dragoman-id/dragoman/store/semaphore"
)

// admitted returns the order in which those who wait are admitted to one slot, one after another: each letter is a job of the
// tenant of that name, in the order in which they come. Those of lower case give up before the first is admitted.
func admitted(t *testing.T, jobs string) string {
	t.Helper()
	var order []byte
	synctest.Test(t, func(t *testing.T) {
		s := semaphore.New(1, semaphore.Bounds{Tenant: 100, All: 100})
		if err := s.Acquire(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		gone, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for _, job := range []byte(jobs) {
			tenant, ctx := int64(job), t.Context()
			if 'a' <= job && job <= 'z' {
				tenant, ctx = int64(job-'a'+'A'), gone
			}
			all.Go(func() {
				if err := s.Acquire(ctx, tenant); err != nil {
					if ctx != gone || !errors.Is(err, context.Canceled) {
						t.Errorf("job %c: %v", job, err)
					}
					return
				}
				order = append(order, job)
				s.Release()
			})
			synctest.Wait()
		}
		leave()
		synctest.Wait()
		if n, want := s.Load().Waiting, len(strings.Trim(jobs, "abc")); strings.ToUpper(jobs) == jobs && n != want {
			t.Errorf("%d wait, want %d", n, want)
		}
		s.Release()
		all.Wait()
		if l := s.Load(); l.Running != 0 || l.Waiting != 0 {
			t.Errorf("%+v is left", l)
		}
	})
	return string(order)
}

func TestTenantsAreAdmittedRoundRobin(t *testing.T) {
	t.Parallel()
	for jobs, want := range map[string]string{
		"":             "",
		"AAAA":         "AAAA",
		"AAAAAAB":      "ABAAAAA",
		"AAABBC":       "ABCABA",
		"ABAACBA":      "ABCABAA",
		"aAaAB":        "ABA",
		"aaaB":         "B",
		"AbC":          "AC",
		"aBcDaBD":      "BDBD",
		"AAAAaaaaBbCc": "ABCAAA",
	} {
		if got := admitted(t, jobs); got != want {
			t.Errorf("%s are admitted as %s, want %s", jobs, got, want)
		}
	}
}

func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := semaphore.New(2, semaphore.Bounds{Tenant: 2, All: 3})
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		var errs []error
		var all sync.WaitGroup
		for _, tenant := range []int64{1, 1, 1, 1, 1, 2, 3} {
			all.Go(func() {
				err := s.Acquire(ctx, tenant)
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			})
			synctest.Wait()
		}
		full := func(err error) bool { return errors.Is(err, semaphore.ErrFull) }
		if len(errs) != 4 || !full(errs[2]) || !full(errs[3]) {
			t.Errorf("answered %v, want two admitted, one refused for its tenant, one for all", errs)
		}
		if l, n := s.Load(), s.Stats().Refused; l != (semaphore.Load{Slots: 2, Running: 2, Waiting: 3}) || n != 2 {
			t.Errorf("%+v, %d refused", l, n)
		}
		cancel()
		all.Wait()
		if l := s.Load(); l.Waiting != 0 || l.Running != 2 {
			t.Errorf("%+v after all gave up", l)
		}
		if got := s.Stats(); got.Waits != 3 {
			t.Errorf("%+v", got)
		}
		if err := s.Acquire(ctx, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("whoever has given up is told %v", err)
		}
	})
}

// TestNoSlotIsLost: whoever gives up at the moment of being admitted passes the slot on.
func TestNoSlotIsLost(t *testing.T) {
	t.Parallel()
	s := semaphore.New(3, semaphore.Bounds{Tenant: 50, All: 200})
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			for i := range 2000 {
				ctx, cancel := context.WithCancel(context.Background())
				if (i+n)%3 == 0 {
					go cancel()
				}
				if s.Acquire(ctx, int64(n%4)) == nil {
					s.Release()
				}
				cancel()
			}
		})
	}
	all.Wait()
	if l := s.Load(); l.Running != 0 || l.Waiting != 0 {
		t.Errorf("%+v is left", l)
	}
	for range 3 {
		if err := s.Acquire(t.Context(), 1); err != nil {
			t.Error(err)
		}
	}
	if !slices.Equal([]int{s.Load().Running, s.Load().Waiting}, []int{3, 0}) {
		t.Errorf("%+v", s.Load())
	}
}
