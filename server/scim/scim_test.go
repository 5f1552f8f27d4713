package scim_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

const (
	userURN = "urn:ietf:params:scim:schemas:core:2.0:User"
	path    = "/scim/v2/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1"
	adaPath = path + "/Users/94520740-d63c-4e02-85ca-c4e138801e73"
)

// ask sends a request as a customer's administrator.
func ask(s *servertest.Server, method, path, body string, header ...string) servertest.Answer {
	h := http.Header{}
	if body != "" {
		h.Set("Content-Type", "application/scim+json")
	}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return s.Ask(servertest.Manager(), servertest.Request{Method: method, Path: path, Body: body, Header: h})
}

// newUser is the body of a new user with these further members.
func newUser(name, members string) string {
	return fmt.Sprintf(`{"schemas":[%q],"userName":%q,"emails":[{"value":%q}]%s}`, userURN, name, name+"@example.com", members)
}

// created creates a user, and returns it as it is shown.
func created(t *testing.T, s *servertest.Server, body string) map[string]any {
	t.Helper()
	a := ask(s, http.MethodPost, path+"/Users", body)
	if a.Status != http.StatusCreated {
		t.Fatalf("%s: %d %s", body, a.Status, a.Body)
	}
	var u map[string]any
	a.Decode(t, &u)
	if want := a.Header.Get("Location"); u["meta"].(map[string]any)["location"] != want || !strings.HasPrefix(want, s.URL+path+"/Users/") {
		t.Errorf("the location is %q: %s", want, a.Body)
	}
	return u
}

func at(u map[string]any) string { return path + "/Users/" + u["id"].(string) }

// expectError fails the test unless an answer is an error of this status and kind, whose detail has a text.
func expectError(t *testing.T, a servertest.Answer, status int, kind, detail string) {
	t.Helper()
	var e struct {
		Schemas                  []string
		Status, ScimType, Detail string
	}
	a.Decode(t, &e)
	if a.Status != status || e.Status != fmt.Sprint(status) || e.ScimType != kind || !strings.Contains(e.Detail, detail) ||
		len(e.Schemas) != 1 || e.Schemas[0] != "urn:ietf:params:scim:api:messages:2.0:Error" {
		t.Errorf("%d %s, want %d %s %s", a.Status, a.Body, status, kind, detail)
	}
	a.ExpectHeader(t, "Content-Type", "application/scim+json")
}

func TestCreateAndRead(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		u := created(t, s, newUser("mary", `,"externalId":"00u1","name":{"givenName":"Mary","familyName":"Jackson"},"displayName":"MJ",
			"phoneNumbers":[{"value":"1","type":"work"},{"value":"2","type":"mobile"}],"roles":[{"value":"ROLE_USER"}],"groups":[],"locale":null,"meta":{"resourceType":"User"}`))
		a := ask(s, http.MethodGet, at(u), "")
		version := a.Header.Get("ETag")
		for _, want := range []string{
			`"externalId":"00u1"`, `"userName":"mary"`, `"name":{"familyName":"Jackson","givenName":"Mary"}`, `"displayName":"MJ"`,
			`"emails":[{"value":"mary@example.com","type":"work","primary":true}]`, `"phoneNumbers":[{"value":"2","type":"mobile"}]`, `"active":true`,
			`"roles":[{"value":"ROLE_USER"}]`, `"version":` + servertest.Encode(t, version),
		} {
			if !strings.Contains(a.Body, want) {
				t.Errorf("%s lacks %s", a.Body, want)
			}
		}
		a.ExpectHeader(t, "Content-Type", "application/scim+json")
		if a := ask(s, http.MethodGet, at(u)+"?attributes=userName,name.givenName&aadOptscim062020", ""); a.Body != fmt.Sprintf(`{"schemas":[%q],"id":%q,"userName":"mary","name":{"givenName":"Mary"}}`, userURN, u["id"])+"\n" {
			t.Errorf("selected: %s", a.Body)
		}
		if a := ask(s, http.MethodGet, at(u), "", "If-None-Match", version); a.Status != http.StatusNotModified {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		// What is another's is no matter of this dialect's to tell.
		expectError(t, ask(s, http.MethodPost, path+"/Users", newUser("MARY", "")), http.StatusConflict, "uniqueness", "userName is already taken; emails is already taken")
		expectError(t, ask(s, http.MethodPost, path+"/Users", newUser("other", `,"externalId":"00u1"`)), http.StatusConflict, "uniqueness", "externalId is already taken")
		expectError(t, ask(s, http.MethodGet, path+"/Users/nobody", ""), http.StatusNotFound, "", "no such resource")
		expectError(t, ask(s, http.MethodGet, path+"/Nowhere", ""), http.StatusNotFound, "", "")
		expectError(t, ask(s, http.MethodPost, at(u), "{}"), http.StatusMethodNotAllowed, "", "")
		expectError(t, s.Send(servertest.Request{Method: http.MethodGet, Path: at(u), Header: http.Header{"Authorization": {"non-token"}}}), http.StatusUnauthorized, "", "token")
	})
}

