package cli

import (
	"errors"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/userfile"
)

// exitStatuses is the part about the exit status in the help of several commands.
const exitStatuses = "Exit status: 0 done, 1 a fault, 2 bad input, 80 a bad command line or configuration."

// badInput is an error that the command's input causes.
type badInput struct{ error }

// ExitCode returns the exit status.
func (badInput) ExitCode() int { return 2 }

// Unwrap returns the error itself.
func (b badInput) Unwrap() error { return b.error }

// blame returns err as a badInput if the input causes it.
func blame(err error) error {
	var refused *userfile.RefusedError
	var conflict *store.ImportError
	var fields *store.FieldErrors
	if errors.As(err, &refused) || errors.As(err, &conflict) || errors.As(err, &fields) ||
		errors.Is(err, store.ErrErased) || errors.Is(err, store.ErrValueErased) ||
		errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return badInput{err}
	}
	return err
}
