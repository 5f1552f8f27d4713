package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dragoman-id/dragoman/store/postgres"
)

// Wait says how long to retry a database that is not available yet. The zero value does not retry.
type Wait struct {
	// For is how long to retry.
	For time.Duration
	// Waiting is called with the error before each pause. It may be nil.
	Waiting func(err error, pause time.Duration)
}

// The pause between two attempts is shortestPause at first, and doubles up to longestPause.
const (
	shortestPause = 100 * time.Millisecond
	longestPause  = 5 * time.Second
)

// retry calls open until it succeeds, fails with an error that waiting does not mend, or w.For or ctx is over.
func (w Wait) retry(ctx context.Context, open func() error) error {
	end := time.Now().Add(w.For)
	for pause := shortestPause; ; pause = min(2*pause, longestPause) {
		err := open()
		left := time.Until(end)
		switch {
		case err != nil && postgres.LacksPrivilege(err):
			return fmt.Errorf("%w; the role of --database (DRAGOMAN_DATABASE) must own the tables to migrate them, and needs SELECT, INSERT, UPDATE "+
				"and DELETE on them to serve", err)
		case err != nil && postgres.IsReadOnly(err):
			return fmt.Errorf("%w; the server only reads: name the one that takes writes in --database (DRAGOMAN_DATABASE)", err)
		case err == nil, !mayPass(err):
			return err
		case left <= 0:
			return fmt.Errorf("%w; check --database (DRAGOMAN_DATABASE), or wait longer than %s with --database-wait (DRAGOMAN_DATABASE_WAIT)", err, w.For)
		}
		pause = min(pause, left)
		if w.Waiting != nil {
			w.Waiting(err, pause)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the database: %w: %w", context.Cause(ctx), err)
		case <-time.After(pause):
		}
	}
}

// mayPass reports whether a database that cannot be opened may become available by itself: not if it is available and refuses.
func mayPass(err error) bool {
	return (errors.Is(err, ErrUnavailable) || errors.Is(err, ErrBusy)) && !postgres.RefusedForGood(err)
}
