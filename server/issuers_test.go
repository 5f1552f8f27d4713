package server_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

// TestSubjectsOfSeveralIssuers checks that callers whom two issuers call alike have limits of their own, and names of their own in the
// history.
func TestSubjectsOfSeveralIssuers(t *testing.T) {
	t.Parallel()
	const one, two = "https://one.example.com", "https://two.example.com"
	scope := &auth.Scope{Customers: []string{"3393"}}
	s := servertest.StartWith(t, server.Config{
		Now:    standstill(),
		Limits: server.Limits{Principal: dialect.Rate{PerSecond: 1, Burst: 1}},
		Auth: auth.Config{Issuers: []auth.Issuer{
			{Secret: servertest.Secret, Rules: auth.Rules{Issuer: one, Scope: scope}}, {Secret: servertest.Secret, Rules: auth.Rules{Issuer: two, Scope: scope}},
		}},
	})
	path := "/auth/api/v1/customers/" + servertest.SandboxUUID.String() + "/users/" + servertest.AdaUUID.String()
	for _, test := range []struct {
		issuer, subject, name string
		status                int
	}{
		{one, "ada", "A", 200}, {one, "ada", "B", 429}, {two, "ada", "C", 200}, {two, "ada", "D", 429}, {one, "grace", "E", 200}, {"https://three.example.com", "ada", "F", 401},
	} {
		who := servertest.Manager()
		who.Subject, who.Issuer = test.subject, test.issuer
		a := s.Ask(who, servertest.Request{
			Method: http.MethodPatch, Path: path, Header: http.Header{"Content-Type": {"application/json"}}, Body: `{"first_name":"` + test.name + `"}`,
		})
		if a.Status != test.status {
			t.Errorf("%s of %s: %d %s, want %d", test.subject, test.issuer, a.Status, a.Body, test.status)
		}
	}
	history, err := s.Store.UserHistory(t.Context(), store.UserByUUID(servertest.Sandbox, servertest.AdaUUID), 1, 10)
	if err != nil {
		t.Fatal(err)
	}
	var subjects []string
	for _, change := range history {
		subjects = append(subjects, change.Subject)
	}
	if want := []string{one + " ada", two + " ada", one + " grace"}; !slices.Equal(subjects, want) {
		t.Errorf("the history has %q, want %q", subjects, want)
	}
}

