package scim_test

import (
	"context"
	"crypto/rand"
	"net/http"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/provisioning"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

// TestProvisioningToken: a client with a provisioning token manages users of its customer through SCIM within its role, and nothing else.
func TestProvisioningToken(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		token, err := provisioning.Generate(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		row := store.ProvisioningToken{Hash: provisioning.Hash(token), CustomerID: servertest.Sandbox, Role: "ROLE_USER", CreatedBy: "grace", ExpiresAt: time.Now().Add(time.Hour)}
		if err := s.Store.CreateProvisioningToken(context.Background(), &row); err != nil {
			t.Fatal(err)
		}
		send := func(method, path string, body any) servertest.Answer {
			t.Helper()
			r := servertest.Request{Method: method, Path: path, Header: http.Header{"Authorization": {"Bearer " + token}}}
			if body != nil {
				r.Body = servertest.Encode(t, body)
				r.Header.Set("Content-Type", "application/scim+json")
			}
			return s.Send(r)
		}
		user := map[string]any{
			"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User"}, "userName": "mary", "active": true,
			"emails": []any{map[string]any{"value": "mary@example.com", "primary": true}}, "roles": []any{map[string]any{"value": "ROLE_USER"}},
		}
		if a := send(http.MethodPost, path+"/Users", user); a.Status != http.StatusCreated {
			t.Fatalf("a creation: %d %s", a.Status, a.Body)
		}
		users, err := s.Store.UsersWith(context.Background(), servertest.Sandbox, store.FieldUsername, "mary")
		if err != nil || len(users) != 1 {
			t.Fatal(users, err)
		}
		history, err := s.Store.UserHistory(context.Background(), store.UserByID(servertest.Sandbox, users[0].ID), 0, 10)
		if err != nil || len(history) != 1 || history[0].Subject != "token:"+row.ID.String() || history[0].Actor != nil {
			t.Errorf("%+v, %v", history, err)
		}
		user["userName"], user["emails"] = "eve", []any{map[string]any{"value": "eve@example.com"}}
		user["roles"] = []any{map[string]any{"value": "ROLE_ADMIN"}}
		for name, c := range map[string]struct {
			method, path string
			body         any
			want         int
		}{
			"another role":     {http.MethodPost, path + "/Users", user, http.StatusForbidden},
			"another customer": {http.MethodGet, "/scim/v2/4e094a3b-5256-4da0-af05-56f98fe4f260/Users", nil, http.StatusForbidden},
			"Worth":            {http.MethodGet, "/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users", nil, http.StatusUnauthorized},
			"the feed":         {http.MethodGet, "/directory/v1/changes", nil, http.StatusUnauthorized},
		} {
			if a := send(c.method, c.path, c.body); a.Status != c.want {
				t.Errorf("%s: %d, want %d: %s", name, a.Status, c.want, a.Body)
			}
		}
		token = token[:len(token)-1] + "!"
		expectError(t, send(http.MethodGet, path+"/Users", nil), http.StatusUnauthorized, "", "token")
	})
}
