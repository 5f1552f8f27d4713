package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dragoman-id/dragoman/store/engine"
)

const (
	// maxWrites and maxReads are how many statements one transaction takes at most.
	maxWrites = 64
	maxReads  = 16
	// maxBatches is how many such transactions there are at once, not counting stalled ones.
	maxBatches = 4
	// stallAfter is how long the next batch waits for one that runs. Its connection may be dead.
	stallAfter = 250 * time.Millisecond
	// batchLockTimeout is how long a batch waits for a row that another transaction has locked.
	batchLockTimeout = 50 * time.Millisecond
)

// query is a query in the queue.
type query struct {
	text      string
	arguments []any
	// take takes the query's result. Its error is one of the database's; a query that finds nothing has none.
	take func(pgx.BatchResults) error
}

// FindRow reads a row. Concurrent queries share a round trip.
func (d *Database) FindRow(ctx context.Context, into []any, find engine.SQL) error {
	var found error
	q := &query{text: d.texts.of(find.Text), arguments: find.Arguments}
	q.take = func(r pgx.BatchResults) error {
		if found = r.QueryRow().Scan(into...); errors.Is(found, pgx.ErrNoRows) {
			return nil
		}
		return found
	}
	err := d.reads.Do(ctx, q)
	if errors.Is(err, errUndone) {
		err = d.readAlone(ctx, q)
	}
	if err != nil {
		return err // a batch may still write to found
	}
	return found
}

// step is a step in the queue, and how many rows its first statement changed.
type step struct {
	engine.Step
	changed int64
}

// Run runs a step in a transaction. Concurrent steps share a transaction, and so its round trips and one wait for the server's disk.
// When a step of a batch fails, Postgres rolls back the whole batch, and each step is run again by itself.
func (d *Database) Run(ctx context.Context, work engine.Step) (int64, error) {
	s := &step{Step: work}
	err := errUndone
	if !work.Alone {
		err = d.writes.Do(ctx, s)
	}
	if errors.Is(err, errUndone) {
		err = d.writeAlone(ctx, s)
	}
	if err != nil {
		return 0, err // a batch may still write to s
	}
	return s.changed, nil
}

// errUndone: a statement was not run, or was rolled back with its batch.
var errUndone = errors.New("the batch was rolled back")

// read runs a batch of queries. They can be run again after any error.
func (d *Database) read(batch []*engine.Job[*query]) {
	if len(batch) == 1 {
		runLone(batch, d.readAlone)
		return
	}
	if claimed, err := sendBatch(d.pools.Find, batch, d.sendQueries); err != nil {
		setErr(claimed, errUndone)
	}
}

