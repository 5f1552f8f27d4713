package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// object is a JSON object as it is to be sent: its members in order, so that it can also be one that no encoder writes.
type object []member

type member struct{ name, value string } // value is JSON

// with gives the object with the member's value set to a JSON text: in the member's place if it has one, else at the end.
func (o object) with(name, value string) object {
	changed := slices.Clone(o)
	for i := range changed {
		if changed[i].name == name {
			changed[i].value = value
			return changed
		}
	}
	return append(changed, member{name, value})
}

// without gives the object without the member.
func (o object) without(name string) object {
	return slices.DeleteFunc(slices.Clone(o), func(m member) bool { return m.name == name })
}

// and gives the object with another member at the end, whatever it has already.
func (o object) and(name, value string) object { return append(slices.Clone(o), member{name, value}) }

// before gives the object with another member at the beginning, whatever it has already.
func (o object) before(name, value string) object {
	return append(object{{name, value}}, o...)
}

func (o object) value(name string) string {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return ""
}

// String is the object's JSON.
func (o object) String() string {
	var members []string
	for _, m := range o {
		members = append(members, encode(m.name)+":"+m.value)
	}
	return "{" + strings.Join(members, ",") + "}"
}

// encode gives v's JSON, with no more escapes than are needed. It must be a value that has one.
func encode(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// decode reads JSON, and keeps each number as it was written.
func decode(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("decode JSON: %w", err)
	}
	if d.More() {
		return nil, fmt.Errorf("decode JSON: more follows behind the value")
	}
	return v, nil
}

// same tells whether two decoded values are the same JSON.
func same(a, b any) bool { return encode(a) == encode(b) }

// user is a user as answers show them.
type user map[string]any

// json is the JSON of a member; null if it is not there.
func (u user) json(name string) string { return encode(u[name]) }

// text is a member that is a text; empty if it is none.
func (u user) text(name string) string {
	s, _ := u[name].(string)
	return s
}

// differences gives the names of the members in which two users differ, sorted, without those of besides.
func differences(a, b user, besides ...string) []string {
	var names []string
	for name := range a {
		if _, ok := b[name]; !ok || !same(a[name], b[name]) {
			names = append(names, name)
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			names = append(names, name)
		}
	}
	names = slices.DeleteFunc(names, func(n string) bool { return slices.Contains(besides, n) })
	slices.Sort(names)
	return names
}
