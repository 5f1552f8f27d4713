package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/agnivade/levenshtein"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/dragoman-id/dragoman/store/engine"
	"github.com/dragoman-id/dragoman/store/ledger"
	"github.com/dragoman-id/dragoman/store/postgres"
	"github.com/dragoman-id/dragoman/store/recent"
	"github.com/dragoman-id/dragoman/store/sqlite"
)

// Config is what a store needs to know.
type Config struct {
	// URL names the database: "sqlite:" and the path of a file, which is created if absent, a "postgres://" or
	// "postgresql://" connection URL, or [InMemory].
	URL string
	// Existing forbids to create anything: Open returns ErrNoDirectory where there is no directory.
	Existing bool
	// NoMigrate leaves migrations to [Migrate]: while any is due, the database counts as unavailable.
	NoMigrate bool
	// Connections is how many connections to PostgreSQL the store opens at most, at least [MinConnections]. Zero means
	// [DefaultConnections]. SQLite has no use for it.
	Connections int
	// SecretKey is the key of 32 bytes that seals secrets at rest. A database is opened only with the key that it was
	// written with; otherwise the error is ErrSecretKey.
	SecretKey []byte
	// OldSecretKeys are further keys of 32 bytes, which open what they have sealed and seal nothing; see [Store.Rekey].
	OldSecretKeys [][]byte
	// Standby is a standby of the database, to read from.
	Standby StandbyConfig
	// Wait is for a database that is not available yet.
	Wait Wait
	// RememberedUsers is how many users that were read or written in the last minutes are cached, at about a kilobyte each, so that an
	// update need not read them first. Nil means [DefaultRememberedUsers]; with 0 or less none are.
	RememberedUsers *int
	// IdempotencyRetention is how long the records of writes are kept that were made under an idempotency key; see [Record]. Zero means
	// [DefaultIdempotencyRetention].
	IdempotencyRetention time.Duration
	// ErasureLedger is the path of the file that lists who was erased; see [Store.EraseUser]. Empty means that of the SQLite file with
	// ".erasures" at its end, and for PostgreSQL none: then nobody can be erased.
	ErasureLedger string
	// HistoryRetention is how old an entry of the history must be for [Store.EraseOldHistory] to erase its values. Zero means that it
	// erases none.
	HistoryRetention Age
	// Now is the clock for CreatedAt and UpdatedAt; nil means time.Now.
	Now func() time.Time
	// Observer observes what the store does.
	Observer Observer
	// Random is where the bits of new UUIDs and access tokens come from; nil means crypto/rand.Reader. It is read by several
	// goroutines at once and must not fail. Sealing secrets always uses crypto/rand.
	Random io.Reader
}

// Store is an open user directory. Its methods may be called by many goroutines at once.
type Store struct {
	db          engine.Database
	pools       engine.Pools // of db
	read, write *gorm.DB     // over the pools of the same names
	find        *gorm.DB
	catalogue   *Catalogue
	keys        *keyring
	recent      *recent.Cache[UserKey, *User]
	standings   *standings
	userIDs     *idBlock
	distributed bool             // the tables are distributed over the nodes of a cluster
	clock       func() time.Time // to measure time by
	now         func() time.Time // the clock, for columns
	observer    Observer
	random      io.Reader
	// transactions counts those that run or wait for a connection.
	transactions atomic.Int64
	standby      *standby // nil if there is none
	// retention is how long idempotency records are kept, and records what was found out about their table last.
	retention time.Duration
	records   atomic.Pointer[RecordState]
	ledger    *ledger.Ledger // nil if there is none
	// namedLedger says that the ledger is that of the Config, and not the default.
	namedLedger bool
	inMemory    bool
	erased      chan struct{} // wakes KeepErasing after an erasure of this store
	purgeDue    atomic.Bool
	// historyRetention is the Config's, and aged counts the entries that EraseOldHistory has erased values from.
	historyRetention Age
	aged             atomic.Int64
	// maxCandidates is defaultMaxCandidates, but in tests.
	maxCandidates int
	// common caches the trigrams that are in many users.
	common atomic.Pointer[commonGrams]
	// committed wakes the sequencer of the change feed.
	committed chan struct{}
}

// CheckURL returns what is wrong with a Config's URL as far as its text tells, nil if nothing. It repeats nothing of it.
func CheckURL(url string) error {
	path, isFile := strings.CutPrefix(url, sqliteScheme)
	switch {
	case isFile:
		return sqlite.CheckPath(path)
	case strings.HasPrefix(url, "postgres://"), strings.HasPrefix(url, "postgresql://"):
		return postgres.CheckURL(url)
	}
	return badURL(url)
}

// plainPath is a path that is certain to be no URL, and so holds no password.
var plainPath = regexp.MustCompile(`^[A-Za-z0-9._/~-]{1,255}$`)

