package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/dragoman-id/dragoman/store/engine"
)

// numbers is a schema for tests.
var numbers = engine.Schema{
	Migrations: fstest.MapFS{"sqlite/00001_numbers.sql": {Data: []byte(`-- +goose Up
CREATE TABLE numbers (n INTEGER PRIMARY KEY);
CREATE TABLE copies (n INTEGER PRIMARY KEY);
CREATE TABLE deferred (n INTEGER REFERENCES numbers (n) DEFERRABLE INITIALLY DEFERRED);`)}},
	Tables: []string{engine.VersionTable, "numbers"},
	Absent: errors.New("there are no numbers"),
}

// open opens the database at path, and closes it when the test ends.
func open(t *testing.T, path string) *Database {
	t.Helper()
	return openObserved(t, path, nil)
}

// openObserved is open with an observer.
func openObserved(t *testing.T, path string, observe func(context.Context, engine.Statement)) *Database {
	t.Helper()
	d, err := Open(t.Context(), path, engine.Options{Schema: numbers, Observe: observe})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := d.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

func openNew(t *testing.T) *Database {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "d"))
}

// await returns when done is true, which becomes so by itself.
func await(done func() bool) {
	for !done() {
		runtime.Gosched()
	}
}

// list returns the numbers of a table.
func (d *Database) list(t *testing.T, table string) string {
	t.Helper()
	var all string
	if err := d.pools.Read.QueryRow("SELECT coalesce(group_concat(n), '') FROM (SELECT n FROM " + table + " ORDER BY n)").Scan(&all); err != nil {
		t.Fatal(err)
	}
	return all
}

// stopWaiting has the database not wait for other processes.
func (d *Database) stopWaiting(t *testing.T) {
	t.Helper()
	conn, err := d.pools.Write.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = conn.Raw(func(c any) error { c.(*fileConn).file.busyTimeout = 0; return nil })
	if err := errors.Join(err, conn.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestPragmas(t *testing.T) {
	t.Parallel()
	d := openNew(t)
	for pragma, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "100", "wal_autocheckpoint": "1000",
	} {
		var got string
		if err := d.pools.Write.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, %v, want %s", pragma, got, err, want)
		}
	}
	for _, pool := range []*sql.DB{d.pools.Read, d.pools.Find} {
		if _, err := pool.Exec("DELETE FROM numbers"); err == nil {
			t.Error("a reading connection wrote")
		}
		var cache string
		if err := pool.QueryRow("PRAGMA cache_size").Scan(&cache); err != nil || cache != "-512" {
			t.Errorf("a reading connection caches %s, %v", cache, err)
		}
	}
}

func TestExisting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "d")
	existing := engine.Options{Schema: numbers, Existing: true}
	if _, err := Open(t.Context(), path, existing); !errors.Is(err, numbers.Absent) {
		t.Errorf("no file: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("something was created: %v, %v", entries, err)
	}
	open(t, path)
	d, err := Open(t.Context(), path, existing)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestErrorKinds(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "d")
	a, b := open(t, path), open(t, path)
	tx, err := a.pools.Write.Begin()
	if err != nil {
		t.Fatal(err)
	}
	b.stopWaiting(t)
	n := 0
	insert := func() error {
		n++
		_, err := b.Run(t.Context(), step1("INSERT INTO numbers VALUES (?)", n))
		return err
	}
	if err := insert(); !errors.Is(err, engine.ErrBusy) {
		t.Errorf("a locked database: %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	for pragma, end := range map[string]string{
		"max_page_count = 1": "max_page_count = 1000000",
		"query_only = 1":     "query_only = 0",
	} {
		if _, err := b.pools.Write.Exec("PRAGMA " + pragma); err != nil {
			t.Fatal(err)
		}
		var failed error
		for range 2000 {
			if failed = insert(); failed != nil {
				break
			}
		}
		if !errors.Is(failed, engine.ErrUnavailable) {
			t.Errorf("%s: %v", pragma, failed)
		}
		if _, err := b.pools.Write.Exec("PRAGMA " + end); err != nil {
			t.Fatal(err)
		}
		if err := insert(); err != nil {
			t.Errorf("after %s: %v", pragma, err)
		}
	}
}

// TestLockEndsWithContext checks that waiting for another process's migration ends with the context.
func TestLockEndsWithContext(t *testing.T) {
	t.Parallel()
	d := openNew(t)
	unlock, err := lock(t.Context(), d.path+"-lock")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := d.Migrate(ctx); !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
	if _, err := d.Migrate(t.Context()); err != nil {
		t.Error(err)
	}
}

// takeAll takes every connection of a pool until the test ends.
func takeAll(t *testing.T, pool *sql.DB) {
	t.Helper()
	for range pool.Stats().MaxOpenConnections {
		conn, err := pool.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFindRowHasItsOwnConnections checks that slow queries over the reading pool do not delay a query by a key.
func TestFindRowHasItsOwnConnections(t *testing.T) {
	t.Parallel()
	d := openNew(t)
	takeAll(t, d.pools.Read)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var n int
	if err := d.FindRow(ctx, []any{&n}, engine.SQL{Text: "SELECT 1"}); err != nil || n != 1 {
		t.Error(n, err)
	}
}

// TestFindRowReleasesItsSlot checks that a reader's slot is released whatever comes of the query, and that a reader who waits for one
// leaves when its context ends.
func TestFindRowReleasesItsSlot(t *testing.T) {
	t.Parallel()
	d := openNew(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	var n int
	slots := d.finders.Load().Slots
	for range slots + 1 {
		if err := d.FindRow(t.Context(), []any{&n}, engine.SQL{Text: "SELECT n FROM numbers WHERE n = ?", Arguments: []any{7}}); !errors.Is(err, sql.ErrNoRows) {
			t.Errorf("no row: %v", err)
		}
		if err := d.FindRow(ended, []any{&n}, engine.SQL{Text: "SELECT 1"}); !errors.Is(err, context.Canceled) {
			t.Errorf("a context that has ended: %v", err)
		}
	}
	before := d.PoolStates()[2]
	for range slots {
		if err := d.finders.Acquire(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := d.FindRow(soon, []any{&n}, engine.SQL{Text: "SELECT 1"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a context that ends: %v", err)
	}
	if p := d.PoolStates()[2]; p.Waited != before.Waited+1 || p.WaitedFor < before.WaitedFor+5*time.Millisecond {
		t.Errorf("after a wait the pool's state is %+v, before it was %+v", p, before)
	}
	for range slots {
		d.finders.Release()
	}
	if err := d.FindRow(t.Context(), []any{&n}, engine.SQL{Text: "SELECT 1"}); err != nil {
		t.Error(err)
	}
}

// TestBackupRefusal checks that an error of the check leaves no copy.
func TestBackupRefusal(t *testing.T) {
	t.Parallel()
	d := openNew(t)
	refused := errors.New("refused")
	target := d.path + ".copy"
	_, err := Backup(t.Context(), d.path, target, numbers, func(ctx context.Context, copied *sql.DB) error {
		var n int
		return errors.Join(copied.QueryRowContext(ctx, "SELECT count(*) FROM numbers").Scan(&n), refused)
	})
	if !errors.Is(err, refused) || strings.Contains(err.Error(), "SELECT") {
		t.Errorf("got %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(d.path), "*copy*")); err != nil || len(left) > 0 {
		t.Errorf("%v are left, %v", left, err)
	}
}
