package scim

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/server/scim/patch"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// TestApplyPatch checks what operations, as identity providers send them, make of a user.
func TestApplyPatch(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, "sqlite:"+t.TempDir()+"/dragoman.db")
	h := &handler{roles: s.Catalogue(), userSchema: filterSchema(userURN, userProperties(s.Catalogue()))}
	named := func(names ...string) (set store.RoleSet) {
		for _, name := range names {
			role, ok := h.roles.ByName(name)
			if !ok {
				t.Fatalf("there is no %s", name)
			}
			set = set.Union(store.Roles(role.ID))
		}
		return set
	}
	ada := func() store.User {
		return store.User{
			UUID: uuid.MustParse("94520740-d63c-4e02-85ca-c4e138801e73"), FirstName: "Ada", LastName: "Lovelace", Username: "ada", Email: "ada@example.com",
			Status: store.StatusActive, Roles: named("ROLE_USER", "ROLE_REPORT"), Version: 3, CreatedAt: time.UnixMilli(1), UpdatedAt: time.UnixMilli(2),
		}
	}
	for _, c := range []struct {
		name, operations string
		from, want       func(u *store.User)
		ignored          string
	}{
		{"Entra: the one app role", `[{"op":"Replace","path":"roles[primary eq \"True\"].value","value":"ROLE_READ_ONLY"}]`, nil, func(u *store.User) { u.Roles = named("ROLE_READ_ONLY") }, ""},
		{"Entra: the one app role of a user without any", `[{"op":"Add","path":"roles[primary eq \"True\"].value","value":"ROLE_USER"}]`,
			func(u *store.User) { u.Roles = 0 }, func(u *store.User) { u.Roles = named("ROLE_USER") }, ""},
		{"Entra: app roles as text", `[{"op":"add","path":"roles","value":[{"value":"{\"id\":\"1\",\"value\":\"ROLE_RUN_TEST\",\"displayName\":\"Tester\"}"}]}]`,
			nil, func(u *store.User) { u.Roles = named("ROLE_USER", "ROLE_REPORT", "ROLE_RUN_TEST") }, "roles.displayName roles.id"},
		{"Entra: app roles as objects", `[{"op":"replace","path":"roles","value":[{"value":"ROLE_RUN_TEST","primary":false}]}]`, nil, func(u *store.User) { u.Roles = named("ROLE_RUN_TEST") }, ""},
		{"Entra: disabled", `[{"op":"Replace","path":"active","value":"False"}]`, nil, func(u *store.User) { u.Status = store.StatusInactive }, ""},
		{"Entra: disabled while invited", `[{"op":"Replace","path":"active","value":"False"}]`,
			func(u *store.User) { u.Status = store.StatusInvited }, func(u *store.User) { u.Status = store.StatusInactive }, ""},
		{"another attribute while invited", `[{"op":"Replace","path":"displayName","value":"AL"}]`,
			func(u *store.User) { u.Status = store.StatusInvited }, func(u *store.User) { u.Status, u.DisplayName = store.StatusInvited, new("AL") }, ""},
		{"Entra: a mobile number that is not there", `[{"op":"Add","path":"phoneNumbers[type eq \"mobile\"].value","value":"+44 1"}]`, nil, func(u *store.User) { u.Mobile = new("+44 1") }, ""},
		{"Entra: the number of another type", `[{"op":"Add","path":"phoneNumbers[type eq \"work\"].value","value":"+44 2"}]`,
			func(u *store.User) { u.Mobile = new("+44 1") }, func(u *store.User) { u.Mobile = new("+44 1") }, "phoneNumbers.1"},
		{"Entra with its flag", `[{"op":"replace","value":{"name.givenName":"Augusta","emails[type eq \"work\"].value":"king@example.com",
			"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department":"Engines","active":true}}]`, nil,
			func(u *store.User) { u.FirstName, u.Email = "Augusta", "king@example.com" }, ""},
		{"Okta: deactivated", `[{"op":"replace","value":{"active":false}}]`, nil, func(u *store.User) { u.Status = store.StatusInactive }, ""},
		{"what is shown", `[{"op":"replace","value":{"id":"94520740-d63c-4e02-85ca-c4e138801e73","meta":{"resourceType":"User","version":"\"3\""},"name":{"formatted":"Ada Lovelace"}}}]`,
			nil, func(*store.User) {}, "name.formatted"},
		{"what is not", `[{"op":"replace","value":{"id":"1","meta":{"resourceType":"User","version":"\"2\""}}}]`, nil, func(*store.User) {}, "id meta.version"},
		{"removed", `[{"op":"remove","path":"displayName"},{"op":"remove","path":"phoneNumbers[type eq \"mobile\"]"},{"op":"remove","path":"externalId"},
			{"op":"remove","path":"name.familyName"},{"op":"remove","path":"roles"}]`,
			func(u *store.User) { u.DisplayName, u.Mobile, u.ExternalID = new("AL"), new("1"), new("00u") }, func(u *store.User) {
				u.DisplayName, u.Mobile, u.ExternalID, u.LastName, u.Roles = nil, nil, nil, "", 0
			}, ""},
	} {
		var operations []patch.Operation
		if err := json.Unmarshal([]byte(c.operations), &operations); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		parsed, wrong := patch.Parse(h.userSchema, operations)
		if wrong != nil {
			t.Errorf("%s: %v", c.name, wrong)
			continue
		}
		got, want := ada(), ada()
		if c.from != nil {
			c.from(&got)
			c.from(&want)
		}
		c.want(&want)
		ignored, err := h.applyPatch(&got, parsed, "https://example.com")
		if changed := store.Diff(&want, &got); err != nil || len(changed) > 0 {
			t.Errorf("%s: %v is otherwise: %+v, %v", c.name, changed, got, err)
		}
		also := ofOwnSchema(parsed.Undeclared)
		if all := strings.Join(append(ignored, also...), " "); all != c.ignored {
			t.Errorf("%s: ignored are %s, want %s", c.name, all, c.ignored)
		}
	}
}

// ofOwnSchema leaves out attributes of other schemas.
func ofOwnSchema(names []string) (own []string) {
	for _, name := range names {
		if !strings.HasPrefix(name, "urn:") {
			own = append(own, name)
		}
	}
	return own
}
