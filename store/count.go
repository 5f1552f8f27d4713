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

// userCount is a number of users, and how many of them are deprovisioned.
type userCount struct{ users, deprovisioned int64 }

func (c *userCount) add(other userCount) {
	c.users += other.users
	c.deprovisioned += other.deprovisioned
}

// countOf counts one user.
func countOf(u *User) userCount {
	c := userCount{users: 1}
	if u.DeprovisionedAt != nil {
		c.deprovisioned = 1
	}
	return c
}

// addedUsers has the number of users added to each block of each customer.
type addedUsers map[int64]map[int64]userCount

func (a addedUsers) add(u *User) {
	blocks := a[u.CustomerID]
	if blocks == nil {
		blocks = map[int64]userCount{}
		a[u.CustomerID] = blocks
	}
	count := blocks[u.ID>>blockBits]
	count.add(countOf(u))
	blocks[u.ID>>blockBits] = count
}

// A count is the sum of countSlots rows. Each transaction adds to one of them, so that those who add users to a customer at the same time
// mostly do not wait for each other.
const countSlots = 8

// countSlot returns the slot for a transaction that adds a user. Imports use slot 0, so that a customer that was imported has few rows.
func countSlot() int { return rand.IntN(countSlots) } // #nosec G404 -- any will do

const addToCountStatement = `INSERT INTO user_counts (customer_id, slot, users, deprovisioned) VALUES (?, ?, ?, ?)
	ON CONFLICT (customer_id, slot) DO UPDATE SET users = user_counts.users + excluded.users, deprovisioned = user_counts.deprovisioned + excluded.deprovisioned`

// addToCounts updates the user counts of each customer and of each of its blocks. Call it last in a transaction, because it blocks
// other transactions that add users to the same customers. It updates the customers in the order of their ids, so that two
// transactions cannot deadlock.
func addToCounts(ctx context.Context, tx *gorm.DB, added addedUsers) error {
	const slot = 0
	for _, customer := range slices.Sorted(maps.Keys(added)) {
		var all userCount
		for _, n := range added[customer] {
			all.add(n)
		}
		// The lock on this row protects those of the customer's blocks with the same slot as well.
		if err := tx.Exec(addToCountStatement, customer, slot, all.users, all.deprovisioned).Error; err != nil {
			return databaseError(ctx, "counting users", err)
		}
		for blocks := range slices.Chunk(slices.Sorted(maps.Keys(added[customer])), maxBlocksPerStatement) {
			some := make(map[int64]userCount, len(blocks))
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

var insertBlocks = newInsertion("user_blocks", "customer_id", "block", "slot", "users", "deprovisioned")

// addToBlocksStatement makes the statement that adds to the counts of blocks, which it updates in their order.
func addToBlocksStatement(customer int64, slot int, added map[int64]userCount) engine.SQL {
	values := make([]any, 0, len(added)*insertBlocks.columns)
	for _, block := range slices.Sorted(maps.Keys(added)) {
		values = append(values, customer, block, slot, added[block].users, added[block].deprovisioned)
	}
	s := insertBlocks.of(values)
	s.Text += " ON CONFLICT (customer_id, block, slot) DO UPDATE SET users = user_blocks.users + excluded.users, " +
		"deprovisioned = user_blocks.deprovisioned + excluded.deprovisioned"
	return s
}

// The statements that count a user as deprovisioned, or no longer so. One row may become negative; the sum does not.
const (
	countDeprovisionedStatement = "UPDATE user_counts SET deprovisioned = deprovisioned + ? WHERE customer_id = ? " +
		"AND slot = (SELECT min(slot) FROM user_counts WHERE customer_id = ?)"
	blockDeprovisionedStatement = "UPDATE user_blocks SET deprovisioned = deprovisioned + ? WHERE customer_id = ? AND block = ? " +
		"AND slot = (SELECT min(slot) FROM user_blocks WHERE customer_id = ? AND block = ?)"
)

// countDeprovisioned makes the statements that keep the counts when an update deprovisions a user or revives one, none if it does neither.
func countDeprovisioned(before, after *User) []engine.SQL {
	by := countOf(after).deprovisioned - countOf(before).deprovisioned
	if by == 0 {
		return nil
	}
	customer, block := after.CustomerID, after.ID>>blockBits
	return []engine.SQL{
		{Text: countDeprovisionedStatement, Arguments: []any{by, customer, customer}},
		{Text: blockDeprovisionedStatement, Arguments: []any{by, customer, block, customer, block}},
	}
}

// storedCount returns the number of a customer's users as it is stored.
func storedCount(ctx context.Context, from reader, customerID int64) (all userCount, err error) {
	err = from.db.WithContext(ctx).Raw("SELECT CAST(coalesce(sum(users), 0) AS BIGINT), CAST(coalesce(sum(deprovisioned), 0) AS BIGINT) "+
		"FROM user_counts WHERE customer_id = ?", customerID).Row().Scan(&all.users, &all.deprovisioned)
	return all, databaseErrorOrNil(ctx, "counting users", err)
}