func TestBadBodies(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, c := range []struct{ body, kind, detail string }{
		{`{"userName":"x","emails":[{"value":"x@example.com"}]}`, "invalidSyntax", "schemas is required"},
		{`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"userName":"x","emails":[{"value":"x@example.com"}]}`, "invalidSyntax", "schemas must have " + userURN},
		{`{"schemas":[`, "invalidSyntax", "not valid JSON"},
		{newUser("x", `,"active":"yes"`), "invalidValue", "active must be true or false"},
		{newUser("x", `,"roles":[{"value":"ROLE_NOBODY"}]`), "invalidValue", `roles.0.value is not a role: "ROLE_NOBODY"`},
		{newUser("x", `,"name":"x"`), "invalidValue", "name must be an object"},
		{newUser("x", `,"displayName":1`), "invalidValue", "displayName must be a string"},
		{newUser("x y", ``), "invalidValue", "userName must have no white space"},
		{fmt.Sprintf(`{"schemas":[%q],"userName":"x","emails":[]}`, userURN), "invalidValue", "emails must have at least 1 item"},
		{fmt.Sprintf(`{"schemas":[%q],"userName":"x","emails":null}`, userURN), "invalidValue", "emails must not be null"},
		{fmt.Sprintf(`{"schemas":[%q],"userName":null,"emails":[{"value":"ada"}]}`, userURN), "invalidValue", "emails.0.value must be an e-mail address; userName must not be null"},
	} {
		expectError(t, ask(s, http.MethodPost, path+"/Users", c.body), http.StatusBadRequest, c.kind, c.detail)
	}
}

// TestEchoChangesNothing: a PUT of what a GET returned, with what clients add to it.
func TestEchoChangesNothing(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for _, change := range []func(u *store.User){
			func(*store.User) {},
			func(u *store.User) { u.Status = store.StatusInvited },
			func(u *store.User) { u.Mobile, u.FirstName, u.LastName, u.Roles = nil, "", "", 0 },
			func(u *store.User) { u.DisplayName, u.ExternalID, u.Status = new("D"), new("e"), store.StatusInactive },
		} {
			user := s.FindUser(t, servertest.Ada)
			user.ID, user.UUID = 0, [16]byte{}
			user.Username, user.Email = s.Unique("echo", 50), s.Unique("echo@example.com", 50)
			user.AccessToken = ""
			change(&user)
			user = s.CreateUser(t, user)
			where := path + "/Users/" + user.UUID.String()
			body := ask(s, http.MethodGet, where, "").Body
			a := ask(s, http.MethodPut, where, body, "Prefer", "handling=strict")
			if a.Status != http.StatusOK {
				t.Fatalf("%s: %d %s", body, a.Status, a.Body)
			}
			a.ExpectHeader(t, "Dragoman-Changed", "")
			a.ExpectHeader(t, "Dragoman-Ignored")
			if d := servertest.Differences(user, s.FindUser(t, user.ID)); len(d) > 0 {
				t.Errorf("%v changed", d)
			}
		}
	})
}

