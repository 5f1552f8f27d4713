// Package patch applies the operations of a SCIM PATCH request (RFC 7644, section 3.5.2) to a resource.
//
// It follows the RFC, and takes what identity providers send beside it:
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
	"reflect"
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

// Apply executes the operations on a resource, as [filter.Expression] has one, and returns the result. The resource itself is not
// changed. Ignored are the read-only attributes that an operation without a path has with another value. The error is an *[Error].
func (p *Patch) Apply(resource map[string]any) (result map[string]any, ignored []string, err error) {
	e := &editing{resource: clone(resource).(map[string]any), lastOp: map[string]step{}}
	for _, s := range p.steps {
		if err := e.execute(s); err != nil {
			return nil, nil, err
		}
	}
	for i := range p.schema.Attributes {
		a := &p.schema.Attributes[i]
		last, touched := e.lastOp[a.Name]
		if !touched || !a.Required || filter.HasValue(e.resource[a.Name]) {
			continue
		}
		if last.op == opRemove {
			return nil, nil, &Error{Type: Mutability, Field: strings.TrimSuffix(last.field, ".value") + ".path", Message: a.Name + " is required and cannot be removed"}
		}
		return nil, nil, &Error{Type: InvalidValue, Field: last.field, Message: a.Name + " is required"}
	}
	slices.Sort(e.ignored)
	return e.resource, slices.Compact(e.ignored), nil
}

// editing is a resource that operations are executed on.
type editing struct {
	resource map[string]any
	lastOp   map[string]step // of each attribute, the last one that changed it
	ignored  []string
}

func (e *editing) execute(s step) error {
	a := s.path.Attribute
	if s.whole && a.ReadOnly {
		e.compare(a.Name, e.resource[a.Name], s.value)
		return nil
	}
	e.lastOp[a.Name] = s
	switch {
	case a.MultiValued:
		return e.executeOnValues(s)
	case s.path.Sub != nil:
		object, _ := e.resource[a.Name].(map[string]any)
		if object == nil {
			object = map[string]any{}
		}
		e.merge(a, object, map[string]any{s.path.Sub.Name: s.value})
		e.resource[a.Name] = object
	case s.value == nil:
		delete(e.resource, a.Name)
	case a.Type == filter.Complex:
		object, _ := e.resource[a.Name].(map[string]any)
		if object == nil {
			object = map[string]any{}
		}
		e.merge(a, object, s.value.(map[string]any))
		e.resource[a.Name] = object
	default:
		e.resource[a.Name] = s.value
	}
	return nil
}

// compare takes note of a read-only value that differs from the present one.
func (e *editing) compare(name string, present, sent any) {
	if object, complex := sent.(map[string]any); complex {
		has, _ := present.(map[string]any)
		for member, value := range object {
			e.compare(name+"."+member, has[member], value)
		}
		return
	}
	if sent != nil && !reflect.DeepEqual(present, sent) {
		e.ignored = append(e.ignored, name)
	}
}

// merge sets sub-attributes of an object: nil removes one, and read-only ones stay.
func (e *editing) merge(a *filter.Attribute, object, values map[string]any) {
	for name, value := range values {
		switch {
		case filter.Named(a.Sub, name).ReadOnly:
			e.compare(a.Name+"."+name, object[name], value)
		case value == nil:
			delete(object, name)
		default:
			object[name] = clone(value)
		}
	}
}

func (e *editing) executeOnValues(s step) error {
	a := s.path.Attribute
	elements, _ := e.resource[a.Name].([]any)
	var err error
	switch {
	case s.path.Filter == nil && s.path.Sub == nil:
		elements, err = e.executeOnAll(s, elements)
	case s.op == opRemove && s.path.Sub == nil:
		elements = slices.DeleteFunc(elements, func(element any) bool { return s.selects(element) })
	default:
		elements, err = e.executeOnSelected(s, elements)
	}
	if err != nil {
		return err
	}
	elements = slices.DeleteFunc(elements, func(element any) bool { return lacks(a, element) != "" })
	if e.resource[a.Name] = elements; len(elements) == 0 {
		delete(e.resource, a.Name)
	}
	return nil
}

// executeOnAll changes an attribute as a whole.
func (e *editing) executeOnAll(s step, elements []any) ([]any, error) {
	values, _ := s.value.([]any)
	if s.op == opRemove {
		if s.value == nil {
			return nil, nil
		}
		return slices.DeleteFunc(elements, func(element any) bool {
			return slices.ContainsFunc(values, func(value any) bool {
				return sameValue(s.path.Attribute, element.(map[string]any), value.(map[string]any))
			})
		}), nil
	}
	if s.op == opReplace {
		elements = nil
	}
	for _, value := range values {
		if slices.ContainsFunc(elements, func(element any) bool { return includes(element, value.(map[string]any)) }) {
			continue
		}
		element, err := e.newElement(s, nil, value.(map[string]any))
		if err != nil {
			return nil, err
		}
		if isTrue(element, primary) {
			demote(elements)
		}
		elements = append(elements, element)
	}
	return elements, nil
}

