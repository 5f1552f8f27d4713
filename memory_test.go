package main

import "testing"

func TestGarbageMayFillASmallHeapAndLittleOfALargeOne(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		heap, all uint64
		want      int
	}{
		{0, 1 << 17, 100},         // nothing was ever collected
		{2 << 20, 3 << 20, 400},   // so little that it costs nothing to collect
		{10 << 20, 10 << 20, 200}, // 10 MiB, and 20 of garbage
		{10 << 20, 16 << 20, 125}, // what is no heap counts for Go, too
		{14 << 20, 16 << 20, 100},
		{22 << 20, 10 << 20, 80},
		{27 << 20, 38 << 20, 50}, // with 256 connections
		{900 << 20, 950 << 20, 50},
	} {
		if got := gcPercent(c.heap, c.all); got != c.want {
			t.Errorf("gcPercent(%d, %d) = %d, want %d", c.heap, c.all, got, c.want)
		}
	}
}

func TestAProgramThatBecomesIdleIsToldSoOnce(t *testing.T) {
	t.Parallel()
	var r rest
	var allocated uint64
	for n, second := range []struct {
		allocates uint64
		begins    bool
	}{
		{50 << 20, false}, // it starts
		{1 << 10, false}, {1 << 10, true}, {1 << 10, false}, {1 << 10, false},
		{1 << 20, false}, {1 << 20, false}, // probes wake nobody
		{100 << 20, false}, {0, false}, {2 << 20, false}, {0, false}, {1 << 20, true}, {0, false},
	} {
		allocated += second.allocates
		if got := r.begins(allocated); got != second.begins {
			t.Errorf("second %d: %t", n, got)
		}
	}
}