func TestReplace(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		before := s.FindUser(t, servertest.Ada)
		// Absence leaves alone what null clears.
		a := ask(s, http.MethodPut, adaPath, fmt.Sprintf(`{"schemas":[%q,"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],"userName":"adalovelace",
			"emails":[{"value":"other@example.com"},{"value":"ada.lovelace@example.com","primary":"True"}],"displayName":"Ada","password":"secret","active":"False",
			"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"x"}}`, userURN), "If-Match", `"1"`)
		a.ExpectHeader(t, "Dragoman-Changed", "active, displayName")
		a.ExpectHeader(t, "Dragoman-Ignored", "emails.0, password, urn%3Aietf%3Aparams%3Ascim%3Aschemas%3Aextension%3Aenterprise%3A2.0%3AUser")
		want := before
		want.DisplayName, want.Status = new("Ada"), store.StatusInactive
		after := s.FindUser(t, servertest.Ada)
		want.Version, want.UpdatedAt, want.UpdatedBy = after.Version, after.UpdatedAt, after.UpdatedBy
		if d := servertest.Differences(want, after); len(d) > 0 {
			t.Errorf("%d %s: %v differ", a.Status, a.Body, d)
		}
		a = ask(s, http.MethodPut, adaPath, fmt.Sprintf(`{"schemas":[%q],"userName":"adalovelace","emails":[{"value":"ada.lovelace@example.com"}],
			"displayName":null,"name":null,"phoneNumbers":[],"roles":null,"active":null}`, userURN))
		after = s.FindUser(t, servertest.Ada)
		if a.Status != http.StatusOK || after.DisplayName != nil || after.FirstName+after.LastName != "" || after.Mobile != nil || after.Roles != 0 || after.Status != store.StatusInactive {
			t.Errorf("%d %s: %+v", a.Status, a.Body, after)
		}
		stale := ask(s, http.MethodPut, adaPath, newUser("adalovelace", `,"displayName":"B"`), "If-Match", `"1"`)
		if want := `"attribute":"displayName","state":"conflict","version":3,"at":"`; stale.Status != http.StatusPreconditionFailed || !strings.Contains(stale.Body, want) {
			t.Errorf("%d %s lacks %s", stale.Status, stale.Body, want)
		}
		stale.ExpectHeader(t, "ETag", `"3"`)
	})
}

// TestDeleteAndRestore: a deleted user is not found, is inactive to the others, and is restored by any of its three unique values.
func TestDeleteAndRestore(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		restoredID := ""
		for i, again := range []string{
			newUser("KATHERINE", `,"roles":[{"value":"ROLE_USER"}]`),
			fmt.Sprintf(`{"schemas":[%q],"userName":"kj1","emails":[{"value":"Katherine@example.com"}],"externalId":"k"}`, userURN),
			fmt.Sprintf(`{"schemas":[%q],"userName":"kj2","emails":[{"value":"kj2@example.com"}],"externalId":"k","active":false}`, userURN),
		} {
			var u map[string]any
			if i == 0 {
				u = created(t, s, newUser("katherine", `,"externalId":"k","roles":[{"value":"ROLE_REPORT"}],"name":{"givenName":"K"}`))
			} else {
				u = map[string]any{"id": restoredID}
			}
			hash := "x"
			key := userWith(t, s, u["id"].(string))
			if _, _, err := s.Store.UpdateUser(t.Context(), store.UserByID(key.CustomerID, key.ID), store.Change{Edit: func(u *store.User) error {
				u.PasswordHash, u.VCSPassword, u.EmailVerified, u.Username, u.Email = &hash, &hash, true, "katherine", "katherine@example.com"
				u.ExternalID = new("k")
				return nil
			}}); err != nil {
				t.Fatal(err)
			}
			before := userWith(t, s, u["id"].(string))
			if a := ask(s, http.MethodDelete, "/dry-run"+at(u), ""); a.Status != http.StatusNoContent {
				t.Errorf("a dry run: %d %s", a.Status, a.Body)
			}
			if a := ask(s, http.MethodDelete, at(u), "", "If-Match", `"999"`); a.Status != http.StatusPreconditionFailed {
				t.Errorf("%d %s", a.Status, a.Body)
			}
			if a := ask(s, http.MethodDelete, at(u), ""); a.Status != http.StatusNoContent || a.Body != "" {
				t.Errorf("%d %s", a.Status, a.Body)
			}
			for _, r := range []struct{ method, body string }{{http.MethodGet, ""}, {http.MethodDelete, ""}, {http.MethodPut, newUser("katherine", "")}} {
				for _, header := range [][]string{nil, {"If-Match", `"1"`}, {"If-None-Match", "*"}} {
					expectError(t, ask(s, r.method, at(u), r.body, header...), http.StatusNotFound, "", "")
				}
			}
			worth := ask(s, http.MethodGet, "/auth/api/v1/customers/"+servertest.SandboxUUID.String()+"/users/"+u["id"].(string), "")
			if worth.Status != http.StatusOK || !strings.Contains(worth.Body, `"status":"INACTIVE"`) {
				t.Errorf("%d %s", worth.Status, worth.Body)
			}
			restored := created(t, s, again)
			after := userWith(t, s, u["id"].(string))
			if restored["id"] != u["id"] || after.PasswordHash != nil || after.VCSPassword != nil || after.EmailVerified || after.AccessToken == before.AccessToken ||
				after.DeprovisionedAt != nil || (after.Status == store.StatusActive) != (i < 2) || after.FirstName != "" || after.Roles != map[int]store.RoleSet{0: store.Roles(3)}[i] {
				t.Errorf("restored is %v: %+v", restored, after)
			}
			restoredID = u["id"].(string)
			expectError(t, ask(s, http.MethodPost, path+"/Users", again), http.StatusConflict, "uniqueness", "already taken")
		}
	})
}

