package cli

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server"
)

func TestVersion(t *testing.T) {
	t.Parallel()
	status, out, said := configured(t, t.TempDir(), nil, "", "version", "--format=json")
	var b server.Build
	if err := json.Unmarshal([]byte(out), &b); err != nil || status != 0 || b.Go != runtime.Version() {
		t.Errorf("status %d: %q %q: %+v, %v", status, out, said, b, err)
	}
	status, out, said = configured(t, t.TempDir(), nil, "", "version")
	if status != 0 || !strings.HasPrefix(out, "dragoman ") || !strings.Contains(out, "\ngo      "+runtime.Version()+"\n") {
		t.Errorf("status %d: %q %q", status, out, said)
	}
}

var linked = regexp.MustCompile(`-X main\.(\w+)=`)

// TestLinkerVariables: the linker passes over a variable that there is not, in silence.
func TestLinkerVariables(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), root+"main.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"Makefile", "Dockerfile"} {
		text, err := os.ReadFile(root + path)
		if err != nil {
			t.Fatal(err)
		}
		var said []string
		for _, match := range linked.FindAllStringSubmatch(string(text), -1) {
			said = append(said, match[1])
			if o := file.Scope.Lookup(match[1]); o == nil || o.Kind != ast.Var {
				t.Errorf("%s links main.%s, and there is no such variable", path, match[1])
			}
		}
		if slices.Sort(said); !slices.Equal(said, []string{"commit", "date", "version"}) {
			t.Errorf("%s links %q", path, said)
		}
	}
}
