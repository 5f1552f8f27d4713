package conformance_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/conformance"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

// stranger is a caller with every permission, in another customer.
func stranger() auth.Claims {
	c := servertest.Manager()
	c.Subject, c.UserID, c.Customers = "stranger", nil, []string{"3394"}
	return c
}

// guinea is the user that is checked with: plain, active, with a role and an e-mail that is not verified, so that everything
// can be given back.
func guinea(t testing.TB, s *servertest.Server) store.User {
	t.Helper()
	u := store.User{
		FirstName: "Mary", LastName: "Somerville", Username: "marysomerville", Email: "mary.somerville@example.com", Status: store.StatusActive,
		AccountNonExpired: true, AccountNonLocked: true, CredentialNonExpired: true, Roles: store.Roles(3, 4),
	}
	return s.CreateUser(t, u)
}

// config is a check of s with everything allowed and required.
func config(s *servertest.Server, dialect string, u store.User) conformance.Config {
	c := conformance.Config{
		Dialect: dialect, Target: s.URL,
		Token: s.Token(servertest.Manager()), OtherToken: s.Token(stranger()),
		Customer: servertest.SandboxUUID.String(), User: u.UUID.String(),
		Allow: conformance.Groups, Require: conformance.Features,
		Timeout: 10 * time.Second, Rate: 1e6,
	}
	if dialect == conformance.Testinium {
		c.Customer, c.User, c.Company = fmt.Sprint(servertest.Sandbox), fmt.Sprint(u.ID), fmt.Sprint(servertest.Company)
	}
	return c
}

func TestOurServerKeepsEveryLaw(t *testing.T) {
	t.Parallel()
	for _, dialect := range conformance.Dialects {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			servertest.Each(t, func(t *testing.T, s *servertest.Server) {
				before := guinea(t, s)
				report, err := conformance.Run(t.Context(), config(s, dialect, before))
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range report.Results {
					if r.Outcome != conformance.Holds {
						t.Errorf("%s: %s %s\n%s\n\n%s\nexpected %s, got %s", r.Name, r.Outcome, r.Reason, r.Request, r.Answer, r.Expected, r.Got)
					}
				}
				t.Logf("%d laws, %d requests, %s", len(report.Results), report.Requests, report.Took)
				if !report.Restoration.Done {
					t.Errorf("the user was not given back: %+v", report.Restoration)
				}
				after := s.FindUser(t, before.ID)
				after.Version, after.UpdatedAt, after.UpdatedBy = before.Version, before.UpdatedAt, before.UpdatedBy
				if differing := servertest.Differences(before, after); len(differing) > 0 {
					t.Errorf("the user is not as before: %v", differing)
				}
			})
		})
	}
}
