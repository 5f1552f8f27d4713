package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dragoman-id/dragoman/store/engine"
)

// MaxCountedChanges is how many undelivered changes of an endpoint are counted at most.
const MaxCountedChanges = 10_000

// maxLagsAtOnce is of how many endpoints one statement counts the undelivered changes.
const maxLagsAtOnce = 100

// WebhookLag is how far an endpoint is behind the feed.
type WebhookLag struct {
	Changes int64     // that are not delivered; MaxCountedChanges at most are counted
	Oldest  time.Time // when the first of them was written; the zero time if there is none
}

// WebhookLags returns how far endpoints are behind the feed, in their order.
func (s *Store) WebhookLags(ctx context.Context, all ...Webhook) (lags []WebhookLag, err error) {
	for some := range slices.Chunk(all, maxLagsAtOnce) {
		found, err := s.webhookLags(ctx, some)
		if err != nil {
			return nil, err
		}
		lags = append(lags, found...)
	}
	return lags, nil
}

func (s *Store) webhookLags(ctx context.Context, all []Webhook) (lags []WebhookLag, err error) {
	const doing = "counting undelivered changes"
	tenant := webhookTenant(all[0].CustomerID)
	if slices.ContainsFunc(all, func(w Webhook) bool { return w.CustomerID != all[0].CustomerID }) {
		tenant = engine.NoTenant
	}
	statement := lagStatement(all)
	err = s.reading(ctx, func(from reader) error {
		release, err := engine.AcquireReader(ctx, from.lists, tenant)
		if err != nil {
			return databaseError(ctx, doing, err)
		}
		defer release()
		var rows []struct {
			Place   int
			Changes int64
			At      *int64
		}
		if err := from.db.WithContext(ctx).Raw(statement.Text, statement.Arguments...).Scan(&rows).Error; err != nil {
			return databaseError(ctx, doing, err)
		}
		lags = make([]WebhookLag, len(all))
		for _, r := range rows {
			lags[r.Place].Changes = r.Changes
			if r.At != nil {
				lags[r.Place].Oldest = time.UnixMilli(*r.At).UTC()
			}
		}
		return nil
	})
	return lags, err
}

// lagStatement has a row for each endpoint, with its place among them.
func lagStatement(all []Webhook) (statement engine.SQL) {
	var rows, queries []string
	for i, w := range all {
		rows = append(rows, "(CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT))")
		statement.Arguments = append(statement.Arguments, i, w.CustomerID, w.Position)
	}
	// Apart, so that an index leads to the changes of one customer.
	for _, c := range []struct{ which, and string }{{"= 0", ""}, {"<> 0", " AND feed.customer_id = w.customer_id"}} {
		waiting := "feed.number > w.position AND feed.number <= (SELECT published FROM feed_state)" + c.and
		queries = append(queries, fmt.Sprintf("SELECT w.place, (SELECT count(*) FROM (SELECT 1 FROM feed WHERE %s LIMIT %d) AS waiting) AS changes, "+
			"(SELECT c.at FROM feed JOIN user_changes c ON c.customer_id = feed.customer_id AND c.user_id = feed.user_id AND c.version = feed.version "+
			"WHERE %[1]s ORDER BY feed.number LIMIT 1) AS at FROM w WHERE w.customer_id %[3]s", waiting, MaxCountedChanges, c.which))
	}
	statement.Text = "WITH w (place, customer_id, position) AS (VALUES " + strings.Join(rows, ", ") + ") " + strings.Join(queries, " UNION ALL ")
	return statement
}
