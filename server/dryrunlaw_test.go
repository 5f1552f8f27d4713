package server_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

// TestDryRunEqualsRealCall: a dry run is answered as the real call that is made right after it, and moves no version. The calls are
// generated from the descriptions, so that they go over the writes of every dialect: good and bad bodies, headers, users and callers.
func TestDryRunEqualsRealCall(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		g := newCallGenerator(t, s)
		statuses := map[int]int{}
		for range trials(t, 250) {
			r, claims := g.call(t)
			before := g.versions(t)
			dry := trial(t, s, claims, r)
			if after := g.versions(t); after != before {
				t.Errorf("a dry run has moved versions from\n%s\nto\n%s", before, after)
			}
			real := s.Ask(claims, r)
			g.compare(t, r, dry, real)
			statuses[real.Status]++
			if t.Failed() {
				t.Fatalf("%s %s %v\n%s\nas a dry run is %d %v %s\nand really %d %v %s", r.Method, r.Path, r.Header, r.Body, dry.Status, dry.Header, dry.Body, real.Status, real.Header, real.Body)
			}
		}
		t.Logf("statuses: %v", statuses)
		for _, status := range []int{200, 400, 403, 412} {
			if statuses[status] == 0 {
				t.Errorf("no call was answered %d: %v", status, statuses)
			}
		}
	})
}

// callGenerator generates writes.
type callGenerator struct {
	*rand.Rand
	s       *servertest.Server
	writes  []writing
	users   []store.User
	created int
}

type writing struct {
	description.Operation
	api  description.API
	body description.Body
}

func newCallGenerator(t testing.TB, s *servertest.Server) *callGenerator {
	t.Helper()
	g := &callGenerator{Rand: seeded(t), s: s}
	for _, d := range servertest.Dialects() {
		for _, id := range append([]string{d.Create}, d.Updates...) {
			if id != "" {
				b, _ := d.Request(id)
				g.writes = append(g.writes, writing{servertest.Operation(t, d.API, id), d.API, b})
			}
		}
	}
	for i, roles := range []store.RoleSet{store.Roles(2, 3), store.Roles(3), store.Roles(1, 2, 3), store.Roles(11)} {
		u := store.User{
			FirstName: "Ada", Username: fmt.Sprint("user", i), Email: fmt.Sprintf("user%d@example.com", i), Roles: roles, Status: store.StatusActive,
			AccountNonExpired: true, AccountNonLocked: true, CredentialNonExpired: true, VCSPassword: new("vcs"),
		}
		g.users = append(g.users, s.CreateUser(t, u))
	}
	g.users = append(g.users, s.FindUser(t, servertest.Ada), s.FindUser(t, servertest.Grace))
	return g
}

// versions is the present version of each user.
func (g *callGenerator) versions(t testing.TB) string {
	t.Helper()
	var all []string
	for _, u := range g.users {
		all = append(all, fmt.Sprint(u.ID, " ", g.s.FindUser(t, u.ID).Version))
	}
	return strings.Join(all, ", ")
}

// rarely is true once in n times.
func (g *callGenerator) rarely(n int) bool { return g.IntN(n) == 0 }

func (g *callGenerator) call(t testing.TB) (servertest.Request, auth.Claims) {
	t.Helper()
	w := g.writes[g.IntN(len(g.writes))]
	// The user as it is, as what was generated before may have changed it.
	u := g.s.FindUser(t, g.users[g.IntN(len(g.users))].ID)
	subject := of(sandbox, party{id: u.ID, uuid: u.UUID.String()})
	switch {
	case g.rarely(15):
		subject = of(sandbox, nobody)
	case g.rarely(30):
		subject = of(elsewhere, alan)
	}
	r := servertest.Request{Method: w.Method}
	r.Path, r.Header = w.About(subject)
	r.Body = w.body.Around(servertest.Encode(t, g.members(t, w, u)))
	switch {
	case g.rarely(30):
		r.Body = r.Body[:len(r.Body)/2]
	case g.rarely(30):
		r.Header.Set("Content-Type", "text/plain")
	case g.rarely(60):
		r.Body = strings.Repeat(" ", 300<<10)
	}
	older := max(u.Version-int64(1+g.IntN(4)), 1)
	g.maybe(r.Header, 3, "If-Match", fmt.Sprintf(`"%d"`, u.Version), fmt.Sprintf(`"%d"`, older), fmt.Sprintf(`"%d"`, older), fmt.Sprintf(`"%d", "%d"`, older, u.Version+1), "*", `"x"`, "x")
	g.maybe(r.Header, 8, "If-None-Match", fmt.Sprintf(`"%d"`, u.Version), fmt.Sprintf(`"%d"`, older), "*", "x")
	g.maybe(r.Header, 2, "Prefer", "merge=untouched", "merge=untouched", "handling=strict", "handling=strict, merge=untouched", "x")
	g.maybe(r.Header, 25, "Authorization", "Bearer x")
	return r, g.caller()
}

