package store_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// TestRehearseUpdateWritesNothing: the user, its history and the directory are as they were, and the error is UpdateUser's.
func TestRehearseUpdateWritesNothing(t *testing.T) {
	t.Parallel()
	no := errors.New("no")
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		before := map[store.UserKey]store.User{ada: find(t, s, ada), grace: find(t, s, grace)}
		fieldErrors := func(err error) bool { return errors.As(err, new(*store.FieldErrors)) }
		for name, c := range map[string]struct {
			key  store.UserKey
			edit func(u *store.User) error
			want func(err error) bool
		}{
			"a good one":             {ada, func(u *store.User) error { u.FirstName, u.Email = "Augusta", "a@example.com"; return nil }, func(err error) bool { return err == nil }},
			"no change":              {ada, func(*store.User) error { return nil }, func(err error) bool { return err == nil }},
			"refused":                {ada, func(*store.User) error { return no }, func(err error) bool { return errors.Is(err, no) }},
			"invalid":                {ada, func(u *store.User) error { u.Email = "x"; return nil }, fieldErrors},
			"a taken username":       {ada, func(u *store.User) error { u.Username = "gracehopper"; return nil }, func(err error) bool { return conflictOf(err) != nil }},
			"the last administrator": {grace, func(u *store.User) error { u.Status = store.StatusInactive; return nil }, fieldErrors},
			"nobody":                 {store.UserByID(3393, 4711), func(*store.User) error { return nil }, func(err error) bool { return errors.Is(err, store.ErrNotFound) }},
			"undone for ever":        {ada, func(*store.User) error { return &pgconn.PgError{Code: "40001"} }, func(err error) bool { return errors.Is(err, store.ErrBusy) }},
		} {
			if err := s.RehearseUpdate(context.Background(), c.key, store.Change{Edit: c.edit}); !c.want(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for key, u := range before {
			if after := find(t, s, key); after.Version != u.Version || after.FirstName != u.FirstName || after.Status != u.Status {
				t.Errorf("%+v became %+v", u, after)
			}
			if changes, err := s.UserHistory(context.Background(), key, 0, 10); err != nil || len(changes) != 1 {
				t.Errorf("%d changes, %v", len(changes), err)
			}
		}
		// What was rehearsed can still be done, and what lately was known of the user is still so.
		if after, _ := edit(t, s, ada, func(u *store.User) { u.FirstName = "Augusta" }); after.Version != 2 {
			t.Errorf("version %d", after.Version)
		}
	})
}
