package store

import (
	"context"
	"time"

	"github.com/dragoman-id/dragoman/store/engine"
)

// MaxCountedChanges is how many undelivered changes of an endpoint are counted at most.
const MaxCountedChanges = 10_000

// WebhookLag is how far an endpoint is behind the feed.
type WebhookLag struct {
	Changes int64     // that are not delivered; MaxCountedChanges at most are counted
	Oldest  time.Time // when the first of them was written; the zero time if there is none
}

// WebhookLag returns how far an endpoint is behind the feed.
func (s *Store) WebhookLag(ctx context.Context, w Webhook) (lag WebhookLag, err error) {
	const doing = "counting undelivered changes"
	err = s.reading(ctx, func(from reader) error {
		release, err := engine.AcquireReader(ctx, from.lists, webhookTenant(w.CustomerID))
		if err != nil {
			return databaseError(ctx, doing, err)
		}
		defer release()
		db := from.db.WithContext(ctx)
		waiting := feedRange{after: w.Position, upTo: published, all: w.CustomerID == AllCustomers, customers: []int64{w.CustomerID}}
		err = db.Table("(?) AS waiting", waiting.rows(db).Select("feed.number").Limit(MaxCountedChanges)).Count(&lag.Changes).Error
		if err == nil && lag.Changes > 0 {
			var at int64
			err = s.feedPage(db, waiting, 1).Joins(historyOfFeed).Select("c.at").Scan(&at).Error
			lag.Oldest = time.UnixMilli(at).UTC()
		}
		return databaseErrorOrNil(ctx, doing, err)
	})
	return lag, err
}
