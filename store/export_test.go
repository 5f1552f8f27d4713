package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/dragoman-id/dragoman/store/semaphore"
)

// What the tests outside of the package see of it.

var (
	Migrations = migrationFiles
	KindOf     = kindOf
)

// AsksForClaims reports whether a statement asks who has a unique value.
func AsksForClaims(db *gorm.DB) bool {
	_, asks := db.Statement.Model.(*claim)
	return asks
}

// Transaction is transaction.
func (s *Store) Transaction(ctx context.Context, fn func(tx *gorm.DB) error) error {
	return s.transaction(ctx, fn)
}

// FoldRules is foldRules.
const FoldRules = foldRules

// NumberingPause is the sequencer's.
const NumberingPause = numberingPause

// Pools returns the reading and the writing pool.
func (s *Store) Pools() (read, write *sql.DB) { return s.pools.Read, s.pools.Write }

// HoldLists takes every slot of those who list users by their ids, until release is called.
func (s *Store) HoldLists(t *testing.T) (release func()) { return holdReaders(t, s.pools.Lists) }

// HoldSearches takes every slot of those who list users in other ways, until release is called.
func (s *Store) HoldSearches(t *testing.T) (release func()) { return holdReaders(t, s.pools.Searches) }

// Readers returns how many connections lists and searches may take together.
func (s *Store) Readers() int { return s.pools.Lists.Load().Slots + s.pools.Searches.Load().Slots }

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
	return holdSome(t, s.pools.Searches)
}

// HoldSomeLists is HoldLists with such a release.
func (s *Store) HoldSomeLists(t *testing.T) (release func(n int)) { return holdSome(t, s.pools.Lists) }

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
func (s *Store) SearchesWaiting() int { return s.pools.Searches.Load().Waiting }

// ListsWaiting returns how many lists wait.
func (s *Store) ListsWaiting() int { return s.pools.Lists.Load().Waiting }

// Gorm returns the reading gorm.DB, to put callbacks into.
func (s *Store) Gorm() *gorm.DB { return s.read }

// Engine returns the one of the texts that is for the store's engine.
func (s *Store) Engine(texts map[string]string) string { return texts[s.write.Name()] }

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

// Retry is Wait.retry.
func (w Wait) Retry(ctx context.Context, open func() error) error { return w.retry(ctx, open) }

// MayPass is mayPass.
func MayPass(err error) bool { return mayPass(err) }

// SealAccessTokens gives every user an access token, as rows that a test has inserted have none.
func (s *Store) SealAccessTokens(t *testing.T) {
	t.Helper()
	var users []User
	err := s.write.Select("id", "uuid").Find(&users).Error
	for _, u := range users {
		sealed := s.keys.seal(u.UUID, sealedAccessToken, s.NewAccessToken())
		err = errors.Join(err, s.write.Exec("UPDATE users SET access_token_sealed = ? WHERE id = ?", sealed, u.ID).Error)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// SetMaxCandidates changes how many users a search looks at one by one.
func (s *Store) SetMaxCandidates(n int) { s.maxCandidates = n }

// Candidates returns the ids of all users that may contain text, and whether they are few.
func (s *Store) Candidates(ctx context.Context, customerID int64, text string) (ids []int64, few bool, err error) {
	return s.candidates(ctx, reader{db: s.read}, customerID, Fold(text))
}

// GramHash is gramHash.
var GramHash = gramHash

// ObservedMigrate is Migrate with an observer.
func ObservedMigrate(ctx context.Context, url string, o Observer) error {
	d, err := openDatabase(ctx, Config{URL: url, Observer: o})
	if err != nil {
		return err
	}
	_, err = d.Migrate(ctx)
	if err == nil {
		err = refold(ctx, d, true)
	}
	return errors.Join(err, d.Close())
}
