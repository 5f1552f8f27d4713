package dialect_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// movable starts at the present and is moved by its test.
type movable struct {
	start time.Time
	moved atomic.Int64
}

func (m *movable) now() time.Time          { return m.start.Add(time.Duration(m.moved.Load())) }
func (m *movable) advance(d time.Duration) { m.moved.Add(int64(d)) }

// eachWithClock runs f against a server on each engine, with the URL of its database and its clock.
func eachWithClock(t *testing.T, f func(t *testing.T, s *servertest.Server, url string, clock *movable)) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		clock := &movable{start: time.Now()}
		f(t, servertest.StartWith(t, server.Config{Database: url, Now: clock.now}), url, clock)
	})
}

const setGrace, setAlan = "UPDATE users SET %s WHERE id = 6861", "UPDATE users SET %s WHERE id = 7001"

// writes are all operations that change something, each with a body that is refused, as far as it is read.
var writes = []servertest.Request{
	{Method: http.MethodPatch, Path: "/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users/94520740-d63c-4e02-85ca-c4e138801e73", Body: "{"},
	{Method: http.MethodPost, Path: "/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users", Body: "{"},
	{Method: http.MethodPut, Path: "/account/api/v1/customers/3393/users/6860", Header: http.Header{"Current-Company-Id": {"5251"}}, Body: "{"},
}

// reads are operations that change nothing.
var reads = []servertest.Request{
	{Method: http.MethodGet, Path: writes[0].Path},
	{Method: http.MethodGet, Path: writes[1].Path},
	{Method: http.MethodGet, Path: writes[2].Path, Header: writes[2].Header},
	{Method: http.MethodGet, Path: "/directory/v1/changes"},
}

func wantStatus(t *testing.T, s *servertest.Server, who auth.Claims, requests []servertest.Request, status int, when string) {
	t.Helper()
	for _, r := range requests {
		if a := s.Ask(who, r); a.Status != status {
			t.Errorf("%s: %s %s: %d %s, want %d", when, r.Method, r.Path, a.Status, a.Body, status)
		}
	}
}

func TestInactiveCallerMayNotWrite(t *testing.T) {
	t.Parallel()
	eachWithClock(t, func(t *testing.T, s *servertest.Server, url string, clock *movable) {
		platform := servertest.Administrator()
		platform.Customers = []string{auth.AllCustomers}
		bySub := servertest.Manager()
		bySub.UserID = nil
		grace := map[string]auth.Claims{"manager": servertest.Manager(), "platform": platform, "named by sub": bySub}
		unknown, other := servertest.Manager(), servertest.Manager()
		unknown.Subject, unknown.UserID = "someone", new(uuid.New())
		other.Subject, other.UserID = "alan", &servertest.AlanUUID
		nobody := servertest.Manager()
		nobody.Subject, nobody.UserID = "someone", nil

		check := func(claims map[string]auth.Claims, status int, when string) {
			t.Helper()
			for name, who := range claims {
				wantStatus(t, s, who, writes, status, name+", "+when)
				wantStatus(t, s, who, reads, http.StatusOK, name+", "+when)
			}
		}
		check(grace, http.StatusBadRequest, "active")
		for _, set := range []struct{ bad, good string }{
			{"status = 'INACTIVE'", "status = 'ACTIVE'"},
			{"status = 'INVITED'", "status = 'ACTIVE'"},
			{"account_non_expired = (1 = 0)", "account_non_expired = (1 = 1)"},
			{"account_non_locked = (1 = 0)", "account_non_locked = (1 = 1)"},
			{"credential_non_expired = (1 = 0)", "credential_non_expired = (1 = 1)"},
		} {
			storetest.Exec(t, url, fmt.Sprintf(setGrace, set.bad))
			clock.advance(5 * time.Second)
			check(grace, http.StatusForbidden, set.bad)
			storetest.Exec(t, url, fmt.Sprintf(setGrace, set.good))
			clock.advance(5 * time.Second)
			check(grace, http.StatusBadRequest, set.good)
		}

		// A user of another customer counts as well; whoever is no user of the directory does not.
		others := map[string]auth.Claims{"of another customer": other}
		check(others, http.StatusBadRequest, "active")
		storetest.Exec(t, url, fmt.Sprintf(setAlan, "status = 'INACTIVE'"))
		clock.advance(5 * time.Second)
		check(others, http.StatusForbidden, "inactive")
		check(map[string]auth.Claims{"no such user": unknown, "no user named": nobody}, http.StatusBadRequest, "")
	})
}

