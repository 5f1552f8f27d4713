package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/libtnb/sqlite"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
)

// Observer is told what a store does, while it does it: its functions run in the midst of the work, perhaps many at once, and
// must not wait for anything. One that is nil is told nothing, and costs nothing.
type Observer struct {
	// Statement is told of each statement when it has ended. The context is the statement's.
	Statement func(ctx context.Context, s Statement)
	// Retry is told why an attempt of UpdateUser came to nothing, so that there is another one, or is not any more.
	Retry func(ctx context.Context, why Retry)
}

// Statement is one that the database was asked; the beginning and the end of a transaction are statements too.
type Statement struct {
	// Text is the statement with placeholders for its values, of which it holds none.
	Text string
	Kind StatementKind
	// Began is when a connection was asked, and Took how long it was until it had done all, the rows being read included; the
	// wait for the connection is Pool's. Began is a time of the machine's clock, also where Config.Now is another.
	Began time.Time
	Took  time.Duration
	// Err is the driver's error, with the context's if that had ended, or nil. A query that finds nothing has none.
	Err error
}

// StatementKind is what a statement does, by its verb.
type StatementKind string

// The kinds of statements.
const (
	Select   StatementKind = "select"
	Insert   StatementKind = "insert"
	Update   StatementKind = "update"
	Delete   StatementKind = "delete"
	Begin    StatementKind = "begin"
	Commit   StatementKind = "commit"
	Rollback StatementKind = "rollback"
	Other    StatementKind = "other" // such as a lock
)

var statementKinds = []StatementKind{Select, Insert, Update, Delete, Begin, Commit, Rollback}

// Outcome says how a statement ended, in a word: "ok"; "duplicate", for a value that must be unique and is another's; "busy"
// and "unavailable", of which ErrBusy and ErrUnavailable come; "timed_out" and "canceled", as its context was; or "failed".
func (s Statement) Outcome() string {
	if s.Err == nil {
		return "ok"
	}
	switch kind := kindOf(s.Err); {
	case errors.Is(s.Err, context.DeadlineExceeded):
		return "timed_out"
	case errors.Is(s.Err, context.Canceled):
		return "canceled"
	case kind == ErrBusy:
		return "busy"
	case kind == ErrUnavailable:
		return "unavailable"
	case isDuplicate(s.Err):
		return "duplicate"
	}
	return "failed"
}

// isDuplicate reports whether a driver refused a value that must be unique.
func isDuplicate(err error) bool {
	return errors.Is(postgres.Dialector{}.Translate(err), gorm.ErrDuplicatedKey) ||
		errors.Is(sqlite.Dialector{}.Translate(err), gorm.ErrDuplicatedKey)
}

// Retry is why an attempt to update a user came to nothing.
type Retry string

// The reasons of retries.
const (
	RetryOvertaken Retry = "conflict"    // another writer was first
	RetryOutdated  Retry = "stale"       // the user came from the cache and was stale
	RetryMustHold  Retry = "needs_lock"  // the update takes an administrator away, which is decided while the customer's row is locked
	RetryUndone    Retry = "rolled_back" // Postgres rolled it back for another transaction
	RetryGivenUp   Retry = "given_up"    // that was the last attempt: the update is ErrBusy
)

// retryReason gives why there is to be another attempt after err, and whether there is.
func retryReason(err error) (Retry, bool) {
	switch {
	case errors.Is(err, errOvertaken):
		return RetryOvertaken, true
	case errors.Is(err, errMustHold):
		return RetryMustHold, true
	case postgresOvertook(err):
		return RetryUndone, true
	}
	return "", false
}

func (o Observer) retry(ctx context.Context, why Retry) {
	if o.Retry != nil {
		o.Retry(ctx, why)
	}
}

// watches reports whether anybody is to be told of statements.
func (o Observer) watches() bool { return o.Statement != nil }

// tell tells of a statement that has ended.
func (o Observer) tell(ctx context.Context, text string, began time.Time, err error) {
	if err != nil && ctx.Err() != nil {
		// SQLite only says "interrupted".
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	o.Statement(ctx, Statement{Text: text, Kind: statementKind(text), Began: began, Took: time.Since(began), Err: err})
}

// statementKind reads a statement's verb. One that begins WITH has it in its first parentheses: in this package that is what
// writes.
func statementKind(text string) StatementKind {
	if strings.HasPrefix(text, "WITH ") {
		_, text, _ = strings.Cut(text, "(")
	}
	verb, _, _ := strings.Cut(strings.TrimLeft(text, " \t\n"), " ")
	for _, kind := range statementKinds {
		if strings.EqualFold(verb, string(kind)) {
			return kind
		}
	}
	return Other
}

// EngineOf names the engine of a database by its URL, a Config.URL: "postgres", or else "sqlite".
func EngineOf(url string) string {
	if strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://") {
		return "postgres"
	}
	return "sqlite"
}

// EngineName names the database's engine, as EngineOf does.
func (s *Store) EngineName() string { return s.db.engine }

// RememberedUsers counts how often an update found its user in the cache, and how often it did not.
type RememberedUsers struct{ Hits, Misses uint64 }

// Remembered returns the counts of the cache of users. They are zero if there is none.
func (s *Store) Remembered() RememberedUsers {
	hits, misses := s.recent.Lookups()
	return RememberedUsers{Hits: hits, Misses: misses}
}

// Pool is the state of a pool of connections to the database.
type Pool struct {
	// Use is what its connections are for: "find" for single rows, "read" for lists and searches, "write", or "read_write" where one
	// pool is for both.
	Use              string
	Max, InUse, Idle int           // connections: how many there may be, and how many there are
	Waited           int64         // how often something had to wait for a connection so far
	WaitedFor        time.Duration // how long it had to, in all
}

// PoolStates returns the state of each of the store's pools of connections. Waits for a place among the readers of a pool are waits
// for its connections.
func (s *Store) PoolStates() []Pool {
	use := "read"
	if s.db.read == s.db.write {
		use = "read_write"
	}
	states := []Pool{poolState(use, s.db.read)}
	states[0].addReaders(s.db.lists)
	states[0].addReaders(s.db.searches)
	if s.db.read != s.db.write {
		states = append(states, poolState("write", s.db.write))
	}
	if s.db.find != s.db.read {
		states = append(states, poolState("find", s.db.find))
	}
	if s.db.finder != nil {
		states[len(states)-1].addReaders(s.db.finder.readers)
	}
	return states
}

func poolState(use string, db *sql.DB) Pool {
	s := db.Stats()
	return Pool{
		Use: use, Max: s.MaxOpenConnections, InUse: s.InUse, Idle: s.Idle, Waited: s.WaitCount, WaitedFor: s.WaitDuration,
	}
}
