package store

import (
	"context"
	"errors"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

const (
	// nearby is the highest offset to which users are skipped one by one: the number of users that a block has at most.
	nearby = 1 << blockBits
	// thinBlock is how many users blocks must have on average for it to be faster to skip blocks.
	thinBlock = 16
)

// skipBlocks narrows ids, a query for the ids of all users of a customer, to those from the block of the user at offset on, and
// returns the offset among these. A page in the middle of a long list then skips blocks, and the users of one block at most.
//
// Users that are added between this query and the next move the page by no more than those that are added between two pages.
func (s *Store) skipBlocks(ctx context.Context, ids *gorm.DB, customerID, offset int64, descending bool) (_ *gorm.DB, rest int64, err error) {
	const doing = "finding a page of users"
	if offset < nearby {
		return ids, offset, nil
	}
	rows, err := s.read.WithContext(ctx).Table("user_blocks").Select("block", "users").Where("customer_id = ?", customerID).
		Order(clause.OrderByColumn{Column: clause.Column{Name: "block"}, Desc: descending}).Limit(int(offset / thinBlock)).Rows()
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
