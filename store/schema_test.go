package store_test

import (
	"context"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

func TestModelsMatchTables(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		for _, model := range []any{&store.User{}, &store.Customer{}, &store.Company{}, &store.Role{}, &store.UserChange{}, &store.Webhook{}, &store.ProvisioningToken{}} {
			schema, err := s.Schema(model)
			if err != nil {
				t.Fatal(err)
			}
			want := slices.Sorted(slices.Values(schema.DBNames))
			_, write := s.Pools()
			rows, err := write.Query("SELECT * FROM " + schema.Table)
			if err != nil {
				t.Fatal(err)
			}
			columns, err := rows.Columns()
			rows.Close()
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(columns)
			if !slices.Equal(columns, want) {
				t.Errorf("%s has columns\n%v, the model\n%v", schema.Table, columns, want)
			}
		}
	})
}

// TestIndexesOfUsers checks that Postgres has no choice of indexes to find a user by customer and id. When statistics lag behind the
// table it would choose by chance, and might read all the customer's users.
func TestIndexesOfUsers(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, storetest.PostgresURL(t))
	_, write := s.Pools()
	var leading int
	err := write.QueryRow(`SELECT count(*) FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
		WHERE i.indrelid = 'users'::regclass AND a.attname IN ('customer_id', 'id') AND i.indpred IS NULL`).Scan(&leading)
	if err != nil || leading != 1 {
		t.Errorf("%d indexes without a condition begin with a user's customer or id, %v", leading, err)
	}
}

// TestUserColumns compares the table of fields with the struct, as gorm sees it.
func TestUserColumns(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		schema, err := s.Schema(&store.User{})
		if err != nil {
			t.Fatal(err)
		}
		want := slices.Sorted(slices.Values(schema.DBNames))
		read, written := store.ColumnNames()
		slices.Sort(read)
		if !slices.Equal(read, want) {
			t.Errorf("columns\n%v, read\n%v", want, read)
		}
		got := append([]string{"id", "uuid", "customer_id", "created_at", "created_by"}, written...)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("columns\n%v, written or exempt\n%v", want, got)
		}
		if len(written) > store.MaxWrittenColumns {
			t.Errorf("%d columns do not fit into a set of %d", len(written), store.MaxWrittenColumns)
		}
	})
}

// migrationNames returns the names of an engine's migrations, in order.
func migrationNames(t *testing.T, engine string) (names []string) {
	t.Helper()
	entries, err := fs.ReadDir(store.Migrations, path.Join("migrations", engine))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestMigrationsHaveTwins(t *testing.T) {
	t.Parallel()
	if a, b := migrationNames(t, "sqlite"), migrationNames(t, "postgres"); !slices.Equal(a, b) {
		t.Errorf("sqlite has %v, postgres %v", a, b)
	}
}

func TestMigrateReturnsApplied(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		storetest.Empty(t, url)
		applied, err := store.Migrate(context.Background(), url, store.Wait{})
		if err != nil || !slices.Equal(applied, migrationNames(t, "sqlite")) {
			t.Errorf("first: %v, %v", applied, err)
		}
		applied, err = store.Migrate(context.Background(), url, store.Wait{})
		if err != nil || len(applied) > 0 {
			t.Errorf("second: %v, %v", applied, err)
		}
	})
}

func TestOpenConcurrently(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				s, err := store.Open(context.Background(), store.Config{URL: url, SecretKey: storetest.Key})
				if err != nil {
					t.Error(err)
					return
				}
				defer s.Close()
				if err := s.SeedSandbox(context.Background()); err != nil {
					t.Error(err)
				}
				if n := len(s.Catalogue().All()); n != 7 {
					t.Errorf("%d roles", n)
				}
			})
		}
		wg.Wait()
		if n, err := storetest.Open(t, url).CountCustomers(context.Background()); n != 2 || err != nil {
			t.Errorf("%d customers, %v", n, err)
		}
	})
}

func TestSQLiteVersion(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, storetest.SQLiteURL(t))
	_, db := s.Pools()
	var version string
	if err := db.QueryRow("SELECT sqlite_version()").Scan(&version); err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, part := range strings.Split(version, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, n)
	}
	if slices.Compare(got, []int{3, 51, 3}) < 0 {
		t.Errorf("SQLite %s is older than 3.51.3", version)
	}
}

func TestSQLitePaths(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"a b", "what?.db", "a#b", "100%", "a%20b", "a&_pragma=foreign_keys(0)", "a+b", "ü", "file:x", "a;b='c\"", "?x",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(dir, name)
			s := storetest.Open(t, "sqlite:"+file)
			storetest.Directory(t, s)
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if !strings.HasPrefix(e.Name(), name) {
					t.Errorf("made a file %q", e.Name())
				}
				if info, err := e.Info(); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
					t.Errorf("%q has mode %v, %v", e.Name(), info.Mode(), err)
				}
			}
			_, write := s.Pools()
			var keys int
			if err := write.QueryRow("PRAGMA foreign_keys").Scan(&keys); err != nil || keys != 1 {
				t.Errorf("foreign keys: %d, %v", keys, err)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, c := range map[string]store.Config{
		"another scheme":     {URL: "mysql://u:secret@h/d", SecretKey: storetest.Key},
		"no file":            {URL: "sqlite:", SecretKey: storetest.Key},
		"memory":             {URL: "sqlite::memory:", SecretKey: storetest.Key},
		"U+0000":             {URL: "sqlite:" + dir + "/a\x00b", SecretKey: storetest.Key},
		"no directory":       {URL: "sqlite:" + dir + "/none/d", SecretKey: storetest.Key},
		"a directory":        {URL: "sqlite:" + dir, SecretKey: storetest.Key},
		"a short key":        {URL: "sqlite:" + dir + "/d", SecretKey: storetest.Key[:31]},
		"malformed Postgres": {URL: "postgres://u:secret@h:port/d", SecretKey: storetest.Key},
	} {
		s, err := store.Open(context.Background(), c)
		if err == nil {
			s.Close()
			t.Errorf("%s: opened", name)
		} else if strings.Contains(err.Error(), "secret@") || strings.Contains(err.Error(), ":secret") {
			t.Errorf("%s: the error tells the password: %v", name, err)
		}
	}
}
