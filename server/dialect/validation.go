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

// patternMessage is the extension that describes a pattern in a document: a predicate such as "must be an e-mail address".
const patternMessage = "x-pattern-message"

// asRequest are the options by which kin-openapi validates a value of a request and returns all its errors.
var asRequest = []openapi3.SchemaValidationOption{
	openapi3.MultiErrors(), openapi3.VisitAsRequest(), openapi3.WithStringFormatValidator("uuid", uuidFormat),
}

// validate validates value against schema. It returns at most one error per member, sorted by the members' paths, which begin
// with path. The number of values in a body, and its arrays' being trimmed, bound the number of errors.
func validate(schema *openapi3.Schema, value any, path string) []FieldError {
	err := schema.VisitJSON(value, asRequest...)
	if err == nil {
		return nil
	}
	var found []FieldError
	for _, e := range schemaErrors(err) {
		// A schema without a type allows null (OpenAPI 3.0.3, nullable), which kin-openapi refuses.
		if e.SchemaField == "nullable" && e.Schema.Type == nil {
			continue
		}
		field := join(path, e.JSONPointer()...)
		found = append(found, FieldError{Field: field, Message: subject(field) + " " + predicate(e)})
	}
	return onePerField(found)
}

// TimeForm says in messages what a member with format: date-time must be.
const TimeForm = "a time as RFC 3339 has it, such as 2027-11-30T08:00:00Z"

func maxItems(most uint64) string { return fmt.Sprintf("must have at most %d items", most) }

// trim truncates every array in value to the maxItems of its schema, and returns an error for each array that was longer. All
// later checks of the body therefore take a bounded time.
func trim(schema *openapi3.Schema, value any, path string) (wrong []FieldError) {
	object, _ := value.(map[string]any)
	for name, property := range schema.Properties {
		member, ok := object[name]
		if !ok || !hasMembers(member) {
			continue
		}
		items, isArray := member.([]any)
		most := property.Value.MaxItems
		if isArray && most != nil && uint64(len(items)) > *most {
			field := join(path, name)
			wrong = append(wrong, FieldError{Field: field, Message: field + " " + maxItems(*most), Code: TooManyItems})
			items = slices.Clip(items[:*most])
			object[name] = items
		}
		if isArray && property.Value.Items != nil {
			for i, item := range items {
				wrong = append(wrong, trim(property.Value.Items.Value, item, join(path, name, strconv.Itoa(i)))...)
			}
			continue
		}
		wrong = append(wrong, trim(property.Value, member, join(path, name))...)
	}
	return wrong
}

// unboundedArray returns the path of an array in schema that has no maxItems, and whether there is one.
func unboundedArray(schema *openapi3.Schema, path string, depth int) (string, bool) {
	if schema == nil || depth == 0 {
		return "", false
	}
	if schema.Type.Is("array") && schema.MaxItems == nil {
		return path, true
	}
	if schema.Items != nil {
		if found, ok := unboundedArray(schema.Items.Value, join(path, "0"), depth-1); ok {
			return found, true
		}
	}
	for name, property := range schema.Properties {
		if found, ok := unboundedArray(property.Value, join(path, name), depth-1); ok {
			return found, true
		}
	}
	return "", false
}

// onePerField sorts errors by field, and keeps the first one of each field.
func onePerField(all []FieldError) []FieldError {
	slices.SortStableFunc(all, func(a, b FieldError) int { return cmp.Compare(a.Field, b.Field) })
	return slices.CompactFunc(all, func(a, b FieldError) bool { return a.Field == b.Field })
}

// uuidFormat validates format: uuid, which kin-openapi does not do by default.
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

// predicate describes what the schema requires. It never quotes the value.
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
	case "minItems":
		if schema.MinItems == 1 {
			return "must have at least 1 item"
		}
		return fmt.Sprintf("must have at least %d items", schema.MinItems)
	case "minProperties":
		return "must have at least one member"
	case "maxItems":
		return maxItems(*schema.MaxItems)
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
	case schema.Format == "date-time":
		return TimeForm
	case schema.Format == "date":
		return "a date as RFC 3339 has it, such as 2027-11-30"
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

// unknownMembers returns the paths of the members of value that schema does not name, in ascending order.
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
	return slices.Compact(unknown) // two long names may be equal after truncation
}

// dropNulls deletes those members of object that are null, that schema does not name, and that one of the schemas in shown
// names.
func dropNulls(object map[string]any, schema *openapi3.Schema, shown []*openapi3.Schema) {
	for name, member := range object {
		property := schema.Properties[name]
		if inner, ok := member.(map[string]any); ok && property != nil {
			dropNulls(inner, property.Value, propertiesNamed(name, shown))
		} else if member == nil && property == nil && len(propertiesNamed(name, shown)) > 0 {
			delete(object, name)
		}
	}
}

// propertiesNamed returns the schema of the property with this name from each of schemas that has it.
func propertiesNamed(name string, schemas []*openapi3.Schema) []*openapi3.Schema {
	var all []*openapi3.Schema
	for _, s := range schemas {
		if property := s.Properties[name]; property != nil {
			all = append(all, property.Value)
		}
	}
	return all
}

// hasMembers reports whether a value is an object or an array.
func hasMembers(value any) bool {
	switch value.(type) {
	case map[string]any, []any:
		return true
	}
	return false
}

// join appends the names in parts to a member's path, for use in responses: it truncates each name and the whole path. It writes
// an empty name, which JSON allows, as "".
func join(path string, parts ...string) string {
	var all []string
	if path != "" {
		all = append(all, path)
	}
	for _, part := range parts {
		if part == "" {
			part = `""`
		}
		all = append(all, Excerpt(part))
	}
	return excerpt(strings.Join(all, "."), maxPath)
}

// subject returns the grammatical subject of a message about the member at path.
func subject(path string) string {
	if path == "" {
		return "the body"
	}
	return path
}
