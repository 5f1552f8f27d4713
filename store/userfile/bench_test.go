package userfile_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
	"github.com/dragoman-id/dragoman/store/userfile"
)

// usersVariable names the environment variable that says how many users the benchmarks have.
const usersVariable = "BENCH_USERS"

func benchUsers(b *testing.B) int {
	b.Helper()
	text := os.Getenv(usersVariable)
	if text == "" {
		return 100_000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		b.Fatalf("%s is %q, and must be a number of users", usersVariable, text)
	}
	return n
}

// benchFile writes a file of n users with every column, the first of whom has this id, and returns its name.
func benchFile(b *testing.B, first, n int, f userfile.Format, roles *store.Catalogue) string {
	b.Helper()
	name := filepath.Join(b.TempDir(), "users."+string(f))
	file, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	buffered := bufio.NewWriter(file)
	w := userfile.NewWriter(buffered, f, roles)
	admin, user := uuid.New(), store.Roles(3)
	mobile := "+44 20 7946 0000"
	at := time.Date(2024, 2, 29, 18, 59, 59, 0, time.UTC)
	for i := first; i < first+n; i++ {
		u := store.User{
			ID: int64(i), UUID: uuid.New(), CustomerID: 3393,
			FirstName: fmt.Sprintf("Ada %d", i), LastName: "Lovelace", Username: fmt.Sprintf("ada%d", i),
			Email: fmt.Sprintf("ada.lovelace.%d@example.com", i), Mobile: &mobile, Roles: user, Status: store.StatusActive,
			AccountNonExpired: true, AccountNonLocked: true, CredentialNonExpired: true, EmailVerified: true,
			CreatedAt: at, CreatedBy: &admin, UpdatedAt: at, UpdatedBy: &admin, Version: 1,
		}
		if err := w.Write(&u); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := buffered.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := file.Close(); err != nil {
		b.Fatal(err)
	}
	return name
}

// importFile imports a file and returns the most memory that Go's objects took while it did.
func importFile(b *testing.B, s *store.Store, name string, f userfile.Format) uint64 {
	b.Helper()
	source, err := userfile.OpenSource(context.Background(), name)
	if err != nil {
		b.Fatal(err)
	}
	defer source.Close()
	heap, peak := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}, uint64(0)
	i := userfile.Import{
		Store: s, Format: f,
		Refused: func(line *userfile.LineError) { b.Error(line) },
		Progress: func(int64, int64) {
			metrics.Read(heap)
			peak = max(peak, heap[0].Value.Uint64())
		},
	}
	if _, err := i.Run(context.Background(), source); err != nil {
		b.Fatal(err)
	}
	return peak
}

// BenchmarkImport takes a file of BENCH_USERS users, 100,000 if that is not set, into a directory.
func BenchmarkImport(b *testing.B) {
	for _, f := range []userfile.Format{userfile.CSV, userfile.NDJSON} {
		b.Run(string(f), func(b *testing.B) {
			storetest.BenchEachURL(b, func(b *testing.B, url string) {
				s := storetest.Open(b, url)
				storetest.Directory(b, s)
				n, first, peak := benchUsers(b), 10_000, uint64(0)
				for b.Loop() {
					b.StopTimer()
					name := benchFile(b, first, n, f, s.Catalogue())
					first += n
					b.StartTimer()
					peak = importFile(b, s, name, f)
				}
				b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "users/s")
				b.ReportMetric(float64(peak)/(1<<20), "peak-MiB")
			})
		})
	}
}

// vacuum does to the users' table what Postgres does by itself a while after many rows were written. SQLite needs nothing.
func vacuum(b *testing.B, url string) {
	b.Helper()
	if !strings.HasPrefix(url, "sqlite:") {
		storetest.PostgresExec(b, url, "VACUUM ANALYZE users")
	}
}

// BenchmarkExport writes a directory of BENCH_USERS users, 100,000 if that is not set, to nowhere.
func BenchmarkExport(b *testing.B) {
	storetest.BenchEachURL(b, func(b *testing.B, url string) {
		s := storetest.Open(b, url)
		storetest.Directory(b, s)
		n := benchUsers(b)
		importFile(b, s, benchFile(b, 10_000, n, userfile.CSV, s.Catalogue()), userfile.CSV)
		vacuum(b, url)
		for _, f := range []userfile.Format{userfile.CSV, userfile.NDJSON} {
			b.Run(string(f), func(b *testing.B) {
				for b.Loop() {
					if written, err := (userfile.Export{Store: s, Format: f}).Run(context.Background(), io.Discard); err != nil || written != int64(n+2) {
						b.Fatal(written, err)
					}
				}
				b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "users/s")
			})
		}
	})
}

// BenchmarkListUsers shows pages of 20 of a customer with BENCH_USERS users, 100,000 if that is not set, in the default
// order. Each comes with the total; "total" is that alone, and "alone" a page without it.
func BenchmarkListUsers(b *testing.B) {
	storetest.BenchEachURL(b, func(b *testing.B, url string) {
		s := storetest.Open(b, url)
		storetest.Directory(b, s)
		n := benchUsers(b)
		importFile(b, s, benchFile(b, 10_000, n, userfile.CSV, s.Catalogue()), userfile.CSV)
		vacuum(b, url)
		const page = 20
		for _, part := range []struct {
			name string
			store.Window
		}{
			{"first", store.Window{Limit: page}},
			{"middle", store.Window{Offset: int64(n / 2), Limit: page}},
			{"last", store.Window{Offset: int64(n + 2 - page), Limit: page}},
			{"total", store.Window{}},
		} {
			b.Run(part.name, func(b *testing.B) {
				for b.Loop() {
					users, total, err := s.ListUsers(context.Background(), 3393, store.Query{}, part.Window)
					if err != nil || total != int64(n+2) || int64(len(users)) != part.Limit {
						b.Fatal(len(users), total, err)
					}
				}
			})
		}
		b.Run("alone", func(b *testing.B) {
			for b.Loop() {
				users, err := s.UsersAfter(context.Background(), 3393, 0, page)
				if err != nil || len(users) != page {
					b.Fatal(len(users), err)
				}
			}
		})
	})
}
