package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/dragoman-id/dragoman/gen/testiniumclient"
	"github.com/dragoman-id/dragoman/gen/worthclient"
	"github.com/dragoman-id/dragoman/server/servertest"
)

// TestInviteInWorthActivateInTestinium tells the story of a user whom two clients share, each through
// its own vendor's SDK.
func TestInviteInWorthActivateInTestinium(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		worth, testinium := s.Worth(servertest.Manager()), s.Testinium(servertest.Manager())

		created, err := worth.CreateCustomerUserWithResponse(t.Context(), worthclient.CustomerID(servertest.SandboxUUID.String()), nil, worthclient.NewUser{
			FirstName: "Mary", LastName: "Jackson", Email: "mary.jackson@example.com", Mobile: new("+1 202 555 0102"),
			Subrole: worthclient.NewUserSubrole{ID: "6351c76f-76a3-4950-9cc4-cc37cdc05ec2", Code: "risk_analyst", Label: "Risk Analyst"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if created.JSON200 == nil {
			t.Fatalf("created: %d %s", created.StatusCode(), created.Body)
		}
		id := created.JSON200.Data.UserID

		list, err := testinium.ListUsersWithResponse(t.Context(), servertest.Sandbox, &testiniumclient.ListUsersParams{CurrentCompanyID: servertest.Company})
		if err != nil {
			t.Fatal(err)
		}
		users := *list.JSON200
		i := slices.IndexFunc(users, func(u testiniumclient.User) bool { return u.Email == "mary.jackson@example.com" })
		if i < 0 {
			t.Fatalf("Testinium does not list her: %s", list.Body)
		}
		listed := users[i]
		if listed.Name != "Mary" || listed.Username != "mary.jackson@example.com" || listed.Enabled || *listed.CompanyName != "Sandbox" ||
			listed.AccessToken == nil || len(listed.Authorities) != 1 || listed.Authorities[0].Name != "ROLE_USER" {
			t.Errorf("Testinium lists %+v", listed)
		}

		// A Testinium client gets, edits what it came for, and puts the whole object back.
		path := fmt.Sprintf("/account/api/v1/customers/3393/users/%d", listed.EntityID)
		got := s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodGet, Path: path})
		got.ExpectHeader(t, "ETag", created.Headers200.ETag)
		var user map[string]any
		got.Decode(t, &user)
		user["enabled"], user["surname"], user["username"] = true, "Winston", "mwinston"
		user["authorities"] = []any{map[string]any{"name": "ROLE_COMPANY_ADMIN"}, map[string]any{"name": "ROLE_USER"}, map[string]any{"name": "ROLE_REPORT"}}
		edited, err := json.Marshal(user)
		if err != nil {
			t.Fatal(err)
		}
		put := s.Ask(servertest.Manager(), servertest.Request{
			Method: http.MethodPut, Path: path, Body: string(edited), Header: http.Header{"If-Match": {got.Header.Get("ETag")}},
		})
		if put.Status != http.StatusOK {
			t.Fatalf("put: %d %s", put.Status, put.Body)
		}
		put.ExpectHeader(t, "Dragoman-Changed", "surname, username, authorities, enabled")
		put.ExpectHeader(t, "Dragoman-Ignored")

		shown, err := worth.GetCustomerUserWithResponse(t.Context(), worthclient.CustomerID(servertest.SandboxUUID.String()), id, nil)
		if err != nil {
			t.Fatal(err)
		}
		if shown.JSON200 == nil {
			t.Fatalf("shown: %d %s", shown.StatusCode(), shown.Body)
		}
		u := shown.JSON200.Data
		if u.LastName != "Winston" || u.Status != worthclient.UserStateActive || u.Subrole == nil || u.Subrole.Code != "cro" ||
			u.Mobile == nil || *u.Mobile != "+1 202 555 0102" || u.Email != "mary.jackson@example.com" || !u.IsFirstLogin {
			t.Errorf("Worth shows %s", shown.Body)
		}
		if shown.Headers200.ETag != put.Header.Get("ETag") {
			t.Errorf("ETag %s after the put's %s", shown.Headers200.ETag, put.Header.Get("ETag"))
		}

		page, err := worth.ListCustomerUsersWithResponse(t.Context(), worthclient.CustomerID(servertest.SandboxUUID.String()), &worthclient.ListCustomerUsersParams{
			Search: new("WINSTON"), SubroleCode: new("cro"),
		})
		if err != nil {
			t.Fatal(err)
		}
		if page.JSON200 == nil || len(page.JSON200.Data.Records) != 1 || page.JSON200.Data.Records[0].ID != id {
			t.Errorf("Worth lists %s", page.Body)
		}
	})
}
