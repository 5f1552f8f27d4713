package store_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

func history(t testing.TB, s *store.Store, key store.UserKey) []store.UserChange {
	t.Helper()
	changes, err := s.UserHistory(context.Background(), key, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return changes
}

func TestHistoryRecordsWrites(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		actor := uuid.New()
		ctx := store.WithOrigin(context.Background(), store.Origin{
			Subject: "the subject", Dialect: "worth", Operation: "updateCustomerUser", RequestID: "request-1",
		})
		write := func(edit func(*store.User)) {
			t.Helper()
			if _, _, err := s.UpdateUser(ctx, ada, store.Change{Actor: &actor, Edit: pure(edit)}); err != nil {
				t.Fatal(err)
			}
		}
		mobile, hash, vcs := "+44 20 7946 0000", "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g", "git secret"
		write(func(u *store.User) { u.FirstName, u.Mobile, u.Roles = "Augusta", &mobile, store.Roles(2, 3) })
		write(func(u *store.User) { u.FirstName = "Augusta" }) // changes nothing
		write(func(u *store.User) { u.PasswordHash, u.VCSPassword = &hash, &vcs })
		write(func(u *store.User) { u.VCSPassword, u.Mobile = nil, nil })

		got := history(t, s, ada)
		if len(got) != 4 || got[0].Version != 1 || got[0].Operation != "" {
			t.Fatalf("%+v", got)
		}
		wants := [][]store.FieldChange{
			{{store.FieldFirstName, "Ada", "Augusta"}, {store.FieldMobile, nil, mobile}, {store.FieldRoles, []any{"ROLE_USER"}, []any{"ROLE_COMPANY_ADMIN", "ROLE_USER"}}},
			{{store.FieldPasswordHash, nil, "set"}, {store.FieldVCSPassword, nil, "set"}},
			{{store.FieldMobile, mobile, nil}, {store.FieldVCSPassword, nil, "cleared"}},
		}
		for i, want := range wants {
			row := got[i+1]
			if !reflect.DeepEqual(row.Fields, want) {
				t.Errorf("version %d: %+v, want %+v", row.Version, row.Fields, want)
			}
			if row.Version != int64(i+2) || *row.Actor != actor || row.Subject != "the subject" || row.Dialect != "worth" ||
				row.Operation != "updateCustomerUser" || row.RequestID != "request-1" || row.At.Before(got[i].At) {
				t.Errorf("%+v", row)
			}
		}
		for _, row := range got {
			if text := fmt.Sprint(row.Fields); strings.Contains(text, hash) || strings.Contains(text, vcs) || strings.Contains(text, find(t, s, ada).AccessToken) {
				t.Errorf("a secret is in %s", text)
			}
		}
	})
}

func TestHistoryIsAppendOnly(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		if _, _, err := listChanges(s, store.FeedScope{All: true}, 0, 10); err != nil {
			t.Fatal(err)
		}
		_, write := s.Pools()
		for _, statement := range []string{
			"DELETE FROM user_changes",
			s.Engine(map[string]string{
				"sqlite":   "INSERT OR REPLACE INTO user_changes SELECT user_id, version, customer_id, at, actor, 'another', dialect, operation, request_id, fields FROM user_changes",
				"postgres": "TRUNCATE user_changes",
			}),
			"UPDATE user_changes SET subject = 'another'",
			"UPDATE user_changes SET version = version + 100",
			"DELETE FROM feed",
			"UPDATE feed SET number = number + 100",
		} {
			if _, err := write.Exec(statement); err == nil || !strings.Contains(err.Error(), "append-only") {
				t.Errorf("%s: %v", statement, err)
			}
		}
	})
}

func TestFailedWriteLeavesNoHistory(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		_, _, err := s.UpdateUser(context.Background(), ada, store.Change{Edit: pure(func(u *store.User) { u.Email = "grace.hopper@example.com" })})
		if !errors.Is(err, store.ErrConflict) {
			t.Fatal(err)
		}
		if got := history(t, s, ada); len(got) != 1 {
			t.Errorf("%+v", got)
		}
	})
}

