package store

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
)

// bookkeeping are the fields of User that no write of a caller changes, and that Diff does not look at.
var bookkeeping = []string{
	"ID", "UUID", "CustomerID", "FirstNameFold", "LastNameFold", "UsernameFold", "EmailFold", "EmailSearch", "AccessTokenSealed", "VCSPasswordSealed",
	"CreatedAt", "CreatedBy", "UpdatedAt", "UpdatedBy", "Version",
}

// another returns a value of the field's type other than its zero value.
func another(t *testing.T, typ reflect.Type) reflect.Value {
	t.Helper()
	v := reflect.New(typ).Elem()
	switch p := v.Addr().Interface().(type) {
	case *time.Time:
		*p = time.UnixMilli(1)
		return v
	case *uuid.UUID:
		*p = uuid.New()
		return v
	}
	switch typ.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Int64:
		v.SetInt(8)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(typ.Elem()))
		v.Elem().Set(another(t, typ.Elem()))
	default:
		t.Fatalf("no value of %v", typ)
	}
	return v
}

// TestDiff fails for a new field of User until it is in the table of fields, or declared to be bookkeeping.
func TestDiff(t *testing.T) {
	t.Parallel()
	typ := reflect.TypeFor[User]()
	var order []Field
	for i := range typ.NumField() {
		name := typ.Field(i).Name
		var a, b User
		reflect.ValueOf(&b).Elem().Field(i).Set(another(t, typ.Field(i).Type))
		var want []Field
		if !slices.Contains(bookkeeping, name) {
			want = []Field{Field(name)}
			order = append(order, Field(name))
		}
		if got := Diff(&a, &b); !slices.Equal(got, want) {
			t.Errorf("%s differs: Diff is %v", name, got)
		}
		same := b
		same.unshare()
		if got := Diff(&b, &same); got != nil {
			t.Errorf("%s is the same: Diff is %v", name, got)
		}
	}
	var table []Field
	for _, f := range editable {
		table = append(table, f.name)
	}
	if !slices.Equal(table, order) {
		t.Errorf("the table has\n%v, the struct\n%v", table, order)
	}
}

func TestUnshare(t *testing.T) {
	t.Parallel()
	var u User
	v := reflect.ValueOf(&u).Elem()
	for i := range v.NumField() {
		v.Field(i).Set(another(t, v.Field(i).Type()))
	}
	c := u
	c.unshare()
	if !reflect.DeepEqual(u, c) {
		t.Errorf("got %+v, want %+v", c, u)
	}
	w := reflect.ValueOf(&c).Elem()
	for i := range v.NumField() {
		if v.Field(i).Kind() == reflect.Pointer && v.Field(i).Pointer() == w.Field(i).Pointer() {
			t.Errorf("%s is shared", v.Type().Field(i).Name)
		}
	}
}
