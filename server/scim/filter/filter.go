// Package filter parses the filters and the PATCH paths of SCIM 2.0 (RFC 7644, sections 3.4.2.2 and 3.5.2) and evaluates filters over
// resources. It imports nothing of the project, and knows neither users nor SQL.
//
// The attributes that a filter may name are those of a [Schema]; every other one is an error. Parsing takes into account what identity
// providers send beside the grammar of the RFC: values without quotes, booleans as quoted text in any case, a comparison after a value
// path (emails[type eq "work"].value eq "ada@example.com"), and spaces where none are needed. Names and operators are compared ignoring
// case. The length, the number of terms and the nesting of a filter are bounded.
//
// # Meaning
//
// A comparison with an attribute that has several values is true if it is true for one of them. An attribute without a value compares
// as null does: only ne, and eq null, are true. So "not (a eq v)" and "a ne v" agree for an attribute that has one value at most. The
// value null can be compared by eq and ne alone. Text that is not case-exact is compared by its folds; order is that of code points.
// Dates are compared as moments in time.
package filter

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The bounds of a filter and of a path.
const (
	MaxLength = 512 // characters
	MaxTerms  = 8   // comparisons
	MaxDepth  = 16  // parentheses and brackets within each other
)

// Schema is what filters may name: the attributes of a resource, with those that all resources have.
type Schema struct {
	URN        string
	Attributes []Attribute
}

// Type is the type of an attribute.
type Type int

// The types. A complex attribute has sub-attributes.
const (
	String Type = iota
	Boolean
	DateTime
	Complex
)

// Attribute is an attribute or a sub-attribute.
type Attribute struct {
	Name        string // as /Schemas spells it
	Type        Type
	MultiValued bool
	Sub         []Attribute // of a complex attribute
	Text        *Text       // how a String is compared; nil: exactly
	Required    bool
	ReadOnly    bool
}

// Text is how text that is not case-exact is compared.
type Text struct {
	// Fold returns the form in which two texts are compared as wholes.
	Fold func(string) string
	// FoldPart returns the form of a text that is looked for in another one; nil: that of Fold.
	FoldPart func(string) string
	// Forms returns the forms of a text in which a part of it is looked for; nil: that of Fold.
	Forms func(string) []string
}

// DefaultSub is the sub-attribute that a comparison with a complex attribute of several values means: emails co "@example.com".
const DefaultSub = "value"

// Named returns the attribute with this name, ignoring case, or nil if there is none.
func Named(attributes []Attribute, name string) *Attribute {
	if i := slices.IndexFunc(attributes, func(a Attribute) bool { return strings.EqualFold(a.Name, name) }); i >= 0 {
		return &attributes[i]
	}
	return nil
}

// Operator is how a comparison relates an attribute and a value.
type Operator string

// The operators.
const (
	Equal          Operator = "eq"
	NotEqual       Operator = "ne"
	Contains       Operator = "co"
	StartsWith     Operator = "sw"
	EndsWith       Operator = "ew"
	Greater        Operator = "gt"
	GreaterOrEqual Operator = "ge"
	Less           Operator = "lt"
	LessOrEqual    Operator = "le"
	Present        Operator = "pr"
)

var (
	operators = []Operator{Equal, NotEqual, Contains, StartsWith, EndsWith, Greater, GreaterOrEqual, Less, LessOrEqual, Present}
	// operatorsOf are the operators that an attribute of a type can be compared by.
	operatorsOf = map[Type][]Operator{
		String:   operators,
		Boolean:  {Equal, NotEqual, Present},
		DateTime: {Equal, NotEqual, Greater, GreaterOrEqual, Less, LessOrEqual, Present},
		Complex:  {Present},
	}
)

// Expression is a parsed filter: an [And], an [Or], a [Not], a [Comparison] or a [ValuePath].
type Expression interface {
	// Match reports whether a resource meets the filter. The resource's members have the names of the schema. Text is a string, a boolean
	// a bool, a date a [time.Time] or a string of RFC 3339; a complex attribute is a map[string]any, several values are an []any.
	// Absent members, nil, empty text and an empty []any are no value.
	Match(resource map[string]any) bool
}

// And is true if all of its terms are.
type And []Expression

// Or is true if one of its terms is.
type Or []Expression

// Not is true if its term is not.
type Not struct{ Of Expression }

// Comparison compares an attribute with a value.
type Comparison struct {
	Attribute *Attribute
	Sub       *Attribute // nil if the attribute is compared itself
	Operator  Operator
	Value     any // nil, a string, a bool or a time.Time; the zero value for Present
}

// ValuePath selects values of a complex attribute.
type ValuePath struct {
	Attribute *Attribute
	Filter    Expression // over the sub-attributes of a value
	// Comparison compares what is selected; nil: the value path is true if it selects any.
	Comparison *Comparison
}

// leaf returns the attribute whose values are compared.
func (c *Comparison) leaf() *Attribute {
	if c.Sub != nil {
		return c.Sub
	}
	return c.Attribute
}

// Match implements [Expression].
func (a And) Match(resource map[string]any) bool {
	return !slices.ContainsFunc(a, func(e Expression) bool { return !e.Match(resource) })
}

