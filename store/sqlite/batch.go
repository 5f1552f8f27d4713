package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/dragoman-id/dragoman/store/engine"
)

// maxBatch is how many steps one transaction takes at most.
const maxBatch = 256

// step is a step in the queue, and how many rows its first statement changed.
type step struct {
	engine.Step
	changed int64
}

// Run runs a step. Concurrent steps share a transaction, and so one wait for the disk. It returns when the transaction is committed. A
// step that fails does not make others fail.
//
// A step is not interrupted once it has begun, since SQLite would then roll back the whole transaction: its statements must be short.
// When ctx ends first, Run returns, and the step may still be committed.
func (d *Database) Run(ctx context.Context, s engine.Step) (changed int64, err error) {
	job := &step{Step: s}
	if err := d.queue.Do(ctx, job); err != nil {
		return 0, err // a batch may still write to the job
	}
	return job.changed, nil
}

var (
	// errBatchLost: SQLite rolled back the transaction of a whole batch, as when the disk is full.
	errBatchLost = errors.New("the transaction was rolled back")
	// errOneByOne: a step failed after it had changed something, which can only be rolled back together with the rest of its batch.
	errOneByOne = errors.New("the batch's steps need transactions of their own")
)

// commit runs a batch in one transaction. On errOneByOne it runs each step again in a transaction of its own.
func (d *Database) commit(batch []*engine.Job[*step]) {
	var claimed []*engine.Job[*step]
	// Another process may delay the beginning of the transaction for seconds, and all callers may give up meanwhile.
	ctx, done := engine.BatchContext(batch)
	defer done()
	err := d.transaction(ctx, func(tx transaction) error {
		claimed = engine.Claim(batch)
		return tx.runAll(claimed)
	})
	if errors.Is(err, errOneByOne) {
		for _, j := range claimed {
			j.Err = d.transaction(context.WithoutCancel(j.Context), func(tx transaction) error { return tx.run(j) })
		}
		return
	}
	for _, j := range batch {
		if j.Err == nil {
			j.Err = err
		}
	}
}

// transaction runs fn in a transaction, which is committed if fn returns nil. If ctx ends before the transaction has begun, it does not
// begin; after that it is not interrupted. It is begun on the driver, because database/sql rolls its own back when ctx ends.
func (d *Database) transaction(ctx context.Context, fn func(transaction) error) error {
	conn, err := d.pools.Write.Conn(ctx)
	if err != nil {
		return wrap(ctx, "waiting for the writing connection", err)
	}
	var failed error
	tx := transaction{conn: conn}
	var open driver.Tx
	returned := false
	defer func() {
		if !returned { // but panicked: the transaction ends with its connection, which would otherwise be lost to the pool
			tx.file.broken = true
			_ = conn.Close()
		}
	}()
	err = conn.Raw(func(c any) (err error) {
		tx.file = c.(*fileConn)
		open, err = tx.file.BeginTx(ctx, driver.TxOptions{})
		return err
	})
	if err == nil {
		failed = fn(tx)
		err = conn.Raw(func(any) error {
			if failed != nil {
				return open.Rollback()
			}
			return open.Commit()
		})
	}
	returned = true
	if err = errors.Join(err, conn.Close()); failed != nil || err == nil {
		return failed
	}
	return wrap(ctx, "running the transaction", err)
}

// transaction is a transaction on the writing connection.
type transaction struct {
	conn *sql.Conn
	file *fileConn
}

// runAll runs steps. It returns an error only if the transaction has to be rolled back or already was. Most steps that fail have changed
// nothing, as a statement that fails changes nothing; their error is set in the job.
func (tx transaction) runAll(steps []*engine.Job[*step]) error {
	for _, j := range steps {
		err := tx.run(j)
		switch {
		case err == nil:
			continue
		case len(steps) == 1:
			return err
		case tx.file.transactionLost():
			return fmt.Errorf("writing: %w: %w: %w", engine.ErrUnavailable, errBatchLost, err)
		case j.Work.changed > 0:
			return errOneByOne
		}
		j.Err = err
	}
	return nil
}

// run runs the statements of a step.
func (tx transaction) run(j *engine.Job[*step]) (err error) {
	ctx := context.WithoutCancel(j.Context)
	j.Work.changed, err = j.Work.Run(func(s engine.SQL) (int64, error) {
		result, err := tx.conn.ExecContext(ctx, s.Text, s.Arguments...)
		if err != nil {
			return 0, wrap(ctx, "writing", translate(err))
		}
		return result.RowsAffected()
	})
	return err
}
