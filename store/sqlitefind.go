package store

import (
	"context"
	"database/sql"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"gorm.io/gorm"
)

// sqliteFinder reads rows by their keys, over connections that nothing slow uses.
//
// They are as many as can work at once, but two at least, as one may wait for the disk: more would only wait for each other. Who
// reads takes a turn first, and the turns go in the order of coming. Of those who wait for a connection database/sql picks one at
// random, and the unlucky wait several times as long as most.
type sqliteFinder struct {
	pool  *sql.DB
	turns chan struct{} // one is in it for each that is taken

	waits     atomic.Int64
	waitedFor atomic.Int64 // nanoseconds
}

// sqliteFinders is how many connections find rows.
func sqliteFinders() int { return max(2, runtime.GOMAXPROCS(0)) }

// newSQLiteFinder reads over all the connections that the pool may have.
func newSQLiteFinder(pool *sql.DB) *sqliteFinder {
	return &sqliteFinder{pool: pool, turns: make(chan struct{}, pool.Stats().MaxOpenConnections)}
}

// queryRow reads the one row that a statement finds, or returns sql.ErrNoRows. If db is a transaction it is read in that. The
// statement must be one that takes no time, by a key: it is not interrupted when ctx ends.
func (f *sqliteFinder) queryRow(ctx context.Context, db gorm.ConnPool, into []any, statement string, arguments ...any) error {
	if _, ok := db.(*sql.DB); !ok {
		return queryRow(ctx, db, into, statement, arguments...)
	}
	if err := f.take(ctx); err != nil {
		return fmt.Errorf("waiting for other readers: %w", err)
	}
	defer f.release()
	conn, err := f.pool.Conn(ctx)
	if err != nil {
		return err
	}
	err = conn.Raw(func(c any) error { return c.(*fileConn).queryRow(ctx, into, statement, arguments) })
	if closed := conn.Close(); err == nil {
		err = closed
	}
	return err
}

// take waits for a turn until ctx ends.
func (f *sqliteFinder) take(ctx context.Context) error {
	select {
	case f.turns <- struct{}{}:
		return nil
	default:
	}
	began := time.Now()
	defer func() {
		f.waits.Add(1)
		f.waitedFor.Add(int64(time.Since(began)))
	}()
	select {
	case f.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// release passes the turn to the one who has waited longest.
func (f *sqliteFinder) release() { <-f.turns }

// addTo adds to the state of a pool how those who find rows wait, and their connections, if they are not the pool's.
func (f *sqliteFinder) addTo(p *Pool, pool *sql.DB) {
	p.Waited += f.waits.Load()
	p.WaitedFor += time.Duration(f.waitedFor.Load())
	if f.pool == pool {
		return
	}
	own := poolState(p.Use, f.pool)
	p.Max += own.Max
	p.InUse += own.InUse
	p.Idle += own.Idle
	p.Waited += own.Waited
	p.WaitedFor += own.WaitedFor
}
