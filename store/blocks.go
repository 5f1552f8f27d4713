package store

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

const (
	// nearby is how many users are passed over one by one: as many as a block has at most.
	nearby = 1 << blockBits
	// thinBlock is how many users blocks must have on average for it to be of use to pass over blocks.
	thinBlock = 16
	// maxBlocks is how many blocks a store remembers of all customers, at 16 bytes each. Ten million users have some 2500.
	maxBlocks = 1 << 16
	// blocksFor is for how long. Users are only ever added, and counted with their block: as long as a customer has as many as before,
	// its blocks are the same. This is for who has another database put in the place of this one.
	blocksFor = time.Minute
)

// passBlocks returns those of a customer's users, whom ids finds, who are in the block of the one at offset or behind it, by ID, and the
// offset among them. Total is how many users the customer has. What is added between this and the list moves a page no more than what is
// added between two pages.
func (s *Store) passBlocks(ctx context.Context, ids *gorm.DB, customerID, total, offset int64, descending bool) (_ *gorm.DB, rest int64, err error) {
	if offset < nearby {
		return ids, offset, nil
	}
	c := s.blocks.find(customerID, total)
	if c == nil {
		if c, err = s.loadBlocks(ctx, customerID, total); err != nil {
			return nil, 0, err
		}
		s.blocks.add(customerID, c)
	}
	block, rest, ok := c.find(offset, descending)
	switch {
	case !ok:
		return ids, offset, nil
	case descending:
		return ids.Where("id < ?", (block+1)<<blockBits), rest, nil
	default:
		return ids.Where("id >= ?", block<<blockBits), rest, nil
	}
}

// customerBlocks are the blocks of a customer who has so many users in all, ascending. There are none if they would be too many for
// their users.
type customerBlocks struct {
	total  int64
	until  time.Time
	blocks []int64
	behind []int64 // how many users there are up to the end of each block
}

func (s *Store) loadBlocks(ctx context.Context, customerID, total int64) (_ *customerBlocks, err error) {
	const doing = "looking for a page of users"
	most := int(total / thinBlock)
	rows, err := s.read.WithContext(ctx).Table("user_blocks").Select("block", "users").Where("customer_id = ?", customerID).
		Order(clause.OrderByColumn{Column: clause.Column{Name: "block"}}).Limit(most + 1).Rows()
	if err != nil {
		return nil, databaseError(ctx, doing, err)
	}
	defer func() {
		if ended := errors.Join(rows.Err(), rows.Close()); err == nil {
			err = databaseErrorOrNil(ctx, doing, ended)
		}
	}()
	c := &customerBlocks{total: total, until: time.Now().Add(blocksFor)}
	for sum := int64(0); rows.Next(); {
		var block, users int64
		if err := rows.Scan(&block, &users); err != nil {
			return nil, databaseError(ctx, doing, err)
		}
		sum += users
		c.blocks, c.behind = append(c.blocks, block), append(c.behind, sum)
	}
	if len(c.blocks) > most {
		c.blocks, c.behind = nil, nil
	}
	return c, nil
}

// find returns the block of the user at offset, and how many of the block's come before, from the one end or the other. It is false if that
// user is in none.
func (c *customerBlocks) find(offset int64, descending bool) (block, rest int64, ok bool) {
	if len(c.blocks) == 0 {
		return 0, 0, false
	}
	last := c.behind[len(c.behind)-1] - 1
	if offset > last {
		return 0, 0, false
	}
	if descending {
		offset = last - offset
	}
	at, _ := slices.BinarySearch(c.behind, offset+1)
	if descending {
		return c.blocks[at], c.behind[at] - 1 - offset, true
	}
	if at > 0 {
		offset -= c.behind[at-1]
	}
	return c.blocks[at], offset, true
}

// recentBlocks are blocks as they were read last.
type recentBlocks struct {
	mu        sync.Mutex
	customers map[int64]*customerBlocks
	size      int // how many blocks there are in all
}

// find returns a customer's blocks if they are known for so many users, or nil.
func (r *recentBlocks) find(customerID, total int64) *customerBlocks {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.customers[customerID]; c != nil && c.total == total && time.Now().Before(c.until) {
		return c
	}
	return nil
}

// add remembers a customer's blocks, and forgets those of any others for whom there is no room then.
func (r *recentBlocks) add(customerID int64, c *customerBlocks) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(customerID)
	for other := range r.customers {
		if r.size+c.size() <= maxBlocks {
			break
		}
		r.forget(other)
	}
	if c.size() > maxBlocks {
		return
	}
	if r.customers == nil {
		r.customers = map[int64]*customerBlocks{}
	}
	r.customers[customerID] = c
	r.size += c.size()
}

func (r *recentBlocks) forget(customerID int64) {
	if c := r.customers[customerID]; c != nil {
		r.size -= c.size()
		delete(r.customers, customerID)
	}
}

// size is one more than the blocks, so that there is an end to customers without any, too.
func (c *customerBlocks) size() int { return len(c.blocks) + 1 }
