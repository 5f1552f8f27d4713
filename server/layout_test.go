package server_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The tests of this file check the map of the code in server/docs/guide/architecture.md: which folder may know of which.

const module = "github.com/dragoman-id/dragoman"

// goPackage is what `go list` tells of a package. Its imports are those of the package itself; its tests' are not among
// them.
type goPackage struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
	Standard   bool
	Module     struct{ Path string }
}

// packages gives this module's packages and all that they are made of, by their import paths.
func packages(t *testing.T) map[string]goPackage {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Dir,GoFiles,Imports,Standard,Module", "./...")
	command.Dir = ".."
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]goPackage{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p
	}
}

// ours gives a package's path within the module, "." for main, and whether it is of the module.
func ours(path string) (string, bool) {
	if path == module {
		return ".", true
	}
	return strings.CutPrefix(path, module+"/")
}

// below gives the names of dir's folders, sorted.
func below(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// dialects gives the names of the dialects, which are those of the APIs in gen/.
func dialects(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, folder := range below(t, "../gen") {
		if name, ok := strings.CutSuffix(folder, "api"); ok {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		t.Fatal("gen/ holds no API")
	}
	return names
}

// mayImport says which packages of ours each package of ours may import, tests apart.
func mayImport(t *testing.T) map[string][]string {
	t.Helper()
	may := map[string][]string{
		".":              {"server/cli"},
		"server/cli":     {"server", "server/auth", "server/conformance", "server/description", "server/dev", "server/mock", "server/moving/compare", "server/moving/difference", "server/moving/merge", "server/moving/pull", "server/moving/shadow", "server/moving/source", "server/provisioning", "server/settings", "server/tracing", "store", "store/userfile"},
		"server":         {"server/description", "server/dialect", "server/docs", "server/auth", "server/metrics", "server/provisioning", "server/tracing", "server/webhook", "store"},
		"server/webhook": {"server/apierror", "store"},
		"server/dev":     {"server/auth"},
		"server/metrics": {"server/auth", "server/webhook", "store"},
		"server/tracing": {"server/tracing/limits", "store"},
		// Apart, since it must be initialized before OpenTelemetry's packages.
		"server/tracing/limits": {},
		// Moving in from a vendor.
		"server/moving/source":     {"gen/worthclient", "gen/testiniumclient", "server/apierror", "store"},
		"server/moving/screen":     {"store", "store/userfile"},
		"server/moving/pull":       {"server/moving/screen", "server/moving/source", "store", "store/userfile"},
		"server/junit":             {},
		"server/moving/difference": {},
		"server/moving/compare":    {"server/junit", "server/moving/difference", "server/moving/source"},
		"server/moving/shadow":     {"server/description", "server/moving/difference", "server/moving/source"},
		"server/moving/merge":      {"server/moving/screen", "store", "store/userfile"},
		"server/moving/vendortest": {"store"},
		"server/mock":              {"server", "server/auth", "server/dev", "store"},
		"server/settings":          {},
		"server/description":       {},
		"server/docs":              {"server/dialect"},
		// A command, for `make generate`: it runs when there is no gen/ yet.
		"server/docs/generator": {},
		"server/docs/generated": {},
		"gen/documents":         {},
		"server/apierror":       {},
		"server/conformance":    {"server/apierror", "server/description", "server/junit"},
		// A command, for `make bench`.
		"server/bench":        {"server/docs/generated"},
		"server/provisioning": {"server/auth", "store"},
		"server/dialect":      {"server/description", "server/auth", "server/provisioning", "store", "store/semaphore"},
		"server/auth":         {"store", "store/semaphore"},
		"store":               {"store/engine", "store/ledger", "store/postgres", "store/recent", "store/semaphore", "store/sqlite"},
		"store/postgres":      {"store/engine"},
		"store/sqlite":        {"store/engine", "store/semaphore"},
		"store/engine":        {"store/semaphore"},
		"store/ledger":        {},
		"store/recent":        {},
		"store/semaphore":     {},
		"store/userfile":      {"store"},
		"store/storetest":     {"store"},
		"server/faulttest":    {},
		// SCIM's grammar and its PATCH, which know neither users nor HTTP.
		"server/scim/filter": {},
		"server/scim/patch":  {"server/scim/filter"},
		// The dialect that tests add to the others.
		"server/servertest/toy":               {"server/servertest/toy/gen/toyapi", "server/servertest/toy/gen/documents", "server/description", "server/dialect", "server/auth", "store"},
		"server/servertest/toy/gen/toyapi":    {},
		"server/servertest/toy/gen/documents": {},
		"server/servertest/follow":            {"server/auth", "server/servertest", "store"},
		"server/servertest":                   {"server", "server/servertest/toy", "server/description", "server/auth", "server/dev", "store", "store/storetest"},
	}
	for _, d := range dialects(t) {
		may["gen/"+d+"api"], may["gen/"+d+"client"] = nil, []string{"server/apierror"}
		may["server/"+d] = []string{"gen/" + d + "api", "gen/documents", "server/description", "server/dialect", "server/auth", "store"}
		may["server"] = append(may["server"], "server/"+d)
		// A dialect may have packages of its own.
		for path := range may {
			if strings.HasPrefix(path, "server/"+d+"/") {
				may["server/"+d] = append(may["server/"+d], path)
			}
		}
		may["server/servertest"] = append(may["server/servertest"], "gen/"+d+"client")
	}
	may["server/scim"] = append(may["server/scim"], "server/scim/filter", "server/scim/patch")
	return may
}

func TestImportsGoOneWay(t *testing.T) {
	may := mayImport(t)
	for path, p := range packages(t) {
		name, ok := ours(path)
		if !ok {
			continue
		}
		allowed, ok := may[name]
		if !ok {
			t.Errorf("%s has no place in the order of imports: give it one in mayImport, and in server/docs/guide/architecture.md", name)
			continue
		}
		for _, i := range p.Imports {
			if imported, ok := ours(i); ok && !slices.Contains(allowed, imported) {
				t.Errorf("%s must not import %s", name, imported)
			}
		}
	}
}

func TestDatabaseImports(t *testing.T) {
	for path, p := range packages(t) {
		name, ok := ours(path)
		// What is measured against writes to the database by itself.
		if !ok || slices.Contains([]string{"store", "store/engine", "store/postgres", "store/sqlite", "store/storetest", "server/bench"}, name) {
			continue
		}
		for _, i := range p.Imports {
			for _, database := range []string{"database/sql", "gorm.io/", "github.com/jackc/pgx/", "github.com/libtnb/sqlite", "modernc.org/", "github.com/pressly/goose/"} {
				if strings.HasPrefix(i, database) {
					t.Errorf("%s must not import %s: only store knows the database", name, i)
				}
			}
		}
	}
}

// TestEnginesKnowNoModel checks that the packages below store name neither a table of the model nor a type of its rows.
func TestEnginesKnowNoModel(t *testing.T) {
	tables, err := os.ReadDir("../store/migrations/sqlite")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"User", "UserChange", "UserKey", "Customer", "Company", "Role"}
	created := regexp.MustCompile(`CREATE TABLE (\w+)`)
	for _, file := range tables {
		migration, err := os.ReadFile("../store/migrations/sqlite/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range created.FindAllStringSubmatch(string(migration), -1) {
			names = append(names, found[1])
		}
	}
	if !slices.Contains(names, "users") || !slices.Contains(names, "user_changes") {
		t.Fatalf("the migrations create %q", names)
	}
	named := regexp.MustCompile(`\b(` + strings.Join(names, "|") + `)\b`)
	all := packages(t)
	for _, engine := range []string{"engine", "sqlite", "postgres"} {
		p, ok := all[module+"/store/"+engine]
		if !ok {
			t.Fatalf("there is no package store/%s", engine)
		}
		for _, name := range p.GoFiles {
			set := gotoken.NewFileSet()
			file, err := parser.ParseFile(set, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				text := ""
				switch n := n.(type) {
				case *ast.Ident:
					text = n.Name
				case *ast.BasicLit:
					text = n.Value
				}
				if found := named.FindString(text); found != "" {
					t.Errorf("%s names %s, which is the model's", set.Position(n.Pos()), found)
				}
				return true
			})
		}
	}
}

