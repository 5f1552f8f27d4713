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
		{10 << 20, 10 << 20, 240}, // 10 MiB, and 24 of garbage
		{10 << 20, 12 << 20, 200}, // what is no heap counts for Go, too
		{14 << 20, 20 << 20, 100},
		{24 << 20, 12 << 20, 83},
		{27 << 20, 38 << 20, 50}, // with 256 connections
		{900 << 20, 950 << 20, 50},
	} {
		if got := gcPercent(c.heap, c.all); got != c.want {
			t.Errorf("gcPercent(%d, %d) = %d, want %d", c.heap, c.all, got, c.want)
		}
	}
}
