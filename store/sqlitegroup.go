package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"runtime/debug"
)

// maxGroup is how many writes one transaction takes at most.
const maxGroup = 256

// sqliteGroups has writes to SQLite that come at the same time share one transaction, and so one wait for the disk. Each is all or
// nothing by itself: one that fails takes no other with it, and nothing is told done before the group is committed.
//
// Writes are not interrupted once they have begun, since SQLite would then undo the whole transaction: they are for statements
// that take no time.
type sqliteGroups struct {
	pool  *sql.DB
	queue groupQueue[groupedWork]
}

// groupedWork is what a write does in the transaction. It must be pure but for tx, and use the context that it is given; it may be
// run twice.
type groupedWork func(ctx context.Context, tx *groupTx) error

// groupedWrite is one write of a group.
type groupedWrite = queued[groupedWork]

func newSQLiteGroups(pool *sql.DB) *sqliteGroups {
	g := &sqliteGroups{pool: pool}
	g.queue = groupQueue[groupedWork]{others: "writers", do: g.commit, size: maxGroup, workers: 1}
	return g
}

// swap is the one of the database's groups.
func (g *sqliteGroups) swap(ctx context.Context, before, after *User, change UserChange) error {
	s, err := newSQLiteSwap(before, after, change)
	if err != nil {
		return err
	}
	return g.queue.ask(ctx, func(ctx context.Context, tx *groupTx) error { return s.run(ctx, tx.exec) })
}

// errGroupLost: SQLite undid the transaction of a whole group, as when the disk is full.
var errGroupLost = errors.New("the transaction was undone")

// errOneByOne: a write failed after it had changed something, which can only be undone with all that the others of its group did.
var errOneByOne = errors.New("the group's writes need transactions of their own")

// commit runs a group in one transaction and tells each of its writes how it went.
func (g *sqliteGroups) commit(group []*groupedWrite) {
	var taken []*groupedWrite
	// Another process may keep the transaction from beginning for seconds, for which nobody may want to wait.
	ctx, done := whileAnyWaits(group)
	defer done()
	err := g.transaction(ctx, func(tx *groupTx) error {
		taken = takeAll(group)
		return runAll(tx, taken)
	})
	if errors.Is(err, errOneByOne) {
		for _, w := range taken {
			w.err, w.panicked = nil, nil
			end(w, g.transaction(context.WithoutCancel(w.ctx), func(tx *groupTx) error { return runAll(tx, []*groupedWrite{w}) }))
		}
		return
	}
	for _, w := range group {
		end(w, err)
	}
}

// end notes how a write went; err is the transaction's.
func end(w *groupedWrite, err error) {
	if w.err == nil {
		w.err = err
	}
}

// runAll runs writes in one transaction. The error of one is its own matter, unless the transaction is lost with it or has to be
// undone: most fail without having changed anything, as a statement that fails changes nothing.
func runAll(tx *groupTx, writes []*groupedWrite) error {
	for _, w := range writes {
		tx.changed = false
		run(tx, w)
		switch {
		case w.err == nil:
		case len(writes) == 1:
			return w.err
		case tx.file.transactionLost():
			return fmt.Errorf("writing: %w: %w: %w", ErrUnavailable, errGroupLost, w.err)
		case tx.changed:
			return errOneByOne
		}
	}
	return nil
}

// errPanicked undoes a write that panicked.
var errPanicked = errors.New("panic")

// run runs a write. A panic is kept for who asked for it.
func run(tx *groupTx, w *groupedWrite) {
	defer func() {
		if p := recover(); p != nil {
			w.panicked, w.err = fmt.Sprintf("%v\n%s", p, debug.Stack()), errPanicked
		}
	}()
	w.err = w.work(context.WithoutCancel(w.ctx), tx)
}

// transaction runs fn in a transaction, which is committed if fn returns nil. When ctx ends before it has begun it does not
// begin; after that it is not interrupted. The transaction is the driver's, as
// one of database/sql would be undone when ctx ends.
func (g *sqliteGroups) transaction(ctx context.Context, fn func(tx *groupTx) error) error {
	conn, err := g.pool.Conn(ctx)
	if err != nil {
		return databaseError(ctx, "waiting for the writing connection", err)
	}
	var failed error
	var tx driver.Tx
	var file *fileConn
	err = conn.Raw(func(c any) (err error) {
		file = c.(*fileConn)
		tx, err = file.BeginTx(ctx, driver.TxOptions{})
		return err
	})
	if err == nil {
		failed = fn(&groupTx{conn: conn, file: file})
		err = conn.Raw(func(any) error {
			if failed != nil {
				return tx.Rollback()
			}
			return tx.Commit()
		})
	}
	if err = errors.Join(err, conn.Close()); failed != nil || err == nil {
		return failed
	}
	return databaseError(ctx, "running the transaction", err)
}

// groupTx is the transaction of a group of writes.
type groupTx struct {
	conn    *sql.Conn
	file    *fileConn
	changed bool // by the write that is being run
}

// exec runs a statement and returns how many rows it wrote. The error for a duplicate is gorm's.
func (t *groupTx) exec(ctx context.Context, statement string, arguments ...any) (rows int64, err error) {
	result, err := t.conn.ExecContext(ctx, statement, arguments...)
	if err != nil {
		return 0, translateSQLite(err)
	}
	rows, err = result.RowsAffected()
	t.changed = t.changed || rows > 0
	return rows, err
}