// Whatever was written since, restoring gives the state of the version back, but for secrets, as a new version.
func TestRestore(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		rapid.Check(t, func(rt *rapid.T) {
			states := []store.User{find(t, s, ada)}
			first := states[0].Version
			for range rapid.IntRange(1, 4).Draw(rt, "writes") {
				other := storetest.UserGen().Draw(rt, "user")
				_, _, err := s.UpdateUser(context.Background(), ada, store.Change{Edit: pure(func(u *store.User) {
					other.Username, other.Email = uuid.NewString(), uuid.NewString()+"@example.com"
					*u = other
				})})
				if err != nil {
					rt.Fatal(err)
				}
				states = append(states, find(t, s, ada))
			}
			present := states[len(states)-1]
			want := states[rapid.IntRange(0, len(states)-1).Draw(rt, "which")]
			got, _, err := s.RestoreUser(context.Background(), ada, want.Version, nil)
			if err != nil {
				rt.Fatal(err)
			}
			for _, f := range store.Diff(&want, &got) {
				secrets := []store.Field{store.FieldPasswordHash, store.FieldLastPasswordResetAt, store.FieldAccessToken, store.FieldVCSPassword}
				if !slices.Contains(secrets, f) {
					rt.Errorf("%s was not restored: %+v, want %+v", f, got, want)
				}
			}
			for _, f := range store.Diff(&present, &got) {
				if f == store.FieldPasswordHash || f == store.FieldAccessToken || f == store.FieldVCSPassword || f == store.FieldLastPasswordResetAt {
					rt.Errorf("%s was touched", f)
				}
			}
			if got.Version < present.Version || want.Version < first {
				rt.Errorf("version %d after %d", got.Version, present.Version)
			}
		})
	})
}

func TestRestoreBeyondHistory(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		for _, version := range []int64{-1, 0, 2} {
			if _, _, err := s.RestoreUser(context.Background(), ada, version, nil); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("version %d: %v", version, err)
			}
		}
	})
}

func TestRestoreIsValidated(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		edit(t, s, ada, func(u *store.User) { u.Email = "ada@example.org" })
		thief := newUser("thief")
		thief.Email = "Ada.Lovelace@example.com"
		create(t, s, thief)
		_, _, err := s.RestoreUser(context.Background(), ada, 1, nil)
		if got := conflictOf(err); !slices.Equal(got, []store.Field{store.FieldEmail}) {
			t.Errorf("%v", err)
		}
	})
}

func TestFeedIsComplete(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		const writers, writes = 4, 15
		var wait sync.WaitGroup
		keys := []store.UserKey{ada, grace}
		for w := range writers {
			wait.Go(func() {
				for i := range writes {
					_, _, err := s.UpdateUser(context.Background(), keys[w%2], store.Change{Edit: pure(func(u *store.User) {
						u.FirstName = fmt.Sprint("name ", w, " ", i)
					})})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		var readers sync.WaitGroup
		for range 2 {
			readers.Go(func() { follow(t, s, 3+writers*writes) })
		}
		wait.Wait()
		readers.Wait()
	})
}

// follow reads the feed until it has seen so many changes, and checks that each came once and each user's in order.
func follow(t *testing.T, s *store.Store, all int) {
	after, seen := int64(0), 0
	versions := map[int64]int64{}
	for seen < all {
		changes, next, err := listChanges(s, store.FeedScope{All: true}, after, 7)
		if err != nil {
			t.Error(err)
			return
		}
		for _, c := range changes {
			seen++
			if c.Number <= after {
				t.Errorf("number %d after %d", c.Number, after)
			}
			after = c.Number
			if c.Version != versions[c.UserID]+1 {
				t.Errorf("user %d: version %d after %d", c.UserID, c.Version, versions[c.UserID])
			}
			versions[c.UserID] = c.Version
		}
		if next < after {
			t.Errorf("next is %d after %d", next, after)
		}
		after = next
	}
	if seen != all {
		t.Errorf("saw %d of %d", seen, all)
	}
}

func TestFeedScope(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		elsewhere, err := s.FindCustomer(context.Background(), store.CustomerByID(3394))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			scope store.FeedScope
			want  []int64
		}{
			{store.FeedScope{}, nil},
			{store.FeedScope{All: true}, []int64{6860, 6861, 7001}},
			{store.FeedScope{IDs: []int64{3393}}, []int64{6860, 6861}},
			{store.FeedScope{UUIDs: []uuid.UUID{elsewhere.UUID}}, []int64{7001}},
			{store.FeedScope{IDs: []int64{3393}, UUIDs: []uuid.UUID{elsewhere.UUID}}, []int64{6860, 6861, 7001}},
			{store.FeedScope{IDs: []int64{1}}, nil},
		} {
			changes, next, err := listChanges(s, c.scope, 0, 10)
			if err != nil {
				t.Fatal(err)
			}
			var got []int64
			for _, change := range changes {
				got = append(got, change.UserID)
			}
			slices.Sort(got)
			if !slices.Equal(got, c.want) || next != 3 {
				t.Errorf("%+v: %v, next %d", c.scope, got, next)
			}
		}
	})
}

