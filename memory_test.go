package main

import "testing"

func TestGarbageMayFillASmallHeap(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ heap, all, want int }{
		{0, 1 << 17, 100},         // nothing was ever collected
		{2 << 20, 3 << 20, 400},   // so little that it costs nothing to collect
		{10 << 20, 10 << 20, 300}, // 10 MiB, and 30 of garbage
		{10 << 20, 12 << 20, 250}, // what is no heap counts for Go, too
		{19 << 20, 20 << 20, 105},
		{20 << 20, 20 << 20, 100},
		{30 << 20, 30 << 20, 100},
		{90 << 20, 95 << 20, 100}, // never less than Go allows
	} {
		if got := gcPercent(c.heap, c.all); got != c.want {
			t.Errorf("gcPercent(%d, %d) = %d, want %d", c.heap, c.all, got, c.want)
		}
	}
}