// TestActorsOfLimitedIssuers: an issuer that may speak for some customers only cannot write in the name of another customer's user,
// whichever claim has the user's UUID, and the log does not name such a user either.
func TestActorsOfLimitedIssuers(t *testing.T) {
	t.Parallel()
	issuer := func(name string, customers ...string) auth.Issuer {
		return auth.Issuer{Secret: servertest.Secret, Rules: auth.Rules{Issuer: name, Scope: &auth.Scope{Customers: customers, Platform: true}}}
	}
	var log journal
	servertest.EachWith(t, server.Config{
		Log: log.log(slog.LevelInfo),
		Auth: auth.Config{Issuers: []auth.Issuer{
			issuer("by-id", "3393"), issuer("by-uuid", servertest.SandboxUUID.String(), "3393"), issuer("both", "3393", servertest.ElsewhereUUID.String()), issuer("any", "*"),
		}},
	}, func(t *testing.T, s *servertest.Server) {
		nobody := uuid.New()
		path := "/auth/api/v1/customers/" + servertest.SandboxUUID.String() + "/users"
		names := 0
		// ask makes a request as the user, whom the user id claim or the subject has.
		ask := func(issuer string, user uuid.UUID, bySubject bool, method, path, body string, change func(*auth.Claims)) (servertest.Answer, map[string]any) {
			t.Helper()
			who := servertest.Manager()
			who.Issuer, who.UserID = issuer, &user
			if bySubject {
				who.Subject, who.UserID = user.String(), nil
			}
			if change != nil {
				change(&who)
			}
			id := uuid.NewString()
			a := s.Ask(who, servertest.Request{Method: method, Path: path, Header: http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {id}}, Body: body})
			return a, log.request(t, id)
		}
		for _, test := range []struct {
			issuer string
			user   uuid.UUID
			status int
		}{
			{"by-id", servertest.GraceUUID, 200}, {"by-id", servertest.AlanUUID, 403}, {"by-id", nobody, 200},
			{"by-uuid", servertest.GraceUUID, 200}, {"by-uuid", servertest.AlanUUID, 403}, {"by-uuid", nobody, 200},
			{"both", servertest.GraceUUID, 200}, {"both", servertest.AlanUUID, 200}, {"both", nobody, 200},
			{"any", servertest.GraceUUID, 200}, {"any", servertest.AlanUUID, 200}, {"any", nobody, 200},
		} {
			for _, bySubject := range []bool{false, true} {
				before := userOf(t, s, servertest.Ada)
				names++
				a, line := ask(test.issuer, test.user, bySubject, http.MethodPatch, path+"/"+servertest.AdaUUID.String(), fmt.Sprintf(`{"first_name":"%d"}`, names), nil)
				if a.Status != test.status {
					t.Errorf("%s as %s: %d %s, want %d", test.issuer, test.user, a.Status, a.Body, test.status)
				}
				after := userOf(t, s, servertest.Ada)
				if wrote := after.Version != before.Version; wrote != (test.status == 200) || wrote && *after.UpdatedBy != test.user {
					t.Errorf("%s as %s: updated by %v", test.issuer, test.user, after.UpdatedBy)
				}
				// Whom an issuer names is only looked up for writes, so that its users have another name in the log.
				if named := line["actor"] == test.user.String(); named != (test.issuer == "any") {
					t.Errorf("%s as %s: the log's actor is %v", test.issuer, test.user, line["actor"])
				}
				if why, _ := line["reason"].(string); test.status == 403 && !strings.Contains(why, "may not speak for") {
					t.Errorf("%s as %s: the reason is %q", test.issuer, test.user, why)
				}
			}
		}

		// Every operation that writes, with a user who is suspended too, and as an administrator of the platform.
		put := fmt.Sprintf("/account/api/v1/customers/3393/users/%d", servertest.Ada)
		body := bodyOf(s, userOf(t, s, servertest.Ada))
		body.Name = "Z"
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		platform := func(c *auth.Claims) { c.Customers, c.Authorities = []string{"*"}, []string{"ROLE_ADMIN"} }
		for _, change := range []func(*auth.Claims){nil, platform} {
			for _, r := range [][3]string{
				{http.MethodPut, put, string(text)}, {http.MethodPost, path, `{"first_name":"M","last_name":"N","email":"m@example.com","mobile":"","subrole":{"code":"risk_analyst"}}`},
			} {
				if a, _ := ask("by-id", servertest.AlanUUID, false, r[0], r[1], r[2], change); a.Status != 403 {
					t.Errorf("%s: %d %s", r[0], a.Status, a.Body)
				}
			}
			a, line := ask("by-id", servertest.AlanUUID, true, http.MethodGet, path+"/"+servertest.AdaUUID.String(), "", change)
			if a.Status != 200 || line["actor"] == servertest.AlanUUID.String() {
				t.Errorf("reading: %d, the log's actor is %v", a.Status, line["actor"])
			}
		}
		invited := store.User{UUID: uuid.New(), CustomerID: servertest.Elsewhere, Username: "mary", Email: "mary@example.com", Status: store.StatusInvited}
		if err := s.Store.CreateUser(t.Context(), &invited); err != nil {
			t.Fatal(err)
		}
		_, line := ask("by-uuid", invited.UUID, false, http.MethodPatch, path+"/"+servertest.AdaUUID.String(), `{"first_name":"Q"}`, nil)
		if why, _ := line["reason"].(string); !strings.Contains(why, "may not speak for") {
			t.Errorf("as a suspended user of another customer: %q", why)
		}
	})
}

// userOf returns a user of the sandbox.
func userOf(t *testing.T, s *servertest.Server, id int64) store.User {
	t.Helper()
	u, err := s.Store.FindUser(t.Context(), store.UserByID(servertest.Sandbox, id))
	if err != nil {
		t.Fatal(err)
	}
	return u
}
