package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/libtnb/sqlite"
)

// ErrNotSQLite is a database that Backup cannot copy: Postgres has pg_dump for that.
var ErrNotSQLite = errors.New("the database is no SQLite file")

// Copied is what a backup holds.
type Copied struct {
	Users int64
	Bytes int64 // the size of the file
}

// Backup copies the SQLite database at url to a new file at path, which only its owner can read. The copy is of one moment,
// between the call and its return: it has what was committed before, and of no transaction a part. Others may read and write
// meanwhile. It is one file, without a log beside it, and it was checked and is on disk when Backup returns. If that fails,
// there is nothing at path.
//
// The error is ErrNoDirectory if there is nothing to copy. A file that is there already is not touched; the error is then
// fs.ErrExist. Secrets in the copy are sealed as they are in
// the database, so Backup needs no key. It migrates nothing.
func Backup(ctx context.Context, url, path string) (Copied, error) {
	source, isFile := strings.CutPrefix(url, sqliteScheme)
	if !isFile {
		return Copied{}, fmt.Errorf("backing up: %w", ErrNotSQLite)
	}
	copied, err := backUp(ctx, source, path)
	if err != nil {
		return Copied{}, fmt.Errorf("backing up: %w", err)
	}
	return copied, nil
}

func backUp(ctx context.Context, source, path string) (copied Copied, err error) {
	if _, err := os.Stat(source); err != nil {
		return Copied{}, existingError(err)
	}
	if _, err := os.Lstat(path); err == nil {
		return Copied{}, fmt.Errorf("%s: %w", path, fs.ErrExist)
	}
	if err := checkExistingFile(ctx, source); err != nil {
		return Copied{}, err
	}
	// Beside path, and under another name until it is whole.
	partial, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.partial") // readable by its owner only
	if err != nil {
		return Copied{}, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreMissing(os.Remove(partial.Name())))
		}
	}()
	if err := partial.Close(); err != nil {
		return Copied{}, err
	}
	if err := copySQLite(ctx, source, partial.Name()); err != nil {
		return Copied{}, err
	}
	if copied.Users, err = checkSQLite(ctx, partial.Name()); err != nil {
		return Copied{}, err
	}
	if copied.Bytes, err = syncFile(partial.Name()); err != nil {
		return Copied{}, err
	}
	return copied, moveToNew(partial.Name(), path)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// copySQLite writes what the database at source holds into the empty file at target.
func copySQLite(ctx context.Context, source, target string) error {
	db, err := openExisting(source, "rw") // to read a log takes the right to write
	if err != nil {
		return err
	}
	// It reads in one transaction, and keeps nobody from writing.
	err = whileBusy(ctx, busyTimeout, func() error {
		_, err := db.ExecContext(ctx, "VACUUM INTO ?", target)
		return err
	})
	if err != nil {
		err = databaseError(ctx, "copying "+source, err)
	}
	return errors.Join(err, db.Close())
}

// checkSQLite returns how many users a copy holds, or an error if it is damaged or no directory.
func checkSQLite(ctx context.Context, path string) (users int64, err error) {
	db, err := openExisting(path, "ro")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
		return 0, databaseError(ctx, "checking the copy", err)
	}
	if verdict != "ok" {
		return 0, fmt.Errorf("the database is damaged: %s", verdict)
	}
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM users").Scan(&users); err != nil {
		return 0, databaseError(ctx, "counting the copy's users", err)
	}
	return users, nil
}

// openExisting opens a database file that is there; mode is SQLite's, rw or ro.
func openExisting(path, mode string) (*sql.DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	db, err := sql.Open(sqlite.DriverName, sqliteDSN(path, mode))
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// syncFile waits until a file is on disk, and returns its size.
func syncFile(path string) (size int64, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0) // #nosec G304 -- a file that was made here
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), f.Sync()
}

// moveToNew renames a file to a name that nothing has, and waits until the directory is on disk.
func moveToNew(from, to string) error {
	// To rename alone would replace what came there meanwhile, and not every file system has links.
	reserved, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- the operator names the file
	if err != nil {
		return err
	}
	if err := errors.Join(reserved.Close(), os.Rename(from, to)); err != nil {
		return errors.Join(err, os.Remove(to))
	}
	if err := syncDirectory(filepath.Dir(to)); err != nil {
		return errors.Join(err, os.Remove(to))
	}
	return nil
}

func syncDirectory(path string) error {
	directory, err := os.Open(path) // #nosec G304 -- that of a file that the operator names
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}
