package dialect_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
)

// documents are those of the dialects that the server serves and that have an update.
func documents(t *testing.T) []*openapi3.T {
	t.Helper()
	return documentsOf(t, func(d server.Dialect) bool { return len(d.Updates) > 0 })
}

// documentsOf gives the documents of the server's dialects that are wanted.
func documentsOf(t *testing.T, wanted func(server.Dialect) bool) []*openapi3.T {
	t.Helper()
	var all []*openapi3.T
	for _, d := range server.Dialects() {
		if !wanted(d) {
			continue
		}
		document, err := d.Spec()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, document)
	}
	return all
}

type rule struct {
	pattern            string
	minLength, longest int
}

// TestDocumentsDeclareModelBounds holds what a document says of a request's text against what the model enforces.
func TestDocumentsDeclareModelBounds(t *testing.T) {
	t.Parallel()
	rules := map[string]rule{
		"FirstName": {longest: store.MaxNameLength},
		"LastName":  {longest: store.MaxNameLength},
		"Email":     {pattern: store.EmailPattern, longest: store.MaxEmailLength},
		"Username":  {pattern: store.UsernamePattern, minLength: 1, longest: store.MaxUsernameLength},
		"Mobile":    {longest: store.MaxMobileLength},

		"ExternalID":  {longest: store.MaxExternalIDLength},
		"DisplayName": {longest: store.MaxDisplayNameLength},
	}
	for _, d := range servertest.Dialects() {
		for _, operation := range append(slices.Clone(d.Updates), d.Create) {
			if operation == "" {
				continue
			}
			o := servertest.Operation(t, d.API, operation)
			b, _ := d.Request(operation)
			for _, m := range b.Members {
				want, ok := rules[m.Field]
				if !ok || b.Within != "" { // the value of an operation may be anything
					continue
				}
				schema := description.PropertyAt(o.RequestBody.Value.Content.Get("application/json").Schema.Value, m.Path)
				got := rule{pattern: schema.Pattern, minLength: int(schema.MinLength)}
				if schema.MaxLength != nil {
					got.longest = int(*schema.MaxLength)
				}
				if got != want {
					t.Errorf("%s: %s of %s is %+v, want %+v", d.Name, m.Path, operation, got, want)
				}
			}
		}
	}
}

// permissions gives the permission of each operation.
func permissions(t *testing.T) map[string]auth.Permission {
	t.Helper()
	s := storetest.Open(t, "sqlite:"+t.TempDir()+"/permissions.db")
	all := map[string]auth.Permission{}
	for _, d := range servertest.Dialects() {
		mounted, err := d.Mount(echo.New(), &dialect.Service{Store: s})
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(all, mounted.Permissions)
	}
	return all
}

// TestEveryOperationAuthenticates walks the documents, so that an operation cannot be served without being guarded. The
// bodies it sends are refused by every operation that takes one: whoever may not call never hears of that.
func TestEveryOperationAuthenticates(t *testing.T) {
	t.Parallel()
	s, needed := servertest.Start(t), permissions(t)
	for _, d := range servertest.Dialects() {
		all, err := d.Operations()
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range all {
			other := servertest.AdaSubject
			other.CustomerUUID = servertest.ElsewhereUUID.String()
			if path, _ := o.About(servertest.AdaSubject); len(d.Updates) == 0 && path == pathAbout(o, other) {
				continue // it is about no one customer, or for managers alone
			}
			t.Run(o.OperationID, func(t *testing.T) {
				r := servertest.Request{Method: o.Method, Body: "{"}
				r.Path, r.Header = o.About(servertest.AdaSubject)
				if o.Method == http.MethodDelete {
					r.Header.Set("If-Match", `"0"`)
				}
				success, _ := description.Success(o.Operation)
				checkGuard(t, s, r, needed[o.OperationID], success == 0)
			})
		}
	}
}

func pathAbout(o description.Operation, s description.Subject) string {
	path, _ := o.About(s)
	return path
}

func checkGuard(t *testing.T, s *servertest.Server, r servertest.Request, permission auth.Permission, alwaysRefused bool) {
	all := []auth.Permission{auth.PermissionRead, auth.PermissionWrite, auth.PermissionCreate}
	others := slices.DeleteFunc(slices.Clone(all), func(p auth.Permission) bool { return p == permission })
	here, elsewhere := []string{"3393"}, []string{"3394", servertest.ElsewhereUUID.String(), "4711"}
	for _, c := range []struct {
		name    string
		who     *auth.Claims
		refused int // 0: let in
	}{
		{"without a token", nil, 401},
		{"without permissions", &auth.Claims{Customers: here}, 403},
		{"with the other permissions", &auth.Claims{Customers: here, Permissions: others}, 403},
		{"with authorities that permit nothing", &auth.Claims{Customers: here, Authorities: []string{"ROLE_USER", "ROLE_CHANGE_USER", "cro"}}, 403},
		{"for other customers", &auth.Claims{Customers: elsewhere, Permissions: all, Authorities: []string{"ROLE_ADMIN"}}, 403},
		{"for no customer", &auth.Claims{Customers: []string{}, Permissions: all, Authorities: []string{"ROLE_ADMIN"}}, 403},
		{"without customers", &auth.Claims{Permissions: all, Authorities: []string{"ROLE_COMPANY_ADMIN"}}, 403},
		{"with the permission", &auth.Claims{Customers: here, Permissions: []auth.Permission{permission}}, 0},
		{"of a customer's administrator", &auth.Claims{Customers: here, Authorities: []string{"ROLE_COMPANY_ADMIN"}}, 0},
		{"of a customer's ROLE_ADMIN", &auth.Claims{Customers: here, Authorities: []string{"ROLE_ADMIN"}}, 0},
		{"ROLE_ADMIN without customers", &auth.Claims{Permissions: all, Authorities: []string{"ROLE_ADMIN"}}, 403},
		{"all customers without ROLE_ADMIN", &auth.Claims{Customers: []string{auth.AllCustomers}, Permissions: all, Authorities: []string{"ROLE_COMPANY_ADMIN"}}, 403},
		{"of the platform's administrator", &auth.Claims{Customers: []string{auth.AllCustomers}, Authorities: []string{"ROLE_ADMIN"}}, 0},
	} {
		if alwaysRefused && c.refused == 0 {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			r := r
			r.Header = maps.Clone(r.Header)
			if c.who != nil {
				c.who.Subject, c.who.Expires = "somebody", time.Hour
				r.Header.Set("Authorization", "Bearer "+s.Token(*c.who))
			}
			a := s.Send(r)
			if in := a.Status != 401 && a.Status != 403; in != (c.refused == 0) || !in && a.Status != c.refused {
				t.Errorf("the answer is %d %s, want %s", a.Status, a.Body, fmt.Sprint(c.refused))
			}
		})
	}
}
