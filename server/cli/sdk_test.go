package cli

import (
	"bufio"
	"bytes"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/mock"
)

// TestSDKProgram builds the guide's program as a user of the clients does, in a module of its own, checks which modules it
// contains, and runs it.
func TestSDKProgram(t *testing.T) {
	t.Parallel()
	m, err := mock.New(t.Context(), server.Config{Log: slog.New(slog.DiscardHandler)}, mock.DefaultSeed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	s := httptest.NewServer(m)
	t.Cleanup(s.Close)

	source := strings.ReplaceAll(goCode(t, "server/docs/guide/sdk-go.md"), "http://127.0.0.1:8080", s.URL)
	program := buildProgram(t, source)
	want := []string{
		"github.com/apapsch/go-jsonmerge/v2", module, "github.com/google/uuid", "github.com/oapi-codegen/runtime",
	}
	if got := modulesOf(t, program); !slices.Equal(got, want) {
		t.Errorf("the program has the modules\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	token, err := mock.Token()
	if err != nil {
		t.Fatal(err)
	}
	runProgram(t, program, token, "User details updated successfully mobile\nAda King true\n")

	// README has the first part of such a program, which replaces that of the guide's.
	head, rest, _ := strings.Cut(source, "\tworth, err := ")
	_, tail, found := strings.Cut(rest, "\tfmt.Println(patched.JSON200.Message")
	if !found {
		t.Fatal("the guide's program does not begin with Worth's update")
	}
	snippet := strings.ReplaceAll(goCode(t, "README.md"), "http://127.0.0.1:8080", s.URL)
	program = buildProgram(t, head+snippet+"\tfmt.Println(patched.JSON200.Message"+tail)
	runProgram(t, program, token, "User details updated successfully \nAda King true\n")
}

// runProgram runs a program with a token in TOKEN, and compares its output.
func runProgram(t *testing.T, program, token, want string) {
	t.Helper()
	run := exec.CommandContext(t.Context(), program)
	run.Env = append(os.Environ(), "TOKEN="+token)
	if output, err := run.CombinedOutput(); err != nil || string(output) != want {
		t.Errorf("%v, output\n%s\nwant\n%s", err, output, want)
	}
}

// goCode returns the first Go code of a page.
func goCode(t *testing.T, path string) string {
	t.Helper()
	page, err := os.ReadFile(root + path)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "\n```go\n")
	code, _, found := strings.Cut(rest, "```\n")
	if !found {
		t.Fatalf("%s has no code in Go", path)
	}
	return code
}

// module is the path of this module.
const module = "github.com/dragoman-id/dragoman"

// buildProgram builds a program of one file, in a module that requires this one, and returns its path.
func buildProgram(t *testing.T, source string) string {
	t.Helper()
	here, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(root + "go.sum")
	if err != nil {
		t.Fatal(err)
	}
	// With the requirements of this module, Go resolves no others, which the module cache may lack.
	requirements, err := os.ReadFile(root + "go.mod")
	if err != nil {
		t.Fatal(err)
	}
	mod := strings.Replace(string(requirements), "module "+module+"\n", "module example.com/program\n", 1) +
		"\nrequire " + module + " v0.0.0\n\nreplace " + module + " => " + here + "\n"
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":  mod,
		"go.sum":  string(sums),
		"main.go": source,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(dir, "program")
	command := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	command.Dir = dir
	command.Env = append(os.Environ(), "GOFLAGS=", "GOPROXY=off", "GOWORK=off", "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, output)
	}
	return program
}

// modulesOf returns the paths of the modules in a program other than its own, sorted.
func modulesOf(t *testing.T, program string) []string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "go", "version", "-m", program).Output()
	if err != nil {
		t.Fatal(err)
	}
	var modules []string
	lines := bufio.NewScanner(bytes.NewReader(output))
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[0] == "dep" {
			modules = append(modules, fields[1])
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(modules)
	return modules
}
