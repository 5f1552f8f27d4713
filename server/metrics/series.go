package metrics

import (
	"maps"
	"sync/atomic"
)

// series caches the metrics of a vector by their labels. Prometheus hashes all values of labels at each lookup, and every request
// and every statement needs one. Nothing is evicted: there are a few metrics of each name.
type series[L comparable, M any] struct {
	find  func(L) M
	found *atomic.Pointer[map[L]M] // the maps are immutable
}

func newSeries[L comparable, M any](find func(L) M) series[L, M] {
	s := series[L, M]{find: find, found: &atomic.Pointer[map[L]M]{}}
	s.found.Store(&map[L]M{})
	return s
}

// of returns the metric with these labels.
func (s series[L, M]) of(labels L) M {
	for {
		found := s.found.Load()
		if m, ok := (*found)[labels]; ok {
			return m
		}
		more := maps.Clone(*found)
		more[labels] = s.find(labels)
		s.found.CompareAndSwap(found, &more) // if another goroutine stored a map first, try again
	}
}
