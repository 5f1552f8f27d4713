package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/dragoman-id/dragoman/store/sqlite"
)

// ErrNoDirectory: the database does not exist or does not contain a user directory.
var ErrNoDirectory = errors.New("there is no directory of users")

// CheckExisting returns an error unless the SQLite file at url contains a user directory: ErrNoDirectory if it is missing or something
// else, and another error if it cannot be read. It changes no file and creates none. For any other URL it returns nil: checking that
// requires a connection, which [Open] makes.
func CheckExisting(ctx context.Context, url string) error {
	path, isFile := strings.CutPrefix(url, sqliteScheme)
	if !isFile || sqlite.CheckPath(path) != nil {
		return nil
	}
	return sqlite.CheckExisting(ctx, path, databaseSchema)
}

// ErrNotSQLite: Backup cannot copy the database. Use pg_dump for Postgres.
var ErrNotSQLite = errors.New("the database is not an SQLite file")

// Copied describes a finished backup.
type Copied struct {
	Users int64
	Bytes int64 // the size of the file
}

// Backup copies the SQLite database at url to a new file at path with [sqlite.Backup]. Only the file's owner can read it.
//
// The error is ErrNoDirectory if there is nothing to copy, and fs.ErrExist if the file at path already exists, which is then left
// unchanged. Secrets in the copy remain sealed, so Backup needs no key. It runs no migrations.
func Backup(ctx context.Context, url, path string) (copied Copied, err error) {
	source, isFile := strings.CutPrefix(url, sqliteScheme)
	if !isFile {
		return Copied{}, fmt.Errorf("backing up: %w", ErrNotSQLite)
	}
	copied.Bytes, err = sqlite.Backup(ctx, source, path, databaseSchema, func(ctx context.Context, copy *sql.DB) error {
		if err := copy.QueryRowContext(ctx, "SELECT count(*) FROM users").Scan(&copied.Users); err != nil {
			return databaseError(ctx, "counting the copy's users", err)
		}
		return nil
	})
	if err != nil {
		return Copied{}, fmt.Errorf("backing up: %w", err)
	}
	return copied, nil
}
