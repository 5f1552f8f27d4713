package postgres

import (
	"context"
	"time"

	"gorm.io/gorm"
)

// A write is visible on the primary before a synchronous standby has it, if somebody canceled the wait for the standby or the primary
// was restarted during it. What a query returns may therefore be lost in a failover, although every acknowledged commit is kept.

// settingsFor is how long the settings that decide about it are remembered. A reload changes them without notice.
const settingsFor = time.Second

// readSettled reports whether no commit waits for a standby. Its comment hides it from the observer.
const readSettled = `-- settled
SELECT current_setting('synchronous_standby_names') = '' OR current_setting('synchronous_commit') IN ('off', 'local')`

// settled is the answer of readSettled, and until when it is used.
type settled struct {
	is    bool
	until time.Time
}

// ReadsSettled reports whether there is no synchronous standby, as the server said within the last second. It is false if the server
// does not answer.
func (d *Database) ReadsSettled(ctx context.Context) bool {
	if s := d.settled.Load(); s != nil && time.Now().Before(s.until) {
		return s.is
	}
	s := settled{until: time.Now().Add(settingsFor)}
	if err := d.pools.Find.QueryRowContext(ctx, readSettled).Scan(&s.is); err != nil {
		return false
	}
	d.settled.Store(&s)
	return s.is
}

// Settle has tx write to the write-ahead log: a commit that has written nothing waits for no standby.
func (d *Database) Settle(tx *gorm.DB) error {
	return tx.Exec("SELECT pg_logical_emit_message(true, 'dragoman', '')").Error
}
