package generated_test

import (
	"testing"

	"github.com/dragoman-id/dragoman/server/docs/generated"
)

func TestReplace(t *testing.T) {
	t.Parallel()
	const content = "before\n<!-- table: by a test -->\nold\n<!-- end of table -->\nafter\n"
	const want = "before\n<!-- table: by a test -->\n\nnew\n\n<!-- end of table -->\nafter\n"
	for _, old := range []string{content, want} {
		if got, err := generated.Replace(old, "table", "new\n"); err != nil || got != want {
			t.Errorf("%q, %v", got, err)
		}
	}
	for _, broken := range []string{"<!-- table: -->", "<!-- table: by a test -->\nold\n", "<!-- table: by a test -->\n<!-- end of chair -->\n"} {
		if got, err := generated.Replace(broken, "table", "new"); err == nil {
			t.Errorf("%q became %q", broken, got)
		}
	}
}
