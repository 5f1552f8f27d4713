package main

import (
	"path/filepath"
	"testing"

	"github.com/dragoman-id/dragoman/store/storetest"
)

// TestADirectoryIsReadThrough on either engine, on Postgres by pg_prewarm if that is there.
func TestADirectoryIsReadThrough(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, database string) {
		storetest.Directory(t, storetest.Open(t, database))
		var b bench
		if engineOf(database) == "postgres" {
			b.findPrewarm(t.Context(), database)
			var there bool
			if err := query(t.Context(), database, "SELECT count(*) > 0 FROM pg_available_extensions WHERE name = 'pg_prewarm'", &there); err != nil {
				t.Fatal(err)
			}
			if there && b.prewarm == "" {
				t.Error("pg_prewarm is there, and was not found")
			}
		}
		if err := b.warm(t.Context(), database); err != nil {
			t.Error(err)
		}
	})
	var b bench
	if err := b.warm(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a directory that is not there was read")
	}
}
