package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libtnb/sqlite"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// writer edits one user over and over, and remembers what was acknowledged.
type writer struct {
	key     store.UserKey
	version atomic.Int64
}

func (w *writer) run(t *testing.T, s *store.Store, stop <-chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		after, _, err := s.UpdateUser(context.Background(), w.key, store.Change{Edit: pure(func(u *store.User) {
			u.FirstName, u.VCSPassword = fmt.Sprint("name ", n), new(fmt.Sprint("password ", n))
		})})
		if err != nil {
			t.Error(err)
			return
		}
		w.version.Store(after.Version)
	}
}

// TestBackupHasAcknowledgedWrites backs up while others write: what was acknowledged before is in it, each user as their
// history says.
func TestBackupHasAcknowledgedWrites(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url := "sqlite:" + filepath.Join(dir, "dragoman.db")
	s := storetest.Open(t, url)
	storetest.Directory(t, s)
	writers := []*writer{{key: ada}, {key: grace}, {key: alan}, {key: key(create(t, s, newUser("mary")))}}
	stop := make(chan struct{})
	var running group
	for _, w := range writers {
		running.Go(func() { w.run(t, s, stop) })
	}
	defer running.Wait()
	defer close(stop)
	written := func() (sum int64) {
		for _, w := range writers {
			sum += w.version.Load()
		}
		return sum
	}
	for n := 0; !t.Failed(); n++ { // until there was a write during a backup
		path := filepath.Join(dir, fmt.Sprint("backup", n, ".db"))
		var acknowledged []int64
		for _, w := range writers {
			acknowledged = append(acknowledged, w.version.Load())
		}
		before := written()
		copied, err := store.Backup(context.Background(), url, path)
		if err != nil {
			t.Fatal(err)
		}
		meanwhile := written() - before
		info, err := os.Stat(path)
		if err != nil || info.Mode() != 0o600 || info.Size() != copied.Bytes || copied.Users != 4 {
			t.Fatalf("%+v, %+v, %v", copied, info.Mode(), err)
		}
		checkBackup(t, path, writers, acknowledged)
		if meanwhile > 0 {
			return
		}
	}
}

func checkBackup(t *testing.T, path string, writers []*writer, acknowledged []int64) {
	t.Helper()
	s := storetest.Open(t, "sqlite:"+path)
	read, _ := s.Pools()
	var verdict string
	if err := read.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("%s, %v", verdict, err)
	}
	for i, w := range writers {
		u := find(t, s, w.key) // opens its secrets
		if u.Version < acknowledged[i] {
			t.Errorf("user %d is at version %d, and %d was acknowledged", u.ID, u.Version, acknowledged[i])
		}
		var last store.UserChange
		versions := int64(0)
		for after := int64(0); ; after = last.Version {
			changes, err := s.UserHistory(context.Background(), w.key, after, 500)
			if err != nil {
				t.Fatal(err)
			}
			if len(changes) == 0 {
				break
			}
			versions += int64(len(changes))
			last = changes[len(changes)-1]
		}
		name := slices.IndexFunc(last.Fields, func(f store.FieldChange) bool { return f.Field == store.FieldFirstName })
		if versions != u.Version || last.Version != u.Version || name < 0 || last.Fields[name].New != u.FirstName {
			t.Errorf("user %d is %q at version %d, and the history has %d, the last of them %+v", u.ID, u.FirstName, u.Version, versions, last)
		}
	}
}

// TestBackupCanBeTakenOverFrom: the copy goes on where the original was.
func TestBackupCanBeTakenOverFrom(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url := "sqlite:" + filepath.Join(dir, "dragoman.db")
	s := storetest.Open(t, url)
	before := beforeBackup(t, s)
	if _, err := store.Backup(context.Background(), url, filepath.Join(dir, "backup.db")); err != nil {
		t.Fatal(err)
	}
	before.goesOnIn(t, storetest.Open(t, "sqlite:"+filepath.Join(dir, "backup.db")))
}

// backedUp is what a directory was like before it was backed up.
type backedUp struct {
	ada, newest store.User
	history     []store.UserChange
	next        int64 // of a reader of the feed, who has seen all but the last two changes
	customer    int64 // the newest
}

