package store

import (
	"context"
	"encoding/binary"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store/engine"
)

// FeedScope selects the customers whose changes a reader of the feed sees: all of them, or those with one of the IDs or UUIDs.
type FeedScope struct {
	All   bool
	IDs   []int64
	UUIDs []uuid.UUID
}

// tenant returns a number that stands for the first customer of the scope where readers are scheduled fairly between tenants.
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

// ListChanges returns up to limit changes of the scope with numbers greater than after, by ascending number, and the number to pass as
// after in the next call. Changes are numbered after they are committed (see [Store.NumberChanges]), each user's in the order of
// versions. So a reader that passes on the returned number each time misses no change and sees none twice. Changes of different users
// may be numbered in another order than they were committed. ListChanges only reads.
func (s *Store) ListChanges(ctx context.Context, scope FeedScope, after int64, limit int) (changes []NumberedChange, next int64, err error) {
	err = s.reading(ctx, func(from reader) (err error) {
		changes, next, err = s.listChanges(ctx, from, scope, after, limit)
		return err
	})
	return changes, next, err
}

func (s *Store) listChanges(ctx context.Context, from reader, scope FeedScope, after int64, limit int) (changes []NumberedChange, next int64, err error) {
	release, err := engine.AcquireReader(ctx, from.lists, scope.tenant())
	if err != nil {
		return nil, 0, databaseError(ctx, "reading the feed", err)
	}
	defer release()
	db := from.db.WithContext(ctx)
	// Changes that are numbered between the two queries are left to the next call.
	var highest int64
	if err := db.Raw(selectPublished).Scan(&highest).Error; err != nil {
		return nil, 0, databaseError(ctx, "reading the feed", err)
	}
	found := feedRange{after: after, upTo: highest, all: scope.All}
	if !scope.All {
		if found.customers, err = scope.customers(db); err != nil {
			return nil, 0, databaseError(ctx, "reading the feed", err)
		}
	}
	if err := s.feedPage(db, found, limit).Select(changeColumns).Joins(historyOfFeed).Find(&changes).Error; err != nil {
		return nil, 0, databaseError(ctx, "reading the feed", err)
	}
	if len(changes) == limit {
		return changes, changes[limit-1].Number, nil
	}
	return changes, max(after, highest), nil
}

// historyOfFeed joins to rows of the feed their changes, as c.
const historyOfFeed = "JOIN user_changes c ON c.customer_id = feed.customer_id AND c.user_id = feed.user_id AND c.version = feed.version"

// feedRange is a part of the feed: the changes with numbers greater than after, up to upTo, which is a number or a query for one, of some
// customers, or of all.
type feedRange struct {
	after     int64
	upTo      any
	all       bool
	customers []int64
}

// of adds the condition on customers to a query of a table named feed.
func (r feedRange) of(feed *gorm.DB) *gorm.DB {
	if r.all {
		return feed
	}
	return feed.Where("feed.customer_id IN ?", r.customers)
}

func (r feedRange) rows(db *gorm.DB) *gorm.DB {
	return r.of(db.Table("feed").Where("feed.number > ? AND feed.number <= ?", r.after, r.upTo))
}

// selectPublished reads the number up to which readers see the feed, and published is it within another query.
const selectPublished = "SELECT published FROM feed_state"

var published = gorm.Expr("(" + selectPublished + ")")

// feedPage makes a query for the first limit rows of a range, ordered by number. Its table is named feed.
//
// What is joined to the query is joined to those rows only. Otherwise a Postgres that never analyzed the tables, as just after an import,
// joins all rows of the range and then sorts them, which took 2 s for 300,000. The customers are named again, so that what is joined
// is looked for in their partitions. A sharded database joins the rows where they are.
func (s *Store) feedPage(db *gorm.DB, r feedRange, limit int) *gorm.DB {
	rows := r.rows(db).Order("feed.number").Limit(limit)
	if s.distributed {
		return rows
	}
	return r.of(db.Table("(?) AS feed", rows)).Order("feed.number")
}

// customers returns the ids of the customers of a scope that does not have all. They are looked up ahead, so that the query of the feed
// names them.
func (f FeedScope) customers(db *gorm.DB) (ids []int64, err error) {
	if len(f.UUIDs) > 0 {
		err = db.Model(&Customer{}).Where("uuid IN ?", f.UUIDs).Pluck("id", &ids).Error
	}
	return append(ids, f.IDs...), err
}

// changeColumns are the columns of a NumberedChange, of user_changes as c and feed.
const changeColumns = "c.user_id, c.version, c.customer_id, c.at, c.actor, c.subject, c.dialect, c.operation, c.request_id, c.fields, feed.number"

// NumberedChange is a change and its place in the change feed, from 1 on.
type NumberedChange struct {
	UserChange
	Number int64
}
