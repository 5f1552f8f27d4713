package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/dragoman-id/dragoman/store/engine"
)

// Migrate applies the migrations that the schema lacks.
func (d *Database) Migrate(ctx context.Context) ([]string, error) {
	db := d.pools.Write
	var schema sql.NullString
	var readOnly, mayCreate bool
	err := db.QueryRowContext(ctx, "SELECT current_schema(), current_setting('transaction_read_only') = 'on', "+
		"coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)").Scan(&schema, &readOnly, &mayCreate)
	if err != nil {
		return nil, wrap(ctx, "asking for the schema", err)
	}
	if !schema.Valid {
		return nil, &unsuitableError{"the role of --database (DRAGOMAN_DATABASE) can use no schema of its search_path: create one, or run " +
			"GRANT USAGE, CREATE ON SCHEMA name TO role"}
	}
	if readOnly || !mayCreate {
		// goose would try to create its table, several times.
		return nil, d.checkMigrated(ctx, schema.String, readOnly)
	}
	// Advisory locks belong to the database, and different schemas need not wait for each other.
	id := lock.DefaultLockID ^ int64(crc32.ChecksumIEEE([]byte(schema.String)))<<32
	applied, err := d.schema.Apply(ctx, Name, goose.DialectPostgres, db, goose.WithLocker(&migrationLock{id: id}))
	if err != nil {
		return applied, wrap(ctx, "applying migrations", err)
	}
	return applied, nil
}

// checkMigrated returns an *unsuitableError if migrations are due where none can be applied: on a server that only reads, or by a role
// that may not create tables.
func (d *Database) checkMigrated(ctx context.Context, schema string, readOnly bool) error {
	db, due := d.pools.Write, true
	latest, err := d.schema.Latest(Name)
	if err != nil {
		return err
	}
	err = db.QueryRowContext(ctx, "SELECT to_regclass('"+engine.VersionTable+"') IS NULL").Scan(&due)
	if err == nil && !due {
		err = db.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) < $1 FROM "+engine.VersionTable+" WHERE is_applied", latest).Scan(&due)
	}
	switch {
	case err != nil:
		return wrap(ctx, "asking for the schema's version", err)
	case due && readOnly:
		return &unsuitableError{"the server only reads and migrations are due: name the one that takes writes in --database (DRAGOMAN_DATABASE)"}
	case due:
		return &unsuitableError{fmt.Sprintf("migrations are due and the role of --database (DRAGOMAN_DATABASE) may not create tables: have the owner of "+
			"the schema run GRANT CREATE ON SCHEMA %s TO role, or name a role that may, such as the owner of the tables", pgx.Identifier{schema}.Sanitize())}
	}
	return nil
}

// migrationLock is an advisory lock of a transaction of its own. A session's lock would remain on the server connection that a pooler
// may assign to another client after each transaction.
type migrationLock struct {
	id int64
	tx *sql.Tx
}

// lockPause is the pause between two attempts. An attempt that waited inside a statement would block CREATE INDEX CONCURRENTLY.
const lockPause = 250 * time.Millisecond

// Lock waits until the lock is free or ctx ends.
func (l *migrationLock) Lock(ctx context.Context, db *sql.DB) error {
	for {
		locked, err := l.try(ctx, db)
		if locked || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for other migrations: %w", ctx.Err())
		case <-time.After(lockPause):
		}
	}
}

func (l *migrationLock) try(ctx context.Context, db *sql.DB) (locked bool, err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	err = tx.QueryRowContext(ctx, "SELECT pg_try_advisory_xact_lock($1), set_config('idle_in_transaction_session_timeout', '0', true)", l.id).
		Scan(&locked, new(string))
	if err != nil || !locked {
		return false, errors.Join(err, tx.Rollback())
	}
	l.tx = tx
	return true, nil
}

// Unlock ends the transaction.
func (l *migrationLock) Unlock(context.Context, *sql.DB) error {
	if err := l.tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) { // as when the context has ended
		return err
	}
	return nil
}

// Exclusively runs fn while no other process does so in this schema under the same name. The lock belongs to a transaction, so that it
// works behind a pooler.
func (d *Database) Exclusively(ctx context.Context, name string, fn func() error) (err error) {
	tx, err := d.pools.Write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	if _, err := tx.ExecContext(ctx, allowIdle); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, numbered(lockName), name); err != nil {
		return err
	}
	return fn()
}
