package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dragoman-id/dragoman/store/postgres"
)

// Patience is for a database that is not there yet. The zero value has none: a first failure is the last.
type Patience struct {
	// For is how long to go on trying.
	For time.Duration
	// Waiting, if it is not nil, is told what went wrong before each pause.
	Waiting func(err error, pause time.Duration)
}

// The pauses between two tries begin with the shortest and double up to the longest.
const (
	shortestPause = 100 * time.Millisecond
	longestPause  = 5 * time.Second
)

// retry calls open until it succeeds, fails with what waiting does not mend, or the patience or ctx is over.
func (p Patience) retry(ctx context.Context, open func() error) error {
	end := time.Now().Add(p.For)
	for pause := shortestPause; ; pause = min(2*pause, longestPause) {
		err := open()
		left := time.Until(end)
		switch {
		case err != nil && postgres.LacksPrivilege(err):
			return fmt.Errorf("%w; the role of --database (DRAGOMAN_DATABASE) must own the tables to migrate them, and needs SELECT, INSERT, UPDATE "+
				"and DELETE on them and USAGE, SELECT and UPDATE on their sequences to serve", err)
		case err != nil && postgres.IsReadOnly(err):
			return fmt.Errorf("%w; the server only reads: name the one that takes writes in --database (DRAGOMAN_DATABASE)", err)
		case err == nil, !mayPass(err):
			return err
		case left <= 0:
			return fmt.Errorf("%w; check --database (DRAGOMAN_DATABASE), or wait longer than %s with --database-wait (DRAGOMAN_DATABASE_WAIT)", err, p.For)
		}
		pause = min(pause, left)
		if p.Waiting != nil {
			p.Waiting(err, pause)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the database: %w: %w", context.Cause(ctx), err)
		case <-time.After(pause):
		}
	}
}

// mayPass reports whether a database that cannot be opened now may be there by itself later: not if it is there and does not
// want us.
func mayPass(err error) bool {
	return (errors.Is(err, ErrUnavailable) || errors.Is(err, ErrBusy)) && !postgres.RefusedForGood(err)
}
