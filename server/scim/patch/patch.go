// Package patch applies the operations of a SCIM PATCH request (RFC 7644, section 3.5.2) to a resource. It knows neither users nor HTTP.
//
// It follows the RFC, and accepts what identity providers send beyond it:
//
//   - op in any case, booleans as text ("False"), one value where an array belongs, a JSON object or array in a string;
//   - an operation without a path whose value has paths as names: "name.givenName", emails[type eq "work"].value, or a name with the URN
//     of its schema;
//   - a value path that selects nothing: add and replace create the element that the filter describes, remove does nothing;
//   - a remove of an attribute with several values whose value lists those to be removed.
//
// An attribute that the schema does not have is ignored and reported. The operations are executed in their order on a copy, so that
// either all of them take effect or none.
package patch

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/dragoman-id/dragoman/server/scim/filter"
)

// The values of scimType (RFC 7644, section 3.12) of an [Error].
const (
	InvalidFilter = string(filter.InvalidFilter)
	InvalidPath   = string(filter.InvalidPath)
	InvalidSyntax = "invalidSyntax"
	InvalidValue  = "invalidValue"
	Mutability    = "mutability"
	NoTarget      = "noTarget"
)

// Error says what is wrong with an operation.
type Error struct {
	Type    string // of the constants above
	Field   string // the member of the request, such as Operations.0.path
	Message string
}

func (e *Error) Error() string { return e.Field + ": " + e.Message }

// Operation is an operation as it was sent. Value is what encoding/json makes of it, or the like: strings, bools, nil, []any, and
// map[string]any. Numbers may be of any type, as no attribute has them.
type Operation struct {
	Op    string
	Path  string // empty: none
	Value any
}

// Patch is a list of parsed operations.
type Patch struct {
	schema *filter.Schema
	steps  []step
	// Undeclared are the attributes of operations that the schema does not have, sorted. They are ignored.
	Undeclared []string
}

// step changes what one path leads to.
type step struct {
	op    string
	field string // of the request
	path  filter.Path
	value any  // in the form of the attribute; nil: none
	whole bool // it is part of an operation without a path, whose members may be those of a GET
}

const (
	opAdd     = "add"
	opReplace = "replace"
	opRemove  = "remove"
)

// Parse parses operations on resources of a schema. It returns everything that is wrong with them whatever the resource is.
func Parse(schema *filter.Schema, operations []Operation) (*Patch, []*Error) {
	p := &parser{patch: Patch{schema: schema}}
	for i, o := range operations {
		p.operation("Operations."+strconv.Itoa(i), o)
	}
	slices.Sort(p.patch.Undeclared)
	p.patch.Undeclared = slices.Compact(p.patch.Undeclared)
	return &p.patch, p.wrong
}

type parser struct {
	patch Patch
	wrong []*Error
}

func (p *parser) errorf(kind, field, format string, arguments ...any) {
	p.wrong = append(p.wrong, &Error{Type: kind, Field: field, Message: fmt.Sprintf(format, arguments...)})
}

func (p *parser) operation(field string, o Operation) {
	op := strings.ToLower(o.Op)
	if !slices.Contains([]string{opAdd, opReplace, opRemove}, op) {
		p.errorf(InvalidSyntax, field+".op", "op must be add, replace or remove")
		return
	}
	if o.Path == "" {
		p.members(op, field, o.Value)
		return
	}
	path, err := filter.ParsePath(p.patch.schema, o.Path)
	if err != nil {
		p.pathError(field+".path", err)
		return
	}
	if path.Attribute == nil && path.Undeclared == "" { // the URN of the schema
		p.members(op, field, o.Value)
		return
	}
	p.step(step{op: op, field: field, path: path}, o.Value)
}

func (p *parser) pathError(field string, err error) {
	kind := InvalidPath
	if invalid, ok := err.(*filter.Error); ok {
		kind = string(invalid.Kind)
	}
	p.errorf(kind, field, "%s", err)
}

// members parses the value of an operation without a path: an object whose names are paths.
func (p *parser) members(op, field string, value any) {
	if op == opRemove {
		p.errorf(NoTarget, field+".path", "remove needs a path")
		return
	}
	field += ".value"
	object, ok := value.(map[string]any)
	if !ok {
		p.errorf(InvalidValue, field, "value must be an object if there is no path")
		return
	}
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		folded := strings.ToLower(name)
		if seen[folded] {
			p.errorf(InvalidSyntax, field, "value has a name twice, in different case")
			continue
		}
		seen[folded] = true
		if folded == "schemas" {
			continue
		}
		path, err := filter.ParsePath(p.patch.schema, name)
		switch {
		case err != nil:
			p.pathError(field, err)
		case path.Attribute == nil && path.Undeclared == "":
			p.members(op, field, object[name])
		default:
			p.step(step{op: op, field: field, path: path, whole: true}, object[name])
		}
	}
}

