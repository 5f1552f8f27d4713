package patch

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/dragoman-id/dragoman/server/scim/filter"
)

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