const echoPath = "github.com/labstack/echo/v4"

// TestEchoStopsAtMount: a handler takes a context and a generated request; only a dialect's Mount has the router.
func TestEchoStopsAtMount(t *testing.T) {
	known := []string{"server", "server/dialect", "server/servertest/toy", "server/servertest/toy/gen/toyapi"}
	inMount := map[string]bool{}
	for _, d := range dialects(t) {
		known = append(known, "gen/"+d+"api", "server/"+d)
		inMount["server/"+d] = true
	}
	for path, p := range packages(t) {
		name, ok := ours(path)
		if !ok {
			continue
		}
		if slices.ContainsFunc(p.Imports, func(i string) bool { return strings.HasPrefix(i, echoPath) }) && !slices.Contains(known, name) {
			t.Errorf("%s must not import Echo", name)
		}
		if !inMount[name] {
			continue
		}
		for _, file := range p.GoFiles {
			for _, at := range echoOutsideMount(t, filepath.Join(p.Dir, file)) {
				t.Errorf("%s/%s: Echo is for Mount alone", name, at)
			}
		}
	}
}

// echoOutsideMount gives the places in a file where a name of Echo's stands outside the function Mount.
func echoOutsideMount(t *testing.T, path string) []string {
	t.Helper()
	set := gotoken.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	local := ""
	for _, i := range file.Imports {
		if i.Path.Value == strconv.Quote(echoPath) {
			local = "echo"
			if i.Name != nil {
				local = i.Name.Name
			}
		}
	}
	var places []string
	for _, declaration := range file.Decls {
		if f, ok := declaration.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "Mount" {
			continue
		}
		ast.Inspect(declaration, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && local != "" && x.Name == local {
					at := set.Position(s.Pos())
					places = append(places, filepath.Base(at.Filename)+":"+strconv.Itoa(at.Line))
				}
			}
			return true
		})
	}
	return places
}

