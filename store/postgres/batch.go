package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

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

// statement is one of a batch.
type statement struct {
	text      string
	arguments []any
	key       int64 // of the row that it writes
	// take takes the statement's result. Its error is one of the database's; a query that finds nothing has none.
	take func(pgx.BatchResults) error
}

// FindRow reads a row. Concurrent queries share a round trip.
func (d *Database) FindRow(ctx context.Context, into []any, query engine.SQL) error {
	var found error
	s := &statement{text: d.texts.of(query), arguments: query.Arguments}
	s.take = func(r pgx.BatchResults) error {
		if found = r.QueryRow().Scan(into...); errors.Is(found, pgx.ErrNoRows) {
			return nil
		}
		return found
	}
	err := d.reads.Do(ctx, s)
	if errors.Is(err, errUndone) {
		err = d.readAlone(ctx, s)
	}
	if err != nil {
		return err // a batch may still write to found
	}
	return found
}

// Run runs a step as one statement. Concurrent steps share a round trip and a transaction, and so one wait for the server's disk.
// When a step of a batch fails, Postgres rolls back the whole batch, and each step is run again by itself.
func (d *Database) Run(ctx context.Context, step engine.Step) (int64, error) {
	var changed int64
	s := &statement{text: d.texts.of(step.Statements...), key: step.Key}
	for _, part := range step.Statements {
		s.arguments = append(s.arguments, part.Arguments...)
	}
	s.take = func(r pgx.BatchResults) error {
		tag, err := r.Exec()
		changed = tag.RowsAffected()
		return err
	}
	err := errUndone
	if !step.Alone {
		err = d.writes.Do(ctx, s)
	}
	if errors.Is(err, errUndone) {
		err = d.writeAlone(ctx, s)
	}
	if err != nil {
		return 0, err // a batch may still write to changed
	}
	return changed, nil
}

// errUndone: a statement was not run, or was rolled back with its batch.
var errUndone = errors.New("the batch was rolled back")

// read runs a batch of queries. They can be run again after any error.
func (d *Database) read(batch []*engine.Job[*statement]) {
	if len(batch) == 1 {
		runLone(batch, d.readAlone)
		return
	}
	if claimed, err := d.sendBatch(d.pools.Find, batch); err != nil {
		setErr(claimed, errUndone)
	}
}

// write runs a batch of statements that write.
func (d *Database) write(batch []*engine.Job[*statement]) {
	if len(batch) == 1 {
		runLone(batch, d.writeAlone)
		return
	}
	claimed, err := d.sendBatch(d.pools.Write, batch, setBatchLockTimeout)
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

func setErr(jobs []*engine.Job[*statement], err error) {
	for _, j := range jobs {
		if j.Err = err; !errors.Is(err, errUndone) {
			j.Err = wrap(j.Context, "running the batch", err)
		}
	}
}

// runLone runs a batch of one.
func runLone(batch []*engine.Job[*statement], run func(context.Context, *statement) error) {
	for _, j := range engine.Claim(batch) {
		j.Err = run(j.Context, j.Work)
	}
}

var setBatchLockTimeout = fmt.Sprintf("SELECT set_config('lock_timeout', '%d', true)", batchLockTimeout.Milliseconds())

func (d *Database) readAlone(ctx context.Context, s *statement) error {
	return d.sendAlone(ctx, d.pools.Find, lost, s)
}

func (d *Database) writeAlone(ctx context.Context, s *statement) error {
	return d.sendAlone(ctx, d.pools.Write, unsent, s)
}

// sendAlone runs one statement. If again reports true for the error, it runs the statement again on another connection.
func (d *Database) sendAlone(ctx context.Context, pool *sql.DB, again func(error) bool, s *statement) error {
	var began time.Time
	err := onConn(ctx, pool, again, func(c *pgx.Conn) error {
		began = time.Now()
		return send(ctx, c, nil, []*statement{s})
	})
	if !began.IsZero() {
		d.reporter.Report(ctx, s.text, began, err)
	}
	if err != nil {
		return wrap(ctx, "running the statement", translate(err))
	}
	return nil
}

// sendBatch sends the statements of a batch together over a connection of pool, and others before them. It returns the jobs that it
// claimed once it had a connection.
func (d *Database) sendBatch(pool *sql.DB, batch []*engine.Job[*statement], before ...string) (claimed []*engine.Job[*statement], err error) {
	ctx, done := engine.BatchContext(batch)
	defer done()
	var began time.Time
	var statements []*statement
	err = onConn(ctx, pool, unsent, func(c *pgx.Conn) error {
		if claimed == nil {
			began, claimed = time.Now(), engine.Claim(batch)
			// Batches of several servers lock the same rows in the same order, so that they cannot deadlock.
			slices.SortStableFunc(claimed, func(a, b *engine.Job[*statement]) int { return cmp.Compare(a.Work.key, b.Work.key) })
			for _, j := range claimed {
				statements = append(statements, j.Work)
			}
		}
		if len(claimed) == 0 {
			return nil
		}
		return send(ctx, c, before, statements)
	})
	if claimed == nil {
		// There was no connection.
		claimed = engine.Claim(batch)
	}
	if !began.IsZero() {
		for _, j := range claimed {
			d.reporter.Report(j.Context, j.Work.text, began, err)
		}
	}
	return claimed, err
}

// send sends statements in one round trip, and takes their results. Postgres runs the statements between two Sync messages in one
// transaction.
func send(ctx context.Context, c *pgx.Conn, before []string, statements []*statement) error {
	var b pgx.Batch
	for _, text := range before {
		b.Queue(text)
	}
	for _, s := range statements {
		b.Queue(s.text, s.arguments...)
	}
	results := c.SendBatch(ctx, &b)
	err := takeResults(results, len(before), statements)
	return cmp.Or(err, results.Close()) // Close waits for the commit
}

func takeResults(results pgx.BatchResults, before int, statements []*statement) error {
	for range before {
		if _, err := results.Exec(); err != nil {
			return err
		}
	}
	for _, s := range statements {
		if err := s.take(results); err != nil {
			return err
		}
	}
	return nil
}

// onConn runs fn on a pgx connection of the pool: database/sql has no batches, and allocates a function for each column of each
// result. If again reports true for the error, it runs fn again on another connection.
func onConn(ctx context.Context, pool *sql.DB, again func(error) bool, fn func(*pgx.Conn) error) error {
	return whileLost(ctx, again, func() error {
		var c *sql.Conn
		err := whileLost(ctx, lost, func() (err error) {
			c, err = pool.Conn(ctx)
			return err
		})
		if err != nil {
			return err
		}
		err = c.Raw(func(driverConn any) error {
			err := fn(driverConn.(*stdlib.Conn).Conn())
			if err != nil && pgconn.SafeToRetry(err) {
				return errors.Join(driver.ErrBadConn, err)
			}
			return err
		})
		_ = c.Close() // returns it to the pool; a bad connection is already closed
		return err
	})
}
