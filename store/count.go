package store

import (
	"context"
	"maps"
	"slices"
	"strings"

	"gorm.io/gorm"
)

// blockBits is the number of low bits of an id that do not affect its block: users whose ids differ only in these bits are counted
// together. The migrations repeat the number.
const blockBits = 12

// addedUsers has the number of users added to each block of each customer.
type addedUsers map[int64]map[int64]int64

func (a addedUsers) add(u *User) {
	blocks := a[u.CustomerID]
	if blocks == nil {
		blocks = map[int64]int64{}
		a[u.CustomerID] = blocks
	}
	blocks[u.ID>>blockBits]++
}

// addToCounts updates the user counts of each customer and of each of its blocks. Call it last in a transaction, because it blocks
// other transactions that add users to the same customers. It updates the customers in the order of their ids, so that two
// transactions cannot deadlock.
func addToCounts(ctx context.Context, tx *gorm.DB, added addedUsers) error {
	for _, customer := range slices.Sorted(maps.Keys(added)) {
		var users int64
		for _, n := range added[customer] {
			users += n
		}
		// The lock on this row protects the customer's blocks as well.
		err := tx.Exec(`INSERT INTO user_counts (customer_id, users) VALUES (?, ?)
			ON CONFLICT (customer_id) DO UPDATE SET users = user_counts.users + excluded.users`, customer, users).Error
		if err != nil {
			return databaseError(ctx, "counting users", err)
		}
		if err := addToBlocks(ctx, tx, customer, added[customer]); err != nil {
			return err
		}
	}
	return nil
}

// maxBlocksPerStatement limits the blocks that one statement updates: users whose ids are far apart have a block each.
const maxBlocksPerStatement = 100

func addToBlocks(ctx context.Context, tx *gorm.DB, customer int64, added map[int64]int64) error {
	for blocks := range slices.Chunk(slices.Sorted(maps.Keys(added)), maxBlocksPerStatement) {
		var values []any
		for _, block := range blocks {
			values = append(values, customer, block, added[block])
		}
		// #nosec G202 -- as many question marks as there are values
		err := tx.Exec("INSERT INTO user_blocks (customer_id, block, users) VALUES (?, ?, ?)"+strings.Repeat(", (?, ?, ?)", len(blocks)-1)+
			" ON CONFLICT (customer_id, block) DO UPDATE SET users = user_blocks.users + excluded.users", values...).Error
		if err != nil {
			return databaseError(ctx, "counting users", err)
		}
	}
	return nil
}

// countUsers returns how many users match a query. A query without filters reads the stored count of the customer's users.
func (s *Store) countUsers(ctx context.Context, from reader, customerID int64, q Query, found *gorm.DB) (total int64, err error) {
	if len(q.Filters) > 0 {
		err = found.Count(&total).Error
	} else {
		err = from.db.WithContext(ctx).Raw("SELECT coalesce(max(users), 0) FROM user_counts WHERE customer_id = ?", customerID).Scan(&total).Error
	}
	return total, databaseErrorOrNil(ctx, "counting users", err)
}
