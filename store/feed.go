package store

import (
	"context"
	"encoding/binary"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/store/engine"
)

// FeedScope is whose changes a reader of the feed sees: those of the customers it names by either id, or All.
type FeedScope struct {
	All   bool
	IDs   []int64
	UUIDs []uuid.UUID
}

// tenant stands for the customers of the scope where readers are kept fair: the first of them.
func (f FeedScope) tenant() int64 {
	switch {
	case f.All:
		return engine.NoTenant
	case len(f.IDs) > 0:
		return f.IDs[0]
	case len(f.UUIDs) > 0:
		return int64(binary.BigEndian.Uint64(f.UUIDs[0][8:])) // #nosec G115 -- any number will do
	}
	return engine.NoTenant
}

// ListChanges returns up to limit changes of the scope in the order of their numbers, from the first above after, and the
// number to go on after. Numbers are given once a change is committed (see [Store.NumberChanges]), in an order that agrees with
// the versions of each user; so a reader who always asks for what comes after the last next misses nothing and repeats
// nothing. The order between users is not that of their commits. It only reads.
func (s *Store) ListChanges(ctx context.Context, scope FeedScope, after int64, limit int) ([]UserChange, int64, error) {
	release, err := engine.AcquireReader(ctx, s.pools.Lists, scope.tenant())
	if err != nil {
		return nil, 0, databaseError(ctx, "reading the feed", err)
	}
	defer release()
	db := s.read.WithContext(ctx)
	// What is numbered between the two queries comes after next.
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