// maybe sets a header to one of some values, once in n times.
func (g *callGenerator) maybe(h http.Header, n int, name string, values ...string) {
	if g.rarely(n) {
		h.Set(name, anyOf(g.Rand, values...))
	}
}

func (g *callGenerator) caller() auth.Claims {
	everything := []auth.Permission{auth.PermissionRead, auth.PermissionWrite, auth.PermissionCreate}
	claims := auth.Claims{Subject: "caller", Customers: []string{"3393"}, Expires: time.Hour}
	switch g.IntN(12) {
	case 0:
		claims.Permissions, claims.Authorities = everything, []string{"ROLE_USER"}
	case 1:
		claims.Permissions, claims.Authorities = everything[1:2], []string{"ROLE_COMPANY_ADMIN"}
	case 2:
		claims.Permissions = everything[:1]
	case 3:
		claims.Permissions = everything
	case 4:
		claims.Customers = []string{"3394"}
		claims.Authorities = []string{"ROLE_ADMIN"}
	case 5: // one of the users, who may have been deactivated
		id := g.users[g.IntN(len(g.users))].UUID
		claims.UserID, claims.Authorities = &id, []string{"ROLE_COMPANY_ADMIN"}
	case 6, 7:
		claims.Authorities = []string{"ROLE_COMPANY_ADMIN"}
	default:
		claims.Authorities = []string{"ROLE_ADMIN"}
	}
	return claims
}

// members are those of a body for an operation about a user.
func (g *callGenerator) members(t testing.TB, w writing, u store.User) map[string]any {
	t.Helper()
	body := map[string]any{}
	if w.OperationID != w.api.Create && (w.body.Whole() || g.rarely(6)) {
		_, shown := g.s.Show(t, w.api, servertest.Administrator(), of(sandbox, party{id: u.ID, uuid: u.UUID.String()}))
		body = servertest.Project(t, w.body, shown)
		for name, value := range body {
			if value == nil {
				delete(body, name)
			}
		}
	}
	for _, m := range w.body.Members {
		if m.Field == "" && m.Effect != description.Reads || m.Effect == description.Names {
			continue // what is in it has a field, or the object that it is in
		}
		if m.Required && (w.OperationID == w.api.Create || m.Effect == description.Reads) || g.rarely(4) {
			description.Set(body, m.Path, g.value(w, m, u))
		}
	}
	switch {
	case g.rarely(12):
		body["shoe_size"] = 38
	case g.rarely(30) && len(w.body.Members) > 0:
		path := w.body.Members[g.IntN(len(w.body.Members))].Path
		top, _, _ := strings.Cut(path, ".")
		delete(body, strings.TrimSuffix(top, "[]"))
		description.Set(body, path, anyOf[any](g.Rand, nil, 1, "x", []any{}, map[string]any{}))
	case g.rarely(30):
		for name := range body {
			delete(body, name)
			break
		}
	}
	return body
}

// value is one for a member of a body, sometimes a wrong one. Names are few, so that they are often somebody's.
func (g *callGenerator) value(w writing, m description.Member, u store.User) any {
	g.created++
	bad := g.rarely(15)
	text := func(good []string, wrong ...string) any {
		if bad {
			return anyOf(g.Rand, wrong...)
		}
		return anyOf(g.Rand, good...)
	}
	if m.Effect == description.Reads {
		if bad {
			return anyOf[any](g.Rand, nil, "x", []any{}, []any{"x"})
		}
		return w.api.Samples("")[m.Path]
	}
	switch m.Field {
	case "FirstName", "LastName":
		return text([]string{"Ada", "Grace", "Ünïcödé", ""}, strings.Repeat("x", 256), "a\u0000b")
	case "Email":
		return text([]string{u.Email, strings.ToUpper(u.Email), g.users[g.IntN(len(g.users))].Email, fmt.Sprintf("call%d@example.com", g.created)}, "no mail", "a@xn--a.example")
	case "Username":
		return text([]string{u.Username, g.users[g.IntN(len(g.users))].Username, u.Email, fmt.Sprint("call", g.created)}, "with space", "")
	case "Mobile":
		return text([]string{"", "1", "2"}, strings.Repeat("1", 65))
	case "Status":
		if _, flag := w.api.Samples("")[m.Path].(bool); flag {
			return g.rarely(2)
		}
		return text([]string{"ACTIVE", "ACTIVE", "INACTIVE"}, "INVITED", "x")
	case "AccountNonExpired", "AccountNonLocked", "CredentialNonExpired":
		return !g.rarely(4)
	case "PasswordHash":
		return text([]string{"pa55Word!", "Another-Password"}, "weak")
	case "VCSPassword":
		return text([]string{"vcs", "other", ""}, "a\u0000b")
	case "Roles":
		return g.roles(w)
	case "ExternalID", "DisplayName":
		return text([]string{"", "one", "two"}, strings.Repeat("x", 257), "a\u0000b")
	case "ID", "UUID", "CustomerID", "CreatedAt", "LastPasswordResetAt":
		if !bad {
			return nil
		}
		return anyOf[any](g.Rand, 1, "x", u.ID)
	}
	return anyOf[any](g.Rand, nil, "x")
}

