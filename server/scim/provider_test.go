package scim_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

// step is a request of an identity provider, with {id} for the id of the user that the first POST created.
type step struct {
	does         string
	method, path string
	filter       string // of a list
	body         string
	status       int
	total        int    // of a list
	shows        string // members that the answer has, as JSON; of a list, those of its only user
	then         func(u *store.User)
}

const patchURN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"

// operations is the body of a PATCH.
func operations(list string) string {
	return `{"schemas":["` + patchURN + `"],"Operations":[` + list + `]}`
}

// providers are what identity providers send, by their documentation, for people who are invented.
var providers = map[string][]step{
	"Entra ID": {
		{does: "tests the connection", method: "GET", path: "/Users", filter: `userName eq "7f7ab8a4-4d2c-45cc-8b54-5cbd3a9b4e2e"`, status: 200},
		{does: "looks for the person", method: "GET", path: "/Users", filter: `externalId eq "mjackson"`, status: 200},
		{does: "looks for the e-mail", method: "GET", path: "/Users", filter: `emails[type eq "work"].value eq "mary@fabrikam.example"`, status: 200},
		{does: "creates the person", method: "POST", path: "/Users", status: 201, body: `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User",
			"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],"externalId":"mjackson","userName":"mary@fabrikam.example","active":true,"displayName":"Mary Jackson",
			"addresses":null,"emails":[{"primary":true,"type":"work","value":"mary@fabrikam.example"}],"meta":{"resourceType":"User"},
			"name":{"formatted":"Mary Jackson","familyName":"Jackson","givenName":"Mary"},"roles":[],"phoneNumbers":null,"department":"Engineering","manager":null}`,
			shows: `{"externalId":"mjackson","userName":"mary@fabrikam.example","active":true,"displayName":"Mary Jackson"}`,
			then: func(u *store.User) {
				u.ExternalID, u.Username, u.Email, u.Status, u.DisplayName = new("mjackson"), "mary@fabrikam.example", "mary@fabrikam.example", store.StatusActive, new("Mary Jackson")
				u.FirstName, u.LastName = "Mary", "Jackson"
			}},
		{does: "reads the person", method: "GET", path: "/Users/{id}", status: 200, shows: `{"externalId":"mjackson"}`},
		{does: "finds the person", method: "GET", path: "/Users", filter: `externalId eq mjackson`, status: 200, total: 1, shows: `{"userName":"mary@fabrikam.example"}`},
		{does: "changes attributes one by one", method: "PATCH", path: "/Users/{id}", status: 200, body: operations(
			`{"op":"Replace","path":"name.familyName","value":"Winston"},{"op":"Replace","path":"emails[type eq \"work\"].value","value":"winston@fabrikam.example"},
			{"op":"Add","path":"phoneNumbers[type eq \"mobile\"].value","value":"+1 (555) 0100"},
			{"op":"Add","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department","value":"Research"}`),
			shows: `{"name":{"familyName":"Winston","givenName":"Mary"},"emails":[{"value":"winston@fabrikam.example","type":"work","primary":true}]}`,
			then: func(u *store.User) {
				u.LastName, u.Email, u.Mobile = "Winston", "winston@fabrikam.example", new("+1 (555) 0100")
			}},
		{does: "assigns the app role", method: "PATCH", path: "/Users/{id}", status: 200, body: operations(`{"op":"Add","path":"roles[primary eq \"True\"].value","value":"ROLE_USER"}`),
			shows: `{"roles":[{"value":"ROLE_USER"}]}`, then: func(u *store.User) { u.Roles = store.Roles(3) }},
		{does: "changes the app role", method: "PATCH", path: "/Users/{id}", status: 200, body: operations(`{"op":"Replace","path":"roles[primary eq \"True\"].value","value":"ROLE_REPORT"}`),
			shows: `{"roles":[{"value":"ROLE_REPORT"}]}`, then: func(u *store.User) { u.Roles = store.Roles(12) }},
		{does: "adds an app role as text", method: "PATCH", path: "/Users/{id}", status: 200, body: operations(
			`{"op":"Add","path":"roles","value":[{"value":"{\"id\":\"18d14569\",\"value\":\"ROLE_USER\",\"displayName\":\"User\"}"}]}`),
			shows: `{"roles":[{"value":"ROLE_USER"},{"value":"ROLE_REPORT"}]}`, then: func(u *store.User) { u.Roles = store.Roles(3, 12) }},
		{does: "removes what is not there", method: "PATCH", path: "/Users/{id}", status: 200, body: operations(`{"op":"Remove","path":"phoneNumbers[type eq \"fax\"].value"},{"op":"Remove","path":"title"}`)},
		{does: "disables the person", method: "PATCH", path: "/Users/{id}", status: 200, body: operations(`{"op":"Replace","path":"active","value":"False"}`),
			shows: `{"active":false}`, then: func(u *store.User) { u.Status = store.StatusInactive }},
		{does: "still finds the person", method: "GET", path: "/Users", filter: `userName eq "Mary@fabrikam.example"`, status: 200, total: 1, shows: `{"active":false}`},
		{does: "enables the person", method: "PATCH", path: "/Users/{id}", status: 200, body: operations(`{"op":"Replace","path":"active","value":"True"}`),
			shows: `{"active":true}`, then: func(u *store.User) { u.Status = store.StatusActive }},
		{does: "deletes the person", method: "DELETE", path: "/Users/{id}", status: 204, then: func(u *store.User) { u.Status = store.StatusInactive }},
		{does: "no longer reads the person", method: "GET", path: "/Users/{id}", status: 404},
	},
	"Entra ID with aadOptscim062020": {
		{does: "creates the person", method: "POST", path: "/Users?aadOptscim062020", status: 201, body: newUser("kjohnson", `,"externalId":"kj","active":true`), shows: `{"externalId":"kj"}`,
			then: func(u *store.User) {
				u.ExternalID, u.Username, u.Email, u.Status = new("kj"), "kjohnson", "kjohnson@example.com", store.StatusActive
			}},
		{does: "changes several attributes at once", method: "PATCH", path: "/Users/{id}?aadOptscim062020", status: 200, body: operations(
			`{"op":"add","value":{"displayName":"Katherine Johnson","name.givenName":"Katherine","name.familyName":"Johnson","phoneNumbers[type eq \"mobile\"].value":"+1 555 0101",
			"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber":"1"}},{"op":"replace","path":"emails[type eq \"work\"].value","value":"kj@fabrikam.example"}`),
			shows: `{"displayName":"Katherine Johnson","phoneNumbers":[{"value":"+1 555 0101","type":"mobile"}]}`,
			then: func(u *store.User) {
				u.DisplayName, u.FirstName, u.LastName, u.Mobile, u.Email = new("Katherine Johnson"), "Katherine", "Johnson", new("+1 555 0101"), "kj@fabrikam.example"
			}},
		{does: "assigns app roles", method: "PATCH", path: "/Users/{id}?aadOptscim062020", status: 200, body: operations(`{"op":"replace","value":{"roles":[{"value":"ROLE_USER"}]}}`),
			then: func(u *store.User) { u.Roles = store.Roles(3) }},
		{does: "removes an attribute", method: "PATCH", path: "/Users/{id}?aadOptscim062020", status: 200, body: operations(`{"op":"remove","path":"phoneNumbers[type eq \"mobile\"].value"}`),
			then: func(u *store.User) { u.Mobile = nil }},
		{does: "disables the person", method: "PATCH", path: "/Users/{id}?aadOptscim062020", status: 200, body: operations(`{"op":"replace","path":"active","value":false}`),
			shows: `{"active":false}`, then: func(u *store.User) { u.Status = store.StatusInactive }},
	},
	"Okta, an integration of its network": {
		{does: "looks for the person", method: "GET", path: "/Users?startIndex=1&count=100", filter: `userName eq "dvaughan@example.com"`, status: 200},
		{does: "creates the person", method: "POST", path: "/Users", status: 201, body: `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"dvaughan@example.com",
			"name":{"givenName":"Dorothy","familyName":"Vaughan"},"emails":[{"primary":true,"value":"dvaughan@example.com","type":"work"}],"displayName":"Dorothy Vaughan","locale":"en-US",
			"externalId":"00u1vaughan","groups":[],"password":"1mz050nq","active":true}`, shows: `{"active":true,"externalId":"00u1vaughan"}`,
			then: func(u *store.User) {
				u.Username, u.Email, u.FirstName, u.LastName = "dvaughan@example.com", "dvaughan@example.com", "Dorothy", "Vaughan"
				u.DisplayName, u.ExternalID, u.Status = new("Dorothy Vaughan"), new("00u1vaughan"), store.StatusActive
			}},
		{does: "creates the person again", method: "POST", path: "/Users", status: 409, body: newUser("dvaughan", `,"externalId":"00u1vaughan"`), shows: `{"scimType":"uniqueness"}`},
		{does: "deactivates the person", method: "PATCH", path: "/Users/{id}", status: 200, body: operations(`{"op":"replace","value":{"active":false}}`),
			shows: `{"active":false}`, then: func(u *store.User) { u.Status = store.StatusInactive }},
		{does: "activates the person", method: "PATCH", path: "/Users/{id}", status: 200, body: operations(`{"op":"replace","value":{"active":true}}`),
			shows: `{"active":true}`, then: func(u *store.User) { u.Status = store.StatusActive }},
		{does: "resets the password", method: "PATCH", path: "/Users/{id}", status: 200, body: operations(`{"op":"replace","value":{"password":"t1meMa$heen"}}`)},
	},
	"Okta, a custom app": {
		{does: "creates the person", method: "POST", path: "/Users", status: 201, body: newUser("cdarden", `,"externalId":"00u1darden","active":true,"groups":[]`),
			then: func(u *store.User) {
				u.Username, u.Email, u.ExternalID, u.Status = "cdarden", "cdarden@example.com", new("00u1darden"), store.StatusActive
			}},
		{does: "replaces the profile with what it has read", method: "PUT", path: "/Users/{id}", status: 200, body: `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"{id}",
			"userName":"cdarden","externalId":"00u1darden","name":{"givenName":"Christine","familyName":"Darden"},"emails":[{"primary":true,"value":"cdarden@example.com","type":"work","display":"c"}],
			"active":true,"groups":[],"meta":{"resourceType":"User"}}`, shows: `{"name":{"familyName":"Darden","givenName":"Christine"}}`,
			then: func(u *store.User) { u.FirstName, u.LastName = "Christine", "Darden" }},
		{does: "deactivates the person by PUT", method: "PUT", path: "/Users/{id}", status: 200, body: `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"{id}",
			"userName":"cdarden","externalId":"00u1darden","name":{"givenName":"Christine","familyName":"Darden"},"emails":[{"primary":true,"value":"cdarden@example.com","type":"work"}],
			"active":false,"groups":[]}`, shows: `{"active":false}`, then: func(u *store.User) { u.Status = store.StatusInactive }},
	},
}

