package store_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// TestReadersHaveTheirTurnsInTheOrderTheyCame: of those who wait for a connection database/sql picks one at random.
func TestReadersHaveTheirTurnsInTheOrderTheyCame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := store.NewTurns(1)
		if err := turns.Take(t.Context()); err != nil {
			t.Fatal(err)
		}
		left, leave := context.WithCancel(t.Context())
		var served []int
		var readers group
		for n := range 30 {
			ctx := t.Context()
			if n%3 == 1 {
				ctx = left
			}
			readers.Go(func() {
				if err := turns.Take(ctx); err != nil {
					if ctx != left || !errors.Is(err, context.Canceled) {
						t.Errorf("reader %d: %v", n, err)
					}
					return
				}
				served = append(served, n)
				turns.Release()
			})
			synctest.Wait() // it waits behind those before it
		}
		leave()
		synctest.Wait()
		turns.Release()
		readers.Wait()
		var want []int
		for n := range 30 {
			if n%3 != 1 {
				want = append(want, n)
			}
		}
		if !slices.Equal(served, want) {
			t.Errorf("had their turns in the order %v", served)
		}
	})
}

// TestListsAndSearchesKeepOnlyTheirOwnKindWaiting: a search may take long, and a list by ids does not.
func TestListsAndSearchesKeepOnlyTheirOwnKindWaiting(t *testing.T) {
	t.Parallel()
	list, search, sorted := store.Query{}, store.Query{Filters: []store.Filter{store.Mentions("a")}}, store.Query{Sort: store.SortByEmail}
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		ask := func(q store.Query, patience time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, _, err := s.ListUsers(ctx, 1, q, store.Window{Limit: 10})
			return err
		}
		expect := func(passes, waits []store.Query) {
			t.Helper()
			before := s.PoolStates()[0]
			for _, q := range passes {
				if err := ask(q, 10*time.Second); err != nil {
					t.Errorf("%+v: %v", q, err)
				}
			}
			for _, q := range waits {
				if err := ask(q, 10*time.Millisecond); !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("%+v did not wait: %v", q, err)
				}
			}
			after, n := s.PoolStates()[0], int64(len(waits))
			if after.Waited-before.Waited != n || after.WaitedFor-before.WaitedFor < time.Duration(n)*5*time.Millisecond {
				t.Errorf("%d waits are told as %+v, before it was %+v", n, after, before)
			}
		}
		release := s.HoldSearches(t)
		expect([]store.Query{list}, []store.Query{search, sorted})
		release()
		release = s.HoldLists(t)
		expect([]store.Query{search, sorted}, []store.Query{list})
		release()
		expect([]store.Query{list, search, sorted}, nil)
	})
}

// TestWhoListsGivesTheTurnBack, whatever came of it.
func TestWhoListsGivesTheTurnBack(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for range 20 { // more than there are turns
			for _, q := range []store.Query{{}, {Sort: store.SortByEmail}} {
				if _, _, err := s.ListUsers(ended, 1, q, store.Window{Limit: 10}); !errors.Is(err, context.Canceled) {
					t.Errorf("%+v: whoever has left is told %v", q, err)
				}
			}
		}
		s.HoldSearches(t)()
		s.HoldLists(t)()
	})
}
