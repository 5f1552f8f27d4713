package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"

	"github.com/libtnb/sqlite"
	"github.com/pressly/goose/v3"
)

// InMemory is the URL of a database that is its store's own, in memory, and gone when that is closed.
const InMemory = "memory:"

// openMemory opens a new database of SQLite's that has no file: nothing of it is on disk, its journal included.
//
// One connection both reads and writes. Two would wait for each other in SQLite's busy handler, which sleeps between its
// tries, since a database in memory knows no write-ahead log.
func openMemory(ctx context.Context, o Observer) (*database, error) {
	// Databases of this VFS are shared by name within the process, so nobody else may know the name.
	q := url.Values{"vfs": {"memdb"}, "_pragma": {"foreign_keys(1)", "temp_store(memory)"}}
	dsn := url.URL{Scheme: "file", Path: "/" + rand.Text(), RawQuery: q.Encode()}
	opener, err := sqliteDriver()
	if err != nil {
		return nil, fmt.Errorf("opening a database in memory: %w", err)
	}
	pool := (&sqliteFile{driver: opener, patience: busyTimeout, observer: o}).pool(1, dsn.String(), "BEGIN IMMEDIATE")
	// The database lasts as long as somebody is connected to it, and the pool may drop its connection.
	keeper, err := sql.Open(sqlite.DriverName, dsn.String())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening a database in memory: %w", err), pool.Close())
	}
	if err := keeper.PingContext(ctx); err != nil {
		return nil, errors.Join(databaseError(ctx, "opening a database in memory", err), keeper.Close(), pool.Close())
	}
	d := newSQLite(pool, pool, pool, newSQLiteGroups(pool))
	d.migrate = func(ctx context.Context) ([]string, error) { return migrate(ctx, goose.DialectSQLite3, pool) }
	d.exclusively = func(_ context.Context, fn func() error) error { return fn() }
	d.release = keeper.Close
	return d, nil
}
