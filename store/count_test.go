package store_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// However users come in, and whoever is refused, the kept count is what counting gives.
func TestTheKeptCountIsHowManyUsersThereAre(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		var wait sync.WaitGroup
		for _, name := range []string{"a", "b", "c", "A", "B", "d"} {
			wait.Go(func() {
				u := newUser(name)
				if err := s.CreateUser(context.Background(), &u); err != nil && !errors.Is(err, store.ErrConflict) {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		imported := newUser("imported")
		imported.AccessToken = ""
		rows := []store.ImportRow{{Line: 1, Customer: store.CustomerByID(3394), User: imported}}
		i, err := s.NewImport(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if bad, err := i.Check(context.Background(), rows); err != nil || len(bad) > 0 {
			t.Fatal(bad, err)
		}
		err = i.Write(context.Background(), func() ([]store.ImportRow, error) {
			if rows == nil {
				return nil, io.EOF
			}
			next := rows
			rows = nil
			return next, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, customer := range []int64{3393, 3394, 1} {
			_, kept, err := s.ListUsers(context.Background(), customer, store.Query{}, store.Window{Limit: 1})
			if err != nil {
				t.Fatal(err)
			}
			// A filter that all pass makes it count.
			_, counted, err := s.ListUsers(context.Background(), customer, store.Query{Filters: []store.Filter{store.Mentions("")}}, store.Window{Limit: 1})
			if err != nil || kept != counted {
				t.Errorf("customer %d: %d kept, %d counted, %v", customer, kept, counted, err)
			}
		}
	})
}