// A write through the same server counts at once: an administrator who was deactivated cannot undo it.
func TestDeactivatedAdministratorCannotReactivateHerself(t *testing.T) {
	t.Parallel()
	eachWithClock(t, func(t *testing.T, s *servertest.Server, _ string, _ *movable) {
		mary := s.CreateUser(t, store.User{Username: "mary", Email: "mary@example.com", Status: store.StatusActive, Roles: store.Roles(2),
			AccountNonExpired: true, AccountNonLocked: true, CredentialNonExpired: true})
		herself := servertest.Manager()
		herself.Subject, herself.UserID = "mary", &mary.UUID
		status := func(who auth.Claims, status string) servertest.Answer {
			return s.Ask(who, servertest.Request{Method: http.MethodPatch, Path: "/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users/" + mary.UUID.String(),
				Body: fmt.Sprintf(`{"status":%q}`, status)})
		}
		if a := status(herself, "INACTIVE"); a.Status != http.StatusOK {
			t.Fatalf("deactivate: %d %s", a.Status, a.Body)
		}
		if a := status(herself, "ACTIVE"); a.Status != http.StatusForbidden {
			t.Errorf("reactivate herself: %d %s", a.Status, a.Body)
		}
		if a := status(servertest.Manager(), "ACTIVE"); a.Status != http.StatusOK {
			t.Errorf("reactivate by another: %d %s", a.Status, a.Body)
		}
		if a := status(herself, "ACTIVE"); a.Status != http.StatusOK {
			t.Errorf("after it: %d %s", a.Status, a.Body)
		}
	})
}

// What an operator's statements change of customers and companies counts within five seconds.
func TestTenantChangesBySQL(t *testing.T) {
	t.Parallel()
	eachWithClock(t, func(t *testing.T, s *servertest.Server, url string, clock *movable) {
		labs := servertest.Request{Method: http.MethodGet, Path: reads[2].Path, Header: http.Header{"Current-Company-Id": {"5267"}}}
		wantStatus(t, s, servertest.Manager(), []servertest.Request{reads[0], labs}, http.StatusOK, "before")
		storetest.Exec(t, url, "DELETE FROM companies WHERE id = 5267")
		storetest.Exec(t, url, "UPDATE customers SET uuid = '7f1c3f4e-58e2-4a54-8a8f-0d3c5b1a2e90' WHERE id = 3393")
		clock.advance(5 * time.Second)
		wantStatus(t, s, servertest.Manager(), []servertest.Request{reads[0], labs}, http.StatusForbidden, "after")
		wantStatus(t, s, servertest.Manager(), reads[2:3], http.StatusOK, "its other company")
	})
}

// The rank of the user who is written to is the one that an operator's statement has just set, although the server remembers the
// user and the statement kept the version.
func TestRankSetBySQLDecides(t *testing.T) {
	t.Parallel()
	eachWithClock(t, func(t *testing.T, s *servertest.Server, url string, _ *movable) {
		rename := servertest.Request{Method: http.MethodPatch, Path: writes[0].Path, Body: `{"first_name":"Augusta"}`}
		wantStatus(t, s, servertest.Manager(), reads[:1], http.StatusOK, "read")
		storetest.Exec(t, url, "UPDATE users SET roles = 2 WHERE id = 6860")
		wantStatus(t, s, servertest.Manager(), []servertest.Request{rename}, http.StatusForbidden, "of a ROLE_ADMIN")
	})
}
