package store_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
	"gorm.io/gorm"
)

// TestReadersAreFairBetweenCustomers: of 20 lists of one customer and one of another that came last, the other's is the second.
func TestReadersAreFairBetweenCustomers(t *testing.T) {
	t.Parallel()
	for name, k := range map[string]struct {
		read    func(ctx context.Context, s *store.Store, customer int64) error
		hold    func(s *store.Store, t *testing.T) (release func(n int))
		waiting func(*store.Store) int
	}{
		"searches": {func(ctx context.Context, s *store.Store, customer int64) error {
			_, _, err := s.ListUsers(ctx, customer, store.Query{Filters: []store.Filter{store.Mentions("a")}}, store.Window{Limit: 1})
			return err
		}, (*store.Store).HoldSomeSearches, (*store.Store).SearchesWaiting},
		"lists": {func(ctx context.Context, s *store.Store, customer int64) error {
			_, _, err := s.ListUsers(ctx, customer, store.Query{}, store.Window{Limit: 1})
			return err
		}, (*store.Store).HoldSomeLists, (*store.Store).ListsWaiting},
		"streams": {func(ctx context.Context, s *store.Store, customer int64) error {
			_, err := s.UsersAfter(ctx, customer, 0, 1)
			return err
		}, (*store.Store).HoldSomeLists, (*store.Store).ListsWaiting},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Each(t, func(t *testing.T, s *store.Store) {
				storetest.Directory(t, s)
				// The order of admission is that of the first queries, as one reader at a time is let in.
				var order []int64
				err := s.Gorm().Callback().Query().Before("gorm:query").Register("test:order", func(db *gorm.DB) {
					if first, ok := db.Statement.Context.Value(reader{}).(*sync.Once); ok {
						first.Do(func() { order = append(order, db.Statement.Context.Value(customer{}).(int64)) })
					}
				})
				if err != nil {
					t.Fatal(err)
				}
				release := k.hold(s, t)
				var all sync.WaitGroup
				start := func(id int64) {
					n := k.waiting(s)
					ctx := context.WithValue(context.WithValue(t.Context(), reader{}, &sync.Once{}), customer{}, id)
					all.Go(func() {
						if err := k.read(ctx, s, id); err != nil {
							t.Error(err)
						}
					})
					for k.waiting(s) == n {
						runtime.Gosched()
					}
				}
				const flood = 200
				for range flood {
					start(3393)
				}
				start(3394)
				release(1)
				all.Wait()
				if len(order) != flood+1 || order[1] != 3394 {
					t.Errorf("%d readers, the other's was number %d", len(order), slices.Index(order, 3394)+1)
				}
			})
		})
	}
}

// The keys of a reader's context.
type (
	reader   struct{}
	customer struct{}
)

// TestReadersBeyondTheQueueAreRefused at once.
func TestReadersBeyondTheQueueAreRefused(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		defer s.HoldSearches(t)()
		ctx, leave := context.WithCancel(t.Context())
		search := func() error {
			_, _, err := s.ListUsers(ctx, 3393, store.Query{Sort: store.SortByEmail}, store.Window{Limit: 1})
			return err
		}
		var all sync.WaitGroup
		for range 256 {
			all.Go(func() {
				if err := search(); !errors.Is(err, context.Canceled) {
					t.Errorf("whoever waited is told %v", err)
				}
			})
		}
		for s.SearchesWaiting() < 256 {
			runtime.Gosched()
		}
		if err := search(); !errors.Is(err, store.ErrBusy) {
			t.Errorf("one more is told %v", err)
		}
		leave()
		all.Wait()
		if n := s.SearchesWaiting(); n != 0 {
			t.Errorf("%d wait after all have left", n)
		}
	})
}

// TestListsAndSearchesWaitSeparately: a search may take long, and a list by ids does not.
func TestListsAndSearchesWaitSeparately(t *testing.T) {
	t.Parallel()
	list, search, sorted := store.Query{}, store.Query{Filters: []store.Filter{store.Mentions("a")}}, store.Query{Sort: store.SortByEmail}
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		ask := func(q store.Query, limit time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
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
