package store_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// TestCachedUserDecidesNothing edits users that another server has changed since they were cached: each result is that of the stored user.
func TestCachedUserDecidesNothing(t *testing.T) {
	t.Parallel()
	refused := errors.New("not this one")
	cases := []struct {
		name    string
		edit    func(u *store.User) error
		first   string // the first name then
		changed int
		err     error
	}{
		{"a write keeps the other write", func(u *store.User) error { u.FirstName = "Augusta"; return nil }, "Augusta", 1, nil},
		{"an edit that the cached user refuses", func(u *store.User) error {
			if u.LastName == "Lovelace" {
				return refused
			}
			u.FirstName = "Augusta"
			return nil
		}, "Augusta", 1, nil},
		{"an edit that the stored user refuses", func(u *store.User) error {
			if u.LastName == "King" {
				return refused
			}
			u.FirstName = "Augusta"
			return nil
		}, "Ada", 0, refused},
		{"an edit that changes only the stored user", func(u *store.User) error { u.LastName = "Lovelace"; return nil }, "Ada", 1, nil},
		{"an edit that changes only the cached user", func(u *store.User) error { u.LastName = "King"; return nil }, "Ada", 0, nil},
		{"an edit that is invalid for the cached user alone", func(u *store.User) error {
			if u.LastName == "Lovelace" {
				u.Email = "none"
			}
			u.FirstName = "Augusta"
			return nil
		}, "Augusta", 1, nil},
	}
	storetest.EachURL(t, func(t *testing.T, url string) {
		s := storetest.Open(t, url)
		storetest.Directory(t, s)
		other := storetest.Open(t, url)
		for _, c := range cases {
			// Both ways into the cache: s has just read the user, or just written it.
			for _, remember := range []func(){
				func() { find(t, s, ada) },
				func() { edit(t, s, ada, func(u *store.User) { u.EmailVerified = !u.EmailVerified }) },
			} {
				edit(t, other, ada, func(u *store.User) { u.FirstName, u.LastName = "Ada", "Lovelace" })
				remember()
				was, _ := edit(t, other, ada, func(u *store.User) { u.LastName, u.FirstLogin = "King", !u.FirstLogin })
				after, changed, err := s.UpdateUser(context.Background(), ada, store.Change{Edit: c.edit})
				if !errors.Is(err, c.err) || len(changed) != c.changed {
					t.Errorf("%s: changed %v, %v", c.name, changed, err)
				}
				stored := find(t, other, ada)
				if stored.FirstName != c.first || stored.FirstLogin != was.FirstLogin || stored.Version != was.Version+int64(c.changed) {
					t.Errorf("%s: %+v", c.name, stored)
				}
				if err == nil && !reflect.DeepEqual(after, stored) {
					t.Errorf("%s: returned\n%+v, stored\n%+v", c.name, after, stored)
				}
			}
		}
	})
}

// TestCachedUserIsACopy alters the users that the store returned.
func TestCachedUserIsACopy(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		mobile := "+44 20 7946 0000"
		edit(t, s, ada, func(u *store.User) { u.Mobile = &mobile })
		u := find(t, s, ada)
		*u.Mobile = "spoilt"
		u, _ = edit(t, s, ada, func(u *store.User) { u.FirstName = "Augusta" })
		*u.Mobile = "spoilt"
		edit(t, s, ada, func(u *store.User) { *u.Mobile += " 1" })
		if u := find(t, s, ada); *u.Mobile != mobile+" 1" {
			t.Errorf("mobile %q", *u.Mobile)
		}
	})
}

// TestSameVersionOfAnotherTimeIsStale restores an older database under an open store, in which the user has reached the same version
// by other changes.
func TestSameVersionOfAnotherTimeIsStale(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		edit(t, s, ada, func(u *store.User) { u.LastName = "King" })
		_, db := s.Pools()
		if _, err := db.Exec("UPDATE users SET last_name = 'Byron', updated_at = updated_at - 1000 WHERE id = 6860"); err != nil {
			t.Fatal(err)
		}
		if after, _ := edit(t, s, ada, func(u *store.User) { u.FirstName = "Augusta" }); after.LastName != "Byron" {
			t.Errorf("%+v", after)
		}
	})
}

func TestCachedUserIsNotRead(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		storetest.Directory(t, storetest.Open(t, url))
		none, one := 0, 1
		for _, c := range []struct {
			name  string
			users *int
			want  store.RememberedUsers
			reads int
		}{
			{"by default", nil, store.RememberedUsers{Hits: 2, Misses: 1}, 1},
			{"one", &one, store.RememberedUsers{Hits: 2, Misses: 1}, 1},
			{"none", &none, store.RememberedUsers{}, 3},
		} {
			var n noted
			s, err := store.Open(t.Context(), store.Config{URL: url, SecretKey: storetest.Key, RememberedUsers: c.users, Observer: n.observer()})
			if err != nil {
				t.Fatal(err)
			}
			statements, _ := n.during(func() {
				for range 3 {
					edit(t, s, ada, func(u *store.User) { u.FirstLogin = !u.FirstLogin })
				}
			})
			if reads := len(slices.DeleteFunc(statements, func(s string) bool { return s != "select ok" })); reads != c.reads {
				t.Errorf("%s cached: three updates read a user %d times, want %d", c.name, reads, c.reads)
			}
			if got := s.Remembered(); got != c.want {
				t.Errorf("%s cached: %+v, want %+v", c.name, got, c.want)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}
