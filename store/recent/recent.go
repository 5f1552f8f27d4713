// Package recent remembers values for a while after they were read or written, each under several keys.
//
// What is found may be stale: another process may have changed the original since. The package does not know what the values
// are, nor where they come from; whoever asks must be able to tell that a value is stale, or not care.
package recent

import (
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/maypok86/otter/v2/stats"
)

// Cache holds values that were added lately. Its methods may be called by many goroutines at once. A nil Cache remembers nothing.
type Cache[K comparable, V any] struct {
	entries *otter.Cache[K, V]
	lookups *stats.Counter
}

// New returns a cache of at most entries keys, each of which is forgotten when it was not added for as long as lifetime. It is nil
// if entries is not positive.
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

// Add puts a value under each of the keys, in place of what was there.
func (c *Cache[K, V]) Add(value V, keys ...K) {
	if c == nil {
		return
	}
	for _, key := range keys {
		c.entries.Set(key, value)
	}
}

// Remove removes what is under each of the keys.
func (c *Cache[K, V]) Remove(keys ...K) {
	if c == nil {
		return
	}
	for _, key := range keys {
		c.entries.Invalidate(key)
	}
}

// Lookups returns how often Find has found a value so far, and how often it has not.
func (c *Cache[K, V]) Lookups() (hits, misses uint64) {
	if c == nil {
		return 0, 0
	}
	s := c.lookups.Snapshot()
	return s.Hits, s.Misses
}
