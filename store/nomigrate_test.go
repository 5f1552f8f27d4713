package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// TestNoMigrate checks that a store which leaves migrations to others changes nothing, and opens as soon as they are applied.
func TestNoMigrate(t *testing.T) {
	t.Parallel()
	for name, address := range map[string]string{"sqlite": "sqlite:" + t.TempDir() + "/dragoman.db", "postgres": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if address == "" {
				address = storetest.EmptyPostgresURL(t)
			}
			c := store.Config{URL: address, SecretKey: storetest.Key, NoMigrate: true}
			if _, err := store.Open(t.Context(), c); !errors.Is(err, store.ErrUnavailable) {
				t.Fatalf("opened with %v", err)
			}
			existing := c
			existing.Existing = true
			if _, err := store.Open(t.Context(), existing); !errors.Is(err, store.ErrNoDirectory) {
				t.Errorf("there is a directory: %v", err)
			}
			migrated := false
			c.Wait = store.Wait{For: time.Minute, Waiting: func(error, time.Duration) {
				if _, err := store.Migrate(context.Background(), address, store.Wait{}); err != nil {
					t.Error(err)
				}
				migrated = true
			}}
			s, err := store.Open(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if !migrated {
				t.Error("did not wait for the migration")
			}
			storetest.Directory(t, s)
		})
	}
}
