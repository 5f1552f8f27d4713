package dialect_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/gen/testiniumapi"
	"github.com/dragoman-id/dragoman/gen/worthapi"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/getkin/kin-openapi/openapi3"
)

// documents are those that the server serves.
func documents(t *testing.T) []*openapi3.T {
	t.Helper()
	var all []*openapi3.T
	for _, get := range []func() (*openapi3.T, error){worthapi.GetSpec, testiniumapi.GetSpec} {
		d, err := get()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

type rule struct {
	pattern            string
	minLength, longest int
}

// TestDocumentsHaveTheModelsBounds holds what a document says of a request's text against what the model enforces.
func TestDocumentsHaveTheModelsBounds(t *testing.T) {
	t.Parallel()
	name := rule{longest: store.MaxNameLength}
	rules := map[string]rule{
		"first_name": name, "last_name": name, "name": name, "surname": name,
		"email":    {pattern: store.EmailPattern, longest: store.MaxEmailLength},
		"username": {pattern: store.UsernamePattern, minLength: 1, longest: store.MaxUsernameLength},
		"mobile":   {longest: store.MaxMobileLength},
	}
	for _, d := range documents(t) {
		checked := 0
		for path, item := range d.Paths.Map() {
			for method, o := range item.Operations() {
				if o.RequestBody == nil {
					continue
				}
				for member, schema := range o.RequestBody.Value.Content.Get("application/json").Schema.Value.Properties {
					want, ok := rules[member]
					if !ok {
						continue
					}
					checked++
					got := rule{pattern: schema.Value.Pattern, minLength: int(schema.Value.MinLength)}
					if schema.Value.MaxLength != nil {
						got.longest = int(*schema.Value.MaxLength)
					}
					if got != want {
						t.Errorf("%s: %s %s: %s is %+v, want %+v", d.Info.Title, method, path, member, got, want)
					}
				}
			}
		}
		if checked < 4 {
			t.Errorf("%s: only %d members were held against the model", d.Info.Title, checked)
		}
	}
}

// needed is the permission of each operation.
var needed = map[string]auth.Permission{
	"createCustomerUser":   auth.PermissionCreate,
	"getCustomerUser":      auth.PermissionRead,
	"getUser":              auth.PermissionRead,
	"listCustomerSubroles": auth.PermissionRead,
	"listCustomerUsers":    auth.PermissionRead,
	"listUsers":            auth.PermissionRead,
	"updateCustomerUser":   auth.PermissionWrite,
	"updateUser":           auth.PermissionWrite,
}

// sandbox is what a request about the sandbox says for each parameter.
var sandbox = map[string]string{
	"customerID":         servertest.SandboxUUID.String(),
	"userID":             servertest.AdaUUID.String(),
	"id":                 "3393",
	"userId":             "6860",
	"current-company-id": "5251",
}

// TestEveryOperationAsksWhoCalls walks the documents, so that an operation cannot be served without being guarded. The
// bodies it sends are refused by every operation that takes one: whoever may not call never hears of that.
func TestEveryOperationAsksWhoCalls(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, d := range documents(t) {
		for path, item := range d.Paths.Map() {
			for method, o := range item.Operations() {
				t.Run(o.OperationID, func(t *testing.T) {
					permission, ok := needed[o.OperationID]
					if !ok {
						t.Fatalf("say in needed which permission %s %s needs", method, path)
					}
					r := guarded(t, d.Servers[0].URL+path, method, slices.Concat(item.Parameters, o.Parameters))
					checkGuard(t, s, r, permission)
				})
			}
		}
	}
}

func guarded(t *testing.T, path, method string, parameters openapi3.Parameters) servertest.Request {
	t.Helper()
	r := servertest.Request{Method: method, Path: path, Header: http.Header{}, Body: "{"}
	for _, p := range parameters {
		value, ok := sandbox[p.Value.Name]
		switch {
		case !p.Value.Required:
		case !ok:
			t.Fatalf("say in sandbox what to send as %s", p.Value.Name)
		case p.Value.In == openapi3.ParameterInPath:
			r.Path = strings.ReplaceAll(r.Path, "{"+p.Value.Name+"}", value)
		default:
			r.Header.Set(p.Value.Name, value)
		}
	}
	return r
}

func checkGuard(t *testing.T, s *servertest.Server, r servertest.Request, permission auth.Permission) {
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
