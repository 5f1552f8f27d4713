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

// Kind returns ErrBusy or ErrUnavailable if err is of that kind, and nil otherwise. A canceled context is neither, because its caller has
// given up. OfEngine returns the kind of an error of the engine, and nil for any other error.
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

// Wrap wraps the error of a statement that ran under ctx with what the statement was doing and with the kind that kind returns.
func Wrap(ctx context.Context, doing string, err error, kind func(error) error) error {
	// SQLite's error is only "interrupted", and a context that was canceled with a cause returns only Canceled.
	if ended := context.Cause(ctx); ended != nil && !errors.Is(err, ended) {
		err = fmt.Errorf("%w: %w", ended, err)
	}
	if kind := kind(err); kind != nil && !errors.Is(err, kind) {
		return fmt.Errorf("%s: %w: %w", doing, kind, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
