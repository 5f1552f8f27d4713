package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/gen/testiniumclient"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

// stays is what a refused member's message says of the last administrator.
const stays = "must leave the customer an active administrator"

// door is a way for a user to cease to be one who administers the customer.
type door struct {
	name    string
	patch   string                              // a body for Worth; or else
	put     func(p *testiniumclient.UserUpdate) // what is changed of the present state for Testinium
	members []string                            // those that are refused, in the order in which they are told
}

var doors = []door{
	{name: "status", patch: `{"status":"INACTIVE"}`, members: []string{"status"}},
	{name: "subrole", patch: `{"subrole":{"code":"risk_analyst"}}`, members: []string{"subrole"}},
	{name: "status and subrole", patch: `{"first_name":"G","status":"INACTIVE","subrole":{"code":"risk_analyst"}}`, members: []string{"subrole", "status"}},
	{name: "enabled", put: func(p *testiniumclient.UserUpdate) { p.Enabled = false }, members: []string{"enabled"}},
	{name: "accountNonExpired", put: func(p *testiniumclient.UserUpdate) { p.AccountNonExpired = false }, members: []string{"accountNonExpired"}},
	{name: "accountNonLocked", put: func(p *testiniumclient.UserUpdate) { p.AccountNonLocked = false }, members: []string{"accountNonLocked"}},
	{name: "credentialNonExpired", put: func(p *testiniumclient.UserUpdate) { p.CredentialNonExpired = false }, members: []string{"credentialNonExpired"}},
	{name: "authorities", put: func(p *testiniumclient.UserUpdate) {
		p.Authorities = []testiniumclient.AuthorityReference{{Name: "ROLE_USER"}, {Name: "ROLE_CHANGE_USER"}}
	}, members: []string{"authorities"}},
	{name: "no authorities", put: func(p *testiniumclient.UserUpdate) { p.Authorities = []testiniumclient.AuthorityReference{} }, members: []string{"authorities"}},
	{name: "all at once", put: func(p *testiniumclient.UserUpdate) {
		p.Name, p.Authorities, p.Enabled = "G", []testiniumclient.AuthorityReference{}, false
		p.AccountNonExpired, p.AccountNonLocked, p.CredentialNonExpired = false, false, false
	}, members: []string{"authorities", "enabled", "accountNonExpired", "accountNonLocked", "credentialNonExpired"}},
}

// request is the one that goes through the door with a user of the sandbox.
func (d door) request(t *testing.T, s *servertest.Server, u store.User) servertest.Request {
	t.Helper()
	if d.put == nil {
		path := fmt.Sprintf("/auth/api/v1/customers/%s/users/%s", servertest.SandboxUUID, u.UUID)
		return servertest.Request{Method: http.MethodPatch, Path: path, Body: d.patch}
	}
	p := bodyOf(s, u)
	d.put(&p)
	body, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return servertest.Request{Method: http.MethodPut, Path: fmt.Sprintf("/account/api/v1/customers/3393/users/%d", u.ID), Body: string(body)}
}

// told is the door's refusal of the last administrator.
func (d door) told() []servertest.FieldError {
	var all []servertest.FieldError
	for _, m := range d.members {
		all = append(all, servertest.FieldError{m, m + " " + stays})
	}
	return all
}

// refuses fails the test unless a is the dialect's 400 about these members.
func (d door) refuses(t *testing.T, r servertest.Request, a servertest.Answer, fields ...servertest.FieldError) {
	t.Helper()
	if d.put == nil {
		a.Expect(t, 400, servertest.WorthError(400, "INVALID", "CustomersApiError", "", fields...))
	} else {
		a.Expect(t, 400, servertest.TestiniumError(400, "INVALID_REQUEST", "The request was malformed or contained errors.", r.Path, fields...))
	}
}

// forbids fails the test unless a is the dialect's 403.
func (d door) forbids(t *testing.T, r servertest.Request, a servertest.Answer) {
	t.Helper()
	if d.put == nil {
		a.Expect(t, 403, servertest.WorthError(403, "ERR_FORBIDDEN", "AccessMiddlewareError", "Forbidden"))
	} else {
		a.Expect(t, 403, servertest.TestiniumError(403, "ACCESS_DENIED", "The user lacks permission to update this information.", r.Path))
	}
}

