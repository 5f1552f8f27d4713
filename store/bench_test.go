package store_test

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// BenchmarkStageStore is the last stage of a request, on either engine: one user is read, or read and written with the history.
// "writers" is many at once, each of a user of their own, and its time is that of all of them by their number.
func BenchmarkStageStore(b *testing.B) {
	storetest.BenchEachURL(b, func(b *testing.B, url string) {
		s := storetest.Open(b, url)
		storetest.Directory(b, s)
		ctx := context.Background()
		var n atomic.Int64
		update := func(b *testing.B, key store.UserKey) {
			name := "Ada " + strconv.FormatInt(n.Add(1), 10)
			_, changed, err := s.UpdateUser(ctx, key, store.Change{Edit: func(u *store.User) error {
				u.FirstName = name
				return nil
			}})
			if err != nil || len(changed) != 1 {
				b.Error(changed, err)
			}
		}
		b.Run("find", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.FindUser(ctx, ada); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("update", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				update(b, ada)
			}
		})
		b.Run("writers", func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(8)
			b.RunParallel(func(p *testing.PB) {
				u := benchUser(b, s, n.Add(1))
				for p.Next() {
					update(b, u)
				}
			})
		})
	})
}

// benchUser adds a user.
func benchUser(b *testing.B, s *store.Store, n int64) store.UserKey {
	name := "bench" + strconv.FormatInt(n, 10)
	u := store.User{
		CustomerID: 3393, FirstName: "Ada", LastName: "Lovelace", Username: name, Email: name + "@example.com",
		Roles: store.Roles(3), Status: store.StatusActive,
	}
	if err := s.CreateUser(context.Background(), &u); err != nil {
		b.Error(err)
	}
	return store.UserByID(u.CustomerID, u.ID)
}
