package store

import (
	"context"
	"database/sql"
	"sync"
)

const (
	// checkpointedWrites is after how many writes of groups their pages are copied home, which are some 600.
	checkpointedWrites = 128
	// largeFile is how many bytes a file has where that is better than to copy all that the log takes at once. In a smaller one the
	// same pages are written again and again, and it is better to copy them once.
	largeFile = 2 * pagesLogged * pageSize
)

// sqliteCheckpoints copy the pages of SQLite's log home while others write, some at a time. Otherwise who fills the log copies all of it, to as
// many places of a large file, while everybody who writes waits for that. Who fills the log still does so, as only a writer can begin it anew
// once all is home, but then little is left to copy. What it waits for is that the disk has all of it: SQLite sees to that only when nobody
// has written meanwhile.
//
// A checkpoint that fails is nobody's error: what is in the log is safe there, and a writer tries again.
type sqliteCheckpoints struct {
	file       *sqliteFile
	pool       *sql.DB
	largerThan int64 // bytes of the file

	mu     sync.Mutex
	writes int           // since the last
	due    chan struct{} // closed when there are to be no more
	closed bool
	ended  chan struct{}
}

func newSQLiteCheckpoints(f *sqliteFile, pool *sql.DB) *sqliteCheckpoints {
	c := &sqliteCheckpoints{file: f, pool: pool, largerThan: largeFile, due: make(chan struct{}, 1), ended: make(chan struct{})}
	go c.run()
	return c
}

// written is told how many writes a group had. It does not wait for a checkpoint.
func (c *sqliteCheckpoints) written(writes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writes += writes; c.closed || c.writes < checkpointedWrites {
		return
	}
	c.writes = 0
	if now, err := c.file.find(); err != nil || now.Size() <= c.largerThan {
		return
	}
	select {
	case c.due <- struct{}{}:
	default: // one is to come already
	}
}

func (c *sqliteCheckpoints) run() {
	defer close(c.ended)
	for range c.due {
		c.checkpoint()
	}
}

// checkpoint copies what it can home without waiting for anybody.
func (c *sqliteCheckpoints) checkpoint() {
	ctx := context.Background()
	conn, err := c.pool.Conn(ctx)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_ = conn.Raw(func(driverConn any) error {
		_, err := driverConn.(*fileConn).exec(ctx, "PRAGMA wal_checkpoint(PASSIVE)", nil)
		return err
	})
}

// close waits for the checkpoints that are due, and makes no more.
func (c *sqliteCheckpoints) close() error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.due)
	}
	c.mu.Unlock()
	<-c.ended
	return c.pool.Close()
}
