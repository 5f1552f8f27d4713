package worth_test

import (
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

// caller has claims about the sandbox.
func caller(permissions []auth.Permission, authorities []string) auth.Claims {
	return auth.Claims{Subject: "somebody", Customers: []string{"3393"}, Permissions: permissions, Authorities: authorities, Expires: time.Hour}
}

var mayWrite = []auth.Permission{auth.PermissionWrite}

func TestPatchRequiresCustomerAndPermission(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		of := func(customers ...string) auth.Claims {
			c := servertest.Manager()
			c.Customers = customers
			return c
		}
		platform := auth.Claims{Subject: "root", Customers: []string{auth.AllCustomers}, Authorities: []string{"ROLE_ADMIN"}, Expires: time.Hour}
		const (
			users     = "/users/94520740-d63c-4e02-85ca-c4e138801e73"
			customers = "/auth/api/v1/customers/"
			nowhere   = "5d2b1c9e-31a5-4c39-8c1a-4a3f7cf4f0aa"
		)
		elsewhere := servertest.ElsewhereUUID.String()
		for _, c := range []struct {
			name   string
			who    auth.Claims
			path   string
			status int
			body   string
		}{
			{"the customer by its Long", of("3393"), adaPath, 200, patchSuccess},
			{"the customer by its UUID", of(servertest.SandboxUUID.String()), adaPath, 200, patchSuccess},
			{"one of several customers", of(elsewhere, "3393"), adaPath, 200, patchSuccess},
			{"the platform's administrator", platform, adaPath, 200, patchSuccess},
			{"the platform's administrator elsewhere", platform, customers + elsewhere + "/users/" + servertest.AlanUUID.String(), 200, patchSuccess},
			{"another customer's token", of("3394"), adaPath, 403, patchForbidden},
			{"no customer's token", of(), adaPath, 403, patchForbidden},
			{"another customer", of("3393"), customers + elsewhere + users, 403, patchForbidden},
			{"another customer's user by that customer", of("3393"), customers + elsewhere + "/users/" + servertest.AlanUUID.String(), 403, patchForbidden},
			{"a customer that is none", of("3393"), customers + nowhere + users, 403, patchForbidden},
			{"a customer that is none, named by the token", of(nowhere), customers + nowhere + users, 404, patchNotFound},
			{"a customer that is none, to the platform's administrator", platform, customers + nowhere + users, 404, patchNotFound},
			{"a customer's Long", of("3393"), customers + "3393" + users, 403, patchForbidden},
			{"a customer's bare digits", of("3393"), customers + "2e6438cbec3f4e94b5c98c058d2efaf1" + users, 403, patchForbidden},
			{"the nil customer", of("3393"), customers + "00000000-0000-0000-0000-000000000000" + users, 403, patchForbidden},
			{"a customer beyond UTF-8", of("3393"), customers + "%FF" + users, 403, patchForbidden},
			{"no customer", of("3393"), customers + users, 400, patchInvalid(servertest.FieldError{"customerID", "customerID is required"})},
			{"no customer, to the platform's administrator", platform, customers + users, 400, patchInvalid(servertest.FieldError{"customerID", "customerID is required"})},
			{"permission to write", caller(mayWrite, nil), adaPath, 200, patchSuccess},
			{"permissions to read and create", caller([]auth.Permission{auth.PermissionRead, auth.PermissionCreate}, nil), adaPath, 403, patchForbidden},
			{"an invented permission", caller([]auth.Permission{"customer_user", "write", "CUSTOMER_USER:WRITE"}, nil), adaPath, 403, patchForbidden},
			{"an administrator's authority", caller(nil, []string{"ROLE_COMPANY_ADMIN"}), adaPath, 200, patchSuccess},
			{"a user's authority", caller(nil, []string{"ROLE_USER", "ROLE_CHANGE_USER"}), adaPath, 403, patchForbidden},
			{"neither", caller(nil, nil), adaPath, 403, patchForbidden},
		} {
			t.Run(c.name, func(t *testing.T) {
				sendPatch(s, c.who, c.path, `{"last_name":"Changed"}`).Expect(t, c.status, c.body)
			})
		}
	})
}

func TestPatchUnknownUser(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for _, id := range []string{
			servertest.AlanUUID.String(), "5d2b1c9e-31a5-4c39-8c1a-4a3f7cf4f0aa", "00000000-0000-0000-0000-000000000000",
			"6860", "x", "%20", "%00", "%FF", "a%2Fb", "94520740d63c4e0285acc4e138801e73", "%7B94520740-d63c-4e02-85ca-c4e138801e73%7D",
			"urn:uuid:94520740-d63c-4e02-85ca-c4e138801e73", "94520740-d63c-4e02-85ca-c4e138801e73x",
		} {
			sendPatch(s, servertest.Manager(), adaPath[:len(adaPath)-36]+id, `{"last_name":"Changed"}`).Expect(t, 404, patchNotFound)
		}
		sendPatch(s, servertest.Manager(), adaPath[:len(adaPath)-36]+"94520740-D63C-4E02-85CA-C4E138801E73", `{"last_name":"King"}`).Expect(t, 200, patchSuccess)
	})
}

