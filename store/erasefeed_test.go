package store_test

import (
	"testing"

	"github.com/dragoman-id/dragoman/store"
)

// follower keeps a copy of users by the feed alone.
type follower struct {
	next  int64
	users map[int64]map[store.Field]any
}

// follow applies the changes that the follower has not read yet.
func (f *follower) follow(t *testing.T, s *store.Store) {
	t.Helper()
	changes, next, err := listChanges(s, store.FeedScope{All: true}, f.next, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	if f.users == nil {
		f.users = map[int64]map[store.Field]any{}
	}
	f.next = next
	for _, c := range changes {
		if f.users[c.UserID] == nil {
			f.users[c.UserID] = map[store.Field]any{}
		}
		for _, field := range c.Fields {
			f.users[c.UserID][field.Field] = field.New
		}
	}
}

// compare compares the copy of a user with the user. Of secrets the feed tells only whether they are set.
func (f *follower) compare(t *testing.T, s *store.Store, u store.User) {
	t.Helper()
	for _, v := range s.Catalogue().Values(&u) {
		got := f.users[u.ID][v.Field]
		if v.Field.Secret() {
			got, v.Value = got == "set", v.Value == "set"
		}
		if got, want := jsonOf(t, got), jsonOf(t, v.Value); got != want {
			t.Errorf("the copy has the %s %s, the user %s", v.Field, got, want)
		}
	}
}

// TestFollowersOfErasedUsers: whoever keeps a copy by the feed has what remains of an erased user, whether it has followed all the time or
// begins after the erasure, or after the history has become old.
func TestFollowersOfErasedUsers(t *testing.T) {
	t.Parallel()
	eachAging(t, func(t *testing.T, a *aging) {
		var early follower
		unnamed := newUser("unnamed")
		unnamed.FirstName, unnamed.LastName = "", ""
		emptied, filled := newUser("emptied"), newUser("filled")
		emptied.LastName = "Emptied"
		emptied, filled, unnamed = create(t, a.Store, emptied), create(t, a.Store, filled), create(t, a.Store, unnamed)
		early.follow(t, a.Store)
		edit(t, a.Store, store.UserByID(3393, emptied.ID), func(u *store.User) { u.FirstName, u.LastName, u.Mobile = "", "", new("+1") })
		edit(t, a.Store, store.UserByID(3393, emptied.ID), func(u *store.User) { u.Mobile = nil })
		new(canaries).fill(t, a.Store, store.UserByID(3393, filled.ID), 2)
		// At the very time of the erasure.
		edit(t, a.Store, store.UserByID(3393, unnamed.ID), func(u *store.User) { u.Status, u.DeprovisionedAt = store.StatusInactive, new(a.clock.now()) })
		early.follow(t, a.Store)
		users := []store.User{emptied, filled, unnamed}
		for i, u := range users {
			users[i] = erase(t, a.Store, store.UserByID(3393, u.ID)).User
		}
		compare := func(when string) {
			t.Helper()
			var late follower
			late.follow(t, a.Store)
			early.follow(t, a.Store)
			for _, u := range users {
				t.Run(when+" of "+u.Username, func(t *testing.T) {
					early.compare(t, a.Store, u)
					late.compare(t, a.Store, u)
				})
			}
		}
		compare("after the erasure")
		a.day(1000)
		if _, err := a.EraseOldHistory(t.Context()); err != nil {
			t.Fatal(err)
		}
		compare("after years")
	})
}

// TestFollowersOfOldHistory: where the history is too old, whoever begins late has the text "erased" for values that the user still has, and
// for no others.
func TestFollowersOfOldHistory(t *testing.T) {
	t.Parallel()
	eachAging(t, func(t *testing.T, a *aging) {
		a.write(ada, "Augusta")
		edit(t, a.Store, ada, func(u *store.User) { u.LastName, u.Mobile = "", nil })
		a.day(1000)
		edit(t, a.Store, ada, func(u *store.User) { u.DisplayName = new("Countess") })
		if _, err := a.NumberChanges(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := a.EraseOldHistory(t.Context()); err != nil {
			t.Fatal(err)
		}
		var late follower
		late.follow(t, a.Store)
		u := find(t, a.Store, ada)
		for _, f := range []store.Field{store.FieldFirstName, store.FieldUsername, store.FieldEmail} {
			if got := late.users[u.ID][f]; got != "erased" {
				t.Errorf("the copy has the %s %v", f, got)
			}
		}
		copied := late.users[u.ID]
		copied[store.FieldFirstName], copied[store.FieldUsername], copied[store.FieldEmail] = u.FirstName, u.Username, u.Email
		late.compare(t, a.Store, u)
	})
}
