package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

// FeedScope is whose changes a reader of the feed sees: those of the customers it names by either id, or All.
type FeedScope struct {
	All   bool
	IDs   []int64
	UUIDs []uuid.UUID
}

// numberedAtOnce is how many changes one step of the sequencer takes up.
const numberedAtOnce = 10_000

// ListChanges returns up to limit changes of the scope in the order of their numbers, from the first above after, and the
// number to go on after. Numbers are given once a change is committed, one sequencer at a time, in an order that agrees with
// the versions of each user; so a reader who always asks for what comes after the last next misses nothing and repeats
// nothing. The order between users is not that of their commits.
//
// Whatever was committed before the call is in the feed: the call itself numbers what has no number yet.
func (s *Store) ListChanges(ctx context.Context, scope FeedScope, after int64, limit int) (changes []UserChange, next int64, err error) {
	for more := true; ; {
		if changes, next, err = s.numberedChanges(ctx, scope, after, limit); err != nil || len(changes) == limit || !more {
			return changes, next, err
		}
		numbered, pending, err := s.number(ctx)
		if err != nil || !pending {
			return changes, next, err
		}
		// A step that found less than it could take up left nothing behind. What was committed since can wait: others may go
		// on writing for ever.
		more = numbered == numberedAtOnce
	}
}

// numberedChanges looks no further than the highest number there was when it began: what is numbered while it looks comes
// after next.
func (s *Store) numberedChanges(ctx context.Context, scope FeedScope, after int64, limit int) ([]UserChange, int64, error) {
	db := s.read.WithContext(ctx)
	var highest int64
	if err := db.Model(&UserChange{}).Select("coalesce(max(number), 0)").Where("number IS NOT NULL").Scan(&highest).Error; err != nil {
		return nil, 0, databaseError(ctx, "reading the feed", err)
	}
	query := db.Where("number > ? AND number <= ?", after, highest)
	if !scope.All {
		query = query.Where("customer_id IN ?", scope.IDs)
		if len(scope.UUIDs) > 0 {
			query = db.Where("number > ? AND number <= ? AND (customer_id IN ? OR customer_id IN (SELECT id FROM customers WHERE uuid IN ?))",
				after, highest, scope.IDs, scope.UUIDs)
		}
	}
	var changes []UserChange
	if err := query.Order("number").Limit(limit).Find(&changes).Error; err != nil {
		return nil, 0, databaseError(ctx, "reading the feed", err)
	}
	if len(changes) == limit {
		return changes, *changes[limit-1].Number, nil
	}
	return changes, max(after, highest), nil
}

// number gives the next numbers to committed changes that have none, numberedAtOnce of them at most. It reports whether there
// were any, and how many of them got their number here; another sequencer may have been first. Only one is at work at a
// time, and its numbers are seen all at once.
//
// A version is only ever written after the one before it is committed. So wherever a version is seen here, the one before it
// is seen too, and numbering by ascending version keeps each user's order; within one step time comes first, which no
// user's history goes back in.
func (s *Store) number(ctx context.Context) (numbered int64, pending bool, err error) {
	err = s.read.WithContext(ctx).Raw("SELECT EXISTS (SELECT 1 FROM user_changes WHERE number IS NULL)").Scan(&pending).Error
	if err != nil || !pending {
		return 0, false, databaseErrorOrNil(ctx, "looking for changes without a number", err)
	}
	err = s.transaction(ctx, func(tx *gorm.DB) error {
		if s.db.lockFeed != nil {
			if err := s.db.lockFeed(tx); err != nil {
				return databaseError(ctx, "waiting for the sequencer", err)
			}
		}
		done := tx.Exec(fmt.Sprintf(numberChanges, s.db.pendingOrder), numberedAtOnce)
		numbered = done.RowsAffected
		return databaseErrorOrNil(ctx, "numbering changes", done.Error)
	})
	return numbered, true, err
}

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

func databaseErrorOrNil(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	return databaseError(ctx, doing, err)
}
