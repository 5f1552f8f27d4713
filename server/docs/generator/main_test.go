package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/gen/documents"
	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/getkin/kin-openapi/openapi3"
	"gopkg.in/yaml.v3"
)

// TestDocumentsMatchGeneratedCode: oapi-codegen reads a document by kin-openapi and embeds what that writes.
func TestDocumentsMatchGeneratedCode(t *testing.T) {
	t.Parallel()
	for _, d := range servertest.Dialects() {
		embedded, err := d.Spec()
		if err != nil {
			t.Fatal(err)
		}
		want, err := embedded.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{d.Name + ".yaml", d.Name + ".json"} {
			document, err := openapi3.NewLoader().LoadFromData(read(t, d.Files, file))
			if err != nil {
				t.Fatal(err)
			}
			got, err := document.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(parseJSON(t, got), parseJSON(t, want)) {
				t.Errorf("%s is not the document in the server's code of %s: run make generate", file, d.Name)
			}
		}
	}
}

func TestNoDocumentWithoutDialect(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(documents.Files, "*.*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(file, filepath.Ext(file))
		if !slices.ContainsFunc(server.Dialects(), func(d server.Dialect) bool { return d.Name == name }) {
			t.Errorf("gen/documents/%s is of no dialect: add %s to dialects in server/server.go, or remove openapi/%sapi.cfg.yaml and run make generate", file, name, name)
		}
	}
}

func TestYAMLAndJSONAreTheSame(t *testing.T) {
	t.Parallel()
	for _, d := range servertest.Dialects() {
		var fromYAML any
		if err := yaml.Unmarshal(read(t, d.Files, d.Name+".yaml"), &fromYAML); err != nil {
			t.Fatal(err)
		}
		asJSON, err := json.Marshal(fromYAML)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(parseJSON(t, read(t, d.Files, d.Name+".json")), parseJSON(t, asJSON)) {
			t.Errorf("%s.json and %s.yaml differ", d.Name, d.Name)
		}
	}
}

func read(t *testing.T, files fs.FS, name string) []byte {
	t.Helper()
	content, err := fs.ReadFile(files, name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func parseJSON(t *testing.T, text []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestJSONKeepsOrderAndDigits(t *testing.T) {
	t.Parallel()
	var root yaml.Node
	text := "b: &b {z: 9007199254740993, a: [1.50, true, null]}\n'200': \"a\\nb <c>\"\na: *b\n"
	if err := yaml.Unmarshal([]byte(text), &root); err != nil {
		t.Fatal(err)
	}
	got, err := toJSON(&root)
	if err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, got); err != nil {
		t.Fatal(err)
	}
	want := `{"b":{"z":9007199254740993,"a":[1.50,true,null]},"200":"a\nb <c>","a":{"z":9007199254740993,"a":[1.50,true,null]}}`
	if compact.String() != want {
		t.Errorf("got  %s\nwant %s", compact.String(), want)
	}
}

func TestUnrepresentableJSONIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"a: 2026-11-24", "a: 0x10", "a: .inf", "a: &a {b: 1}\nc: {<<: *a}", "[a]: b"} {
		var root yaml.Node
		if err := yaml.Unmarshal([]byte(text), &root); err != nil {
			t.Fatal(err)
		}
		if got, err := toJSON(&root); err == nil {
			t.Errorf("%q became %s", text, got)
		}
	}
}

// TestUnmatchedOverlayIsAnError: a mistyped path must not pass in silence.
func TestUnmatchedOverlayIsAnError(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "overlay.yaml")
	action := "overlay: 1.0.0\ninfo: {title: t, version: '1'}\nactions:\n  - target: $.info\n    update: {description: more}\n"
	document := []byte("openapi: 3.0.3\ninfo: {title: x, version: '1'}\npaths: {}\n")
	if err := os.WriteFile(path, []byte(action), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := overlaid(document, path)
	if err != nil || !strings.Contains(string(got), "description: more") {
		t.Fatalf("%s, %v", got, err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(action, "$.info", "$.imfo", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := overlaid(document, path); err == nil {
		t.Errorf("an action without a target gave %s", got)
	}
}
