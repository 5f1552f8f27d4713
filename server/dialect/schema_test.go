package dialect

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"pgregory.net/rapid"
)

// documentedSchemas gives every schema that requests are held against, those within others included, by where it stands.
func documentedSchemas(t *testing.T) map[string]*openapi3.Schema {
	t.Helper()
	all := map[string]*openapi3.Schema{}
	files, err := filepath.Glob("../../gen/documents/*.json")
	if err != nil || len(files) < 3 {
		t.Fatalf("the documents are %v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		document, err := openapi3.NewLoader().LoadFromData(text)
		if err != nil {
			t.Fatal(err)
		}
		for path, item := range document.Paths.Map() {
			for method, o := range item.Operations() {
				op, err := newOperation(&Dialect{}, method, item, o, "")
				if err != nil {
					t.Fatal(err)
				}
				at := filepath.Base(file) + " " + method + " " + path
				for _, p := range op.parameters {
					collect(all, at+" "+p.Name, p.Schema.Value)
				}
				if op.body != nil {
					collect(all, at, op.body.schema)
				}
			}
		}
	}
	return all
}

func collect(all map[string]*openapi3.Schema, at string, s *openapi3.Schema) {
	all[at] = s
	for name, property := range s.Properties {
		collect(all, at+"."+name, property.Value)
	}
	if s.Items != nil {
		collect(all, at+"[]", s.Items.Value)
	}
}

// A schema of the documents is held against what fits it, what nearly does, and anything else.
func TestWhatARuleIsSureOfIsWhatTheSchemaTakes(t *testing.T) {
	t.Parallel()
	for at, s := range documentedSchemas(t) {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			holdRule(t, s, true)
		})
	}
}

// Those that no document has, known keywords and others.
func TestARuleIsNotSureOfWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{"type":"string","format":"date"}`, `{"type":"string","pattern":"^\\u0041$"}`, `{"type":"number"}`, `{"type":"integer","format":"int32"}`, `{"type":"integer","format":"x"}`,
		`{"type":"integer","minimum":1,"exclusiveMinimum":true}`, `{"type":"integer","multipleOf":2}`, `{"type":"integer","enum":[1,2]}`,
		`{"type":"array","items":{},"minItems":1}`, `{"type":"array","items":{},"uniqueItems":true}`,
		`{"type":"object","additionalProperties":false,"properties":{"a":{}}}`, `{"type":"object","maxProperties":1}`,
		`{"type":"object","properties":{"a":{"type":"string","readOnly":true}}}`, `{"anyOf":[{"type":"string"},{"type":"integer"}]}`,
		`{"not":{"type":"string"}}`, `{"minLength":2}`, `{"allOf":[{"type":"string"}],"type":"string"}`, `{"properties":{"a":{"type":"string"}}}`,
		`{"required":["a"]}`, `{"type":"string","nullable":true,"enum":["a"]}`, `{"format":"int64"}`, `{"items":{"type":"string"}}`,
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			holdRule(t, schema(t, text), false)
		})
	}
}

// holdRule holds what a rule is sure of against kin-openapi, and, where the rule is whole, also what it is not sure of.
func holdRule(t *testing.T, s *openapi3.Schema, whole bool) {
	t.Helper()
	r := newRule(s)
	rapid.Check(t, func(t *rapid.T) {
		value := valueNear(s, 3).Draw(t, "value")
		switch good := validate(s, value, "") == nil; {
		case r.sure(value) && !good:
			t.Fatalf("the rule is sure of %#v, which the schema does not take", value)
		case whole && good && !r.sure(value) && !holdsLarge(value):
			t.Fatalf("the rule is not sure of %#v, which the schema takes", value)
		}
	})
}

// holdsLarge tells whether a value holds an integer of which no rule is sure.
func holdsLarge(value any) bool {
	switch value := value.(type) {
	case int64:
		return value > maxExact || value < -maxExact
	case []any:
		return slices.ContainsFunc(value, holdsLarge)
	case map[string]any:
		for _, member := range value {
			if holdsLarge(member) {
				return true
			}
		}
	}
	return false
}

// valueNear gives values that s takes, or nearly.
func valueNear(s *openapi3.Schema, depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		if depth == 0 || rapid.IntRange(0, 9).Draw(t, "other") == 0 {
			return anyValue(depth).Draw(t, "any")
		}
		switch {
		case s.Type.Is("string"):
			return textNear(s).Draw(t, "text")
		case s.Type.Is("integer"):
			return rapid.OneOf(rapid.Int64Range(-2, 2000), rapid.Int64(), rapid.SampledFrom([]int64{maxExact, maxExact + 1, math.MaxInt64, math.MinInt64})).Draw(t, "n")
		case s.Type.Is("boolean"):
			return rapid.Bool().Draw(t, "bool")
		case s.Type.Is("array"):
			return rapid.SliceOfN(valueNear(s.Items.Value, depth-1), 0, 4).Draw(t, "items")
		case s.Type.Is("object"):
			object := map[string]any{}
			if rapid.IntRange(0, 9).Draw(t, "empty") == 0 {
				return object
			}
			missing := rapid.IntRange(0, 4).Draw(t, "missing")
			for name, property := range s.Properties {
				if missing == 0 && rapid.Bool().Draw(t, "left out") {
					continue
				}
				object[name] = valueNear(property.Value, depth-1).Draw(t, name)
			}
			if rapid.Bool().Draw(t, "more") {
				object[rapid.SampledFrom([]string{"", "a", "NAME", "unknown"}).Draw(t, "unknown")] = anyValue(1).Draw(t, "member")
			}
			return object
		}
		return anyValue(depth).Draw(t, "any")
	})
}

func textNear(s *openapi3.Schema) *rapid.Generator[string] {
	texts := []string{
		"", "a", "é😀", "A", "ada@example.com", "ada lovelace@example.com", "ada@", "*", `"7"`, `W/"7", "8"`, `"7`, "-status", "first_name", "2024-01-31",
		"94520740-d63c-4e02-85ca-c4e138801e73", "94520740-D63C-4E02-85CA-C4E138801E73", "94520740d63c4e0285cac4e138801e73", "\u2028", "a\nb", "\xff",
	}
	for _, v := range s.Enum {
		if name, ok := v.(string); ok {
			texts = append(texts, name, strings.ToLower(name))
		}
	}
	for _, bound := range []*uint64{s.MaxLength, &s.MinLength} {
		if bound != nil {
			n := int(*bound) // #nosec G115 -- a document's bound
			texts = append(texts, strings.Repeat("é", n), strings.Repeat("a", n), strings.Repeat("a", n+1), strings.Repeat("😀", n+1), strings.Repeat("a", max(n-1, 0)))
		}
	}
	return rapid.OneOf(rapid.SampledFrom(texts), rapid.String())
}

func anyValue(depth int) *rapid.Generator[any] {
	plain := rapid.OneOf(
		rapid.Just[any](nil), rapid.Just[any](0.5), rapid.Just[any](true), rapid.Just[any](int64(1)), rapid.Just[any]("a"),
		rapid.Just[any]([]any{}), rapid.Just[any](map[string]any{}),
	)
	if depth == 0 {
		return plain
	}
	return rapid.OneOf(plain,
		rapid.Map(rapid.SliceOfN(anyValue(depth-1), 1, 2), func(items []any) any { return items }),
		rapid.Map(rapid.MapOfN(rapid.SampledFrom([]string{"a", "name", "id"}), anyValue(depth-1), 1, 2), func(m map[string]any) any { return m }))
}