func TestLastAdministrator(t *testing.T) {
	t.Parallel()
	edits := map[store.Field]func(*store.User){
		store.FieldStatus:               func(u *store.User) { u.Status = store.StatusInactive },
		store.FieldRoles:                func(u *store.User) { u.Roles = store.Roles(3) },
		store.FieldAccountNonExpired:    func(u *store.User) { u.AccountNonExpired = false },
		store.FieldAccountNonLocked:     func(u *store.User) { u.AccountNonLocked = false },
		store.FieldCredentialNonExpired: func(u *store.User) { u.CredentialNonExpired = false },
	}
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		for field, edit := range edits {
			_, _, err := s.UpdateUser(context.Background(), grace, store.Change{Edit: pure(edit)})
			var wrong *store.FieldErrors
			if !errors.As(err, &wrong) || len(*wrong) != 1 || (*wrong)[0].Field != field {
				t.Errorf("%s: %v", field, err)
			}
		}
		// With another, any of it is allowed; then that one is the last.
		_, _ = edit(t, s, ada, func(u *store.User) { u.Roles = store.Roles(1) })
		_, _ = edit(t, s, grace, edits[store.FieldStatus])
		if _, _, err := s.UpdateUser(context.Background(), ada, store.Change{Edit: pure(edits[store.FieldRoles])}); err == nil {
			t.Error("the last administrator was let go")
		}
		// A change of hands within one role is none.
		_, _ = edit(t, s, ada, func(u *store.User) { u.Roles = store.Roles(2, 3) })
	})
}

func TestAdministratorsDeactivateEachOther(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		const administrators = 6
		keys := []store.UserKey{grace}
		for i := range administrators - 1 {
			u := newUser(fmt.Sprint("admin", i))
			u.Roles, u.Status = store.Roles(2), store.StatusActive
			u.AccountNonExpired, u.AccountNonLocked, u.CredentialNonExpired = true, true, true
			keys = append(keys, key(create(t, s, u)))
		}
		var wait sync.WaitGroup
		refused := make([]bool, len(keys))
		for i, k := range keys {
			wait.Go(func() {
				_, _, err := s.UpdateUser(context.Background(), k, store.Change{Edit: pure(func(u *store.User) { u.Status = store.StatusInactive })})
				var wrong *store.FieldErrors
				refused[i] = errors.As(err, &wrong)
				if err != nil && !refused[i] {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		active := 0
		for _, k := range keys {
			if find(t, s, k).Status == store.StatusActive {
				active++
			}
		}
		if active != 1 {
			t.Errorf("%d administrators are left", active)
		}
	})
}
