package webhook

import (
	"runtime"
	"runtime/metrics"
	"time"

	"golang.org/x/time/rate"
)

const (
	// ratePerProcessor is how many deliveries a second a server makes at most, for each of its processors.
	ratePerProcessor = 600
	// busyRatePerProcessor is the same while goroutines queue for the processors. Beyond that deliveries lag, and requests are served.
	busyRatePerProcessor = 120
)

// pace limits the rate of deliveries, so that they cost those who write less than a tenth of their throughput (make lag). It gives way as soon
// as goroutines queue for processors: the processor time that a machine has for the server, beside its database and other programs, is not
// known.
type pace struct {
	*rate.Limiter
	busy    bool
	waited  float64   // at the last call of adapt
	checked time.Time // when that was
}

func newPace() *pace {
	p := &pace{Limiter: rate.NewLimiter(0, 0), waited: queued(), checked: time.Now()}
	p.set(ratePerProcessor)
	return p
}

// set sets the rate for each processor. A fifth of a second's worth may be made at once.
func (p *pace) set(perProcessor int) {
	perSecond := perProcessor * runtime.GOMAXPROCS(0)
	p.SetLimit(rate.Limit(perSecond))
	p.SetBurst(max(1, perSecond/5))
}

// adapt sets the rate by how many goroutines have queued on average since the last call: more than there are processors, or fewer than half as
// many. waited is what queued returns now.
func (p *pace) adapt(waited float64, now time.Time) {
	elapsed := now.Sub(p.checked).Seconds()
	if elapsed <= 0 {
		return
	}
	length, processors := (waited-p.waited)/elapsed, float64(runtime.GOMAXPROCS(0))
	p.waited, p.checked = waited, now
	switch {
	case !p.busy && length > processors:
		p.busy = true
		p.set(busyRatePerProcessor)
	case p.busy && length < processors/2:
		p.busy = false
		p.set(ratePerProcessor)
	}
}

// sampled is how many of a goroutine's waits there are to each that the runtime measures.
const sampled = 8

// queued returns for how long goroutines have been ready and waited for a processor, all together, in seconds. The difference between two calls,
// divided by the time between them, is how many have queued on average.
func queued() (total float64) {
	sample := []metrics.Sample{{Name: "/sched/latencies:seconds"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindFloat64Histogram {
		return 0
	}
	h := sample[0].Value.Float64Histogram()
	for i, n := range h.Counts {
		if n > 0 && h.Buckets[i] > 0 { // the first bucket begins at minus infinity
			total += float64(n) * h.Buckets[i]
		}
	}
	return sampled * total
}
