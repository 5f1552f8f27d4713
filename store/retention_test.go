package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

func TestParseAge(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"1d", "730d", "36500d", "1w", "104w", "5200w", "1y", "2y", "100y"} {
		if a, err := store.ParseAge(good); err != nil || a.String() != good {
			t.Errorf("%s: %v, %v", good, a, err)
		}
	}
	for _, bad := range []string{
		"", "y", "2", "0d", "0y", "-2y", "+2y", "02y", "2.5y", " 2y", "2 y", "2y ", "2Y", "2m", "2h", "24h", "2years", "2y6w", "101y", "5201w", "36501d", "99999999999999999999d", "٢y", "2у",
	} {
		if a, err := store.ParseAge(bad); err == nil || !strings.Contains(err.Error(), "730d, 104w or 2y") {
			t.Errorf("%q: %v, %v", bad, a, err)
		}
	}
}

func age(t *testing.T, text string) store.Age {
	t.Helper()
	a, err := store.ParseAge(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// aging is a directory whose history becomes old.
type aging struct {
	*store.Store
	t     *testing.T
	url   string
	clock *clock
	list  string
}

// eachAging runs f against a new directory on each engine, where history becomes old after two years. It is filled at the day 0.
func eachAging(t *testing.T, f func(t *testing.T, a *aging)) {
	t.Helper()
	storetest.EachURL(t, func(t *testing.T, url string) {
		a := &aging{t: t, url: url, clock: newClock(), list: t.TempDir() + "/erasures"}
		a.day(0)
		a.Store = a.open("2y")
		storetest.Directory(t, a.Store)
		f(t, a)
	})
}

func (a *aging) open(retention string) *store.Store {
	a.t.Helper()
	c := store.Config{URL: a.url, Now: a.clock.now, ErasureLedger: a.list}
	if retention != "" {
		c.HistoryRetention = age(a.t, retention)
	}
	return storetest.OpenWith(a.t, c)
}

// day makes it so many days after the first one.
func (a *aging) day(n int) {
	a.clock.ns.Store(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n).UnixNano())
}

// write changes a user's names and roles on somebody's behalf.
func (a *aging) write(k store.UserKey, name string) {
	a.t.Helper()
	_, _, err := a.UpdateUser(store.WithOrigin(a.t.Context(), store.Origin{Subject: "somebody", Dialect: "worth", Operation: "o", RequestID: "r"}), k,
		store.Change{Edit: pure(func(u *store.User) {
			u.FirstName, u.Mobile = name, new("+1 "+name)
			u.Roles = u.Roles.Union(store.Roles(4)).Minus((u.Roles & store.Roles(4)))
		})})
	if err != nil {
		a.t.Fatal(err)
	}
}

// erase numbers the changes, and erases what is old of them.
func (a *aging) erase(want int64) {
	a.t.Helper()
	if _, err := a.NumberChanges(a.t.Context()); err != nil {
		a.t.Fatal(err)
	}
	if n, err := a.EraseOldHistory(a.t.Context()); err != nil || n != want {
		a.t.Errorf("erased %d, %v, want %d", n, err, want)
	}
}

// erasedVersions gives the versions of a user whose entries have an erased value.
func (a *aging) erasedVersions(k store.UserKey) (versions []int64) {
	a.t.Helper()
	for _, c := range history(a.t, a.Store, k) {
		for _, f := range c.Fields {
			if f.Old == "erased" || f.New == "erased" {
				versions = append(versions, c.Version)
				break
			}
		}
	}
	return versions
}

// TestEraseOldHistory looks at what becomes of entries as they grow old.
func TestEraseOldHistory(t *testing.T) {
	t.Parallel()
	eachAging(t, func(t *testing.T, a *aging) {
		a.day(1)
		a.write(ada, "Augusta")
		a.day(400)
		a.write(ada, "Ada")
		a.day(731) // 2024 has a day more
		a.erase(0)
		before, feed := history(t, a.Store, ada), feedOf(t, a.Store)
		a.day(732)
		a.erase(3) // the first entries of all users
		if got := a.erasedVersions(ada); !slices.Equal(got, []int64{1}) {
			t.Errorf("erased are %v", got)
		}
		a.day(733)
		a.erase(1)
		a.erase(0)
		after := history(t, a.Store, ada)
		kept := []store.Field{store.FieldRoles, store.FieldStatus, store.FieldAccountNonExpired, store.FieldAccountNonLocked, store.FieldCredentialNonExpired,
			store.FieldEmailVerified, store.FieldFirstLogin, store.FieldAccessToken}
		for i := range before {
			want := before[i]
			if want.Version < 3 {
				for n := range want.Fields {
					f := &want.Fields[n]
					for _, value := range []*any{&f.Old, &f.New} {
						if *value != nil && !slices.Contains(kept, f.Field) {
							*value = "erased"
						}
					}
				}
				if want.Subject != "" {
					want.Subject = "erased"
				}
			}
			if got, want := jsonOf(t, after[i]), jsonOf(t, want); got != want {
				t.Errorf("version %d is\n%s\nwant\n%s", i+1, got, want)
			}
		}
		if after[1].Subject != "erased" || after[2].Subject != "somebody" {
			t.Errorf("the subjects are %q, %q", after[1].Subject, after[2].Subject)
		}
		// The feed has the same numbers.
		now := feedOf(t, a.Store)
		for i := range feed {
			if now[i].Number != feed[i].Number || now[i].Version != feed[i].Version || now[i].UserID != feed[i].UserID {
				t.Errorf("number %d is that of %d, version %d", now[i].Number, now[i].UserID, now[i].Version)
			}
		}
		if u := find(t, a.Store, ada); u.FirstName != "Ada" || *u.Mobile != "+1 Ada" {
			t.Errorf("the user is %+v", u)
		}
		if _, _, err := a.RestoreUser(t.Context(), ada, 1, nil); !errors.Is(err, store.ErrValueErased) {
			t.Errorf("a restore: %v", err)
		}
		if a.OldHistoryErased() != 4 {
			t.Errorf("%d were counted", a.OldHistoryErased())
		}
		// A server without the setting erases nothing, and one with another setting goes on.
		a.day(5000)
		if n, err := a.open("").EraseOldHistory(t.Context()); n != 0 || err != nil {
			t.Errorf("without the setting %d are erased, %v", n, err)
		}
		if n, err := a.open("1w").EraseOldHistory(t.Context()); n != 1 || err != nil {
			t.Errorf("with another setting %d are erased, %v", n, err)
		}
	})
}

func feedOf(t *testing.T, s *store.Store) []store.NumberedChange {
	t.Helper()
	all, _, err := s.ListChanges(t.Context(), store.FeedScope{All: true}, 0, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestOldHistoryUnderLegalHold: whoever has a legal hold is left alone until it is lifted, and nobody else waits for that.
func TestOldHistoryUnderLegalHold(t *testing.T) {
	t.Parallel()
	eachAging(t, func(t *testing.T, a *aging) {
		hold := func(on bool) {
			t.Helper()
			if _, _, err := a.SetLegalHold(t.Context(), ada, on, nil); err != nil {
				t.Fatal(err)
			}
		}
		a.write(ada, "Augusta")
		a.write(grace, "Amazing")
		a.day(700)
		hold(true)
		a.write(ada, "Ada")
		a.day(800)
		a.erase(3)
		if got := a.erasedVersions(ada); len(got) > 0 {
			t.Errorf("under the hold %v are erased", got)
		}
		if got := a.erasedVersions(grace); !slices.Equal(got, []int64{1, 2}) {
			t.Errorf("of another user %v are erased", got)
		}
		a.day(2000)
		a.erase(0)
		if got := a.erasedVersions(ada); len(got) > 0 {
			t.Errorf("under the hold %v are erased", got)
		}
		hold(false)
		a.erase(3) // the entry of the hold itself has nothing to erase
		if got := a.erasedVersions(ada); !slices.Equal(got, []int64{1, 2, 4}) {
			t.Errorf("after the hold %v are erased", got)
		}
		a.erase(0)
		// Another one, under which the entries grow old, of a user whose hold was lifted before.
		a.day(2100)
		hold(true)
		a.write(ada, "Augusta")
		a.day(2950)
		a.erase(0)
		hold(false)
		a.erase(1)
	})
}

// TestOldHistoryByWrongClocks: an entry whose time is wrong holds up no other one, and is erased in its own time.
func TestOldHistoryByWrongClocks(t *testing.T) {
	t.Parallel()
	eachAging(t, func(t *testing.T, a *aging) {
		a.day(5000)
		a.write(grace, "Tomorrow")
		a.day(1)
		for i := range 150 {
			a.write(ada, fmt.Sprint("Ada ", i))
		}
		a.day(900)
		a.write(alan, "Alan")
		a.erase(153)
		if got := a.erasedVersions(grace); !slices.Equal(got, []int64{1}) {
			t.Errorf("%v are erased", got)
		}
		a.day(5730)
		a.erase(1)
		a.day(5731)
		a.erase(1)
		if got := a.erasedVersions(grace); !slices.Equal(got, []int64{1, 2}) {
			t.Errorf("%v are erased", got)
		}
	})
}

// TestOldHistoryByManyPrograms: several erase at once, while others write, and each entry is erased once.
func TestOldHistoryByManyPrograms(t *testing.T) {
	t.Parallel()
	eachAging(t, func(t *testing.T, a *aging) {
		for i := range 120 {
			for _, k := range []store.UserKey{ada, grace, alan} {
				a.write(k, fmt.Sprint("x", i))
			}
		}
		if _, err := a.NumberChanges(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.day(1000)
		var all sync.WaitGroup
		counts := make([]int64, 3)
		for i := range counts {
			s := a.open("2y")
			all.Go(func() {
				for again := 0; again < 3; again++ {
					n, err := s.EraseOldHistory(t.Context())
					if err != nil {
						t.Error(err)
					}
					counts[i] += n
				}
			})
		}
		all.Go(func() {
			for i := range 20 {
				a.write(ada, fmt.Sprint("new ", i))
			}
		})
		all.Wait()
		a.erase(363 - counts[0] - counts[1] - counts[2])
		for k, want := range map[store.UserKey]int{ada: 121, grace: 121, alan: 121} {
			if got := a.erasedVersions(k); len(got) != want {
				t.Errorf("%d are erased of %v", len(got), k)
			}
		}
	})
}

// TestOldHistoryAndErasure: an erasure finds a user's subject in others' entries also if the history has lost the user's former names, as
// the subjects went with them.
func TestOldHistoryAndErasure(t *testing.T) {
	t.Parallel()
	eachAging(t, func(t *testing.T, a *aging) {
		former := find(t, a.Store, ada).Email
		_, _, err := a.UpdateUser(store.WithOrigin(t.Context(), store.Origin{Subject: former, Dialect: "worth"}), grace, store.Change{Edit: pure(firstName("Amazing"))})
		if err != nil {
			t.Fatal(err)
		}
		edit(t, a.Store, ada, func(u *store.User) { u.Email = "new@example.com" })
		a.day(900)
		a.erase(5)
		erase(t, a.Store, ada)
		if text := jsonOf(t, feedOf(t, a.Store)); strings.Contains(text, former) {
			t.Errorf("the feed has %s: %s", former, text)
		}
	})
}
