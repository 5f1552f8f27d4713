package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
)

// maxPostgresConns is how many connections a store opens at most: well below the server's default of 100, and more than a
// server of that size runs at once. maxPostgresFinders of them only read single rows by their keys, so that neither lists nor
// writers that wait for a lock keep anybody from being admitted or read: one for each group of queries, and one for signs of life.
// Lists and searches have maxPostgresLists each, which leaves some of the rest to writers.
const (
	maxPostgresConns   = 16
	maxPostgresFinders = maxPostgresGroups + 1
	maxPostgresLists   = 4
)

func openPostgres(ctx context.Context, url string, o Observer) (*database, error) {
	config, err := parsePostgresURL(url)
	if err != nil {
		return nil, err
	}
	if o.watches() {
		config.Tracer = postgresTracer{o}
	}
	sessions := &postgresSessions{modeChosen: choosesMode(url)}
	pool := func(n int) *sql.DB {
		db := sql.OpenDB(discreetConnector{stdlib.GetConnector(*config, stdlib.OptionBeforeConnect(sessions.beforeConnect),
			stdlib.OptionAfterConnect(sessions.afterConnect), stdlib.OptionShouldPing(dead))})
		db.SetMaxOpenConns(n)
		db.SetMaxIdleConns(n)
		db.SetConnMaxIdleTime(5 * time.Minute)
		return db
	}
	db, find := pool(maxPostgresConns-maxPostgresFinders), pool(maxPostgresFinders)
	for _, p := range []*sql.DB{db, find} {
		if err := p.PingContext(ctx); err != nil {
			return nil, errors.Join(databaseError(ctx, "connecting", err), db.Close(), find.Close())
		}
	}
	if sessions.pooled.Load() {
		mode := pgx.QueryExecModeCacheDescribe
		if sessions.modeChosen {
			mode = config.DefaultQueryExecMode
		}
		if err := checkPooler(ctx, db, mode); err != nil {
			return nil, errors.Join(err, db.Close(), find.Close())
		}
	}
	groups := newPostgresGroups(find, db, o)
	return &database{
		read:          db,
		write:         db,
		find:          find,
		engine:        "postgres",
		dialector:     func(db *sql.DB) gorm.Dialector { return postgres.New(postgres.Config{Conn: postgresPool{db}}) },
		migrate:       func(ctx context.Context) ([]string, error) { return migratePostgres(ctx, db) },
		exclusively:   func(ctx context.Context, fn func() error) error { return lockedPostgres(ctx, db, fn) },
		checkExisting: func(ctx context.Context) error { return checkExistingSchema(ctx, db) },
		reserveID:     reservePostgresID,
		generateIDs:   generatePostgresIDs,
		pendingOrder:  "version, user_id",
		lockFeed:      lockPostgresFeed,
		lockKeys:      func(tx *gorm.DB) error { return tx.Exec("LOCK TABLE secret_keys IN SHARE ROW EXCLUSIVE MODE").Error },
		statements:    postgresStatements,
		queryRow:      groups.queryRow,
		lists:         newReaders(maxPostgresLists),
		searches:      newReaders(maxPostgresLists),
		swap:          swapPostgres,
		groups:        groups,
		keep:          keepPostgresTransaction,
	}, nil
}

// What is found out about connections to Postgres, and when. The URL's connect_timeout and
// idle_in_transaction_session_timeout have their way.
const (
	// connectTimeout is for one address; a URL may name several, and all of them are tried within one request's time.
	connectTimeout = 3 * time.Second
	// aliveTimeout is how long a connection that was idle for more than aliveFor may take to show that it is not dead. What
	// lies between may have dropped it without a word.
	aliveTimeout = 2 * time.Second
	aliveFor     = time.Second
	// unacknowledgedTimeout is how long the other end may leave what was sent to it unacknowledged.
	unacknowledgedTimeout = 20 * time.Second
	// idleTransactionTimeout is how long Postgres keeps a transaction, and the rows that it holds, for a server from which
	// nothing comes any more. What is done between the statements of one takes no time worth mentioning.
	idleTransactionTimeout = 10 * time.Second
)

// keepAlive finds out within half a minute that the other end of a connection without a request on it is gone.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}

// connecting makes config's connections notice when they are dead, or lead to a database that is the wrong one by now.
func connecting(config *pgx.ConnConfig) {
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	config.DialFunc = (&net.Dialer{Timeout: config.ConnectTimeout, KeepAliveConfig: keepAlive, Control: boundUnacknowledged}).DialContext
	usable := config.OnPgError
	config.OnPgError = func(c *pgconn.PgConn, e *pgconn.PgError) bool {
		// Another may be the primary now. A new connection asks for it, if target_session_attrs says so.
		return e.Code != readOnlyTransaction && usable(c, e)
	}
}

