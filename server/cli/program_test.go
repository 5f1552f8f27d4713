package cli

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// root is the root of the module as seen from here.
const root = "../../"

// asProgram makes the tests' own binary run as the program.
const asProgram = "RUN_AS_DRAGOMAN"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		Main("", "", "")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// dragoman runs the program in dir, as somebody would who has no configuration.
func dragoman(t *testing.T, dir, input string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	return configured(t, dir, nil, input, args...)
}

// configured is dragoman for somebody with these variables.
func configured(t *testing.T, dir string, variables []string, input string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out, said strings.Builder
	c := exec.CommandContext(t.Context(), program, args...)
	c.Dir, c.Env = dir, append([]string{asProgram + "=1", "HOME=" + dir, "TMPDIR=" + dir}, variables...)
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(input), &out, &said
	err = c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), out.String(), said.String()
}
