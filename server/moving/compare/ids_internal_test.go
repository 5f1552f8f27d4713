package compare

import (
	"slices"
	"testing"
)

func TestIDs(t *testing.T) {
	t.Parallel()
	texts := []string{"0", "20", "100", "9223372036854775807", "-1", "007", "18446744073709551615", "18446744073709551616", "1e3", "x", "00000000-0000-0000-0000-000000000000",
		"94520740-d63c-4e02-85ca-c4e138801e73", "94520740-D63C-4E02-85CA-C4E138801E73", "{94520740-d63c-4e02-85ca-c4e138801e73}"}
	var ids []id
	for _, text := range texts {
		x := newID(text)
		if x.String() != text {
			t.Errorf("%q becomes %q", text, x)
		}
		ids = append(ids, x, x)
	}
	if got := sorted(slices.Clone(ids)); len(got) != len(texts) || got[1].String() != "20" || got[2].String() != "100" {
		t.Errorf("sorted they are %v", got)
	}
}
