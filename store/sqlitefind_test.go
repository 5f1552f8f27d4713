package store_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// takeAll takes every connection of a pool, until the test ends.
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

// TestSlowSearchesKeepNobodyFromFindingAUser: they have connections of their own.
func TestSlowSearchesKeepNobodyFromFindingAUser(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "d"))
	storetest.Directory(t, s)
	read, _ := s.Pools()
	takeAll(t, read)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := s.FindUser(ctx, ada); err != nil {
		t.Error(err)
	}
}

// TestWhoReadsGivesTheTurnBack, whatever came of it; and whoever waits for one leaves when the context ends.
func TestWhoReadsGivesTheTurnBack(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "d"))
	storetest.Directory(t, s)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	n := s.Finders().Stats().MaxOpenConnections
	for range n + 1 {
		if _, err := s.FindUser(t.Context(), store.UserByID(1, 1<<40)); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("nobody is found: %v", err)
		}
		if _, err := s.FindUser(ended, ada); !errors.Is(err, context.Canceled) {
			t.Errorf("whoever has left is told %v", err)
		}
	}
	before := s.PoolStates()[2]
	release := s.HoldFinders(t)
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := s.FindUser(soon, ada); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("whoever has waited too long is told %v", err)
	}
	if p := s.PoolStates()[2]; p.Waited != before.Waited+1 || p.WaitedFor < before.WaitedFor+5*time.Millisecond {
		t.Errorf("the wait is told as %+v, before it was %+v", p, before)
	}
	release()
	find(t, s, ada)
}
