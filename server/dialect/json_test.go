package dialect

import (
	"bytes"
	"encoding/json"
	"math/big"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func decodeJSON(body []byte) (any, error) { return readJSON(bytes.NewReader(body), defaultMaxValues) }

func TestJSONValuesAreReadAsGo(t *testing.T) {
	t.Parallel()
	for literal, want := range map[string]any{
		`null`: nil, `true`: true, `false`: false, `""`: "", `"a\u00e9\ud83d\ude00\/"`: "aé😀/",
		`[]`: []any{}, `{}`: map[string]any{}, ` [ 1 , [ ] ] `: []any{int64(1), []any{}},
		`{"a":{"b":[null]},"A":1,"":2}`: map[string]any{"a": map[string]any{"b": []any{nil}}, "A": int64(1), "": int64(2)},
	} {
		got, err := decodeJSON([]byte(literal))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %#v, %v, want %#v", literal, got, err, want)
		}
	}
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	for literal, want := range map[string]any{
		"0": int64(0), "-0": int64(0), "0.0": int64(0), "-0.0e9": int64(0), "0e999999999999": int64(0),
		"6860": int64(6860), "6860.0": int64(6860), "6860.000": int64(6860), "6.86e3": int64(6860), "68600E-1": int64(6860),
		"0.006860e+6": int64(6860), "-12": int64(-12),
		"9007199254740993": int64(1<<53 + 1), "9007199254740993.0": int64(1<<53 + 1), "900719925474099.3e1": int64(1<<53 + 1),
		"9223372036854775807": int64(1<<63 - 1), "-9223372036854775808": int64(-1 << 63), "1e18": int64(1e18), "9.223372036854775807e18": int64(1<<63 - 1),
		"6860.5": 6860.5, "0.1": 0.1, "-1e-1": -0.1,
	} {
		if got := number(literal); got != want {
			t.Errorf("%s is %T %v, want %T %v", literal, got, got, want, want)
		}
	}
}

func TestNonLongNumberIsRefused(t *testing.T) {
	t.Parallel()
	for _, literal := range []string{
		"9223372036854775808", "-9223372036854775809", "1e19", "1e400", "-1e400", "1e999999999999", "9223372036854775807.5",
		"9007199254740993.5", "4503599627370497.0000000001", "1e-400", "1.0000000000000000000001", "123456789012345678901234567890",
	} {
		if f, ok := number(literal).(float64); !ok || f == float64(int64(f)) {
			t.Errorf("%s is %T %v, want a float64 with a fraction", literal, number(literal), number(literal))
		}
	}
}

func TestIntegralNumberIsLong(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		literal := rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,4}0{0,4})?([eE][+-]?[0-2]?[0-9])?`).Draw(t, "literal")
		exact, ok := new(big.Rat).SetString(literal)
		if !ok {
			t.Fatalf("%s is no number", literal)
		}
		n, isLong := number(literal).(int64)
		if isLong != (exact.IsInt() && exact.Num().IsInt64()) || isLong && exact.Num().Int64() != n {
			t.Errorf("%s is %v, want %s", literal, number(literal), exact)
		}
	})
}

func TestJSONRoundTrip(t *testing.T) {
	t.Parallel()
	text := rapid.StringN(0, 8, -1).Filter(func(s string) bool { return !strings.Contains(s, "\x00") })
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		kinds := []*rapid.Generator[any]{rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.Int64().AsAny(), text.AsAny()}
		if depth > 0 {
			kinds = append(kinds,
				rapid.Map(rapid.SliceOfN(value(depth-1), 0, 3), func(s []any) any { return append([]any{}, s...) }),
				rapid.Map(rapid.MapOfN(text, value(depth-1), 0, 3), func(m map[string]any) any { return m }))
		}
		return rapid.OneOf(kinds...)
	}
	rapid.Check(t, func(t *rapid.T) {
		want := value(4).Draw(t, "value")
		encoded, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeJSON(encoded)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %#v, %v, want %#v", encoded, got, err, want)
		}
	})
}

func TestNestingEndsAt32(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ open, shut string }{{"[", "]"}, {`{"a":`, "}"}, {`[{"a":`, "}]"}} {
		width := strings.Count(c.open, "[") + strings.Count(c.open, "{")
		nested := func(n int) []byte {
			return []byte(strings.Repeat(c.open, n/width) + "1" + strings.Repeat(c.shut, n/width))
		}
		if _, err := decodeJSON(nested(32)); err != nil {
			t.Errorf("32 deep of %s: %v", c.open, err)
		}
		if _, err := decodeJSON(nested(34)); err == nil {
			t.Errorf("34 deep of %s: no error", c.open)
		}
	}
	if _, err := decodeJSON([]byte(strings.Repeat("[", 33) + strings.Repeat("]", 33))); err == nil {
		t.Error("33 deep: no error")
	}
	// Width is no depth, up to its own bound.
	for n, ok := range map[int]bool{1023: true, 1024: false} {
		for open, text := range map[string]string{"[]": strings.Repeat("1,", n-1) + "1", "{}": members(n)} {
			_, err := decodeJSON([]byte(open[:1] + text + open[1:]))
			if ok != (err == nil) || err != nil && err.Error() != "invalid request: the body must have at most 1024 values" {
				t.Errorf("%s of %d values: %v", open, n, err)
			}
		}
	}
	if _, err := decodeJSON([]byte("[" + strings.Repeat("[],{},", 500) + "[]]")); err != nil {
		t.Error(err)
	}
}

// members gives n members of an object.
func members(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = `"` + strconv.Itoa(i) + `":null`
	}
	return strings.Join(all, ",")
}
