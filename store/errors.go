package store

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/dragoman-id/dragoman/store/engine"
	"github.com/dragoman-id/dragoman/store/postgres"
	"github.com/dragoman-id/dragoman/store/sqlite"
)

// The kinds of failure that a caller can act on. Test for them with errors.Is and errors.As. Any error of this package that is not
// of one of these kinds, a *[FieldErrors], or returned by the caller's own Edit is a fault of the server.
var (
	// ErrNotFound: no such row, or it belongs to another customer.
	ErrNotFound = errors.New("not found")
	// ErrAmbiguous: several rows match.
	ErrAmbiguous = errors.New("ambiguous")
	// ErrConflict: a value that must be unique is already taken. The error is a *[ConflictError].
	ErrConflict = errors.New("conflict")
	// ErrErased: the user's personal data were erased, after which it cannot be changed.
	ErrErased = errors.New("the user's personal data were erased, so it cannot be changed")
	// ErrValueErased: the history no longer has a value that is needed.
	ErrValueErased = errors.New("the value was erased")
	// ErrBusy: every attempt lost to a concurrent writer. Nothing was written; a retry may succeed.
	ErrBusy = engine.ErrBusy
	// ErrUnavailable: the database could not be reached, refused work, or did not answer before the context's deadline.
	// It is unknown whether a write took place.
	ErrUnavailable = engine.ErrUnavailable
)

// ConflictError lists the fields whose values another user already has, in declaration order. It may list several.
// errors.Is(err, ErrConflict) holds for it.
type ConflictError struct {
	Fields []Field
}

func (e *ConflictError) Error() string {
	if len(e.Fields) == 0 {
		return "already exists"
	}
	names := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		names[i] = string(f)
	}
	return strings.Join(names, ", ") + " already taken"
}

// Unwrap makes errors.Is(err, ErrConflict) hold.
func (e *ConflictError) Unwrap() error { return ErrConflict }

// FieldError says what is wrong with the value of one field.
type FieldError struct {
	Field Field
	// Reason is a predicate about the field, such as "must have at most 255 characters". It contains neither the field's
	// name nor its value, so that a dialect can put its own name for the field before it.
	Reason string
}

// FieldErrors lists all violations found in one user, in declaration order. The error type is *FieldErrors.
type FieldErrors []FieldError

func (e *FieldErrors) Error() string {
	lines := make([]string, len(*e))
	for i, f := range *e {
		lines[i] = string(f.Field) + " " + f.Reason
	}
	return strings.Join(lines, ", ")
}

// databaseError wraps the error of a statement that ran under ctx with what the statement was doing and, if known, with the error's
// kind.
func databaseError(ctx context.Context, doing string, err error) error {
	return engine.Wrap(ctx, doing, err, kindOf)
}

func databaseErrorOrNil(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	return databaseError(ctx, doing, err)
}

// kindOf returns ErrBusy or ErrUnavailable if err is of that kind, and nil otherwise.
func kindOf(err error) error {
	return engine.Kind(err, func(err error) error { return cmp.Or(postgres.OwnKind(err), sqlite.OwnKind(err)) })
}
