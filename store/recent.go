package store

import (
	"time"

	"github.com/jellydator/ttlcache/v3"
)

// How many users a store remembers, some ten megabytes of them, and for how long.
const (
	maxRecent = 1 << 14
	recentFor = time.Minute
)

// recentUsers are users as this store read or wrote them last. Another server may have written them since, so that they decide
// nothing: they only save an update the reading, if the write then finds the user to be still the same. Clients that change a user
// have often just shown it, or change it again.
type recentUsers struct {
	users *ttlcache.Cache[UserKey, *User]
}

func newRecentUsers() recentUsers {
	return recentUsers{ttlcache.New(
		ttlcache.WithCapacity[UserKey, *User](maxRecent),
		ttlcache.WithTTL[UserKey, *User](recentFor),
		ttlcache.WithDisableTouchOnHit[UserKey, *User](),
	)}
}

// find returns the user as it lately was, which must not be altered, or nil.
func (r recentUsers) find(key UserKey) *User {
	if item := r.users.Get(key); item != nil {
		return item.Value()
	}
	return nil
}

// add remembers a user.
func (r recentUsers) add(key UserKey, u User) {
	own := u.clone() // the caller may do with its own as it likes
	r.users.Set(key, &own, ttlcache.DefaultTTL)
}

// forget forgets a user who turned out to be another by now.
func (r recentUsers) forget(key UserKey) { r.users.Delete(key) }
