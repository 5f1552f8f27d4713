package store

import (
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
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

// KeepNumbering does what [Store.NumberChanges] does until ctx is done: after each write of this store, and twice a second for the writes
// of other programs, so that a committed change is in the feed within a second. Its rounds are numberingPause apart, unless a round is
// full. When numbering fails it is tried again; report is called with the first error of a series, and with nil once it works again.
func (s *Store) KeepNumbering(ctx context.Context, report func(error)) {
	failing := false
	for {
		numbered, err := s.numberWithin(ctx, numberingTimeout)
		if ctx.Err() != nil {
			return
		}
		if failing != (err != nil) {
			failing = !failing
			report(err)
		}
		if numbered == numberedAtOnce {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(numberingPause):
		}
		if numbered > 0 {
			continue // the next round publishes them
		}
		select {
		case <-ctx.Done():
			return
		case <-s.committed:
		case <-time.After(numberingPeriod - numberingPause):
		}
	}
}

func (s *Store) numberWithin(ctx context.Context, d time.Duration) (numbered int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return s.numberSome(ctx)
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
		if err != nil || n == 0 {
			return numbered, err
		}
	}
}

// feedState is the row of feed_state.
type feedState struct {
	ID int
	// Assigned is the highest number that was given to a change. Readers see the numbers up to Published.
	Assigned, Published int64
}

// TableName returns the name of the table, for gorm.
func (feedState) TableName() string { return "feed_state" }

// numberSome publishes the numbers of the round before, and gives the next numbers to committed changes that have none, numberedAtOnce
// of them at most. It returns how many got theirs. If any did, another round is needed to publish their numbers.
//
// The numbers of a round are published by the next one, when all of them are certain to be visible: on a sharded database the commit of
// one transaction becomes visible on one node after the other. A reader that was told of a number before it can see the change
// would never see it.
//
// A version is only ever written after the one before it is committed. So wherever a version is seen here, the one before it
// is seen too, and a batch takes a user's versions in order; within a batch time comes first, which no user's history goes back in.
func (s *Store) numberSome(ctx context.Context) (numbered int64, err error) {
	var due bool
	err = s.read.WithContext(ctx).Raw("SELECT EXISTS (SELECT 1 FROM feed_pending) OR EXISTS (SELECT 1 FROM feed_state WHERE published < assigned)").
		Scan(&due).Error
	if err != nil || !due {
		return 0, databaseErrorOrNil(ctx, "looking for changes without a number", err)
	}
	err = s.transaction(ctx, func(tx *gorm.DB) error {
		// The lock lets one sequencer work at a time.
		var state feedState
		if err := tx.Clauses(clause.Locking{Strength: "UPDATE"}).Take(&state).Error; err != nil {
			return databaseError(ctx, "waiting for the sequencer", err)
		}
		if err := publish(tx, &state); err != nil {
			return databaseError(ctx, "publishing numbers", err)
		}
		done := tx.Exec(numberChanges, numberedAtOnce, state.Assigned)
		if done.Error != nil {
			return databaseError(ctx, "numbering changes", done.Error)
		}
		if numbered = done.RowsAffected; numbered > 0 {
			if err := tx.Exec(numberedChanges, state.Assigned, state.Assigned+numbered).Error; err != nil {
				return databaseError(ctx, "numbering changes", err)
			}
		}
		state.Assigned += numbered
		err := tx.Exec("UPDATE feed_state SET assigned = ?, published = ? WHERE id = 1", state.Assigned, state.Published).Error
		return databaseErrorOrNil(ctx, "numbering changes", err)
	})
	if err != nil {
		return 0, err
	}
	return numbered, nil
}

// publish publishes the numbers that were assigned, if all of them are visible.
func publish(tx *gorm.DB, state *feedState) error {
	if state.Published == state.Assigned {
		return nil
	}
	var visible int64
	err := tx.Raw("SELECT count(*) FROM feed WHERE number > ? AND number <= ?", state.Published, state.Assigned).Scan(&visible).Error
	if err == nil && visible == state.Assigned-state.Published {
		state.Published = state.Assigned
	}
	return err
}

const (
	// numberChanges numbers the first changes of feed_pending, in an order that agrees with each user's versions.
	numberChanges = `INSERT INTO feed (customer_id, number, user_id, version)
	WITH batch AS (
		SELECT customer_id, user_id, version, at FROM feed_pending ORDER BY customer_id, user_id, version LIMIT ?
	), timed AS (
		SELECT customer_id, user_id, version, max(at) OVER (PARTITION BY customer_id, user_id ORDER BY version) AS at FROM batch
	)
	SELECT customer_id, row_number() OVER (ORDER BY at, version, user_id) + CAST(? AS BIGINT), user_id, version FROM timed`
	// numberedChanges deletes the changes with certain numbers from feed_pending.
	numberedChanges = `DELETE FROM feed_pending WHERE (customer_id, user_id, version) IN
	(SELECT customer_id, user_id, version FROM feed WHERE number > ? AND number <= ?)`
)
