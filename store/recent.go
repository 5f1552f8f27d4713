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
// Each key has one place, which it shares with others; who comes last has it. Nothing is locked, and nothing kept in order.
type recentUsers struct {
	seed   maphash.Seed
	places [maxRecent]atomic.Pointer[recentUser]
}

type recentUser struct {
	key   UserKey
	user  User
	until time.Time
}

func newRecentUsers() *recentUsers { return &recentUsers{seed: maphash.MakeSeed()} }

func (r *recentUsers) place(key UserKey) *atomic.Pointer[recentUser] {
	return &r.places[maphash.Comparable(r.seed, key)%maxRecent]
}

// find returns the user as it lately was, which must not be altered, or nil.
func (r *recentUsers) find(key UserKey) *User {
	if u := r.place(key).Load(); u != nil && u.key == key && time.Now().Before(u.until) {
		return &u.user
	}
	return nil
}

// add remembers a user.
func (r *recentUsers) add(key UserKey, u User) {
	// The caller may do with its own as it likes.
	r.place(key).Store(&recentUser{key, u.clone(), time.Now().Add(recentFor)})
}

// forget forgets a user who turned out to be another by now.
func (r *recentUsers) forget(key UserKey) { r.place(key).Store(nil) }
