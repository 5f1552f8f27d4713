package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// heapToFill is how many bytes the heap may grow to before garbage is collected, within the bounds below. Go (1.26) by itself collects
// when there is as much garbage as there is in use. A directory uses so little that this would be several times a second, and with many
// connections it would be more memory than the time is worth.
const heapToFill = 34 << 20

// How much garbage may come together, in percent of what is in use: what Go allows by itself, the least, and the most. What is in
// use may become much more between two collections, and the percents still hold then.
const (
	goGCPercent  = 100
	minGCPercent = 50
	maxGCPercent = 400
)

// setPace has garbage collected less often while little is in use, and more often while much is. Who sets GOGC or GOMEMLIMIT has said
// what to do, and is not interfered with.
func setPace() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
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
