package dialect

import (
	"encoding/json"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// TestTheEncoderWritesWhatEncodingJSONWrites is about single values; the dialects hold their whole answers alike.
func TestTheEncoderWritesWhatEncodingJSONWrites(t *testing.T) {
	t.Parallel()
	holdText := func(t rapid.TB, s string) {
		t.Helper()
		want, err := json.Marshal(map[string]any{"a": []any{s, &s, nil}})
		if err != nil {
			t.Fatal(err)
		}
		var e Encoder
		e.Open('{')
		e.Member("a").Open('[')
		e.Item().Text(s)
		e.Item().TextOrNull(&s)
		e.Item().TextOrNull(nil)
		e.Close(']')
		e.Close('}')
		if string(e.Bytes()) != string(want) {
			t.Fatalf("%q is written as %s, want %s", s, e.Bytes(), want)
		}
	}
	for c := range 0x300 {
		holdText(t, "a"+string(rune(c))+"b")
		holdText(t, "a"+string([]byte{byte(c)})+"b") // #nosec G115 -- every byte, some of them several times
	}
	rapid.Check(t, func(t *rapid.T) { holdText(t, rapid.String().Draw(t, "text")) })
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.Custom(func(t *rapid.T) uuid.UUID { return uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")) }).Draw(t, "id")
		n, b := rapid.Int64().Draw(t, "n"), rapid.Bool().Draw(t, "b")
		want, err := json.Marshal([]any{id, &id, (*uuid.UUID)(nil), n, &n, (*int64)(nil), b})
		if err != nil {
			t.Fatal(err)
		}
		var e Encoder
		e.Open('[')
		e.Item().UUID(id)
		e.Item().UUIDOrNull(&id)
		e.Item().UUIDOrNull(nil)
		e.Item().Int(n)
		e.Item().IntOrNull(&n)
		e.Item().IntOrNull(nil)
		e.Item().Bool(b)
		e.Close(']')
		if string(e.Bytes()) != string(want) {
			t.Fatalf("%s, want %s", e.Bytes(), want)
		}
	})
}
