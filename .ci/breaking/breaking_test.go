package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const root = "../.."

// checkout is a copy of what the check reads, in which the documents of the last release are today's, and nothing is told.
func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for from, to := range map[string]string{
		"gen/documents/*.yaml":       "gen/documents",
		"gen/documents/[a-z]*.yaml":  "openapi/released",
		"openapi/worth.yaml":         "openapi",
		"openapi/*.overlay.yaml":     "openapi",
		"openapi/*.differences.yaml": "openapi",
	} {
		paths, err := filepath.Glob(filepath.Join(root, from))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %v, %v", from, paths, err)
		}
		for _, path := range paths {
			write(t, filepath.Join(dir, to, filepath.Base(path)), readFile(t, path))
		}
	}
	writeChangelog(t, dir, "")
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func writeChangelog(t *testing.T, dir, unreleased string) {
	t.Helper()
	write(t, filepath.Join(dir, "CHANGELOG.md"), "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- Much.\n\n"+unreleased+
		"\n## [1.0.0] - 2026-11-24\n\n### Breaking\n\n- `api-removed-without-deprecation`, worth `GET /gone`: api removed without deprecation\n")
}

type object = map[string]any

// change edits a document of today.
func change(t *testing.T, dir, document string, edit func(object)) {
	t.Helper()
	path := filepath.Join(dir, "gen", "documents", document+".yaml")
	var content object
	if err := yaml.Unmarshal([]byte(readFile(t, path)), &content); err != nil {
		t.Fatal(err)
	}
	edit(content)
	text, err := yaml.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(text))
}

// at gives the object below these members.
func at(o object, members ...string) object {
	for _, member := range members {
		o = o[member].(object)
	}
	return o
}

func put(o object) object {
	return at(o, "paths", "/customers/{id}/users/{userId}", "put")
}

func remove(members ...string) func(object) {
	return func(o object) { delete(at(o, members[:len(members)-1]...), members[len(members)-1]) }
}

func run(t *testing.T, dir string) (said string, ok bool) {
	t.Helper()
	var out strings.Builder
	err := check(dir, &out)
	if err != nil && !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	return out.String(), err == nil
}

// told gives the lines to paste, as the check wrote them.
func told(said string) string {
	var lines []string
	for line := range strings.Lines(said) {
		if strings.HasPrefix(line, "- ") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

func TestNothingBreaksOfItself(t *testing.T) {
	t.Parallel()
	dir := checkout(t)
	if said, ok := run(t, dir); !ok {
		t.Errorf("without a change the check fails:\n%s", said)
	}
	change(t, dir, "testinium", func(o object) {
		at(o, "components", "schemas", "UserUpdate", "properties")["nickname"] = object{"type": "string"}
		at(put(o), "responses")["418"] = object{"description": "A teapot."}
		put(o)["description"] = "In other words."
	})
	if said, ok := run(t, dir); !ok {
		t.Errorf("what breaks nobody fails:\n%s", said)
	}
}

func TestWhatBreaksMustBeTold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		document string
		plant    func(object)
		id       string
	}{
		"an operation goes": {"worth", remove("paths", "/customers/{customerID}/subroles", "get"), "api-removed-without-deprecation"},
		"a path goes":       {"directory", remove("paths", "/changes"), "api-path-removed-without-deprecation"},
		"the success goes": {"testinium", func(o object) {
			delete(at(put(o), "responses"), "200")
		}, "response-success-status-removed"},
		"a member of an answer goes": {"testinium", func(o object) {
			user := at(o, "components", "schemas", "User")
			delete(at(user, "properties"), "username")
			var rest []any
			for _, member := range user["required"].([]any) {
				if member != "username" {
					rest = append(rest, member)
				}
			}
			user["required"] = rest
		}, "response-required-property-removed"},
		"an optional member becomes required": {"testinium", func(o object) {
			update := at(o, "components", "schemas", "UserUpdate")
			update["required"] = append(update["required"].([]any), "vcsPassword")
		}, "request-property-became-required"},
		"a required query parameter comes": {"directory", func(o object) {
			get := at(o, "paths", "/changes", "get")
			get["parameters"] = append(get["parameters"].([]any),
				object{"name": "since", "in": "query", "required": true, "schema": object{"type": "string"}})
		}, "new-required-request-parameter"},
		"a text becomes shorter": {"testinium", func(o object) {
			at(o, "components", "schemas", "UserUpdate", "properties", "name")["maxLength"] = 100
		}, "request-property-max-length-decreased"},
		"a pattern changes": {"worth", func(o object) {
			at(o, "components", "schemas", "NewUser", "properties", "email")["pattern"] = "^[a-z]+@[a-z]+$"
		}, "request-property-pattern-changed"},
		"a type changes": {"testinium", func(o object) {
			at(o, "components", "schemas", "User", "properties", "entityId")["type"] = "string"
		}, "response-property-type-changed"},
		"an answer gets null": {"worth", func(o object) {
			at(o, "components", "schemas", "UserDetails", "properties", "email")["nullable"] = true
		}, "response-property-became-nullable"},
		"a state comes to answers": {"worth", func(o object) {
			state := at(o, "components", "schemas", "UserState")
			state["enum"] = append(state["enum"].([]any), "GONE")
		}, "response-property-enum-value-added"},
		"an operation is renamed": {"worth", func(o object) {
			at(o, "paths", "/customers/{customerID}/users/{userID}", "patch")["operationId"] = "patchUser"
		}, "operation-id-changed"},
		"the base path changes": {"testinium", func(o object) {
			o["servers"] = []any{object{"url": "/account/api/v2"}}
		}, "base-path-removed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := checkout(t)
			change(t, dir, c.document, c.plant)
			said, ok := run(t, dir)
			if ok || !strings.Contains(said, "- `"+c.id+"`, "+c.document) || !strings.Contains(said, "CHANGELOG.md") {
				t.Fatalf("it passes, or does not say %s:\n%s", c.id, said)
			}

			writeChangelog(t, dir, "### Breaking\n\n"+told(said)+"- The flag `--old` is gone.\n")
			if said, ok := run(t, dir); !ok {
				t.Errorf("it fails though CHANGELOG.md tells all:\n%s", said)
			}
			writeChangelog(t, dir, "### Breaking\n\n"+strings.NewReplacer("\n", ". Clients must\n  be changed.\n", ": ", ":\n  ").Replace(told(said)))
			if said, ok := run(t, dir); !ok {
				t.Errorf("it fails though CHANGELOG.md tells all, with a reason, wrapped:\n%s", said)
			}
			// Not below [Unreleased], not as breaking.
			writeChangelog(t, dir, "### Changed\n\n"+told(said))
			if said, ok := run(t, dir); ok {
				t.Errorf("it passes though CHANGELOG.md tells it elsewhere:\n%s", said)
			}
		})
	}
}

