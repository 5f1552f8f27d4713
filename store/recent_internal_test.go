package store

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestAKeyTakesThePlaceThatIsLongestWithoutNews(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecentUsers()
		// One more than there are places for, all of one set.
		var keys []UserKey
		for id := int64(1); len(keys) <= recentPlaces; id++ {
			if key := UserByID(1, id); len(keys) == 0 || r.set(key) == r.set(keys[0]) {
				keys = append(keys, key)
			}
		}
		add := func(key UserKey, version int64) {
			time.Sleep(time.Millisecond)
			r.add(key, User{Version: version})
		}
		for _, key := range keys[:recentPlaces] {
			add(key, 1)
		}
		add(keys[0], 2)
		add(keys[recentPlaces], 1)
		for i, want := range []int64{2, 0, 1, 1, 1} {
			var version int64
			if u := r.find(keys[i]); u != nil {
				version = u.Version
			}
			if version != want {
				t.Errorf("user %d is remembered with version %d, want %d", i, version, want)
			}
		}
		r.forget(keys[0])
		if r.find(keys[0]) != nil || r.find(keys[2]) == nil {
			t.Error("one was to be forgotten, and no other")
		}
		time.Sleep(recentFor)
		if r.find(keys[2]) != nil {
			t.Error("a user is remembered for too long")
		}
	})
}
