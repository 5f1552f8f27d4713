package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/dragoman-id/dragoman/store/sqlite"
)

// ErrNoDirectory: what the database URL names is not there, or holds no directory of users.
var ErrNoDirectory = errors.New("there is no directory of users")

// CheckExisting returns ErrNoDirectory unless the SQLite file that url names holds a directory. It changes nothing and
// leaves nothing behind. Of a URL that names no SQLite file it returns nil: that takes a connection, which [Open] makes.
func CheckExisting(ctx context.Context, url string) error {
	path, isFile := strings.CutPrefix(url, sqliteScheme)
	if !isFile || sqlite.CheckPath(path) != nil {
		return nil
	}
	return sqlite.CheckExisting(ctx, path, databaseSchema)
}

// ErrNotSQLite is a database that Backup cannot copy: Postgres has pg_dump for that.
var ErrNotSQLite = errors.New("the database is no SQLite file")

// Copied is what a backup holds.
type Copied struct {
	Users int64
	Bytes int64 // the size of the file
}

// Backup copies the SQLite database at url to a new file at path, which only its owner can read, as [sqlite.Backup] does.
//
// The error is ErrNoDirectory if there is nothing to copy. A file that is there already is not touched; the error is then
// fs.ErrExist. Secrets in the copy are sealed as they are in the database, so Backup needs no key. It migrates nothing.
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
