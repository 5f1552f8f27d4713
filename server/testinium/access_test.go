package testinium_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

func TestPutIDsMustBeLongs(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	integer := func(name string) servertest.FieldError {
		return servertest.FieldError{name, name + " must be an integer"}
	}
	for _, c := range []struct {
		customer, user, told string
		want                 []servertest.FieldError
	}{
		{"x", "6860", "", []servertest.FieldError{integer("id")}},
		{"3393", "x", "", []servertest.FieldError{integer("userId")}},
		{"3393", "94520740-d63c-4e02-85ca-c4e138801e73", "", []servertest.FieldError{integer("userId")}},
		{"", "6860", "", []servertest.FieldError{{"id", "id is required"}}},
		{"3393", "6860.0", "", []servertest.FieldError{integer("userId")}},
		{"3393", "6e3", "", []servertest.FieldError{integer("userId")}},
		{"3393", "0x1acc", "", []servertest.FieldError{integer("userId")}},
		{"3393", "6_860", "", []servertest.FieldError{integer("userId")}},
		{"3393", "+6860", "", []servertest.FieldError{integer("userId")}},
		{"3393", "%2B6860", "+6860", []servertest.FieldError{integer("userId")}},
		{"3393", "%206860", " 6860", []servertest.FieldError{integer("userId")}},
		{"3393", "6860%2F1", "6860/1", []servertest.FieldError{integer("userId")}},
		{"3393", "%00", "\x00", []servertest.FieldError{integer("userId")}},
		{"3393", "٦٨٦٠", "", []servertest.FieldError{integer("userId")}},
		{"3393", "9223372036854775808", "", []servertest.FieldError{integer("userId")}},
		{"-9223372036854775809", "99999999999999999999999", "", []servertest.FieldError{integer("id"), integer("userId")}},
	} {
		t.Run(c.customer+"/"+c.user, func(t *testing.T) {
			if c.told == "" {
				c.told = c.user
			}
			path := fmt.Sprintf("/account/api/v1/customers/%s/users/", c.customer)
			sendPut(s, servertest.Manager(), path+c.user, nine()).Expect(t, 400, putInvalidAt(path+c.told, c.want...))
		})
	}
}

func TestCurrentCompanyIDMustBeOneLong(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	const name = "current-company-id"
	for _, c := range []struct {
		header []string
		want   string // "" is a success
	}{
		{[]string{"5251"}, ""},
		{[]string{"5267"}, ""},
		{[]string{" 5251 "}, ""},
		{nil, "is required"},
		{[]string{""}, "must be an integer"},
		{[]string{"x"}, "must be an integer"},
		{[]string{"5251.0"}, "must be an integer"},
		{[]string{"+5251"}, "must be an integer"},
		{[]string{"5251, 5251"}, "must be an integer"},
		{[]string{"9223372036854775808"}, "must be an integer"},
		{[]string{"5251", "5251"}, "must be given once"},
		{[]string{"5251", ""}, "must be given once"},
	} {
		t.Run(fmt.Sprint(c.header), func(t *testing.T) {
			a := s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodPut, Path: adaPath, Header: http.Header{"Current-Company-Id": c.header}, Body: nine()})
			if c.want != "" {
				a.Expect(t, 400, putInvalid(servertest.FieldError{name, name + " " + c.want}))
			} else if a.Status != 200 {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
	// All that is wrong with the path and the headers, and nothing of the body.
	path := "/account/api/v1/customers/a/users/b"
	s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodPut, Path: path, Header: http.Header{"Current-Company-Id": {"c"}, "If-Match": {"d"}}, Body: "e"}).
		Expect(t, 400, putInvalidAt(path,
			servertest.FieldError{"id", "id must be an integer"},
			servertest.FieldError{"userId", "userId must be an integer"},
			servertest.FieldError{name, name + " must be an integer"},
			servertest.FieldError{"If-Match", "If-Match must be * or entity tags in double quotes"}))
}

