package store

import "time"

// DefaultRememberedUsers is how many users a store caches where its [Config] does not say.
const DefaultRememberedUsers = 1 << 14

// rememberedFor is how long a user stays in the cache after it was read or written.
const rememberedFor = 5 * time.Minute

// The cache of users saves an update the reading of a user that was just shown or changed. A cached user may be stale, as another
// server may have written it since. So it decides nothing: an update that starts from it counts only if it ends in a write, which
// finds that the stored version is still the same; otherwise the user is read.

// remembered returns the cached user of a key, which must not be altered, or nil.
func (s *Store) remembered(key UserKey) *User {
	u, _ := s.recent.Find(key)
	return u
}

// remember caches a copy of a user.
func (s *Store) remember(u *User) {
	if s.recent == nil {
		return
	}
	c := *u
	c.unshare() // the caller may alter its own
	s.recent.Add(&c, c.keys()...)
}

// forget removes a user that turned out to be stale from the cache.
func (s *Store) forget(u *User) { s.recent.Remove(u.keys()...) }

// keys returns the keys that name the user.
func (u *User) keys() []UserKey {
	return []UserKey{UserByID(u.CustomerID, u.ID), UserByUUID(u.CustomerID, u.UUID)}
}
