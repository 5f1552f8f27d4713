package sqlite

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"os"
	"time"

	"github.com/dragoman-id/dragoman/store/engine"
)

// driverConn is the part of a driver's connection that fileConn uses.
type driverConn interface {
	driver.Conn
	driver.ConnPrepareContext
}

// fileConn is a connection that is closed when its file is no longer the one at the path. It caches its prepared statements, and reports
// each statement to the observer. It reports a query only when its rows are closed, because SQLite runs it while they are read.
type fileConn struct {
	file     *file
	driver   driverConn
	begin    string // how its transactions begin
	opened   os.FileInfo
	handle   uintptr // of the connection in SQLite; see handleOf
	prepared preparedStatements
	broken   bool // the end of a transaction failed
}

// ResetSession implements driver.SessionResetter. database/sql calls it before each use of the connection except the first.
func (c *fileConn) ResetSession(context.Context) error {
	if c.broken {
		return driver.ErrBadConn
	}
	if c.file.moved(c.opened) != nil {
		c.file.closeIdle()
		return driver.ErrBadConn
	}
	return nil
}

// IsValid implements driver.Validator. database/sql calls it after each use of the connection.
func (c *fileConn) IsValid() bool { return !c.broken }

// Close closes the connection. SQLite does not checkpoint the write-ahead log when the file is no longer at its path. The last
// connection to the file does so here, so that the log is not applied to the file that replaced it.
func (c *fileConn) Close() error {
	f := c.file
	f.mu.Lock()
	defer f.mu.Unlock()
	var err error
	if f.conns == 1 && f.moved(c.opened) != nil {
		_, err = c.exec(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)", nil)
	}
	f.conns--
	return errors.Join(err, c.prepared.close(), c.driver.Close())
}

// Begin implements driver.Conn; database/sql uses BeginTx.
func (c *fileConn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// BeginTx begins a transaction. It waits while another process locks the database.
func (c *fileConn) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	began := time.Now()
	// BEGIN can only wait for another process, and whileBusy ends that wait with ctx, so it need not be interrupted.
	_, err := c.run(ctx, c.begin, nil)
	c.report(ctx, "BEGIN", began, err)
	if err != nil {
		return nil, err
	}
	return &fileTx{c, context.WithoutCancel(ctx)}, nil
}

// Prepare implements driver.Conn; database/sql uses PrepareContext.
func (c *fileConn) Prepare(text string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), text)
}

// PrepareContext does not prepare: each statement is prepared and cached when it is executed.
func (c *fileConn) PrepareContext(_ context.Context, text string) (driver.Stmt, error) {
	return &fileStmt{c, text}, nil
}

// ExecContext runs a statement. It waits while another process locks the database.
func (c *fileConn) ExecContext(ctx context.Context, text string, values []driver.NamedValue) (driver.Result, error) {
	began := time.Now()
	result, err := c.exec(ctx, text, values)
	c.report(ctx, text, began, err)
	return result, err
}

// QueryContext runs a query. It waits while another process locks the database.
func (c *fileConn) QueryContext(ctx context.Context, text string, values []driver.NamedValue) (driver.Rows, error) {
	began := time.Now()
	rows, err := c.query(ctx, text, values)
	if err != nil {
		c.report(ctx, text, began, err)
		return nil, err
	}
	rows.ended = func(err error) { c.report(ctx, text, began, err) }
	return rows, nil
}

// exec runs a statement that the observer does not see, and interrupts it when ctx ends.
func (c *fileConn) exec(ctx context.Context, text string, values []driver.NamedValue) (driver.Result, error) {
	defer c.interruptAtEnd(ctx)()
	return c.run(ctx, text, values)
}

// run is exec for a statement that need not be interrupted.
func (c *fileConn) run(ctx context.Context, text string, values []driver.NamedValue) (driver.Result, error) {
	s, err := c.prepare(ctx, text)
	if err != nil {
		return nil, err
	}
	var result driver.Result
	err = c.file.whileBusy(ctx, func() (err error) {
		// Given a context that can end, the driver would start a goroutine for each statement.
		result, err = s.ExecContext(context.WithoutCancel(ctx), values)
		return err
	})
	return result, cmp.Or(err, s.release())
}