func TestPutRequiresCustomerCompanyAndPermission(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		of := func(customers ...string) auth.Claims {
			c := servertest.Manager()
			c.Customers = customers
			return c
		}
		may := func(permissions []auth.Permission, authorities ...string) auth.Claims {
			return auth.Claims{Subject: "somebody", Customers: []string{"3393"}, Permissions: permissions, Authorities: authorities, Expires: time.Hour}
		}
		platform := auth.Claims{Subject: "root", Customers: []string{auth.AllCustomers}, Authorities: []string{"ROLE_ADMIN"}, Expires: time.Hour}
		alan := nine([2]string{"username", `"alanturing"`}, [2]string{"email", `"alan.turing@example.com"`},
			[2]string{"authorities", `[{"name":"ROLE_COMPANY_ADMIN"},{"name":"ROLE_USER"}]`})
		for _, c := range []struct {
			name                    string
			who                     auth.Claims
			customer, company, user string
			body                    string
			status                  int
		}{
			{"the customer by its Long", of("3393"), "3393", "5251", "6860", nine(), 200},
			{"the customer by its UUID", of(servertest.SandboxUUID.String()), "3393", "5251", "6860", nine(), 200},
			{"one of several customers", of("3394", "3393"), "3393", "5251", "6860", nine(), 200},
			{"another of its companies", of("3393"), "3393", "5267", "6860", nine(), 200},
			{"the platform's administrator", platform, "3394", "2760", "7001", alan, 200},
			{"another customer's token", of("3394"), "3393", "5251", "6860", nine(), 403},
			{"no customer's token", of(), "3393", "5251", "6860", nine(), 403},
			{"another customer", of("3393"), "3394", "2760", "7001", alan, 403},
			{"a customer that is none", of("3393"), "4711", "5251", "6860", nine(), 403},
			{"a customer that is none, named by the token", of("4711"), "4711", "5251", "6860", nine(), 403},
			{"a customer that is none, to the platform's administrator", platform, "4711", "5251", "6860", nine(), 403},
			{"customer 0", platform, "0", "5251", "6860", nine(), 403},
			{"a negative customer", platform, "-3393", "5251", "6860", nine(), 403},
			{"the greatest Long", of("9223372036854775807"), "9223372036854775807", "5251", "6860", nine(), 403},
			{"a company that is none", of("3393"), "3393", "4711", "6860", nine(), 403},
			{"another customer's company", of("3393"), "3393", "2760", "6860", nine(), 403},
			{"another customer's company, of two customers", of("3393", "3394"), "3393", "2760", "6860", nine(), 403},
			{"the customer's id as a company", of("3393"), "3393", "3393", "6860", nine(), 403},
			{"permission to write", may([]auth.Permission{auth.PermissionWrite}), "3393", "5251", "6860", nine(), 200},
			{"permissions to read and create", may([]auth.Permission{auth.PermissionRead, auth.PermissionCreate}), "3393", "5251", "6860", nine(), 403},
			{"an administrator's authority", may(nil, "ROLE_COMPANY_ADMIN"), "3393", "5251", "6860", nine(), 200},
			{"ROLE_ADMIN of a customer", may(nil, "ROLE_ADMIN"), "3393", "5251", "6860", nine(), 200},
			{"a user's authorities", may(nil, "ROLE_USER", "ROLE_CHANGE_USER"), "3393", "5251", "6860", nine(), 403},
			{"neither", may(nil), "3393", "5251", "6860", nine(), 403},
			{"a user that is none", of("3393"), "3393", "5251", "4711", nine(), 404},
			{"another customer's user", of("3393", "3394"), "3393", "5251", "7001", alan, 404},
			{"user 0", of("3393"), "3393", "5251", "0", nine(), 404},
			{"a negative user", of("3393"), "3393", "5251", "-6860", nine(), 404},
			{"a user beyond 2^53", of("3393"), "3393", "5251", "9007199254740993", nine(), 404},
			{"the greatest user", of("3393"), "3393", "5251", "9223372036854775807", nine(), 404},
		} {
			t.Run(c.name, func(t *testing.T) {
				path := "/account/api/v1/customers/" + c.customer + "/users/" + c.user
				a := s.Ask(c.who, servertest.Request{Method: http.MethodPut, Path: path, Header: http.Header{"Current-Company-Id": {c.company}}, Body: c.body})
				switch c.status {
				case 403:
					a.Expect(t, 403, putForbidden(path))
				case 404:
					a.Expect(t, 404, putNotFound(path))
				default:
					if a.Status != 200 {
						t.Errorf("%d %s", a.Status, a.Body)
					}
				}
			})
		}
	})
}

