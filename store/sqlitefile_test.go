package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// TestCommitToRemovedFileFails: what is acknowledged is in the file at the path.
func TestCommitToRemovedFileFails(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "d")
	s := storetest.Open(t, "sqlite:"+path)
	storetest.Directory(t, s)
	_, write := s.Pools()
	tx, err := write.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("UPDATE customers SET name = 'x'"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".gone"); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); store.KindOf(err) != store.ErrUnavailable {
		t.Errorf("the commit into a file that is gone gives %v", err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("without its file the store says %v", err)
	}
	if err := os.Rename(path+".gone", path); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("the file is back: %v", err)
	}
	find(t, s, ada)
}

// TestFileReplaced checks that every connection closes a file that was moved away, and opens the one in its place.
func TestFileReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, copied, gone := filepath.Join(dir, "d"), filepath.Join(dir, "copy"), filepath.Join(dir, "gone")
	s := storetest.Open(t, "sqlite:"+path)
	storetest.Directory(t, s)
	if _, err := store.Backup(t.Context(), "sqlite:"+path, copied); err != nil {
		t.Fatal(err)
	}
	edit(t, s, ada, func(u *store.User) { u.FirstName = "Zaphod" })
	if err := errors.Join(os.Rename(path, gone), os.Rename(copied, path)); err != nil {
		t.Fatal(err)
	}
	if name := find(t, s, ada).FirstName; name != "Ada" {
		t.Errorf("after the copy was put in the file's place, the first name is %q", name)
	}
	edit(t, s, ada, func(u *store.User) { u.FirstName = "Augusta" })
	if name := find(t, storetest.Open(t, "sqlite:"+gone), ada).FirstName; name != "Zaphod" {
		t.Errorf("in the file that was moved away, the first name is %q", name)
	}
}
