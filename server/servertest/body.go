package servertest

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/description"
)

// Encode gives v's JSON.
func Encode(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Copy gives a body that shares nothing with v.
func Copy(t testing.TB, v any) map[string]any {
	t.Helper()
	var body map[string]any
	if err := json.Unmarshal([]byte(Encode(t, v)), &body); err != nil {
		t.Fatal(err)
	}
	return body
}

// Project gives what b has of what was shown.
func Project(t testing.TB, b description.Body, shown map[string]any) map[string]any {
	t.Helper()
	projected := Copy(t, shown)
	known := map[string]bool{}
	for _, m := range b.Members {
		known[m.Path] = true
	}
	var drop func(value any, path string)
	drop = func(value any, path string) {
		switch value := value.(type) {
		case map[string]any:
			for name, member := range value {
				at := strings.TrimPrefix(path+"."+name, ".")
				if !known[at] {
					delete(value, name)
				} else {
					drop(member, at)
				}
			}
		case []any:
			for _, item := range value {
				drop(item, path+"[]")
			}
		}
	}
	drop(projected, "")
	return projected
}

// Contains tells whether shown has everything that sent has; order is no matter.
func Contains(shown, sent any) bool {
	switch sent := sent.(type) {
	case map[string]any:
		object, ok := shown.(map[string]any)
		for name, member := range sent {
			ok = ok && Contains(object[name], member)
		}
		return ok
	case []any:
		array, ok := shown.([]any)
		for _, item := range sent {
			ok = ok && slices.ContainsFunc(array, func(s any) bool { return Contains(s, item) })
		}
		return ok && len(array) == len(sent)
	}
	return reflect.DeepEqual(shown, sent)
}

// Operation gives an operation of a dialect.
func Operation(t testing.TB, d description.API, id string) description.Operation {
	t.Helper()
	all, err := d.Operations()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		if o.OperationID == id {
			return o
		}
	}
	t.Fatalf("%s has no operation %q", d.Name, id)
	return description.Operation{}
}

// Show reads one user through a dialect. It gives the answer, and the user in it without what stands around them.
func (s *Server) Show(t testing.TB, d description.API, claims auth.Claims, subject description.Subject) (Answer, map[string]any) {
	t.Helper()
	o := Operation(t, d, d.Show)
	path, header := o.About(subject)
	answer := s.Ask(claims, Request{Method: o.Method, Path: path, Header: header})
	b, ok := d.Answer(d.Show)
	if !ok {
		t.Fatalf("%s has no table of the answer to %s", d.Name, d.Show)
	}
	var value any
	answer.Decode(t, &value)
	if around := strings.TrimSuffix(b.User, "."); around != "" {
		found := description.At(value, around)
		if len(found) != 1 {
			t.Fatalf("%s: there is no %s in %d %s", d.Name, around, answer.Status, answer.Body)
		}
		value = found[0]
	}
	user, ok := value.(map[string]any)
	if !ok {
		t.Fatalf("%s: there is no user in %d %s", d.Name, answer.Status, answer.Body)
	}
	return answer, user
}
