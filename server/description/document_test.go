package description_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/store"
)

// types are those that a table's fields are of: "" is the user.
var types = map[string]reflect.Type{
	"":         reflect.TypeFor[store.User](),
	"Customer": reflect.TypeFor[store.Customer](),
	"Company":  reflect.TypeFor[store.Company](),
	"Role":     reflect.TypeFor[store.Role](),
	"Webhook":  reflect.TypeFor[store.Webhook](),

	"ProvisioningToken": reflect.TypeFor[store.ProvisioningToken](),
}

// split parts a field's name from its type's.
func split(field string) (of, name string) {
	if of, name, ok := strings.Cut(field, "."); ok {
		return of, name
	}
	return "", field
}

func TestEveryFieldIsDescribed(t *testing.T) {
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
		if _, isUnnamed := unnamed[name]; isUnnamed == named[name] {
			t.Errorf("%s: in a table is %t, in unnamed is %t", name, named[name], isUnnamed)
		}
	}
	for name := range unnamed {
		if _, ok := types[""].FieldByName(name); !ok {
			t.Errorf("the model has no %s", name)
		}
	}
}