// dead reports whether a connection that is about to be used does not answer. It is asked after a long time, and when something
// has come over it that nobody asked for, as when the server ended it. It is then closed, so that pgx (5.12), which takes this to
// be the question whether to ping it, finds out at once.
func dead(ctx context.Context, p stdlib.ShouldPingParams) bool {
	if p.IdleDuration <= aliveFor && !hasNews(p.Conn.PgConn()) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, aliveTimeout)
	defer cancel()
	return p.Conn.PgConn().Ping(ctx) != nil
}

func migratePostgres(ctx context.Context, db *sql.DB) ([]string, error) {
	var schema sql.NullString
	var readOnly, mayCreate bool
	err := db.QueryRowContext(ctx, "SELECT current_schema(), current_setting('transaction_read_only') = 'on', "+
		"coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)").Scan(&schema, &readOnly, &mayCreate)
	if err != nil {
		return nil, databaseError(ctx, "asking for the schema", err)
	}
	if !schema.Valid {
		return nil, &unsuitableError{"the role of --database (DRAGOMAN_DATABASE) can use no schema of its search_path: create one, or run " +
			"GRANT USAGE, CREATE ON SCHEMA name TO role"}
	}
	if readOnly || !mayCreate {
		// goose would try to create its table, several times.
		return nil, checkMigrated(ctx, db, schema.String, readOnly)
	}
	// Advisory locks are the database's, while directories in different schemas need not wait for each other.
	id := lock.DefaultLockID ^ int64(crc32.ChecksumIEEE([]byte(schema.String)))<<32
	return migrate(ctx, goose.DialectPostgres, db, goose.WithLocker(&migrationLock{id: id}))
}

// checkMigrated returns an *unsuitableError if migrations are due where none can be applied: on a server that only reads, or by a role
// that may not create tables.
func checkMigrated(ctx context.Context, db *sql.DB, schema string, readOnly bool) error {
	due := true
	latest, err := latestMigration(goose.DialectPostgres)
	if err != nil {
		return err
	}
	err = db.QueryRowContext(ctx, "SELECT to_regclass('"+goose.DefaultTablename+"') IS NULL").Scan(&due)
	if err == nil && !due {
		err = db.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) < $1 FROM "+goose.DefaultTablename+" WHERE is_applied", latest).Scan(&due)
	}
	switch {
	case err != nil:
		return databaseError(ctx, "asking for the schema's version", err)
	case due && readOnly:
		return &unsuitableError{"the server only reads and migrations are due: name the one that takes writes in --database (DRAGOMAN_DATABASE)"}
	case due:
		return &unsuitableError{fmt.Sprintf("migrations are due and the role of --database (DRAGOMAN_DATABASE) may not create tables: have the owner of "+
			"the schema run GRANT CREATE ON SCHEMA %s TO role, or name a role that may, such as the owner of the tables", pgx.Identifier{schema}.Sanitize())}
	}
	return nil
}

// migrationLock is an advisory lock that a transaction of its own holds: a session's would stay behind with a pooler that takes
// the server connection away between two transactions.
type migrationLock struct {
	id int64
	tx *sql.Tx
}

// lockPause is between two attempts. One that waited inside a statement would hold up CREATE INDEX CONCURRENTLY.
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