// beforeBackup fills an empty store with what a backup might lose.
func beforeBackup(t *testing.T, s *store.Store) (b backedUp) {
	t.Helper()
	storetest.Directory(t, s)
	edit(t, s, ada, func(u *store.User) { u.VCSPassword, u.FirstName = new("git"), "Augusta" })
	_, next, err := listChanges(s, store.FeedScope{All: true}, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	b.next = next
	b.ada, _ = edit(t, s, ada, func(u *store.User) { u.LastName = "King" })
	b.newest = create(t, s, newUser("mary"))
	b.history = history(t, s, ada)
	customer := store.Customer{Name: "Acme"}
	if err := s.CreateCustomer(context.Background(), &customer); err != nil {
		t.Fatal(err)
	}
	b.customer = customer.ID
	return b
}

// goesOnIn checks that a restored store holds all of it, and that ids, versions and the feed go on from there.
func (b backedUp) goesOnIn(t *testing.T, s *store.Store) {
	t.Helper()
	if u := find(t, s, ada); u.AccessToken != b.ada.AccessToken || *u.VCSPassword != "git" || u.LastName != "King" || u.Version != b.ada.Version {
		t.Errorf("restored as %+v, want %+v", u, b.ada)
	}
	restored := history(t, s, ada)
	if len(restored) != len(b.history) {
		t.Fatalf("the history has %d changes, want %d", len(restored), len(b.history))
	}
	for i, c := range b.history {
		if got := restored[i]; got.Version != c.Version || !got.At.Equal(c.At) || fmt.Sprint(got.Fields) != fmt.Sprint(c.Fields) {
			t.Errorf("the history has %+v, want %+v", got, c)
		}
	}
	next := create(t, s, newUser("emmy"))
	if next.ID <= b.newest.ID {
		t.Errorf("the next user is %d, after %d", next.ID, b.newest.ID)
	}
	customer := store.Customer{Name: "Later"}
	if err := s.CreateCustomer(context.Background(), &customer); err != nil || customer.ID != b.customer+1 {
		t.Errorf("the next customer is %d, after %d: %v", customer.ID, b.customer, err)
	}
	edit(t, s, ada, func(u *store.User) { u.LastName = "Lovelace" })

	changes, _, err := listChanges(s, store.FeedScope{All: true}, b.next, 1000)
	if err != nil {
		t.Fatal(err)
	}
	type change struct{ user, version int64 }
	got := map[change]bool{}
	for i, c := range changes {
		got[change{c.UserID, c.Version}] = true
		if c.Number != b.next+1+int64(i) {
			t.Errorf("number %d comes after %d", c.Number, b.next+int64(i))
		}
	}
	for _, c := range []change{{6860, 3}, {b.newest.ID, 1}, {next.ID, 1}, {6860, 4}} {
		if !got[c] || len(got) != 4 {
			t.Errorf("the feed goes on with %v, want %v among four", got, c)
		}
	}
	_, write := s.Pools()
	if _, err := write.ExecContext(context.Background(), "UPDATE user_changes SET at = 0"); err == nil {
		t.Error("the history is no longer append-only")
	}
}

// TestBackupWithoutKey: what is sealed in the directory is sealed in its copy.
func TestBackupWithoutKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url := "sqlite:" + filepath.Join(dir, "dragoman.db")
	before := beforeBackup(t, storetest.Open(t, url))
	path := filepath.Join(dir, "backup.db")
	if _, err := store.Backup(context.Background(), url, path); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil || bytes.Contains(content, []byte(before.ada.AccessToken)) {
		t.Errorf("the copy tells a secret, %v", err)
	}
	if err := openWith("sqlite:"+path, nil, secret(1)); !errors.Is(err, store.ErrSecretKey) {
		t.Errorf("opened with another key: %v", err)
	}
}

func TestFailedBackupLeavesNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url := "sqlite:" + filepath.Join(dir, "dragoman.db")
	s := storetest.Open(t, url)
	storetest.Directory(t, s)
	if _, err := store.Backup(context.Background(), url, filepath.Join(dir, "good.db")); err != nil {
		t.Fatal(err)
	}
	damaged, err := os.ReadFile(filepath.Join(dir, "good.db"))
	if err != nil {
		t.Fatal(err)
	}
	for i := 8 << 10; i < len(damaged); i++ { // but for the first two pages
		damaged[i] = 0xa5
	}
	for name, content := range map[string][]byte{"damaged.db": damaged, "text.db": []byte("not a database\n"), "empty.db": nil, "taken.db": []byte("mine")} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	breakRule(t, filepath.Join(dir, "broken.db"), filepath.Join(dir, "good.db"))
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	files := func() (names []string) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	before := files()
	for _, c := range []struct {
		ctx       context.Context
		url, path string
		is        error
	}{
		{context.Background(), url, "taken.db", fs.ErrExist},
		{context.Background(), url, "dragoman.db", fs.ErrExist},
		{context.Background(), url, "none/backup.db", fs.ErrNotExist},
		{context.Background(), "sqlite:" + filepath.Join(dir, "none.db"), "backup.db", fs.ErrNotExist},
		{context.Background(), "postgres://127.0.0.1:1/d", "backup.db", store.ErrNotSQLite},
		{context.Background(), "sqlite:" + filepath.Join(dir, "damaged.db"), "backup.db", nil},
		{context.Background(), "sqlite:" + filepath.Join(dir, "broken.db"), "backup.db", nil},
		{context.Background(), "sqlite:" + filepath.Join(dir, "text.db"), "backup.db", nil},
		{context.Background(), "sqlite:" + filepath.Join(dir, "empty.db"), "backup.db", nil},
		{canceled, url, "backup.db", context.Canceled},
	} {
		_, err := store.Backup(c.ctx, c.url, filepath.Join(dir, c.path))
		if err == nil || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s to %s: %v, want %v", c.url, c.path, err, c.is)
		}
		if after := files(); !slices.Equal(after, before) {
			t.Errorf("%s to %s leaves %v, there were %v", c.url, c.path, after, before)
		}
	}
	if taken, err := os.ReadFile(filepath.Join(dir, "taken.db")); err != nil || string(taken) != "mine" {
		t.Errorf("the file that was there is now %q, %v", taken, err)
	}
}

// breakRule makes a copy of a database in which rows are against the schema: a user without a mobile number, where one is
// required. Every page of it can be read.
func breakRule(t *testing.T, path, good string) {
	t.Helper()
	content, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open(sqlite.DriverName, path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	defer db.Close()
	for _, statement := range []string{
		"PRAGMA writable_schema = ON",
		"UPDATE sqlite_schema SET sql = replace(sql, 'CHECK (mobile <> '''')', 'NOT NULL') WHERE name = 'users'",
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBackupWaitsForBusyDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "dragoman.db")
	s, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + path, SecretKey: storetest.Key})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	holder := holdExclusively(t, path)
	var released atomic.Bool
	time.AfterFunc(300*time.Millisecond, func() {
		released.Store(true)
		if err := holder.Close(); err != nil {
			t.Error(err)
		}
	})
	copied, err := store.Backup(t.Context(), "sqlite:"+path, filepath.Join(dir, "copy.db"))
	if err != nil || !released.Load() || copied.Bytes == 0 {
		t.Errorf("backed up %+v, %v; the database was free: %t", copied, err, released.Load())
	}

	// The end of the context ends the wait.
	holdExclusively(t, path)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err = store.Backup(ctx, "sqlite:"+path, filepath.Join(dir, "late.db"))
	if took := time.Since(began); !errors.Is(err, store.ErrUnavailable) || took > 5*time.Second {
		t.Errorf("%v after %v", err, took)
	}
}

// holdExclusively keeps every other connection, readers included, from the database at path until the one returned is closed.
func holdExclusively(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open(sqlite.DriverName, "file:"+path+"?_pragma=locking_mode(EXCLUSIVE)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("CREATE TABLE IF NOT EXISTS held (n INTEGER)"); err != nil {
		t.Fatal(err)
	}
	return db
}