// step parses the value of a step, and adds the step.
func (p *parser) step(s step, value any) {
	if s.path.Undeclared != "" {
		p.patch.Undeclared = append(p.patch.Undeclared, s.path.Undeclared)
		return
	}
	leaf, name := s.path.Attribute, s.path.Attribute.Name
	readOnly := leaf.ReadOnly
	if s.path.Sub != nil {
		leaf, name = s.path.Sub, name+"."+s.path.Sub.Name
		readOnly = readOnly || leaf.ReadOnly
	}
	if readOnly && !s.whole {
		p.errorf(Mutability, s.field+".path", "%s is read-only", name)
		return
	}
	if !s.whole {
		s.field += ".value"
	}
	switch {
	case s.op == opRemove && (!leaf.MultiValued || s.path.Filter != nil):
		value = nil // which has no meaning
	case s.op == opAdd && value == nil && s.whole:
		return
	case s.op == opAdd && value == nil:
		p.errorf(InvalidValue, s.field, "add needs a value")
		return
	}
	errors := len(p.wrong)
	s.value = p.value(s.field, name, leaf, value, s.whole && readOnly)
	if len(p.wrong) == errors {
		p.patch.steps = append(p.patch.steps, s)
	}
}

// value returns a value in the form that an attribute has it in: text, a bool, an object with the schema's names, or an array.
func (p *parser) value(field, name string, a *filter.Attribute, value any, ignored bool) any {
	if value == nil {
		return nil
	}
	if a.MultiValued {
		return p.values(field, name, a, value, ignored)
	}
	switch a.Type {
	case filter.Boolean:
		if b, ok := value.(bool); ok {
			return b
		}
		text, _ := value.(string)
		for _, b := range []bool{true, false} {
			if strings.EqualFold(text, strconv.FormatBool(b)) {
				return b
			}
		}
		p.errorf(InvalidValue, field, "%s must be true or false", name)
	case filter.Complex:
		object, ok := value.(map[string]any)
		if !ok {
			p.errorf(InvalidValue, field, "%s must be an object", name)
			return nil
		}
		return p.object(field, name, a, object, ignored)
	default:
		text, ok := value.(string)
		if !ok && !ignored {
			p.errorf(InvalidValue, field, "%s must be text", name)
		}
		return text
	}
	return nil
}

// object returns an object with the names of an attribute's sub-attributes.
func (p *parser) object(field, name string, a *filter.Attribute, object map[string]any, ignored bool) map[string]any {
	known := map[string]any{}
	for _, member := range slices.Sorted(maps.Keys(object)) {
		sub := filter.Named(a.Sub, member)
		if sub == nil {
			if !ignored {
				p.patch.Undeclared = append(p.patch.Undeclared, name+"."+member)
			}
			continue
		}
		if _, again := known[sub.Name]; again {
			p.errorf(InvalidSyntax, field, "%s has a name twice, in different case", name)
			continue
		}
		known[sub.Name] = p.value(field, name+"."+sub.Name, sub, object[member], ignored || sub.ReadOnly)
	}
	return known
}

// values returns an array of objects. Entra sends objects in a string where its mapping is an expression, and some clients send the value
// itself, or one object.
func (p *parser) values(field, name string, a *filter.Attribute, value any, ignored bool) any {
	if text, ok := value.(string); ok {
		trimmed := strings.TrimSpace(text)
		if strings.HasPrefix(trimmed, "{") || strings.HasPrefix(trimmed, "[") {
			var inner any
			if err := json.Unmarshal([]byte(trimmed), &inner); err != nil {
				p.errorf(InvalidValue, field, "%s is text that looks like JSON and is not", name)
				return nil
			}
			value = inner
		} else {
			value = map[string]any{filter.DefaultSub: text}
		}
	}
	elements, several := value.([]any)
	if !several {
		elements = []any{value}
	}
	all := []any{}
	for _, element := range elements {
		if text, ok := element.(string); ok {
			element = map[string]any{filter.DefaultSub: text}
		}
		object, ok := element.(map[string]any)
		if !ok {
			p.errorf(InvalidValue, field, "%s must be an array of objects", name)
			return nil
		}
		all = append(all, p.object(field, name, a, Unwrapped(object), ignored))
	}
	return all
}

// Unwrapped returns the object that an object has as JSON in its value, or the object itself if it has none: Entra sends app roles in this
// way.
func Unwrapped(object map[string]any) map[string]any {
	text, _ := object[filter.DefaultSub].(string)
	var inner map[string]any
	if !strings.HasPrefix(strings.TrimSpace(text), "{") || json.Unmarshal([]byte(text), &inner) != nil || inner[filter.DefaultSub] == nil {
		return object
	}
	return inner
}
