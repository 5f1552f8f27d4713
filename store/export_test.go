package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/dragoman-id/dragoman/store/semaphore"
)

// What the tests outside of the package see of it.

var (
	Migrations = migrations
	LockSQLite = lockSQLite
	KindOf     = kindOf
)

// FoldRules is foldRules.
const FoldRules = foldRules

// Pools returns the reading and the writing pool.
func (s *Store) Pools() (read, write *sql.DB) { return s.db.read, s.db.write }

// Finders returns the pool that rows are found over on SQLite.
func (s *Store) Finders() *sql.DB { return s.db.finder.pool }

// HoldFinders takes every slot of those who find rows on SQLite, until release is called.
func (s *Store) HoldFinders(t *testing.T) (release func()) {
	return holdReaders(t, s.db.finder.readers)
}

// HoldLists takes every slot of those who list users by their ids, until release is called.
func (s *Store) HoldLists(t *testing.T) (release func()) { return holdReaders(t, s.db.lists) }

// HoldSearches takes every slot of those who list users in other ways, until release is called.
func (s *Store) HoldSearches(t *testing.T) (release func()) { return holdReaders(t, s.db.searches) }

// Readers returns how many connections lists and searches may take together.
func (s *Store) Readers() int { return s.db.lists.Load().Slots + s.db.searches.Load().Slots }

// holdReaders takes every slot in the name of customer 1.
func holdReaders(t *testing.T, readers *semaphore.Semaphore) (release func()) {
	for range readers.Load().Slots {
		if err := readers.Acquire(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		for range readers.Load().Slots {
			readers.Release()
		}
	}
}

// HoldSomeSearches is HoldSearches whose release gives so many slots back, and the others when the test ends.
func (s *Store) HoldSomeSearches(t *testing.T) (release func(n int)) {
	return holdSome(t, s.db.searches)
}

// HoldSomeLists is HoldLists with such a release.
func (s *Store) HoldSomeLists(t *testing.T) (release func(n int)) { return holdSome(t, s.db.lists) }

func holdSome(t *testing.T, readers *semaphore.Semaphore) (release func(n int)) {
	holdReaders(t, readers)
	held := readers.Load().Slots
	release = func(n int) {
		for range min(n, held) {
			readers.Release()
			held--
		}
	}
	t.Cleanup(func() { release(held) })
	return release
}

// SearchesWaiting returns how many searches wait.
func (s *Store) SearchesWaiting() int { return s.db.searches.Load().Waiting }

// ListsWaiting returns how many lists wait.
func (s *Store) ListsWaiting() int { return s.db.lists.Load().Waiting }

// Gorm returns the reading gorm.DB, to put callbacks into.
func (s *Store) Gorm() *gorm.DB { return s.read }

// Engine returns the one of the texts that is for the store's engine.
func (s *Store) Engine(texts map[string]string) string { return texts[s.write.Name()] }

// HurrySQLite makes the store not wait for other processes.
func (s *Store) HurrySQLite(t *testing.T) {
	conn, err := s.db.write.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = conn.Raw(func(c any) error { c.(*fileConn).file.patience = 0; return nil })
	if err := errors.Join(err, conn.Close()); err != nil {
		t.Fatal(err)
	}
}

// Schema returns what gorm makes of a model's type.
func (s *Store) Schema(model any) (*schema.Schema, error) {
	stmt := &gorm.Statement{DB: s.write}
	err := stmt.Parse(model)
	return stmt.Schema, err
}

// MaxWrittenColumns is how many columns a columnSet has room for.
const MaxWrittenColumns = 32

// ColumnNames returns the columns of the statements that find a user, and of those that write one.
func ColumnNames() (read, written []string) {
	return strings.Split(columnNames(userColumns), ", "), strings.Split(columnNames(writtenColumns), ", ")
}

// MaxGroup is maxGroup.
const MaxGroup = maxGroup

// GroupTx runs a statement in the transaction of a group of writes.
type GroupTx func(ctx context.Context, statement string, arguments ...any) (rows int64, err error)

// GroupWrite is a write in the store's group.
func (s *Store) GroupWrite(ctx context.Context, do func(context.Context, GroupTx) error) error {
	return s.db.groups.(*sqliteGroups).queue.ask(ctx, func(ctx context.Context, tx *groupTx) error { return do(ctx, tx.exec) })
}

// GroupWaiting returns how many writes wait for the next group.
func (s *Store) GroupWaiting() int {
	if g, ok := s.db.groups.(*sqliteGroups); ok {
		return g.queue.length()
	}
	return s.postgresGroups().writes.length()
}

func (s *Store) postgresGroups() *postgresGroups { return s.db.groups.(*postgresGroups) }

// ReadsWaiting returns how many queries wait for the next group on Postgres.
func (s *Store) ReadsWaiting() int { return s.postgresGroups().reads.length() }

func (q *groupQueue[W]) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// HoldRead has the store's group of queries wait until release is called: whatever is asked meanwhile comes in the next one.
func (s *Store) HoldRead() (release func()) {
	return holdQueue(&s.postgresGroups().reads)
}

// HoldWrite is HoldRead for writes.
func (s *Store) HoldWrite() (release func()) {
	return holdQueue(&s.postgresGroups().writes)
}

func holdQueue(q *groupQueue[*postgresStatement]) (release func()) {
	began, end := make(chan struct{}), make(chan struct{})
	go func() {
		_ = q.ask(context.Background(), &postgresStatement{alone: func() error { close(began); <-end; return nil }})
	}()
	<-began
	return func() { close(end) }
}

// BePatient has groups wait for those before them, however long it takes.
func (s *Store) BePatient() {
	g := s.postgresGroups()
	g.reads.patience, g.writes.patience = 0, 0
}

// PostgresDialer returns how connections to the Postgres of a URL are made.
func PostgresDialer(url string) (pgconn.DialFunc, error) {
	config, err := parsePostgresURL(url)
	if err != nil {
		return nil, err
	}
	return config.DialFunc, nil
}

// Retry is Patience.retry.
func (p Patience) Retry(ctx context.Context, open func() error) error { return p.retry(ctx, open) }

// MaxPrepared is maxPrepared.
const MaxPrepared = maxPrepared

// PreparedStatements returns the texts of what a connection of SQLite's keeps prepared.
func PreparedStatements(t *testing.T, conn *sql.Conn) []string {
	var texts []string
	err := conn.Raw(func(c any) error {
		texts = slices.Collect(maps.Keys(c.(*fileConn).prepared.kept))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// QueryTogether asks for one number in the store's group of queries; argument is asked for the parameter each time.
func (s *Store) QueryTogether(ctx context.Context, into *int, text string, argument func() int64) error {
	return s.postgresGroups().queryRow(ctx, s.db.read, []any{into}, text, argumentFunc(argument))
}

type argumentFunc func() int64

// Value is for the driver.
func (f argumentFunc) Value() (driver.Value, error) { return f(), nil }

// MayPass is mayPass.
func MayPass(err error) bool { return mayPass(err) }

// SealAccessTokens gives every user an access token, as rows that a test has inserted have none.
func (s *Store) SealAccessTokens(t *testing.T) {
	t.Helper()
	var users []User
	err := s.write.Select("id", "uuid").Find(&users).Error
	for _, u := range users {
		sealed := s.keys.seal(u.UUID, sealedAccessToken, s.newAccessToken())
		err = errors.Join(err, s.write.Exec("UPDATE users SET access_token_sealed = ? WHERE id = ?", sealed, u.ID).Error)
	}
	if err != nil {
		t.Fatal(err)
	}
}