// rewrite edits a stored user of the sandbox.
func rewrite(t *testing.T, s *servertest.Server, id int64, edit func(u *store.User)) store.User {
	t.Helper()
	u, _, err := s.Store.UpdateUser(context.Background(), store.UserByID(servertest.Sandbox, id), store.Change{Edit: func(u *store.User) error {
		edit(u)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// administrator stores one more user of the sandbox, who administers it but for what edit takes from that.
func administrator(t *testing.T, s *servertest.Server, edit func(u *store.User)) store.User {
	t.Helper()
	u := store.User{
		FirstName: "Mary", Username: "mary", Email: "mary@example.com", Roles: store.Roles(2, 3), Status: store.StatusActive,
		AccountNonExpired: true, AccountNonLocked: true, CredentialNonExpired: true,
	}
	edit(&u)
	return s.CreateUser(t, u)
}

// powerless are users who do not administer the sandbox, though each lacks but one thing.
var powerless = []func(u *store.User){
	func(u *store.User) { u.Status = store.StatusInvited },
	func(u *store.User) { u.Status = store.StatusInactive },
	func(u *store.User) { u.AccountNonExpired = false },
	func(u *store.User) { u.AccountNonLocked = false },
	func(u *store.User) { u.CredentialNonExpired = false },
	func(u *store.User) { u.Roles = store.Roles(3, 4, 5, 11, 12) },
}

func TestLastAdministratorStays(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for _, edit := range powerless {
			administrator(t, s, edit)
		}
		// Nor does Alan count, who administers another customer.
		for _, d := range doors {
			t.Run(d.name, func(t *testing.T) {
				grace := s.FindUser(t, servertest.Grace)
				r := d.request(t, s, grace)
				d.refuses(t, r, s.Ask(servertest.Administrator(), r), d.told()...)
				if diff := servertest.Differences(grace, s.FindUser(t, servertest.Grace)); len(diff) > 0 {
					t.Errorf("a refused request changed %v", diff)
				}
				// With another, she may go.
				for name, roles := range map[string]store.RoleSet{"ROLE_COMPANY_ADMIN": store.Roles(2), "ROLE_ADMIN": store.Roles(1)} {
					other := administrator(t, s, func(u *store.User) { u.Roles = roles })
					if a := s.Ask(servertest.Administrator(), r); a.Status != http.StatusOK {
						t.Errorf("beside one of %s: %d %s", name, a.Status, a.Body)
					}
					rewrite(t, s, servertest.Grace, func(u *store.User) { version := u.Version; *u = grace; u.Version = version })
					rewrite(t, s, other.ID, func(u *store.User) { u.Status = store.StatusInactive })
				}
			})
		}
	})
}

// A write that leaves the administrator one is no matter of the rule.
func TestLastAdministratorOtherUpdates(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for _, d := range []door{
			{patch: `{"first_name":"Amazing","last_name":"Grace","status":"ACTIVE","subrole":{"code":"cro"}}`},
			{patch: `{"subrole":{"code":"owner"}}`},
			{put: func(p *testiniumclient.UserUpdate) {
				p.Surname, p.Authorities = "Murray", []testiniumclient.AuthorityReference{{Name: "ROLE_ADMIN"}}
			}},
			{put: func(p *testiniumclient.UserUpdate) {
				p.Authorities = []testiniumclient.AuthorityReference{{Name: "ROLE_COMPANY_ADMIN"}}
			}},
		} {
			if a := s.Ask(servertest.Administrator(), d.request(t, s, s.FindUser(t, servertest.Grace))); a.Status != http.StatusOK {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		}
	})
}

func TestLastAdministratorAmongOtherErrors(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		grace := s.FindUser(t, servertest.Grace)
		worth := door{patch: `{"status":"INACTIVE","email":"Ada.Lovelace@Example.com"}`}
		r := worth.request(t, s, grace)
		worth.refuses(t, r, s.Ask(servertest.Manager(), r),
			servertest.FieldError{"status", "status " + stays}, servertest.FieldError{"email", "Another customer user exists with the same email."})

		testinium := door{put: func(p *testiniumclient.UserUpdate) {
			p.Enabled, p.Username, p.Email, p.CreatedDate = false, "AdaLovelace", "alan.turing@example.com", new(int64(1))
		}}
		r = testinium.request(t, s, grace)
		rules := []servertest.FieldError{
			{"enabled", "enabled " + stays},
			{"username", "username is already taken by another user"},
			{"email", "email is already taken by another user"},
		}
		testinium.refuses(t, r, s.Ask(servertest.Manager(), r), rules...)
		r.Header = http.Header{"Prefer": {"handling=strict"}}
		testinium.refuses(t, r, s.Ask(servertest.Manager(), r), append([]servertest.FieldError{{"createdDate", "createdDate would be ignored"}}, rules...)...)
	})
}

