package store

import (
	"context"
	"database/sql/driver"
	"reflect"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// interruptibleRows are the rows of a query that is interrupted when its context ends. SQLite looks for them while they are read, and
// go-sqlite (1.23) heeds the context only before that: a slow query would go on to its end, whoever has gone.
type interruptibleRows struct {
	sqliteRows
	keep        func() bool // takes the interrupt back, unless it has begun
	interrupted chan struct{}
	closed      bool
}

func interruptible(ctx context.Context, c *fileConn, rows driver.Rows) driver.Rows {
	all, ok := rows.(sqliteRows)
	if !ok || ctx.Done() == nil {
		return rows
	}
	r := &interruptibleRows{sqliteRows: all, interrupted: make(chan struct{})}
	r.keep = context.AfterFunc(ctx, func() {
		defer close(r.interrupted)
		tls := libc.NewTLS()
		defer tls.Close()
		sqlite3.Xsqlite3_interrupt(tls, c.handle)
	})
	return r
}

// Close is for database/sql. An interrupt that has begun is waited for, so that it does not hit a later statement.
func (r *interruptibleRows) Close() error {
	if !r.closed && !r.keep() {
		<-r.interrupted
	}
	r.closed = true
	return r.sqliteRows.Close()
}

// sqliteHandle gives SQLite's own handle of a connection of go-sqlite's (1.23), which keeps it to itself; 0 if it is not where
// it was.
func sqliteHandle(conn driver.Conn) uintptr {
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
