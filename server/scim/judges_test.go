package scim_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/dragoman-id/dragoman/server/servertest"
)

// TestJudges lets two public judges of SCIM servers loose on the server: scim2-cli with scim2-tester, which tests every attribute that
// the schemas declare with values of its own invention, and scim-sanity. `make scim` installs them.
func TestJudges(t *testing.T) {
	t.Parallel()
	programs := os.Getenv("SCIM_JUDGES")
	if programs == "" {
		t.Skip("SCIM_JUDGES names no folder with scim2 and scim-sanity: make scim installs them")
	}
	runs := 1
	if text := os.Getenv("SCIM_RUNS"); text != "" {
		var err error
		if runs, err = strconv.Atoi(text); err != nil {
			t.Fatalf("SCIM_RUNS: %v", err)
		}
	}
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		// The tester looks for the user it has just created on the first page of the list, so the customer must have few users.
		for range runs {
			token := s.Token(servertest.Manager())
			judge(t, []string{"SCIM_CLI_HEADERS=Authorization: Bearer " + token}, filepath.Join(programs, "scim2"), "--url", s.URL+base(servertest.SandboxUUID), "test")
			judge(t, nil, filepath.Join(programs, "scim-sanity"), "probe", s.URL+base(servertest.SandboxUUID), "--token", token, "--i-accept-side-effects")
		}
	})
}

// judge runs a judge, whose exit status is its verdict.
func judge(t *testing.T, environment []string, program string, arguments ...string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), program, arguments...)
	command.Env = append(os.Environ(), environment...)
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Run(); err != nil {
		t.Errorf("%s: %v\n%s", filepath.Base(program), err, output.String())
		return
	}
	t.Logf("%s\n%s", filepath.Base(program), output.String())
}
