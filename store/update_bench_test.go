package store_test

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"testing"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// benchUsers is how many users the benchmarks write to: enough that they have pages of their own.
const benchUsers = 10_000

// benchDirectory returns an observed store with a customer of benchUsers users, as a server has it, and their keys.
func benchDirectory(b *testing.B, url string) (*store.Store, []store.UserKey) {
	b.Helper()
	var statements atomic.Int64
	s, err := store.Open(b.Context(), store.Config{URL: url, SecretKey: storetest.Key, Observer: store.Observer{
		Statement: func(context.Context, store.Statement) { statements.Add(1) },
	}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	storetest.Directory(b, s)
	keys, rows := make([]store.UserKey, benchUsers), make([]store.ImportRow, benchUsers)
	for n := range keys {
		id := int64(100_000 + n)
		u := newUser(fmt.Sprintf("ada%d", n))
		u.ID = id
		keys[n], rows[n] = store.UserByID(3393, id), store.ImportRow{Line: id, Customer: store.CustomerByID(3393), User: u}
	}
	i, err := s.NewImport(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	err = i.Write(b.Context(), func() ([]store.ImportRow, error) {
		if len(rows) == 0 {
			return nil, io.EOF
		}
		some := rows[:500]
		rows = rows[500:]
		return some, nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return s, keys
}

// BenchmarkUpdateUser changes one user after the other, by so many writers at once.
func BenchmarkUpdateUser(b *testing.B) {
	storetest.BenchEachURL(b, func(b *testing.B, url string) {
		s, keys := benchDirectory(b, url)
		var next atomic.Int64
		update := func(b *testing.B) {
			n := next.Add(1)
			_, changed, err := s.UpdateUser(context.Background(), keys[n*7919%benchUsers], store.Change{Edit: func(u *store.User) error {
				u.FirstName = fmt.Sprintf("Ada %d", n)
				return nil
			}})
			if err != nil || len(changed) != 1 {
				b.Errorf("changed %v, %v", changed, err)
			}
		}
		for _, writers := range []int{1, 16} {
			b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
				b.ReportAllocs()
				var all group
				var begun atomic.Int64
				b.ResetTimer()
				for range writers {
					all.Go(func() {
						for begun.Add(1) <= int64(b.N) {
							update(b)
						}
					})
				}
				all.Wait()
			})
		}
	})
}

// BenchmarkCreateUser adds one user after the other to one customer, by so many writers at once.
func BenchmarkCreateUser(b *testing.B) {
	storetest.BenchEachURL(b, func(b *testing.B, url string) {
		s, _ := benchDirectory(b, url)
		var next atomic.Int64
		for _, writers := range []int{1, 16} {
			b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
				b.ReportAllocs()
				var all group
				var begun atomic.Int64
				b.ResetTimer()
				for range writers {
					all.Go(func() {
						for begun.Add(1) <= int64(b.N) {
							u := newUser(fmt.Sprintf("created%d", next.Add(1)))
							if err := s.CreateUser(context.Background(), &u); err != nil {
								b.Error(err)
							}
						}
					})
				}
				all.Wait()
			})
		}
	})
}

// BenchmarkFindUser reads one user after the other, with a context that may end, as a request's.
func BenchmarkFindUser(b *testing.B) {
	storetest.BenchEachURL(b, func(b *testing.B, url string) {
		s, keys := benchDirectory(b, url)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			if _, err := s.FindUser(ctx, keys[n*7919%benchUsers]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
