package dialect

import (
	"context"
	"reflect"
	"slices"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// schema reads a schema from a document, as the documents of the dialects are read.
func schema(t *testing.T, text string) *openapi3.Schema {
	t.Helper()
	loader := openapi3.NewLoader()
	document, err := loader.LoadFromData([]byte(`{"openapi":"3.0.3","info":{"title":"t","version":"1"},"paths":{},"components":{"schemas":{"S":` + text + `}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := document.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return document.Components.Schemas["S"].Value
}

func decoded(t *testing.T, body string) any {
	t.Helper()
	value, err := decodeJSON([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestValidationErrorsQuoteSchema(t *testing.T) {
	t.Parallel()
	const long, text = `{"type":"integer","format":"int64"}`, `{"type":"string"}`
	for _, c := range []struct{ schema, body, want string }{
		{text, `1`, "the body must be a string"},
		{text, `null`, "the body must not be null"},
		{`{"type":"string","nullable":true}`, `null`, ""},
		{`{}`, `null`, ""},
		{`{"type":"object","properties":{"a":{},"b":{"description":"Anything."},"c":` + text + `}}`, `{"a":null,"b":null,"c":null}`, "c must not be null"},
		{`{"type":"boolean"}`, `"true"`, "the body must be true or false"},
		{`{"type":"array","items":{}}`, `{}`, "the body must be an array"},
		{`{"type":"object"}`, `[]`, "the body must be an object"},
		{long, `6860.0`, ""},
		{long, `"6860"`, "the body must be an integer"},
		{long, `6860.5`, "the body must be an integer"},
		{long, `1e400`, "the body must be an integer"},
		{long, `9223372036854775807`, ""},
		{long, `9223372036854775808`, "the body must be an integer"},
		{long, `-9223372036854775808`, ""},
		{long, `-9223372036854775809`, "the body must be an integer"},
		{`{"type":"integer"}`, `9223372036854775808`, "the body must be an integer"},
		{`{"type":"integer","minimum":1,"maximum":100}`, `0`, "the body must be at least 1"},
		{`{"type":"integer","minimum":1,"maximum":100}`, `101`, "the body must be at most 100"},
		{`{"type":"string","format":"date-time"}`, `"2001-02-03"`, "the body must be a time as RFC 3339 has it, such as 2027-11-30T08:00:00Z"},
		{`{"type":"string","format":"date"}`, `"yesterday"`, "the body must be a date as RFC 3339 has it, such as 2027-11-30"},
		{`{"type":"string","enum":["ACTIVE","INACTIVE"]}`, `"active"`, "the body must be one of ACTIVE, INACTIVE"},
		{`{"type":"string","minLength":1}`, `""`, "the body must not be empty"},
		{`{"type":"string","minLength":8}`, `"seven77"`, "the body must have at least 8 characters"},
		{`{"type":"string","maxLength":2}`, `"éé"`, ""},
		{`{"type":"string","maxLength":2}`, `"😀😀"`, ""},
		{`{"type":"string","maxLength":2}`, `"ééé"`, "the body must have at most 2 characters"},
		{`{"type":"string","pattern":"^a+$","x-pattern-message":"must be all a"}`, `"b"`, "the body must be all a"},
		{`{"type":"string","pattern":"^a+$"}`, `"b"`, "the body is not valid"},
		{`{"type":"string","maxLength":2,"pattern":"^a+$"}`, `"bbb"`, "the body must have at most 2 characters"},
		{`{"type":"object","minProperties":1}`, `{}`, "the body must have at least one member"},
		{`{"type":"object","required":["b","a"]}`, `{}`, "a is required, b is required"},
		{`{"type":"object","required":["a"],"properties":{"a":` + text + `}}`, `{"a":null,"b":null}`, "a must not be null"},
		{`{"type":"object","properties":{"a":{}}}`, `{"a":{"b":[1,null]}}`, ""},
		{`{"type":"object","properties":{"a":{"type":"array","items":{"type":"object","required":["b"],"properties":{"b":` + text + `}}}}}`,
			`{"a":[{"b":"x"},{"b":1},{},null,5,{"b":null}]}`,
			"a.1.b must be a string, a.2.b is required, a.3 must not be null, a.4 must be an object, a.5.b must not be null"},
	} {
		if got := messages(validate(schema(t, c.schema), decoded(t, c.body), "")); got != c.want {
			t.Errorf("%s against %s: %q, want %q", c.body, c.schema, got, c.want)
		}
	}
}

func TestErrorsBelowParameter(t *testing.T) {
	t.Parallel()
	got := validate(schema(t, `{"type":"integer","minimum":1}`), int64(0), "page")
	if want := []FieldError{{Field: "page", Message: "page must be at least 1"}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestArraysAreCutToTheirItems(t *testing.T) {
	t.Parallel()
	s := schema(t, `{"type":"object","properties":{"o":{"type":"object","properties":{"l":{"type":"array","maxItems":2,"items":{
		"type":"object","properties":{"m":{"type":"array","maxItems":1,"items":{"type":"string"}}}}}}}}}`)
	value := decoded(t, `{"l":[1,2,3],"o":{"l":[{"m":["a","b"]},{},{}]}}`)
	if got, want := messages(onePerField(trim(s, value, ""))), "o.l must have at most 2 items, o.l.0.m must have at most 1 items"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if want := decoded(t, `{"l":[1,2,3],"o":{"l":[{"m":["a"]},{}]}}`); !reflect.DeepEqual(value, want) {
		t.Errorf("it is %v", value)
	}
	if path, found := unboundedArray(s, "", maxDepth); found {
		t.Errorf("%s is bounded", path)
	}
	s = schema(t, `{"type":"object","properties":{"o":{"type":"array","maxItems":2,"items":{"type":"object","properties":{"m":{"type":"array","items":{}}}}}}}`)
	if path, found := unboundedArray(s, "", maxDepth); !found || path != "o.0.m" {
		t.Errorf("unbounded: %q, %v", path, found)
	}
}

func TestUnknownMembers(t *testing.T) {
	t.Parallel()
	s := schema(t, `{"type":"object","properties":{
		"a":{"type":"string"},
		"any":{},
		"o":{"type":"object","properties":{"b":{"type":"string"}}},
		"l":{"type":"array","items":{"type":"object","properties":{"c":{}}}}}}`)
	for body, want := range map[string][]string{
		`{}`: nil, `null`: nil, `[1]`: nil, `"x"`: nil,
		`{"a":1,"o":{"b":2},"l":[{"c":3}]}`:       nil,
		`{"any":{"x":[{"y":1}]}}`:                 nil,
		`{"z":null,"A":1,"y":{"a":1}}`:            {"A", "y", "z"},
		`{"o":{"b":1,"x":1},"l":[{},{"d":1}, 5]}`: {"l.1.d", "o.x"},
		`{"o":[],"l":{"x":1},"a":{"x":1}}`:        nil,
		`{"":1,"o":{"":1}}`:                       {`""`, `o.""`},
	} {
		if got := unknownMembers(s, decoded(t, body), ""); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

func TestOneErrorPerMember(t *testing.T) {
	t.Parallel()
	got := onePerField([]FieldError{{Field: "b", Message: "first"}, {Field: "a", Message: "only"}, {Field: "b", Message: "second"}, {Field: "", Message: "body"}, {Field: "b.c", Message: "below"}})
	want := []FieldError{{Field: "", Message: "body"}, {Field: "a", Message: "only"}, {Field: "b", Message: "first"}, {Field: "b.c", Message: "below"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
