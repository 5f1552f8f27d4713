package store

import (
	"context"
	"time"
)

// keep calls work until ctx is done, and waits after each call as long as it says, or until woken sends, which may be nil. An error does not
// end it: report is called with the first error of a series, and with nil once work succeeds again.
func keep(ctx context.Context, report func(error), woken <-chan struct{}, work func() (pause time.Duration, err error)) {
	failing := false
	for {
		pause, err := work()
		if ctx.Err() != nil {
			return
		}
		if failing != (err != nil) {
			failing = !failing
			report(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-woken:
		case <-time.After(pause):
		}
	}
}
