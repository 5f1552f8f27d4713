package store

import (
	"context"
	"errors"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

const (
	// blockSize is the maximum number of users in a block. Below this offset, users are skipped one by one.
	blockSize = 1 << blockBits
	// minBlockUsers is how many users a block must have on average for skipping blocks to be faster than skipping users.
	minBlockUsers = 16
)

// skipBlocks finds the block that contains the user at offset. It narrows ids, a query for the ids of all users of a customer, to start
// at that block, and returns the remaining offset within the narrowed query. If provisioned is true the query is for users who are not deprovisioned. A page in the middle of a long list then skips whole
// blocks, and at most one block's users one by one.
//
// A user added between this query and the next one shifts the page no more than a user added between the reading of two pages does.
func (s *Store) skipBlocks(ctx context.Context, from reader, ids *gorm.DB, customerID, offset int64, descending, provisioned bool) (_ *gorm.DB, rest int64, err error) {
	const doing = "finding a page of users"
	if offset < blockSize {
		return ids, offset, nil
	}
	users := "users"
	if provisioned {
		users = "users - deprovisioned"
	}
	rows, err := from.db.WithContext(ctx).Table("user_blocks").Select("block", "CAST(sum("+users+") AS BIGINT) AS users").Where("customer_id = ?", customerID).Group("block").
		Order(clause.OrderByColumn{Column: clause.Column{Name: "block"}, Desc: descending}).Limit(int(offset / minBlockUsers)).Rows()
	if err != nil {
		return nil, 0, databaseError(ctx, doing, err)
	}
	defer func() {
		if ended := errors.Join(rows.Err(), rows.Close()); err == nil {
			err = databaseErrorOrNil(ctx, doing, ended)
		}
	}()
	for rest := offset; rows.Next(); {
		var block, users int64
		switch err := rows.Scan(&block, &users); {
		case err != nil:
			return nil, 0, databaseError(ctx, doing, err)
		case rest >= users:
			rest -= users
		case descending:
			return ids.Where("id < ?", (block+1)<<blockBits), rest, nil
		default:
			return ids.Where("id >= ?", block<<blockBits), rest, nil
		}
	}
	return ids, offset, nil
}