// roles is a value of the member that names roles: an array of objects, or one object.
func (g *callGenerator) roles(w writing) any {
	naming := slices.DeleteFunc(slices.Clone(w.body.Members), func(m description.Member) bool { return m.Effect != description.Names })
	all := g.s.Store.Catalogue().In(store.Roles(1, 2, 3, 4, 5, 11, 12))
	one := func() map[string]any {
		role := all[g.IntN(len(all))]
		if role.SubroleCode == nil && !strings.Contains(naming[0].Path, "[]") {
			role = all[g.IntN(3)]
		}
		named := map[string]any{}
		for _, m := range naming {
			name := m.Path[strings.LastIndex(m.Path, ".")+1:]
			switch m.Field {
			case "Role.Name":
				named[name] = role.Name
			case "Role.SubroleCode":
				named[name] = *role.SubroleCode
			case "Role.SubroleUUID":
				named[name] = role.SubroleUUID.String()
			}
			if g.rarely(60) {
				named[name] = "x"
			}
		}
		for _, m := range w.body.Members {
			if m.Field == "Role.SubroleLabel" {
				named[m.Path[strings.LastIndex(m.Path, ".")+1:]] = ""
			}
		}
		return named
	}
	if !strings.Contains(naming[0].Path, "[]") {
		return one()
	}
	some := []any{}
	for range g.IntN(3) {
		some = append(some, one())
	}
	return some
}

// What is not the same in two answers: times, and of a user who was not created the id, with what is made of it.
var (
	perCall     = regexp.MustCompile(`"(timestamp|lastPasswordResetDate|user_id|lastModified)":("[^"]*"|\d+|null)`)
	perCreation = regexp.MustCompile(`"(id|created|location)":"[^"]*"`)
)

// compare holds the answer to a dry run against that to the real call, secrets excepted.
func (g *callGenerator) compare(t testing.TB, r servertest.Request, dry, real servertest.Answer) {
	t.Helper()
	saysPassword := strings.Contains(r.Body, `"newPassword"`)
	if saysPassword && dry.Status == http.StatusOK && (strings.Contains(real.Body, "password is not the present one") || real.Status == http.StatusTooManyRequests) {
		return // a dry run does not check it
	}
	changed := func(a servertest.Answer) string {
		names := strings.Split(a.Header.Get("Dragoman-Changed"), ", ")
		return strings.Join(slices.DeleteFunc(names, func(name string) bool {
			return slices.Contains([]string{"newPassword", "vcsPassword", "lastPasswordResetDate"}, name)
		}), ", ")
	}
	if dry.Status != real.Status || changed(dry) != changed(real) {
		t.Errorf("the status is %d, and really %d; Dragoman-Changed is %q, and really %q", dry.Status, real.Status, changed(dry), changed(real))
	}
	for _, name := range []string{"Dragoman-Ignored", "Dragoman-Conflict", "Preference-Applied", "Content-Type", "Cache-Control", "Allow", "Accept", "Accept-Patch", "Retry-After", "WWW-Authenticate"} {
		if got, want := dry.Header.Values(name), real.Header.Values(name); !slices.Equal(got, want) {
			t.Errorf("%s is %q, and really %q", name, got, want)
		}
	}
	if real.Status >= http.StatusBadRequest {
		if got, want := dry.Header.Get("ETag"), real.Header.Get("ETag"); got != want {
			t.Errorf("the ETag of an error is %q, and really %q", got, want)
		}
	}
	same := func(a servertest.Answer) string {
		body := perCall.ReplaceAllString(a.Body, "")
		if a.Status == http.StatusCreated {
			body = perCreation.ReplaceAllString(body, "")
		}
		return body
	}
	if got, want := same(dry), same(real); got != want {
		t.Errorf("the body is\n%s\nand really\n%s", got, want)
	}
}
