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

// TestSlowReadersLeaveConnections takes every place that lists, searches, histories and the feed have, and every connection they use:
// users and customers are still found, and the database still shows a sign of life.
func TestSlowReadersLeaveConnections(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		lists, searches := s.HoldLists(t), s.HoldSearches(t)
		defer lists()
		defer searches()
		read, write := s.Pools()
		limited := context.WithoutCancel(t.Context())
		for range read.Stats().MaxOpenConnections {
			conn, err := read.Conn(limited)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
		}
		if err := s.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		find(t, s, ada)
		if _, err := s.FindCustomer(t.Context(), store.CustomerByID(3393)); err != nil {
			t.Error(err)
		}
		if _, err := s.FindCompany(t.Context(), 3393, 5251); err != nil {
			t.Error(err)
		}
		if read != write {
			edit(t, s, ada, func(u *store.User) { u.FirstName = "Augusta" })
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for name, ask := range map[string]func() error{
			"history": func() error { _, err := s.UserHistory(ended, ada, 0, 1); return err },
			"feed":    func() error { _, _, err := s.ListChanges(ended, store.FeedScope{All: true}, 0, 1); return err },
			"stream":  func() error { _, err := s.UsersAfter(ended, 3393, 0, 1); return err },
		} {
			if err := ask(); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v, want context.Canceled", name, err)
			}
		}
	})
}

// TestListsLeaveConnectionsToWriters: together they take less than the whole pool.
func TestListsLeaveConnectionsToWriters(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		read, write := s.Pools()
		if most := read.Stats().MaxOpenConnections; read == write && s.Readers() >= most {
			t.Errorf("lists and searches may take %d of %d connections", s.Readers(), most)
		}
	})
}
