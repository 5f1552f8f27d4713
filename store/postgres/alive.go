package postgres

import (
	"context"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

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
