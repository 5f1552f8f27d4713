package store_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// TestUpdateUsers: all users are changed or none, with a version and a history entry each.
func TestUpdateUsers(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := context.Background()
		storetest.Directory(t, s)
		a, b := create(t, s, newUser("a")), create(t, s, newUser("b"))
		grant := store.Change{Edit: func(u *store.User) error { u.Roles = u.Roles.Union(store.Roles(12)); return nil }}
		ids := []int64{b.ID, a.ID, b.ID}
		if changed, err := s.UpdateUsers(ctx, 3393, append(slices.Clone(ids), 999), grant); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("with a stranger: %v, %v", changed, err)
		}
		refused := errors.New("refused")
		_, err := s.UpdateUsers(ctx, 3393, ids, store.Change{Edit: func(u *store.User) error {
			if u.ID == b.ID {
				return refused
			}
			return grant.Edit(u)
		}})
		if !errors.Is(err, refused) {
			t.Errorf("refused: %v", err)
		}
		for _, u := range []store.User{a, b} {
			if now, err := s.FindUser(ctx, key(u)); err != nil || now.Version != 1 || now.Roles != u.Roles {
				t.Errorf("%+v, %v", now, err)
			}
		}
		if changed, err := s.PreviewUpdates(ctx, 3393, ids, grant); err != nil || !slices.Equal(changed, []int64{a.ID, b.ID}) {
			t.Errorf("the preview: %v, %v", changed, err)
		}
		if changed, err := s.UpdateUsers(ctx, 3393, ids, grant); err != nil || !slices.Equal(changed, []int64{a.ID, b.ID}) {
			t.Errorf("%v, %v", changed, err)
		}
		if changed, err := s.UpdateUsers(ctx, 3393, ids, grant); err != nil || len(changed) != 0 {
			t.Errorf("again: %v, %v", changed, err)
		}
		for _, u := range []store.User{a, b} {
			history, err := s.UserHistory(ctx, key(u), 0, 10)
			if now, failed := s.FindUser(ctx, key(u)); failed != nil || err != nil || now.Version != 2 || len(history) != 2 {
				t.Errorf("%+v, %d entries, %v %v", now, len(history), failed, err)
			}
		}
	})
}

// TestUpdateUsersKeepsAnAdministrator: two requests that demote all administrators at once, in another order.
func TestUpdateUsersKeepsAnAdministrator(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := context.Background()
		storetest.Directory(t, s)
		one, other := newUser("one"), newUser("other")
		for _, u := range []*store.User{&one, &other} {
			u.Roles, u.Status, u.AccountNonExpired, u.AccountNonLocked, u.CredentialNonExpired = store.Roles(2), store.StatusActive, true, true, true
		}
		one, other = create(t, s, one), create(t, s, other)
		demote := store.Change{Edit: func(u *store.User) error { u.Roles = u.Roles.Minus(store.Roles(1, 2)); return nil }}
		var all sync.WaitGroup
		for _, ids := range [][]int64{{6861, one.ID, other.ID}, {other.ID, one.ID, 6861}} {
			all.Go(func() {
				if _, err := s.UpdateUsers(ctx, 3393, ids, demote); !errors.Is(err, store.ErrLastAdministrator) && !errors.Is(err, store.ErrBusy) {
					t.Errorf("%v", err)
				}
			})
		}
		all.Wait()
		if now, err := s.FindUser(ctx, key(one)); err != nil || now.Version != 1 {
			t.Errorf("%+v, %v", now, err)
		}
		if _, err := s.PreviewUpdates(ctx, 3393, []int64{6861, one.ID, other.ID}, demote); !errors.Is(err, store.ErrLastAdministrator) {
			t.Errorf("the preview: %v", err)
		}
	})
}

// TestUpdateUsersReplacesTheAdministrator: the rule is about what is left, whichever of two users has the lower id.
func TestUpdateUsersReplacesTheAdministrator(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := context.Background()
		storetest.Directory(t, s)
		next := newUser("next")
		next.Status, next.AccountNonExpired, next.AccountNonLocked, next.CredentialNonExpired = store.StatusActive, true, true, true
		next = create(t, s, next)
		for _, administrator := range []int64{next.ID, 6861, next.ID} {
			change := store.Change{Edit: func(u *store.User) error {
				u.Roles = u.Roles.Minus(store.Roles(1, 2))
				if u.ID == administrator {
					u.Roles = u.Roles.Union(store.Roles(2))
				}
				return nil
			}}
			ids := []int64{6861, next.ID}
			if changed, err := s.PreviewUpdates(ctx, 3393, ids, change); err != nil || !slices.Equal(changed, ids) {
				t.Errorf("the preview: %v, %v", changed, err)
			}
			if changed, err := s.UpdateUsers(ctx, 3393, ids, change); err != nil || !slices.Equal(changed, ids) {
				t.Errorf("%v, %v", changed, err)
			}
		}
	})
}

// TestPreparedUpdates: the changes of several users and the record of the answer are written together, or not at all.
func TestPreparedUpdates(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := context.Background()
		storetest.Directory(t, s)
		a, b := create(t, s, newUser("a")), create(t, s, newUser("b"))
		grant := store.Change{Edit: func(u *store.User) error { u.Roles = u.Roles.Union(store.Roles(12)); return nil }}
		prepare := func(c store.Change) *store.Prepared {
			t.Helper()
			changed, p, err := s.PrepareUpdates(ctx, 3393, []int64{b.ID, a.ID, b.ID}, c)
			if err != nil || len(changed) > 0 && !slices.Equal(changed, []int64{a.ID, b.ID}) {
				t.Fatalf("%v, %v", changed, err)
			}
			t.Cleanup(p.Close)
			return p
		}
		versions := func(want int64) {
			t.Helper()
			for _, u := range []store.User{a, b} {
				if now, err := s.FindUser(ctx, key(u)); err != nil || now.Version != want {
					t.Errorf("%+v, %v", now, err)
				}
			}
		}
		if _, p, err := s.PrepareUpdates(ctx, 3393, []int64{a.ID, 999}, grant); !errors.Is(err, store.ErrNotFound) || p != nil {
			t.Errorf("a stranger: %v", err)
		}
		prepare(grant).Close()
		versions(1)
		r := recordOf("several", "a request", "an answer")
		commit(t, prepare(grant), r)
		versions(2)
		if got, found := findRecord(t, s, r.Key); !found || string(got.Answer) != "an answer" {
			t.Errorf("found %v, %q", found, got.Answer)
		}
		// What changes nothing has a record too, and of a key that another write has used nothing is written.
		idle := recordOf("idle", "a request", "an answer")
		commit(t, prepare(grant), idle)
		if _, found := findRecord(t, s, idle.Key); !found {
			t.Error("there is no record of what changes nothing")
		}
		revoke := store.Change{Edit: func(u *store.User) error { u.Roles = u.Roles.Minus(store.Roles(12)); return nil }}
		late := prepare(revoke)
		if err := late.Commit(ctx, r); !errors.Is(err, store.ErrPrepareAgain) {
			t.Errorf("a key that was used: %v", err)
		}
		late.Close()
		versions(2)
		// A unique value of somebody else is reported as for a single user.
		taken := store.Change{Edit: func(u *store.User) error { u.Email = "grace.hopper@example.com"; return nil }}
		if _, _, err := s.PrepareUpdates(ctx, 3393, []int64{a.ID, b.ID}, taken); len(conflictOf(err)) == 0 {
			t.Errorf("a taken e-mail: %v", err)
		}
	})
}
