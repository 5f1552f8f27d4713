package store

import (
	"context"

	"github.com/libtnb/sqlite"
	"gorm.io/gorm"
)

// sqliteSwap replaces a user and records the change. It is made before the database is held for it.
type sqliteSwap struct {
	update, record []any // the arguments
	form           swapForm
}

func newSQLiteSwap(before, after *User, change UserChange) (*sqliteSwap, error) {
	set := differing(before, after)
	record, err := appendRecord(nil, &change)
	if err != nil {
		return nil, err
	}
	return &sqliteSwap{swapArguments(set, before, after), record, swapFormOf(set, before)}, nil
}

// run swaps by exec, which runs a statement in a transaction. Its error is errOvertaken if the user is no longer as before.
func (s *sqliteSwap) run(ctx context.Context, exec func(ctx context.Context, statement string, arguments ...any) (int64, error)) error {
	rows, err := exec(ctx, sqliteStatements.swapOf(s.form), s.update...)
	if err != nil {
		return databaseError(ctx, "updating user", err)
	}
	if rows == 0 {
		return errOvertaken
	}
	if _, err := exec(ctx, sqliteStatements.record, s.record...); err != nil {
		return databaseError(ctx, "recording the change", err)
	}
	return nil
}

func swapSQLite(ctx context.Context, tx *gorm.DB, before, after *User, change UserChange) error {
	s, err := newSQLiteSwap(before, after, change)
	if err != nil {
		return err
	}
	return s.run(ctx, func(ctx context.Context, statement string, arguments ...any) (int64, error) {
		rows, err := exec(ctx, tx.Statement.ConnPool, statement, arguments...)
		return rows, translateSQLite(err)
	})
}

// translateSQLite gives the errors that have a meaning to gorm as gorm's.
func translateSQLite(err error) error { return sqlite.Dialector{}.Translate(err) }