// write runs a batch of steps.
func (d *Database) write(batch []*engine.Job[*step]) {
	if len(batch) == 1 {
		runLone(batch, d.writeAlone)
		return
	}
	claimed, err := sendBatch(d.pools.Write, batch, func(ctx context.Context, c *conn, claimed []*engine.Job[*step]) error {
		// Batches of several servers lock the same rows in the same order, so that they cannot deadlock.
		slices.SortStableFunc(claimed, func(a, b *engine.Job[*step]) int { return cmp.Compare(a.Work.Key, b.Work.Key) })
		return d.runSteps(ctx, c, claimed, setBatchLockTimeout)
	})
	if err == nil {
		return
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.SeverityUnlocalized == "ERROR" {
		// An error of a higher severity may have occurred after the commit.
		err = errUndone
	}
	setErr(claimed, err)
}

func setErr[W any](jobs []*engine.Job[W], err error) {
	for _, j := range jobs {
		if j.Err = err; !errors.Is(err, errUndone) {
			j.Err = wrap(j.Context, "running the batch", err)
		}
	}
}

// runLone runs a batch of one.
func runLone[W any](batch []*engine.Job[W], run func(context.Context, W) error) {
	for _, j := range engine.Claim(batch) {
		j.Err = run(j.Context, j.Work)
	}
}

// readAlone runs one query, and runs it again on another connection where one is lost.
func (d *Database) readAlone(ctx context.Context, q *query) error {
	return sendAlone(ctx, d.pools.Find, lost, q, d.sendQueries)
}

// writeAlone runs one step, and runs it again on another connection where one is lost before anything was sent, or where the step has
// waited for a unique value that another transaction holds.
func (d *Database) writeAlone(ctx context.Context, s *step) error {
	var settings []string
	bounded := s.Alone || s.Together || s.MayWait
	if bounded {
		// What is sent with the commit is not canceled.
		settings = []string{setLockTimeout}
	}
	again := func(err error) bool { return unsent(err) || bounded && waitedForLock(err) && ctx.Err() == nil }
	return sendAlone(ctx, d.pools.Write, again, s, func(ctx context.Context, c *conn, steps []*engine.Job[*step]) error {
		return d.runSteps(ctx, c, steps, settings...)
	})
}

func sendAlone[W any](ctx context.Context, pool *sql.DB, again func(error) bool, work W, send func(context.Context, *conn, []*engine.Job[W]) error) error {
	one := []*engine.Job[W]{{Context: ctx, Work: work}}
	err := onConn(ctx, pool, again, func(c *conn) error { return send(ctx, c, one) })
	if err != nil {
		return wrap(ctx, "running the statement", translate(err))
	}
	return nil
}

// sendBatch sends the work of a batch over a connection of pool. It returns the jobs that it claimed once it had a connection.
func sendBatch[W any](pool *sql.DB, batch []*engine.Job[W], send func(context.Context, *conn, []*engine.Job[W]) error) (claimed []*engine.Job[W], err error) {
	ctx, done := engine.BatchContext(batch)
	defer done()
	err = onConn(ctx, pool, unsent, func(c *conn) error {
		if claimed == nil {
			claimed = engine.Claim(batch)
		}
		if len(claimed) == 0 {
			return nil
		}
		return send(ctx, c, claimed)
	})
	if claimed == nil {
		// There was no connection.
		claimed = engine.Claim(batch)
	}
	return claimed, err
}

// sendQueries sends queries in one round trip, and takes their results.
func (d *Database) sendQueries(ctx context.Context, c *conn, queries []*engine.Job[*query]) (err error) {
	began := time.Now()
	defer func() {
		for _, j := range queries {
			d.reporter.Report(j.Context, j.Work.text, began, err)
		}
	}()
	var b pgx.Batch
	for _, j := range queries {
		b.Queue(j.Work.text, j.Work.arguments...)
	}
	results := c.pgx().SendBatch(ctx, &b)
	for _, j := range queries {
		if err = j.Work.take(results); err != nil {
			break
		}
	}
	return cmp.Or(err, results.Close())
}

// begin begins a transaction. Behind a pooler the session's isolation may be another.
const begin = "BEGIN ISOLATION LEVEL READ COMMITTED"

// The settings that bound each wait for a lock in the transaction of a batch, and in that of a step that is run alone.
var (
	setBatchLockTimeout = settingLockTimeout(batchLockTimeout)
	setLockTimeout      = settingLockTimeout(lockTimeout)
)

func settingLockTimeout(d time.Duration) string {
	return fmt.Sprintf("SET LOCAL lock_timeout = %d", d.Milliseconds())
}

// rollbackTimeout is how long a connection may take to roll a transaction back before it is closed.
const rollbackTimeout = time.Second

// runSteps runs steps in one transaction: in one round trip if all of them are Together, else in two, the first statement of each step
// in the first, and in the second the others of those steps whose first one changed a row. settings are statements to run before all
// others.
//
// The transaction is explicit, although Postgres runs what comes between two Sync messages in one: on Citus only an explicit
// transaction is atomic over the statements of a pipeline. The first of two round trips is canceled with ctx. The last one is not, as it
// commits.
func (d *Database) runSteps(ctx context.Context, c *conn, steps []*engine.Job[*step], settings ...string) (err error) {
	defer func() {
		if err != nil && !c.left.Load() {
			d.rollBack(ctx, c.pgx())
		}
	}()
	first := make([]sent, 0, 3+3*len(steps))
	first = append(first, sent{context: ctx, text: begin})
	for _, text := range settings {
		first = append(first, sent{text: text})
	}
	if !slices.ContainsFunc(steps, func(j *engine.Job[*step]) bool { return !j.Work.Together }) {
		return d.runTogether(ctx, c, steps, first)
	}
	for _, j := range steps {
		first = append(first, d.toSend(j.Context, j.Work.Statements[0]))
	}
	if err := d.exchange(ctx, c.pgx(), first); err != nil {
		return err
	}
	var rest []sent
	written := false
	for i, j := range steps {
		if j.Work.changed = first[1+len(settings)+i].rows; j.Work.changed == 0 {
			continue
		}
		written = true
		for _, s := range j.Work.Statements[1:] {
			rest = append(rest, d.toSend(j.Context, s))
		}
	}
	if !written {
		return d.exchange(ctx, c.pgx(), []sent{{context: ctx, text: "ROLLBACK"}})
	}
	return c.commit(ctx, func(lasting context.Context) error {
		return d.exchange(lasting, c.pgx(), append(rest, sent{context: ctx, text: "COMMIT"}))
	})
}

// runTogether runs steps that are Together in the transaction that first begins.
func (d *Database) runTogether(ctx context.Context, c *conn, steps []*engine.Job[*step], first []sent) error {
	all := first
	for _, j := range steps {
		for _, s := range j.Work.Statements {
			all = append(all, d.toSend(j.Context, s))
		}
	}
	all = append(all, sent{context: ctx, text: "COMMIT"})
	return c.commit(ctx, func(lasting context.Context) error {
		if err := d.exchange(lasting, c.pgx(), all); err != nil {
			return err
		}
		at := len(first)
		for _, j := range steps {
			j.Work.changed = all[at].rows
			at += len(j.Work.Statements)
		}
		return nil
	})
}

// sent is a statement of a round trip.
type sent struct {
	context   context.Context // the caller's, for the observer; nil where it is not to see the statement
	text      string
	arguments []any
	rows      int64 // how many it changed
}

func (d *Database) toSend(ctx context.Context, s engine.SQL) sent {
	return sent{context: ctx, text: d.texts.of(s.Text), arguments: s.Arguments}
}

// exchange sends statements in one round trip, and takes their results.
func (d *Database) exchange(ctx context.Context, c *pgx.Conn, statements []sent) error {
	began := time.Now()
	var b pgx.Batch
	for _, s := range statements {
		b.Queue(s.text, s.arguments...)
	}
	results := c.SendBatch(ctx, &b)
	var err error
	var refused *pgconn.PgError // says which statement failed; a lost connection does not
	for i := range statements {
		var tag pgconn.CommandTag
		if tag, err = results.Exec(); err != nil {
			if errors.As(err, &refused) {
				statements = statements[:i+1]
			}
			break
		}
		statements[i].rows = tag.RowsAffected()
	}
	err = cmp.Or(err, results.Close())
	for i, s := range statements {
		if s.context == nil {
			continue
		}
		own := err
		if refused != nil && i < len(statements)-1 {
			own = nil
		}
		d.reporter.Report(s.context, s.text, began, own)
	}
	return err
}

// rollBack ends the transaction that a connection is in after an error, and closes the connection where that is impossible.
func (d *Database) rollBack(ctx context.Context, c *pgx.Conn) {
	if c.IsClosed() || c.PgConn().TxStatus() == 'I' {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	if err := d.exchange(ctx, c, []sent{{context: ctx, text: "ROLLBACK"}}); err != nil {
		_ = c.Close(ctx)
	}
}

// onConn runs fn on a connection of the pool: database/sql has no batches, and allocates a function for each column of each result. If
// again reports true for the error, it runs fn again on another connection.
func onConn(ctx context.Context, pool *sql.DB, again func(error) bool, fn func(*conn) error) error {
	return whileLost(ctx, again, func() error {
		var c *sql.Conn
		err := whileLost(ctx, lost, func() (err error) {
			c, err = pool.Conn(ctx)
			return err
		})
		if err != nil {
			return err
		}
		err = c.Raw(func(driverConn any) error { return fn(driverConn.(*conn)) })
		_ = c.Close() // returns it to the pool, if it is valid
		return err
	})
}
