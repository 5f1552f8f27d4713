package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"gorm.io/gorm"
)

// statements are what an engine is asked at every request, as text that is made once: a driver knows a statement that it has
// prepared by its text.
type statements struct {
	findUser map[findUser]string // by customer and key
	swap     string              // on Postgres with the history's row
	record   string              // the history's row; SQLite alone
}

// findUser says which statement finds a user: by which column beside the customer, and whether others are to be kept from it.
type findUser struct {
	column string
	held   bool
}

// newStatements makes the statements that the engines share. Lock is what keeps other writers from the rows that a query finds,
// until its transaction ends.
func newStatements(lock string) statements {
	s := statements{findUser: map[findUser]string{}}
	for _, column := range []string{"id", "uuid"} {
		find := fmt.Sprintf("SELECT %s FROM users WHERE customer_id = ? AND %s = ?", columnNames(userColumns), column)
		s.findUser[findUser{column, false}] = find
		s.findUser[findUser{column, true}] = find + lock
	}
	s.swap = fmt.Sprintf("UPDATE users SET %s = ? WHERE id = ? AND customer_id = ? AND version = ?",
		strings.ReplaceAll(columnNames(writtenColumns), ", ", " = ?, "))
	return s
}

// recordColumns are the columns of user_changes that a write fills in, and their types on Postgres.
var recordColumns = []struct{ name, postgresType string }{
	{"user_id", "bigint"}, {"version", "bigint"}, {"customer_id", "bigint"}, {"at", "bigint"}, {"actor", "uuid"},
	{"subject", "text"}, {"dialect", "text"}, {"operation", "text"}, {"request_id", "text"}, {"fields", "jsonb"},
}

// swapArguments are the arguments of statements.swap.
func swapArguments(before, after *User) []any {
	arguments := make([]any, 0, len(writtenColumns)+3+len(recordColumns))
	return append(appendWritten(arguments, after), before.ID, before.CustomerID, before.Version)
}

// appendRecord appends the values of recordColumns.
func appendRecord(values []any, row *UserChange) ([]any, error) {
	fields, err := json.Marshal(row.Fields)
	if err != nil {
		return nil, fmt.Errorf("recording the change: %w", err)
	}
	return append(values, row.UserID, row.Version, row.CustomerID, row.At.UnixMilli(), row.Actor,
		row.Subject, row.Dialect, row.Operation, row.RequestID, string(fields)), nil
}

// numbered gives a statement the parameters that Postgres has, $1 for the first question mark and so on.
func numbered(statement string) string {
	parts := strings.Split(statement, "?")
	var b strings.Builder
	for i, part := range parts {
		if i > 0 {
			b.WriteString("$" + strconv.Itoa(i))
		}
		b.WriteString(part)
	}
	return b.String()
}

// sqliteStatements are SQLite's. It needs no clause to keep others from a row: a transaction of the writing pool has the whole
// database from its beginning.
var sqliteStatements = func() statements {
	s := newStatements("")
	names := make([]string, len(recordColumns))
	for i, c := range recordColumns {
		names[i] = c.name
	}
	s.record = fmt.Sprintf("INSERT INTO user_changes (%s) VALUES (?%s)", strings.Join(names, ", "), strings.Repeat(", ?", len(names)-1))
	return s
}()

// postgresStatements are Postgres's. It swaps a user and records the change in one statement, which is one round trip and needs no
// transaction around it.
var postgresStatements = func() statements {
	s := newStatements(" FOR UPDATE")
	for key, find := range s.findUser {
		s.findUser[key] = numbered(find)
	}
	var names, values []string
	for _, c := range recordColumns {
		names = append(names, c.name)
		// Of a parameter in a SELECT Postgres does not know the type.
		values = append(values, "?::"+c.postgresType)
	}
	s.swap = numbered(fmt.Sprintf("WITH swapped AS (%s RETURNING id) INSERT INTO user_changes (%s) SELECT %s FROM swapped",
		s.swap, strings.Join(names, ", "), strings.Join(values, ", ")))
	return s
}()

func swapPostgres(ctx context.Context, tx *gorm.DB, before, after *User, change UserChange) error {
	arguments, err := appendRecord(swapArguments(before, after), &change)
	if err != nil {
		return err
	}
	return execSwap(ctx, tx, postgresStatements.swap, arguments)
}

func swapSQLite(ctx context.Context, tx *gorm.DB, before, after *User, change UserChange) error {
	err := execSwap(ctx, tx, sqliteStatements.swap, swapArguments(before, after))
	if ended := ctx.Err(); ended != nil {
		// When the context ends before the statement begins, go-sqlite 1.23 skips it and reports the success of the
		// connection's previous one.
		return databaseError(ctx, "updating user", ended)
	}
	if err != nil {
		return err
	}
	arguments, err := appendRecord(nil, &change)
	if err != nil {
		return err
	}
	if _, err := tx.Statement.ConnPool.ExecContext(ctx, sqliteStatements.record, arguments...); err != nil {
		return databaseError(ctx, "recording the change", err)
	}
	return nil
}

// execSwap runs a statement that swaps a user, and returns errOvertaken if it found none to swap.
func execSwap(ctx context.Context, tx *gorm.DB, statement string, arguments []any) error {
	const doing = "updating user"
	result, err := tx.Statement.ConnPool.ExecContext(ctx, statement, arguments...)
	if err != nil {
		if translator, ok := tx.Dialector.(gorm.ErrorTranslator); ok {
			err = translator.Translate(err)
		}
		return databaseError(ctx, doing, err)
	}
	swapped, err := result.RowsAffected()
	if err != nil {
		return databaseError(ctx, doing, err)
	}
	if swapped == 0 {
		return errOvertaken
	}
	return nil
}
