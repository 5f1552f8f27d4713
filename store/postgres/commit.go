package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/dragoman-id/dragoman/store/engine"
)

// A write is acknowledged only if it is known to be committed. A commit whose caller gives up goes on: Postgres takes a cancel request
// during the wait for a synchronous standby as the order to commit without the standby, after which the write is visible, and lost
// when that standby becomes the primary. So such a connection leaves its pool and waits for the commit's end, whose outcome nobody
// learns.

// Errors of a commit whose outcome is unknown.
var (
	// errInTransaction: the server says after a commit that the connection is still in a transaction.
	errInTransaction = fmt.Errorf("%w: the connection is still in a transaction after the commit, as behind a pooler that begins "+
		"transactions itself (pgpool-II): name another pooler or Postgres itself in --database (DRAGOMAN_DATABASE)", engine.ErrUnavailable)
	// errNotReplicated: somebody has canceled the wait for a synchronous standby.
	errNotReplicated = fmt.Errorf("%w: the wait for a synchronous standby was canceled on the server, so the write may be lost in a failover",
		engine.ErrUnavailable)
)

// errCommitting is why no cancel request is sent.
var errCommitting = errors.New("a commit is not canceled")

// conn is a connection of a pool.
type conn struct {
	*stdlib.Conn
	*guard
	unattended *unattended
	// left says that a commit goes on whose caller has given up. Only the goroutine that waits for it uses the connection then.
	left atomic.Bool
}

// pgx returns pgx's connection.
func (c *conn) pgx() *pgx.Conn { return c.Conn.Conn() }

// guard is the state of a connection that callbacks of pgx read and write.
type guard struct {
	committing    atomic.Bool // no cancel request is sent
	notReplicated atomic.Bool
	hosts         *hosts
	dialed        string    // the address that was dialed last, while the connection is being established
	dialedAt      time.Time // when
}

type guardKey struct{}

// beforeConnect has the connection send no cancel request during a commit, and notice that Postgres did not wait for a standby.
// Its context is that of [connector.Connect].
func (g *guard) beforeConnect(c *pgx.ConnConfig) {
	dial := c.DialFunc
	c.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if g.committing.Load() {
			return nil, errCommitting // pgx dials again only to cancel
		}
		if len(c.Fallbacks) == 0 || g.hosts == nil {
			return dial(ctx, network, address)
		}
		g.hosts.dialing(g, address)
		opened, err := dial(ctx, network, address)
		if err == nil && g.hosts.hangs(address) {
			err = opened.SetDeadline(time.Now().Add(hangingTimeout))
		}
		return opened, err
	}
	c.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		// The warning has no code of its own, and its text is in the server's language.
		if n.Routine == "SyncRepWaitForLSN" {
			g.notReplicated.Store(true)
		}
	}
}

// unattended counts the commits that go on without their callers, on all connections of a database.
type unattended struct {
	commits atomic.Int64
	// most is how many of them there may be while the server says that as many wait for a synchronous standby. Each occupies a
	// connection of the server.
	most int
}

// waitForStandby counts the role's sessions that wait for a synchronous standby.
const waitForStandby = `-- standby
SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND usename = current_user`

// admit returns an error if too many commits already wait for a standby. Commits that wait on another server do not count, such as a
// former primary that hangs.
func (u *unattended) admit(ctx context.Context, c *pgx.Conn) error {
	if u.commits.Load() < int64(u.most) {
		return nil
	}
	var waiting int
	if err := c.QueryRow(ctx, waitForStandby, pgx.QueryExecModeExec).Scan(&waiting); err != nil {
		return err
	}
	if waiting >= u.most {
		return fmt.Errorf("%w: %d commits wait for a synchronous standby: see synchronous_standby_names of the server", engine.ErrUnavailable, waiting)
	}
	return nil
}

