package cli

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// heapToFill is how many bytes the heap may grow to before garbage is collected, within the bounds below. Go (1.26) by itself collects
// when there is as much garbage as there is in use. A directory uses so little that this would be several times a second, and with many
// connections it would be more memory than the time is worth.
const heapToFill = 30 << 20

// How much garbage may come together, in percent of what is in use: what Go allows by itself, the least, and the most. What is in
// use may become much more between two collections, and the percents still hold then.
const (
	goGCPercent  = 100
	minGCPercent = 50
	maxGCPercent = 400
)

// manageMemory has garbage collected less often while little is in use, and more often while much is; and memory given back to the
// system while the program is idle, until ctx ends. Who sets GOGC has said what to do, and is not interfered with. A limit by
// GOMEMLIMIT holds beside it.
func manageMemory(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	setPace()
	go giveBackWhenIdle(ctx)
}

func setPace() {
	p := &pace{percent: goGCPercent, inUse: []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"},
	}}
	p.afterCollection()
}

// pace is how often garbage is collected.
type pace struct {
	percent int
	inUse   []metrics.Sample // the heap first
}

// afterCollection has itself called after the next collection, when a new object that nobody uses is gone.
func (p *pace) afterCollection() {
	metrics.Read(p.inUse)
	heap, all := p.inUse[0].Value.Uint64(), uint64(0)
	for _, s := range p.inUse {
		all += s.Value.Uint64()
	}
	// To set it stops the program for a moment.
	if percent := gcPercent(heap, all); percent < p.percent*9/10 || percent > p.percent*11/10 {
		p.percent = percent
		debug.SetGCPercent(percent)
	}
	runtime.AddCleanup(new(sentinel), (*pace).afterCollection, p)
}

// sentinel is an object of its own, which no other keeps from being collected.
type sentinel struct{ _ [32]byte }

// gcPercent gives the garbage that may come together, in percent of what is in use, when so many bytes of the heap are
// and so many in all.
func gcPercent(heap, all uint64) int {
	if heap == 0 { // nothing was ever collected
		return goGCPercent
	}
	percent := (heapToFill - float64(heap)) * 100 / float64(all)
	return int(min(max(minGCPercent, percent), maxGCPercent))
}

const (
	// fewAllocations is how many bytes an idle program allocates in a second at most: those for a few probes of its health, and of its
	// metrics.
	fewAllocations = 1 << 20
	// idleSeconds is how many such seconds make it idle.
	idleSeconds = 2
	// giveBackEvery is after how many further such seconds there may be more to give back, as what was remembered of the load is
	// forgotten with time.
	giveBackEvery = 60
)

// giveBackWhenIdle gives the memory that the heap does not use back to the system while the program is idle. Go (1.26) by itself keeps
// as much as the heap had, for the next load.
func giveBackWhenIdle(ctx context.Context) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	allocated := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	var r rest
	for {
		select {
		case <-ctx.Done():
			return
		case <-second.C:
		}
		metrics.Read(allocated)
		if r.after(allocated[0].Value.Uint64()) {
			debug.FreeOSMemory()
		}
	}
}

// rest tells when an idle program is to give memory back.
type rest struct {
	seconds   int // without much to do, one after the other
	allocated uint64
}

// after is to be told every second how many bytes were ever allocated, and reports whether to give memory back now: when the program
// becomes idle, and again and again while it stays so.
func (r *rest) after(allocated uint64) bool {
	few := allocated-r.allocated <= fewAllocations
	r.allocated = allocated
	if !few {
		r.seconds = 0
		return false
	}
	r.seconds++
	return r.seconds%giveBackEvery == idleSeconds
}
