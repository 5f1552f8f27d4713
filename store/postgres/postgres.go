// Package postgres stores a model in PostgreSQL: it connects, also through a pooler, rejects unsuitable servers, migrates the schema, and
// sends concurrent statements in batches.
//
// It knows no table of the model: tables are given as an [engine.Schema], and statements as [engine.SQL].
package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store/engine"
)

// Name is the name of this engine.
const Name = "postgres"

// DefaultConnections is how many connections a database opens at most unless Options say otherwise: well below the server's default
// of 100, and more statements than such a server runs at once. MinConnections is the least.
const (
	DefaultConnections = 16
	MinConnections     = 6
)

// sizes are the sizes of the pools of a database with n connections. finders of them only read single rows by key, so that neither
// lists nor writers that wait for a lock delay authentication and reads of single users: at most one for each batch of queries, and one
// for health checks. Lists and searches use at most lists of the others each, a third, which leaves connections for writers.
func sizes(n int) (others, finders, lists int) {
	finders = min(maxBatches+1, max(2, n/3))
	others = n - finders
	return others, finders, (others + 1) / 3
}

// Database is an open PostgreSQL database. It implements [engine.Database].
type Database struct {
	schema   engine.Schema
	pools    engine.Pools
	reporter engine.Reporter
	reads    engine.Queue[*query]
	writes   engine.Queue[*step]
	texts    texts
	settled  atomic.Pointer[settled]
}

// Open connects to the database at url. The errors of a URL repeat nothing of it but hosts, ports and the database's name.
func Open(ctx context.Context, url string, o engine.Options) (*Database, error) {
	config, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	d := &Database{schema: o.Schema, reporter: engine.Reporter{
		Observe: o.Observe, Kind: Kind, IsDuplicate: func(err error) bool { return errors.Is(translate(err), gorm.ErrDuplicatedKey) },
	}}
	if d.reporter.Observed() {
		config.Tracer = tracer{d.reporter}
	}
	connections := cmp.Or(o.Connections, DefaultConnections)
	others, finders, lists := sizes(connections)
	sessions := &sessions{modeChosen: choosesMode(url), warn: o.Warn}
	usable := config.OnPgError
	config.OnPgError = func(c *pgconn.PgConn, e *pgconn.PgError) bool { return sessions.watch(c, e) && usable(c, e) }
	unattended, hosts := &unattended{most: connections}, &hosts{}
	pool := func(n int) *sql.DB {
		db := sql.OpenDB(connector{stdlib.GetConnector(*config, stdlib.OptionBeforeConnect(sessions.beforeConnect),
			stdlib.OptionAfterConnect(sessions.afterConnect), stdlib.OptionShouldPing(dead)), unattended, hosts})
		db.SetMaxOpenConns(n)
		db.SetMaxIdleConns(n)
		db.SetConnMaxIdleTime(5 * time.Minute)
		return db
	}
	db := pool(others)
	d.pools = engine.Pools{Read: db, Write: db, Find: pool(finders), Lists: engine.NewReaders(lists), Searches: engine.NewReaders(lists)}
	d.reads = engine.Queue[*query]{Jobs: "readers", Run: d.read, MaxBatch: maxReads, MaxRunning: maxBatches, StallAfter: stallAfter}
	d.writes = engine.Queue[*step]{Jobs: "writers", Run: d.write, MaxBatch: maxWrites, MaxRunning: maxBatches, StallAfter: stallAfter}
	if err := d.check(ctx, config, sessions, o.Existing); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	sessions.checked.Store(true)
	return d, nil
}

// check returns an error unless the database can be used.
func (d *Database) check(ctx context.Context, config *pgx.ConnConfig, s *sessions, existing bool) error {
	for _, p := range []*sql.DB{d.pools.Write, d.pools.Find} {
		if err := p.PingContext(ctx); err != nil {
			return wrap(ctx, "connecting", err)
		}
	}
	if s.pooled.Load() {
		mode := pgx.QueryExecModeCacheDescribe
		if s.modeChosen {
			mode = config.DefaultQueryExecMode
		}
		if err := checkPooler(ctx, d.pools.Write, mode); err != nil {
			return err
		}
	}
	if existing {
		return d.checkExisting(ctx)
	}
	return nil
}

// checkExisting returns the schema's Absent unless the current schema of new connections has its tables.
func (d *Database) checkExisting(ctx context.Context) error {
	var name string
	var schema sql.NullString
	var found int
	err := d.pools.Write.QueryRowContext(ctx, "SELECT current_database(), current_schema(), "+
		"(SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = ANY ($1))", d.schema.Tables).
		Scan(&name, &schema, &found)
	switch {
	case err != nil:
		return wrap(ctx, "looking for the schema", err)
	case found != len(d.schema.Tables):
		return fmt.Errorf("%w: the schema %q of the PostgreSQL database %q holds none", d.schema.Absent, schema.String, name)
	}
	return nil
}

// Name returns Name.
func (d *Database) Name() string { return Name }

// Dialector returns gorm's for one of the database's pools.
func (d *Database) Dialector(pool *sql.DB) gorm.Dialector {
	return postgres.New(postgres.Config{Conn: gormPool{pool}})
}

// Pools returns the pools. One both reads and writes.
func (d *Database) Pools() engine.Pools { return d.pools }

// PoolStates returns the state of each pool.
func (d *Database) PoolStates() []engine.PoolState {
	return []engine.PoolState{
		engine.StateOf("read_write", d.pools.Write, d.pools.Lists, d.pools.Searches),
		engine.StateOf("find", d.pools.Find),
	}
}

// The statements that take an advisory lock that is specific to this schema, until the transaction ends, and that try to.
const (
	lockName    = "SELECT pg_advisory_xact_lock(" + lockKey + ")"
	tryLockName = "SELECT pg_try_advisory_xact_lock(" + lockKey + ")"
	lockKey     = "hashtext(?), hashtext(current_schema())"
)

// allowIdle disables the timeout of an idle transaction.
const allowIdle = "SET LOCAL idle_in_transaction_session_timeout = 0"

// Lock takes an advisory lock that is specific to this schema.
func (d *Database) Lock(tx *gorm.DB, name string) error { return tx.Exec(lockName, name).Error }

// AllowIdle switches idle_in_transaction_session_timeout off for tx.
func (d *Database) AllowIdle(tx *gorm.DB) error { return tx.Exec(allowIdle).Error }

// Purge does nothing: only VACUUM removes from a table's files what was overwritten and deleted, and takes long.
func (d *Database) Purge(context.Context) error { return nil }

// Close closes the connections.
func (d *Database) Close() error { return errors.Join(d.pools.Find.Close(), d.pools.Write.Close()) }
