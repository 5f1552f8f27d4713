package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// TestACommitIntoAFileThatIsGoneIsNoSuccess: what is acknowledged is in the file at the path.
func TestACommitIntoAFileThatIsGoneIsNoSuccess(t *testing.T) {
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

// TestTheLogOfALargeFileComesHomeBesideTheWriters looks for what was written in the file itself, which SQLite alone would leave to the log
// for long.
func TestTheLogOfALargeFileComesHomeBesideTheWriters(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		large  bool
		writes int
		home   bool
	}{
		{"a large file", true, store.CheckpointedWrites, true},
		{"a large file, few writes", true, store.CheckpointedWrites - 1, false},
		{"a small file", false, store.CheckpointedWrites, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "d")
			s := storetest.Open(t, "sqlite:"+path)
			storetest.Directory(t, s)
			if c.large {
				s.TakeForLarge()
			}
			for n := range c.writes {
				edit(t, s, ada, func(u *store.User) { u.FirstName = fmt.Sprintf("Zaphod%d", n) })
			}
			s.EndCheckpoints(t)
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if home := bytes.Contains(content, []byte("Zaphod")); home != c.home {
				t.Errorf("after %d writes the log is home: %t, want %t", c.writes, home, c.home)
			}
			// Who writes on does so as before.
			edit(t, s, ada, func(u *store.User) { u.FirstName = "Ada" })
		})
	}
}

// TestAFileWithCheckpointsMayBeReplaced: the connection for checkpoints, too, lets go of a file that was moved away.
func TestAFileWithCheckpointsMayBeReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, copied, gone := filepath.Join(dir, "d"), filepath.Join(dir, "copy"), filepath.Join(dir, "gone")
	s := storetest.Open(t, "sqlite:"+path)
	storetest.Directory(t, s)
	if _, err := store.Backup(t.Context(), "sqlite:"+path, copied); err != nil {
		t.Fatal(err)
	}
	s.Checkpoint()
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
