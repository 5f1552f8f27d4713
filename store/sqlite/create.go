package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"github.com/libtnb/sqlite"

	"github.com/dragoman-id/dragoman/store/engine"
)

// readWrite is the mode of a connection to a file that must exist: SQLite would otherwise create an empty database in the place of a
// lost one.
const readWrite = "rw"

// dsn returns a file: URI, because in the driver's plain form a path ends at its first question mark. Mode is its mode parameter, rw or ro.
func dsn(path, mode string, pragmas ...string) string {
	q := url.Values{"mode": {mode}, "_pragma": {fmt.Sprintf("busy_timeout(%d)", busyPiece.Milliseconds())}}
	q["_pragma"] = append(q["_pragma"], pragmas...)
	file := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: q.Encode()}
	return file.String()
}

// creating serializes createPrivate. SQLite uses POSIX advisory locks: when a process closes any descriptor of a file, it loses all its
// locks on the file. So no database may be opened between the creation of its file and the close.
var creating sync.Mutex

// createPrivate creates an empty file, which to SQLite is an empty database, unless there is one. The mode is set here
// because the mode that SQLite sets would depend on the umask. SQLite gives its log files the mode of the database.
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

// lock waits for an exclusive lock on the lock file at path. The lock lasts until unlock is called or the process ends. goose has no lock
// for SQLite, and the database itself cannot be locked while goose begins transactions of its own. The lock file is a database too:
// SQLite's locks work on every system and end with their process. The file is not removed, as two processes could then lock different
// files with the same name.
func lock(ctx context.Context, path string) (unlock func() error, err error) {
	if err := createPrivate(path); err != nil {
		return nil, err
	}
	db, err := sql.Open(sqlite.DriverName, dsn(path, readWrite)+"&_txlock=exclusive")
	if err != nil {
		return nil, err
	}
	for {
		tx, err := db.BeginTx(context.WithoutCancel(ctx), nil)
		if err == nil {
			return func() error { return errors.Join(tx.Rollback(), db.Close()) }, nil
		}
		// The driver does not stop waiting when the context ends, so the wait is divided into pieces.
		if ctx.Err() == nil && errors.Is(OwnKind(err), engine.ErrBusy) {
			continue
		}
		return nil, errors.Join(wrap(ctx, "locking", err), db.Close())
	}
}

// openExisting opens an existing database file. Mode is the one of dsn.
func openExisting(path, mode string) (*sql.DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	db, err := sql.Open(sqlite.DriverName, dsn(path, mode))
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	return db, nil
}
