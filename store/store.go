package store

import (
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

	"github.com/dragoman-id/dragoman/store/recent"
	"github.com/dragoman-id/dragoman/store/semaphore"
)

// Config is what a store needs to know.
type Config struct {
	// URL names the database: "sqlite:" and the path of a file, which is created if absent, a "postgres://" or
	// "postgresql://" connection URL, or [InMemory].
	URL string
	// Existing forbids to create anything: Open returns ErrNoDirectory where there is no directory.
	Existing bool
	// SecretKey is the key of 32 bytes that seals secrets at rest. A database is opened only with the key that it was
	// written with; otherwise the error is ErrSecretKey.
	SecretKey []byte
	// OldSecretKeys are further keys of 32 bytes, which open what they have sealed and seal nothing; see [Store.Rekey].
	OldSecretKeys [][]byte
	// Patience is for a database that is not there yet.
	Patience Patience
	// RememberedUsers is how many users that were read or written in the last minutes are cached, at about a kilobyte each, so that an
	// update need not read them first. Nil means [DefaultRememberedUsers]; with 0 or less none are.
	RememberedUsers *int
	// Now is the clock for CreatedAt and UpdatedAt; nil means time.Now.
	Now func() time.Time
	// Observer is told what the store does.
	Observer Observer
	// Random is where the bits of new UUIDs and access tokens come from; nil means crypto/rand.Reader. It is read by several
	// goroutines at once and must not fail. What seals secrets is always crypto/rand's.
	Random io.Reader
}

// Store is an open user directory. Its methods may be called by many goroutines at once.
type Store struct {
	db          *database
	read, write *gorm.DB // over db.read and db.write
	find        *gorm.DB // over db.find
	catalogue   *Catalogue
	keys        *keyring
	recent      *recent.Cache[UserKey, *User]
	standings   *standings
	clock       func() time.Time // to measure time by
	now         func() time.Time // the clock, for columns
	observer    Observer
	random      io.Reader
	// transactions counts those that run or wait for a connection.
	transactions atomic.Int64
	// committed wakes the sequencer of the change feed.
	committed chan struct{}
}

// database is an opened engine: everything in which the two differ.
type database struct {
	// On SQLite write has a single connection and read has others; on Postgres they are the same pool.
	read, write *sql.DB
	// find is for what takes no time: single rows by their keys, and signs of life. Nothing slow uses its connections. In memory it
	// is the same pool as the others.
	find      *sql.DB
	dialector func(*sql.DB) gorm.Dialector
	engine    string // "sqlite" or "postgres"
	// migrate brings the schema up to date and returns the names of the migrations it applied. It may run in several
	// processes at once.
	migrate func(context.Context) ([]string, error)
	// checkExisting returns ErrNoDirectory if the database holds none. Nil where that was asked before it was opened.
	checkExisting func(context.Context) error
	// exclusively runs fn while no other program does so with this database. What fn does is not one transaction.
	exclusively func(ctx context.Context, fn func() error) error
	// reserveID makes sure that a table's generated ids never reach an id that is about to be inserted.
	reserveID func(tx *gorm.DB, table string, id int64) error
	// generateIDs returns n ids as the table generates them, ascending, for rows that tx is about to insert.
	generateIDs func(tx *gorm.DB, table string, n int) ([]int64, error)
	statements  *statements
	// queryRow reads the one row that one of them finds, or returns sql.ErrNoRows.
	queryRow func(ctx context.Context, db gorm.ConnPool, into []any, statement string, arguments ...any) error
	// finder does so on SQLite. Nil on Postgres.
	finder *sqliteFinder
	// lists limits how many list a customer's users by their ids, or read a history or the feed, at the same time, and searches how
	// many list users in any other way: some of these take long, and keep only each other waiting.
	lists, searches *semaphore.Semaphore
	// swap replaces a user and records the change in one step, or returns errOvertaken if the user is no longer as before.
	// Tx must be a transaction.
	swap func(ctx context.Context, tx *gorm.DB, before, after *User, change UserChange) error
	// groups make the same swap without a transaction around it, together with others that come at the same time.
	groups interface {
		swap(ctx context.Context, before, after *User, change UserChange) error
	}
	// lockFeed makes tx wait until it is the only one to number changes, and remain so until it ends. Nil where the engine
	// has one writer at a time anyway.
	lockFeed func(tx *gorm.DB) error
	// pendingOrder is the order in which changes get their numbers, as far as batches go: one that agrees with each user's
	// versions and that the index of those without a number has.
	pendingOrder string
	// lockKeys makes tx wait until it is the only one to record secret keys. Nil where lockFeed is.
	lockKeys func(tx *gorm.DB) error
	// release frees what is held beside the pools. Nil where there is nothing.
	release func() error
	// keep lets tx stand still for longer than the engine would suffer it. Nil where it does anyway.
	keep func(tx *gorm.DB) error
}

