// Package recent caches values for a while after they were read or written, each under several keys.
//
// A cached value may be stale, because another process may have changed the original since. The package knows neither what the values
// are nor where they come from. Its callers must detect a stale value or tolerate it.
package recent

import (
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/maypok86/otter/v2/stats"
)

// Cache contains recently added values. It is safe for concurrent use. A nil Cache is always empty.
type Cache[K comparable, V any] struct {
	entries *otter.Cache[K, V]
	lookups *stats.Counter
}

// New returns a cache of at most entries keys. A key expires lifetime after it was last added. The cache is nil if entries is not
// positive.
func New[K comparable, V any](entries int, lifetime time.Duration) *Cache[K, V] {
	if entries <= 0 {
		return nil
	}
	lookups := stats.NewCounter()
	return &Cache[K, V]{
		entries: otter.Must(&otter.Options[K, V]{
			MaximumSize:      entries,
			ExpiryCalculator: otter.ExpiryWriting[K, V](lifetime),
			StatsRecorder:    lookups,
		}),
		lookups: lookups,
	}
}

// Close ends the goroutine that removes expired values.
func (c *Cache[K, V]) Close() {
	if c != nil {
		c.entries.StopAllGoroutines()
	}
}

// Find returns the value that was added last under a key, and whether there is one.
func (c *Cache[K, V]) Find(key K) (V, bool) {
	if c == nil {
		var none V
		return none, false
	}
	return c.entries.GetIfPresent(key)
}

// Add stores a value under each of the keys, replacing any earlier value.
func (c *Cache[K, V]) Add(value V, keys ...K) {
	if c == nil {
		return
	}
	for _, key := range keys {
		c.entries.Set(key, value)
	}
}

// Remove removes the keys and their values.
func (c *Cache[K, V]) Remove(keys ...K) {
	if c == nil {
		return
	}
	for _, key := range keys {
		c.entries.Invalidate(key)
	}
}

// Lookups returns how often Find has found a value so far, and how often it has found none.
func (c *Cache[K, V]) Lookups() (hits, misses uint64) {
	if c == nil {
		return 0, 0
	}
	s := c.lookups.Snapshot()
	return s.Hits, s.Misses
}