func TestAnEntryMustNameAChange(t *testing.T) {
	t.Parallel()
	dir := checkout(t)
	writeChangelog(t, dir, "### Breaking\n\n- `request-property-became-required`, worth `PATCH /customers/{customerID}/users/{userID}`: gone again\n")
	if said, ok := run(t, dir); ok || !strings.Contains(said, "gone again") {
		t.Errorf("an entry that names nothing passes:\n%s", said)
	}
}

func TestADocumentMustNotGo(t *testing.T) {
	t.Parallel()
	dir := checkout(t)
	if err := os.Remove(filepath.Join(dir, "gen", "documents", "directory.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := check(dir, &strings.Builder{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a document is gone, and the error is %v", err)
	}
}

func TestADocumentMayCome(t *testing.T) {
	t.Parallel()
	dir := checkout(t)
	if err := os.Remove(filepath.Join(dir, "openapi", "released", "directory.yaml")); err != nil {
		t.Fatal(err)
	}
	if said, ok := run(t, dir); !ok || !strings.Contains(said, "directory: new since the last release") {
		t.Errorf("a document that the last release had not fails, or nothing is said of it:\n%s", said)
	}
}

func TestExtensionsMustHaveReasons(t *testing.T) {
	t.Parallel()
	dir := checkout(t)
	patch := func(o object) object {
		return at(o, "paths", "/customers/{customerID}/users/{userID}", "patch", "requestBody", "content", "application/json", "schema")
	}
	change(t, dir, "worth", func(o object) { patch(o)["required"] = []any{"email"} })
	// The last release had it already: only the vendor's clients break.
	write(t, filepath.Join(dir, "openapi", "released", "worth.yaml"), readFile(t, filepath.Join(dir, "gen", "documents", "worth.yaml")))
	said, ok := run(t, dir)
	if ok || !strings.Contains(said, "request-property-became-required") || !strings.Contains(said, "worth.differences.yaml") {
		t.Fatalf("a difference from the vendor's document passes, or is not named:\n%s", said)
	}

	file := filepath.Join(dir, "openapi", "worth.differences.yaml")
	accepted := readFile(t, file)
	var changes string
	for line := range strings.Lines(said) {
		if strings.HasPrefix(line, "    - ") {
			changes += line
		}
	}
	write(t, file, accepted+"- reason: We want it so.\n  changes:\n"+changes)
	if said, ok := run(t, dir); !ok {
		t.Errorf("an accepted difference fails:\n%s", said)
	}
	write(t, file, accepted+"- changes:\n"+changes)
	if err := check(dir, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), "has no reason") {
		t.Errorf("a difference without a reason is accepted: %v", err)
	}
	write(t, file, accepted+"- reason: There was one.\n  changes: ['`request-body-became-enum`, worth `GET /`: it is gone']\n"+"- reason: We want it so.\n  changes:\n"+changes)
	if said, ok := run(t, dir); ok || !strings.Contains(said, "it is gone") {
		t.Errorf("an accepted difference that is none passes:\n%s", said)
	}
}
