package store

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store/postgres"
	"github.com/dragoman-id/dragoman/store/sqlite"
)

const (
	// numberedAtOnce is how many changes one transaction numbers. On SQLite all other writers wait for it.
	numberedAtOnce = 1_000
	// numberingPause is how long the sequencer rests between two rounds, so that under load one transaction numbers many changes.
	numberingPause = 100 * time.Millisecond
	// numberingPeriod is how often the sequencer looks for changes that another program has written.
	numberingPeriod = 500 * time.Millisecond
	// numberingTimeout is when a round that a dead connection holds up is given up, for the next to take another.
	numberingTimeout = 10 * time.Second
)

// KeepNumbering calls [Store.NumberChanges] until ctx is done: after each write of this store, and twice a second for the writes of
// other programs, so that a committed change is in the feed within a second. When numbering fails it is tried again; report is
// called with the first error of a series, and with nil once it works again.
func (s *Store) KeepNumbering(ctx context.Context, report func(error)) {
	failing := false
	for {
		err := s.numberWithin(ctx, numberingTimeout)
		if ctx.Err() != nil {
			return
		}
		if failing != (err != nil) {
			failing = !failing
			report(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(numberingPause):
		}
		select {
		case <-ctx.Done():
			return
		case <-s.committed:
		case <-time.After(numberingPeriod - numberingPause):
		}
	}
}

func (s *Store) numberWithin(ctx context.Context, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	_, err := s.NumberChanges(ctx)
	return err
}

// wakeSequencer is called after each commit that may have written history.
func (s *Store) wakeSequencer() {
	select {
	case s.committed <- struct{}{}:
	default: // it is awake already
	}
}

// NumberChanges gives every committed change that has none yet its number in the feed, and returns how many it numbered. What is
// committed while it works may be left for the next call. Any number of programs may call it at the same time: one of them works,
// the others wait for it.
func (s *Store) NumberChanges(ctx context.Context) (numbered int64, err error) {
	for {
		n, err := s.numberSome(ctx)
		numbered += n
		// A step that found less than it could take left nothing behind.
		if err != nil || n < numberedAtOnce {
			return numbered, err
		}
	}
}

// numberSome gives the next numbers to committed changes that have none, numberedAtOnce of them at most, and returns how many got
// theirs. Its numbers become visible all at once.
//
// A version is only ever written after the one before it is committed. So wherever a version is seen here, the one before it
// is seen too, and numbering by ascending version keeps each user's order; within one step time comes first, which no
// user's history goes back in.
func (s *Store) numberSome(ctx context.Context) (numbered int64, err error) {
	var pending bool
	err = s.read.WithContext(ctx).Raw("SELECT EXISTS (SELECT 1 FROM user_changes WHERE number IS NULL)").Scan(&pending).Error
	if err != nil || !pending {
		return 0, databaseErrorOrNil(ctx, "looking for changes without a number", err)
	}
	err = s.transaction(ctx, func(tx *gorm.DB) error {
		if err := s.db.Lock(tx, "dragoman.feed"); err != nil {
			return databaseError(ctx, "waiting for the sequencer", err)
		}
		done := tx.Exec(fmt.Sprintf(numberChanges, pendingOrder[s.db.Name()]), numberedAtOnce)
		numbered = done.RowsAffected
		return databaseErrorOrNil(ctx, "numbering changes", done.Error)
	})
	if err != nil {
		return 0, err
	}
	return numbered, nil
}

// pendingOrder is the order in which changes get their numbers, as far as batches go, by engine: one that agrees with each user's
// versions and that the index of those without a number has. On SQLite rows are only added, each after those that were committed
// before it.
var pendingOrder = map[string]string{sqlite.Name: "rowid", postgres.Name: "version, user_id"}

// numberChanges takes the rows of a batch in an order that agrees with each user's versions, which an index has.
const numberChanges = `
WITH batch AS (
    SELECT user_id, version, at FROM user_changes WHERE number IS NULL ORDER BY %s LIMIT ?
), timed AS (
    SELECT user_id, version, max(at) OVER (PARTITION BY user_id ORDER BY version) AS at FROM batch
), numbered AS (
    SELECT user_id, version, row_number() OVER (ORDER BY at, version, user_id)
        + (SELECT coalesce(max(number), 0) FROM user_changes WHERE number IS NOT NULL) AS number FROM timed
)
UPDATE user_changes SET number = numbered.number FROM numbered
WHERE user_changes.user_id = numbered.user_id AND user_changes.version = numbered.version`
