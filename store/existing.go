package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// ErrNoDirectory: what the database URL names is not there, or holds no directory of users.
var ErrNoDirectory = errors.New("there is no directory of users")

// CheckExisting returns ErrNoDirectory unless the SQLite file that url names holds a directory. It changes nothing and
// leaves nothing behind. Of a URL that names no SQLite file it returns nil: that takes a connection, which [Open] makes.
func CheckExisting(ctx context.Context, url string) error {
	path, isFile := strings.CutPrefix(url, sqliteScheme)
	if !isFile || !isSQLitePath(path) {
		return nil
	}
	return checkExistingFile(ctx, path)
}

func checkExistingFile(ctx context.Context, path string) (err error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return existingError(err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w: %s is not a file", ErrNoDirectory, path)
	case info.Size() == 0:
		return fmt.Errorf("%w: %s is empty", ErrNoDirectory, path)
	}
	// A connection that may write reads the log of a server that was killed, and removes its own files at the end.
	db, err := openExisting(path, "rw")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var migrated bool
	err = whileBusy(ctx, busyTimeout, func() error {
		return db.QueryRowContext(ctx, "SELECT count(*) = 3 FROM sqlite_schema WHERE name IN ('goose_db_version', 'users', 'roles')").Scan(&migrated)
	})
	switch {
	case isNoSQLite(err):
		return fmt.Errorf("%w: %s: %w", ErrNoDirectory, path, err)
	case err != nil:
		return databaseError(ctx, "opening "+path, err)
	case !migrated:
		return fmt.Errorf("%w: %s is a SQLite database of something else", ErrNoDirectory, path)
	}
	return nil
}

// existingError returns what it means that the database file cannot be looked up.
func existingError(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrNoDirectory, err)
	}
	return fmt.Errorf("database file: %w", err)
}

// checkExistingSchema returns ErrNoDirectory unless the schema that connections to Postgres begin with holds a directory.
func checkExistingSchema(ctx context.Context, db *sql.DB) error {
	var name string
	var schema sql.NullString
	var migrated bool
	err := db.QueryRowContext(ctx, "SELECT current_database(), current_schema(), (SELECT count(*) = 3 FROM pg_tables "+
		"WHERE schemaname = current_schema() AND tablename IN ('goose_db_version', 'users', 'roles'))").
		Scan(&name, &schema, &migrated)
	switch {
	case err != nil:
		return databaseError(ctx, "looking for the directory", err)
	case !migrated:
		return fmt.Errorf("%w: the schema %q of the PostgreSQL database %q holds none", ErrNoDirectory, schema.String, name)
	}
	return nil
}
