package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dragoman-id/dragoman/store/engine"
)

// minVersion is the oldest Postgres that the statements are written for.
const minVersion = 12

// sessions prepares new connections and rejects those to an unsuitable server.
//
// A pooler such as PgBouncer may run each transaction of a connection on another server connection. State of the session, that is named
// prepared statements and settings, is then missing or another client's. The mode of a pooler cannot be queried, but every known pooler
// gives its clients a process id that is not the server's. Behind a pooler statements are sent without a name, so that the server parses
// them at each execution.
type sessions struct {
	modeChosen bool // by default_query_exec_mode in the URL
	pooled     atomic.Bool
	checked    atomic.Bool  // the database is open; [checkPooler] causes the errors that watch looks for
	warn       func(string) // may be nil
	warned     sync.Once
}

// The codes by which a pooler shows that it runs the transactions of a connection on several server connections: a statement is
// prepared already, or is not, or another one has its name. PgBouncer uses protocolViolation for almost every refusal.
const (
	duplicatePreparedStatement = "42P05"
	invalidStatementName       = "26000"
	protocolViolation          = "08P01"
)

// losesStatement reports whether a statement was not run because its connection has lost its prepared statements.
func losesStatement(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code == duplicatePreparedStatement || e.Code == invalidStatementName)
}

// watch recognizes a pooler by the errors of c, an established connection, and returns false if c must be closed. New connections then
// use no prepared statements, unless the URL asks for them. The first such error is reported with its remedy.
func (s *sessions) watch(c *pgconn.PgConn, e *pgconn.PgError) (usable bool) {
	if established := c.TxStatus() != 0; !established || !s.checked.Load() || !losesStatement(e) && e.Code != protocolViolation {
		return true
	}
	s.pooled.Store(true)
	remedy := "statements are sent without names from now on; add default_query_exec_mode=cache_describe to the URL in --database (DRAGOMAN_DATABASE) to do so from the start"
	switch {
	case s.modeChosen:
		remedy = "set default_query_exec_mode=cache_describe in the URL in --database (DRAGOMAN_DATABASE)"
	case e.Code == protocolViolation:
		remedy = "see the pooler's log and its pool_mode; if it loses statements, add default_query_exec_mode=cache_describe to the URL in --database (DRAGOMAN_DATABASE)"
	}
	s.warned.Do(func() {
		if s.warn != nil {
			s.warn("a pooler seems to run transactions of a connection on several server connections (" + e.Code + "): " + remedy)
		}
	})
	return !losesStatement(e)
}

// beforeConnect chooses how statements are sent. In both modes the types of their parameters are requested first.
func (s *sessions) beforeConnect(ctx context.Context, c *pgx.ConnConfig) error {
	if g, ok := ctx.Value(guardKey{}).(*guard); ok {
		g.beforeConnect(c)
	}
	if s.pooled.Load() && !s.modeChosen {
		c.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	return nil
}

// sessionState queries the properties of a new connection in one round trip. It changes settings only on a direct connection, as behind
// a pooler they would affect other clients: idle transactions are ended after $2 milliseconds, unless $2 is empty, and the isolation
// level is the one that the statements require. A coordinator of Citus writes strings for its workers as standard_conforming_strings says,
// which it does not tell them. These are not startup parameters, because PgBouncer rejects unknown ones.
//
// The leading comment hides the statement from the observer, as with the pool's pings.
const sessionState = `-- session
SELECT pg_backend_pid() <> $1::bigint,
	CASE WHEN pg_backend_pid() = $1::bigint THEN set_config('default_transaction_isolation', 'read committed', false) END,
	CASE WHEN pg_backend_pid() = $1::bigint THEN set_config('standard_conforming_strings', 'on', false) END,
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
	var isolation, strings, timeout *string
	var version int
	var serverEncoding, clientEncoding string
	// This mode works with every pooler.
	err := c.QueryRow(ctx, sessionState, pgx.QueryExecModeExec, int64(c.PgConn().PID()), idle).
		Scan(&pooled, &isolation, &strings, &timeout, &version, &serverEncoding, &clientEncoding)
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

// unsuitableError: the database answers, but its configuration is not supported. It is an [engine.ErrUnavailable], and retrying does not
// help.
type unsuitableError struct{ reason string }

func (e *unsuitableError) Error() string { return e.reason }

// Is reports true for [engine.ErrUnavailable].
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

// SimpleProtocol reports whether a URL that pgx can read has statements sent by the simple protocol, in which those of a round trip are one
// text.
func SimpleProtocol(url string) bool {
	config, err := pgx.ParseConfig(url)
	return err == nil && config.DefaultQueryExecMode == pgx.QueryExecModeSimpleProtocol
}
