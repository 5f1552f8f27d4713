package conformance_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/conformance"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

// stranger is a caller with every permission, in another customer.
func stranger() auth.Claims {
	c := servertest.Manager()
	c.Subject, c.UserID, c.Customers = "stranger", nil, []string{"3394"}
	return c
}

// newUser creates the tested user: active, with roles that are no administrator's and an unverified e-mail, so that every change
// can be reverted.
func newUser(t testing.TB, s *servertest.Server) store.User {
	t.Helper()
	u := store.User{
		FirstName: "Mary", LastName: "Somerville", Username: "marysomerville", Email: "mary.somerville@example.com", Status: store.StatusActive,
		AccountNonExpired: true, AccountNonLocked: true, CredentialNonExpired: true, Roles: store.Roles(3, 4),
	}
	return s.CreateUser(t, u)
}

// dialects are the names of those of the server's that have an update.
var dialects = func() []string {
	var names []string
	for _, d := range server.Dialects() {
		if len(d.Updates) > 0 {
			names = append(names, d.Name)
		}
	}
	return names
}()

// allDialects are dialects, and the toy.
var allDialects = func() []string {
	var names []string
	for _, d := range servertest.Dialects() {
		if len(d.Updates) > 0 {
			names = append(names, d.Name)
		}
	}
	return names
}()

// describe gives the description of a dialect.
func describe(name string) description.API {
	for _, d := range servertest.Dialects() {
		if d.Name == name {
			return d.API
		}
	}
	panic("no dialect " + name)
}

// config is a check of s with everything allowed and required.
func config(s *servertest.Server, dialect string, u store.User) conformance.Config {
	d := describe(dialect)
	c := conformance.Config{
		Dialect: d, Target: s.URL,
		Token: s.Token(servertest.Manager()), OtherToken: s.Token(stranger()),
		Allow: conformance.Groups, Require: conformance.Features,
		Timeout: 10 * time.Second, Rate: 1e6,
	}
	subject := servertest.AdaSubject
	subject.User, subject.UserUUID = u.ID, u.UUID.String()
	for _, write := range d.Parameters {
		for field, other := range map[*string]description.Subject{
			&c.Customer: {User: subject.User, UserUUID: subject.UserUUID, Company: subject.Company},
			&c.User:     {Customer: subject.Customer, CustomerUUID: subject.CustomerUUID, Company: subject.Company},
			&c.Company:  {Customer: subject.Customer, CustomerUUID: subject.CustomerUUID, User: subject.User, UserUUID: subject.UserUUID},
		} {
			if write(other) != write(subject) {
				*field = write(subject)
			}
		}
	}
	return c
}

func TestServerKeepsEveryLaw(t *testing.T) {
	t.Parallel()
	for _, d := range servertest.Dialects() {
		for _, update := range d.Updates {
			t.Run(d.Name+"/"+update, func(t *testing.T) { keepsEveryLaw(t, d.Name, update) })
		}
	}
}

// TestExemptLawsAreBroken: a law that a description exempts an update of is one that our server, and so the exemption, really needs.
func TestExemptLawsAreBroken(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	exempted := 0
	for _, d := range servertest.Dialects() {
		for _, update := range d.Updates {
			exempt := conformance.Exempt(d.API, update)
			if len(exempt) == 0 {
				continue
			}
			exempted += len(exempt)
			t.Run(d.Name+"/"+update, func(t *testing.T) {
				c := config(s, d.Name, newUser(t, s))
				c.Update, c.Only = update, slices.Sorted(maps.Keys(exempt))
				c.Dialect.Bodies = slices.Clone(c.Dialect.Bodies)
				for i := range c.Dialect.Bodies {
					c.Dialect.Bodies[i].Exempt = nil
				}
				report := check(t, c)
				if report.Count(conformance.Broken) != len(exempt) {
					for _, r := range report.Results {
						t.Errorf("%s: %s, which is exempt: %s", r.Name, r.Outcome, exempt[r.Name])
					}
				}
			})
		}
	}
	if exempted == 0 {
		t.Error("nothing is exempt")
	}
}

// keepsEveryLaw checks an update of our own server.
func keepsEveryLaw(t *testing.T, dialect, update string) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		before := newUser(t, s)
		c := config(s, dialect, before)
		c.Update = update
		report, err := conformance.Run(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range report.Results {
			if r.Outcome != conformance.Holds {
				t.Errorf("%s: %s %s\n%s\n\n%s\nexpected %s, got %s", r.Name, r.Outcome, r.Reason, r.Request, r.Answer, r.Expected, r.Got)
			}
		}
		if report.Update != update {
			t.Errorf("the report names the update %q", report.Update)
		}
		t.Logf("%d laws, %d requests, %s", len(report.Results), report.Requests, report.Took)
		if !report.Restoration.Done {
			t.Errorf("the user was not restored: %+v", report.Restoration)
		}
		after := s.FindUser(t, before.ID)
		after.Version, after.UpdatedAt, after.UpdatedBy = before.Version, before.UpdatedAt, before.UpdatedBy
		if differing := servertest.Differences(before, after); len(differing) > 0 {
			t.Errorf("the user has changed: %v", differing)
		}
	})
}
