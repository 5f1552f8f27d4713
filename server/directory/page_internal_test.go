package directory

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/gen/directoryapi"
	"github.com/dragoman-id/dragoman/store"
)

// sourceOf has changes with subjects of these lengths, at the positions 1, 2 and so on. Beyond them it goes on at end.
func sourceOf(end int64, lengths ...int) pageSource[store.UserChange, directoryapi.Change] {
	return pageSource[store.UserChange, directoryapi.Change]{
		read: func(after int64, limit int) ([]store.UserChange, int64, error) {
			if limit > batchSize {
				return nil, 0, errors.New("more than a batch is asked for")
			}
			var found []store.UserChange
			for i, length := range lengths {
				if version := int64(i + 1); version > after && len(found) < limit {
					found = append(found, store.UserChange{Version: version, Subject: strings.Repeat("x", length)})
				}
			}
			if len(found) == limit {
				return found, found[limit-1].Version, nil
			}
			return found, max(end, after), nil
		},
		position: func(c store.UserChange) int64 { return c.Version },
		show:     toAPIChange,
	}
}

func TestPageIsFilled(t *testing.T) {
	t.Parallel()
	const large = 1 << 19
	for name, c := range map[string]struct {
		lengths []int
		after   int64
		limit   int
		shown   int
		next    int64
	}{
		"no change":                      {nil, 5, 10, 0, 500},
		"no change before the end":       {nil, 900, 10, 0, 900},
		"all of them":                    {[]int{1, 1, 1}, 0, 10, 3, 500},
		"as many as asked for":           {[]int{1, 1, 1}, 0, 3, 3, 3},
		"more than a batch":              {slices.Repeat([]int{1}, 130), 0, 1000, 130, 500},
		"batches without a rest":         {slices.Repeat([]int{1}, 100), 0, 1000, 100, 500},
		"a limit between batches":        {slices.Repeat([]int{1}, 130), 0, 70, 70, 70},
		"the second has no room":         {[]int{large, large, 1}, 0, 10, 1, 1},
		"the third has no room":          {[]int{large, 1, large, 1}, 0, 10, 2, 2},
		"the first of the second batch":  {append(slices.Repeat([]int{20000}, 50), large), 0, 1000, 50, 50},
		"a single one that is too large": {[]int{3 * large, 1}, 0, 10, 1, 1},
		"too large in the middle":        {[]int{1, 3 * large, 1}, 0, 10, 1, 1},
		"too large, from there on":       {[]int{1, 3 * large, 1}, 1, 10, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shown, next, err := sourceOf(500, c.lengths...).page(c.after, c.limit)
			if err != nil || len(shown) != c.shown || next != c.next || shown == nil {
				t.Errorf("%d changes, next is %d, %v; want %d and %d", len(shown), next, err, c.shown, c.next)
			}
		})
	}
}

// TestPageEndsAt1MiB: a second change that just has room is shown, and one that is a byte longer is not.
func TestPageEndsAt1MiB(t *testing.T) {
	t.Parallel()
	const first = 1 << 19
	empty, err := json.Marshal(toAPIChange(store.UserChange{}))
	if err != nil {
		t.Fatal(err)
	}
	room := maxPageBytes - envelopeBytes - first - 2*(len(empty)+len(","))
	for length, want := range map[int]int{room: 2, room + 1: 1} {
		shown, next, err := sourceOf(0, first, length).page(0, 10)
		if err != nil || len(shown) != want || next != int64(want) {
			t.Fatalf("%d bytes: %d changes, next is %d, %v", length, len(shown), next, err)
		}
		body, err := json.Marshal(directoryapi.History{Changes: shown, Next: math.MinInt64})
		if err != nil || len(body)+len("\n") > maxPageBytes {
			t.Errorf("the page has %d bytes, %v", len(body), err)
		}
	}
}
