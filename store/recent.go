package store

import (
	"hash/maphash"
	"sync/atomic"
	"time"
)

// How many users a store remembers, at about a kilobyte each, and for how long.
const (
	maxRecent = 1 << 14
	recentFor = 5 * time.Minute
)

// recentUsers are users as this store read or wrote them last. Another server may have written them since, so that they decide
// nothing: they only save an update the reading, if the write then finds the user to be still the same. Clients that change a user
// have often just shown it, or change it again.
//
// A user is found by either key. Each key has a few places, which it shares with others; who comes takes the one that was longest
// without news. Nothing is locked, and nothing kept in order.
type recentUsers struct {
	seed         maphash.Seed
	byID, byUUID recentTable
}

type recentTable [maxRecent / recentPlaces]recentSet

// recentPlaces is how many places a key has.
const recentPlaces = 4

type recentSet [recentPlaces]atomic.Pointer[recentUser]

type recentUser struct {
	user  User
	until time.Time
}

func newRecentUsers() *recentUsers { return &recentUsers{seed: maphash.MakeSeed()} }

func (r *recentUsers) set(key UserKey) *recentSet {
	table := &r.byID
	if key.by == keyByUUID {
		table = &r.byUUID
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
	set := r.set(key)
	for i := range set {
		if is := set[i].Load(); is != nil && key.names(&is.user) && time.Now().Before(is.until) {
			return &is.user
		}
	}
	return nil
}

// add remembers a user.
func (r *recentUsers) add(u User) {
	// The caller may do with its own as it likes.
	added := &recentUser{u.clone(), time.Now().Add(recentFor)}
	for _, key := range keysOf(&added.user) {
		r.set(key).placeFor(key).Store(added)
	}
}

// placeFor returns the place that the key has already, or is to take.
func (s *recentSet) placeFor(key UserKey) *atomic.Pointer[recentUser] {
	place, oldest := 0, time.Time{}
	for i := range s {
		is := s[i].Load()
		if is == nil || key.names(&is.user) {
			return &s[i]
		}
		if i == 0 || is.until.Before(oldest) {
			place, oldest = i, is.until
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
