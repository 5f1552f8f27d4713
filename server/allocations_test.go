//go:build !race

package server_test

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/dragoman-id/dragoman/store/storetest"
)

// recordedAllocations holds how often a request allocates memory, by engine and kind of request. `make allocations` writes it
// anew.
const recordedAllocations = "testdata/allocations.json"

// TestAllocations holds that no request allocates over a tenth more often than is recorded: unlike
// seconds, allocations do not depend on the machine. Those of making the request and keeping its answer are counted with it. It
// runs before the parallel tests, whose allocations would be counted too; the race detector has its own.
func TestAllocations(t *testing.T) {
	found := map[string]float64{}
	measure := func(t *testing.T, engine, database string) {
		s := newBenchServer(t, database)
		for _, r := range benchRequests {
			send := r.sender(t, s)
			found[engine+"/"+r.name] = testing.AllocsPerRun(300, send)
		}
	}
	t.Run("sqlite", func(t *testing.T) { measure(t, "sqlite", storetest.SQLiteURL(t)) })
	t.Run("postgres", func(t *testing.T) { measure(t, "postgres", storetest.PostgresURL(t)) })
	if t.Failed() {
		return
	}
	recorded := map[string]float64{}
	text, err := os.ReadFile(recordedAllocations)
	if err == nil {
		err = json.Unmarshal(text, &recorded)
	}
	if os.Getenv("RECORD_ALLOCATIONS") != "" {
		for name, n := range found {
			recorded[name] = n
		}
		if text, err = json.MarshalIndent(recorded, "", "  "); err == nil {
			err = os.WriteFile(recordedAllocations, append(text, '\n'), 0o600)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, n := range found {
		if most := recorded[name] * 1.1; n > most {
			t.Errorf("%s allocates %s times, %s are recorded: allocate less, or run make allocations and say why", name, times(n), times(recorded[name]))
		}
	}
}

func times(n float64) string { return fmt.Sprintf("%.0f", n) }