// badURL says of a URL without a known scheme what to write instead. It may hold a password, so it is only repeated where it is a path.
func badURL(url string) error {
	const must = "--database (DRAGOMAN_DATABASE) must begin with sqlite:, postgres:// or postgresql://"
	scheme, _, _ := strings.Cut(strings.ToLower(url), ":")
	isLike := func(others ...string) bool {
		return len(scheme) < 20 && slices.ContainsFunc(others, func(o string) bool { return levenshtein.ComputeDistance(scheme, o) <= 2 })
	}
	switch {
	case url == "":
		return errors.New(must + ", and is empty")
	case plainPath.MatchString(url):
		return fmt.Errorf("%s: for a SQLite file write sqlite:%s", must, url)
	case isLike("sqlite"):
		return errors.New(must + ", did you mean sqlite:PATH?")
	case isLike("postgres", "postgresql"):
		return errors.New(must + ", did you mean postgres://USER@HOST:5432/NAME?")
	}
	return errors.New(must + ", such as sqlite:users.db or postgres://USER@HOST:5432/NAME")
}

const sqliteScheme = "sqlite:"

// InMemory is the URL of a database that is its store's own, in memory, and gone when that is closed.
const InMemory = "memory:"

// The bounds of Config.Connections.
const (
	DefaultConnections = postgres.DefaultConnections
	MinConnections     = postgres.MinConnections
)

// openDatabase opens the database of a Config's URL, with as much of the rest as concerns the engine.
func openDatabase(ctx context.Context, c Config) (engine.Database, error) {
	options := engine.Options{
		Schema: databaseSchema, Existing: c.Existing, Connections: c.Connections, Warn: c.Observer.Warn, Observe: c.Observer.Statement,
	}
	url := c.URL
	if path, ok := strings.CutPrefix(url, sqliteScheme); ok {
		return sqlite.Open(ctx, path, options)
	}
	if strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://") {
		return postgres.Open(ctx, url, options)
	}
	if url == InMemory {
		return sqlite.OpenMemory(ctx, options)
	}
	return nil, badURL(url)
}