// TestSDKsAreLight: a program that uses an SDK gets none of the server's dependencies.
func TestSDKsAreLight(t *testing.T) {
	const most = 3 // modules beside this one: oapi-codegen's runtime, and the two that it needs
	all := packages(t)
	for _, d := range dialects(t) {
		sdk := "gen/" + d + "client"
		var modules []string
		seen := map[string]bool{}
		var visit func(path string)
		visit = func(path string) {
			p := all[path]
			if seen[path] || p.Standard {
				return
			}
			seen[path] = true
			if p.Module.Path != module && !slices.Contains(modules, p.Module.Path) {
				modules = append(modules, p.Module.Path)
			}
			for _, i := range p.Imports {
				visit(i)
			}
		}
		visit(module + "/" + sdk)
		if len(modules) == 0 || len(modules) > most {
			t.Errorf("%s pulls in %d modules, %d are expected at most: %v", sdk, len(modules), most, modules)
		}
		for _, m := range modules {
			for _, heavy := range []string{"github.com/labstack/echo", "github.com/getkin/kin-openapi", "gorm.io/"} {
				if strings.HasPrefix(m, heavy) {
					t.Errorf("%s pulls in %s", sdk, m)
				}
			}
		}
	}
}

func TestTopLevel(t *testing.T) {
	for _, name := range below(t, "..") {
		if !strings.HasPrefix(name, ".") && !slices.Contains([]string{"openapi", "gen", "server", "store"}, name) {
			t.Errorf("%s/ is none of openapi/, gen/, server/ and store/", name)
		}
	}
	files, err := filepath.Glob("../*.go")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(files, []string{"../main.go", "../tools.go"}) {
		t.Errorf("the Go files of the root are %v, want main.go and tools.go alone: the command line is in server/cli", files)
	}
}
