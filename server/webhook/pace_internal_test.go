package webhook

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"
)

// TestPaceAdapts: the rate goes down where more goroutines queue than there are processors, and up where it is fewer than half as many.
func TestPaceAdapts(t *testing.T) {
	t.Parallel()
	processors := float64(runtime.GOMAXPROCS(0))
	p := newPace()
	usual, busy := rate.Limit(ratePerProcessor*processors), rate.Limit(busyRatePerProcessor*processors)
	for i, c := range []struct {
		queue float64 // of each processor
		want  rate.Limit
	}{{0, usual}, {0.9, usual}, {1.1, busy}, {0.9, busy}, {0.6, busy}, {0.4, usual}, {0.6, usual}, {7, busy}, {0, usual}} {
		p.adapt(p.waited+c.queue*processors/5, p.checked.Add(time.Second/5))
		if p.Limit() != c.want || p.Burst() != max(1, int(c.want)/5) {
			t.Errorf("step %d: %v a second, %d at once, want %v", i, p.Limit(), p.Burst(), c.want)
		}
	}
	p.adapt(p.waited+1000, p.checked) // no time has passed
	if p.busy {
		t.Error("busy without any time")
	}
}

// TestQueued: goroutines that keep the processors busy are seen to queue for them, and how many they are.
func TestQueued(t *testing.T) {
	t.Parallel()
	const each = 50
	before, began := queued(), time.Now()
	var spinning sync.WaitGroup
	for range each * runtime.GOMAXPROCS(0) {
		spinning.Go(func() {
			for time.Since(began) < 300*time.Millisecond {
				runtime.Gosched()
			}
		})
	}
	spinning.Wait()
	length := (queued() - before) / time.Since(began).Seconds()
	if most := float64(each * runtime.GOMAXPROCS(0)); length < most/4 || length > most*3 {
		t.Errorf("%.1f goroutines queued of %.0f", length, most)
	}
}
