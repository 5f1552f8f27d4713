package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// TestGivenIDsInABlock gives users ids of the block that a running store has taken: it generates others.
func TestGivenIDsInABlock(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s, other := storetest.Open(t, url), storetest.Open(t, url)
		storetest.Directory(t, s)
		first := create(t, s, newUser("first")).ID
		for n := range int64(5) {
			given := newUser(fmt.Sprint("given", n))
			given.ID = first + 1 + n
			create(t, other, given)
		}
		if next := create(t, s, newUser("next")); next.ID <= first+5 {
			t.Errorf("id %d is given out after %d", next.ID, first+5)
		}
		given := newUser("again")
		given.ID = first
		if err := other.CreateUser(t.Context(), &given); !slices.Equal(conflictOf(err), []store.Field{store.FieldID}) {
			t.Error(err)
		}
		checkClaims(t, s)
	})
}

// TestGeneratedIDs has two servers create users at the same time: no id is given twice, and the counts are right.
func TestGeneratedIDs(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		servers := []*store.Store{storetest.Open(t, url), storetest.Open(t, url)}
		storetest.Directory(t, servers[0])
		var g group
		var mu sync.Mutex
		seen := map[int64]bool{}
		const writers, each = 8, 12
		for w := range writers {
			g.Go(func() {
				for n := range each {
					u := newUser(fmt.Sprintf("user%d-%d", w, n))
					if err := servers[w%2].CreateUser(context.Background(), &u); err != nil {
						t.Error(err)
					}
					mu.Lock()
					if seen[u.ID] || u.ID >= 1<<53 {
						t.Errorf("id %d", u.ID)
					}
					seen[u.ID] = true
					mu.Unlock()
				}
			})
		}
		g.Wait()
		_, total, err := servers[0].ListUsers(t.Context(), 3393, store.Query{}, store.Window{Limit: 1})
		if want := int64(2 + writers*each); err != nil || total != want {
			t.Errorf("%d users are counted, want %d; %v", total, want, err)
		}
		if slots := column(t, servers[0], "SELECT DISTINCT CAST(slot AS TEXT) FROM user_counts WHERE customer_id = 3393"); len(slots) < 2 {
			t.Errorf("the count has the slots %q only", slots)
		}
		sameBlocks(t, servers[0])
		checkClaims(t, servers[0])
	})
}

// TestRolledBackTransactions are repeated, a bounded number of times, on whichever engine.
func TestRolledBackTransactions(t *testing.T) {
	t.Parallel()
	eachNoted(t, func(t *testing.T, s *store.Store, n *noted) {
		for code, failures := range map[string]int{"40001": 3, "40P01": 100} {
			runs := 0
			var err error
			_, retries := n.during(func() {
				err = s.Transaction(t.Context(), func(*gorm.DB) error {
					if runs++; runs <= failures {
						return &pgconn.PgError{Code: code}
					}
					return nil
				})
			})
			if succeeds := failures < 4; succeeds != (err == nil) || runs != 4 || len(retries) == 0 {
				t.Errorf("%s: %d runs, %v, retries %q", code, runs, err, retries)
			}
		}
	})
}

// TestImportsThatDeadlock imports the same names in opposite orders, at the same time: one import succeeds, and the other says why not.
func TestImportsThatDeadlock(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		servers := []*store.Store{storetest.Open(t, url), storetest.Open(t, url)}
		storetest.Directory(t, servers[0])
		var g group
		errs := make([]error, len(servers))
		// Each has stored its first row before either stores its second, unless one of them locks the database.
		var begun sync.WaitGroup
		begun.Add(len(servers))
		for n, s := range servers {
			g.Go(func() {
				rows := []store.ImportRow{row(1, newUser("one")), row(2, newUser("two"))}
				if n == 1 {
					slices.Reverse(rows)
				}
				arrive := sync.OnceFunc(begun.Done)
				defer arrive()
				i, err := s.NewImport(context.Background())
				if err != nil {
					t.Error(err)
					return
				}
				defer i.Close()
				// It reserves ids ahead, as the lock of their counter would otherwise keep the second from its first row.
				if refused, err := i.Check(context.Background(), rows); err != nil || len(refused) > 0 {
					errs[n] = &store.ImportError{Rows: refused}
					return
				}
				calls := 0
				errs[n] = i.Write(context.Background(), func() ([]store.ImportRow, error) {
					switch calls++; calls {
					case 1:
						return rows[:1], nil
					case 2:
						arrive()
						if s.EngineName() == "postgres" {
							begun.Wait()
						}
						return rows[1:], nil
					}
					return nil, io.EOF
				})
			})
		}
		g.Wait()
		failed := 0
		for _, err := range errs {
			if err == nil {
				continue
			}
			failed++
			if !errors.Is(err, store.ErrBusy) && !errors.As(err, new(*store.ImportError)) {
				t.Error(err)
			}
		}
		if failed != 1 {
			t.Errorf("%v", errs)
		}
		checkClaims(t, servers[0])
	})
}

// TestNumbersArePublishedWhenVisible lets a number be assigned whose change is not visible yet, as between the commits of two nodes: no reader
// is told of it before.
func TestNumbersArePublishedWhenVisible(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		if changes, next, err := listChanges(s, everyone, 0, 10); err != nil || len(changes) != 3 || next != 3 {
			t.Fatal(changes, next, err)
		}
		_, db := s.Pools()
		execute(t, db, "UPDATE feed_state SET assigned = 4")
		edit(t, s, ada, func(u *store.User) { u.FirstName = "Augusta" })
		if changes, next, err := listChanges(s, everyone, 3, 10); err != nil || len(changes) != 0 || next != 3 {
			t.Errorf("%v, next %d, %v", changes, next, err)
		}
		execute(t, db, "INSERT INTO feed (customer_id, number, user_id, version) VALUES (3393, 4, 6861, 1000)")
		changes, next, err := listChanges(s, everyone, 3, 10)
		if err != nil || next != 5 || len(changes) != 1 || changes[0].Number != 5 {
			t.Errorf("%v, next %d, %v", changes, next, err)
		}
	})
}
