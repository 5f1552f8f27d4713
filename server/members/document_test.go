package members_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/gen/testiniumapi"
	"github.com/dragoman-id/dragoman/gen/worthapi"
	"github.com/dragoman-id/dragoman/server/members"
	"github.com/dragoman-id/dragoman/store"
	"github.com/getkin/kin-openapi/openapi3"
)

// documents are the dialects' documents, by the dialects' names.
func documents(t testing.TB) map[string]*openapi3.T {
	t.Helper()
	all := map[string]*openapi3.T{}
	for dialect, get := range map[string]func() (*openapi3.T, error){"Worth": worthapi.GetSpec, "Testinium": testiniumapi.GetSpec} {
		d, err := get()
		if err != nil {
			t.Fatal(err)
		}
		all[dialect] = d
	}
	return all
}

// documented is what a document says of a member.
type documented struct{ required, nullable bool }

// flatten gives all members of a schema, those of its objects and arrays included, by their paths.
func flatten(schema *openapi3.Schema, path string, into map[string]documented) {
	if schema.Items != nil {
		flatten(schema.Items.Value, path+"[]", into)
		return
	}
	for name, property := range schema.Properties {
		at := name
		if path != "" {
			at = path + "." + name
		}
		into[at] = documented{slices.Contains(schema.Required, name), property.Value.Nullable}
		flatten(property.Value, at, into)
	}
}

// find gives the table of an operation's request or of its answer; of its errors if the operation is "".
func find(dialect, operation string, request bool) (members.Body, bool) {
	for _, b := range members.Bodies {
		if b.Dialect != dialect || b.Request != request {
			continue
		}
		if slices.Contains(b.Operations, operation) || operation == "" && len(b.Operations) == 0 {
			return b, true
		}
	}
	return members.Body{}, false
}

func TestEveryMemberOfEveryDocumentIsInATableAndNoOtherIs(t *testing.T) {
	t.Parallel()
	for dialect, d := range documents(t) {
		used := map[string]bool{}
		check := func(operation, where string, request bool, content openapi3.Content) {
			media := content.Get("application/json")
			if media == nil {
				return
			}
			b, ok := find(dialect, operation, request)
			if !ok {
				t.Errorf("%s: %s is in no table", dialect, where)
				return
			}
			used[b.Title] = true
			said := map[string]documented{}
			flatten(media.Schema.Value, "", said)
			checkMembers(t, b, where, said)
		}
		for _, item := range d.Paths.Map() {
			for _, o := range item.Operations() {
				if o.RequestBody != nil {
					check(o.OperationID, o.OperationID+"'s request", true, o.RequestBody.Value.Content)
				}
				for status, response := range o.Responses.Map() {
					operation := o.OperationID
					if status >= "400" {
						operation = ""
					}
					check(operation, o.OperationID+"'s answer "+status, false, response.Value.Content)
				}
			}
		}
		for _, b := range members.Bodies {
			if b.Dialect == dialect && !used[b.Title] {
				t.Errorf("%s: the document has no %q", dialect, b.Title)
			}
		}
	}
}

func checkMembers(t *testing.T, b members.Body, where string, said map[string]documented) {
	t.Helper()
	seen := map[string]bool{}
	for _, m := range b.Members {
		d, ok := said[m.Path]
		switch {
		case seen[m.Path]:
			t.Errorf("%s: %s stands twice in the table", where, m.Path)
		case !ok:
			t.Errorf("%s: %s is not in the document", where, m.Path)
		case d.required != (m.Required || !b.Request):
			t.Errorf("%s: required of %s is %t in the document", where, m.Path, d.required)
		case b.Request && d.nullable == (m.Null == members.NullRefused), !b.Request && !d.nullable && m.Null != members.NullNever:
			t.Errorf("%s: nullable of %s is %t in the document, null is %q in the table", where, m.Path, d.nullable, m.Null)
		}
		seen[m.Path] = true
	}
	for path := range said {
		if !seen[path] {
			t.Errorf("%s: %s is not in the table", where, path)
		}
	}
}

func TestTheTablesAreWhole(t *testing.T) {
	t.Parallel()
	requests := []members.Null{members.NullRefused, members.NullUnchanged}
	for _, b := range members.Bodies {
		for _, m := range b.Members {
			complete := m.Effect != "" && m.Absent != "" && slices.Contains(requests, m.Null) && m.Always == "" && m.Required == (m.Absent == members.AbsentRefused)
			if !b.Request {
				complete = m.Null != "" && !slices.Contains(requests, m.Null) && m.Effect == "" && m.Absent == "" && !m.Required && !m.Secret &&
					(m.Always == "null") == (m.Null == members.NullAlways) && (m.Field != "" || m.Always != "" || m.Note != "")
			}
			if !complete {
				t.Errorf("%s, %s: %+v is not whole", b.Dialect, b.Title, m)
			}
		}
	}
}

// types are those that a table's fields are of: "" is the user.
var types = map[string]reflect.Type{
	"":         reflect.TypeFor[store.User](),
	"Customer": reflect.TypeFor[store.Customer](),
	"Company":  reflect.TypeFor[store.Company](),
	"Role":     reflect.TypeFor[store.Role](),
}

// split parts a field's name from its type's.
func split(field string) (of, name string) {
	if of, name, ok := strings.Cut(field, "."); ok {
		return of, name
	}
	return "", field
}

func TestEveryFieldOfAUserIsInATableOrNamedByNoBody(t *testing.T) {
	t.Parallel()
	named := map[string]bool{}
	for _, b := range members.Bodies {
		for _, m := range b.Members {
			for _, field := range append(slices.Clone(m.Also), m.Field) {
				of, name := split(field)
				if of == "" {
					named[name] = true
				}
				if field == "" {
					continue
				}
				if _, ok := types[of].FieldByName(name); !ok {
					t.Errorf("%s, %s: the model has no %s", b.Dialect, m.Path, field)
				}
			}
		}
	}
	for i, user := 0, types[""]; i < user.NumField(); i++ {
		name := user.Field(i).Name
		if _, unnamed := members.Unnamed[name]; unnamed == named[name] {
			t.Errorf("%s: in a table is %t, in Unnamed is %t", name, named[name], unnamed)
		}
	}
	for name := range members.Unnamed {
		if _, ok := types[""].FieldByName(name); !ok {
			t.Errorf("the model has no %s", name)
		}
	}
}