// TestIdentityProviders replays what identity providers send, and compares the user in the directory after each request.
func TestIdentityProviders(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for provider, steps := range providers {
			id, want := "", store.User{AccountNonExpired: true, AccountNonLocked: true, CredentialNonExpired: true, FirstLogin: true}
			for _, step := range steps {
				said := provider + " " + step.does
				at := path + strings.ReplaceAll(step.path, "{id}", id)
				if step.filter != "" {
					separator := "?"
					if strings.Contains(at, "?") {
						separator = "&"
					}
					at += separator + url.Values{"filter": {step.filter}}.Encode()
				}
				a := ask(s, step.method, at, strings.ReplaceAll(step.body, "{id}", id))
				if a.Status != step.status {
					t.Fatalf("%s: %d %s", said, a.Status, a.Body)
				}
				var shown map[string]any
				if step.status != http.StatusNoContent {
					a.Decode(t, &shown)
				}
				if step.filter != "" {
					if shown["totalResults"] != float64(step.total) {
						t.Errorf("%s: %s", said, a.Body)
					}
					if resources := shown["Resources"].([]any); len(resources) == 1 {
						shown = resources[0].(map[string]any)
					}
				}
				if step.shows != "" {
					var members map[string]any
					if err := json.Unmarshal([]byte(step.shows), &members); err != nil {
						t.Fatal(err)
					}
					for name, value := range members {
						if !reflect.DeepEqual(shown[name], value) {
							t.Errorf("%s: %s is %v, want %v", said, name, shown[name], value)
						}
					}
				}
				if step.method == http.MethodPost && step.status == http.StatusCreated {
					id = shown["id"].(string)
				}
				if step.then != nil {
					step.then(&want)
				}
				if id != "" {
					checkStored(t, s, said, id, want)
				}
			}
		}
	})
}

// checkStored compares a user in the directory, but for what the server sets.
func checkStored(t *testing.T, s *servertest.Server, said, id string, want store.User) {
	t.Helper()
	users, _, err := s.Store.ListUsers(t.Context(), servertest.Sandbox, store.Query{Filters: []store.Filter{store.CompareText(store.TextUUID, store.Equal, id)}}, store.Window{Limit: 1})
	if err != nil || len(users) != 1 {
		t.Fatalf("%s: %d users, %v", said, len(users), err)
	}
	got := users[0]
	want.AccessToken, want.DeprovisionedAt = got.AccessToken, got.DeprovisionedAt
	if changed := store.Diff(&want, &got); len(changed) > 0 {
		t.Errorf("%s: %v is otherwise in the directory: %+v", said, changed, got)
	}
}