func userWith(t *testing.T, s *servertest.Server, id string) store.User {
	t.Helper()
	parsed, _ := auth.ParseUUID(id)
	u, err := s.Store.FindUser(t.Context(), store.UserByUUID(servertest.Sandbox, parsed))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, p := range []string{"/ServiceProviderConfig", "/Schemas", "/Schemas/" + userURN, "/ResourceTypes", "/ResourceTypes/User"} {
		if a := ask(s, http.MethodGet, path+p, ""); a.Status != http.StatusOK || strings.Contains(a.Body, "null") || !strings.Contains(a.Body, s.URL+path) {
			t.Errorf("%s: %d %s", p, a.Status, a.Body)
		}
		expectError(t, ask(s, http.MethodPost, path+p, "{}"), http.StatusMethodNotAllowed, "", "")
	}
	expectError(t, ask(s, http.MethodGet, path+"/Schemas/urn:x", ""), http.StatusNotFound, "", "")
	expectError(t, ask(s, http.MethodGet, path+"/ResourceTypes/Group", ""), http.StatusNotFound, "", "")
}

func TestLastAdministrator(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	grace := path + "/Users/" + servertest.GraceUUID.String()
	expectError(t, ask(s, http.MethodDelete, grace, ""), http.StatusBadRequest, "mutability", "active must leave the customer an active administrator")
}

func TestRepeatedCreate(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		body := newUser("repeated", "")
		first := ask(s, http.MethodPost, path+"/Users", body, "Idempotency-Key", "k")
		again := ask(s, http.MethodPost, path+"/Users", body, "Idempotency-Key", "k")
		if first.Status != http.StatusCreated || again.Status != http.StatusCreated || again.Body != first.Body || again.Header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%d %s\n%d %s", first.Status, first.Body, again.Status, again.Body)
		}
		if a := ask(s, http.MethodPost, path+"/Users", newUser("other", ""), "Idempotency-Key", "k"); a.Status != http.StatusUnprocessableEntity {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	})
}

