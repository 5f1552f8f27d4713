package store_test

import (
	"errors"
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
