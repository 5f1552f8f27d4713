package scim_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

const (
	reporters = path + "/Groups/ROLE_REPORT"
	groupURN  = "urn:ietf:params:scim:schemas:core:2.0:Group"
)

// putOf is the body that replaces the members of the group of ROLE_REPORT.
func putOf(ids ...string) string {
	return fmt.Sprintf(`{"schemas":[%q],"displayName":"ROLE_REPORT","members":[%s]}`, groupURN, membersOf(ids...))
}

// adding is the body that adds members to a group.
func adding(ids ...string) string {
	return operations(`{"op":"add","path":"members","value":[` + membersOf(ids...) + `]}`)
}

func membersOf(ids ...string) string {
	var all []string
	for _, id := range ids {
		all = append(all, fmt.Sprintf(`{"value":%q}`, id))
	}
	return strings.Join(all, ",")
}

// people creates users, and returns their ids.
func people(t *testing.T, s *servertest.Server, n int) (ids []string) {
	t.Helper()
	for i := range n {
		ids = append(ids, created(t, s, newUser(fmt.Sprint("person", i), ""))["id"].(string))
	}
	return ids
}

// shownMembers returns the ids of the members that an answer has.
func shownMembers(t *testing.T, a servertest.Answer) (ids []string) {
	t.Helper()
	var g struct{ Members []struct{ Value string } }
	a.Decode(t, &g)
	for _, m := range g.Members {
		ids = append(ids, m.Value)
	}
	return ids
}

// TestGroupWriteIsRepeated: a write of members with an idempotency key is executed once, in one transaction with the record of its answer,
// which is what a GET shows.
func TestGroupWriteIsRepeated(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		ids := people(t, s, 4)
		versions := func() (all []int64) {
			for _, id := range ids {
				all = append(all, userWith(t, s, id).Version)
			}
			return all
		}
		for i, c := range []struct {
			method, path, body string
			status             int
			members            []string
			changed            string
		}{
			{http.MethodPut, reporters + "?attributes=members", putOf(ids[2], ids[0]), 200, []string{ids[0], ids[2]}, "members"},
			{http.MethodPatch, reporters, adding(ids[1]), 204, []string{ids[0], ids[1], ids[2]}, "members"},
			{http.MethodPatch, reporters + "?attributes=members", operations(`{"op":"remove","path":"members","value":[` + membersOf(ids[0]) + `]},{"op":"add","value":{"members":[` + membersOf(ids[3]) + `]}}`),
				200, []string{ids[1], ids[2], ids[3]}, "members"},
			{http.MethodPut, reporters, fmt.Sprintf(`{"schemas":[%q],"displayName":"ROLE_REPORT"}`, groupURN), 200, []string{ids[1], ids[2], ids[3]}, ""},
			{http.MethodPut, reporters + "?attributes=members", putOf(), 200, nil, "members"},
		} {
			key := fmt.Sprint("key", i)
			before := versions()
			dry := ask(s, c.method, "/dry-run"+c.path, c.body)
			if got := versions(); !slices.Equal(got, before) {
				t.Errorf("%s %s: a dry run has changed versions %v to %v", c.method, c.body, before, got)
			}
			first := ask(s, c.method, c.path, c.body, "Idempotency-Key", key, "If-Match", "*")
			if first.Status != c.status || dry.Status != c.status || dry.Body != first.Body {
				t.Fatalf("%s %s: %d %s, and as a dry run %d %s", c.method, c.body, first.Status, first.Body, dry.Status, dry.Body)
			}
			first.ExpectHeader(t, "Dragoman-Changed", c.changed)
			dry.ExpectHeader(t, "Dragoman-Changed", c.changed)
			after := versions()
			if c.status == http.StatusOK && strings.Contains(c.path, "?") && !slices.Equal(shownMembers(t, first), c.members) {
				t.Errorf("%s: %s, want %v", c.body, first.Body, c.members)
			}
			if got := shownMembers(t, ask(s, http.MethodGet, reporters+"?attributes=members", "")); !slices.Equal(got, c.members) {
				t.Errorf("%s: members are %v, want %v", c.body, got, c.members)
			}
			// Meanwhile another client makes somebody else a member: a retry does not undo it.
			if a := ask(s, http.MethodPatch, path+"/Groups/ROLE_READ_ONLY", adding(ids[i%4])); a.Status != http.StatusNoContent {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			now := versions()
			again := ask(s, c.method, c.path, c.body, "Idempotency-Key", `"`+key+`"`, "If-Match", "*")
			again.ExpectHeader(t, "Idempotency-Replayed", "true")
			again.ExpectHeader(t, "Dragoman-Changed", c.changed)
			if again.Status != first.Status || again.Body != first.Body || !slices.Equal(versions(), now) {
				t.Errorf("%s again: %d %s; versions were %v, then %v and %v", c.body, again.Status, again.Body, after, now, versions())
			}
			if a := ask(s, c.method, c.path, c.body+" ", "Idempotency-Key", key, "If-Match", "*"); a.Status != http.StatusUnprocessableEntity {
				t.Errorf("another request with the key: %d %s", a.Status, a.Body)
			}
			// What is refused is not kept.
			refused := ask(s, c.method, c.path, c.body, "Idempotency-Key", "refused"+key, "If-Match", `"1"`)
			expectError(t, refused, http.StatusPreconditionFailed, "", "")
		}
	})
}

