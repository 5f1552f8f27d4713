package store

import (
	"context"
	"maps"
	"slices"

	"gorm.io/gorm"
)

// addToCounts adds to how many users each customer has. It comes last in its transaction, since it holds up whoever else adds
// users to the same customers; it takes them in one order, so that two of its kind cannot wait for each other.
func addToCounts(ctx context.Context, tx *gorm.DB, added map[int64]int64) error {
	for _, customer := range slices.Sorted(maps.Keys(added)) {
		err := tx.Exec(`INSERT INTO user_counts (customer_id, users) VALUES (?, ?)
			ON CONFLICT (customer_id) DO UPDATE SET users = user_counts.users + excluded.users`, customer, added[customer]).Error
		if err != nil {
			return databaseError(ctx, "counting users", err)
		}
	}
	return nil
}

// countUsers returns how many users a query finds. All that a customer has are known without looking.
func (s *Store) countUsers(ctx context.Context, customerID int64, q Query, found *gorm.DB) (total int64, err error) {
	if len(q.Filters) > 0 {
		err = found.Count(&total).Error
	} else {
		err = s.read.WithContext(ctx).Raw("SELECT coalesce(max(users), 0) FROM user_counts WHERE customer_id = ?", customerID).Scan(&total).Error
	}
	return total, databaseErrorOrNil(ctx, "counting users", err)
}
