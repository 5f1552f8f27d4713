package store

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// TestRowValues compares what is found with a map, for runs of any length.
func TestRowValues(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := rowValues{limit: rapid.IntRange(1, 20).Draw(t, "in memory")}
		type key struct {
			field int
			value string
		}
		firsts := map[key]int64{}
		var want []string
		for line := range int64(rapid.IntRange(0, 100).Draw(t, "lines")) {
			field := rapid.IntRange(0, 2).Draw(t, "field")
			n := rapid.IntRange(0, 9).Draw(t, "value")
			value := fmt.Sprint(n)
			namedByEmail := n == 5
			if err := c.add(field, value, line+1, namedByEmail); err != nil {
				t.Fatal(err)
			}
			if first, ok := firsts[key{field, value}]; ok {
				want = append(want, fmt.Sprint(field, first, line+1, namedByEmail))
			} else {
				firsts[key{field, value}] = line + 1
			}
		}
		name := ""
		if c.file != nil {
			name = c.file.Name()
		}
		var got []string
		err := c.repeated(func(again, first rowValue) {
			line, namedByEmail := again.line()
			before, _ := first.line()
			got = append(got, fmt.Sprint(again[0], before, line, namedByEmail))
		})
		slices.Sort(got)
		slices.Sort(want)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%v, want %v, %v", got, want, err)
		}
		if name != "" {
			if _, err := os.Stat(name); err == nil {
				t.Fatalf("%s is still there", name)
			}
		}
	})
}

// BenchmarkRowValues adds four values for each row of a million.
func BenchmarkRowValues(b *testing.B) {
	for b.Loop() {
		var c rowValues
		for line := range int64(1_000_000) {
			for field := range 4 {
				if err := c.add(field, strconv.FormatInt(rand.Int64(), 10), line+1, false); err != nil {
					b.Fatal(err)
				}
			}
		}
		if err := c.repeated(func(rowValue, rowValue) {}); err != nil {
			b.Fatal(err)
		}
	}
}
