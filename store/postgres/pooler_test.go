package postgres_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dragoman-id/dragoman/store/engine"
	"github.com/dragoman-id/dragoman/store/postgres"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// TestUnrecognizedPooler has connections lose their prepared statements, as behind a pooler that shows the server's process ids. The
// statements succeed, and the remedy is named once.
func TestUnrecognizedPooler(t *testing.T) {
	t.Parallel()
	var warnings atomic.Int64
	d, err := postgres.Open(t.Context(), storetest.PostgresURL(t), engine.Options{Schema: things, Connections: postgres.MinConnections, Warn: func(message string) {
		warnings.Add(1)
		if !strings.Contains(message, "default_query_exec_mode=cache_describe") || !strings.Contains(message, "26000") {
			t.Errorf("warned: %s", message)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Pools().Write.Exec("INSERT INTO things VALUES (1, 'new', 'serial', 1)"); err != nil {
		t.Fatal(err)
	}
	for version := 1; version < 6; version++ {
		if n, err := d.Run(t.Context(), rename(1, version, "name")); err != nil || n != 1 {
			t.Fatalf("version %d: %d rows, %v", version, n, err)
		}
		var name string
		if err := d.FindRow(t.Context(), []any{&name}, engine.SQL{Text: "SELECT name FROM things WHERE id = ?", Arguments: []any{1}}); err != nil {
			t.Fatalf("version %d: %v", version, err)
		}
		if version%2 == 0 {
			continue
		}
		if _, err := d.Pools().Write.Exec("DEALLOCATE ALL"); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Pools().Find.Exec("DEALLOCATE ALL"); err != nil {
			t.Fatal(err)
		}
	}
	if n := warnings.Load(); n != 1 {
		t.Errorf("warned %d times", n)
	}
}
