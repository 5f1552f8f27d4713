package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"
)

// A connection may end at any time: an administrator, a failover or the network ends it. A statement that was not sent yet is retried on
// another connection until its context ends. A query outside a transaction is retried even if it was sent, a limited number of times,
// as the query itself may crash the connection. When no connection can be established there is no retry.

// endedByAdministrator is the code with which a server ends a connection: pg_terminate_backend, or a shutdown.
const endedByAdministrator = "57P01"

// lost reports whether a connection ended before it had answered.
func lost(err error) bool {
	var connect *pgconn.ConnectError
	var network *net.OpError
	switch {
	case isEnded(err):
		return true
	case errors.As(err, &connect):
		return false
	case errors.As(err, &network):
		return !network.Timeout()
	}
	return unsent(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// unsent reports whether a connection ended before anything was sent over it, or because it has lost a prepared statement, with which
// the transaction was rolled back.
func unsent(err error) bool {
	return errors.Is(err, driver.ErrBadConn) || pgconn.SafeToRetry(err) || losesStatement(err)
}

func isEnded(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == endedByAdministrator
}

// maxSent is how often a query that may have been sent is tried: all connections of the pools may be lost at once.
const maxSent = DefaultConnections + 1

// whileLost calls try until again reports false for its error, or ctx ends.
func whileLost(ctx context.Context, again func(error) bool, try func() error) error {
	sent := 0
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		err := try()
		if err == nil || !again(err) {
			return err
		}
		if !unsent(err) {
			sent++
		}
		if sent == maxSent {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// gormPool is a pool for gorm that begins transactions, and sends queries outside of them, over another connection where the first is
// lost.
type gormPool struct{ *sql.DB }

var _ gorm.TxBeginner = gormPool{}

// BeginTx begins a transaction as sql.DB does, over another connection if the first is lost.
func (p gormPool) BeginTx(ctx context.Context, options *sql.TxOptions) (tx *sql.Tx, err error) {
	err = whileLost(ctx, lost, func() (err error) {
		tx, err = p.DB.BeginTx(ctx, options)
		return err
	})
	return tx, err
}

// ExecContext runs a statement in a transaction of its own. Outside a transaction, the end of ctx would cancel the commit, too.
func (p gormPool) ExecContext(ctx context.Context, query string, arguments ...any) (result sql.Result, err error) {
	tx, err := p.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	if result, err = tx.ExecContext(ctx, query, arguments...); err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return result, tx.Commit()
}

// QueryContext runs a query as sql.DB does, again over another connection if the first is lost. The query must not write.
func (p gormPool) QueryContext(ctx context.Context, query string, arguments ...any) (rows *sql.Rows, err error) {
	err = whileLost(ctx, lost, func() (err error) {
		rows, err = p.DB.QueryContext(ctx, query, arguments...)
		return err
	})
	return rows, err
}
