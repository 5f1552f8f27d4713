package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

// concurrent is an entry of what a 412 says has changed, as each dialect writes it: its field, its state and the rest.
type concurrent struct {
	field, state string
	rest         string
}

// concurrentIn reads what an error says has changed.
func concurrentIn(t testing.TB, d description.API, a servertest.Answer) (all []concurrent) {
	t.Helper()
	var body any
	a.Decode(t, &body)
	list, field, _ := strings.Cut(d.ChangedField, "[].")
	_, state, _ := strings.Cut(d.ChangedState, "[].")
	for _, items := range description.At(body, list) {
		for _, item := range items.([]any) {
			entry := item.(map[string]any)
			c := concurrent{field: entry[field].(string), state: entry[state].(string)}
			delete(entry, field)
			delete(entry, state)
			rest, err := json.Marshal(entry)
			if err != nil {
				t.Fatal(err)
			}
			c.rest = string(rest)
			all = append(all, c)
		}
	}
	return all
}

// states is the fields of a 412 with their states.
func states(all []concurrent) string {
	var texts []string
	for _, c := range all {
		texts = append(texts, c.field+" "+c.state)
	}
	return strings.Join(texts, ", ")
}

// dialectNamed is one of the dialects that tests serve.
func dialectNamed(t testing.TB, name string) description.API {
	t.Helper()
	i := slices.IndexFunc(servertest.Dialects(), func(d server.Dialect) bool { return d.Name == name })
	if i < 0 {
		t.Fatalf("there is no %s", name)
	}
	return servertest.Dialects()[i].API
}

