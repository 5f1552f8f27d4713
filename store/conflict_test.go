package store_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

func conflictOf(err error) []store.Field {
	var c *store.ConflictError
	if !errors.As(err, &c) || !errors.Is(err, store.ErrConflict) {
		return nil
	}
	return c.Fields
}

func TestEmailAndUsernameAreUniqueIgnoringCase(t *testing.T) {
	t.Parallel()
	both := []store.Field{store.FieldUsername, store.FieldEmail}
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		other := newUser("straße")
		other.CustomerID = 3394
		create(t, s, other)
		greek := newUser("ΟΔΥΣΣΕΥΣ")
		create(t, s, greek)
		for _, c := range []struct {
			username, email string
			want            []store.Field
		}{
			{"GRACEHOPPER", "new@example.com", both[:1]},
			{"new", "Grace.Hopper@EXAMPLE.com", both[1:]},
			{"STRASSE", "new@example.com", both[:1]},
			{"new", "STRASSE@example.com", both[1:]},
			{"straẞe", "strasse@example.com", both},
			{"οδυσσευς", "οδυσσευσ@example.com", both},
		} {
			_, _, err := s.UpdateUser(context.Background(), ada, store.Change{
				Edit: pure(func(u *store.User) { u.Username, u.Email = c.username, c.email }),
			})
			if got := conflictOf(err); !slices.Equal(got, c.want) {
				t.Errorf("%s, %s: got %v", c.username, c.email, err)
			}
			u := newUser(c.username)
			u.Email = c.email
			if got := conflictOf(s.CreateUser(context.Background(), &u)); !slices.Equal(got, c.want) {
				t.Errorf("create %s, %s: got %v", c.username, c.email, got)
			}
		}
		if u := find(t, s, ada); u.Version != 1 {
			t.Errorf("version %d", u.Version)
		}
		// One's own name in other letters is no conflict.
		edit(t, s, ada, func(u *store.User) { u.Username, u.Email = "AdaLovelace", "ADA.LOVELACE@example.com" })
	})
}

func TestInvalidAndTakenInOneError(t *testing.T) {
	t.Parallel()
	own := &store.FieldErrors{{Field: store.FieldRoles, Reason: "must not name a stranger"}}
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		for _, c := range []struct {
			name     string
			edit     func(u *store.User) error
			invalid  []store.Field
			conflict []store.Field
		}{
			{"found by the edit", func(u *store.User) error {
				u.Email, u.Username = "grace.hopper@example.com", "AlanTuring"
				return own
			}, []store.Field{store.FieldRoles}, []store.Field{store.FieldUsername, store.FieldEmail}},
			{"found by the store", func(u *store.User) error {
				u.Email, u.Status = "grace.hopper@example.com", ""
				return nil
			}, []store.Field{store.FieldStatus}, []store.Field{store.FieldEmail}},
			{"what is invalid is not looked up", func(u *store.User) error {
				u.Email, u.Username = "grace.hopper@example.com\x00", "gracehopper"
				return own
			}, []store.Field{store.FieldRoles}, []store.Field{store.FieldUsername}},
			{"nothing taken", func(u *store.User) error {
				u.Email = "new@example.com"
				return own
			}, []store.Field{store.FieldRoles}, nil},
		} {
			_, _, err := s.UpdateUser(context.Background(), ada, store.Change{Edit: c.edit})
			var fields *store.FieldErrors
			var names []store.Field
			if errors.As(err, &fields) {
				for _, f := range *fields {
					names = append(names, f.Field)
				}
			}
			if !slices.Equal(names, c.invalid) || !slices.Equal(conflictOf(err), c.conflict) {
				t.Errorf("%s: got %v", c.name, err)
			}
		}
	})
}

