package description_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/store"
)

func TestDescriptionsAreWhole(t *testing.T) {
	t.Parallel()
	for _, d := range dialects() {
		for _, lacks := range d.Check() {
			t.Error(lacks)
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
	for _, d := range dialects() {
		for _, b := range d.Bodies {
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
						t.Errorf("%s, %s: the model has no %s", d.Name, m.Path, field)
					}
				}
			}
		}
	}
	for i, user := 0, types[""]; i < user.NumField(); i++ {
		name := user.Field(i).Name
		if _, unnamed := description.Unnamed[name]; unnamed == named[name] {
			t.Errorf("%s: in a table is %t, in Unnamed is %t", name, named[name], unnamed)
		}
	}
	for name := range description.Unnamed {
		if _, ok := types[""].FieldByName(name); !ok {
			t.Errorf("the model has no %s", name)
		}
	}
}
