package server

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestPingRateIsLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p ping
		var pings int
		down := errors.New("down")
		var state error
		database := func(context.Context) error {
			pings++
			time.Sleep(100 * time.Millisecond)
			return state
		}
		ask := func() (failed int) {
			var all sync.WaitGroup
			var mu sync.Mutex
			for range 100 {
				all.Go(func() {
					if p.ask(t.Context(), database) != nil {
						mu.Lock()
						failed++
						mu.Unlock()
					}
				})
			}
			all.Wait()
			return failed
		}
		if failed := ask(); failed != 0 || pings != 1 {
			t.Errorf("100 at once: %d failed, %d pings", failed, pings)
		}
		state = down
		time.Sleep(pingEvery - 1)
		if failed := ask(); failed != 0 || pings != 1 {
			t.Errorf("within a second: %d failed, %d pings", failed, pings)
		}
		time.Sleep(time.Nanosecond)
		if failed := ask(); failed != 100 || pings != 2 {
			t.Errorf("after a second: %d failed, %d pings", failed, pings)
		}
	})
}

// TestPingOutlivesItsCaller also checks that a ping times out.
func TestPingOutlivesItsCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p ping
		frozen := func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
		short, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		began := time.Now()
		var both sync.WaitGroup
		both.Go(func() {
			if err := p.ask(short, frozen); !errors.Is(err, context.Canceled) || time.Since(began) != time.Second {
				t.Errorf("canceled caller: %v after %s", err, time.Since(began))
			}
		})
		both.Go(func() {
			if err := p.ask(t.Context(), frozen); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != pingTimeout {
				t.Errorf("other caller: %v after %s", err, time.Since(began))
			}
		})
		both.Wait()
	})
}
