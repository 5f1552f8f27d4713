package store

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"gorm.io/gorm"
)

// maxGroup is how many writes one transaction takes at most, so that the first of them does not wait for a crowd.
const maxGroup = 256

// writeGroup has writes that come at the same time share one transaction, and so one wait for the disk. A write that comes alone
// begins at once; those that come while it is being committed are the next group. Each is all or nothing by itself: one that
// fails takes no other with it, and nothing is told done before the group is committed.
//
// Writes are not interrupted once they have begun, since SQLite would then undo the whole transaction: they are for statements
// that take no time.
type writeGroup struct {
	transaction func(ctx context.Context, fn func(tx *gorm.DB) error) error

	mu      sync.Mutex
	waiting []*groupedWrite
	working bool
}

// groupedWrite is one write of a group. Whoever asked for it waits for done, and reads the rest after.
type groupedWrite struct {
	ctx      context.Context // of who asked for it; only what it carries counts, not its end
	do       func(ctx context.Context, tx *gorm.DB) error
	taken    atomic.Bool // by the group, to write it; or by who asked for it, to give it up
	done     chan struct{}
	err      error
	panicked any
}

// write runs do in a transaction and returns its error. Do must be pure but for tx, and use the context that it is given. When
// ctx ends first the error is an ErrUnavailable; do was then not run, or its outcome is unknown.
func (g *writeGroup) write(ctx context.Context, do func(ctx context.Context, tx *gorm.DB) error) error {
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

// commit runs a group in one transaction and tells each of its writes how it went.
func (g *writeGroup) commit(group []*groupedWrite) {
	// Who watches the store sees the transaction as the first's.
	err := g.transaction(group[0].ctx, func(tx *gorm.DB) error {
		for _, w := range group {
			if !w.taken.CompareAndSwap(false, true) {
				continue
			}
			if err := w.run(tx, len(group) > 1); err != nil {
				return err
			}
		}
		return nil
	})
	for _, w := range group {
		if err != nil && w.err == nil {
			w.err = err
		}
		close(w.done)
	}
}

// run runs one write. Its own error is its own matter, unless the transaction is lost with it or, where it is not among others, has
// to be undone.
func (w *groupedWrite) run(tx *gorm.DB, amongOthers bool) error {
	if !amongOthers {
		w.call(tx)
		return w.err
	}
	if _, err := exec(w.ctx, tx.Statement.ConnPool, "SAVEPOINT one"); err != nil {
		return databaseError(w.ctx, "beginning a write", err)
	}
	w.call(tx)
	if w.err != nil {
		// It fails if there is no such savepoint any more.
		if _, err := exec(w.ctx, tx.Statement.ConnPool, "ROLLBACK TO one"); err != nil {
			return fmt.Errorf("undoing a write: %w: %w: %w", ErrUnavailable, errGroupLost, err)
		}
	}
	if _, err := exec(w.ctx, tx.Statement.ConnPool, "RELEASE one"); err != nil {
		return databaseError(w.ctx, "ending a write", err)
	}
	return nil
}

// errPanicked undoes a write that panicked.
var errPanicked = errors.New("panic")

// call runs do. A panic is kept for who asked for the write.
func (w *groupedWrite) call(tx *gorm.DB) {
	defer func() {
		if p := recover(); p != nil {
			w.panicked, w.err = fmt.Sprintf("%v\n%s", p, debug.Stack()), errPanicked
		}
	}()
	w.err = w.do(w.ctx, tx)
}
