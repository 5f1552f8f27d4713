package cli

import (
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/moving/vendortest"
	"github.com/dragoman-id/dragoman/store"
)

// movingMemory is the resident memory that pull, merge and compare may take for a number of users, 248 MiB for a million. The program alone
// takes some 45 MiB, and the check of what can be imported some 30; of each user they keep a hash or an id, merge also where the line is.
func movingMemory(users int) int64 { return 96<<20 + 160*int64(users) }

// comparedUsers is how many of the users are compared. The list of all is what takes memory.
const comparedUsers = 20000

// TestMovingMemory pulls, merges and compares MOVING_MANY users of each vendor, by default few, and measures the memory of each command.
func TestMovingMemory(t *testing.T) {
	t.Parallel()
	n := 500
	if text := os.Getenv("MOVING_MANY"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	dir, program := t.TempDir(), program(t)
	run := func(args ...string) string {
		t.Helper()
		began := time.Now()
		c := exec.CommandContext(t.Context(), program, args...)
		c.Dir, c.Env = dir, []string{"HOME=" + dir, "TMPDIR=" + dir}
		var out, said strings.Builder
		c.Stdout, c.Stderr = &out, &said
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- c.Wait() }()
		name, most := strings.Join(args[:2], " "), int64(0)
		ticks := time.NewTicker(20 * time.Millisecond)
		defer ticks.Stop()
		for running := true; running; {
			select {
			case err := <-ended:
				if err != nil {
					t.Fatalf("%s: %v\n%s", name, err, &said)
				}
				running = false
			case <-ticks.C:
				most = max(most, residentMemory(c.Process.Pid))
			}
		}
		t.Logf("%s of %d users took %d MiB and %s", name, n, most>>20, time.Since(began).Round(time.Millisecond))
		if most > movingMemory(n) {
			t.Errorf("%s took %d MiB", name, most>>20)
		}
		return out.String()
	}
	for _, dialect := range vendors {
		v, flags := startVendor(t, dialect, func(roles *store.Catalogue) []store.User { return vendortest.People(0, n, roles) })
		target := httptest.NewServer(v)
		t.Cleanup(target.Close)
		run(append([]string{"pull", dialect, "--output", dialect + ".ndjson"}, flags...)...)
		out := run(append([]string{"compare", "--dialect", dialect, "--target", target.URL, "--target-token-file", flags[5], "--target-rate", "1000000", "--sample", strconv.Itoa(comparedUsers)}, flags...)...)
		if want := strconv.Itoa(min(n, comparedUsers)) + " equal, 0 differ, 0 missing"; !strings.Contains(out, want) {
			t.Errorf("compare %s: %s", dialect, out)
		}
	}
	run("merge", "worth.ndjson", "testinium.ndjson", "--output", "users.ndjson")
	if lines := strings.Count(string(read(t, filepath.Join(dir, "users.ndjson"))), "\n"); lines != n {
		t.Errorf("merged %d users", lines)
	}
}

// residentMemory returns the most resident memory that a process has had so far, or 0 where the system does not tell. The usage that is
// known after its end is no better: on Linux it counts what the parent had when it started the process.
func residentMemory(process int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", process))
	if err != nil {
		return 0
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	kib := int64(0)
	_, _ = fmt.Sscan(peak, &kib)
	return kib << 10
}
