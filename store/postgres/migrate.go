package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"

	"github.com/dragoman-id/dragoman/store/engine"
)

// Migrate applies the migrations that the schema lacks.
func (d *Database) Migrate(ctx context.Context) (applied []string, err error) {
	db := d.pools.Write
	var schema sql.NullString
	var readOnly, mayCreate bool
	err = db.QueryRowContext(ctx, "SELECT current_schema(), current_setting('transaction_read_only') = 'on', "+
		"coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)").Scan(&schema, &readOnly, &mayCreate)
	if err != nil {
		return nil, wrap(ctx, "asking for the schema", err)
	}
	if !schema.Valid {
		return nil, &unsuitableError{"the role of --database (DRAGOMAN_DATABASE) can use no schema of its search_path: create one, or run " +
			"GRANT USAGE, CREATE ON SCHEMA name TO role"}
	}
	// Servers that start on an up-to-date schema do not wait for one another.
	due, err := d.MigrationsDue(ctx)
	if err != nil || !due {
		return nil, err
	}
	if readOnly || !mayCreate {
		// goose would try to create its table, several times.
		return nil, dueMigrations(schema.String, readOnly)
	}
	err = d.Exclusively(ctx, "dragoman.migrations", func() (err error) {
		applied, err = d.schema.Apply(ctx, Name, goose.DialectPostgres, db)
		return err
	})
	if err != nil {
		return applied, wrap(ctx, "applying migrations", err)
	}
	return applied, nil
}

// MigrationsDue reports whether the schema lacks a migration.
func (d *Database) MigrationsDue(ctx context.Context) (due bool, err error) {
	latest, err := d.schema.Latest(Name)
	if err != nil {
		return false, err
	}
	db := d.pools.Write
	err = db.QueryRowContext(ctx, "SELECT to_regclass('"+engine.VersionTable+"') IS NULL").Scan(&due)
	if err == nil && !due {
		err = db.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) < $1 FROM "+engine.VersionTable+" WHERE is_applied", latest).Scan(&due)
	}
	if err != nil {
		return false, wrap(ctx, "asking for the schema's version", err)
	}
	return due, nil
}

// dueMigrations is the error for migrations that are due where none can be applied: on a server that only reads, or by a role that may
// not create tables.
func dueMigrations(schema string, readOnly bool) error {
	if readOnly {
		return &unsuitableError{"the server only reads and migrations are due: name the one that takes writes in --database (DRAGOMAN_DATABASE)"}
	}
	return &unsuitableError{fmt.Sprintf("migrations are due and the role of --database (DRAGOMAN_DATABASE) may not create tables: have the owner of "+
		"the schema run GRANT CREATE ON SCHEMA %s TO role, or name a role that may, such as the owner of the tables", pgx.Identifier{schema}.Sanitize())}
}

// lockPause is the pause between two attempts to take a lock. An attempt that waited inside a statement would keep a connection of a
// pooler that the holder of the lock may need, and block CREATE INDEX CONCURRENTLY.
const lockPause = 100 * time.Millisecond

// Exclusively runs fn while no other process does so in this schema under the same name. The lock belongs to a transaction that stays
// open meanwhile, since a session's lock would remain on the server connection that a pooler assigns to another client.
func (d *Database) Exclusively(ctx context.Context, name string, fn func() error) error {
	for {
		tx, err := d.tryLock(ctx, name)
		if err != nil {
			return err
		}
		if tx != nil {
			return errors.Join(fn(), unlock(tx))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for another process: %w", ctx.Err())
		case <-time.After(lockPause):
		}
	}
}

// tryLock returns a transaction that holds the lock of this name, or nil if another one does.
func (d *Database) tryLock(ctx context.Context, name string) (*sql.Tx, error) {
	tx, err := d.pools.Write.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	locked := false
	if _, err = tx.ExecContext(ctx, allowIdle); err == nil {
		err = tx.QueryRowContext(ctx, numbered(tryLockName), name).Scan(&locked)
	}
	if err != nil || !locked {
		return nil, errors.Join(err, tx.Rollback())
	}
	return tx, nil
}

// unlock ends the transaction of a lock.
func unlock(tx *sql.Tx) error {
	if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) { // as when the context has ended
		return err
	}
	return nil
}
