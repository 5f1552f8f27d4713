package engine

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/dragoman-id/dragoman/store/semaphore"
)

// The kinds of a database's errors that a caller can act on.
var (
	// ErrBusy: the database gave way to others. Nothing was written; trying again may work.
	ErrBusy = errors.New("busy")
	// ErrUnavailable: the database could not be reached, refused work, or did not answer before the context's deadline. Whether a
	// write took place is then unknown.
	ErrUnavailable = errors.New("database unavailable")
)

// Kind returns ErrBusy or ErrUnavailable if err is of that kind, else nil. A context that was canceled is neither: nobody waits
// for the answer. OfEngine returns the kind of an engine's own error, nil if it is none.
func Kind(err error, ofEngine func(error) error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return ErrUnavailable
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	if errors.Is(err, semaphore.ErrFull) {
		return ErrBusy
	}
	if kind := ofEngine(err); kind != nil {
		return kind
	}
	var network net.Error
	if errors.As(err, &network) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) {
		return ErrUnavailable
	}
	return nil
}

// Wrap adds to err, of a statement that ran under ctx, what was being done, and the kind that kind returns.
func Wrap(ctx context.Context, doing string, err error, kind func(error) error) error {
	// SQLite only says "interrupted", and a context with a cause of its own that it was canceled.
	if ended := context.Cause(ctx); ended != nil && !errors.Is(err, ended) {
		err = fmt.Errorf("%w: %w", ended, err)
	}
	if kind := kind(err); kind != nil && !errors.Is(err, kind) {
		return fmt.Errorf("%s: %w: %w", doing, kind, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
