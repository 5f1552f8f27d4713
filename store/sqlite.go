package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/libtnb/sqlite"
	"github.com/pressly/goose/v3"
	"gorm.io/gorm"
	modernc "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// busyTimeout is how long a statement waits for another process to release the database. Writers of this process do not
// come to that: they queue for the one writing connection.
const busyTimeout = 10 * time.Second

// busyPiece is the part of it that cannot be cut short by a context's end.
const busyPiece = 100 * time.Millisecond

// readerCache is how many KiB of pages a connection that only reads keeps. SQLite's own choice is 2000, for which its allocator here
// takes twice as much: a page with its header has a place of 8 KiB. What is not kept is read from the system's cache.
const readerCache = 512

var errSQLitePath = errors.New("database URL: sqlite: wants the path of a file behind it, and takes neither a host nor parameters: see --database (DRAGOMAN_DATABASE)")

// sqliteParameters is the start of what other programs write behind the path.
var sqliteParameters = regexp.MustCompile(`\?[A-Za-z0-9_.%-]*=`)

func isSQLitePath(path string) bool {
	if path == "" || path == ":memory:" || strings.ContainsRune(path, 0) {
		return false
	}
	// It looks like a URL with a host, or with parameters, which are no part of a path and may be secret.
	isURL := strings.HasPrefix(path, "//") && !strings.HasPrefix(path, "///")
	return !isURL && !sqliteParameters.MatchString(path)
}

// openSQLite opens the database file at path, and creates it, readable by its owner only, if there is none.
//
// SQLite keeps its log beside the file in path-wal and path-shm; path-lock is ours and has no content, see lockSQLite.
func openSQLite(ctx context.Context, path string, o Observer) (*database, error) {
	if !isSQLitePath(path) {
		return nil, errSQLitePath
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("database file: %w", err)
	}
	if err := createPrivate(path); err != nil {
		return nil, fmt.Errorf("database file of --database (DRAGOMAN_DATABASE): %w", err)
	}
	if err := checkWritable(path); err != nil {
		return nil, fmt.Errorf("database file of --database (DRAGOMAN_DATABASE): %w", err)
	}
	opener, err := sqliteDriver()
	if err != nil {
		return nil, err
	}
	file := &sqliteFile{path: path, driver: opener, patience: busyTimeout, observer: o}
	write := file.pool(1, sqliteDSN(path, readWrite, "synchronous(FULL)", "foreign_keys(1)"), "BEGIN IMMEDIATE")
	reading := sqliteDSN(path, readWrite, "query_only(1)", fmt.Sprintf("cache_size(-%d)", readerCache))
	read := file.pool(sqliteFinders()+sqliteSearches(), reading, "BEGIN")
	find := file.pool(sqliteFinders(), reading, "BEGIN")
	d := newSQLite(read, write, find, newSQLiteGroups(write))
	d.migrate = func(ctx context.Context) ([]string, error) { return migrateSQLite(ctx, write, path) }
	d.exclusively = func(ctx context.Context, fn func() error) error { return lockedSQLite(ctx, path, fn) }
	return d, nil
}

// newSQLite returns a database of SQLite's but for how it is migrated.
func newSQLite(read, write, find *sql.DB, groups *sqliteGroups) *database {
	finder := newSQLiteFinder(find)
	return &database{
		read:        read,
		write:       write,
		find:        find,
		engine:      "sqlite",
		dialector:   func(db *sql.DB) gorm.Dialector { return &sqlite.Dialector{Conn: db} },
		statements:  sqliteStatements,
		finder:      finder,
		queryRow:    finder.queryRow,
		lists:       newReaders(sqliteFinders()),
		searches:    newReaders(sqliteSearches()),
		swap:        swapSQLite,
		groups:      groups,
		reserveID:   reserveSQLiteID,
		generateIDs: generateSQLiteIDs,
		// Rows are only added, each after those that were committed before it.
		pendingOrder: "rowid",
	}
}

// sqliteDriver gives the driver that libtnb/sqlite has registered, which is modernc.org/sqlite's.
func sqliteDriver() (driver.Driver, error) {
	db, err := sql.Open(sqlite.DriverName, "")
	if err != nil {
		return nil, fmt.Errorf("looking for the driver of SQLite: %w", err)
	}
	return db.Driver(), db.Close()
}

// readWrite is the mode of a connection to a file that must be there: one that SQLite made would be an empty directory in the
// place of a lost one.
const readWrite = "rw"

// sqliteDSN is a file: URI, because in the driver's plain form a path ends at its first question mark. The mode is SQLite's.
func sqliteDSN(path, mode string, pragmas ...string) string {
	q := url.Values{"mode": {mode}, "_pragma": {fmt.Sprintf("busy_timeout(%d)", busyPiece.Milliseconds())}}
	q["_pragma"] = append(q["_pragma"], pragmas...)
	file := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: q.Encode()}
	return file.String()
}

