package scim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/servertest"
)

// TestLife tells the whole life of a user in the directory: created by Entra, shown by Testinium, edited by Worth, deactivated by Okta,
// deleted, and created again.
func TestLife(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		ask := func(method, path, body string, status int) document {
			t.Helper()
			header := http.Header{"Content-Type": {"application/json"}}
			if strings.HasPrefix(path, "/scim") {
				header.Set("Content-Type", mediaType)
			}
			answer := s.Ask(servertest.Manager(), servertest.Request{Method: method, Path: path, Body: body, Header: header})
			if answer.Status != status {
				t.Fatalf("%s %s: %d, not %d: %s", method, path, answer.Status, status, answer.Body)
			}
			var value any
			if answer.Body != "" {
				answer.Decode(t, &value)
			}
			return document{t, value}
		}
		users := base(servertest.SandboxUUID) + "/Users"

		entra := `{"schemas":["` + userSchema + `","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],"externalId":"mjackson","userName":"mary.jackson@example.com",` +
			`"active":true,"displayName":"Mary Jackson","emails":[{"primary":true,"type":"work","value":"mary.jackson@example.com"}],` +
			`"meta":{"resourceType":"User"},"name":{"formatted":"Mary Jackson","familyName":"Jackson","givenName":"Mary"},"roles":[],"title":null}`
		created := ask(http.MethodPost, users, entra, http.StatusCreated)
		uuid := created.text("id")
		created.equals("externalId", "mjackson")

		var listed map[string]any
		all, _ := ask(http.MethodGet, "/account/api/v1/customers/3393/users", "", http.StatusOK).value.([]any)
		for _, u := range all {
			if u, _ := u.(map[string]any); u["email"] == "mary.jackson@example.com" {
				listed = u
			}
		}
		if listed["name"] != "Mary" || listed["surname"] != "Jackson" || listed["enabled"] != true || listed["username"] != "mary.jackson@example.com" {
			t.Errorf("Testinium lists %v", listed)
		}
		id, _ := listed["entityId"].(float64)

		ask(http.MethodPatch, "/auth/api/v1/customers/"+servertest.SandboxUUID.String()+"/users/"+uuid, `{"last_name":"Winston","mobile":"+1 202 555 0102"}`, http.StatusOK)

		// Okta reads the user, and puts the changed copy back.
		shown := ask(http.MethodGet, users+"/"+uuid, "", http.StatusOK)
		shown.equals("name.familyName", "Winston")
		shown.equals("phoneNumbers.0.value", "+1 202 555 0102")
		copied := shown.value.(map[string]any)
		copied["active"] = false
		edited, err := json.Marshal(copied)
		if err != nil {
			t.Fatal(err)
		}
		ask(http.MethodPut, users+"/"+uuid, string(edited), http.StatusOK).equals("active", false)

		ask(http.MethodDelete, users+"/"+uuid, "", http.StatusNoContent)
		ask(http.MethodGet, users+"/"+uuid, "", http.StatusNotFound)
		ask(http.MethodGet, users+"?filter=externalId%20eq%20%22mjackson%22", "", http.StatusOK).equals("totalResults", 0.0)
		ask(http.MethodGet, fmt.Sprintf("/account/api/v1/customers/3393/users/%.0f", id), "", http.StatusOK).equals("enabled", false)

		revived := ask(http.MethodPost, users, entra, http.StatusCreated)
		revived.equals("id", uuid)
		revived.equals("active", true)
		revived.equals("name.familyName", "Jackson")
		ask(http.MethodGet, users+"/"+uuid, "", http.StatusOK).equals("active", true)

		var by []string
		history := ask(http.MethodGet, fmt.Sprintf("/directory/v1/customers/3393/users/%.0f/history", id), "", http.StatusOK)
		changes, _ := history.object("changes").value.([]any)
		for _, c := range changes {
			change := document{t, c}
			by = append(by, change.text("dialect"))
		}
		if want := []string{"scim", "worth", "scim", "scim", "scim"}; !slices.Equal(by, want) {
			t.Errorf("the history tells of writes by %v, not %v: %v", by, want, changes)
		}
	})
}
