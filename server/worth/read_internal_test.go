package worth

import (
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/store"
	"pgregory.net/rapid"
)

// TestTimeFormat compares toAPITime with time.Format.
func TestTimeFormat(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := time.UnixMilli(rapid.Int64Range(-1e14, 1e15).Draw(t, "ms")).Add(time.Duration(rapid.IntRange(0, 999999).Draw(t, "ns")))
		for _, at := range []time.Time{at.UTC(), at.In(time.FixedZone("", 3600))} {
			if got, want := toAPITime(at), at.Format(store.TimeLayout); got != want {
				t.Fatalf("%s, want %s", got, want)
			}
		}
	})
}
