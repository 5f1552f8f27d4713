package store

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"

	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store/engine"
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

// A count is the sum of countSlots rows. Each transaction adds to one of them, so that those who add users to a customer at the same time
// mostly do not wait for each other.
const countSlots = 8

// countSlot returns the slot for a transaction that adds a user. Imports use slot 0, so that a customer that was imported has few rows.
func countSlot() int { return rand.IntN(countSlots) } // #nosec G404 -- any will do

const addToCountStatement = `INSERT INTO user_counts (customer_id, slot, users) VALUES (?, ?, ?)
	ON CONFLICT (customer_id, slot) DO UPDATE SET users = user_counts.users + excluded.users`

// addToCounts updates the user counts of each customer and of each of its blocks. Call it last in a transaction, because it blocks
// other transactions that add users to the same customers. It updates the customers in the order of their ids, so that two
// transactions cannot deadlock.
func addToCounts(ctx context.Context, tx *gorm.DB, added addedUsers) error {
	const slot = 0
	for _, customer := range slices.Sorted(maps.Keys(added)) {
		var users int64
		for _, n := range added[customer] {
			users += n
		}
		// The lock on this row protects those of the customer's blocks with the same slot as well.
		if err := tx.Exec(addToCountStatement, customer, slot, users).Error; err != nil {
			return databaseError(ctx, "counting users", err)
		}
		for blocks := range slices.Chunk(slices.Sorted(maps.Keys(added[customer])), maxBlocksPerStatement) {
			some := make(map[int64]int64, len(blocks))
			for _, block := range blocks {
				some[block] = added[customer][block]
			}
			if err := execute(tx, addToBlocksStatement(customer, slot, some)); err != nil {
				return databaseError(ctx, "counting users", err)
			}
		}
	}
	return nil
}

// maxBlocksPerStatement limits the blocks that one statement updates: users whose ids are far apart have a block each.
const maxBlocksPerStatement = 100

var insertBlocks = newInsertion("user_blocks", "customer_id", "block", "slot", "users")

// addToBlocksStatement makes the statement that adds to the counts of blocks, which it updates in their order.
func addToBlocksStatement(customer int64, slot int, added map[int64]int64) engine.SQL {
	values := make([]any, 0, len(added)*insertBlocks.columns)
	for _, block := range slices.Sorted(maps.Keys(added)) {
		values = append(values, customer, block, slot, added[block])
	}
	s := insertBlocks.of(values)
	s.Text += " ON CONFLICT (customer_id, block, slot) DO UPDATE SET users = user_blocks.users + excluded.users"
	return s
}

// countUsers returns how many users match a query. A query without filters reads the stored count of the customer's users.
func (s *Store) countUsers(ctx context.Context, from reader, customerID int64, q Query, found *gorm.DB) (total int64, err error) {
	if len(q.Filters) > 0 {
		err = found.Count(&total).Error
	} else {
		err = from.db.WithContext(ctx).Raw("SELECT CAST(coalesce(sum(users), 0) AS BIGINT) FROM user_counts WHERE customer_id = ?", customerID).Scan(&total).Error
	}
	return total, databaseErrorOrNil(ctx, "counting users", err)
}