// patchOfScim is the body of a PATCH of SCIM.
func patchOfScim(operations string) string {
	return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[` + operations + `]}`
}

const toyAda = "/toys/v3/shops/s3393/people/p6860"

// TestPreconditionFailureExplains: what has changed since the version in If-Match, and whether the body is in conflict with it.
func TestPreconditionFailureExplains(t *testing.T) {
	t.Parallel()
	putToy := `{"given":"Ada","family":"Lovelace","handle":"adalovelace","contact":"ada.lovelace@example.com","open":true,"grants":[{"role":"ROLE_USER"}]}`
	put := func(replacements ...string) string { return strings.NewReplacer(replacements...).Replace(putOfAda) }
	asWritten := put(`"surname":"King"`, `"surname":"Lovelace"`)
	for name, c := range map[string]struct {
		dialect, path, method, body string
		meanwhile                   []func(u *store.User) // each is a version
		states, conflict            string
	}{
		"a PATCH of what changed to something else": {"worth", worthAda, http.MethodPatch, `{"first_name":"Augusta","status":"ACTIVE"}`,
			[]func(u *store.User){func(u *store.User) { u.FirstName = "Adelaide" }, func(u *store.User) { u.Status = store.StatusInactive }},
			"first_name conflict, status conflict", "first_name, status"},
		"a PATCH of the same": {"worth", worthAda, http.MethodPatch, `{"first_name":"Augusta"}`,
			[]func(u *store.User){func(u *store.User) { u.FirstName = "Augusta" }}, "first_name same", ""},
		"a PATCH of something else than what changed": {"worth", worthAda, http.MethodPatch, `{"first_name":"Augusta"}`,
			[]func(u *store.User){func(u *store.User) { u.LastName = "King" }}, "last_name moved", ""},
		"a PATCH back to what was": {"worth", worthAda, http.MethodPatch, `{"first_name":"Ada"}`,
			[]func(u *store.User){func(u *store.User) { u.FirstName = "Augusta" }}, "first_name conflict", "first_name"},
		"a PATCH to what was and is again": {"worth", worthAda, http.MethodPatch, `{"first_name":"Ada"}`,
			[]func(u *store.User){func(u *store.User) { u.FirstName = "Augusta" }, func(u *store.User) { u.FirstName = "Ada" }}, "first_name same", ""},
		"a PATCH of nothing that was and is again": {"worth", worthAda, http.MethodPatch, `{"mobile":"1"}`,
			[]func(u *store.User){func(u *store.User) { u.FirstName = "Augusta" }, func(u *store.User) { u.FirstName = "Ada" }}, "first_name moved", ""},
		"a PATCH of the subrole": {"worth", worthAda, http.MethodPatch, `{"subrole":{"code":"cro"}}`,
			[]func(u *store.User){func(u *store.User) { u.Roles = u.Roles.Union(store.Roles(11)) }}, "subrole conflict", "subrole"},
		"a PATCH of the present subrole": {"worth", worthAda, http.MethodPatch, `{"subrole":{"code":"risk_analyst"}}`,
			[]func(u *store.User){func(u *store.User) { u.Roles = u.Roles.Union(store.Roles(11)) }}, "subrole moved", ""},
		"a PATCH and what the dialect cannot name": {"worth", worthAda, http.MethodPatch, `{"first_name":"Augusta"}`,
			[]func(u *store.User){func(u *store.User) { u.Username, u.VCSPassword = "x", new("x") }}, "", ""},
		"a PATCH of the e-mail": {"worth", worthAda, http.MethodPatch, `{"email":"a@example.com"}`,
			[]func(u *store.User){func(u *store.User) { u.Email = "b@example.com" }}, "email conflict, is_email_verified moved", "email"},
		"a PUT of what was": {"testinium", testiniumAda, http.MethodPut, asWritten,
			[]func(u *store.User){func(u *store.User) { u.LastName, u.Status = "King", store.StatusInactive }}, "surname moved, enabled moved", ""},
		"a PUT of what is": {"testinium", testiniumAda, http.MethodPut, putOfAda,
			[]func(u *store.User){func(u *store.User) { u.LastName = "King" }}, "surname same", ""},
		"a PUT of neither": {"testinium", testiniumAda, http.MethodPut, put(`"surname":"King"`, `"surname":"Byron"`, "ROLE_USER", "ROLE_REPORT"),
			[]func(u *store.User){func(u *store.User) { u.LastName, u.Roles = "King", store.Roles(3, 11) }}, "surname conflict, authorities conflict", "surname, authorities"},
		"a PUT and a mobile number, which it cannot name": {"testinium", testiniumAda, http.MethodPut, putOfAda,
			[]func(u *store.User){func(u *store.User) { u.Mobile = new("1") }}, "", ""},
		"a PUT of a secret that changed": {"testinium", testiniumAda, http.MethodPut, withPassword(asWritten, `"vcsPassword":"x","newPassword":"pa55Word!"`),
			[]func(u *store.User){func(u *store.User) {
				u.VCSPassword, u.PasswordHash, u.LastPasswordResetAt = new("x"), new("hash"), new(time.UnixMilli(1))
			}},
			"newPassword conflict, lastPasswordResetDate moved, vcsPassword conflict", "newPassword, vcsPassword"},
		"a PUT of no secret": {"testinium", testiniumAda, http.MethodPut, asWritten,
			[]func(u *store.User){func(u *store.User) { u.VCSPassword = new("x") }}, "vcsPassword moved", ""},
		"SCIM's PUT of what was": {"scim", scimAda, http.MethodPut, strings.Replace(putOfScim, "King", "Lovelace", 1),
			[]func(u *store.User){func(u *store.User) { u.LastName, u.Email = "King", "a@example.com" }}, "name.familyName moved, emails moved", ""},
		"SCIM's PUT of neither": {"scim", scimAda, http.MethodPut, strings.Replace(putOfScim, "King", "Byron", 1),
			[]func(u *store.User){func(u *store.User) { u.LastName, u.Roles = "King", store.Roles(3, 11) }}, "name.familyName conflict, roles moved", "name.familyName"},
		"SCIM's PUT and what it leaves out, and what it cannot name": {"scim", scimAda, http.MethodPut, strings.Replace(putOfScim, "King", "Lovelace", 1),
			[]func(u *store.User){func(u *store.User) { u.DisplayName, u.AccountNonLocked = new("Ada"), false }}, "displayName moved", ""},
		"SCIM's PATCH of what changed, and of nothing that did": {"scim", scimAda, http.MethodPatch, patchOfScim(`{"op":"replace","value":{"active":false,"name.givenName":"Ada"}}`),
			[]func(u *store.User){func(u *store.User) { u.FirstName, u.Status, u.Mobile = "Augusta", store.StatusInactive, new("1") }},
			"name.givenName conflict, phoneNumbers moved, active same", "name.givenName"},
		"SCIM's PATCH of one role": {"scim", scimAda, http.MethodPatch, patchOfScim(`{"op":"Add","path":"roles","value":[{"value":"ROLE_REPORT"}]}`),
			[]func(u *store.User){func(u *store.User) { u.Roles = u.Roles.Union(store.Roles(11)) }}, "roles conflict", "roles"},
		"a PUT that leaves a member out": {"toy", toyAda, http.MethodPut, putToy,
			[]func(u *store.User){func(u *store.User) { u.Mobile, u.FirstName = new("1"), "Augusta" }}, "given moved, phone moved", ""},
		"another PATCH": {"toy", toyAda, http.MethodPatch, `{"phone":"2","open":true}`,
			[]func(u *store.User){func(u *store.User) { u.Mobile, u.Status = new("1"), store.StatusInvited }}, "phone conflict, open conflict", "phone, open"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servertest.Each(t, func(t *testing.T, s *servertest.Server) {
				base := s.FindUser(t, servertest.Ada).Version
				for _, change := range c.meanwhile {
					rewrite(t, s, servertest.Ada, change)
				}
				present := s.FindUser(t, servertest.Ada)
				r := servertest.Request{Method: c.method, Path: c.path, Body: c.body, Header: http.Header{"If-Match": {fmt.Sprintf(`"%d"`, base)}}}
				for _, ask := range []func() servertest.Answer{
					func() servertest.Answer { return trial(t, s, servertest.Manager(), r) },
					func() servertest.Answer { return s.Ask(servertest.Manager(), r) },
				} {
					a := ask()
					all := concurrentIn(t, dialectNamed(t, c.dialect), a)
					if got := states(all); a.Status != http.StatusPreconditionFailed || got != c.states {
						t.Errorf("%d %s: %q, want %q", a.Status, a.Body, got, c.states)
					}
					a.ExpectHeader(t, "Dragoman-Conflict", c.conflict)
					a.ExpectHeader(t, "ETag", fmt.Sprintf(`"%d"`, present.Version))
				}
				if after := s.FindUser(t, servertest.Ada); after.Version != present.Version {
					t.Errorf("version %d, want %d", after.Version, present.Version)
				}
			})
		})
	}
}

// TestPreconditionFailureTellsWhoAndWhen, to callers who may read the history; to others who may read the user which fields; and nothing
// to those who may only write.
func TestPreconditionFailureTellsWhoAndWhen(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		base := s.FindUser(t, servertest.Ada).Version
		ctx := store.WithOrigin(context.Background(), store.Origin{Subject: "somebody", Dialect: "testinium", Operation: "updateUser"})
		_, _, err := s.Store.UpdateUser(ctx, store.UserByID(servertest.Sandbox, servertest.Ada), store.Change{
			Actor: &servertest.GraceUUID, Edit: func(u *store.User) error { u.FirstName = "Augusta"; return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		changed := rewrite(t, s, servertest.Ada, func(u *store.User) { u.LastName = "King" })
		history, err := s.Store.UserHistory(context.Background(), store.UserByID(servertest.Sandbox, servertest.Ada), base, 10)
		if err != nil {
			t.Fatal(err)
		}
		reader := auth.Claims{Subject: "reader", Customers: []string{"3393"}, Expires: time.Hour, Authorities: []string{"ROLE_USER"},
			Permissions: []auth.Permission{auth.PermissionRead, auth.PermissionWrite}}
		writer := reader
		writer.Permissions = []auth.Permission{auth.PermissionWrite}
		for _, c := range []struct {
			name   string
			by     auth.Claims
			worth  []concurrent
			etag   []string
			header []string
		}{
			{"an administrator", servertest.Manager(), []concurrent{
				{"first_name", "conflict", fmt.Sprintf(`{"actor":%q,"at":%q,"dialect":"testinium","version":%d}`, servertest.GraceUUID, history[0].At.Format(store.TimeLayout), base+1)},
				{"last_name", "moved", fmt.Sprintf(`{"at":%q,"dialect":"","version":%d}`, history[1].At.Format(store.TimeLayout), base+2)},
			}, []string{fmt.Sprintf(`"%d"`, changed.Version)}, []string{"first_name"}},
			{"a reader", reader, []concurrent{{"first_name", "conflict", "{}"}, {"last_name", "moved", "{}"}}, []string{fmt.Sprintf(`"%d"`, changed.Version)}, []string{"first_name"}},
			{"one who may only write", writer, nil, nil, nil},
		} {
			a := s.Ask(c.by, servertest.Request{Method: http.MethodPatch, Path: worthAda, Body: `{"first_name":"Adelaide"}`, Header: http.Header{"If-Match": {fmt.Sprintf(`"%d"`, base)}}})
			if got := concurrentIn(t, dialectNamed(t, "worth"), a); a.Status != http.StatusPreconditionFailed || !slices.Equal(got, c.worth) {
				t.Errorf("%s: %d %s: %q, want %q", c.name, a.Status, a.Body, got, c.worth)
			}
			a.ExpectHeader(t, "ETag", c.etag...)
			a.ExpectHeader(t, "Dragoman-Conflict", c.header...)
			for _, value := range []string{"Augusta", "King", "Adelaide", "somebody"} {
				if strings.Contains(a.Body, value) {
					t.Errorf("%s: %s contains the value %s", c.name, a.Body, value)
				}
			}
		}
	})
}

// TestPreconditionFailureWithoutAPast has the present ETag and no more, where the history says nothing of the version in If-Match.
func TestPreconditionFailureWithoutAPast(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for i := range 101 {
			rewrite(t, s, servertest.Ada, func(u *store.User) { u.LastName = fmt.Sprint(i) })
		}
		present := s.FindUser(t, servertest.Ada).Version
		for match, explained := range map[string]bool{
			fmt.Sprintf(`"%d"`, present-100):                      true,
			fmt.Sprintf(`"%d", W/"%d"`, present-3, present):       true,
			fmt.Sprintf(`"0%d", "%d", "x"`, present-1, present-2): true,
			fmt.Sprintf(`"%d"`, present-101):                      false,
			fmt.Sprintf(`"0%d"`, present-1):                       false,
			fmt.Sprintf(`W/"%d"`, present-1):                      false,
			fmt.Sprintf(`"%d"`, present+1):                        false,
			`"0"`:                                                 false, `"-1"`: false, `"x"`: false, `""`: false, `"99999999999999999999"`: false,
		} {
			header := http.Header{"If-Match": {match}}
			a := s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodPatch, Path: worthAda, Body: `{"last_name":"King"}`, Header: header})
			if a.Status != http.StatusPreconditionFailed || (len(concurrentIn(t, dialectNamed(t, "worth"), a)) > 0) != explained || (len(a.Header.Values("Dragoman-Conflict")) > 0) != explained {
				t.Errorf("If-Match: %s: %d %v %s", match, a.Status, a.Header, a.Body)
			}
			a.ExpectHeader(t, "ETag", fmt.Sprintf(`"%d"`, present))
			// What is not explained is not merged.
			header.Set("Prefer", "merge=untouched")
			a = trial(t, s, servertest.Manager(), servertest.Request{Method: http.MethodPatch, Path: worthAda, Body: `{"first_name":"Augusta"}`, Header: header})
			if (a.Status == http.StatusOK) != explained {
				t.Errorf("If-Match: %s, merged: %d %s", match, a.Status, a.Body)
			}
		}
		// If-None-Match, and a read, say which version there is.
		for _, r := range []servertest.Request{
			{Method: http.MethodPatch, Path: worthAda, Body: `{"last_name":"King"}`, Header: http.Header{"If-None-Match": {"*"}}},
			{Method: http.MethodGet, Path: worthAda, Header: http.Header{"If-Match": {`"1"`}}},
			{Method: http.MethodHead, Path: testiniumAda, Header: http.Header{"If-Match": {`"1"`}}},
		} {
			a := s.Ask(servertest.Manager(), r)
			if a.Status != http.StatusPreconditionFailed {
				t.Errorf("%s: %d", r.Method, a.Status)
			}
			a.ExpectHeader(t, "ETag", fmt.Sprintf(`"%d"`, present))
		}
	})
}
