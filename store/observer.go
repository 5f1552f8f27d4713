package store

import (
	"context"
	"errors"
	"strings"

	"github.com/dragoman-id/dragoman/store/engine"
	"github.com/dragoman-id/dragoman/store/postgres"
	"github.com/dragoman-id/dragoman/store/sqlite"
)

// Observer is called while a store works. Its functions may be called concurrently, and must not block. One that is nil is not
// called, and costs nothing.
type Observer struct {
	// Statement is called after each statement, with the statement's context.
	Statement func(ctx context.Context, s Statement)
	// Warn is called with what an operator should mend about the database, once for each such thing.
	Warn func(message string)
	// Retry is called with the reason for which an attempt of a write failed, before the next attempt or after the last.
	Retry func(ctx context.Context, why Retry)
}

// Statement is a statement that the database has executed.
type Statement = engine.Statement

// StatementKind is what a statement does, by its verb.
type StatementKind = engine.StatementKind

// Retry is why an attempt to write is repeated, or was the last.
type Retry string

// The reasons of retries.
const (
	RetryConflict   Retry = "conflict"    // another writer was first
	RetryStale      Retry = "stale"       // the user came from the cache and was stale
	RetryNeedsLock  Retry = "needs_lock"  // the update takes an administrator away, which is decided while the customer's row is locked
	RetryRolledBack Retry = "rolled_back" // Postgres rolled it back for another transaction
	RetryGivenUp    Retry = "given_up"    // that was the last attempt: the write is ErrBusy
)

// retryReason gives why there is to be another attempt after err, and whether there is.
func retryReason(err error) (Retry, bool) {
	switch {
	case errors.Is(err, errConflicting):
		return RetryConflict, true
	case errors.Is(err, errMustLock):
		return RetryNeedsLock, true
	case postgres.RolledBack(err):
		return RetryRolledBack, true
	}
	return "", false
}

func (o Observer) retry(ctx context.Context, why Retry) {
	if o.Retry != nil {
		o.Retry(ctx, why)
	}
}

// EngineOf names the engine of a database by its URL, a Config.URL: "postgres", or else "sqlite".
func EngineOf(url string) string {
	if strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://") {
		return postgres.Name
	}
	return sqlite.Name
}

// EngineName names the database's engine, as EngineOf does.
func (s *Store) EngineName() string { return s.db.Name() }

// RememberedUsers counts how often an update found its user in the cache, and how often it did not.
type RememberedUsers struct{ Hits, Misses uint64 }

// Remembered returns the counts of the cache of users. They are zero if there is none.
func (s *Store) Remembered() RememberedUsers {
	hits, misses := s.recent.Lookups()
	return RememberedUsers{Hits: hits, Misses: misses}
}

// Pool is the state of a pool of connections to the database.
type Pool = engine.PoolState

// PoolStates returns the state of each of the store's pools of connections. Waits for a slot among the readers of a pool count as waits
// for its connections.
func (s *Store) PoolStates() []Pool { return append(s.db.PoolStates(), s.standby.poolStates()...) }
