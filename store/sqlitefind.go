package store

import (
	"context"
	"database/sql"
	"fmt"
	"runtime"

	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store/semaphore"
)

// sqliteFinder reads rows by their keys, over connections that nothing slow uses.
//
// They are as many as can work at once, but two at least, as one may wait for the disk: more would only wait for each other. Readers has
// a slot for each.
type sqliteFinder struct {
	pool    *sql.DB
	readers *semaphore.Semaphore
}

// sqliteFinders is how many connections find rows, and how many list users by their ids.
func sqliteFinders() int { return max(2, runtime.GOMAXPROCS(0)) }

// sqliteSearches is how many connections list users in other ways. They are more, so that a few long searches leave some for short ones.
func sqliteSearches() int { return max(4, runtime.GOMAXPROCS(0)) }

// newSQLiteFinder reads over all the connections that the pool may have.
func newSQLiteFinder(pool *sql.DB) *sqliteFinder {
	return &sqliteFinder{pool, newReaders(pool.Stats().MaxOpenConnections)}
}

// queryRow reads the one row that a statement finds, or returns sql.ErrNoRows. If db is a transaction it is read in that.
func (f *sqliteFinder) queryRow(ctx context.Context, db gorm.ConnPool, into []any, statement string, arguments ...any) error {
	if _, ok := db.(*sql.DB); !ok {
		return queryRow(ctx, db, into, statement, arguments...)
	}
	// These take no time, so that it does not matter whose they are.
	if err := f.readers.Acquire(ctx, noTenant); err != nil {
		return fmt.Errorf("waiting for other readers: %w", err)
	}
	defer f.readers.Release()
	return queryRow(ctx, f.pool, into, statement, arguments...)
}