// What the caller's rank does not reach is refused before the directory's rules are asked, whichever they are.
func TestRankBeforeLastAdministrator(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		user := auth.Claims{Subject: "user", Customers: []string{"3393"}, Permissions: []auth.Permission{auth.PermissionWrite}, Authorities: []string{"ROLE_USER"}, Expires: time.Hour}
		for _, d := range doors {
			r := d.request(t, s, s.FindUser(t, servertest.Grace))
			d.forbids(t, r, s.Ask(user, r))
			// But not before it is told that she has moved on.
			r.Header = http.Header{"If-Match": {`"99"`}}
			if a := s.Ask(user, r); a.Status != http.StatusPreconditionFailed {
				t.Errorf("%s: %d %s", d.name, a.Status, a.Body)
			}
		}
		// The last administrator is now one whom only rank 3 may write to.
		rewrite(t, s, servertest.Grace, func(u *store.User) { u.Roles = store.Roles(1, 2, 3) })
		for _, d := range doors {
			r := d.request(t, s, s.FindUser(t, servertest.Grace))
			d.forbids(t, r, s.Ask(servertest.Manager(), r))
			d.refuses(t, r, s.Ask(servertest.Administrator(), r), d.told()...)
		}
	})
}

// Two who deactivate each other at once, whoever they are and through whichever dialects, leave one. Their tokens name no user of the
// directory: who is deactivated already could not write any more.
func TestAdministratorsDeactivateEachOther(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		platform := auth.Claims{Subject: "platform", Customers: []string{auth.AllCustomers}, Authorities: []string{"ROLE_ADMIN"}, Expires: time.Hour}
		mary := administrator(t, s, func(*store.User) {})
		company := auth.Claims{Subject: "mary", Customers: []string{"3393"}, Authorities: []string{"ROLE_COMPANY_ADMIN"}, Expires: time.Hour}
		byWorth, byTestinium, locked, demoted := doors[0], doors[3], doors[5], doors[1]
		for round, pair := range [][2]door{
			{byWorth, byTestinium}, {byTestinium, byWorth}, {byWorth, byWorth}, {byTestinium, byTestinium}, {locked, demoted}, {demoted, locked},
			{byWorth, byTestinium}, {byTestinium, byWorth}, {locked, byWorth}, {byTestinium, demoted},
		} {
			users := [2]store.User{mary, s.FindUser(t, servertest.Grace)}
			requests := [2]servertest.Request{pair[0].request(t, s, users[0]), pair[1].request(t, s, users[1])}
			var answers [2]servertest.Answer
			var both sync.WaitGroup
			start := make(chan struct{})
			for i, claims := range []auth.Claims{platform, company} {
				both.Go(func() {
					<-start
					answers[i] = s.Ask(claims, requests[i])
				})
			}
			close(start)
			both.Wait()
			stayed := 0
			if answers[0].Status == http.StatusOK {
				stayed = 1
			}
			if answers[1-stayed].Status != http.StatusOK {
				t.Fatalf("round %d: %v", round, answers)
			}
			pair[stayed].refuses(t, requests[stayed], answers[stayed], pair[stayed].told()...)
			if diff := servertest.Differences(users[stayed], s.FindUser(t, users[stayed].ID)); len(diff) > 0 {
				t.Fatalf("round %d: a refused request changed %v", round, diff)
			}
			// Both are as before.
			gone := users[1-stayed]
			mary = rewrite(t, s, mary.ID, func(u *store.User) {
				if u.ID == gone.ID {
					u.Roles, u.Status, u.AccountNonLocked = gone.Roles, gone.Status, true
				}
			})
			rewrite(t, s, servertest.Grace, func(u *store.User) {
				if u.ID == gone.ID {
					u.Roles, u.Status, u.AccountNonLocked = gone.Roles, gone.Status, true
				}
			})
		}
	})
}

// A customer's first administrator is no last one until somebody is: an invited one may be let go, and so may anybody of a
// customer whom nobody administers.
func TestNonAdministratorsMayBeDeactivated(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for i, edit := range powerless {
			u := administrator(t, s, edit)
			for _, d := range doors {
				if a := s.Ask(servertest.Administrator(), d.request(t, s, s.FindUser(t, u.ID))); a.Status != http.StatusOK {
					t.Errorf("%d, %s: %d %s", i, d.name, a.Status, a.Body)
				}
			}
		}
	})
}
