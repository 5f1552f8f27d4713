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

// The kinds of failure that a caller can act on. Errors of this package are decided with errors.Is and errors.As; any
// error that is none of these kinds, no *[FieldErrors] and no error of the caller's own Edit, is a fault of the server.
var (
	// ErrNotFound: no such row, or it belongs to another customer.
	ErrNotFound = errors.New("not found")
	// ErrAmbiguous: several rows are meant.
	ErrAmbiguous = errors.New("ambiguous")
	// ErrConflict: a value that must be unique is another's. The error is a *[ConflictError].
	ErrConflict = errors.New("conflict")
	// ErrBusy: other writers were first as often as the store was willing to try. Nothing was written; trying again may
	// work.
	ErrBusy = engine.ErrBusy
	// ErrUnavailable: the database could not be reached, refused work, or did not answer before the context's deadline.
	// Whether a write took place is then unknown.
	ErrUnavailable = engine.ErrUnavailable
)

// ConflictError says which fields hold values that another user has, in declaration order. Both e-mail and username may
// be named. errors.Is(err, ErrConflict) holds for it.
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
	// Reason is a predicate about the field, such as "must have at most 255 characters". It does not repeat the field's
	// name nor its value, so that it can be shown to a client under the client's own name for the field.
	Reason string
}

// FieldErrors are all the violations that were found in one user, in declaration order. The error is a *FieldErrors.
type FieldErrors []FieldError

func (e *FieldErrors) Error() string {
	lines := make([]string, len(*e))
	for i, f := range *e {
		lines[i] = string(f.Field) + " " + f.Reason
	}
	return strings.Join(lines, ", ")
}

// databaseError wraps an error of a statement that ran under ctx with what was being done and, if it is of one, with
// its kind.
func databaseError(ctx context.Context, doing string, err error) error {
	return engine.Wrap(ctx, doing, err, kindOf)
}

func databaseErrorOrNil(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	return databaseError(ctx, doing, err)
}

// kindOf returns ErrBusy or ErrUnavailable if err is of that kind, else nil.
func kindOf(err error) error {
	return engine.Kind(err, func(err error) error { return cmp.Or(postgres.OwnKind(err), sqlite.OwnKind(err)) })
}
