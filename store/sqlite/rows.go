package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"reflect"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// driverRows is the part of the driver's rows that is used here, including what database/sql uses if it is there.
type driverRows interface {
	driver.Rows
	ColumnTypeDatabaseTypeName(index int) string
	ColumnTypeLength(index int) (length int64, ok bool)
	ColumnTypeNullable(index int) (nullable, ok bool)
	ColumnTypePrecisionScale(index int) (precision, scale int64, ok bool)
	ColumnTypeScanType(index int) reflect.Type
}

// fileRows are the rows of a query, which ends when they are closed.
type fileRows struct {
	driverRows
	statement *preparedStatement
	stop      func()      // returned by interruptAtEnd
	ended     func(error) // called once, by Close, with the query's error
	err       error       // the error of Next, or else of Close
	closed    bool
}

// Next implements driver.Rows.
func (r *fileRows) Next(values []driver.Value) error {
	err := r.driverRows.Next(values)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return err
}

// Close implements driver.Rows. It reports the query to the observer.
func (r *fileRows) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	r.stop()
	err := errors.Join(r.driverRows.Close(), r.statement.release())
	if r.err == nil {
		r.err = err
	}
	r.ended(r.err)
	return err
}

// interruptAtEnd interrupts the connection's statement when ctx ends, until stop is called. Stop waits for an interrupt that has begun,
// so that it does not hit a later statement.
//
// The driver observes the context only until a query's first row: a slow query would run to its end after its caller has given up.
func (c *fileConn) interruptAtEnd(ctx context.Context) (stop func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	interrupted := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		tls := libc.NewTLS()
		defer tls.Close()
		sqlite3.Xsqlite3_interrupt(tls, c.handle)
	})
	return func() {
		if !cancel() {
			<-interrupted
		}
	}
}

// transactionLost reports whether SQLite has rolled back the connection's transaction by itself.
func (c *fileConn) transactionLost() bool {
	tls := libc.NewTLS()
	defer tls.Close()
	return sqlite3.Xsqlite3_get_autocommit(tls, c.handle) != 0
}

// handleOf returns SQLite's handle of a connection of modernc.org/sqlite (1.60), which does not export it, or 0 if the expected field
// is missing.
func handleOf(conn driver.Conn) uintptr {
	v := reflect.ValueOf(conn)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return 0
	}
	handle := v.Elem().FieldByName("db")
	if !handle.IsValid() || handle.Kind() != reflect.Uintptr {
		return 0
	}
	return uintptr(handle.Uint())
}
