package cli

import (
	"context"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

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

func TestMemoryIsGivenBackWhileIdle(t *testing.T) {
	t.Parallel()
	const probe = 1 << 20 // what a second of probes allocates, who wake nobody
	var r rest
	var allocated uint64
	for _, span := range []struct {
		seconds   int
		allocates uint64 // in each
		givesBack []int  // in which of them
	}{
		{1, 50 << 20, nil}, // it starts
		{121, 1 << 10, []int{2, 62}},
		{9, probe, []int{1}},
		{3, 100 << 20, nil},
		{1, 0, nil},
		{1, 2 << 20, nil},
		{61, probe, []int{2}},
		{60, 0, []int{1}},
	} {
		var givesBack []int
		for second := 1; second <= span.seconds; second++ {
			allocated += span.allocates
			if r.after(allocated) {
				givesBack = append(givesBack, second)
			}
		}
		if !slices.Equal(givesBack, span.givesBack) {
			t.Errorf("of %d seconds with %d bytes each, memory is given back in %v, want %v", span.seconds, span.allocates, givesBack, span.givesBack)
		}
	}
}

// TestAnIdleProgramCollectsItsGarbage looks at the loop that gives memory back: it collects garbage each time, where nobody else in this
// package asks for that.
func TestAnIdleProgramCollectsItsGarbage(t *testing.T) {
	t.Parallel()
	collected := func() uint32 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.NumForcedGC
	}
	synctest.Test(t, func(t *testing.T) {
		before := collected()
		ctx, stop := context.WithCancel(t.Context())
		go giveBackWhenIdle(ctx)
		time.Sleep(5 * time.Minute) // more than once, as tests beside this one allocate, too
		if collected() == before {
			t.Error("in five idle minutes no memory was given back")
		}
		stop() // the bubble ends when the loop does
	})
}