func TestPatchHeedsTheCallersRank(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := caller(nil, []string{"ROLE_ADMIN"})
		companyAdmin := caller(nil, []string{"ROLE_USER", "ROLE_COMPANY_ADMIN"})
		worthCRO := caller(mayWrite, nil) // Worth's tokens have no authorities
		user := caller(mayWrite, []string{"ROLE_USER"})
		nobody := caller(mayWrite, []string{})
		unknown := caller(mayWrite, []string{"ROLE_EMPEROR", "ROLE_RUN_TEST"})
		const rename = `{"last_name":"Changed"}`
		grant := func(code string) string { return `{"subrole":{"code":"` + code + `"}}` }
		for _, c := range []struct {
			name string
			who  auth.Claims
			has  []int64
			body string
			ok   bool
		}{
			{"rank 3 grants owner", admin, nil, grant("owner"), true},
			{"rank 3 takes owner away", admin, []int64{1, 2, 3}, grant("risk_analyst"), true},
			{"rank 2 grants cro", companyAdmin, nil, grant("cro"), true},
			{"rank 2 takes cro away", companyAdmin, []int64{2, 3}, grant("risk_analyst"), true},
			{"rank 2 grants owner", companyAdmin, nil, grant("owner"), false},
			{"rank 2 takes owner away", companyAdmin, []int64{1, 2, 3}, grant("cro"), false},
			{"rank 2 renames an owner", companyAdmin, []int64{1}, rename, false},
			{"rank 2 changes nothing about an owner", companyAdmin, []int64{1}, `{"last_name":"Somerville"}`, false},
			{"a token without authorities has rank 2", worthCRO, []int64{3}, grant("cro"), true},
			{"a token without authorities has not rank 3", worthCRO, []int64{3}, grant("owner"), false},
			{"rank 1 grants risk_analyst", user, []int64{4}, grant("risk_analyst"), true},
			{"rank 1 renames its like", user, []int64{3}, rename, true},
			{"rank 1 grants cro", user, []int64{3}, grant("cro"), false},
			{"rank 1 takes cro away", user, []int64{2, 3}, grant("risk_analyst"), false},
			{"rank 1 renames a cro", user, []int64{2, 3}, rename, false},
			{"rank 1 changes nothing about a cro", user, []int64{2, 3}, grant("cro"), false},
			{"rank 0 renames a user of rank 1", nobody, []int64{3}, rename, true},
			{"rank 0 keeps a user's risk_analyst", nobody, []int64{3}, grant("risk_analyst"), true},
			{"rank 0 grants risk_analyst", nobody, nil, grant("risk_analyst"), false},
			{"rank 0 renames a cro", nobody, []int64{2}, rename, false},
			{"unknown authorities have rank 0", unknown, nil, grant("risk_analyst"), false},
		} {
			t.Run(c.name, func(t *testing.T) {
				u, path := userWith(t, s, c.has...)
				a := sendPatch(s, c.who, path, c.body)
				if c.ok {
					a.Expect(t, 200, patchSuccess)
					return
				}
				a.Expect(t, 403, patchForbidden)
				if d := servertest.Differences(u, s.FindUser(t, u.ID)); len(d) > 0 {
					t.Errorf("a refused request changed %v", d)
				}
			})
		}
	})
}

func TestPatchRecordsWhoWrote(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for _, c := range []struct {
			name string
			who  auth.Claims
			want string
		}{
			{"custom:id", auth.Claims{Subject: servertest.AlanUUID.String(), UserID: &servertest.GraceUUID}, servertest.GraceUUID.String()},
			{"a sub that is a UUID", auth.Claims{Subject: servertest.AlanUUID.String()}, servertest.AlanUUID.String()},
			{"a sub that is none", auth.Claims{Subject: "grace"}, ""},
		} {
			c.who.Customers, c.who.Permissions, c.who.Expires = []string{"3393"}, mayWrite, time.Hour
			sendPatch(s, c.who, adaPath, `{"last_name":"`+c.name+`"}`).Expect(t, 200, patchSuccess)
			var got string
			if by := s.FindUser(t, servertest.Ada).UpdatedBy; by != nil {
				got = by.String()
			}
			if got != c.want {
				t.Errorf("%s: updated by %q, want %q", c.name, got, c.want)
			}
		}
	})
}

// A refused grant and a refused rule are told apart by their order, not by what a caller may learn.
func TestPatchRankComesBeforeRules(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		_, path := userWith(t, s, store.Roles(1).IDs()...)
		sendPatch(s, servertest.Manager(), path, `{"email":"grace.hopper@example.com"}`).Expect(t, 403, patchForbidden)
	})
}