func TestUsernameFollowsEmail(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		follow := func(key store.UserKey, f func(u *store.User)) (store.User, []store.Field) {
			t.Helper()
			after, changed, err := s.UpdateUser(context.Background(), key, store.Change{Edit: pure(f), UsernameFollowsEmail: true})
			if err != nil {
				t.Fatal(err)
			}
			return after, changed
		}
		lin := newUser("lin")
		lin.Username = lin.Email
		linKey := key(create(t, s, lin))

		u, changed := follow(linKey, func(u *store.User) { u.Email = "lin2@example.com" })
		if u.Username != "lin2@example.com" || u.UsernameFold != u.EmailFold ||
			!slices.Equal(changed, []store.Field{store.FieldUsername, store.FieldEmail}) {
			t.Errorf("changed %v: %s", changed, u.Username)
		}
		if u := find(t, s, linKey); u.Username != "lin2@example.com" {
			t.Errorf("stored %s", u.Username)
		}
		if u, _ := follow(linKey, func(u *store.User) { u.Email = "Lin2@example.com" }); u.Username != "Lin2@example.com" {
			t.Errorf("case: %s", u.Username)
		}
		if u, _ := follow(linKey, func(u *store.User) { u.FirstName = "x" }); u.Username != "Lin2@example.com" {
			t.Errorf("another field: %s", u.Username)
		}
		if u, _ := follow(ada, func(u *store.User) { u.Email = "ada@example.com" }); u.Username != "adalovelace" {
			t.Errorf("a name of its own: %s", u.Username)
		}

		squatter := newUser("squatter")
		squatter.Username = "LIN3@example.com"
		create(t, s, squatter)
		u, changed = follow(linKey, func(u *store.User) { u.Email = "lin3@example.com" })
		if u.Username != "Lin2@example.com" || !slices.Equal(changed, []store.Field{store.FieldEmail}) {
			t.Errorf("taken: changed %v: %s", changed, u.Username)
		}
		// No longer equal: it follows no more.
		if u, _ := follow(linKey, func(u *store.User) { u.Email = "lin4@example.com" }); u.Username != "Lin2@example.com" {
			t.Errorf("no longer equal: %s", u.Username)
		}
		// Both edited: the edit decides.
		u, _ = follow(linKey, func(u *store.User) { u.Username = u.Email })
		if u.Username != "lin4@example.com" {
			t.Errorf("edited: %s", u.Username)
		}
		u, _ = follow(linKey, func(u *store.User) { u.Username, u.Email = "lin", "lin5@example.com" })
		if u.Username != "lin" {
			t.Errorf("both edited: %s", u.Username)
		}
		// Without the wish it stays.
		edit(t, s, linKey, func(u *store.User) { u.Username = u.Email })
		if u, _ := edit(t, s, linKey, func(u *store.User) { u.Email = "lin6@example.com" }); u.Username != "lin5@example.com" {
			t.Errorf("not asked to: %s", u.Username)
		}
	})
}

func TestUsernameStaysWhenTakenConcurrently(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		lin := newUser("lin")
		lin.Username = lin.Email
		linKey := key(create(t, s, lin))
		afterNameWasFree(t, s, func() {
			squatter := newUser("squatter")
			squatter.Username = "LIN2@example.com"
			create(t, s, squatter)
		})
		u, changed, err := s.UpdateUser(context.Background(), linKey, store.Change{
			Edit:                 pure(func(u *store.User) { u.Email = "lin2@example.com" }),
			UsernameFollowsEmail: true,
		})
		if err != nil || u.Username != "lin@example.com" || !slices.Equal(changed, []store.Field{store.FieldEmail}) {
			t.Errorf("changed %v, %v: %s", changed, err, u.Username)
		}
	})
}

func TestEmailTakenConcurrently(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		afterNameWasFree(t, s, func() {
			thief := newUser("thief")
			thief.Email = "ADA@example.com"
			thief.Username = thief.Email
			create(t, s, thief)
		})
		edit(t, s, ada, func(u *store.User) { u.Username = u.Email })
		_, _, err := s.UpdateUser(context.Background(), ada, store.Change{
			Edit:                 pure(func(u *store.User) { u.Email = "ada@example.com" }),
			UsernameFollowsEmail: true,
		})
		if got := conflictOf(err); !slices.Equal(got, []store.Field{store.FieldEmail}) {
			t.Errorf("got %v", err)
		}
	})
}

// duringTheQuestion runs f once, before the store asks whether a username is taken.
func duringTheQuestion(t *testing.T, s *store.Store, f func()) {
	t.Helper()
	done := false
	err := s.Gorm().Callback().Query().Before("gorm:query").Register("test", func(db *gorm.DB) {
		if !done && store.AsksForClaims(db) {
			done = true
			f()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestCreateAfterRivalIsDeleted creates a user whose e-mail was taken, and is free by the time the store asks whose it is.
func TestCreateAfterRivalIsDeleted(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		rival := create(t, s, newUser("rival"))
		duringTheQuestion(t, s, func() {
			edit(t, s, key(rival), func(u *store.User) { u.Username, u.Email = "gone", "gone@example.com" })
		})
		u := newUser("rival")
		if err := s.CreateUser(t.Context(), &u); err != nil || u.ID == 0 || u.Version != 1 {
			t.Errorf("%+v, %v", u, err)
		}
	})
}

// TestUpdateAfterRivalIsDeleted is the same of an update, whose user is cached and stays so.
func TestUpdateAfterRivalIsDeleted(t *testing.T) {
	t.Parallel()
	eachNoted(t, func(t *testing.T, s *store.Store, n *noted) {
		rival := create(t, s, newUser("rival"))
		find(t, s, ada)
		duringTheQuestion(t, s, func() {
			edit(t, s, key(rival), func(u *store.User) { u.Username, u.Email = "gone", "gone@example.com" })
		})
		_, retries := n.during(func() { edit(t, s, ada, func(u *store.User) { u.Email = "rival@example.com" }) })
		if !slices.Equal(retries, []store.Retry{store.RetryConflict}) {
			t.Errorf("retries: %q", retries)
		}
	})
}
