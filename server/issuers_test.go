package server_test

import (
	"net/http"
	"slices"
	"testing"

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
