package recent

import (
	"testing"
	"testing/synctest"
	"time"
)

const lifetime = time.Minute

// newCache returns a cache that is closed when the test ends.
func newCache(t *testing.T, entries int) *Cache[string, int] {
	t.Helper()
	c := New[string, int](entries, lifetime)
	t.Cleanup(c.Close)
	return c
}

// check reports the keys that do not have the value that they should, 0 for none.
func (c *Cache[K, V]) check(t *testing.T, want map[K]V) {
	t.Helper()
	for key, value := range want {
		if got, _ := c.Find(key); any(got) != any(value) {
			t.Errorf("%v: %v, want %v", key, got, value)
		}
	}
}

func TestFindByEveryKey(t *testing.T) {
	t.Parallel()
	c := newCache(t, 10)
	c.Add(1, "a", "b")
	c.Add(2, "c", "d")
	c.check(t, map[string]int{"a": 1, "b": 1, "c": 2, "d": 2, "e": 0})
	c.Add(3, "a", "b")
	c.check(t, map[string]int{"a": 3, "b": 3, "c": 2})
	c.Remove("a", "b")
	c.check(t, map[string]int{"a": 0, "b": 0, "c": 2})
	if hits, misses := c.Lookups(); hits != 8 || misses != 3 {
		t.Errorf("%d hits and %d misses, want 8 and 3", hits, misses)
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := New[string, int](10, lifetime)
		defer c.Close()
		c.Add(1, "a", "b")
		time.Sleep(lifetime - time.Second)
		c.check(t, map[string]int{"a": 1, "b": 1}) // which does not make it last longer
		c.Add(2, "c")
		time.Sleep(time.Second)
		c.check(t, map[string]int{"a": 0, "b": 0, "c": 2})
		time.Sleep(lifetime + 3*time.Second)
		synctest.Wait()
		if n := c.entries.EstimatedSize(); n != 0 {
			t.Errorf("%d expired entries take up memory", n)
		}
	})
}

func TestSize(t *testing.T) {
	t.Parallel()
	for entries, want := range map[int]int{-1: 0, 0: 0, 1: 1, 100: 100} {
		synctest.Test(t, func(t *testing.T) {
			c := New[int, int](entries, lifetime)
			defer c.Close()
			for i := range 1000 {
				c.Add(i, i)
			}
			synctest.Wait()
			found := 0
			for i := range 1000 {
				if _, ok := c.Find(i); ok {
					found++
				}
			}
			if found != want {
				t.Errorf("%d of 1000 values are found in a cache of %d", found, entries)
			}
			c.Remove(1)
		})
	}
}
