// Package sqlite stores a model in an embedded SQLite, in a file or in memory: it opens and migrates the database, commits concurrent
// steps in batches, backs it up, and detects that its file was replaced.
//
// It knows no table of the model: tables are given as an [engine.Schema], and statements as [engine.SQL].
//
// One connection writes. Steps queue for it and are committed in batches, so that a batch waits for the disk once. Other connections
// read. Every connection caches its prepared statements, and interrupts a statement when its context ends; see fileConn.
package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/libtnb/sqlite"
	"github.com/pressly/goose/v3"
	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store/engine"
	"github.com/dragoman-id/dragoman/store/semaphore"
)

// Name is the name of this engine.
const Name = "sqlite"

// busyTimeout is how long a statement waits for another process to unlock the database. Writers of this process queue for the one
// writing connection instead.
const busyTimeout = 10 * time.Second

// busyPiece is the part of busyTimeout that the end of a context does not interrupt.
const busyPiece = 100 * time.Millisecond

// readerCache is the size of the page cache of a connection that only reads, in KiB. SQLite's default of 2000 KiB costs twice that,
// because the allocator rounds a page and its header up to 8 KiB. Other pages are read from the operating system's cache.
const readerCache = 512

var errPath = errors.New("database URL: sqlite: wants the path of a file behind it, and takes neither a host nor parameters: see --database (DRAGOMAN_DATABASE)")

// parameters matches the start of URL parameters, which other programs accept after the path.
var parameters = regexp.MustCompile(`\?[A-Za-z0-9_.%-]*=`)

// CheckPath rejects anything but a file path, for example a URL with a host or with parameters. The error repeats nothing of path, as
// parameters may be secret.
func CheckPath(path string) error {
	isURL := strings.HasPrefix(path, "//") && !strings.HasPrefix(path, "///")
	if path == "" || path == ":memory:" || strings.ContainsRune(path, 0) || isURL || parameters.MatchString(path) {
		return errPath
	}
	return nil
}

// Database is an open SQLite database. It implements [engine.Database].
type Database struct {
	path    string // empty in memory
	schema  engine.Schema
	pools   engine.Pools
	finders *semaphore.Semaphore // a slot for each connection of pools.Find
	queue   engine.Queue[*step]
	keeper  *sql.DB // keeps a database in memory alive; nil for a file
}

// finders returns the number of connections that find single rows, and of those that page through rows by key. It is one per CPU, and
// at least two, since one may wait for the disk. More would only compete.
func finders() int { return max(2, runtime.GOMAXPROCS(0)) }

// searchers returns the number of connections for all other reads. It is one per CPU, and at least four, so that a few long searches
// leave some for short ones.
func searchers() int { return max(4, runtime.GOMAXPROCS(0)) }

// Open opens the database file at path, and creates it, readable by its owner only, if there is none.
//
// SQLite's write-ahead log is beside the file, in path-wal and path-shm. The empty file path-lock belongs to this package; see lock.
func Open(ctx context.Context, path string, o engine.Options) (*Database, error) {
	if err := CheckPath(path); err != nil {
		return nil, err
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("database file: %w", err)
	}
	if o.Existing {
		if err := CheckExisting(ctx, path, o.Schema); err != nil {
			return nil, err
		}
	}
	if err := createPrivate(path); err != nil {
		return nil, fmt.Errorf("database file of --database (DRAGOMAN_DATABASE): %w", err)
	}
	if err := checkWritable(path); err != nil {
		return nil, fmt.Errorf("database file of --database (DRAGOMAN_DATABASE): %w", err)
	}
	opener, err := registeredDriver()
	if err != nil {
		return nil, err
	}
	file := &file{path: path, schema: o.Schema, driver: opener, busyTimeout: busyTimeout, reporter: reporter(o)}
	reading := dsn(path, readWrite, "query_only(1)", fmt.Sprintf("cache_size(-%d)", readerCache))
	return newDatabase(path, o.Schema, engine.Pools{
		Write: file.pool(1, dsn(path, readWrite, "synchronous(FULL)", "foreign_keys(1)", "secure_delete(1)"), "BEGIN IMMEDIATE"),
		Read:  file.pool(finders()+searchers(), reading, "BEGIN"),
		Find:  file.pool(finders(), reading, "BEGIN"),
	}), nil
}

func newDatabase(path string, schema engine.Schema, pools engine.Pools) *Database {
	pools.Lists, pools.Searches = engine.NewReaders(finders()), engine.NewReaders(searchers())
	d := &Database{path: path, schema: schema, pools: pools, finders: engine.NewReaders(pools.Find.Stats().MaxOpenConnections)}
	// Detached: a commit cannot be interrupted and may take long on a slow disk, and callers must not wait for it past their deadlines.
	d.queue = engine.Queue[*step]{Jobs: "writers", Run: d.commit, Detached: true, MaxBatch: maxBatch, MaxRunning: 1}
	return d
}

func reporter(o engine.Options) engine.Reporter {
	return engine.Reporter{Observe: o.Observe, Kind: Kind, IsDuplicate: func(err error) bool { return errors.Is(translate(err), gorm.ErrDuplicatedKey) }}
}

