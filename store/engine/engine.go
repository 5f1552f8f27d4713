// Package engine says what a model needs of a database, and holds what is the same for every database: the errors' kinds, the
// queue that collects jobs into batches, readers' semaphores, migrations, and what an observer sees.
//
// [Database] is implemented by packages sqlite and postgres. Neither they nor this package know the model: its tables come as a
// [Schema], its statements as [SQL].
package engine

import (
	"context"
	"database/sql"
	"io/fs"

	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store/semaphore"
)

// Database is an open database. Its methods may be called by several goroutines at once. Statements have a question mark for each
// parameter.
type Database interface {
	// Name returns the name of the engine, "sqlite" or "postgres".
	Name() string
	// Dialector returns the gorm dialector for a pool of the database.
	Dialector(pool *sql.DB) gorm.Dialector
	// Pools returns the pools of connections.
	Pools() Pools
	// PoolStates returns the state of each pool. Waits for a slot among the readers of a pool count as waits for its connections.
	PoolStates() []PoolState

	// FindRow stores the columns of the one row that a query finds in the values of into, or returns sql.ErrNoRows. It is for queries by a
	// key, which are short. Concurrent queries may share a round trip.
	FindRow(ctx context.Context, into []any, query SQL) error
	// Run runs a step and returns how many rows its first statement changed. Concurrent steps may share a transaction; each is still all or
	// nothing by itself. The error is gorm.ErrDuplicatedKey where a unique value is taken; if it is
	// ErrUnavailable, or ctx has ended, the step may have been committed or not.
	Run(ctx context.Context, s Step) (changed int64, err error)

	// Migrate brings the schema up to date and returns the names of the migrations that it applied. Several processes may do so at
	// once.
	Migrate(ctx context.Context) (applied []string, err error)
	// MigrationsDue reports whether Migrate would apply any. It does not wait for locks.
	MigrationsDue(ctx context.Context) (bool, error)
	// Exclusively runs fn, which is no single transaction, while no other process does so under the same name.
	Exclusively(ctx context.Context, name string, fn func() error) error
	// Lock makes tx wait until no other transaction has the lock of this name, and keeps it until tx ends.
	Lock(tx *gorm.DB, name string) error
	// Tables describes all tables except those named. Each has a primary key.
	Tables(ctx context.Context, except ...string) ([]Table, error)
	// AllowIdle keeps the engine from ending tx because it is idle between two statements.
	AllowIdle(tx *gorm.DB) error

	// ReadsSettled reports whether what a query returns is as durable as an acknowledged commit. If not, it is once a transaction has
	// read it again, called Settle, and been committed.
	ReadsSettled(ctx context.Context) bool
	// Settle makes the commit of tx as durable as that of a write, although tx may have written nothing.
	Settle(tx *gorm.DB) error

	// Purge removes from the database's files what was overwritten and deleted, as far as this can be done while it is in use. The error
	// is ErrBusy while others prevent it.
	Purge(ctx context.Context) error

	// Close closes all pools.
	Close() error
}

// Pools are the pools of a database. Some may be the same.
type Pools struct {
	Read, Write *sql.DB
	// Find is for queries that take no time, by a key. Nothing slow uses its connections.
	Find *sql.DB
	// Lists and Searches limit the queries over Read: those that page through rows by their key, and all others, of which some
	// take long and keep only each other waiting.
	Lists, Searches *semaphore.Semaphore
}

// SQL is a statement with a question mark for each of its arguments, and none elsewhere.
type SQL struct {
	Text      string
	Arguments []any
}

// Step is a list of statements that are run as one: all of them or none.
type Step struct {
	// Statements begin with one that changes one row or none, such as an UPDATE. Those after it have an effect only if it changed one.
	Statements []SQL
	// Key is the same for steps that change the same row. Batches run their steps by ascending keys, so that two of them do not
	// deadlock.
	Key int64
	// Alone says that the step may fail for a value that must be unique, and is better not in a batch with others.
	Alone bool
	// Together says that the statements after the first change nothing by themselves where it changed no row, so that all of them can be
	// sent at once.
	Together bool
	// MayWait says that a statement after the first may wait for a unique value that another transaction holds. It is implied by Alone and by Together.
	MayWait bool
}

// Run executes the statements in turn by exec, which returns how many rows a statement changed, and returns how many the first one
// changed, also if a later one fails.
func (s Step) Run(exec func(SQL) (rows int64, err error)) (changed int64, err error) {
	for i, statement := range s.Statements {
		rows, err := exec(statement)
		if err != nil {
			return changed, err
		}
		if i == 0 {
			changed = rows
		}
		if changed == 0 {
			break
		}
	}
	return changed, nil
}

// Options are what a database is opened with.
type Options struct {
	Schema Schema
	// Existing refuses, with Schema.Absent, to create a database, and to open one without Schema.Tables.
	Existing bool
	// Connections is how many connections to a server the database opens at most. Zero means the engine's default.
	Connections int
	// Warn is called with what an operator should mend, once for each such thing. Nil ignores it.
	Warn func(message string)
	// Observe is called with each statement that has ended. Nil observes nothing, and costs nothing.
	Observe func(context.Context, Statement)
}

// Schema is what a model keeps in a database.
type Schema struct {
	// Migrations has a directory of SQL files for each engine, by its name.
	Migrations fs.FS
	// Tables are some tables of the schema. A database that has them is taken for one with the schema.
	Tables []string
	// Absent is the error for a database without these tables.
	Absent error
}
