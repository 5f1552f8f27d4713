//go:build linux

package faulttest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/servertest"
)

// workspace is the folder of programs, clusters and databases. Other users can access it, since Postgres does not run as root.
var workspace string

func TestMain(m *testing.M) {
	if path := os.Getenv(lockVariable); path != "" {
		lockSQLite(path)
		return
	}
	os.Exit(runTests(m))
}

// faultsVariable enables the tests of this package, which use all processors for a minute. CI=true also enables them.
const faultsVariable = "FAULTS"

func runTests(m *testing.M) int {
	if os.Getenv("CI") != "true" && os.Getenv(faultsVariable) == "" && os.Getenv(keycloakVariable) == "" {
		fmt.Printf("skipping all tests: %s is not set, and CI is not true. Run make faults\n", faultsVariable)
		return 0
	}
	var err error
	if workspace, err = os.MkdirTemp("", "dragoman-fault"); err == nil {
		err = os.Chmod(workspace, 0o711)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(workspace)
	return m.Run()
}

// folder returns a new folder, which is removed at the end of the test.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(workspace, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// built builds the program and returns its path.
var built = sync.OnceValues(func() (string, error) { return build("dragoman") })

func build(name string, flags ...string) (string, error) {
	path := filepath.Join(workspace, name)
	return path, servertest.BuildProgram(path, flags...)
}

func dragoman(t testing.TB) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// missing skips a test that needs something that is missing, or fails it if CI=true.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s, and CI=true", what)
	}
	t.Skip(what)
}

// recovery limits the time until the program serves again after a fault.
const recovery = 10 * time.Second

// within calls condition until it returns nil, and fails the test after limit.
func within(t testing.TB, limit time.Duration, what string, condition func() error) {
	t.Helper()
	if err := poll(limit, condition); err != nil {
		t.Fatalf("%s: not within %s: %v", what, limit, err)
	}
}

func poll(limit time.Duration, condition func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); ; <-tick.C {
		err := condition()
		var f final
		if err == nil || time.Now().After(end) || errors.As(err, &f) {
			return err
		}
	}
}

// final is an error after which poll does not retry.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

var errNotYet = errors.New("not yet")
