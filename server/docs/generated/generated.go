// Package generated keeps the parts of Markdown files that are made from the code. Each part is between two comments,
//
//	<!-- NAME: HOW IT IS MADE -->
//	<!-- end of NAME -->
//
// where NAME is one word. The package does not know what the parts say.
package generated

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// Replace returns content with text in place of what is between the comments of a part.
func Replace(content, name, text string) (string, error) {
	begin := regexp.MustCompile(`<!-- ` + regexp.QuoteMeta(name) + `: [^\n]* -->\n`).FindStringIndex(content)
	if begin == nil {
		return "", fmt.Errorf("there is no <!-- %s: ... -->", name)
	}
	end := "<!-- end of " + name + " -->"
	_, after, ok := strings.Cut(content[begin[1]:], end)
	if !ok {
		return "", fmt.Errorf("there is no %s", end)
	}
	return content[:begin[1]] + "\n" + strings.TrimSpace(text) + "\n\n" + end + after, nil
}

// Check reports an error if a part of a file is not text. With UPDATE_DOCS=1 in the environment, as `make docs` sets it, it
// writes the text into the file instead. Each test that calls it has a name that begins with TestGenerated.
func Check(t testing.TB, file, name, text string) {
	t.Helper()
	content, err := os.ReadFile(file) // #nosec G304 -- a test names it
	if err != nil {
		t.Fatal(err)
	}
	want, err := Replace(string(content), name, text)
	switch {
	case err != nil:
		t.Errorf("%s: %v", file, err)
	case want == string(content):
	case os.Getenv("UPDATE_DOCS") == "1":
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil { // #nosec G306 G703 -- documentation, named by a test
			t.Error(err)
		}
	default:
		t.Errorf("the part %q of %s is out of date: run make docs", name, file)
	}
}