// TestGroupWriteUnderWay sends the same request many times at once, with one key and with many: the members are changed once, and every
// answer is a success.
func TestGroupWriteUnderWay(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		ids := people(t, s, 5)
		for _, key := range []func(i int) string{func(int) string { return "one" }, func(i int) string { return fmt.Sprint("key", i) }} {
			if a := ask(s, http.MethodPut, reporters, putOf()); a.Status != http.StatusOK {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			before := userWith(t, s, ids[0]).Version
			var all sync.WaitGroup
			for i := range 8 {
				all.Go(func() {
					for {
						a := ask(s, http.MethodPatch, reporters, adding(ids...), "Idempotency-Key", key(i))
						if a.Status == http.StatusServiceUnavailable {
							continue // too many writers of the users
						}
						if a.Status != http.StatusNoContent {
							t.Errorf("%d %s", a.Status, a.Body)
						}
						return
					}
				})
			}
			all.Wait()
			for _, id := range ids {
				if u := userWith(t, s, id); u.Version != before+1 || u.Roles != store.Roles(12) {
					t.Errorf("%+v, which was at version %d", u, before)
				}
			}
		}
	})
}

// TestGroupReplacesTheAdministrator: the rule of the last administrator is about what a request leaves, and a dry run knows it.
func TestGroupReplacesTheAdministrator(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		next := created(t, s, newUser("next", ""))["id"].(string)
		administrators := path + "/Groups/ROLE_COMPANY_ADMIN"
		put := strings.Replace(putOf(next), "ROLE_REPORT", "ROLE_COMPANY_ADMIN", 1)
		for _, prefix := range []string{"/dry-run", ""} {
			for _, body := range []string{
				operations(`{"op":"remove","path":"members"}`),
				operations(fmt.Sprintf(`{"op":"remove","path":"members[value eq \"%s\"]"}`, servertest.GraceUUID)),
			} {
				expectError(t, ask(s, http.MethodPatch, prefix+administrators, body), http.StatusBadRequest, "mutability", "roles must leave the customer an active administrator")
			}
			if a := ask(s, http.MethodPut, prefix+administrators, put); a.Status != http.StatusOK {
				t.Errorf("%s: %d %s", prefix, a.Status, a.Body)
			}
		}
		if grace := s.FindUser(t, servertest.Grace); grace.Roles.Has(2) {
			t.Errorf("%+v", grace)
		}
	})
}

// TestGroupFilters: those that identity providers ask by, and what cannot be told without all members.
func TestGroupFilters(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		id := people(t, s, 1)[0]
		if a := ask(s, http.MethodPatch, reporters, adding(id)); a.Status != http.StatusNoContent {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		for filter, want := range map[string]string{
			`displayName eq "ROLE_REPORT"`:                                                    "ROLE_REPORT",
			`displayName eq "role_report"`:                                                    "", // the names of roles are exact
			`id eq "ROLE_REPORT" and members eq "` + id + `"`:                                 "ROLE_REPORT",
			`members.value eq "` + id + `"`:                                                   "ROLE_REPORT",
			`members[value eq "` + id + `"]`:                                                  "ROLE_REPORT",
			`id eq ROLE_USER and members eq "` + id + `"`:                                     "",
			`not (members eq "` + id + `") and displayName sw "ROLE_RE"`:                      "ROLE_READ_ONLY",
			`members eq "nobody"`:                                                             "",
			`members eq "` + servertest.AlanUUID.String() + `"`:                               "", // another customer's
			`meta.resourceType eq "Group" and displayName ew "REPORT"`:                        "ROLE_REPORT",
			`externalId eq "ROLE_REPORT"`:                                                     "",
			`urn:ietf:params:scim:schemas:core:2.0:Group:displayName eq "ROLE_REPORT"`:        "ROLE_REPORT",
			`displayName eq "ROLE_REPORT" or displayName eq "ROLE_NOBODY" and members eq "x"`: "ROLE_REPORT",
		} {
			a := ask(s, http.MethodGet, path+"/Groups?"+url.Values{"filter": {filter}, "excludedAttributes": {"members"}}.Encode(), "")
			var page struct{ Resources []struct{ ID string } }
			a.Decode(t, &page)
			var got []string
			for _, g := range page.Resources {
				got = append(got, g.ID)
			}
			if a.Status != http.StatusOK || strings.Join(got, " ") != want {
				t.Errorf("%s: %d %v, want %s", filter, a.Status, got, want)
			}
		}
		for _, filter := range []string{
			`members pr`, `members ne "` + id + `"`, `members co "a"`, `members.type eq "User"`, `members.display eq "x"`, `members eq null`,
			`members[type eq "User"]`, `members[not (value eq "` + id + `")]`, `members[value eq "` + id + `"].display eq "x"`, `not (members pr)`,
		} {
			a := ask(s, http.MethodGet, path+"/Groups?"+url.Values{"filter": {filter}}.Encode(), "")
			expectError(t, a, http.StatusBadRequest, "invalidFilter", "members can be compared by eq alone")
		}
	})
}