// registeredDriver returns the driver that libtnb/sqlite has registered, which is the one of modernc.org/sqlite.
func registeredDriver() (driver.Driver, error) {
	db, err := sql.Open(sqlite.DriverName, "")
	if err != nil {
		return nil, fmt.Errorf("looking for the driver of SQLite: %w", err)
	}
	return db.Driver(), db.Close()
}

// Name returns Name.
func (d *Database) Name() string { return Name }

// Dialector returns the gorm dialector for one of the database's pools.
func (d *Database) Dialector(pool *sql.DB) gorm.Dialector { return &sqlite.Dialector{Conn: pool} }

// Pools returns the pools; in memory they are one and the same.
func (d *Database) Pools() engine.Pools { return d.pools }

// PoolStates returns the state of each pool.
func (d *Database) PoolStates() []engine.PoolState {
	p := d.pools
	if p.Read == p.Write {
		return []engine.PoolState{engine.StateOf("read_write", p.Read, p.Lists, p.Searches, d.finders)}
	}
	return []engine.PoolState{
		engine.StateOf("read", p.Read, p.Lists, p.Searches),
		engine.StateOf("write", p.Write),
		engine.StateOf("find", p.Find, d.finders),
	}
}

// FindRow reads a row over one of the connections that are reserved for short queries.
func (d *Database) FindRow(ctx context.Context, into []any, query engine.SQL) error {
	// These queries are short, so they need not be fair between tenants.
	release, err := engine.AcquireReader(ctx, d.finders, engine.NoTenant)
	if err != nil {
		return err
	}
	defer release()
	return d.pools.Find.QueryRowContext(ctx, query.Text, query.Arguments...).Scan(into...)
}

// Lock does nothing: a transaction of the writing pool locks the whole database when it begins.
func (d *Database) Lock(*gorm.DB, string) error { return nil }

// AllowIdle does nothing: SQLite does not end idle transactions.
func (d *Database) AllowIdle(*gorm.DB) error { return nil }

// ReadsSettled returns true: a commit is on disk before another connection can read it.
func (d *Database) ReadsSettled(context.Context) bool { return true }

// Settle does nothing, because reads are always settled; see ReadsSettled.
func (d *Database) Settle(*gorm.DB) error { return nil }

// Purge checkpoints the write-ahead log into the file and empties it. The file itself contains nothing that was deleted, as the
// connection that writes overwrites deleted content with zeros (secure_delete).
func (d *Database) Purge(ctx context.Context) error {
	const doing = "emptying the log of the database"
	if d.path == "" {
		return nil
	}
	var busy, pages, copied int
	if err := d.pools.Write.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &copied); err != nil {
		return wrap(ctx, doing, err)
	}
	if busy != 0 {
		return fmt.Errorf("%s: %w", doing, engine.ErrBusy)
	}
	return nil
}

// Exclusively runs fn while no other process migrates the database file.
func (d *Database) Exclusively(ctx context.Context, _ string, fn func() error) (err error) {
	if d.path == "" {
		return fn()
	}
	unlock, err := lock(ctx, d.path+"-lock")
	if err != nil {
		return fmt.Errorf("waiting for other migrations of %s: %w", d.path, err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	return fn()
}

// Migrate applies the migrations that the database lacks.
func (d *Database) Migrate(ctx context.Context) (applied []string, err error) {
	err = d.Exclusively(ctx, "migrations", func() error {
		if d.path != "" {
			if err := d.useLog(ctx); err != nil {
				return err
			}
		}
		applied, err = d.schema.Apply(ctx, Name, goose.DialectSQLite3, d.pools.Write)
		if err != nil {
			return wrap(ctx, "applying migrations", err)
		}
		return nil
	})
	return applied, err
}

// MigrationsDue reports whether the database lacks a migration.
func (d *Database) MigrationsDue(ctx context.Context) (due bool, err error) {
	latest, err := d.schema.Latest(Name)
	if err != nil {
		return false, err
	}
	var tables int
	err = d.pools.Read.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?", engine.VersionTable).Scan(&tables)
	if err == nil && tables == 0 {
		return true, nil
	}
	if err == nil {
		err = d.pools.Read.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) < ? FROM "+engine.VersionTable+" WHERE is_applied", latest).Scan(&due)
	}
	if err != nil {
		return false, wrap(ctx, "asking for the schema's version", err)
	}
	return due, nil
}

// useLog switches the file to a write-ahead log, or does nothing if it has one. The mode belongs to the file, not to the connection.
// Switching it does not wait for other connections, so it is done under the lock.
func (d *Database) useLog(ctx context.Context) error {
	var mode string
	if err := d.pools.Write.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return wrap(ctx, "opening "+d.path, err)
	}
	if mode != "wal" {
		return fmt.Errorf("opening %s: the file system allows no write-ahead log: journal mode is %q", d.path, mode)
	}
	return nil
}

// Close closes the connections.
func (d *Database) Close() error {
	var keeper error
	if d.keeper != nil {
		keeper = d.keeper.Close()
	}
	// The writer is closed last, so that it checkpoints the write-ahead log and removes it. Closing a pool twice does nothing.
	return errors.Join(keeper, d.pools.Find.Close(), d.pools.Read.Close(), d.pools.Write.Close())
}
