package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
)

// errFileMoved: the file that was opened is no longer the one at its path. SQLite does not look, and would go on writing
// into a file that nobody finds again.
var errFileMoved = errors.New("the database file was deleted or replaced while it was open")

// sqliteFile is a database file and the connections to it. All of them are to one and the same file: when another is found
// in its place, the old one's connections are closed, the last of them leaving all that was committed in the old file, and
// only then the new one is opened.
type sqliteFile struct {
	path     string // empty: a database in memory, which nobody else can move
	driver   driver.Driver
	patience time.Duration // how long to wait for another process to release the database
	observer Observer

	mu     sync.Mutex
	opened os.FileInfo // the file that is open, or was last; nil before the first connection
	conns  int         // how many are open to it
	pools  []sqlitePool
}

type sqlitePool struct {
	db   *sql.DB
	idle int // how many connections it keeps
}

// pool makes a pool of up to size connections to the file.
func (f *sqliteFile) pool(size int, dsn string) *sql.DB {
	db := sql.OpenDB(observed(&sqliteConnector{f, dsn}, f.observer))
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	f.pools = append(f.pools, sqlitePool{db, size})
	return db
}

// find returns the file that is at the path now; nil for a database in memory.
func (f *sqliteFile) find() (os.FileInfo, error) {
	if f.path == "" {
		return nil, nil
	}
	return os.Stat(f.path)
}

// moved returns errFileMoved if the file at the path is not the opened one.
func (f *sqliteFile) moved(opened os.FileInfo) error {
	if now, err := f.find(); err != nil || f.path != "" && !os.SameFile(now, opened) {
		return errFileMoved
	}
	return nil
}

// mustLetGo reports whether connections are left to a file that is not at the path any more.
func (f *sqliteFile) mustLetGo() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.conns > 0 && f.moved(f.opened) != nil
}

// closeIdle closes the connections that nobody uses.
func (f *sqliteFile) closeIdle() {
	for _, p := range f.pools {
		p.db.SetMaxIdleConns(-1)
		p.db.SetMaxIdleConns(p.idle)
	}
}

// sqliteConnector opens connections to the file with the parameters of dsn.
type sqliteConnector struct {
	file *sqliteFile
	dsn  string
}

// Driver is for database/sql.
func (c *sqliteConnector) Driver() driver.Driver { return c.file.driver }

// Connect is for database/sql.
func (c *sqliteConnector) Connect(ctx context.Context) (driver.Conn, error) {
	f := c.file
	if f.mustLetGo() {
		f.closeIdle()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	found, err := f.find()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errFileMoved, err)
	}
	another := f.opened != nil && !os.SameFile(found, f.opened)
	if another && f.conns > 0 {
		return nil, errFileMoved
	}
	opened, err := f.driver.Open(c.dsn)
	if err != nil {
		return nil, err
	}
	conn, ok := opened.(sqliteConn)
	handle := sqliteHandle(opened)
	if !ok || handle == 0 {
		return nil, errors.Join(errors.New("the driver of SQLite is another than this was written for"), opened.Close())
	}
	if another {
		err = checkMigrated(ctx, conn)
	}
	if err = errors.Join(err, f.moved(found)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	f.opened = found
	f.conns++
	return &fileConn{sqliteConn: conn, file: f, opened: found, handle: handle}, nil
}

// checkMigrated returns an error if the database that came into the place of another lacks migrations. They are applied
// before a server serves, not while it does.
func checkMigrated(ctx context.Context, conn driver.QueryerContext) error {
	latest, err := latestMigration(goose.DialectSQLite3)
	if err != nil {
		return err
	}
	rows, err := conn.QueryContext(ctx, "SELECT coalesce(max(version_id), 0) FROM goose_db_version", nil)
	if err != nil {
		return fmt.Errorf("%w: the new one is no directory: %w", errFileMoved, err)
	}
	row := make([]driver.Value, 1)
	if err := errors.Join(rows.Next(row), rows.Close()); err != nil {
		return fmt.Errorf("%w: the new one is no directory: %w", errFileMoved, err)
	}
	if version, ok := row[0].(int64); !ok || version < latest {
		return fmt.Errorf("%w: the new one is at migration %v, and at %d after a restart of the server", errFileMoved, row[0], latest)
	}
	return nil
}

// fileConn is a connection that is given up when its file is no longer the one at the path.
type fileConn struct {
	sqliteConn
	file   *sqliteFile
	opened os.FileInfo
	handle uintptr // SQLite's own
	broken bool    // a transaction of it did not end well
}

// ResetSession is for database/sql, which calls it before each use but the first.
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

// IsValid is for database/sql, which asks after each use.
func (c *fileConn) IsValid() bool { return !c.broken }

// Close closes the connection. SQLite leaves the log alone when the file is not at its path any more; whatever was
// committed into it is then brought home by the last one here, so that the log cannot be taken for the next file's.
func (c *fileConn) Close() error {
	f := c.file
	f.mu.Lock()
	defer f.mu.Unlock()
	var err error
	if f.conns == 1 && f.moved(c.opened) != nil {
		_, err = c.ExecContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)", nil)
	}
	f.conns--
	return errors.Join(err, c.sqliteConn.Close())
}

// BeginTx begins a transaction, for which another process may have to release the database.
func (c *fileConn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	var tx driver.Tx
	err := c.file.whileBusy(ctx, func() (err error) {
		tx, err = c.sqliteConn.BeginTx(ctx, options)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &fileTx{tx, c}, nil
}

// ExecContext runs a statement, for which another process may have to release the database.
func (c *fileConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (result driver.Result, err error) {
	err = c.file.whileBusy(ctx, func() (err error) {
		result, err = c.sqliteConn.ExecContext(ctx, query, args)
		return err
	})
	return result, err
}

// QueryContext runs a query, for which another process may have to release the database.
func (c *fileConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (rows driver.Rows, err error) {
	err = c.file.whileBusy(ctx, func() (err error) {
		rows, err = c.sqliteConn.QueryContext(ctx, query, args)
		return err
	})
	if err != nil {
		return nil, err
	}
	return interruptible(ctx, c, rows), nil
}

// whileBusy runs statement again while another process holds the database. SQLite waits by itself, but neither the end of
// a context nor an interrupt ends that, so that the wait is made of pieces.
func (f *sqliteFile) whileBusy(ctx context.Context, statement func() error) error {
	for end := time.Now().Add(f.patience); ; {
		err := statement()
		if !errors.Is(sqliteKind(err), ErrBusy) || ctx.Err() != nil || time.Now().After(end) {
			return err
		}
	}
}

type fileTx struct {
	driver.Tx
	conn *fileConn
}

// Commit also makes sure that it was the file at the path that it was committed to. After an error a transaction of
// SQLite's may still be open; the connection is not used again.
func (t *fileTx) Commit() error {
	if err := t.conn.file.moved(t.conn.opened); err != nil {
		return errors.Join(err, t.Rollback())
	}
	if err := t.Tx.Commit(); err != nil {
		t.conn.broken = true
		return err
	}
	return t.conn.file.moved(t.conn.opened)
}

// Rollback fails where SQLite has rolled back by itself, as on a full disk, and where it was interrupted.
func (t *fileTx) Rollback() error {
	err := t.Tx.Rollback()
	if err != nil {
		t.conn.broken = true
	}
	return err
}