// TestGroupsIgnoreWhatTheyDoNotStore, and say so.
func TestGroupsIgnoreWhatTheyDoNotStore(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	id := people(t, s, 1)[0]
	for _, c := range []struct{ method, body, ignored string }{
		{http.MethodPatch, operations(`{"op":"replace","value":{"id":"ROLE_REPORT","displayName":"ROLE_REPORT","externalId":"00g1","schemas":[]}},{"op":"add","path":"title","value":"x"}`), "externalId, title"},
		{http.MethodPatch, operations(`{"op":"add","path":"urn:ietf:params:scim:schemas:core:2.0:Group:members","value":[` + membersOf(id) + `]}`), ""},
		{http.MethodPatch, operations(`{"op":"add","path":"` + groupURN + `","value":{"members":[` + membersOf(id) + `]}}`), ""},
		{http.MethodPut, strings.Replace(putOf(id), "{", `{"id":"x","externalId":"00g1","meta":{"resourceType":"Group","version":"W/\"1\""},`, 1), "externalId, id, meta"},
		{http.MethodPut, strings.Replace(putOf(id), "{", `{"id":"ROLE_REPORT","externalId":null,"meta":{"resourceType":"Group"},`, 1), ""},
	} {
		a := ask(s, c.method, reporters, c.body)
		if a.Status/100 != 2 || a.Header.Get("Dragoman-Ignored") != c.ignored {
			t.Errorf("%s: %d %v %s", c.body, a.Status, a.Header["Dragoman-Ignored"], a.Body)
		}
		strict := ask(s, c.method, reporters, c.body, "Prefer", "handling=strict")
		if (strict.Status == http.StatusBadRequest) != (c.ignored != "") {
			t.Errorf("%s strictly: %d %s", c.body, strict.Status, strict.Body)
		}
	}
	if u := userWith(t, s, id); u.Roles != store.Roles(12) {
		t.Errorf("%+v", u)
	}
}

// TestGroupBounds: what is too much is refused before anything is looked up, and by the kind that says so.
func TestGroupBounds(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	many := func(n int) (ids []string) {
		for i := range n {
			ids = append(ids, fmt.Sprintf("00000000-0000-4000-8000-%012d", i))
		}
		return ids
	}
	short := func(n int) string { return "[" + strings.Repeat(`{"value":"x"},`, n-1) + `{"value":"x"}]` }
	for _, c := range []struct {
		method, body string
		status       int
		kind, detail string
	}{
		{http.MethodPut, putOf(many(1001)...), 400, "tooMany", "members must have at most 1000 items"},
		{http.MethodPatch, adding(many(1001)...), 400, "tooMany", "members must concern at most 1000 users in a request"},
		{http.MethodPost, putOf(many(1001)...), 400, "tooMany", "members must have at most 1000 items"},
		{http.MethodPut, putOf(many(1000)...), 400, "invalidValue", "members.0.value is no user of the customer"},
		{http.MethodPut, strings.Replace(putOf(), "[]", short(100_000), 1), 413, "", "too large"},
		{http.MethodPatch, operations(`{"op":"add","path":"members","value":` + short(100_000) + `}`), 413, "", "too large"},
		{http.MethodPatch, operations(`{"op":"add","path":"members","value":` + short(8192) + `}`), 400, "invalidSyntax", "values"},
	} {
		at := reporters
		if c.method == http.MethodPost {
			at = path + "/Groups"
		}
		expectError(t, ask(s, c.method, at, c.body), c.status, c.kind, c.detail)
	}
}
