package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Statement is a statement that a database has executed. The beginning and the end of a transaction are statements too.
type Statement struct {
	// Text is the statement with placeholders. It contains no values.
	Text string
	Kind StatementKind
	// Began is when the statement was sent over a connection, by the machine's clock. Took is the time until it had ended, including the
	// reading of its rows. It does not include the wait for the connection, for which see PoolState.
	Began time.Time
	Took  time.Duration
	// Err is the error of the driver, joined with that of the context if the context had ended. It is nil for a query that finds nothing.
	Err error

	outcome string
}

// StatementKind is what a statement does, by its verb.
type StatementKind string

// The kinds of statements.
const (
	Select   StatementKind = "select"
	Insert   StatementKind = "insert"
	Update   StatementKind = "update"
	Delete   StatementKind = "delete"
	Begin    StatementKind = "begin"
	Commit   StatementKind = "commit"
	Rollback StatementKind = "rollback"
	Other    StatementKind = "other" // such as a lock
)

var statementKinds = []StatementKind{Select, Insert, Update, Delete, Begin, Commit, Rollback}

// Outcome returns how a statement ended: "ok"; "duplicate" if a unique value is already taken; "busy" and "unavailable" for the kinds
// ErrBusy and ErrUnavailable; "timed_out" and "canceled" if its context had ended; or "failed".
func (s Statement) Outcome() string { return s.outcome }

// Reporter reports statements to an observer.
type Reporter struct {
	Observe     func(context.Context, Statement) // nil: nobody
	Kind        func(error) error                // the kind of an engine's error
	IsDuplicate func(error) bool                 // whether an engine refused a value that must be unique
}

// Observed says whether there is an observer.
func (r Reporter) Observed() bool { return r.Observe != nil }

// Report reports a statement that has ended, if there is an observer.
func (r Reporter) Report(ctx context.Context, text string, began time.Time, err error) {
	if r.Observe == nil {
		return
	}
	if err != nil && ctx.Err() != nil {
		// SQLite only says "interrupted".
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	r.Observe(ctx, Statement{Text: text, Kind: statementKind(text), Began: began, Took: time.Since(began), Err: err, outcome: r.outcome(err)})
}

func (r Reporter) outcome(err error) string {
	if err == nil {
		return "ok"
	}
	switch kind := r.Kind(err); {
	case errors.Is(err, context.DeadlineExceeded):
		return "timed_out"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case kind == ErrBusy:
		return "busy"
	case kind == ErrUnavailable:
		return "unavailable"
	case r.IsDuplicate(err):
		return "duplicate"
	}
	return "failed"
}

// statementKind reads a statement's verb. One that begins WITH is taken for what its first parentheses hold: those that write are
// made so.
func statementKind(text string) StatementKind {
	if strings.HasPrefix(text, "WITH ") {
		_, text, _ = strings.Cut(text, "(")
	}
	verb, _, _ := strings.Cut(strings.TrimLeft(text, " \t\n"), " ")
	for _, kind := range statementKinds {
		if strings.EqualFold(verb, string(kind)) {
			return kind
		}
	}
	return Other
}
