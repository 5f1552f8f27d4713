package dialect

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/getkin/kin-openapi/openapi3"
)

// patternMessage is the extension by which a document says what a pattern asks, for people: a predicate such as "must
// be an e-mail address".
const patternMessage = "x-pattern-message"

// validate holds value against schema and gives all that is wrong with it, one error a member, by the members' paths
// below path in ascending order.
func validate(schema *openapi3.Schema, value any, path string) []FieldError {
	err := schema.VisitJSON(value, openapi3.MultiErrors(), openapi3.VisitAsRequest(), openapi3.WithStringFormatValidator("uuid", uuidFormat))
	if err == nil {
		return nil
	}
	var found []FieldError
	for _, e := range schemaErrors(err) {
		field := join(path, e.JSONPointer()...)
		found = append(found, FieldError{Field: field, Message: subject(field) + " " + predicate(e)})
	}
	return onePerField(found)
}

// onePerField keeps the first error of each field, and orders them by their fields.
func onePerField(all []FieldError) []FieldError {
	slices.SortStableFunc(all, func(a, b FieldError) int { return cmp.Compare(a.Field, b.Field) })
	return slices.CompactFunc(all, func(a, b FieldError) bool { return a.Field == b.Field })
}

// uuidFormat checks format: uuid, which kin-openapi leaves unchecked.
var uuidFormat = openapi3.NewCallbackValidator(func(text string) error {
	if _, ok := auth.ParseUUID(text); !ok {
		return errNoUUID
	}
	return nil
})

var errNoUUID = errors.New("not a UUID")

func schemaErrors(err error) []*openapi3.SchemaError {
	var several openapi3.MultiError
	if errors.As(err, &several) {
		var all []*openapi3.SchemaError
		for _, e := range several {
			all = append(all, schemaErrors(e)...)
		}
		return all
	}
	var one *openapi3.SchemaError
	if errors.As(err, &one) {
		return []*openapi3.SchemaError{one}
	}
	return []*openapi3.SchemaError{{Reason: "is not valid"}}
}

// predicate says what the schema asks, never what the value was.
func predicate(e *openapi3.SchemaError) string {
	if e.Value == nil && e.SchemaField != "required" {
		return "must not be null"
	}
	schema := e.Schema
	switch e.SchemaField {
	case "required":
		return "is required"
	case "type", "format":
		return "must be " + typeName(schema)
	case "enum":
		var names []string
		for _, v := range schema.Enum {
			names = append(names, fmt.Sprint(v))
		}
		return "must be one of " + strings.Join(names, ", ")
	case "minLength":
		if schema.MinLength == 1 {
			return "must not be empty"
		}
		return fmt.Sprintf("must have at least %d characters", schema.MinLength)
	case "maxLength":
		return fmt.Sprintf("must have at most %d characters", *schema.MaxLength)
	case "minProperties":
		return "must have at least one member"
	case "minimum":
		return fmt.Sprintf("must be at least %s", strconv.FormatFloat(*schema.Min, 'f', -1, 64))
	case "maximum":
		return fmt.Sprintf("must be at most %s", strconv.FormatFloat(*schema.Max, 'f', -1, 64))
	case "pattern":
		if message, ok := schema.Extensions[patternMessage].(string); ok {
			return message
		}
	}
	return "is not valid"
}

func typeName(schema *openapi3.Schema) string {
	switch {
	case schema.Format == "uuid":
		return "a UUID"
	case schema.Type.Is("integer"):
		return "an integer"
	case schema.Type.Is("boolean"):
		return "true or false"
	case schema.Type.Is("array"):
		return "an array"
	case schema.Type.Is("object"):
		return "an object"
	default:
		return "a " + strings.Join(schema.Type.Slice(), " or ")
	}
}

// unknownMembers gives the paths of the members of value that schema does not name, in ascending order.
func unknownMembers(schema *openapi3.Schema, value any, path string) []string {
	var unknown []string
	switch value := value.(type) {
	case map[string]any:
		if len(schema.Properties) == 0 {
			return nil
		}
		for name, member := range value {
			switch property := schema.Properties[name]; {
			case property == nil:
				unknown = append(unknown, join(path, name))
			case hasMembers(member):
				unknown = append(unknown, unknownMembers(property.Value, member, join(path, name))...)
			}
		}
	case []any:
		if schema.Items == nil {
			return nil
		}
		for i, item := range value {
			unknown = append(unknown, unknownMembers(schema.Items.Value, item, join(path, strconv.Itoa(i)))...)
		}
	}
	slices.Sort(unknown)
	return unknown
}

// hasMembers tells whether a value is of a kind that holds others.
func hasMembers(value any) bool {
	switch value.(type) {
	case map[string]any, []any:
		return true
	}
	return false
}

// join gives the path of a member below path. An empty name, which JSON allows, is "" in quotes.
func join(path string, parts ...string) string {
	var all []string
	if path != "" {
		all = append(all, path)
	}
	for _, part := range parts {
		if part == "" {
			part = `""`
		}
		all = append(all, part)
	}
	return strings.Join(all, ".")
}

// subject is what a message about the member at path begins with.
func subject(path string) string {
	if path == "" {
		return "the body"
	}
	return path
}
