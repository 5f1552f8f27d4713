// Package storetest runs tests against real stores: each test on SQLite, in a directory of its own, and on Postgres, in
// a schema of its own. It also makes users: those of the sandbox, and random ones for tests of laws. It is for tests only, and knows
// nothing of HTTP.
package storetest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/dragoman-id/dragoman/store"
)

// DSNVariable names the environment variable that holds the URL of the Postgres to test with, postgres://...; the user
// must be allowed to create schemas and databases.
const DSNVariable = "TEST_POSTGRES_DSN"

// Key is a secret key for stores of tests.
var Key = []byte("storetest key: 32 bytes, no more")

// Each runs f as the parallel subtests "sqlite" and "postgres", with an empty store that is closed after f.
//
// Without TEST_POSTGRES_DSN the subtest "postgres" is skipped; if CI is true it fails instead.
func Each(t *testing.T, f func(t *testing.T, s *store.Store)) {
	t.Helper()
	EachURL(t, func(t *testing.T, url string) { f(t, Open(t, url)) })
}

// EachURL is Each with the URL of an empty database that no store has opened yet. Whatever f opens it must close. It may have its
// tables already, see [Empty].
func EachURL(t *testing.T, f func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		f(t, SQLiteURL(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		f(t, PostgresURL(t))
	})
}

// BenchEachURL is EachURL for benchmarks, which run one after the other.
func BenchEachURL(b *testing.B, f func(b *testing.B, url string)) {
	b.Helper()
	b.Run("sqlite", func(b *testing.B) { f(b, SQLiteURL(b)) })
	b.Run("postgres", func(b *testing.B) { f(b, PostgresURL(b)) })
}

// migrated returns the bytes of a SQLite database with empty tables. Copying it takes a hundredth of the time that migrating one takes,
// which was a seventh of the processor time of the tests of package server.
var migrated = sync.OnceValues(func() (file []byte, err error) {
	folder, err := os.MkdirTemp("", "storetest")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	path := filepath.Join(folder, "dragoman.db")
	if _, err := store.Migrate(context.Background(), "sqlite:"+path, store.Wait{}); err != nil {
		return nil, err
	}
	return os.ReadFile(path) // #nosec G304 -- its own file
})

// SQLiteURL makes a file in a folder of the test's own that has the tables and holds nothing, and returns its URL.
func SQLiteURL(t testing.TB) string {
	t.Helper()
	file, err := migrated()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "dragoman.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return "sqlite:" + path
}

// Exec runs a statement of an operator's on the database at url, past every store.
func Exec(t testing.TB, url, statement string) {
	t.Helper()
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		runOn(t, "sqlite", "file:"+path+"?_pragma=busy_timeout(5000)", statement)
		return
	}
	PostgresExec(t, url, statement)
}

// Open opens the store at url with Key, and closes it when the test ends.
func Open(t testing.TB, url string) *store.Store {
	t.Helper()
	return OpenWith(t, store.Config{URL: url})
}

// OpenWith is Open with a configuration of the test's own. Without a secret key it has Key.
func OpenWith(t testing.TB, c store.Config) *store.Store {
	t.Helper()
	if c.SecretKey == nil {
		c.SecretKey = Key
	}
	s, err := store.Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Directory fills an empty store with the sandbox of store.SeedSandbox.
func Directory(t testing.TB, s *store.Store) {
	t.Helper()
	if err := s.SeedSandbox(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// PostgresURL creates a schema for one test, drops it when the test ends, and returns a URL that leads into it. Without TEST_POSTGRES_DSN
// it skips the test; if CI is true it fails it. With TEST_PARTITIONED the schema is that of [PartitionedURL], with
// TEST_DISTRIBUTED that of [DistributedURL].
func PostgresURL(t testing.TB) string {
	t.Helper()
	switch {
	case Partitioned():
		return PartitionedURL(t)
	case Distributed():
		return DistributedURL(t)
	}
	return EmptyPostgresURL(t)
}

// EmptyPostgresURL is [PostgresURL] with a schema that was never migrated, whatever TEST_PARTITIONED and TEST_DISTRIBUTED are.
func EmptyPostgresURL(t testing.TB) string {
	t.Helper()
	return SchemaOf(t, postgresURL(t).String())
}

// SchemaOf creates a schema in the Postgres at dsn, drops it when the test ends, and returns a URL that leads into it.
func SchemaOf(t testing.TB, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal("the URL of the Postgres cannot be parsed")
	}
	schema := "test_" + strings.ToLower(rand.Text())
	PostgresExec(t, dsn, "CREATE SCHEMA "+schema)
	t.Cleanup(func() { PostgresExec(t, dsn, "DROP SCHEMA "+schema+" CASCADE") })
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

// PostgresDatabase is PostgresURL with a database of the test's own, such as one with "ENCODING 'LATIN1'".
func PostgresDatabase(t testing.TB, options string) string {
	t.Helper()
	u := postgresURL(t)
	dsn, name := u.String(), "test_"+strings.ToLower(rand.Text())
	PostgresExec(t, dsn, fmt.Sprintf("CREATE DATABASE %s TEMPLATE template0 LOCALE 'C' %s", name, options))
	t.Cleanup(func() { PostgresExec(t, dsn, "DROP DATABASE "+name+" WITH (FORCE)") })
	u.Path = "/" + name
	return u.String()
}

func postgresURL(t testing.TB) *url.URL {
	t.Helper()
	dsn := os.Getenv(DSNVariable)
	if dsn == "" {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not set, and CI is true", DSNVariable)
		}
		t.Skipf("%s is not set", DSNVariable)
	}
	u, err := url.Parse(dsn)
	if err != nil || !strings.HasPrefix(u.Scheme, "postgres") {
		t.Fatalf("%s is no postgres:// URL", DSNVariable)
	}
	return u
}

// PostgresExec runs a statement on a connection of its own.
func PostgresExec(t testing.TB, dsn, statement string) {
	t.Helper()
	runOn(t, "pgx", dsn, statement)
}

func runOn(t testing.TB, driver, dsn, statement string) {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}
