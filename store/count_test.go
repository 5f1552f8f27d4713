package store_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// TestStoredCounts compares the stored counts with counting, after users were created, refused and imported.
func TestStoredCounts(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		var wait sync.WaitGroup
		for _, name := range []string{"a", "b", "c", "A", "B", "d"} {
			wait.Go(func() {
				u := newUser(name)
				if err := s.CreateUser(context.Background(), &u); err != nil && !errors.Is(err, store.ErrConflict) {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		imported := newUser("imported")
		imported.AccessToken = ""
		rows := []store.ImportRow{{Line: 1, Customer: store.CustomerByID(3394), User: imported}}
		write(t, s, rows)
		for _, customer := range []int64{3393, 3394, 1} {
			_, kept, err := s.ListUsers(context.Background(), customer, store.Query{}, store.Window{Limit: 1})
			if err != nil {
				t.Fatal(err)
			}
			// A filter that all pass makes it count.
			_, counted, err := s.ListUsers(context.Background(), customer, store.Query{Filters: []store.Filter{store.Mentions("")}}, store.Window{Limit: 1})
			if err != nil || kept != counted {
				t.Errorf("customer %d: %d kept, %d counted, %v", customer, kept, counted, err)
			}
		}
		sameBlocks(t, s)
	})
}

// sameBlocks fails the test unless each block of ids has as many users as is kept. It gives them as "customer/block: users".
func sameBlocks(t *testing.T, s *store.Store) []string {
	t.Helper()
	_, db := s.Pools()
	read := func(query string) (all []string) {
		rows, err := db.Query(query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var customer, block, users int64
			if err := rows.Scan(&customer, &block, &users); err != nil {
				t.Fatal(err)
			}
			all = append(all, fmt.Sprintf("%d/%d: %d", customer, block, users))
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return all
	}
	kept := read("SELECT customer_id, block, CAST(sum(users) AS BIGINT) FROM user_blocks GROUP BY 1, 2 ORDER BY 1, 2")
	counted := read("SELECT customer_id, id / 4096, count(*) FROM users GROUP BY 1, 2 ORDER BY 1, 2")
	if !slices.Equal(kept, counted) {
		t.Errorf("kept are\n%v\ncounted\n%v", kept, counted)
	}
	return kept
}

// write imports rows in batches.
func write(t *testing.T, s *store.Store, rows []store.ImportRow) {
	t.Helper()
	i, err := s.NewImport(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var batches [][]store.ImportRow
	for batch := range slices.Chunk(rows, 1000) {
		if bad, err := i.Check(context.Background(), batch); err != nil || len(bad) > 0 {
			t.Fatal(bad, err)
		}
		batches = append(batches, batch)
	}
	err = i.Write(context.Background(), func() ([]store.ImportRow, error) {
		if len(batches) == 0 {
			return nil, io.EOF
		}
		next := batches[0]
		batches = batches[1:]
		return next, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// scattered imports some 10,000 users of customer 3393 into blocks of ids that are full, have some, and have one or two, with blocks
// of nobody between them, and a few of 3394 among them.
func scattered(t *testing.T, s *store.Store) {
	t.Helper()
	var rows []store.ImportRow
	add := func(customer, id int64) {
		u := newUser(fmt.Sprintf("user%d", id))
		u.ID, u.CustomerID = id, customer
		rows = append(rows, row(int64(len(rows)+1), u))
	}
	block := int64(10)
	for _, part := range []struct{ blocks, step int64 }{{1, 1}, {3, 101}, {1, 4000}, {1, 4}, {2, 300}, {1, 4}, {1, 4000}, {1, 1}, {1, 500}} {
		for range part.blocks {
			for id := block << 12; id < (block+1)<<12; id += part.step {
				add(3393, id)
			}
			block++
		}
		add(3394, block<<12)
		if part.step > 1 {
			add(3394, block<<12-1) // in the last of the blocks
		}
		block += part.step
	}
	// Not in the order of their ids.
	slices.SortFunc(rows, func(a, b store.ImportRow) int {
		return cmp.Or(cmp.Compare(a.User.ID%1013, b.User.ID%1013), cmp.Compare(a.User.ID, b.User.ID))
	})
	write(t, s, rows)
}

// TestPagesSeeUsersOfAnotherServer reads a page before and after another server adds a user in front of it.
func TestPagesSeeUsersOfAnotherServer(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s, other := storetest.Open(t, url), storetest.Open(t, url)
		storetest.Directory(t, s)
		scattered(t, s)
		middle := func(s *store.Store) []int64 {
			users, total, err := s.ListUsers(context.Background(), 3393, store.Query{}, store.Window{Offset: 5000, Limit: 3})
			if err != nil || total < 2*5000 {
				t.Fatal(total, err)
			}
			return ids(users)
		}
		before := middle(s)
		u := newUser("first")
		u.ID, u.CustomerID = 9<<12, 3393 // before all others
		write(t, other, []store.ImportRow{row(1, u)})
		after := middle(s)
		if !slices.Equal(after[1:], before[:2]) {
			t.Errorf("a page after one more before it is %v, it was %v", after, before)
		}
		if again := middle(other); !slices.Equal(again, after) {
			t.Errorf("the other server's is %v", again)
		}
	})
}

// TestPages compares pages at all offsets, in both directions, with the list of all users by ascending ID.
func TestPages(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		scattered(t, s)
		blocks := sameBlocks(t, s)
		all := map[bool][]int64{}
		users, err := s.UsersAfter(context.Background(), 3393, 0, 20_000)
		if err != nil || len(users) < 2*4096+2000 || len(blocks) < 20 {
			t.Fatalf("%d users, blocks %v, %v", len(users), blocks, err)
		}
		all[false] = ids(users)
		all[true] = slices.Clone(all[false])
		slices.Reverse(all[true])
		total := int64(len(users))
		page := func(w store.Window, descending bool) (got, want []int64) {
			t.Helper()
			users, found, err := s.ListUsers(context.Background(), 3393, store.Query{Descending: descending}, w)
			if err != nil || found != total {
				t.Fatalf("%d, %v", found, err)
			}
			return ids(users), all[descending][w.Offset:min(w.Offset+w.Limit, total)]
		}
		same := func(w store.Window) {
			t.Helper()
			for _, descending := range []bool{false, true} {
				if got, want := page(w, descending); !slices.Equal(got, want) {
					t.Errorf("%+v, descending %t, is\n%v, want\n%v", w, descending, got, want)
				}
			}
		}
		for _, size := range []int64{997, 4096} {
			for offset := int64(0); offset < total; offset += size {
				same(store.Window{Offset: offset, Limit: size})
			}
		}
		// Where blocks begin and end, from either end of the list.
		for i := 1; i < len(users); i++ {
			if users[i-1].ID>>12 != users[i].ID>>12 {
				for at := int64(i) - 1; at <= int64(i)+1; at++ {
					same(store.Window{Offset: at, Limit: 2})
					same(store.Window{Offset: total - at, Limit: 1})
				}
			}
		}

		// What is in the middle is found by the blocks alone, what is near an end without them.
		_, db := s.Pools()
		if _, err := db.Exec("UPDATE user_blocks SET users = users + 1 WHERE customer_id = 3393 AND users = 4096"); err != nil {
			t.Fatal(err)
		}
		for offset, near := range map[int64]bool{0: true, 4095: true, 5000: false, total / 2: false, total - 5000: false, total - 4096: true, total - 1: true} {
			for _, descending := range []bool{false, true} {
				if got, want := page(store.Window{Offset: offset, Limit: 1}, descending); slices.Equal(got, want) != near {
					t.Errorf("at %d, descending %t, after a block was miscounted: %v instead of %v", offset, descending, got, want)
				}
			}
		}
		// Without them nothing is wrong.
		if _, err := db.Exec("DELETE FROM user_blocks"); err != nil {
			t.Fatal(err)
		}
		for offset := int64(0); offset < total; offset += 997 {
			same(store.Window{Offset: offset, Limit: 10})
		}
	})
}
