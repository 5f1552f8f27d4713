package sqlite

import (
	"context"
	"errors"

	"github.com/libtnb/sqlite"
	modernc "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/dragoman-id/dragoman/store/engine"
)

// Kind returns the kind of an error, as [engine.Kind] does.
func Kind(err error) error { return engine.Kind(err, OwnKind) }

func wrap(ctx context.Context, doing string, err error) error {
	return engine.Wrap(ctx, doing, err, Kind)
}

// OwnKind returns the kind of an SQLite error or of errFileMoved, and nil for any other error.
func OwnKind(err error) error {
	if errors.Is(err, errFileMoved) {
		return engine.ErrUnavailable
	}
	var e *modernc.Error
	if !errors.As(err, &e) {
		return nil
	}
	switch e.Code() & 0xff { // the higher bits are the extended code
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return engine.ErrBusy
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PROTOCOL,
		sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return engine.ErrUnavailable
	}
	return nil
}

// isNoDatabase reports whether err says that the opened file is not an SQLite database.
func isNoDatabase(err error) bool {
	var e *modernc.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_NOTADB
}

// translate turns SQLite errors into gorm errors where gorm has one, such as gorm.ErrDuplicatedKey.
func translate(err error) error { return sqlite.Dialector{}.Translate(err) }
