package servertest

import (
	"fmt"
	"os"
	"os/exec"
)

// BuildProgram builds the program and writes it to path. flags are further flags of go build. The race detector is left out, also when
// the tests run with it: programs are started hundreds of times, each start with the detector is several times slower, and the tests of
// server and store look for races in what a program runs.
func BuildProgram(path string, flags ...string) error {
	arguments := append([]string{"build", "-buildvcs=false", "-o", path}, flags...)
	command := exec.Command("go", append(arguments, "github.com/dragoman-id/dragoman")...) // #nosec G204 -- a test names the flags
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}
