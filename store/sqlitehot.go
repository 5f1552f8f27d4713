package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/libtnb/sqlite"
	"gorm.io/gorm"
)

// What every request does on SQLite goes past database/sql, whose reflection and goroutines cost as much as the statements
// themselves; it only lends the connection.

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

func (c *fileConn) queryRow(ctx context.Context, into []any, statement string, arguments []any) error {
	values, err := driverValues(make([]driver.NamedValue, 0, len(arguments)), arguments)
	if err != nil {
		return err
	}
	began := time.Now()
	row := make([]driver.Value, len(into))
	err = c.readRow(ctx, row, statement, values)
	if errors.Is(err, io.EOF) {
		c.tell(ctx, statement, began, nil)
		return sql.ErrNoRows
	}
	c.tell(ctx, statement, began, err)
	if err != nil {
		return err
	}
	for i, value := range row {
		if err := storeValue(into[i], value); err != nil {
			return fmt.Errorf("column %d: %w", i, err)
		}
	}
	return nil
}

// readRow reads the first row, or returns io.EOF.
func (c *fileConn) readRow(ctx context.Context, row []driver.Value, statement string, values []driver.NamedValue) error {
	s, err := c.prepare(ctx, statement)
	if err != nil {
		return err
	}
	var rows driver.Rows
	err = c.file.whileBusy(ctx, func() (err error) {
		rows, err = s.QueryContext(context.WithoutCancel(ctx), values)
		return err
	})
	if err == nil {
		err = rows.Next(row)
		if closed := rows.Close(); err == nil {
			err = closed
		}
	}
	if released := s.release(); err == nil {
		err = released
	}
	return err
}

// driverValues appends arguments as a driver takes them.
func driverValues(values []driver.NamedValue, arguments []any) ([]driver.NamedValue, error) {
	for i, argument := range arguments {
		value, err := driver.DefaultParameterConverter.ConvertValue(argument)
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", i+1, err)
		}
		values = append(values, driver.NamedValue{Ordinal: i + 1, Value: value})
	}
	return values, nil
}

// storeValue stores a value that SQLite gave where it goes, as database/sql does.
func storeValue(into any, value driver.Value) error {
	switch into := into.(type) {
	case *string:
		if text, ok := value.(string); ok {
			*into = text
			return nil
		}
	case **string:
		if value == nil {
			*into = nil
			return nil
		}
		if text, ok := value.(string); ok {
			*into = &text
			return nil
		}
	case *int64:
		if n, ok := value.(int64); ok {
			*into = n
			return nil
		}
	case *bool:
		if n, ok := value.(int64); ok {
			*into = n != 0
			return nil
		}
	case **uuid.UUID:
		if value == nil {
			*into = nil
			return nil
		}
		*into = new(uuid.UUID)
		return (*into).Scan(value)
	case sql.Scanner:
		return into.Scan(value)
	}
	return fmt.Errorf("a %T cannot be stored in a %T", value, into)
}