func TestPutHeedsTheCallersRank(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		caller := func(authorities ...string) auth.Claims {
			return auth.Claims{Subject: "somebody", Customers: []string{"3393"}, Permissions: []auth.Permission{auth.PermissionWrite}, Authorities: authorities, Expires: time.Hour}
		}
		admin, companyAdmin, user := caller("ROLE_ADMIN"), caller("ROLE_USER", "ROLE_COMPANY_ADMIN"), caller("ROLE_USER")
		withoutAuthorities, nobody := caller(), caller("ROLE_EMPEROR")
		for _, c := range []struct {
			name    string
			who     auth.Claims
			has     []int64
			becomes []int64
			ok      bool
		}{
			{"rank 3 grants ROLE_ADMIN", admin, []int64{3}, []int64{1, 2, 3}, true},
			{"rank 3 takes ROLE_ADMIN away", admin, []int64{1}, nil, true},
			{"rank 2 grants ROLE_COMPANY_ADMIN", companyAdmin, []int64{3}, []int64{2, 3}, true},
			{"rank 2 takes ROLE_COMPANY_ADMIN away", companyAdmin, []int64{2}, nil, true},
			{"rank 2 grants ROLE_ADMIN", companyAdmin, []int64{3}, []int64{1, 3}, false},
			{"rank 2 takes ROLE_ADMIN away", companyAdmin, []int64{1, 3}, []int64{3}, false},
			{"rank 2 changes nothing about a ROLE_ADMIN", companyAdmin, []int64{1, 3}, []int64{1, 3}, false},
			{"a token without authorities has rank 2", withoutAuthorities, nil, []int64{2}, true},
			{"a token without authorities has not rank 3", withoutAuthorities, nil, []int64{1}, false},
			{"rank 1 grants what it has", user, nil, []int64{3}, true},
			{"rank 1 grants what has rank 0", user, []int64{3}, []int64{3, 4}, false},
			{"rank 1 takes ROLE_READ_ONLY away", user, []int64{3, 11}, []int64{3}, false},
			{"rank 2 grants what has rank 0", companyAdmin, []int64{3}, []int64{3, 4, 5, 11, 12}, true},
			{"rank 2 takes away what has rank 0", companyAdmin, []int64{3, 4, 5, 11, 12}, []int64{3}, true},
			{"a token without authorities grants what has rank 0", withoutAuthorities, nil, []int64{11}, true},
			{"rank 1 takes ROLE_USER away", user, []int64{3, 12}, []int64{12}, true},
			{"rank 1 grants ROLE_COMPANY_ADMIN", user, []int64{3}, []int64{2, 3}, false},
			{"rank 1 takes ROLE_COMPANY_ADMIN away", user, []int64{2, 3}, []int64{3}, false},
			{"rank 1 changes nothing about a ROLE_COMPANY_ADMIN", user, []int64{2}, []int64{2}, false},
			{"rank 0 grants what has rank 0", nobody, []int64{3}, []int64{3, 4, 12}, false},
			{"rank 0 grants ROLE_USER", nobody, []int64{4}, []int64{3, 4}, false},
			{"rank 0 takes ROLE_USER away", nobody, []int64{3}, nil, false},
			{"rank 0 changes nothing about a ROLE_COMPANY_ADMIN", nobody, []int64{2}, []int64{2}, false},
		} {
			t.Run(c.name, func(t *testing.T) {
				u := s.CreateUser(t, store.User{FirstName: "Mary", Username: "mary", Email: "mary@example.com", Status: store.StatusActive, Roles: store.Roles(c.has...),
					AccountNonExpired: true, AccountNonLocked: true, CredentialNonExpired: true})
				var authorities string
				for _, role := range s.Store.Catalogue().In(store.Roles(c.becomes...)) {
					authorities += fmt.Sprintf(`,{"name":%q}`, role.Name)
				}
				path := fmt.Sprintf("/account/api/v1/customers/3393/users/%d", u.ID)
				a := sendPut(s, c.who, path, nine([2]string{"name", `"Mary"`}, [2]string{"surname", `""`}, [2]string{"username", fmt.Sprintf("%q", u.Username)},
					[2]string{"email", fmt.Sprintf("%q", u.Email)}, [2]string{"authorities", "[" + authorities[min(1, len(authorities)):] + "]"}))
				after := s.FindUser(t, u.ID)
				if !c.ok {
					a.Expect(t, 403, putForbidden(path))
					if d := servertest.Differences(u, after); len(d) > 0 {
						t.Errorf("a refused request changed %v", d)
					}
				} else if a.Status != 200 || after.Roles != store.Roles(c.becomes...) {
					t.Errorf("%d %s: roles %v", a.Status, a.Body, after.Roles.IDs())
				}
			})
		}
	})
}
