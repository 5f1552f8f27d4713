package dialect

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzDecodeJSON holds the decoder against Go's own. What is read is JSON, with the value that Go gives it, and holds none of
// what must be refused: a repeated name, invalid UTF-8, U+0000, nesting beyond 32. What has none of that is read.
func FuzzDecodeJSON(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,2.5,"x",null,true]}`, `{"a":1,"a":2}`, `{"a":1,"A":2,"\u0061":3}`, `{"":1,"":2}`, "\ufeff{}", `{"a":"\ud800"}`, `"\ud83d\ude00"`,
		`[[[[`, `1e400`, `6860.0`, `-0.0e9`, `9223372036854775808`, "{\"\xff\":1}", `{"a":"\u0000"}`, "{\"a\":\"\x00\"}", `[] []`, "", " ", `nul`,
		`{"first_name":"Ada","subrole":{"code":"cro"},"status":"ACTIVE"}`,
		strings.Repeat("[", 32) + strings.Repeat("]", 32), strings.Repeat(`{"a":`, 33) + "1" + strings.Repeat("}", 33),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := decodeJSON(body)
		want, why := decodeByGo(body)
		if err != nil {
			var invalid *InvalidError
			if got != nil || !errors.As(err, &invalid) || len(invalid.Fields) != 1 {
				t.Fatalf("%q is refused with %v and the value %v", body, err, got)
			}
			if message := invalid.Fields[0].Message; !utf8.ValidString(message) || strings.ContainsRune(message, 0) {
				t.Errorf("%q is refused with %q", body, message)
			}
			// Go's decoder reads half a surrogate as U+FFFD.
			if why == "" && !bytes.Contains(bytes.ToLower(body), []byte(`\ud`)) {
				t.Errorf("%q is refused with %v, and nothing is wrong with it", body, err)
			}
			return
		}
		if why != "" {
			t.Fatalf("%q is read, and %s", body, why)
		}
		if !same(got, want) {
			t.Errorf("%q is read as %#v, want %#v", body, got, want)
		}
	})
}

// decodeByGo reads a body with Go's own decoder, and says why it must be refused.
func decodeByGo(body []byte) (value any, why string) {
	if !utf8.Valid(body) {
		return nil, "it is not UTF-8"
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&value); err != nil {
		return nil, err.Error()
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, "something stands behind its value"
	}
	return value, whyNot(body)
}

// whyNot says which of the server's own rules a JSON text breaks.
func whyNot(body []byte) string {
	// Each open object or array; of an object, the names so far, and whether the next token is a name.
	type open struct {
		names map[string]bool
		next  bool
	}
	var stack []open
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	for {
		token, err := d.Token()
		if err != nil {
			return ""
		}
		text, isText := token.(string)
		if isText && strings.ContainsRune(text, 0) {
			return "it has U+0000"
		}
		if top := len(stack) - 1; top >= 0 && stack[top].names != nil && token != json.Delim('}') {
			if stack[top].next {
				if stack[top].names[text] {
					return "a name is repeated"
				}
				stack[top].names[text] = true
			}
			stack[top].next = !stack[top].next
		}
		switch token {
		case json.Delim('{'):
			stack = append(stack, open{names: map[string]bool{}, next: true})
		case json.Delim('['):
			stack = append(stack, open{})
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:len(stack)-1]
		}
		if len(stack) > maxDepth {
			return "it is nested too deep"
		}
	}
}

// same tells whether two decoders read the same. Go's gives numbers as they were written.
func same(got, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		return ok && maps.EqualFunc(object, want, same)
	case []any:
		array, ok := got.([]any)
		return ok && slices.EqualFunc(array, want, same)
	case json.Number:
		return sameNumber(got, want.String())
	default:
		return got == want
	}
}

// sameNumber tells whether got is what the literal stands for, if that is a Long, and else no integer.
func sameNumber(got any, literal string) bool {
	if _, power, ok := strings.Cut(strings.ToLower(literal), "e"); ok {
		if exponent, err := strconv.Atoi(power); err != nil || exponent < -400 || exponent > 400 {
			// Too much to write out, and a Long only if it is 0.
			n, isLong := got.(int64)
			return !isLong || n == 0 || len(literal) > 400
		}
	}
	exact, ok := new(big.Rat).SetString(literal)
	if !ok {
		return false
	}
	if exact.IsInt() && exact.Num().IsInt64() {
		return got == exact.Num().Int64()
	}
	f, ok := got.(float64)
	return ok && f != float64(int64(f))
}
