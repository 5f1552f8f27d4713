package testinium

import (
	"os"
	"strings"
	"testing"
)

// TestGuideNamesEveryError looks for each kind's code in the guide.
func TestGuideNamesEveryError(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../docs/guide/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	for kind, w := range wordsOf {
		if !strings.Contains(string(guide), "`"+w.code+"`") {
			t.Errorf("%v: the guide does not name %s", kind, w.code)
		}
	}
}
