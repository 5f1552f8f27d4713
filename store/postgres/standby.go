package postgres

import (
	"context"
	"database/sql"
	"errors"
)

// ErrNotStandby: a server that is to be read from as a standby is none, such as after a failover.
var ErrNotStandby = errors.New("the server is not a standby")

// Position returns the position in the write-ahead log up to which the server, a primary, has written.
func (d *Database) Position(ctx context.Context) (position int64, err error) {
	err = d.pools.Find.QueryRowContext(ctx, "SELECT CAST(pg_current_wal_lsn() - '0/0' AS bigint)").Scan(&position)
	if err != nil {
		return 0, wrap(ctx, "asking the primary for its position", err)
	}
	return position, nil
}

// Replayed returns the position in the write-ahead log up to which the server, a standby, has applied its primary's. The error is
// ErrNotStandby if it is none.
func (d *Database) Replayed(ctx context.Context) (position int64, err error) {
	var standby bool
	var replayed sql.NullInt64
	err = d.pools.Find.QueryRowContext(ctx, "SELECT pg_is_in_recovery(), CAST(pg_last_wal_replay_lsn() - '0/0' AS bigint)").Scan(&standby, &replayed)
	if err != nil {
		return 0, wrap(ctx, "asking the standby for its position", err)
	}
	if !standby {
		return 0, ErrNotStandby
	}
	return replayed.Int64, nil
}