// executeOnSelected changes the elements that the path selects, or adds one.
func (e *editing) executeOnSelected(s step, elements []any) ([]any, error) {
	values := []any{s.value}
	switch {
	case s.path.Sub != nil:
		values[0] = map[string]any{s.path.Sub.Name: s.value}
	case s.value == nil: // null has the effect of a remove
		return slices.DeleteFunc(elements, func(element any) bool { return s.selects(element) }), nil
	default:
		values = s.value.([]any)
	}
	selected := slices.ContainsFunc(elements, s.selects)
	if s.op == opRemove && !selected {
		return elements, nil
	}
	if len(values) != 1 {
		elements = slices.DeleteFunc(elements, s.selects)
		selected = false
	}
	for _, value := range values {
		value := value.(map[string]any)
		if !selected {
			described, ok := describe(s.path.Filter)
			if !ok {
				return nil, &Error{Type: NoTarget, Field: strings.TrimSuffix(s.field, ".value") + ".path",
					Message: "the path selects nothing, and its filter does not describe one value that could be added"}
			}
			element, err := e.newElement(s, described, value)
			if err != nil {
				return nil, err
			}
			if isTrue(element, primary) {
				demote(elements)
			}
			elements = append(elements, element)
			continue
		}
		chosen := slices.DeleteFunc(slices.Clone(elements), func(element any) bool { return !s.selects(element) })
		if value[primary] == true {
			demote(elements)
		}
		for _, element := range chosen {
			e.merge(s.path.Attribute, element.(map[string]any), value)
		}
	}
	return distinct(elements), nil
}

// selects reports whether the path of a step selects an element.
func (s step) selects(element any) bool {
	return s.path.Filter == nil || s.path.Filter.Match(element.(map[string]any))
}

// newElement returns an element with the members of a value and, beside these, those that a filter describes.
func (e *editing) newElement(s step, described, value map[string]any) (map[string]any, error) {
	element := map[string]any{}
	maps.Copy(element, described)
	e.merge(s.path.Attribute, element, value)
	if missing := lacks(s.path.Attribute, element); missing != "" {
		return nil, &Error{Type: InvalidValue, Field: s.field, Message: s.path.Attribute.Name + "." + missing + " is required"}
	}
	return element, nil
}

// describe returns the element that meets a filter of the form a eq v, or several of them joined by and.
func describe(e filter.Expression) (map[string]any, bool) {
	switch e := e.(type) {
	case nil:
		return nil, true
	case *filter.Comparison:
		return map[string]any{e.Attribute.Name: e.Value}, e.Operator == filter.Equal && e.Value != nil
	case filter.And:
		all := map[string]any{}
		for _, term := range e {
			one, ok := describe(term)
			if !ok {
				return nil, false
			}
			maps.Copy(all, one)
		}
		return all, true
	}
	return nil, false
}

// primary is the sub-attribute that one value of an attribute at most has.
const primary = "primary"

func isTrue(element map[string]any, name string) bool { return element[name] == true }

// demote takes primary from elements, before another one gets it.
func demote(elements []any) {
	for _, element := range elements {
		if element := element.(map[string]any); isTrue(element, primary) {
			element[primary] = false
		}
	}
}

// lacks returns the name of a required sub-attribute that an element does not have, or "".
func lacks(a *filter.Attribute, element any) string {
	for _, sub := range a.Sub {
		if sub.Required && !filter.HasValue(element.(map[string]any)[sub.Name]) {
			return sub.Name
		}
	}
	return ""
}

// sameValue reports whether an element has the value that another one names.
func sameValue(a *filter.Attribute, element, named map[string]any) bool {
	sub := filter.Named(a.Sub, filter.DefaultSub)
	if sub == nil {
		return reflect.DeepEqual(element, named)
	}
	want, ok := named[sub.Name].(string)
	if !ok {
		return false
	}
	c := filter.Comparison{Attribute: sub, Operator: filter.Equal, Value: want}
	return c.Match(element)
}

// includes reports whether an element has all sub-attributes of another one, with the same values.
func includes(element any, other map[string]any) bool {
	for name, value := range other {
		if value != nil && !reflect.DeepEqual(element.(map[string]any)[name], value) {
			return false
		}
	}
	return true
}

// distinct returns elements without those that are equal to an earlier one.
func distinct(elements []any) []any {
	var different []any
	for _, element := range elements {
		if !slices.ContainsFunc(different, func(other any) bool { return reflect.DeepEqual(element, other) }) {
			different = append(different, element)
		}
	}
	return different
}

// clone returns a copy of a value of JSON that shares no memory with it.
func clone(value any) any {
	switch value := value.(type) {
	case map[string]any:
		copied := make(map[string]any, len(value))
		for name, member := range value {
			copied[name] = clone(member)
		}
		return copied
	case []any:
		copied := make([]any, len(value))
		for i, element := range value {
			copied[i] = clone(element)
		}
		return copied
	}
	return value
}
