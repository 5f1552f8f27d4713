// Package sqlite keeps a model in an embedded SQLite, in a file or in memory: it opens and migrates the database, commits in batches
// the steps that come at the same time, copies it, and notices when its file is replaced.
//
// It knows no table of the model: these come as an [engine.Schema], and statements as [engine.SQL].
//
// One connection writes, and jobs queue for it, so that a batch waits for the disk once; others read. Every connection keeps its
// statements prepared, and interrupts them when their context ends, see fileConn.
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

// Name is the engine's.
const Name = "sqlite"

// busyTimeout is how long a statement waits for another process to release the database. Writers of this process do not
// come to that: they queue for the one writing connection.
const busyTimeout = 10 * time.Second

// busyPiece is the part of it that cannot be cut short by a context's end.
const busyPiece = 100 * time.Millisecond

// readerCache is how many KiB of pages a connection that only reads keeps. SQLite's own choice is 2000, for which its allocator here
// takes twice as much: a page with its header has a place of 8 KiB. What is not kept is read from the system's cache.
const readerCache = 512

var errPath = errors.New("database URL: sqlite: wants the path of a file behind it, and takes neither a host nor parameters: see --database (DRAGOMAN_DATABASE)")

// parameters is the start of what other programs write behind the path.
var parameters = regexp.MustCompile(`\?[A-Za-z0-9_.%-]*=`)

// CheckPath returns an error for what is not the path of a file, such as a URL with a host or with parameters, which may be secret.
// It repeats nothing of it.
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
	keeper  *sql.DB // keeps a database in memory; else nil
}

// finders is how many connections find rows, and how many page through them by key. They are as many as can work at once, but two at
// least, as one may wait for the disk: more would only wait for each other.
func finders() int { return max(2, runtime.GOMAXPROCS(0)) }

// searchers is how many connections read in other ways. They are more, so that a few long searches leave some for short ones.
func searchers() int { return max(4, runtime.GOMAXPROCS(0)) }

// Open opens the database file at path, and creates it, readable by its owner only, if there is none.
//
// SQLite keeps its log beside the file in path-wal and path-shm; path-lock is ours and has no content, see lock.
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
		Write: file.pool(1, dsn(path, readWrite, "synchronous(FULL)", "foreign_keys(1)"), "BEGIN IMMEDIATE"),
		Read:  file.pool(finders()+searchers(), reading, "BEGIN"),
		Find:  file.pool(finders(), reading, "BEGIN"),
	}), nil
}

func newDatabase(path string, schema engine.Schema, pools engine.Pools) *Database {
	pools.Lists, pools.Searches = engine.NewReaders(finders()), engine.NewReaders(searchers())
	d := &Database{path: path, schema: schema, pools: pools, finders: engine.NewReaders(pools.Find.Stats().MaxOpenConnections)}
	// A commit is not interrupted, and may take long on a slow disk, for which no caller waits beyond its deadline.
	d.queue = engine.Queue[*step]{Jobs: "writers", Run: d.commit, Detached: true, MaxBatch: maxBatch, MaxRunning: 1}
	return d
}

func reporter(o engine.Options) engine.Reporter {
	return engine.Reporter{Observe: o.Observe, Kind: Kind, IsDuplicate: func(err error) bool { return errors.Is(translate(err), gorm.ErrDuplicatedKey) }}
}

// registeredDriver returns the driver that libtnb/sqlite has registered, which is modernc.org/sqlite's.
func registeredDriver() (driver.Driver, error) {
	db, err := sql.Open(sqlite.DriverName, "")
	if err != nil {
		return nil, fmt.Errorf("looking for the driver of SQLite: %w", err)
	}
	return db.Driver(), db.Close()
}

// Name returns Name.
func (d *Database) Name() string { return Name }

// Dialector returns gorm's for one of the database's pools.
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

// FindRow reads a row over connections that nothing slow uses.
func (d *Database) FindRow(ctx context.Context, into []any, query engine.SQL) error {
	// These queries take no time, so that it does not matter whose they are.
	release, err := engine.AcquireReader(ctx, d.finders, engine.NoTenant)
	if err != nil {
		return err
	}
	defer release()
	return d.pools.Find.QueryRowContext(ctx, query.Text, query.Arguments...).Scan(into...)
}

// Lock has nothing to do: a transaction of the writing pool has the whole database from its beginning.
func (d *Database) Lock(*gorm.DB, string) error { return nil }

// AllowIdle has nothing to do: SQLite ends no transaction.
func (d *Database) AllowIdle(*gorm.DB) error { return nil }

// ReserveID moves the highest id that table is known to have had, which SQLite keeps in sqlite_sequence from the first
// insert on. That an insert does so itself is of no help to rows that come before it.
func (d *Database) ReserveID(tx *gorm.DB, table string, id int64) error {
	moved := tx.Exec("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", id, table)
	if moved.Error != nil || moved.RowsAffected > 0 {
		return moved.Error
	}
	return tx.Exec("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", table, id).Error
}

// GenerateIDs returns the next ids that SQLite would generate. As tx keeps every other writer out, and inserting them
// moves sqlite_sequence, nobody else gets them.
func (d *Database) GenerateIDs(tx *gorm.DB, table string, n int) ([]int64, error) {
	var highest int64
	err := tx.Raw("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?", table).Row().Scan(&highest)
	if err != nil {
		return nil, err
	}
	ids := make([]int64, n)
	for k := range ids {
		ids[k] = highest + 1 + int64(k)
	}
	return ids, nil
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

// useLog switches the file to a write-ahead log. The mode is the file's, not the connection's, and switching it does not wait for other
// connections, so it has its place under the lock. Nothing happens if it is set already.
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
	// The writer goes last: then it is the one that checkpoints SQLite's log and removes it. To close a pool again does nothing.
	return errors.Join(keeper, d.pools.Find.Close(), d.pools.Read.Close(), d.pools.Write.Close())
}
