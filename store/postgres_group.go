package store

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
	"gorm.io/gorm"
)

const (
	// maxPostgresWrites and maxPostgresReads are how many statements one transaction takes at most.
	maxPostgresWrites = 64
	maxPostgresReads  = 16
	// maxPostgresGroups is how many such transactions there are at once, unless one of them does not come to its end.
	maxPostgresGroups = 4
	// groupPatience is how long the next group waits for one that is under way. Its connection may be dead.
	groupPatience = 250 * time.Millisecond
	// groupLockTimeout is how long a group waits for a row that somebody else holds.
	groupLockTimeout = 50 * time.Millisecond
)

// postgresGroups have statements of the same kind that come at the same time share one trip to Postgres, one transaction, and, if
// they write, one wait for its disk. Where one of them fails Postgres undoes them all, and each is made again by itself.
type postgresGroups struct {
	find, pool    *sql.DB // for reads, and for writes
	observer      Observer
	reads, writes groupQueue[*postgresStatement]
}

// postgresStatement is a statement of a group.
type postgresStatement struct {
	text      string
	arguments []any
	user      int64 // whose row it writes
	// take takes the statement's result. Its error is one of the database's; a query that finds nothing has none.
	take func(pgx.BatchResults) error
	// alone makes the statement by itself.
	alone func() error
}

func newPostgresGroups(find, pool *sql.DB, o Observer) *postgresGroups {
	g := &postgresGroups{find: find, pool: pool, observer: o}
	g.reads = groupQueue[*postgresStatement]{others: "readers", do: g.read, size: maxPostgresReads, workers: maxPostgresGroups, patience: groupPatience, byAsker: true}
	g.writes = groupQueue[*postgresStatement]{others: "writers", do: g.write, size: maxPostgresWrites, workers: maxPostgresGroups, patience: groupPatience, byAsker: true}
	return g
}

// errUndone: a statement was not made, or undone with the others of its group.
var errUndone = errors.New("the group was undone")

// ask makes a statement with others, or else by itself.
func ask(ctx context.Context, q *groupQueue[*postgresStatement], s *postgresStatement) error {
	err := q.ask(ctx, s)
	if errors.Is(err, errUndone) {
		return s.alone()
	}
	return err
}

// queryRow is the database's queryRow.
func (g *postgresGroups) queryRow(ctx context.Context, db gorm.ConnPool, into []any, text string, arguments ...any) error {
	if _, inTransaction := db.(gorm.TxCommitter); inTransaction {
		return queryRow(ctx, db, into, text, arguments...)
	}
	var found error
	query := &postgresStatement{
		text: text, arguments: arguments,
		take: func(r pgx.BatchResults) error {
			if found = r.QueryRow().Scan(into...); errors.Is(found, pgx.ErrNoRows) {
				return nil
			}
			return found
		},
		alone: func() error {
			found = nil // by the group, which was undone
			return queryPostgres(ctx, g.find, into, text, arguments...)
		},
	}
	if err := ask(ctx, &g.reads, query); err != nil {
		return err
	}
	return found
}

// swap is the one of the database's groups. Only statements that change no value that must be unique go with others: what can go
// wrong with them is no fault of whoever asked.
func (g *postgresGroups) swap(ctx context.Context, before, after *User, change UserChange) error {
	set, text, arguments, err := postgresSwap(before, after, change)
	if err != nil {
		return err
	}
	var rows int64
	write := &postgresStatement{
		text: text, arguments: arguments, user: before.ID,
		take: func(r pgx.BatchResults) error {
			tag, err := r.Exec()
			rows = tag.RowsAffected()
			return err
		},
		alone: func() (err error) {
			rows, err = execPostgres(ctx, g.pool, text, arguments...)
			return err
		},
	}
	if set&uniqueColumns == 0 {
		err = ask(ctx, &g.writes, write)
	} else {
		err = write.alone()
	}
	if err != nil {
		return swapped(ctx, 0, err) // the group may still write the rows of who gave up
	}
	return swapped(ctx, rows, nil)
}

// read makes queries. They can be made again whatever happened.
func (g *postgresGroups) read(group []*queued[*postgresStatement]) {
	if len(group) == 1 {
		makeAlone(group)
		return
	}
	if taken, err := g.send(g.find, group); err != nil {
		undone(taken)
	}
}

// write makes statements that write.
func (g *postgresGroups) write(group []*queued[*postgresStatement]) {
	if len(group) == 1 {
		makeAlone(group)
		return
	}
	taken, err := g.send(g.pool, group, setGroupLockTimeout)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.SeverityUnlocalized == "ERROR" {
		// Anything worse may have come after the commit.
		undone(taken)
		return
	}
	for _, w := range taken {
		w.err = err
	}
}

// makeAlone makes a statement that came alone.
func makeAlone(one []*queued[*postgresStatement]) {
	for _, w := range takeAll(one) {
		w.err = w.work.alone()
	}
}

// undone tells the statements of a group that none of them was made.
func undone(group []*queued[*postgresStatement]) {
	for _, w := range group {
		w.err = errUndone
	}
}

var setGroupLockTimeout = fmt.Sprintf("SELECT set_config('lock_timeout', '%d', true)", groupLockTimeout.Milliseconds())

// send sends the statements of a group together over a connection of pool, and others before them, and takes their results. It returns those that it took once
// it had a connection.
func (g *postgresGroups) send(pool *sql.DB, group []*queued[*postgresStatement], before ...string) (taken []*queued[*postgresStatement], err error) {
	ctx, done := whileAnyWaits(group)
	defer done()
	var began time.Time
	err = onPostgres(ctx, pool, unsent, func(c *pgx.Conn) error {
		if taken == nil {
			began, taken = time.Now(), takeAll(group)
			// Groups of several servers lock the same rows in the same order, so that they cannot deadlock.
			slices.SortStableFunc(taken, func(a, b *queued[*postgresStatement]) int { return cmp.Compare(a.work.user, b.work.user) })
		}
		if len(taken) == 0 {
			return nil
		}
		// To Postgres what comes between two synchronizations is one transaction.
		var b pgx.Batch
		for _, text := range before {
			b.Queue(text)
		}
		for _, w := range taken {
			b.Queue(w.work.text, w.work.arguments...)
		}
		results := c.SendBatch(ctx, &b)
		return errors.Join(takeResults(results, len(before), taken), results.Close()) // only the latter waits for the commit
	})
	if taken == nil {
		// There was no connection.
		taken = takeAll(group)
	}
	if g.observer.watches() && !began.IsZero() {
		for _, w := range taken {
			g.observer.tell(w.ctx, w.work.text, began, err)
		}
	}
	return taken, err
}

func takeResults(results pgx.BatchResults, before int, group []*queued[*postgresStatement]) error {
	for range before {
		if _, err := results.Exec(); err != nil {
			return err
		}
	}
	for _, w := range group {
		if err := w.work.take(results); err != nil {
			return err
		}
	}
	return nil
}