// CheckURL returns what is wrong with a Config's URL as far as its text tells, nil if nothing. It repeats nothing of it.
func CheckURL(url string) error {
	path, isFile := strings.CutPrefix(url, sqliteScheme)
	switch {
	case isFile && !isSQLitePath(path):
		return errSQLitePath
	case isFile:
		return nil
	case strings.HasPrefix(url, "postgres://"), strings.HasPrefix(url, "postgresql://"):
		_, err := parsePostgresURL(url)
		return err
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

func openDatabase(ctx context.Context, url string, o Observer) (*database, error) {
	if path, ok := strings.CutPrefix(url, sqliteScheme); ok {
		return openSQLite(ctx, path, o)
	}
	if strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://") {
		return openPostgres(ctx, url, o)
	}
	if url == InMemory {
		return openMemory(ctx, o)
	}
	return nil, badURL(url)
}

func (d *database) close() error {
	var released error
	if d.release != nil {
		released = d.release()
	}
	// The writer goes last: then it is the one that checkpoints SQLite's log and removes it. To close a pool again does nothing.
	return errors.Join(released, d.find.Close(), d.read.Close(), d.write.Close())
}

// Open opens the database, applies the migrations that it lacks and reads the catalogue of roles. Several programs may
// do so at the same moment. The error is ErrUnavailable when the database cannot be reached, and c's patience is over.
func Open(ctx context.Context, c Config) (*Store, error) {
	keys, err := newKeyring(c.SecretKey, c.OldSecretKeys...)
	if err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	var s *Store
	err = c.Patience.retry(ctx, func() error {
		if c.Existing {
			if err := CheckExisting(ctx, c.URL); err != nil {
				return err
			}
		}
		d, err := openDatabase(ctx, c.URL, c.Observer)
		if err != nil {
			return err
		}
		if c.Existing && d.checkExisting != nil {
			if err := d.checkExisting(ctx); err != nil {
				return errors.Join(err, d.close())
			}
		}
		if s, err = newStore(ctx, d, keys, c); err != nil {
			return errors.Join(err, d.close())
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	return s, nil
}

func newStore(ctx context.Context, d *database, keys *keyring, c Config) (*Store, error) {
	now := c.Now
	if now == nil {
		now = time.Now
	}
	s := &Store{db: d, keys: keys, standings: newStandings(), clock: now, now: func() time.Time { return inMillis(now()) }, observer: c.Observer, random: c.Random, committed: make(chan struct{}, 1)}
	if s.random == nil {
		s.random = rand.Reader
	}
	if _, err := d.migrate(ctx); err != nil {
		return nil, err
	}
	if err := d.refold(ctx, false); err != nil {
		return nil, err
	}
	var err error
	if s.write, err = d.session(d.write); err != nil {
		return nil, err
	}
	if s.read, err = d.session(d.read); err != nil {
		return nil, err
	}
	if s.find, err = d.session(d.find); err != nil {
		return nil, err
	}
	if err := s.checkKeys(ctx); err != nil {
		return nil, err
	}
	var roles []Role
	if err := s.read.WithContext(ctx).Order("id").Find(&roles).Error; err != nil {
		return nil, databaseError(ctx, "reading the catalogue of roles", err)
	}
	s.catalogue = newCatalogue(roles)
	remembered := DefaultRememberedUsers
	if c.RememberedUsers != nil {
		remembered = *c.RememberedUsers
	}
	s.recent = recent.New[UserKey, *User](2*remembered, rememberedFor) // a user has two keys
	return s, nil
}

func (d *database) session(pool *sql.DB) (*gorm.DB, error) {
	return gorm.Open(d.dialector(pool), &gorm.Config{
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
// older version may have written some by its own rules.
func Migrate(ctx context.Context, url string, p Patience) (applied []string, err error) {
	err = p.retry(ctx, func() error {
		d, err := openDatabase(ctx, url, Observer{})
		if err != nil {
			return err
		}
		now, err := d.migrate(ctx)
		applied = append(applied, now...)
		if err == nil {
			err = d.refold(ctx, true)
		}
		return errors.Join(err, d.close())
	})
	if err != nil {
		return applied, fmt.Errorf("migrating: %w", err)
	}
	return applied, nil
}

// Close waits for running statements and closes the database. The store cannot be used afterwards.
func (s *Store) Close() error {
	s.recent.Close()
	if err := s.db.close(); err != nil {
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
// returned as it is. The error is an ErrUnavailable when too many transactions wait already.
func (s *Store) transaction(ctx context.Context, fn func(tx *gorm.DB) error) error {
	defer s.transactions.Add(-1)
	if s.transactions.Add(1) > maxQueued {
		return fmt.Errorf("waiting for other writers: %w: the queue is full", ErrUnavailable)
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
