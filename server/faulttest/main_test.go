//go:build linux

package faulttest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// workspace holds what the tests make: the program, Postgres's clusters, databases. Other users may enter it, as Postgres is
// not run by root.
var workspace string

func TestMain(m *testing.M) {
	if hold := os.Getenv(holdVariable); hold != "" {
		holdSQLite(hold)
		return
	}
	os.Exit(runTests(m))
}

// faultsVariable asks for the tests of this package, which take a minute of both processors, where CI does not run them anyway.
const faultsVariable = "FAULTS"

func runTests(m *testing.M) int {
	if os.Getenv("CI") != "true" && os.Getenv(faultsVariable) == "" {
		fmt.Printf("%s is not set, and CI is not true: no fault is caused. make faults causes them all\n", faultsVariable)
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

// folder makes a folder for a test, which goes with it.
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

// built gives the program, made of the code beside these tests.
var built = sync.OnceValues(func() (string, error) { return build("dragoman") })

func build(name string, flags ...string) (string, error) {
	path := filepath.Join(workspace, name)
	arguments := append(append([]string{"build", "-o", path}, flags...), "github.com/dragoman-id/dragoman")
	command := exec.Command("go", arguments...)
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}

func dragoman(t testing.TB) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// missing skips a test for which this machine lacks something, and fails it where CI is true.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s, and CI is true", what)
	}
	t.Skip(what)
}

// recovery is how long the program may take to serve again once a fault is over.
const recovery = 10 * time.Second

// within calls condition until it gives nil, and fails the test if it has not by then.
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

// final is an error that waiting does not mend.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

var errNotYet = errors.New("not yet")
