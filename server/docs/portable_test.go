package docs_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

// TestDocumentsArePortable checks what tools other than ours refuse or misread in a document.
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
			t.Errorf("%s: only %d objects were looked at", file, nodes)
		}
	}
}

// unportable gives what is wrong with a schema. Objects that are none have none of these keywords with such values.
func unportable(schema map[string]any) (faults []string) {
	_, typed := schema["type"].(string)
	pattern, patterned := schema["pattern"].(string)
	if schema["nullable"] == true && !typed {
		faults = append(faults, "is nullable without a type, which validators made of AJV refuse")
	}
	if strings.ContainsFunc(pattern, func(r rune) bool { return r > unicode.MaxASCII || r < ' ' }) {
		faults = append(faults, "has a pattern that generators cannot write into code as it stands")
	}
	if patterned && schema["format"] != nil {
		faults = append(faults, "has a format beside a pattern of ours: whichever is narrower refuses what the server takes")
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
