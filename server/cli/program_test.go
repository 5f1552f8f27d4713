package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/dragoman-id/dragoman/server/servertest"
)

// root is the root of the module as seen from here.
const root = "../../"

// buildFolder is where program builds. It is removed after the tests.
var buildFolder string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if buildFolder, err = os.MkdirTemp("", "dragoman-cli"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(buildFolder)
		return m.Run()
	}())
}

var build = sync.OnceValues(func() (string, error) {
	path := filepath.Join(buildFolder, "dragoman")
	return path, servertest.BuildProgram(path)
})

// program returns the path of the program, which is built once for all tests.
func program(t *testing.T) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// startPiped starts a command. Its output and its errors are read from output, which ends after the command; ended then receives the
// result.
func startPiped(t *testing.T, c *exec.Cmd) (output *io.PipeReader, ended <-chan error) {
	t.Helper()
	read, write := io.Pipe()
	c.Stdout, c.Stderr = write, write
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() {
		result <- c.Wait()
		write.Close()
	}()
	return read, result
}

// dragoman runs the program in dir without any configuration.
func dragoman(t *testing.T, dir, input string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	return configured(t, dir, nil, input, args...)
}

// configured runs the program in dir with these variables.
func configured(t *testing.T, dir string, variables []string, input string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, said strings.Builder
	c := exec.CommandContext(t.Context(), program(t), args...)
	c.Dir, c.Env = dir, append([]string{"HOME=" + dir, "TMPDIR=" + dir}, variables...)
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(input), &out, &said
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), out.String(), said.String()
}
