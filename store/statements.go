package store

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"gorm.io/gorm"
)

// statements are what an engine is asked at every request, as text that is made once: a driver knows a statement that it has
// prepared by its text.
type statements struct {
	findUser map[findUser]string // by customer and key
	record   string              // the history's row
	standing string              // of a user, by UUID

	swap   func(swapForm) string // makes a statement that swaps a user; on Postgres it writes the history's row as well
	swaps  sync.Map              // from a form to swap's text for it
	swapsN atomic.Int32
}

// findUser says which statement finds a user: by which column beside the customer, and whether others are to be kept from it.
type findUser struct {
	by   keyColumn
	held bool
}

// newStatements makes the statements that the engines share. Lock is what keeps other writers from the rows that a query finds,
// until its transaction ends.
func newStatements(lock string) *statements {
	s := &statements{findUser: map[findUser]string{}, standing: standingStatement}
	for by, column := range map[keyColumn]string{keyByID: "id", keyByUUID: "uuid"} {
		find := fmt.Sprintf("SELECT %s FROM users WHERE customer_id = ? AND %s = ?", columnNames(userColumns), column)
		s.findUser[findUser{by, false}] = find
		s.findUser[findUser{by, true}] = find + lock
	}
	s.swap = swapStatement
	names := make([]string, len(recordColumns))
	for i, c := range recordColumns {
		names[i] = c.name
	}
	s.record = fmt.Sprintf("INSERT INTO user_changes (%s) VALUES (?%s)", strings.Join(names, ", "), strings.Repeat(", ?", len(names)-1))
	return s
}

// swapForm is what the text of a statement that swaps a user depends on: the columns that it writes, in the lower half, and above
// them what authorization went by besides the roles, the user's status and flags. These are part of the text because each parameter
// costs allocations, and because nearly all users agree in them.
type swapForm uint64

var swapStatuses = []Status{StatusInvited, StatusActive, StatusInactive}

func swapFormOf(set columnSet, before *User) swapForm {
	form := swapForm(slices.Index(swapStatuses, before.Status) & 3)
	for _, flag := range []bool{before.AccountNonExpired, before.AccountNonLocked, before.CredentialNonExpired} {
		form <<= 1
		if flag {
			form |= 1
		}
	}
	return form<<32 | swapForm(set)
}

// standing is the condition that status and flags are as the form has them. An unknown status is nobody's.
func (f swapForm) standing() string {
	is := func(bit int) string { return strings.ToUpper(strconv.FormatBool(f>>bit&1 == 1)) }
	status := Status("")
	if i := int(f >> 35); i < len(swapStatuses) {
		status = swapStatuses[i]
	}
	return fmt.Sprintf("status = '%s' AND account_non_expired = %s AND account_non_locked = %s AND credential_non_expired = %s",
		status, is(34), is(33), is(32))
}

func swapStatement(form swapForm) string {
	// The time is for a database that was put back to an older state while it was open: the same version may be another's there.
	// Roles, status and flags are for an operator's own statements, which keep the version.
	return fmt.Sprintf("UPDATE users SET %s = ? WHERE id = ? AND customer_id = ? AND version = ? AND updated_at = ? AND roles = ? AND %s",
		strings.ReplaceAll(columnNames(columnSet(form&math.MaxUint32).in()), ", ", " = ?, "), form.standing())
}

// maxSwaps is how many statements that swap a user are remembered. Clients change the same few fields again and again.
const maxSwaps = 256

// swapOf returns the statement of a form.
func (s *statements) swapOf(form swapForm) string {
	if text, ok := s.swaps.Load(form); ok {
		return text.(string)
	}
	text := s.swap(form)
	if s.swapsN.Add(1) <= maxSwaps {
		s.swaps.Store(form, text)
	}
	return text
}

// recordColumns are the columns of user_changes that a write fills in, and their types on Postgres.
var recordColumns = []struct{ name, postgresType string }{
	{"user_id", "bigint"}, {"version", "bigint"}, {"customer_id", "bigint"}, {"at", "bigint"}, {"actor", "uuid"},
	{"subject", "text"}, {"dialect", "text"}, {"operation", "text"}, {"request_id", "text"}, {"fields", "jsonb"},
}

// swapArguments are the arguments of a statement that swaps a user.
func swapArguments(set columnSet, before, after *User) []any {
	columns := set.in()
	arguments := make([]any, 0, len(columns)+5+len(recordColumns))
	for _, c := range columns {
		arguments = append(arguments, c.value(after))
	}
	return append(arguments, before.ID, before.CustomerID, before.Version, before.UpdatedAt.UnixMilli(), int64(before.Roles))
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
var sqliteStatements = newStatements("")

// postgresStatements are Postgres's. It swaps a user and records the change in one statement, which is one round trip and needs no
// transaction around it.
var postgresStatements = func() *statements {
	s := newStatements(" FOR UPDATE")
	for key, find := range s.findUser {
		s.findUser[key] = numbered(find)
	}
	s.record, s.standing = numbered(s.record), numbered(s.standing)
	var names, values []string
	for _, c := range recordColumns {
		names = append(names, c.name)
		// Of a parameter in a SELECT Postgres does not know the type.
		values = append(values, "?::"+c.postgresType)
	}
	record := fmt.Sprintf("INSERT INTO user_changes (%s) SELECT %s FROM swapped", strings.Join(names, ", "), strings.Join(values, ", "))
	s.swap = func(form swapForm) string {
		return numbered("WITH swapped AS (" + swapStatement(form) + " RETURNING id) " + record)
	}
	return s
}()

// queryRow reads the one row that a statement finds, or returns sql.ErrNoRows.
func queryRow(ctx context.Context, db gorm.ConnPool, into []any, statement string, arguments ...any) error {
	return db.QueryRowContext(ctx, statement, arguments...).Scan(into...)
}

// exec runs a statement and returns how many rows it wrote.
func exec(ctx context.Context, db gorm.ConnPool, statement string, arguments ...any) (rows int64, err error) {
	result, err := db.ExecContext(ctx, statement, arguments...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}
