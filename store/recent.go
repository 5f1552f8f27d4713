package store

import (
	"hash/maphash"
	"sync/atomic"
	"time"
)

// DefaultRememberedUsers is how many users a store remembers where its [Config] does not say.
const DefaultRememberedUsers = 1 << 14

// How long a store remembers a user, and how often it frees those whose time is over.
const (
	recentFor   = 5 * time.Minute
	recentSweep = time.Minute
)

// recentUsers are users as this store read or wrote them last. Another server may have written them since, so that they decide
// nothing: they only save an update the reading, if the write then finds the user to be still the same. Clients that change a user
// have often just shown it, or change it again.
//
// A user is found by either key. Each key has a few places, which it shares with others; who comes takes the one that was longest
// without news. Nothing is locked, and nothing kept in order. Nil remembers nobody.
type recentUsers struct {
	seed         maphash.Seed
	byID, byUUID recentTable
	sweeping     atomic.Bool // a sweep is to come; true while anybody is remembered
	sweeper      *time.Timer
	hits, misses atomic.Uint64
}

type recentTable []recentSet

// recentPlaces is how many places a key has.
const recentPlaces = 4

type recentSet [recentPlaces]atomic.Pointer[recentUser]

type recentUser struct {
	user  User
	until time.Time
}

// newRecentUsers remembers so many users at most, a few more where the places do not come out even.
func newRecentUsers(n int) *recentUsers {
	if n <= 0 {
		return nil
	}
	sets := (n + recentPlaces - 1) / recentPlaces
	r := &recentUsers{seed: maphash.MakeSeed(), byID: make(recentTable, sets), byUUID: make(recentTable, sets)}
	r.sweeping.Store(true)
	r.sweeper = time.AfterFunc(recentSweep, r.sweep)
	return r
}

// close ends the sweeps: none is asked for any more, as one seems to be to come. One that has just begun may have another come.
func (r *recentUsers) close() {
	if r == nil {
		return
	}
	r.sweeping.Store(true)
	r.sweeper.Stop()
}

func (r *recentUsers) set(key UserKey) *recentSet {
	table := r.byID
	if key.by == keyByUUID {
		table = r.byUUID
	}
	return &table[maphash.Comparable(r.seed, key)%uint64(len(table))]
}

// keysOf returns the keys of a user.
func keysOf(u *User) [2]UserKey {
	return [2]UserKey{UserByID(u.CustomerID, u.ID), UserByUUID(u.CustomerID, u.UUID)}
}

// names tells whether the key is one of this user's.
func (k UserKey) names(u *User) bool {
	if k.customerID != u.CustomerID {
		return false
	}
	return k.by == keyByID && k.id == u.ID || k.by == keyByUUID && k.uuid == u.UUID
}

// find returns the user as it lately was, which must not be altered, or nil.
func (r *recentUsers) find(key UserKey) *User {
	if r == nil {
		return nil
	}
	set := r.set(key)
	for i := range set {
		if is := set[i].Load(); is != nil && key.names(&is.user) && time.Now().Before(is.until) {
			return &is.user
		}
	}
	return nil
}

// look is find for an update, and counts what came of it.
func (r *recentUsers) look(key UserKey) *User {
	u := r.find(key)
	switch {
	case r == nil:
	case u == nil:
		r.misses.Add(1)
	default:
		r.hits.Add(1)
	}
	return u
}

// add remembers a user.
func (r *recentUsers) add(u User) {
	if r == nil {
		return
	}
	// The caller may do with its own as it likes.
	added := &recentUser{u.clone(), time.Now().Add(recentFor)}
	for _, key := range keysOf(&added.user) {
		r.set(key).placeFor(key).Store(added)
	}
	r.sweepLater()
}

// sweepLater has a sweep come, if none is to come yet.
func (r *recentUsers) sweepLater() {
	if !r.sweeping.Load() && r.sweeping.CompareAndSwap(false, true) {
		r.sweeper.Reset(recentSweep)
	}
}

// sweep frees the users whose time is over, and comes again while any are left.
func (r *recentUsers) sweep() {
	r.sweeping.Store(false) // before it looks, so that who is added behind it has another come
	now, left := time.Now(), false
	for _, table := range []recentTable{r.byID, r.byUUID} {
		for i := range table {
			left = table[i].free(now) || left
		}
	}
	if left {
		r.sweepLater()
	}
}

// free frees the places of those whose time is over, and reports whether others are left.
func (s *recentSet) free(now time.Time) (left bool) {
	for i := range s {
		switch is := s[i].Load(); {
		case is == nil:
		case now.Before(is.until):
			left = true
		default:
			s[i].CompareAndSwap(is, nil)
		}
	}
	return left
}

// placeFor returns the place that the key has already, or is to take.
func (s *recentSet) placeFor(key UserKey) *atomic.Pointer[recentUser] {
	place, oldest := 0, time.Time{}
	for i := range s {
		var until time.Time // of a free place, which is longer without news than any
		if is := s[i].Load(); is != nil {
			if key.names(&is.user) {
				return &s[i]
			}
			until = is.until
		}
		if i == 0 || until.Before(oldest) {
			place, oldest = i, until
		}
	}
	return &s[place]
}

// forget forgets a user who turned out to be another by now.
func (r *recentUsers) forget(key UserKey) {
	u := r.find(key)
	if u == nil {
		return
	}
	for _, key := range keysOf(u) {
		set := r.set(key)
		for i := range set { // two who added it at once may have done so in two places
			if is := set[i].Load(); is != nil && key.names(&is.user) {
				set[i].CompareAndSwap(is, nil)
			}
		}
	}
}
