package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/dragoman-id/dragoman/store/engine"
)

// errFileMoved: the file that was opened is no longer the one at its path. SQLite does not check, and would continue to write to a
// deleted or renamed file.
var errFileMoved = errors.New("the database file was deleted or replaced while it was open")

var errAnotherDriver = errors.New("the driver of SQLite is another than this was written for")

// file is a database file and the connections to it. All connections are to the same file. When the file is replaced, all of them are
// closed, the last one checkpoints the write-ahead log into the old file, and only then is the new file opened.
type file struct {
	path        string // empty for a database in memory
	schema      engine.Schema
	driver      driver.Driver
	busyTimeout time.Duration // how long to wait for another process to unlock the database
	reporter    engine.Reporter

	mu     sync.Mutex
	opened os.FileInfo // the file that was opened last; nil before the first connection
	conns  int         // the number of open connections to it
	pools  []filePool
}

type filePool struct {
	db   *sql.DB
	idle int // the maximum number of idle connections
}

// pool makes a pool of up to size connections to the file. Begin is the statement that begins their transactions.
func (f *file) pool(size int, dsn, begin string) *sql.DB {
	db := sql.OpenDB(&connector{f, dsn, begin})
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	f.pools = append(f.pools, filePool{db, size})
	return db
}

// find returns the file that is at the path now; nil for a database in memory.
func (f *file) find() (os.FileInfo, error) {
	if f.path == "" {
		return nil, nil
	}
	return os.Stat(f.path)
}

// moved returns errFileMoved if the file at the path is not the opened one.
func (f *file) moved(opened os.FileInfo) error {
	if now, err := f.find(); err != nil || f.path != "" && !os.SameFile(now, opened) {
		return errFileMoved
	}
	return nil
}

// mustLetGo reports whether there are connections to a file that is no longer at the path.
func (f *file) mustLetGo() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.conns > 0 && f.moved(f.opened) != nil
}

// closeIdle closes the idle connections.
func (f *file) closeIdle() {
	for _, p := range f.pools {
		p.db.SetMaxIdleConns(-1)
		p.db.SetMaxIdleConns(p.idle)
	}
}

// connector opens connections to the file with the parameters of dsn.
type connector struct {
	file  *file
	dsn   string
	begin string
}

// Driver implements driver.Connector.
func (c *connector) Driver() driver.Driver { return c.file.driver }

// Connect implements driver.Connector. It fails while connections to a replaced file are still open.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
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
	inner, ok := opened.(driverConn)
	handle := handleOf(opened)
	if !ok || handle == 0 {
		return nil, errors.Join(errAnotherDriver, opened.Close())
	}
	conn := &fileConn{file: f, driver: inner, begin: c.begin, opened: found, handle: handle}
	if another {
		err = conn.checkMigrated(ctx)
	}
	if err = errors.Join(err, f.moved(found)); err != nil {
		return nil, errors.Join(err, conn.prepared.close(), inner.Close())
	}
	f.opened = found
	f.conns++
	return conn, nil
}

// checkMigrated returns an error if the database that replaced another lacks migrations. Migrations run when the server starts, not when
// the file is replaced.
func (c *fileConn) checkMigrated(ctx context.Context) error {
	latest, err := c.file.schema.Latest(Name)
	if err != nil {
		return err
	}
	rows, err := c.QueryContext(ctx, "SELECT coalesce(max(version_id), 0) FROM "+engine.VersionTable, nil)
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
