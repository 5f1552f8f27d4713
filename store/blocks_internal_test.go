package store

import (
	"testing"
	"testing/synctest"
	"time"
)

func blocksOf(total int64, n int) *customerBlocks {
	return &customerBlocks{total: total, until: time.Now().Add(blocksFor), blocks: make([]int64, n), behind: make([]int64, n)}
}

func TestBlocksAreOfAsManyUsersAndOfThisMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r recentBlocks
		known := blocksOf(8000, 2)
		r.add(1, known)
		for _, c := range []struct{ customer, total int64 }{{1, 8001}, {1, 7999}, {2, 8000}} {
			if r.find(c.customer, c.total) != nil {
				t.Errorf("customer %d with %d users is known", c.customer, c.total)
			}
		}
		time.Sleep(blocksFor - time.Nanosecond)
		if r.find(1, 8000) != known {
			t.Error("the blocks are forgotten too soon")
		}
		time.Sleep(time.Nanosecond)
		if r.find(1, 8000) != nil {
			t.Error("the blocks are never read again")
		}
	})
}

func TestBlocksTakeNoMoreRoomThanTheyMay(t *testing.T) {
	t.Parallel()
	var r recentBlocks
	count := func() (all int) {
		for _, c := range r.customers {
			all += len(c.blocks) + 1
		}
		return all
	}
	for customer := range int64(3 * maxBlocks) { // without any
		r.add(customer, blocksOf(8000, 0))
	}
	for _, n := range []int{maxBlocks / 2, maxBlocks / 2, 7, maxBlocks - 1} {
		c := blocksOf(8000, n)
		r.add(1, c)
		if r.find(1, 8000) != c || r.size != count() || r.size > maxBlocks {
			t.Errorf("with %d blocks, size is %d, there are %d", n, r.size, count())
		}
	}
	r.add(1, blocksOf(8000, maxBlocks))
	if r.find(1, 8000) != nil || r.size != count() || r.size > maxBlocks {
		t.Errorf("too many are kept: size is %d, there are %d", r.size, count())
	}
}
