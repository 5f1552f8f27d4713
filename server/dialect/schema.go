package dialect

import (
	"math"
	"reflect"
	"slices"
	"unicode/utf8"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/store"
	"github.com/getkin/kin-openapi/openapi3"
)

// rule holds values against a schema of a document. Nearly all values that are sent are good, and that a rule sees for itself;
// kin-openapi, which takes each value apart by reflection, is asked about the others: it has the last word, and the reasons.
type rule struct {
	schema *openapi3.Schema
	sure   sure
}

func newRule(s *openapi3.Schema) rule { return rule{s, compile(s)} }

// validate gives all that is wrong with value, as the function of that name does.
func (r rule) validate(value any, path string) []FieldError {
	if r.sure(value) {
		return nil
	}
	return validate(r.schema, value, path)
}

// sure tells of a value, as decodeJSON gives it, whether it is certainly good. If it says no, the value may be good still.
type sure func(value any) bool

func never(any) bool { return false }

// compile makes what is sure of a schema's values. Of a schema with a keyword that it does not know it is sure of none.
func compile(s *openapi3.Schema) sure { return compileBelow(s, maxDepth) }

func compileBelow(s *openapi3.Schema, depth int) sure {
	if depth == 0 || !isPlain(s) {
		return never
	}
	var is sure
	switch {
	case s.Type == nil:
		is = compileAny(s)
	case s.Type.Is("string"):
		is = compileString(s)
	case s.Type.Is("integer"):
		is = compileInteger(s)
	case s.Type.Is("boolean"):
		is = func(value any) bool { _, ok := value.(bool); return ok }
	case s.Type.Is("array"):
		is = compileArray(s, depth)
	case s.Type.Is("object"):
		is = compileObject(s, depth)
	default:
		return never
	}
	if len(s.Enum) > 0 {
		is = compileEnum(s.Enum, is)
	}
	if !s.Nullable {
		return is
	}
	return func(value any) bool { return value == nil || is(value) }
}

// isPlain tells whether a schema has no keyword that constrains values but those that are compiled.
func isPlain(s *openapi3.Schema) bool {
	rest := *s
	rest.Extensions, rest.Origin, rest.Title, rest.Description, rest.Default, rest.Example, rest.Deprecated = nil, nil, "", "", nil, nil, false
	rest.Type, rest.Nullable, rest.Enum, rest.Format = nil, false, nil, ""
	rest.MinLength, rest.MaxLength, rest.Pattern = 0, nil, ""
	rest.Min, rest.Max = nil, nil
	rest.Items, rest.MaxItems = nil, nil
	rest.Properties, rest.Required, rest.MinProps = nil, nil, 0
	return reflect.ValueOf(rest).IsZero()
}

// compileAny is for a schema without a type, which takes anything but null.
func compileAny(s *openapi3.Schema) sure {
	bare := *s
	bare.Nullable = false
	if !bare.IsEmpty() || s.Properties != nil || s.Items != nil {
		return never
	}
	return func(value any) bool { return value != nil }
}

func compileEnum(enum []any, is sure) sure {
	names := make([]string, 0, len(enum))
	for _, v := range enum {
		name, ok := v.(string)
		if !ok {
			return never
		}
		names = append(names, name)
	}
	return func(value any) bool {
		name, ok := value.(string)
		return ok && slices.Contains(names, name) && is(value)
	}
}

func compileString(s *openapi3.Schema) sure {
	matches := func(string) bool { return true }
	if s.Pattern != "" {
		pattern, err := store.CompilePattern(s.Pattern) // as kin-openapi does
		if err != nil {
			return never
		}
		matches = pattern.MatchString
	}
	formatted := func(string) bool { return true }
	if s.Format == "uuid" {
		formatted = func(text string) bool { _, ok := auth.ParseUUID(text); return ok }
	} else if _, checked := openapi3.SchemaStringFormats[s.Format]; checked {
		return never
	}
	return func(value any) bool {
		text, ok := value.(string)
		return ok && hasLength(text, s.MinLength, s.MaxLength) && formatted(text) && matches(text)
	}
}

// hasLength holds the number of text's characters between two bounds, the upper of which may be none.
func hasLength(text string, least uint64, most *uint64) bool {
	if least == 0 && (most == nil || uint64(len(text)) <= *most) {
		return true // it has no more characters than bytes
	}
	n := uint64(utf8.RuneCountInString(text)) // #nosec G115 -- a number of characters
	return n >= least && (most == nil || n <= *most)
}

// maxExact is up to where kin-openapi, which compares numbers as float64, knows one integer from the next.
const maxExact = 1 << 53

func compileInteger(s *openapi3.Schema) sure {
	most, known := map[string]int64{"": maxExact, "int64": maxExact, "int32": math.MaxInt32}[s.Format]
	if !known {
		return never
	}
	return func(value any) bool {
		n, ok := value.(int64)
		return ok && -most <= n && n <= most && (s.Min == nil || float64(n) >= *s.Min) && (s.Max == nil || float64(n) <= *s.Max)
	}
}

func compileArray(s *openapi3.Schema, depth int) sure {
	if s.Items == nil || s.Items.Value == nil {
		return never
	}
	item := compileBelow(s.Items.Value, depth-1)
	return func(value any) bool {
		items, ok := value.([]any)
		return ok && (s.MaxItems == nil || uint64(len(items)) <= *s.MaxItems) &&
			!slices.ContainsFunc(items, func(v any) bool { return !item(v) })
	}
}

func compileObject(s *openapi3.Schema, depth int) sure {
	members := make(map[string]sure, len(s.Properties))
	for name, property := range s.Properties {
		if property.Value == nil {
			return never
		}
		members[name] = compileBelow(property.Value, depth-1)
	}
	return func(value any) bool {
		object, ok := value.(map[string]any)
		if !ok || uint64(len(object)) < s.MinProps {
			return false
		}
		for _, name := range s.Required {
			if _, ok := object[name]; !ok {
				return false
			}
		}
		for name, member := range object {
			if is := members[name]; is != nil && !is(member) {
				return false
			}
		}
		return true
	}
}
