package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// object is a JSON object to send. Its members have an order and may repeat, so that it can be malformed on purpose.
type object []member

type member struct{ name, value string } // value is JSON

// with returns the object with the member set to a JSON value, in its place or at the end.
func (o object) with(name, value string) object {
	changed := slices.Clone(o)
	if i := o.index(name); i >= 0 {
		changed[i].value = value
		return changed
	}
	return append(changed, member{name, value})
}

func (o object) index(name string) int {
	return slices.IndexFunc(o, func(m member) bool { return m.name == name })
}

// without returns the object without the member.
func (o object) without(name string) object {
	return slices.DeleteFunc(slices.Clone(o), func(m member) bool { return m.name == name })
}

// and returns the object with one more member at the end, even if it has one of that name.
func (o object) and(name, value string) object { return append(slices.Clone(o), member{name, value}) }

// before returns the object with one more member at the beginning, even if it has one of that name.
func (o object) before(name, value string) object { return append(object{{name, value}}, o...) }

// value returns the JSON of the member, which must be there.
func (o object) value(name string) string { return o[o.index(name)].value }

// String returns the object's JSON. A member whose name is a path, such as name.givenName or emails[].value, is in an object, or in the one
// item of an array, with those beside it; an array whose item would only have an empty text is empty.
func (o object) String() string {
	var members []string
	done := map[string]bool{}
	for _, m := range o {
		top, _, nested := strings.Cut(m.name, ".")
		switch {
		case !nested:
			members = append(members, encode(m.name)+":"+m.value)
		case !done[top]:
			done[top] = true
			members = append(members, o.within(top))
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

// within returns the JSON of the member that has all those in it whose paths begin with its name.
func (o object) within(top string) string {
	var inner object
	for _, m := range o {
		if rest, ok := strings.CutPrefix(m.name, top+"."); ok {
			inner = append(inner, member{rest, m.value})
		}
	}
	if array, ok := strings.CutSuffix(top, "[]"); ok && len(inner) == 1 && inner[0].value == `""` {
		return encode(array) + ":[]"
	} else if ok {
		return encode(array) + ":[" + inner.String() + "]"
	}
	return encode(top) + ":" + inner.String()
}

// encode returns v's JSON without needless escapes. It panics if v has none.
func encode(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// decode decodes one JSON value, and keeps numbers as they are written.
func decode(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("decode JSON: %w", err)
	}
	if d.More() {
		return nil, fmt.Errorf("decode JSON: data after the value")
	}
	return v, nil
}

// same reports whether two decoded values are the same JSON.
func same(a, b any) bool { return encode(a) == encode(b) }

// user is a user as an answer shows it, decoded.
type user map[string]any

// json returns the JSON of a member; null if there is no such member.
func (u user) json(name string) string { return encode(u[name]) }

// text returns a member that is a string; empty if it is not.
func (u user) text(name string) string {
	s, _ := u[name].(string)
	return s
}

// differences returns the sorted names of the members in which two users differ, except those in ignored.
func differences(a, b user, ignored ...string) []string {
	all := user{}
	maps.Copy(all, a)
	maps.Copy(all, b)
	var names []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		was, before := a[name]
		is, after := b[name]
		if (before != after || !same(was, is)) && !slices.Contains(ignored, name) {
			names = append(names, name)
		}
	}
	return names
}
