package metrics

import (
	"maps"
	"sync/atomic"
)

// series are the metrics of a name, by their labels, each of them found once: Prometheus hashes all labels' values whenever it is
// asked for one, and every request and every statement asks. It never forgets one, as there are a few of each name.
type series[L comparable, M any] struct {
	find  func(L) M
	found *atomic.Pointer[map[L]M] // a map is not altered any more once it is here
}

func newSeries[L comparable, M any](find func(L) M) series[L, M] {
	s := series[L, M]{find: find, found: &atomic.Pointer[map[L]M]{}}
	s.found.Store(&map[L]M{})
	return s
}

// of gives the metric with these labels.
func (s series[L, M]) of(labels L) M {
	for {
		found := s.found.Load()
		if m, ok := (*found)[labels]; ok {
			return m
		}
		more := maps.Clone(*found)
		more[labels] = s.find(labels)
		s.found.CompareAndSwap(found, &more) // where another was faster, this one looks again
	}
}
