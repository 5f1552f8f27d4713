package worth

import (
	"os"
	"strings"
	"testing"
)

// TestGuideNamesEveryError looks for each kind's code and name in one row of the guide.
func TestGuideNamesEveryError(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../docs/guide/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	for kind, w := range wordsOf {
		found := false
		for row := range strings.Lines(string(guide)) {
			found = found || strings.Contains(row, "`"+w.code+"`") && strings.Contains(row, "`"+w.name+"`")
		}
		if !found {
			t.Errorf("%v: the guide has no row with %s and %s", kind, w.code, w.name)
		}
	}
}