func TestGroups(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		var ids []string
		for _, name := range []string{"one", "two", "three"} {
			ids = append(ids, created(t, s, newUser(name, ""))["id"].(string))
		}
		group := path + "/Groups/ROLE_REPORT"
		patch := func(operations string) servertest.Answer {
			return ask(s, http.MethodPatch, group, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[`+operations+`]}`)
		}
		has := func(want string) {
			t.Helper()
			got := ""
			for _, id := range ids {
				if userWith(t, s, id).Roles == store.Roles(12) {
					got += "1"
				} else {
					got += "0"
				}
			}
			if got != want {
				t.Errorf("members are %s, want %s", got, want)
			}
		}
		for _, c := range []struct{ operations, want string }{
			{fmt.Sprintf(`{"op":"Add","path":"members","value":[{"value":%q},{"value":%q}]}`, ids[0], ids[1]), "110"},
			{fmt.Sprintf(`{"op":"remove","path":"members[value eq \"%s\"]"},{"op":"add","path":"members","value":{"value":%q}}`, ids[0], ids[2]), "011"},
			{fmt.Sprintf(`{"op":"Remove","path":"members","value":[{"value":%q}]}`, ids[1]), "001"},
			{fmt.Sprintf(`{"op":"replace","value":{"id":"ROLE_REPORT","displayName":"ROLE_REPORT","members":[{"value":%q}]}}`, ids[0]), "100"},
			{`{"op":"remove","path":"members"}`, "000"},
		} {
			if a := patch(c.operations); a.Status != http.StatusNoContent {
				t.Errorf("%s: %d %s", c.operations, a.Status, a.Body)
			}
			has(c.want)
		}
		put := func(members string) servertest.Answer {
			return ask(s, http.MethodPut, group+"?attributes=members", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"ROLE_REPORT","members":`+members+`}`)
		}
		if a := put(fmt.Sprintf(`[{"value":%q},{"value":%q}]`, ids[0], ids[2])); a.Status != http.StatusOK || strings.Count(a.Body, `"$ref"`) != 2 {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		has("101")
		// Nothing of a request that is refused is done.
		for _, c := range []struct {
			a      servertest.Answer
			status int
			kind   string
		}{
			{put(fmt.Sprintf(`[{"value":%q},{"value":%q}]`, ids[1], servertest.AlanUUID)), 400, "invalidValue"},
			{put(`[{"value":"nobody"}]`), 400, "invalidValue"},
			{patch(`{"op":"add","path":"members","value":[{"value":7}]}`), 400, "invalidValue"},
			{patch(`{"op":"replace","path":"displayName","value":"x"}`), 400, "mutability"},
			{patch(`{"op":"add","path":"members[","value":[]}`), 400, "invalidFilter"},
			{patch(`{"op":"add","path":"members.","value":[]}`), 400, "invalidPath"},
			{patch(`{"op":"remove","path":"members[type eq \"User\"]"}`), 400, "invalidFilter"},
			{patch(`{"op":"move","path":"members"}`), 400, "invalidSyntax"},
			{ask(s, http.MethodPost, path+"/Groups", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"ROLE_USER"}`), 409, "uniqueness"},
			{ask(s, http.MethodPost, path+"/Groups", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"x"}`), 403, ""},
			{ask(s, http.MethodDelete, group, ""), 403, ""},
			{ask(s, http.MethodDelete, path+"/Groups/x", ""), 404, ""},
			{ask(s, http.MethodGet, path+"/Groups/x", ""), 404, ""},
			{ask(s, http.MethodGet, path+"/Groups?filter=x", ""), 400, "invalidFilter"},
			// The last administrator.
			{ask(s, http.MethodPatch, path+"/Groups/ROLE_COMPANY_ADMIN", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"remove","path":"members"}]}`), 400, "mutability"},
		} {
			expectError(t, c.a, c.status, c.kind, "")
		}
		has("101")
		for query, want := range map[string]string{
			"?filter=displayName%20eq%20%22ROLE_USER%22": `"totalResults":1`, "?filter=displayName+eq+%22x%22": `"Resources":[]`, "?count=0": `"itemsPerPage":0`, "?startIndex=-3&count=2": `"startIndex":1,"itemsPerPage":2`,
		} {
			if a := ask(s, http.MethodGet, path+"/Groups"+query, ""); a.Status != http.StatusOK || !strings.Contains(a.Body, want) || strings.Contains(a.Body, "members") {
				t.Errorf("%s: %d %s", query, a.Status, a.Body)
			}
		}
	})
}

func TestPatch(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		patch := func(operations string, header ...string) servertest.Answer {
			return ask(s, http.MethodPatch, adaPath, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[`+operations+`]}`, header...)
		}
		rewrite := func(edit func(u *store.User)) {
			if _, _, err := s.Store.UpdateUser(t.Context(), store.UserByID(servertest.Sandbox, servertest.Ada), store.Change{Edit: func(u *store.User) error { edit(u); return nil }}); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range []struct {
			operations, changed string
			holds               func(u store.User) bool
		}{
			{`{"op":"replace","value":{"active":false}}`, "active", func(u store.User) bool { return u.Status == store.StatusInactive }},
			{`{"op":"Replace","path":"active","value":"True"}`, "active", func(u store.User) bool { return u.Status == store.StatusActive }},
			{`{"op":"Add","path":"name.givenName","value":"A"},{"op":"replace","value":{"name.familyName":"B","displayName":"AB"}}`, "name.givenName, name.familyName, displayName",
				func(u store.User) bool { return u.FirstName == "A" && u.LastName == "B" && *u.DisplayName == "AB" }},
			{`{"op":"Add","path":"phoneNumbers[type eq \"mobile\"].value","value":"7"}`, "phoneNumbers", func(u store.User) bool { return *u.Mobile == "7" }},
			{`{"op":"remove","path":"displayName"},{"op":"remove","path":"phoneNumbers"}`, "phoneNumbers, displayName", func(u store.User) bool { return u.DisplayName == nil && u.Mobile == nil }},
			{`{"op":"replace","path":"emails[type eq \"work\"].value","value":"a@example.com"}`, "emails", func(u store.User) bool { return u.Email == "a@example.com" }},
			{`{"op":"Replace","path":"roles","value":"{\"id\":\"1\",\"value\":\"ROLE_REPORT\",\"displayName\":\"R\"}"}`, "roles", func(u store.User) bool { return u.Roles == store.Roles(12) }},
		} {
			a := patch(c.operations)
			if u := s.FindUser(t, servertest.Ada); a.Status != http.StatusOK || !c.holds(u) {
				t.Errorf("%s: %d %s: %+v", c.operations, a.Status, a.Body, u)
			}
			a.ExpectHeader(t, "Dragoman-Changed", c.changed)
		}
		// An invited user stays invited unless an operation is about that.
		rewrite(func(u *store.User) { u.Status = store.StatusInvited })
		patch(`{"op":"replace","path":"displayName","value":"x"}`)
		if u := s.FindUser(t, servertest.Ada); u.Status != store.StatusInvited {
			t.Errorf("the status is %s", u.Status)
		}
		patch(`{"op":"replace","path":"active","value":false}`)
		before := s.FindUser(t, servertest.Ada)
		if before.Status != store.StatusInactive {
			t.Errorf("the status is %s", before.Status)
		}
		for _, c := range []struct{ operations, kind string }{
			{`{"op":"replace","path":"displayName","value":"y"},{"op":"replace","path":"roles","value":[{"value":"x"}]}`, "invalidValue"},
			{`{"op":"replace","path":"displayName","value":"y"},{"op":"remove","path":"userName"}`, "mutability"},
			{`{"op":"replace","path":"emails[type eq","value":"y"}`, "invalidFilter"},
			{`{"op":"replace","path":"emails[0]","value":"y"}`, "invalidFilter"},
			{`{"op":"move","path":"displayName"}`, "invalidSyntax"},
			{`{"path":"displayName","value":"y"}`, "invalidSyntax"},
			{`{"op":1,"path":"displayName","value":"y"}`, "invalidSyntax"},
			{`1`, "invalidSyntax"},
			{``, "invalidSyntax"},
			{`{"op":"replace","path":1,"value":"y"}`, "invalidPath"},
			{`{"op":"replace","path":"` + strings.Repeat("(", 1000) + `","value":"y"}`, "invalidPath"},
		} {
			a := patch(c.operations)
			expectError(t, a, http.StatusBadRequest, c.kind, "")
		}
		if d := servertest.Differences(before, s.FindUser(t, servertest.Ada)); len(d) > 0 {
			t.Errorf("what was refused has changed %v", d)
		}
	})
}
