package testiniumclient_test

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"github.com/dragoman-id/dragoman/gen/documents"
	"github.com/dragoman-id/dragoman/gen/testiniumclient"
)

// TestUpdateHasEveryReplacedMember fills every member of a User and compares its Update with what the document requires:
// these members are replaced, and the others stay if they are absent.
func TestUpdateHasEveryReplacedMember(t *testing.T) {
	t.Parallel()
	var user testiniumclient.User
	n := 0
	fill(t, reflect.ValueOf(&user).Elem(), &n)
	read, update := members(t, user), members(t, user.Update())
	if len(read) != reflect.TypeFor[testiniumclient.User]().NumField() {
		t.Fatalf("not every member is filled: %v", read)
	}

	schema := updateSchema(t)
	if len(schema.Required) == 0 || len(schema.Properties) != reflect.TypeFor[testiniumclient.UserUpdate]().NumField() {
		t.Fatalf("UserUpdate has other members than its document: %v", schema)
	}
	for name := range schema.Properties {
		got, ok := update[name]
		switch required := slices.Contains(schema.Required, name); {
		case ok != required:
			t.Errorf("%s: in the update is %t, replaced is %t", name, ok, required)
		case name == "authorities":
			// A role is resolved by its name.
			var want []any
			for _, a := range user.Authorities {
				want = append(want, map[string]any{"name": a.Name})
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		case ok && !reflect.DeepEqual(got, read[name]):
			t.Errorf("%s is %v, want %v", name, got, read[name])
		}
	}
}

// TestUpdateRoundTrip puts back what was read of every user of the sandbox, which changes nothing, and then changes each member
// alone.
func TestUpdateRoundTrip(t *testing.T) {
	t.Parallel()
	url, token, stop := sandbox()
	t.Cleanup(stop)
	client, err := testiniumclient.NewClientWithResponses(url, testiniumclient.WithRequestEditorFn(bearer(token)))
	if err != nil {
		t.Fatal(err)
	}
	list, err := client.ListUsersWithResponse(t.Context(), customer, &testiniumclient.ListUsersParams{CurrentCompanyID: company})
	if err != nil {
		t.Fatal(err)
	}
	if err := list.Err(); err != nil || len(*list.JSON200) == 0 {
		t.Fatalf("%v, %s", err, list.Body)
	}
	for _, user := range *list.JSON200 {
		if changed := put(t, client, user.EntityID, user.Update()); changed != "" {
			t.Errorf("user %d: changed %q", user.EntityID, changed)
		}
	}
	for name, edit := range map[string]func(*testiniumclient.UserUpdate){
		"name":                 func(u *testiniumclient.UserUpdate) { u.Name += "x" },
		"surname":              func(u *testiniumclient.UserUpdate) { u.Surname += "x" },
		"username":             func(u *testiniumclient.UserUpdate) { u.Username += "x" },
		"email":                func(u *testiniumclient.UserUpdate) { u.Email += "x" },
		"enabled":              func(u *testiniumclient.UserUpdate) { u.Enabled = !u.Enabled },
		"accountNonExpired":    func(u *testiniumclient.UserUpdate) { u.AccountNonExpired = !u.AccountNonExpired },
		"accountNonLocked":     func(u *testiniumclient.UserUpdate) { u.AccountNonLocked = !u.AccountNonLocked },
		"credentialNonExpired": func(u *testiniumclient.UserUpdate) { u.CredentialNonExpired = !u.CredentialNonExpired },
		"authorities": func(u *testiniumclient.UserUpdate) {
			u.Authorities = []testiniumclient.AuthorityReference{{Name: "ROLE_REPORT"}}
		},
	} {
		read, err := client.GetUserWithResponse(t.Context(), customer, ada, &testiniumclient.GetUserParams{CurrentCompanyID: company})
		if err != nil {
			t.Fatal(err)
		}
		if err := read.Err(); err != nil {
			t.Fatal(err)
		}
		update := read.JSON200.Update()
		edit(&update)
		if changed := put(t, client, ada, update); changed != name {
			t.Errorf("%s: changed %q", name, changed)
		}
	}
}

// put replaces a user and returns the members that changed.
func put(t *testing.T, client *testiniumclient.ClientWithResponses, id testiniumclient.UserID, update testiniumclient.UserUpdate) string {
	t.Helper()
	r, err := client.UpdateUserWithResponse(context.Background(), customer, id, &testiniumclient.UpdateUserParams{CurrentCompanyID: company}, update)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	return r.Headers200.DragomanChanged
}

// fill sets v to a value that is like none before and not zero.
func fill(t *testing.T, v reflect.Value, n *int) {
	t.Helper()
	*n++
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(t, v.Index(i), n)
		}
	case reflect.String:
		v.SetString("text " + string(rune('A'+*n)))
	case reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Bool:
		v.SetBool(true)
	default:
		t.Fatalf("a member is a %s", v.Type())
	}
}

// members returns what v's JSON has, by name.
func members(t *testing.T, v any) map[string]any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// schema is what the tests read of a schema.
type schema struct {
	Required   []string
	Properties map[string]any
}

// updateSchema returns the document's schema of an update.
func updateSchema(t *testing.T) schema {
	t.Helper()
	b, err := documents.Files.ReadFile("testinium.json")
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Components struct{ Schemas map[string]schema }
	}
	if err := json.Unmarshal(b, &document); err != nil {
		t.Fatal(err)
	}
	return document.Components.Schemas["UserUpdate"]
}
