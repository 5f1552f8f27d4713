package postgres

import (
	"context"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// Limits on dead connections. The URL's connect_timeout and idle_in_transaction_session_timeout take precedence.
const (
	// connectTimeout is for one address. A URL may name several, and all of them are tried within one request's timeout.
	connectTimeout = 3 * time.Second
	// aliveTimeout limits the ping of a connection that was idle for more than aliveFor. The network may have dropped it
	// silently.
	aliveTimeout = 2 * time.Second
	aliveFor     = time.Second
	// unacknowledgedTimeout is how long the other end may leave what was sent to it unacknowledged.
	unacknowledgedTimeout = 20 * time.Second
	// idleTransactionTimeout is how long Postgres keeps a transaction open, and its rows locked, without a statement from
	// the client. The pauses between the statements of a transaction here are much shorter.
	idleTransactionTimeout = 10 * time.Second
)

// keepAlive detects a dead idle connection within half a minute.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}

// connecting configures connections to detect that they are dead, and to close when the server has become read-only.
func connecting(config *pgx.ConnConfig) {
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	config.DialFunc = (&net.Dialer{Timeout: config.ConnectTimeout, KeepAliveConfig: keepAlive, Control: boundUnacknowledged}).DialContext
	usable := config.OnPgError
	config.OnPgError = func(c *pgconn.PgConn, e *pgconn.PgError) bool {
		// Another server may be the primary now. A new connection looks for it if target_session_attrs is set.
		return e.Code != readOnlyTransaction && usable(c, e)
	}
}

// dead reports whether a connection that is about to be used does not answer a ping. It pings after a long idle time, and when there
// is unexpected input, as when the server has closed the connection. A failed ping closes the connection, so that the ping of pgx
// (5.12), which calls this function to decide whether to ping, fails immediately.
func dead(ctx context.Context, p stdlib.ShouldPingParams) bool {
	if p.IdleDuration <= aliveFor && !hasNews(p.Conn.PgConn()) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, aliveTimeout)
	defer cancel()
	return p.Conn.PgConn().Ping(ctx) != nil
}
