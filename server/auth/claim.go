package auth

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Form is the way in which a claim lists its values.
type Form string

// The forms of a claim. A claim of another shape than its form makes the token invalid: a form is configured and never guessed.
const (
	FormList  Form = "list"  // a string, or an array of strings; customers may be integers too
	FormWords Form = "words" // one string of words between spaces, as in OAuth's scope (RFC 6749, section 3.3)
	FormKeys  Form = "keys"  // an object; the names of its members are the values, and what the members contain is ignored

	// FormKeysByCustomer is an object as of FormKeys whose members are objects too. The name of a member is only a value if the
	// member has a member for each customer that the token's customers claim names, by the customer's name there. It is for
	// permissions and authorities that hold for some of the customers only; they have no value in a token without customers.
	FormKeysByCustomer Form = "keys-by-customer"
)

// Claim describes where a token lists values, in which form, and what the values mean.
type Claim struct {
	// Name is the name of the claim, or a JSON Pointer (RFC 6901) if it begins with "/". A name is literal: dots and further
	// slashes are part of it. A pointer leads through at most 8 objects, and not into arrays. If a member on its way is absent,
	// the claim is absent. Empty means the default name.
	Name string

	Form Form // empty means FormList

	// Map lists what the values mean. If it is not empty, values without a mapping are dropped, and a claim whose values are all
	// dropped counts as present and empty. If it is empty, values are used as they are.
	Map []Mapping
}

// Mapping describes what one value of a claim means. Values are compared exactly. Several mappings may have the same Theirs, which
// then has several meanings.
type Mapping struct {
	Theirs string // the identity provider's value
	Ours   string // a customer by UUID or id, a permission, or the name of a role
}

// ParseMapping parses THEIRS=OURS. The last = separates them, since a provider's value may contain one.
func ParseMapping(text string) (Mapping, error) {
	i := strings.LastIndexByte(text, '=')
	if i < 1 || i == len(text)-1 {
		return Mapping{}, fmt.Errorf("%q is not THEIRS=OURS, such as acme=2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1", text)
	}
	return Mapping{Theirs: text[:i], Ours: text[i+1:]}, nil
}

// isSet reports whether anything differs from the default.
func (c Claim) isSet() bool { return c.Name != "" || c.Form != "" || len(c.Map) > 0 }

// Condition is a claim that a token must have.
type Condition struct {
	Claim    string // a name or a JSON Pointer, as in Claim.Name
	Value    string // what the claim must be, or a list must contain; a number and a truth value by their JSON text; not empty
	AnyValue bool   // any value but null suffices, and Value is ignored
}

// ParseCondition parses CLAIM=VALUE, or CLAIM for any value. The first = separates them.
func ParseCondition(text string) (Condition, error) {
	claim, value, hasValue := strings.Cut(text, "=")
	if claim == "" {
		return Condition{}, fmt.Errorf("%q is not CLAIM=VALUE, such as token_use=access", text)
	}
	return Condition{Claim: claim, Value: value, AnyValue: !hasValue}, nil
}

// maxSteps is the maximum number of steps of a JSON Pointer.
const maxSteps = 8

// place is where a value is in a token's claims.
type place struct {
	text  string   // as configured
	steps []string // the names of members, beginning with a claim's
}

func parsePlace(text string) (place, error) {
	rest, isPointer := strings.CutPrefix(text, "/")
	if !isPointer {
		return place{text, []string{text}}, nil
	}
	steps := strings.Split(rest, "/")
	if len(steps) > maxSteps {
		return place{}, fmt.Errorf("the JSON Pointer %q has more than %d steps", text, maxSteps)
	}
	for i, step := range steps {
		if step == "" {
			return place{}, fmt.Errorf("the JSON Pointer %q has an empty step", text)
		}
		if strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(step), "~") {
			return place{}, fmt.Errorf("in the JSON Pointer %q a ~ must be written as ~0, and a / within a name as ~1", text)
		}
		steps[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
	}
	return place{text, steps}, nil
}

func (p place) isPointer() bool { return strings.HasPrefix(p.text, "/") }

// find returns the value at the place, and whether there is one. It returns an error if the way there leads through a value that is
// no object.
func (p place) find(members map[string]jsontext.Value) (jsontext.Value, bool, error) {
	for i, step := range p.steps {
		value, ok := members[step]
		if !ok || i == len(p.steps)-1 {
			return value, ok, nil
		}
		if members, ok = readObject(value); !ok {
			return nil, false, unauthenticated(FaultClaims, "the way to the token's claim %s leads through a value that is not an object", p.text)
		}
	}
	return nil, false, nil
}

