package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"reflect"
	"time"
)

// observed stands between a pool and its connections if there is an observer to tell: database/sql knows no other way to see a
// statement to its end, and SQLite does its work while the rows are read.
func observed(c driver.Connector, o Observer) driver.Connector {
	if !o.watches() {
		return c
	}
	return &observedConnector{c, o}
}

// observedConnector makes connections that tell an observer.
type observedConnector struct {
	driver.Connector
	observer Observer
}

// Connect is for database/sql.
func (d *observedConnector) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := d.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	inner, ok := c.(sqlitePoolConn)
	if !ok {
		return nil, errors.Join(errors.New("the SQLite driver lacks a method that takes a context"), c.Close())
	}
	return &observedConn{inner, d.observer}, nil
}

// sqlitePoolConn is a connection that a pool asks whether it is still good.
type sqlitePoolConn interface {
	sqliteConn
	driver.SessionResetter
	driver.Validator
}

// sqliteConn is what a connection of the driver can do.
type sqliteConn interface {
	driver.Conn
	driver.Pinger
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
}

type observedConn struct {
	sqlitePoolConn
	observer Observer
}

func (c *observedConn) ExecContext(ctx context.Context, text string, values []driver.NamedValue) (driver.Result, error) {
	began := time.Now()
	result, err := c.sqlitePoolConn.ExecContext(ctx, text, values)
	c.observer.tell(ctx, text, began, err)
	return result, err
}

func (c *observedConn) QueryContext(ctx context.Context, text string, values []driver.NamedValue) (driver.Rows, error) {
	began := time.Now()
	rows, err := c.sqlitePoolConn.QueryContext(ctx, text, values)
	return c.observeRows(ctx, text, began, rows, err)
}

// observeRows gives the rows so that their end is told; or tells at once why there are none.
func (c *observedConn) observeRows(ctx context.Context, text string, began time.Time, rows driver.Rows, err error) (driver.Rows, error) {
	if err == nil {
		if inner, ok := rows.(sqliteRows); ok {
			return &observedRows{inner, func(err error) { c.observer.tell(ctx, text, began, err) }, nil}, nil
		}
	}
	c.observer.tell(ctx, text, began, err)
	return rows, err
}

func (c *observedConn) PrepareContext(ctx context.Context, text string) (driver.Stmt, error) {
	s, err := c.sqlitePoolConn.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	inner, ok := s.(sqliteStmt)
	if !ok {
		return s, nil
	}
	return &observedStmt{inner, c, text}, nil
}

func (c *observedConn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	began := time.Now()
	tx, err := c.sqlitePoolConn.BeginTx(ctx, options)
	c.observer.tell(ctx, "BEGIN", began, err)
	if err != nil {
		return nil, err
	}
	return &observedTx{tx, ctx, c.observer}, nil
}

// sqliteStmt is what a prepared statement of the driver can do.
type sqliteStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type observedStmt struct {
	sqliteStmt
	conn *observedConn
	text string
}

func (s *observedStmt) ExecContext(ctx context.Context, values []driver.NamedValue) (driver.Result, error) {
	began := time.Now()
	result, err := s.sqliteStmt.ExecContext(ctx, values)
	s.conn.observer.tell(ctx, s.text, began, err)
	return result, err
}

func (s *observedStmt) QueryContext(ctx context.Context, values []driver.NamedValue) (driver.Rows, error) {
	began := time.Now()
	rows, err := s.sqliteStmt.QueryContext(ctx, values)
	return s.conn.observeRows(ctx, s.text, began, rows, err)
}

type observedTx struct {
	driver.Tx
	ctx      context.Context // of its beginning, as its end has none of its own
	observer Observer
}

func (t *observedTx) Commit() error {
	began := time.Now()
	err := t.Tx.Commit()
	t.observer.tell(t.ctx, "COMMIT", began, err)
	return err
}

func (t *observedTx) Rollback() error {
	began := time.Now()
	err := t.Tx.Rollback()
	t.observer.tell(t.ctx, "ROLLBACK", began, err)
	return err
}

// sqliteRows is what a query's rows of the driver can do.
type sqliteRows interface {
	driver.Rows
	ColumnTypeDatabaseTypeName(index int) string
	ColumnTypeLength(index int) (length int64, ok bool)
	ColumnTypeNullable(index int) (nullable, ok bool)
	ColumnTypePrecisionScale(index int) (precision, scale int64, ok bool)
	ColumnTypeScanType(index int) reflect.Type
}

type observedRows struct {
	sqliteRows
	ended func(error)
	err   error // the one that the rows ended with early
}

func (r *observedRows) Next(values []driver.Value) error {
	err := r.sqliteRows.Next(values)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return err
}

func (r *observedRows) Close() error {
	err := r.sqliteRows.Close()
	if r.err == nil {
		r.err = err
	}
	r.ended(r.err)
	return err
}
