package store

import (
	"hash/maphash"
	"sync/atomic"
	"time"
)

// How many users a store remembers, at about a kilobyte each, and for how long.
const (
	maxRecent = 1 << 13
	recentFor = time.Minute
)

// recentUsers are users as this store read or wrote them last. Another server may have written them since, so that they decide
// nothing: they only save an update the reading, if the write then finds the user to be still the same. Clients that change a user
// have often just shown it, or change it again.
//
// Each key has a few places, which it shares with others; who comes takes the one that was longest without news. Nothing is locked,
// and nothing kept in order.
type recentUsers struct {
	seed maphash.Seed
	sets [maxRecent / recentPlaces]recentSet
}

// recentPlaces is how many places a key has.
const recentPlaces = 4

type recentSet [recentPlaces]atomic.Pointer[recentUser]

type recentUser struct {
	key   UserKey
	user  User
	until time.Time
}

func newRecentUsers() *recentUsers { return &recentUsers{seed: maphash.MakeSeed()} }

func (r *recentUsers) set(key UserKey) *recentSet {
	return &r.sets[maphash.Comparable(r.seed, key)%uint64(len(r.sets))]
}

// find returns the user as it lately was, which must not be altered, or nil.
func (r *recentUsers) find(key UserKey) *User {
	set := r.set(key)
	for i := range set {
		if u := set[i].Load(); u != nil && u.key == key && time.Now().Before(u.until) {
			return &u.user
		}
	}
	return nil
}

// add remembers a user.
func (r *recentUsers) add(key UserKey, u User) {
	set := r.set(key)
	place, oldest := &set[0], time.Time{}
	for i := range set {
		is := set[i].Load()
		if is == nil || is.key == key {
			place = &set[i]
			break
		}
		if i == 0 || is.until.Before(oldest) {
			place, oldest = &set[i], is.until
		}
	}
	// The caller may do with its own as it likes.
	place.Store(&recentUser{key, u.clone(), time.Now().Add(recentFor)})
}

// forget forgets a user who turned out to be another by now. Two who added it at once may have done so in two places.
func (r *recentUsers) forget(key UserKey) {
	set := r.set(key)
	for i := range set {
		if u := set[i].Load(); u != nil && u.key == key {
			set[i].CompareAndSwap(u, nil)
		}
	}
}