// commit runs fn, which ends with a commit, and returns nil only if the commit succeeded. The context of fn does not end. If ctx
// ends first, commit returns an error that wraps that of ctx, the connection is not used again, and the commit goes on.
func (c *conn) commit(ctx context.Context, fn func(context.Context) error) error {
	if err := c.unattended.admit(ctx, c.pgx()); err != nil {
		return err
	}
	if ctx.Done() == nil {
		return c.run(ctx, fn)
	}
	var err error
	var panicked any
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer func() {
			if p := recover(); p != nil {
				panicked = fmt.Sprintf("%v\n%s", p, debug.Stack())
			}
		}()
		err = c.run(context.WithoutCancel(ctx), fn)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		c.leave(ended)
		return fmt.Errorf("waiting for the commit: %w", ctx.Err())
	}
	if panicked != nil {
		panic(panicked)
	}
	return err
}

// run runs fn and finds out what became of the commit.
func (c *conn) run(ctx context.Context, fn func(context.Context) error) error {
	pg := c.pgx().PgConn()
	c.notReplicated.Store(false)
	c.committing.Store(true)
	err := fn(ctx)
	if pg.IsClosed() {
		return err // pgx may still send a cancel request
	}
	c.committing.Store(false)
	switch {
	case err != nil:
		return err
	case pg.TxStatus() != 'I':
		return errInTransaction
	case c.notReplicated.Load():
		return errNotReplicated
	}
	return nil
}

// leave lets the commit go on, and closes the connection once it has ended.
func (c *conn) leave(ended <-chan struct{}) {
	c.left.Store(true)
	c.unattended.commits.Add(1)
	go func() {
		<-ended
		c.unattended.commits.Add(-1)
		_ = c.Conn.Close() // nobody learns of it
	}()
}

// IsValid reports whether the connection may go back to its pool (driver.Validator).
func (c *conn) IsValid() bool {
	if c.left.Load() {
		return false
	}
	pg := c.pgx().PgConn()
	return !pg.IsClosed() && pg.TxStatus() == 'I'
}

// Close closes the connection, now or at the end of its commit.
func (c *conn) Close() error {
	if c.left.Load() {
		return nil
	}
	return c.Conn.Close()
}

// BeginTx begins a transaction that [conn.commit] commits (driver.ConnBeginTx).
func (c *conn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	tx, err := c.Conn.BeginTx(ctx, o)
	if err != nil {
		return nil, err
	}
	return transaction{tx, c, ctx}, nil
}

// transaction is one that database/sql has begun.
type transaction struct {
	driver.Tx
	conn *conn
	ctx  context.Context
}

// Commit commits the transaction. The error is that of pgx if Postgres rolled it back instead.
func (t transaction) Commit() error {
	return t.conn.commit(t.ctx, func(ctx context.Context) error {
		tag, err := t.conn.pgx().Exec(ctx, "commit")
		if err == nil && tag.String() == "ROLLBACK" {
			return pgx.ErrTxCommitRollback
		}
		return err
	})
}

// connector connects for database/sql.
type connector struct {
	driver.Connector // of pgx, with the callbacks of sessions
	unattended       *unattended
	hosts            *hosts
}

// Connect returns a *conn. Its errors are those of [discreet].
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	g := &guard{hosts: c.hosts}
	opened, err := c.Connector.Connect(context.WithValue(ctx, guardKey{}, g))
	if err != nil {
		c.hosts.dialing(g, "")
		return nil, discreet(err)
	}
	if g.dialed != "" {
		c.hosts.answered(g.dialed)
		if err := opened.(*stdlib.Conn).Conn().PgConn().Conn().SetDeadline(time.Time{}); err != nil {
			return nil, errors.Join(err, opened.Close())
		}
	}
	g.hosts = nil // from now on pgx dials only to cancel
	return &conn{Conn: opened.(*stdlib.Conn), guard: g, unattended: c.unattended}, nil
}

// lockTimeout is how long a step that may wait for a unique value does so before it is sent again, as long as its caller waits. That
// wait may be part of the round trip of the commit, which is not canceled.
const lockTimeout = 2 * time.Second

func waitedForLock(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == "55P03"
}
