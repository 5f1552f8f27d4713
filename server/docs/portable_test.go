package docs_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

// TestDocumentsArePortable checks that the documents contain nothing that other tools reject or misread.
func TestDocumentsArePortable(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../gen/documents/*.json")
	if err != nil || len(files) < 3 {
		t.Fatalf("the documents are %v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var document any
		if err := json.Unmarshal(text, &document); err != nil {
			t.Fatal(err)
		}
		nodes := 0
		walk(document, filepath.Base(file), func(at string, node map[string]any) {
			nodes++
			for _, fault := range unportable(node) {
				t.Errorf("%s %s", at, fault)
			}
		})
		if nodes < 100 {
			t.Errorf("%s: only %d objects were checked", file, nodes)
		}
	}
}

// unportable returns the faults of a schema. Objects that are not schemas have no faults, since they lack these keywords.
func unportable(schema map[string]any) (faults []string) {
	_, typed := schema["type"].(string)
	pattern, patterned := schema["pattern"].(string)
	if schema["nullable"] == true && !typed {
		faults = append(faults, "is nullable without a type, which AJV rejects")
	}
	if strings.ContainsFunc(pattern, func(r rune) bool { return r > unicode.MaxASCII || r < ' ' }) {
		faults = append(faults, "has a pattern that code generators do not escape")
	}
	if patterned && schema["format"] != nil {
		faults = append(faults, "has a pattern and a format, which may reject different values")
	}
	return faults
}

// walk calls visit for every object of a JSON value, with its path.
func walk(value any, at string, visit func(at string, object map[string]any)) {
	switch value := value.(type) {
	case map[string]any:
		visit(at, value)
		for name, member := range value {
			walk(member, at+"/"+name, visit)
		}
	case []any:
		for _, item := range value {
			walk(item, at+"/-", visit)
		}
	}
}
