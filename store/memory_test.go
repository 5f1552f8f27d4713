package store_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// TestStoresInMemoryAreApart: each is a directory of its own, and gone when it is closed.
func TestStoresInMemoryAreApart(t *testing.T) {
	t.Parallel()
	one, other := storetest.Open(t, store.InMemory), storetest.Open(t, store.InMemory)
	storetest.Directory(t, one)
	if n, err := other.CountCustomers(t.Context()); n != 0 || err != nil {
		t.Errorf("another store has %d customers of the first, %v", n, err)
	}
}

// TestInMemoryConcurrentEdits: readers and writers share one connection there, and each gets its turn.
func TestInMemoryConcurrentEdits(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, store.InMemory)
	storetest.Directory(t, s)
	const writers = 40
	key := store.UserByID(3393, 6860)
	var busy sync.WaitGroup
	for range writers {
		busy.Go(func() {
			if _, _, err := s.UpdateUser(t.Context(), key, store.Change{Edit: func(u *store.User) error { u.FirstName += "a"; return nil }}); err != nil {
				t.Error(err)
			}
			if _, err := s.UserHistory(t.Context(), key, 0, 100); err != nil {
				t.Error(err)
			}
			if _, err := s.NumberChanges(t.Context()); err != nil {
				t.Error(err)
			}
			if _, _, err := s.ListChanges(t.Context(), store.FeedScope{All: true}, 0, 100); err != nil {
				t.Error(err)
			}
		})
	}
	busy.Wait()
	u, err := s.FindUser(t.Context(), key)
	if err != nil || u.Version != 1+writers || len(u.FirstName) != len("Ada")+writers {
		t.Errorf("version %d, %q, %v", u.Version, u.FirstName, err)
	}
}

// TestInMemoryOutlivesACall: the database stays when a caller gives up.
func TestInMemoryOutlivesACall(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, store.InMemory)
	storetest.Directory(t, s)
	for range 20 {
		late, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.FindUser(late, store.UserByID(3393, 6860)); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if _, err := s.FindUser(t.Context(), store.UserByID(3393, 6860)); err != nil {
		t.Error(err)
	}
}

// TestInMemoryImportNeedsNoSecondConnection: what an import asks while it writes, it asks by the connection it writes with.
func TestInMemoryImportNeedsNoSecondConnection(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, store.InMemory)
	storetest.Directory(t, s)
	limited, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	i, err := s.NewImport(limited)
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Write(limited, once([]store.ImportRow{row(1, newUser("a")), row(2, newUser("b"))})); err != nil {
		t.Error(err)
	}
}

// TestRandomIsWhereIdsComeFrom: two stores of the same bits give the same UUIDs and access tokens; seals still differ.
func TestRandomIsWhereIdsComeFrom(t *testing.T) {
	t.Parallel()
	create := func() store.User {
		s, err := store.Open(t.Context(), store.Config{URL: store.InMemory, SecretKey: storetest.Key, Random: bytes.NewReader(bytes.Repeat([]byte{7}, 512))})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		storetest.Directory(t, s)
		u := store.User{CustomerID: 3393, FirstName: "Mary", LastName: "Jackson", Username: "mary", Email: "mary@example.com", Status: store.StatusActive}
		if err := s.CreateUser(t.Context(), &u); err != nil {
			t.Fatal(err)
		}
		return u
	}
	one, other := create(), create()
	if one.UUID != other.UUID || one.AccessToken != other.AccessToken || one.UUID.String() != "07070707-0707-4707-8707-070707070707" {
		t.Errorf("%s and %s, %s and %s", one.UUID, other.UUID, one.AccessToken, other.AccessToken)
	}
	if one.AccessTokenSealed == other.AccessTokenSealed {
		t.Error("both are sealed alike")
	}
}
