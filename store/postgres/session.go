package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dragoman-id/dragoman/store/engine"
)

// minVersion is the oldest Postgres that the statements are written for.
const minVersion = 12

// sessions prepares new connections and refuses those to a server that cannot be used.
//
// A pooler such as PgBouncer may run each transaction of a connection on another server connection. What a session keeps there
// is then lost or found twice: named prepared statements, and settings. Nothing tells the mode of a pooler, but every pooler
// known makes up the process id that it gives to its clients. Behind one, statements are sent without a name, which costs the
// server their parsing at each execution. On a direct connection nothing changes.
type sessions struct {
	modeChosen bool // by default_query_exec_mode in the URL
	pooled     atomic.Bool
}

// beforeConnect chooses how statements are sent. Either way Postgres is asked for the types of their parameters first.
func (s *sessions) beforeConnect(_ context.Context, c *pgx.ConnConfig) error {
	if s.pooled.Load() && !s.modeChosen {
		c.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	return nil
}

// sessionState asks in one round trip for all that must be known of a new connection. Only where no pooler lies between does it
// make settings, as they would be others' too: transactions that stand still are ended after the milliseconds in $2, unless
// these are empty, and the isolation is the one that the statements are written for. These are no start-up parameters, as
// PgBouncer refuses those that it does not know.
//
// The comment keeps it from the observer, like the pool's pings.
const sessionState = `-- session
SELECT pg_backend_pid() <> $1::bigint,
	CASE WHEN pg_backend_pid() = $1::bigint THEN set_config('default_transaction_isolation', 'read committed', false) END,
	CASE WHEN pg_backend_pid() = $1::bigint AND $2 <> '' THEN set_config('idle_in_transaction_session_timeout', $2, false) END,
	current_setting('server_version_num')::bigint / 10000, current_setting('server_encoding'), current_setting('client_encoding')`

// afterConnect prepares a connection, or closes it and returns an *unsuitableError.
func (s *sessions) afterConnect(ctx context.Context, c *pgx.Conn) error {
	err := s.prepare(ctx, c)
	if err != nil {
		return errors.Join(err, c.Close(ctx))
	}
	watchSocket(c.PgConn())
	return nil
}

func (s *sessions) prepare(ctx context.Context, c *pgx.Conn) error {
	idle := fmt.Sprint(idleTransactionTimeout.Milliseconds())
	if _, set := c.Config().RuntimeParams["idle_in_transaction_session_timeout"]; set {
		idle = ""
	}
	var pooled bool
	var isolation, timeout *string
	var version int
	var serverEncoding, clientEncoding string
	// This mode works whatever lies between.
	err := c.QueryRow(ctx, sessionState, pgx.QueryExecModeExec, int64(c.PgConn().PID()), idle).
		Scan(&pooled, &isolation, &timeout, &version, &serverEncoding, &clientEncoding)
	if err != nil {
		return fmt.Errorf("preparing the connection: %w", err)
	}
	if err := suitable(version, serverEncoding, clientEncoding); err != nil {
		return err
	}
	if pooled && !s.pooled.Swap(true) && !s.modeChosen {
		// database/sql connects again, and then in the other mode.
		return driver.ErrBadConn
	}
	return nil
}

// suitable returns what is wrong with a server.
func suitable(version int, serverEncoding, clientEncoding string) error {
	switch {
	case version < minVersion:
		return &unsuitableError{fmt.Sprintf("the server is PostgreSQL %d: use version %d or later", version, minVersion)}
	case serverEncoding != "UTF8":
		return &unsuitableError{fmt.Sprintf("the database's encoding is %s, which cannot hold every text: create one with CREATE DATABASE "+
			"name ENCODING 'UTF8' TEMPLATE template0, and name it in --database (DRAGOMAN_DATABASE)", serverEncoding)}
	case clientEncoding != "UTF8":
		return &unsuitableError{fmt.Sprintf("client_encoding is set to %s and must be UTF8: remove it from the URL in --database "+
			"(DRAGOMAN_DATABASE), from PGOPTIONS, and from the role and the database with ALTER ROLE name RESET client_encoding and "+
			"ALTER DATABASE name RESET client_encoding", clientEncoding)}
	}
	return nil
}

// unsuitableError is a database that answers and cannot be used as it is set up. It is an [engine.ErrUnavailable] that no waiting mends.
type unsuitableError struct{ reason string }

func (e *unsuitableError) Error() string { return e.reason }

// Is makes it an [engine.ErrUnavailable].
func (e *unsuitableError) Is(target error) bool { return target == engine.ErrUnavailable }

// choosesMode reports whether a URL that pgx can read says how statements are sent.
func choosesMode(url string) bool {
	config, err := pgconn.ParseConfig(url) // which leaves to pgx what pgx knows
	if err != nil {
		return false
	}
	_, chosen := config.RuntimeParams["default_query_exec_mode"]
	return chosen
}
