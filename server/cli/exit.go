package cli

import (
	"errors"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/userfile"
)

// exitStatuses is what the commands of this file say of their exit status.
const exitStatuses = "Exit status: 0 done, 1 a fault, 2 bad input, 80 a bad command line or configuration."

// badInput is an error for which the command's input is to blame, not the machine.
type badInput struct{ error }

// ExitCode is the exit status.
func (badInput) ExitCode() int { return 2 }

// Unwrap returns what is bad.
func (b badInput) Unwrap() error { return b.error }

// blame makes errors that the input is the cause of a badInput.
func blame(err error) error {
	var refused *userfile.RefusedError
	var conflict *store.ImportError
	var fields *store.FieldErrors
	if errors.As(err, &refused) || errors.As(err, &conflict) || errors.As(err, &fields) ||
		errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return badInput{err}
	}
	return err
}