// lockedPostgres runs fn while no other program does so in this schema. The lock is a transaction's, so that it needs no session of
// its own behind a pooler.
func lockedPostgres(ctx context.Context, db *sql.DB, fn func() error) (err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	for _, statement := range []string{
		"SET LOCAL idle_in_transaction_session_timeout = 0",
		"SELECT pg_advisory_xact_lock(hashtext('dragoman.folds'), hashtext(current_schema()))",
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return fn()
}

// reservePostgresID moves the sequence of table's ids past id. It is named TABLE_id_seq, the default for an identity
// column.
//
// To move a sequence is no transactional thing: if another id were generated, or another move made, between reading and
// writing it, that would be taken back, and the id generated a second time. So it is done under a lock that keeps other
// inserts out. A sequence that is already past id needs none of it.
func reservePostgresID(tx *gorm.DB, table string, id int64) error {
	sequence := table + "_id_seq"
	behind := func() (behind bool, err error) {
		err = tx.Raw("SELECT last_value < ? OR NOT is_called FROM "+sequence, id).Row().Scan(&behind)
		return behind, err
	}
	if b, err := behind(); err != nil || !b {
		return err
	}
	if err := tx.Exec("LOCK TABLE " + table + " IN SHARE ROW EXCLUSIVE MODE").Error; err != nil {
		return err
	}
	if b, err := behind(); err != nil || !b {
		return err
	}
	return tx.Exec("SELECT setval('"+sequence+"', ?)", id).Error
}

// generatePostgresIDs takes ids from the sequence of table's ids.
func generatePostgresIDs(tx *gorm.DB, table string, n int) ([]int64, error) {
	rows, err := tx.Raw("SELECT nextval('"+table+"_id_seq') FROM generate_series(1, ?)", n).Rows()
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	ids := make([]int64, 0, n)
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// readOnlyTransaction is the code of a write where none is possible, as on a standby.
const readOnlyTransaction = "25006"

// postgresKind returns the kind of an error of Postgres's, nil if it has none or is no error of Postgres's.
// The codes are those of PostgreSQL's documentation, appendix A.
func postgresKind(err error) error {
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) || errors.Is(err, pgconn.ErrConnClosed) {
		return ErrUnavailable
	}
	var e *pgconn.PgError
	if !errors.As(err, &e) || len(e.Code) != 5 {
		return nil
	}
	switch e.Code {
	case "40001", "40P01", "55P03": // serialization failure, deadlock, lock not available
		return ErrBusy
	case readOnlyTransaction, "25P03", "25P04": // idle for too long in a transaction, transaction took too long
		return ErrUnavailable
	case "40003", "3D000": // whether a statement was completed is unknown, no such database
		return ErrUnavailable
	case "XX001", "XX002": // data or index corrupted, as by a bad disk
		return ErrUnavailable
	}
	switch e.Code[:2] {
	// Connection, authorization of it, insufficient resources, operator intervention, errors of the system such as I/O.
	case "08", "28", "53", "57", "58":
		return ErrUnavailable
	}
	return nil
}

// swapPostgres is the database's swap.
func swapPostgres(ctx context.Context, tx *gorm.DB, before, after *User, change UserChange) error {
	_, text, arguments, err := postgresSwap(before, after, change)
	if err != nil {
		return err
	}
	rows, err := exec(ctx, tx.Statement.ConnPool, text, arguments...)
	return swapped(ctx, rows, err)
}

// postgresSwap returns the statement that swaps a user and records the change, and the columns that it writes.
func postgresSwap(before, after *User, change UserChange) (set columnSet, text string, arguments []any, err error) {
	set = differing(before, after)
	arguments, err = appendRecord(swapArguments(set, before, after), &change)
	return set, postgresStatements.swapOf(swapFormOf(set, before)), arguments, err
}

// swapped returns the error of a statement that swapped so many users: errOvertaken if it was none.
func swapped(ctx context.Context, rows int64, err error) error {
	if err != nil {
		return databaseError(ctx, "updating user", postgres.Dialector{}.Translate(err))
	}
	if rows == 0 {
		return errOvertaken
	}
	return nil
}

// onPostgres runs fn on a connection of the pool as pgx has it, as database/sql knows no batches, and makes a function for each column
// of each result. Where the error is one that again reports, it runs fn on another connection.
func onPostgres(ctx context.Context, pool *sql.DB, again func(error) bool, fn func(*pgx.Conn) error) error {
	return whileLost(ctx, again, func() error {
		var c *sql.Conn
		err := whileLost(ctx, lost, func() (err error) {
			c, err = pool.Conn(ctx)
			return err
		})
		if err != nil {
			return err
		}
		err = c.Raw(func(driverConn any) error {
			err := fn(driverConn.(*stdlib.Conn).Conn())
			if err != nil && pgconn.SafeToRetry(err) {
				return errors.Join(driver.ErrBadConn, err)
			}
			return err
		})
		_ = c.Close() // gives it back; a bad one is closed already
		return err
	})
}

// queryPostgres reads the one row that a statement finds, or returns sql.ErrNoRows.
func queryPostgres(ctx context.Context, pool *sql.DB, into []any, statement string, arguments ...any) error {
	return onPostgres(ctx, pool, lost, func(c *pgx.Conn) error {
		return c.QueryRow(ctx, statement, arguments...).Scan(into...)
	})
}

// execPostgres runs a statement and returns how many rows it wrote.
func execPostgres(ctx context.Context, pool *sql.DB, statement string, arguments ...any) (rows int64, err error) {
	err = onPostgres(ctx, pool, unsent, func(c *pgx.Conn) error {
		tag, err := c.Exec(ctx, statement, arguments...)
		rows = tag.RowsAffected()
		return err
	})
	return rows, err
}

// keepPostgresTransaction lets a transaction be idle for as long as it wants, between two batches of a slow file.
func keepPostgresTransaction(tx *gorm.DB) error {
	return tx.Exec("SET LOCAL idle_in_transaction_session_timeout = 0").Error
}

// lockPostgresFeed takes an advisory lock of this schema's own.
func lockPostgresFeed(tx *gorm.DB) error {
	return tx.Exec("SELECT pg_advisory_xact_lock(hashtext('dragoman.feed'), hashtext(current_schema()))").Error
}

// postgresOvertook reports whether Postgres undid a transaction for the sake of another and expects it to be tried again.
func postgresOvertook(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code == "40001" || e.Code == "40P01")
}
