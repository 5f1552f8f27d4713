package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/dragoman-id/dragoman/store/engine"
)

// CheckExisting returns an error unless the file at path is a database with the schema: schema.Absent if it is missing or something
// else, and another error if it cannot be read. It changes nothing and leaves no files.
func CheckExisting(ctx context.Context, path string, schema engine.Schema) (err error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return statError(err, schema)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w: %s is not a file", schema.Absent, path)
	case info.Size() == 0:
		return fmt.Errorf("%w: %s is empty", schema.Absent, path)
	}
	// Only a connection that may write can read the write-ahead log of a killed server, and removes its own files when it is closed.
	db, err := openExisting(path, readWrite)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	query, arguments := "SELECT count(*) FROM sqlite_schema WHERE name IN (?"+strings.Repeat(", ?", len(schema.Tables)-1)+")", []any(nil)
	for _, table := range schema.Tables {
		arguments = append(arguments, table)
	}
	var found int
	err = whileBusy(ctx, busyTimeout, func() error { return db.QueryRowContext(ctx, query, arguments...).Scan(&found) })
	switch {
	case isNoDatabase(err):
		return fmt.Errorf("%w: %s: %w", schema.Absent, path, err)
	case err != nil:
		return wrap(ctx, "opening "+path, err)
	case found != len(schema.Tables):
		return fmt.Errorf("%w: %s is a SQLite database of something else", schema.Absent, path)
	}
	return nil
}

// statError explains an error of os.Stat for the database file.
func statError(err error, schema engine.Schema) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", schema.Absent, err)
	}
	return fmt.Errorf("database file: %w", err)
}