// creating serializes createPrivate: to close a file drops all locks that this process holds on it, SQLite's included, so
// nothing here may open a database between its creation and the close.
var creating sync.Mutex

// createPrivate creates an empty file, which to SQLite is an empty database, unless there is one. The mode is set here
// because SQLite's own would follow the umask; it gives the files of its log the database's.
func createPrivate(path string) error {
	creating.Lock()
	defer creating.Unlock()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600) // #nosec G304 -- the operator names the file
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// lockedSQLite runs fn while no other program migrates the database.
func lockedSQLite(ctx context.Context, path string, fn func() error) (err error) {
	unlock, err := lockSQLite(ctx, path+"-lock")
	if err != nil {
		return fmt.Errorf("waiting for other migrations of %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	return fn()
}

func migrateSQLite(ctx context.Context, db *sql.DB, path string) (applied []string, err error) {
	err = lockedSQLite(ctx, path, func() error {
		applied, err = migrateLocked(ctx, db, path)
		return err
	})
	return applied, err
}

// migrateLocked migrates a file of SQLite's while no other program does.
func migrateLocked(ctx context.Context, db *sql.DB, path string) (applied []string, err error) {
	// The mode is the file's, not the connection's, and switching it does not wait for other connections, so it has its
	// place under the lock. Nothing happens if it is set already.
	var mode string
	if err := db.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return nil, databaseError(ctx, "opening "+path, err)
	}
	if mode != "wal" {
		return nil, fmt.Errorf("opening %s: the file system allows no write-ahead log: journal mode is %q", path, mode)
	}
	return migrate(ctx, goose.DialectSQLite3, db)
}

// lockSQLite waits for an exclusive lock that ends with unlock, or with the process. goose has none for SQLite, and no
// lock of the database itself can be held while goose begins transactions of its own. The lock file is a database too:
// SQLite's locks are the ones at hand that work on every system and die with their process. It stays, as removing it
// would let two wait for different files of one name.
func lockSQLite(ctx context.Context, path string) (unlock func() error, err error) {
	if err := createPrivate(path); err != nil {
		return nil, err
	}
	db, err := sql.Open(sqlite.DriverName, sqliteDSN(path, readWrite)+"&_txlock=exclusive")
	if err != nil {
		return nil, err
	}
	for {
		tx, err := db.BeginTx(context.WithoutCancel(ctx), nil)
		if err == nil {
			return func() error { return errors.Join(tx.Rollback(), db.Close()) }, nil
		}
		// The driver does not stop waiting when the context ends, so the wait is cut into pieces.
		if ctx.Err() == nil && errors.Is(sqliteKind(err), ErrBusy) {
			continue
		}
		return nil, errors.Join(databaseError(ctx, "locking", err), db.Close())
	}
}

// reserveSQLiteID moves the highest id that table is known to have had, which SQLite keeps in sqlite_sequence from the first
// insert on. That an insert does so itself is of no help to rows that come before it.
func reserveSQLiteID(tx *gorm.DB, table string, id int64) error {
	moved := tx.Exec("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", id, table)
	if moved.Error != nil || moved.RowsAffected > 0 {
		return moved.Error
	}
	return tx.Exec("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", table, id).Error
}

// generateSQLiteIDs returns the next ids that SQLite would generate. As tx keeps every other writer out, and inserting them
// moves sqlite_sequence, nobody else gets them.
func generateSQLiteIDs(tx *gorm.DB, table string, n int) ([]int64, error) {
	var highest int64
	err := tx.Raw("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?", table).Row().Scan(&highest)
	if err != nil {
		return nil, err
	}
	if highest > maxID-int64(n) {
		return nil, fmt.Errorf("table %s has no %d ids left above %d", table, n, highest)
	}
	ids := make([]int64, n)
	for k := range ids {
		ids[k] = highest + 1 + int64(k)
	}
	return ids, nil
}

// isNoSQLite reports whether a file that was opened is no database of SQLite's.
func isNoSQLite(err error) bool {
	var e *modernc.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_NOTADB
}

// sqliteKind returns the kind of an error of SQLite's, nil if it has none or is no error of SQLite's.
func sqliteKind(err error) error {
	if errors.Is(err, errFileMoved) {
		return ErrUnavailable
	}
	var e *modernc.Error
	if !errors.As(err, &e) {
		return nil
	}
	switch e.Code() & 0xff { // the rest is the extended part
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return ErrBusy
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PROTOCOL,
		sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return ErrUnavailable
	}
	return nil
}
