package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dragoman-id/dragoman/store/engine"
)

// Backup copies the database file at source, which must have the schema, to a new file at path, which only its owner can read, and
// returns its size. Check is called with the copy before it is renamed to path; Backup returns its error.
//
// The copy is a snapshot of one moment between the call and its return, and contains no part of a transaction. Others may read and
// write meanwhile. It is one file without a write-ahead log, its integrity was checked, and it is on disk when Backup returns. On failure there is
// no file at path. The error is schema.Absent if there is nothing to copy. An existing file is not touched; the error is then
// fs.ErrExist. Backup applies no migrations.
func Backup(ctx context.Context, source, path string, schema engine.Schema, check func(context.Context, *sql.DB) error) (size int64, err error) {
	if _, err := os.Stat(source); err != nil {
		return 0, statError(err, schema)
	}
	if _, err := os.Lstat(path); err == nil {
		return 0, fmt.Errorf("%s: %w", path, fs.ErrExist)
	}
	if err := CheckExisting(ctx, source, schema); err != nil {
		return 0, err
	}
	// In the same folder, under another name until it is complete.
	partial, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.partial") // readable by its owner only
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreMissing(os.Remove(partial.Name())))
		}
	}()
	if err := partial.Close(); err != nil {
		return 0, err
	}
	if err := copyInto(ctx, source, partial.Name()); err != nil {
		return 0, err
	}
	if err := checkCopy(ctx, partial.Name(), check); err != nil {
		return 0, err
	}
	if size, err = syncFile(partial.Name()); err != nil {
		return 0, err
	}
	return size, moveToNew(partial.Name(), path)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// copyInto copies the database at source into the empty file at target.
func copyInto(ctx context.Context, source, target string) error {
	db, err := openExisting(source, readWrite) // reading a write-ahead log requires write permission
	if err != nil {
		return err
	}
	// VACUUM INTO reads in one transaction, and does not block writers.
	err = whileBusy(ctx, busyTimeout, func() error {
		_, err := db.ExecContext(ctx, "VACUUM INTO ?", target)
		return err
	})
	if err != nil {
		err = wrap(ctx, "copying "+source, err)
	}
	return errors.Join(err, db.Close())
}

// checkCopy returns an error if the copy is damaged or check rejects it.
func checkCopy(ctx context.Context, path string, check func(context.Context, *sql.DB) error) (err error) {
	db, err := openExisting(path, "ro")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
		return wrap(ctx, "checking the copy", err)
	}
	if verdict != "ok" {
		return fmt.Errorf("the database is damaged: %s", verdict)
	}
	return check(ctx, db)
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

// moveToNew renames a file to a name that does not exist yet, and waits until the directory is on disk.
func moveToNew(from, to string) error {
	// A rename alone would replace a file created meanwhile, and not every file system has links.
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
	directory, err := os.Open(path) // #nosec G304 -- the directory of a file that the operator names
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}