// Match implements [Expression].
func (o Or) Match(resource map[string]any) bool {
	return slices.ContainsFunc(o, func(e Expression) bool { return e.Match(resource) })
}

// Match implements [Expression].
func (n Not) Match(resource map[string]any) bool { return !n.Of.Match(resource) }

// Match implements [Expression].
func (c *Comparison) Match(resource map[string]any) bool {
	return c.holds(valuesOf(resource[c.Attribute.Name], c.Sub))
}

// Match implements [Expression].
func (v *ValuePath) Match(resource map[string]any) bool {
	selected := v.Select(resource)
	if v.Comparison == nil {
		return len(selected) > 0
	}
	return v.Comparison.holds(valuesOf(selected, v.Comparison.Sub))
}

// Select returns those values of the attribute in resource that the filter selects.
func (v *ValuePath) Select(resource map[string]any) []any {
	var selected []any
	for _, value := range valuesOf(resource[v.Attribute.Name], nil) {
		if element, ok := value.(map[string]any); ok && v.Filter.Match(element) {
			selected = append(selected, element)
		}
	}
	return selected
}

// valuesOf returns the values of an attribute or, if sub is not nil, of its sub-attribute.
func valuesOf(attribute any, sub *Attribute) (values []any) {
	all, several := attribute.([]any)
	if !several {
		all = []any{attribute}
	}
	for _, value := range all {
		if sub != nil {
			element, _ := value.(map[string]any)
			value = element[sub.Name]
		}
		if HasValue(value) {
			values = append(values, value)
		}
	}
	return values
}

// HasValue reports whether an attribute with this value has one, as [Expression] says. A complex attribute has one if one of its
// sub-attributes does.
func HasValue(value any) bool {
	switch value := value.(type) {
	case nil:
		return false
	case string:
		return value != ""
	case []any:
		return slices.ContainsFunc(value, HasValue)
	case map[string]any:
		for _, sub := range value {
			if HasValue(sub) {
				return true
			}
		}
		return false
	}
	return true
}

// holds reports whether the comparison is true for an attribute with these values.
func (c *Comparison) holds(values []any) bool {
	switch {
	case c.Operator == Present, c.Operator == NotEqual && c.Value == nil:
		return len(values) > 0
	case c.Value == nil:
		return len(values) == 0
	case len(values) == 0:
		return c.Operator == NotEqual
	}
	return slices.ContainsFunc(values, c.holdsFor)
}

func (c *Comparison) holdsFor(value any) bool {
	switch want := c.Value.(type) {
	case bool:
		return (value == want) == (c.Operator == Equal)
	case time.Time:
		at, ok := value.(time.Time)
		if text, isText := value.(string); isText {
			var err error
			at, err = time.Parse(time.RFC3339Nano, text)
			ok = err == nil
		}
		return ok && ordered(c.Operator, at.Compare(want))
	case string:
		have, ok := value.(string)
		return ok && c.leaf().Text.holds(c.Operator, have, want)
	}
	return false
}

// holds reports whether an operator is true for two texts.
func (t *Text) holds(operator Operator, have, want string) bool {
	part := map[Operator]func(s, part string) bool{
		Contains: strings.Contains, StartsWith: strings.HasPrefix, EndsWith: strings.HasSuffix,
	}[operator]
	switch {
	case part != nil:
		want, forms := want, []string{have}
		if t != nil {
			want, forms = t.part(want), t.forms(have)
		}
		return slices.ContainsFunc(forms, func(form string) bool { return part(form, want) })
	case t != nil:
		have, want = t.Fold(have), t.Fold(want)
	}
	return ordered(operator, strings.Compare(have, want))
}

func (t *Text) part(text string) string {
	if t.FoldPart != nil {
		return t.FoldPart(text)
	}
	return t.Fold(text)
}

func (t *Text) forms(text string) []string {
	if t.Forms != nil {
		return t.Forms(text)
	}
	return []string{t.Fold(text)}
}

// Holds reports whether a comparison of a text with the operator and the value is true for have.
func (c *Comparison) Holds(have string) bool { return c.holds([]any{have}) }

// ordered reports whether an operator is true for two values whose order is known.
func ordered(operator Operator, order int) bool {
	switch operator {
	case Equal:
		return order == 0
	case NotEqual:
		return order != 0
	case Greater:
		return order > 0
	case GreaterOrEqual:
		return order >= 0
	case Less:
		return order < 0
	case LessOrEqual:
		return order <= 0
	}
	return false
}

// Kind says what is wrong with a text, as SCIM names it.
type Kind string

// The kinds of errors, which are values of scimType.
const (
	InvalidFilter Kind = "invalidFilter"
	InvalidPath   Kind = "invalidPath"
)

// Error says what is wrong with a filter or a path, and where. It repeats names of the text and no values.
type Error struct {
	Kind    Kind
	At      int // the number of the character, from 1
	Message string
}

func (e *Error) Error() string {
	what := "the filter"
	if e.Kind == InvalidPath {
		what = "the path"
	}
	return fmt.Sprintf("%s is invalid at character %d: %s", what, e.At, e.Message)
}