// Open opens the database, applies the migrations that it lacks and reads the catalogue of roles. Several programs may
// do so at the same moment. The error is ErrUnavailable when the database cannot be reached, and c.Wait is over.
func Open(ctx context.Context, c Config) (*Store, error) {
	keys, err := newKeyring(c.SecretKey, c.OldSecretKeys...)
	if err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	standby, err := newStandby(c)
	if err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	var s *Store
	err = c.Wait.retry(ctx, func() error {
		d, err := openDatabase(ctx, c)
		if err != nil {
			return err
		}
		if s, err = newStore(ctx, d, keys, c); err != nil {
			return errors.Join(err, d.Close())
		}
		s.standby = standby
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	return s, nil
}

func newStore(ctx context.Context, d engine.Database, keys *keyring, c Config) (*Store, error) {
	now := c.Now
	if now == nil {
		now = time.Now
	}
	s := &Store{db: d, pools: d.Pools(), keys: keys, standings: newStandings(), userIDs: newIDBlock(), clock: now, now: func() time.Time { return inMillis(now()) }, observer: c.Observer, random: c.Random, retention: cmp.Or(c.IdempotencyRetention, DefaultIdempotencyRetention), maxCandidates: defaultMaxCandidates, committed: make(chan struct{}, 1)}
	if s.random == nil {
		s.random = rand.Reader
	}
	prepare := migrate
	if c.NoMigrate {
		prepare = checkMigrated
	}
	err := prepare(ctx, d)
	if err != nil {
		return nil, err
	}
	if s.write, err = session(d, s.pools.Write); err != nil {
		return nil, err
	}
	if s.read, err = session(d, s.pools.Read); err != nil {
		return nil, err
	}
	if s.find, err = session(d, s.pools.Find); err != nil {
		return nil, err
	}
	if source, err := copyingFrom(ctx, s.read); err != nil || source != "" {
		return nil, cmp.Or(err, ErrCopying)
	}
	if err := s.checkKeys(ctx); err != nil {
		return nil, err
	}
	if s.distributed, err = distributedDatabase(ctx, d); err != nil {
		return nil, err
	}
	if s.distributed && postgres.SimpleProtocol(c.URL) {
		return nil, errSimpleProtocol
	}
	var roles []Role
	if err := s.read.WithContext(ctx).Order("id").Find(&roles).Error; err != nil {
		return nil, databaseError(ctx, "reading the catalogue of roles", err)
	}
	s.catalogue = newCatalogue(roles)
	s.historyRetention = c.HistoryRetention
	s.ledger, s.namedLedger, s.inMemory, s.erased = ledgerOf(c), c.ErasureLedger != "", c.URL == InMemory, make(chan struct{}, 1)
	remembered := DefaultRememberedUsers
	if c.RememberedUsers != nil {
		remembered = *c.RememberedUsers
	}
	s.recent = recent.New[UserKey, *User](2*remembered, rememberedFor) // a user has two keys
	return s, nil
}

// migrate brings the database up to date.
func migrate(ctx context.Context, d engine.Database) error {
	if _, err := d.Migrate(ctx); err != nil {
		return err
	}
	return refold(ctx, d, false)
}

// checkMigrated returns an ErrUnavailable unless the database is up to date.
func checkMigrated(ctx context.Context, d engine.Database) error {
	due, err := d.MigrationsDue(ctx)
	if err == nil && !due {
		due, err = refoldDue(ctx, d)
	}
	if err == nil && due {
		err = fmt.Errorf("%w: migrations are due: run `dragoman migrate`, or leave out --no-migrate (DRAGOMAN_NO_MIGRATE)", ErrUnavailable)
	}
	return err
}

// session returns a gorm.DB over a pool of the database.
func session(d engine.Database, pool *sql.DB) (*gorm.DB, error) {
	return gorm.Open(d.Dialector(pool), &gorm.Config{
		Logger:         logger.Discard, // it would log values
		TranslateError: true,
		// Statements are single, or in a transaction that this package began.
		SkipDefaultTransaction: true,
		// Naming the columns keeps a running program's prepared statements valid while a newer one adds a column.
		QueryFields: true,
		// gorm's ping knows no context.
		DisableAutomaticPing: true,
	})
}

// Migrate applies the migrations that the database at url lacks, as Open does, and returns the names of those it applied,
// in order; none if the schema was up to date. In any case it computes the folded columns of all users again: a program of an
// older version may have written some by its own rules. Then it indexes all users who are not indexed yet, as [Store.IndexUsers] does.
func Migrate(ctx context.Context, url string, w Wait) (applied []string, err error) {
	err = w.retry(ctx, func() error {
		d, err := openDatabase(ctx, Config{URL: url})
		if err != nil {
			return err
		}
		now, err := d.Migrate(ctx)
		applied = append(applied, now...)
		if err == nil {
			err = refold(ctx, d, true)
		}
		if err == nil {
			err = indexUsers(ctx, d)
		}
		return errors.Join(err, d.Close())
	})
	if err != nil {
		return applied, fmt.Errorf("migrating: %w", err)
	}
	return applied, nil
}

// Close waits for running statements and closes the database. The store cannot be used afterwards.
func (s *Store) Close() error {
	s.recent.Close()
	if err := errors.Join(s.standby.close(), s.db.Close()); err != nil {
		return fmt.Errorf("closing store: %w", err)
	}
	return nil
}

// Ping returns nil if the database answers a query, else ErrUnavailable or what was wrong.
func (s *Store) Ping(ctx context.Context) error {
	var roles int // read from a table, as SQLite opens no file to count to 1
	if err := s.find.WithContext(ctx).Raw("SELECT count(*) FROM roles").Scan(&roles).Error; err != nil {
		return databaseError(ctx, "asking the database for a sign of life", err)
	}
	return nil
}

// Catalogue returns the roles as they stood when the store was opened.
func (s *Store) Catalogue() *Catalogue { return s.catalogue }

// transaction runs fn in a transaction of the writing pool, which is committed if fn returns nil. The error of fn is
// returned as it is. The error is an ErrUnavailable when too many transactions wait already. When the database rolls the transaction
// back because of another one, fn is run again, maxAttempts times at most.
func (s *Store) transaction(ctx context.Context, fn func(tx *gorm.DB) error) error {
	for attempt := 1; ; attempt++ {
		err := s.transactionOnce(ctx, fn)
		if !postgres.RolledBack(err) {
			return err
		}
		if attempt == maxAttempts {
			s.observer.retry(ctx, RetryGivenUp)
			return err
		}
		s.observer.retry(ctx, RetryRolledBack)
	}
}

// errTooManyWriters: too many transactions run or wait already.
var errTooManyWriters = fmt.Errorf("waiting for other writers: %w: the queue is full", ErrUnavailable)

// transactionOnce is transaction without another attempt.
func (s *Store) transactionOnce(ctx context.Context, fn func(tx *gorm.DB) error) error {
	defer s.transactions.Add(-1)
	if s.transactions.Add(1) > engine.MaxQueued {
		return errTooManyWriters
	}
	var failed error
	err := s.write.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		failed = fn(tx)
		return failed
		// A server may be configured for another isolation; under a stricter one, a row that was waited for could not be
		// read as it now is.
	}, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if failed == nil && err == nil {
		s.wakeSequencer()
	}
	if failed != nil || err == nil {
		return failed
	}
	return databaseError(ctx, "running the transaction", err)
}