func (c *fileConn) query(ctx context.Context, text string, values []driver.NamedValue) (*fileRows, error) {
	s, err := c.prepare(ctx, text)
	if err != nil {
		return nil, err
	}
	r := &fileRows{statement: s, stop: c.interruptAtEnd(ctx)}
	err = c.file.whileBusy(ctx, func() (err error) {
		rows, err := s.QueryContext(context.WithoutCancel(ctx), values)
		if err != nil {
			return err
		}
		var ok bool
		if r.driverRows, ok = rows.(driverRows); !ok {
			return errors.Join(errAnotherDriver, rows.Close())
		}
		return nil
	})
	if err != nil {
		r.stop()
		return nil, cmp.Or(err, s.release())
	}
	return r, nil
}

// prepare returns the statement with this text, which its caller must release. It waits while another process locks the schema.
func (c *fileConn) prepare(ctx context.Context, text string) (s *preparedStatement, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err = c.file.whileBusy(ctx, func() (err error) {
		s, err = c.prepared.take(c.driver, text)
		return err
	})
	return s, err
}

func (c *fileConn) report(ctx context.Context, text string, began time.Time, err error) {
	c.file.reporter.Report(ctx, text, began, err)
}

// whileBusy is [whileBusy] with the file's busyTimeout.
func (f *file) whileBusy(ctx context.Context, statement func() error) error {
	return whileBusy(ctx, f.busyTimeout, statement)
}

// whileBusy runs statement again while another process locks the database, for at most limit. SQLite waits by itself, but neither the
// end of a context nor an interrupt ends that wait, so it is divided into pieces.
func whileBusy(ctx context.Context, limit time.Duration, statement func() error) error {
	err := statement()
	if err == nil {
		return nil
	}
	for end := time.Now().Add(limit); ; err = statement() {
		if !errors.Is(OwnKind(err), engine.ErrBusy) || ctx.Err() != nil || time.Now().After(end) {
			return err
		}
	}
}

// fileTx is a transaction.
type fileTx struct {
	conn *fileConn
	ctx  context.Context // given to BeginTx, as Commit and Rollback have none
}

// Commit fails if the file it committed to is not the one at the path. After an error SQLite may still have a transaction open; the
// connection is not used again.
func (t *fileTx) Commit() error {
	if err := t.conn.file.moved(t.conn.opened); err != nil {
		return errors.Join(err, t.Rollback())
	}
	if err := t.end("COMMIT"); err != nil {
		return err
	}
	return t.conn.file.moved(t.conn.opened)
}

// Rollback fails if SQLite has already rolled back, as it does on a full disk or after an interrupt.
func (t *fileTx) Rollback() error { return t.end("ROLLBACK") }

func (t *fileTx) end(text string) error {
	_, err := t.conn.ExecContext(t.ctx, text, nil)
	if err != nil {
		t.conn.broken = true
	}
	return err
}

// fileStmt implements driver.Stmt for database/sql, but holds only the text; see [fileConn.PrepareContext].
type fileStmt struct {
	conn *fileConn
	text string
}

// Close implements driver.Stmt. The prepared statement stays in the connection's cache.
func (s *fileStmt) Close() error { return nil }

// NumInput returns -1, so that database/sql leaves counting the values to the driver.
func (s *fileStmt) NumInput() int { return -1 }

// Exec implements driver.Stmt; database/sql uses ExecContext.
func (s *fileStmt) Exec(values []driver.Value) (driver.Result, error) {
	return s.ExecContext(context.Background(), named(values))
}

// Query implements driver.Stmt; database/sql uses QueryContext.
func (s *fileStmt) Query(values []driver.Value) (driver.Rows, error) {
	return s.QueryContext(context.Background(), named(values))
}

// ExecContext runs the statement with [fileConn.ExecContext].
func (s *fileStmt) ExecContext(ctx context.Context, values []driver.NamedValue) (driver.Result, error) {
	return s.conn.ExecContext(ctx, s.text, values)
}

// QueryContext runs the query with [fileConn.QueryContext].
func (s *fileStmt) QueryContext(ctx context.Context, values []driver.NamedValue) (driver.Rows, error) {
	return s.conn.QueryContext(ctx, s.text, values)
}

// named converts values for a driver.
func named(values []driver.Value) []driver.NamedValue {
	all := make([]driver.NamedValue, len(values))
	for i, v := range values {
		all[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return all
}
