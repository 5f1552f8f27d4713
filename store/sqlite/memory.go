package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"

	"github.com/libtnb/sqlite"

	"github.com/dragoman-id/dragoman/store/engine"
)

// OpenMemory opens a new database in memory: nothing is stored on disk, not even a journal, and closing it deletes it.
//
// One connection both reads and writes. A database in memory has no write-ahead log, so two connections would wait for each other in
// SQLite's busy handler, which sleeps between its attempts.
func OpenMemory(ctx context.Context, o engine.Options) (*Database, error) {
	// Databases of this VFS are shared by name within the process, so the name must be unique.
	q := url.Values{"vfs": {"memdb"}, "_pragma": {"foreign_keys(1)", "temp_store(memory)"}}
	dsn := url.URL{Scheme: "file", Path: "/" + rand.Text(), RawQuery: q.Encode()}
	opener, err := registeredDriver()
	if err != nil {
		return nil, fmt.Errorf("opening a database in memory: %w", err)
	}
	pool := (&file{schema: o.Schema, driver: opener, busyTimeout: busyTimeout, reporter: reporter(o)}).pool(1, dsn.String(), "BEGIN IMMEDIATE")
	// The database exists as long as there is a connection to it, and the pool may close its only one.
	keeper, err := sql.Open(sqlite.DriverName, dsn.String())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening a database in memory: %w", err), pool.Close())
	}
	if err := keeper.PingContext(ctx); err != nil {
		return nil, errors.Join(wrap(ctx, "opening a database in memory", err), keeper.Close(), pool.Close())
	}
	d := newDatabase("", o.Schema, engine.Pools{Read: pool, Write: pool, Find: pool})
	d.keeper = keeper
	return d, nil
}
