package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// poolerTimeout limits [checkPooler], which a pooler with a single server connection would block for minutes.
const poolerTimeout = 5 * time.Second

// checkPooler returns an *unsuitableError if the pooler that db leads through allows no transactions, or loses the prepared statements
// that mode needs.
func checkPooler(ctx context.Context, db *sql.DB, mode pgx.QueryExecMode) error {
	ctx, cancel := context.WithTimeout(ctx, poolerTimeout)
	defer cancel()
	refused, err := refusesTransactions(ctx, db)
	if err == nil && refused {
		return &unsuitableError{"the pooler allows no transactions: set its pool_mode to transaction or session (PgBouncer), or name " +
			"Postgres itself in --database (DRAGOMAN_DATABASE)"}
	}
	lost := false
	if err == nil && (mode == pgx.QueryExecModeCacheStatement || mode == pgx.QueryExecModeDescribeExec) {
		lost, err = losesStatements(ctx, db, mode)
	}
	if err != nil {
		return wrap(ctx, "trying the pooler", err)
	}
	if lost {
		return &unsuitableError{fmt.Sprintf("the pooler loses prepared statements between two transactions: remove default_query_exec_mode=%s "+
			"from the URL in --database (DRAGOMAN_DATABASE)", strings.ReplaceAll(mode.String(), " ", "_"))}
	}
	return nil
}

// refusesTransactions reports whether a connection that has just answered does not begin a transaction, twice in succession.
func refusesTransactions(ctx context.Context, db *sql.DB) (bool, error) {
	for range 2 {
		var refused *pgconn.PgError
		err := onOne(ctx, db, func(c *pgconn.PgConn) error {
			if _, err := c.Exec(ctx, "SELECT 1").ReadAll(); err != nil {
				return err
			}
			_, err := c.Exec(ctx, "BEGIN").ReadAll()
			if errors.As(err, &refused) && refused.Code == protocolViolation {
				return nil
			}
			if err == nil {
				_, err = c.Exec(ctx, "ROLLBACK").ReadAll()
			}
			return err
		})
		if err != nil || refused == nil {
			return false, err
		}
	}
	return true, nil
}

// losesStatements prepares a statement as mode does, and executes it after a transaction of another connection has begun, which
// takes the server connection that the pooler took back last.
func losesStatements(ctx context.Context, db *sql.DB, mode pgx.QueryExecMode) (lost bool, err error) {
	name, token := "", uuid.NewString()
	if mode == pgx.QueryExecModeCacheStatement {
		name = "dragoman_" + token
	}
	err = onOne(ctx, db, func(prepared *pgconn.PgConn) error {
		if _, err := prepared.Prepare(ctx, name, "SELECT '"+token+"'", nil); err != nil {
			return err
		}
		err := onOne(ctx, db, func(other *pgconn.PgConn) error {
			if _, err := other.Exec(ctx, "BEGIN").ReadAll(); err != nil {
				return err
			}
			result := prepared.ExecPrepared(ctx, name, nil, nil, nil).Read()
			err := result.Err
			var refused *pgconn.PgError
			if errors.As(err, &refused) {
				lost, err = true, nil
			} else if err == nil { // another client's statement may have no name either
				lost = len(result.Rows) != 1 || len(result.Rows[0]) != 1 || string(result.Rows[0][0]) != token
			}
			_, ended := other.Exec(ctx, "ROLLBACK").ReadAll()
			return errors.Join(err, ended)
		})
		return errors.Join(err, prepared.Deallocate(ctx, name))
	})
	return lost, err
}

// onOne runs fn on a connection of db.
func onOne(ctx context.Context, db *sql.DB, fn func(*pgconn.PgConn) error) error {
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	err = c.Raw(func(driverConn any) error { return fn(driverConn.(*conn).pgx().PgConn()) })
	return errors.Join(err, c.Close())
}
