package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

type group = sync.WaitGroup

func TestEditRunsAgainAfterConflict(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		var seen []string
		after, changed := edit(t, s, ada, func(u *store.User) {
			seen = append(seen, u.LastName)
			if len(seen) == 1 {
				edit(t, s, ada, func(u *store.User) { u.LastName = "King" })
			}
			u.FirstName = "Augusta"
		})
		if fmt.Sprint(seen) != "[Lovelace King]" {
			t.Errorf("saw %v", seen)
		}
		if after.FirstName != "Augusta" || after.LastName != "King" || after.Version != 3 {
			t.Errorf("%+v", after)
		}
		if len(changed) != 1 || changed[0] != store.FieldFirstName {
			t.Errorf("changed %v", changed)
		}
	})
}

func TestEditSeesLatestUser(t *testing.T) {
	t.Parallel()
	moved := errors.New("moved on")
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		first := true
		_, _, err := s.UpdateUser(context.Background(), ada, store.Change{Edit: func(u *store.User) error {
			if u.Version != 1 {
				return moved
			}
			if first {
				first = false
				edit(t, s, ada, func(u *store.User) { u.LastName = "King" })
			}
			u.FirstName = "x"
			return nil
		}})
		if !errors.Is(err, moved) {
			t.Errorf("got %v", err)
		}
	})
}

// Forty writers in two servers, each of a field of its own or of one it shares with others, lose nothing of one another's.
func TestConcurrentWritersLoseNothing(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s := storetest.Open(t, url)
		storetest.Directory(t, s)
		servers := []*store.Store{s, storetest.Open(t, url)}
		edits := []func(u *store.User){
			func(u *store.User) { u.FirstName += "a" },
			func(u *store.User) { u.LastName += "b" },
			func(u *store.User) { u.Username += "c" },
			func(u *store.User) { u.Email = "d" + u.Email },
			func(u *store.User) { appendTo(&u.Mobile, "e") },
			func(u *store.User) { appendTo(&u.VCSPassword, "f") },
			func(u *store.User) { appendTo(&u.PasswordHash, "g") },
			func(u *store.User) { id := uuid.New(); u.ExternalAuthID = &id },
		}
		const each = 5
		var g group
		var mu sync.Mutex
		effective := 0
		for i := range each {
			for _, f := range edits {
				g.Go(func() {
					_, changed, err := servers[i%2].UpdateUser(context.Background(), ada, store.Change{Edit: pure(f)})
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					if len(changed) > 0 {
						effective++
					}
				})
			}
		}
		g.Wait()
		u := find(t, s, ada)
		if u.FirstName != "Adaaaaaa" || u.LastName != "Lovelacebbbbb" || u.Username != "adalovelaceccccc" ||
			u.Email != "dddddada.lovelace@example.com" || *u.Mobile != "eeeee" || *u.VCSPassword != "fffff" ||
			*u.PasswordHash != "ggggg" || u.ExternalAuthID == nil {
			t.Errorf("%+v", u)
		}
		if effective != each*len(edits) || u.Version != 1+int64(effective) {
			t.Errorf("%d effective writes, version %d", effective, u.Version)
		}
	})
}

func appendTo(p **string, s string) {
	if *p != nil {
		s = **p + s
	}
	*p = &s
}

// Two users who each want what the other has, or the same thing, end with one having it and the other told so.
func TestConcurrentWritersOfOneName(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		for round := range 10 {
			var g group
			want := fmt.Sprintf("name%d", round)
			var mu sync.Mutex
			won := 0
			for _, key := range []store.UserKey{ada, grace, alan} {
				g.Go(func() {
					_, _, err := s.UpdateUser(context.Background(), key, store.Change{Edit: pure(func(u *store.User) { u.Username = want })})
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						won++
					} else if got := conflictOf(err); len(got) != 1 || got[0] != store.FieldUsername {
						t.Error(err)
					}
				})
			}
			g.Wait()
			if won != 1 {
				t.Errorf("%d got the name", won)
			}
		}
		// Swapping names: each waits for the other's, on Postgres to the deadlock.
		swapped := map[string]string{"one": "two", "two": "one"}
		edit(t, s, ada, func(u *store.User) { u.Username = "one" })
		edit(t, s, grace, func(u *store.User) { u.Username = "two" })
		for range 10 {
			var g group
			for _, key := range []store.UserKey{ada, grace} {
				g.Go(func() {
					_, _, err := s.UpdateUser(context.Background(), key, store.Change{
						Edit: pure(func(u *store.User) { u.Username = swapped[u.Username] }),
					})
					if conflictOf(err) == nil {
						t.Error(err)
					}
				})
			}
			g.Wait()
		}
	})
}

// TestUpdatesInOneMillisecond has two servers, whose caches do not know of each other's writes, update one user while their clocks stand
// still: then a version that another writer stored looks like the own one.
func TestUpdatesInOneMillisecond(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		stopped := newClock()
		stores := []*store.Store{openAt(t, url, stopped, store.Observer{}), openAt(t, url, stopped, store.Observer{})}
		storetest.Directory(t, stores[0])
		const writers, each = 4, 10
		var all group
		for i := range writers {
			all.Go(func() {
				for range each {
					err := store.ErrBusy
					for errors.Is(err, store.ErrBusy) {
						_, _, err = stores[i%2].UpdateUser(context.Background(), ada, store.Change{Edit: pure(func(u *store.User) { u.FirstName += "." })})
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		u := find(t, stores[0], ada)
		if n := strings.Count(u.FirstName, "."); n != writers*each || u.Version != 1+writers*each {
			t.Errorf("%d updates left version %d of %q", writers*each, u.Version, u.FirstName)
		}
		for i, c := range history(t, stores[0], ada) {
			if want := "Ada" + strings.Repeat(".", i); c.Version != int64(i)+1 || i > 0 && c.Fields[0].New != want {
				t.Errorf("change %d is version %d, to %v", i, c.Version, c.Fields[0].New)
			}
		}
	})
}