// claimReader reads the values of a claim.
type claimReader struct {
	place
	form     Form
	formed   bool                // whether the form was configured, also if it is the default
	meanings map[string][]string // by the provider's value; nil if there is no map
	integers bool                // whether values may be integers, in their decimal digits
	shape    string              // a description of what the claim must be, for errors
}

// isPlain reports whether the claim is a literal name without a form and a map.
func (r *claimReader) isPlain() bool {
	return !r.isPointer() && !r.formed && r.meanings == nil
}

// listed are the values of a claim in a token.
type listed struct {
	present bool
	theirs  []string // the values as the token has them
	ours    []string // what they mean
	// excluded are the values that FormKeysByCustomer excludes.
	excluded []string
}

var errShape = errors.New("the claim has another shape than its form")

// read returns the values of the claim. customers are the values of the customers claim as the token has them.
func (r *claimReader) read(members map[string]jsontext.Value, customers []string) (l listed, err error) {
	value, ok, err := r.find(members)
	if !ok || err != nil {
		return listed{}, err
	}
	l.present = true
	if l.theirs, l.excluded, err = r.values(value, customers); err != nil {
		return listed{}, unauthenticated(FaultClaims, "the token's claim %s is not %s", r.text, r.shape)
	}
	if r.meanings == nil {
		l.ours = l.theirs
		return l, nil
	}
	for _, theirs := range l.theirs {
		l.ours = append(l.ours, r.meanings[theirs]...)
	}
	return l, nil
}

// values returns the values that a claim lists and those that FormKeysByCustomer excludes, or errShape.
func (r *claimReader) values(claim jsontext.Value, customers []string) (values, excluded []string, err error) {
	switch r.form {
	case FormWords:
		var text string
		if !readText(&text)(claim) {
			return nil, nil, errShape
		}
		return strings.FieldsFunc(text, func(c rune) bool { return c == ' ' }), nil, nil
	case FormKeys, FormKeysByCustomer:
		members, ok := readObject(claim)
		if !ok {
			return nil, nil, errShape
		}
		for _, name := range slices.Sorted(maps.Keys(members)) {
			if r.form == FormKeysByCustomer {
				holds, ok := holdsFor(members[name], customers)
				if !ok {
					return nil, nil, errShape
				}
				if !holds {
					excluded = append(excluded, name)
					continue
				}
			}
			values = append(values, name)
		}
		return values, excluded, nil
	}
	read := readTexts(&values)
	if r.integers {
		read = readEach(readTextOrInteger(&values))
	}
	if !read(claim) {
		return nil, nil, errShape
	}
	return values, excluded, nil
}

// holdsFor reports whether an object has a member for each of the customers, of which there must be one. ok is false if member is
// not an object.
func holdsFor(member jsontext.Value, customers []string) (holds, ok bool) {
	members, ok := readObject(member)
	if !ok {
		return false, false
	}
	for _, customer := range customers {
		if _, named := members[customer]; !named {
			return false, true
		}
	}
	return len(customers) > 0, true
}

// condition is a Condition whose claim is parsed.
type condition struct {
	place
	value    string
	anyValue bool
}

// holds reports whether the claims satisfy the condition.
func (c condition) holds(members map[string]jsontext.Value) (bool, error) {
	value, ok, err := c.find(members)
	switch {
	case err != nil || !ok || value.Kind() == 'n':
		return false, err
	case c.anyValue:
		return true, nil
	case value.Kind() != '[':
		return c.is(value), nil
	}
	var elements []jsontext.Value
	if err := json.Unmarshal(value, &elements); err != nil {
		return false, nil
	}
	return slices.ContainsFunc(elements, c.is), nil
}

// is reports whether a JSON value is the text, the number or the truth value of the condition.
func (c condition) is(value jsontext.Value) bool {
	switch value.Kind() {
	case '"':
		var text string
		return readText(&text)(value) && text == c.value
	case '0', 't', 'f':
		return string(value) == c.value
	}
	return false
}

func readObject(v jsontext.Value) (members map[string]jsontext.Value, ok bool) {
	if v.Kind() != '{' || json.Unmarshal(v, &members) != nil {
		return nil, false
	}
	return members, true
}

// readTextOrInteger returns a parser that appends a string, or the digits of an integer.
func readTextOrInteger(into *[]string) func(jsontext.Value) bool {
	return func(v jsontext.Value) bool {
		text := string(v)
		if v.Kind() == '0' && strings.Trim(text, "0123456789") != "" || v.Kind() != '0' && !readText(&text)(v) {
			return false
		}
		*into = append(*into, text)
		return true
	}
}
