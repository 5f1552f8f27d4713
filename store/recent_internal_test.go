package store

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

func TestAKeyTakesThePlaceThatIsLongestWithoutNews(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecentUsers(DefaultRememberedUsers)
		users, keys := usersOfOneSet(r, recentPlaces+1)
		add := func(u User, version int64) {
			time.Sleep(time.Millisecond)
			u.Version = version
			r.add(u)
		}
		for _, u := range users[:recentPlaces] {
			add(u, 1)
		}
		add(users[0], 2)
		add(users[recentPlaces], 1)
		for i, want := range []int64{2, 0, 1, 1, 1} {
			var version int64
			if u := r.find(keys[i]); u != nil {
				version = u.Version
			}
			if version != want {
				t.Errorf("user %d is remembered with version %d, want %d", i, version, want)
			}
		}
		time.Sleep(recentFor)
		if r.find(keys[2]) != nil {
			t.Error("a user is remembered for too long")
		}
	})
}

// usersOfOneSet returns n users, and their keys by ID, which are all of one set.
func usersOfOneSet(r *recentUsers, n int) (users []User, keys []UserKey) {
	for id := int64(1); len(keys) < n; id++ {
		u := User{CustomerID: 1, ID: id, UUID: uuid.New()}
		if key := keysOf(&u)[0]; len(keys) == 0 || r.set(key) == r.set(keys[0]) {
			users, keys = append(users, u), append(keys, key)
		}
	}
	return users, keys
}

func TestAKeyKeepsItsPlaceWhenAnotherBecomesFree(t *testing.T) {
	t.Parallel()
	r := newRecentUsers(DefaultRememberedUsers)
	users, keys := usersOfOneSet(r, 2)
	r.add(users[0])
	r.add(users[1])
	r.forget(keys[0])
	r.add(users[1])
	set, places := r.set(keys[1]), 0
	for i := range set {
		if is := set[i].Load(); is != nil && keys[1].names(&is.user) {
			places++
		}
	}
	if places != 1 {
		t.Errorf("the user takes %d places of its set", places)
	}
}

func TestAUserIsRememberedAndForgottenByEitherKey(t *testing.T) {
	t.Parallel()
	u := User{CustomerID: 1, ID: 2, UUID: uuid.New(), Version: 1}
	another := User{CustomerID: 1, ID: 3, UUID: uuid.New(), Version: 1}
	for _, forget := range keysOf(&u) {
		r := newRecentUsers(DefaultRememberedUsers)
		r.add(u)
		r.add(another)
		newer := u
		newer.Version = 2
		r.add(newer)
		for _, key := range keysOf(&u) {
			if is := r.find(key); is == nil || is.Version != 2 {
				t.Errorf("by %v there is %v", key, is)
			}
		}
		for _, key := range []UserKey{UserByID(2, u.ID), UserByUUID(2, u.UUID), UserByID(1, 4), {}} {
			if is := r.find(key); is != nil {
				t.Errorf("by %v there is %v", key, is)
			}
		}
		r.forget(forget)
		for _, key := range keysOf(&u) {
			if is := r.find(key); is != nil {
				t.Errorf("forgotten by %v, by %v there is %v", forget, key, is)
			}
		}
		if r.find(keysOf(&another)[1]) == nil {
			t.Error("another was forgotten, too")
		}
	}
}

func TestUsersWhoseTimeIsOverAreFreed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecentUsers(DefaultRememberedUsers)
		held := func() (n int) {
			for _, table := range []recentTable{r.byID, r.byUUID} {
				for i := range table {
					for j := range table[i] {
						if table[i][j].Load() != nil {
							n++
						}
					}
				}
			}
			return n
		}
		wait := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		// The second time nobody is left from the first.
		for range 2 {
			r.add(User{CustomerID: 1, ID: 1, UUID: uuid.New()})
			wait(recentFor - recentSweep)
			r.add(User{CustomerID: 1, ID: 2, UUID: uuid.New()})
			if n := held(); n != 4 {
				t.Errorf("%d places are taken by two users, want 4", n)
			}
			wait(2 * recentSweep)
			if n := held(); n != 2 || r.find(UserByID(1, 2)) == nil {
				t.Errorf("%d places are taken when one user's time is over, want the other's 2", n)
			}
			wait(recentFor)
			if n := held(); n != 0 || r.sweeping.Load() {
				t.Errorf("%d places are taken when all are over, or a sweep is still to come", n)
			}
		}
	})
}

func TestAsManyUsersAreRememberedAsAskedFor(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{-1: 0, 0: 0, 1: recentPlaces, recentPlaces: recentPlaces, 10 * recentPlaces: 10 * recentPlaces} {
		r := newRecentUsers(n)
		var users []User
		for id := int64(1); id <= 1000; id++ {
			u := User{CustomerID: 1, ID: id, UUID: uuid.New()}
			r.add(u)
			users = append(users, u)
		}
		for by := range keysOf(&User{}) {
			found := 0
			for _, u := range users {
				if r.find(keysOf(&u)[by]) != nil {
					found++
				}
			}
			if found != want {
				t.Errorf("of a thousand users %d are remembered by key %d, want %d of %d", found, by, want, n)
			}
		}
		r.forget(UserByID(1, 1000))
		r.close()
	}
}
