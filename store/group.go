package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// maxGroup is how many writes one transaction takes at most, so that the first of them does not wait for a crowd.
const maxGroup = 256

// writeGroup has writes to SQLite that come at the same time share one transaction, and so one wait for the disk. A write that
// comes alone begins at once; those that come while it is being committed are the next group. Each is all or nothing by itself:
// one that fails takes no other with it, and nothing is told done before the group is committed.
//
// Writes are not interrupted once they have begun, since SQLite would then undo the whole transaction: they are for statements
// that take no time.
type writeGroup struct {
	pool *sql.DB

	mu      sync.Mutex
	waiting []*groupedWrite
	working bool
}

// groupedWrite is one write of a group. Whoever asked for it waits for done, and reads the rest after.
type groupedWrite struct {
	ctx      context.Context // of who asked for it; only what it carries counts, not its end
	do       func(ctx context.Context, tx *groupTx) error
	taken    atomic.Bool // by the group, to write it; or by who asked for it, to give it up
	done     chan struct{}
	err      error
	panicked any
}

// write runs do in a transaction and returns its error. Do must be pure but for tx, and use the context that it is given; it may be
// run twice. When ctx ends first the error is an ErrUnavailable; do was then not run, or its outcome is unknown.
func (g *writeGroup) write(ctx context.Context, do func(ctx context.Context, tx *groupTx) error) error {
	w := &groupedWrite{ctx: context.WithoutCancel(ctx), do: do, done: make(chan struct{})}
	g.mu.Lock()
	g.waiting = append(g.waiting, w)
	begin := !g.working
	g.working = true
	g.mu.Unlock()
	if begin {
		go g.work()
	}
	select {
	case <-w.done:
	case <-ctx.Done():
		if w.taken.CompareAndSwap(false, true) {
			return databaseError(ctx, "waiting for other writers", ctx.Err())
		}
		return databaseError(ctx, "waiting for the transaction's end", ctx.Err())
	}
	if w.panicked != nil {
		panic(w.panicked)
	}
	return w.err
}

// work commits one group after the other until nobody waits.
func (g *writeGroup) work() {
	for {
		g.mu.Lock()
		group := g.waiting
		if len(group) == 0 {
			g.working = false
			g.mu.Unlock()
			return
		}
		g.waiting = nil
		if len(group) > maxGroup {
			group, g.waiting = group[:maxGroup], group[maxGroup:]
		}
		g.mu.Unlock()
		g.commit(group)
	}
}

// errGroupLost: SQLite undid the transaction of a whole group, as when the disk is full.
var errGroupLost = errors.New("the transaction was undone")

// errOneByOne: a write failed after it had changed something, which can only be undone with all that the others of its group did.
var errOneByOne = errors.New("the group's writes need transactions of their own")

// commit runs a group in one transaction and tells each of its writes how it went.
func (g *writeGroup) commit(group []*groupedWrite) {
	var taken []*groupedWrite
	// Who watches the store sees the transaction as the first's.
	err := g.transaction(group[0].ctx, func(tx *groupTx) error {
		taken = notGivenUp(group)
		return runAll(tx, taken)
	})
	if errors.Is(err, errOneByOne) {
		for _, w := range taken {
			w.err, w.panicked = nil, nil
			w.end(g.transaction(w.ctx, func(tx *groupTx) error { return runAll(tx, []*groupedWrite{w}) }))
		}
		return
	}
	for _, w := range group {
		w.end(err)
	}
}

// notGivenUp leaves out those writes that were given up.
func notGivenUp(group []*groupedWrite) []*groupedWrite {
	taken := make([]*groupedWrite, 0, len(group))
	for _, w := range group {
		if w.taken.CompareAndSwap(false, true) {
			taken = append(taken, w)
		}
	}
	return taken
}

// runAll runs writes in one transaction. The error of one is its own matter, unless the transaction is lost with it or has to be
// undone: most fail without having changed anything, as a statement that fails changes nothing.
func runAll(tx *groupTx, writes []*groupedWrite) error {
	for _, w := range writes {
		tx.changed = false
		w.call(tx)
		switch {
		case w.err == nil:
		case len(writes) == 1:
			return w.err
		case tx.conn.transactionLost():
			return fmt.Errorf("writing: %w: %w: %w", ErrUnavailable, errGroupLost, w.err)
		case tx.changed:
			return errOneByOne
		}
	}
	return nil
}

// errPanicked undoes a write that panicked.
var errPanicked = errors.New("panic")

// call runs do. A panic is kept for who asked for the write.
func (w *groupedWrite) call(tx *groupTx) {
	defer func() {
		if p := recover(); p != nil {
			w.panicked, w.err = fmt.Sprintf("%v\n%s", p, debug.Stack()), errPanicked
		}
	}()
	w.err = w.do(w.ctx, tx)
}

// end tells who asked for the write how it went; err is the transaction's.
func (w *groupedWrite) end(err error) {
	if w.err == nil {
		w.err = err
	}
	close(w.done)
}

// transaction runs fn in a transaction, which is committed if fn returns nil. It speaks to the driver itself: what database/sql
// and gorm put between is a good part of a write's time, and all writes wait for it.
func (g *writeGroup) transaction(ctx context.Context, fn func(tx *groupTx) error) error {
	conn, err := g.pool.Conn(ctx)
	if err != nil {
		return databaseError(ctx, "waiting for the writing connection", err)
	}
	var failed error
	err = conn.Raw(func(c any) error {
		conn := c.(*fileConn)
		tx, err := conn.BeginTx(ctx, driver.TxOptions{})
		if err != nil {
			return err
		}
		if failed = fn(&groupTx{conn: conn}); failed != nil {
			return tx.Rollback()
		}
		return tx.Commit()
	})
	if err = errors.Join(err, conn.Close()); failed != nil || err == nil {
		return failed
	}
	return databaseError(ctx, "running the transaction", err)
}

// groupTx is the transaction of a group of writes.
type groupTx struct {
	conn    *fileConn
	changed bool // by the write that is being run
	values  []driver.NamedValue
}

// exec runs a statement and returns how many rows it wrote. The error for a duplicate is gorm's.
func (t *groupTx) exec(ctx context.Context, statement string, arguments ...any) (rows int64, err error) {
	if t.values, err = driverValues(t.values[:0], arguments); err != nil {
		return 0, err
	}
	result, err := t.conn.ExecContext(ctx, statement, t.values)
	if err != nil {
		return 0, translateSQLite(err)
	}
	rows, err = result.RowsAffected()
	t.changed = t.changed || rows > 0
	return rows, err
}
