package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

// Whatever is sent through either dialect, in whatever order, the server answers and holds what the model says.
func TestServerMatchesModel(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		var runs atomic.Int64
		rapid.Check(t, func(rt *rapid.T) {
			m := newMachine(rt, s, runs.Add(1))
			rt.Repeat(map[string]func(*rapid.T){
				"Worth POST":                 m.create,
				"Worth PATCH":                m.patch,
				"Worth GET":                  m.getWorth,
				"Worth list":                 m.listWorth,
				"Testinium PUT":              m.put,
				"Testinium GET":              m.getTestinium,
				"Testinium PUT of GET":       m.putOfGet,
				"Testinium list":             m.listTestinium,
				"a body that no rule allows": m.refused,
			})
			m.listTestinium(rt)
			m.listWorth(rt)
		})
	})
}

// machine is one run against a customer of its own.
type machine struct {
	model
	server   *servertest.Server
	run      int64
	customer store.Customer
	company  store.Company
	header   http.Header
}

func newMachine(t *rapid.T, s *servertest.Server, run int64) *machine {
	m := &machine{server: s, run: run, customer: store.Customer{Name: "Customer"}}
	ctx := context.Background()
	if err := s.Store.CreateCustomer(ctx, &m.customer); err != nil {
		t.Fatal(err)
	}
	m.company = store.Company{CustomerID: m.customer.ID, Name: "Company"}
	if err := s.Store.CreateCompany(ctx, &m.company); err != nil {
		t.Fatal(err)
	}
	claims := servertest.Manager()
	claims.Customers = []string{strconv.FormatInt(m.customer.ID, 10)}
	m.header = http.Header{
		"Authorization":      {"Bearer " + s.Token(claims)},
		"Current-Company-Id": {strconv.FormatInt(m.company.ID, 10)},
	}
	// One who ranks above the caller, which no request of this caller can make.
	owner := store.User{
		CustomerID: m.customer.ID, FirstName: "Owner", Username: m.name("owner"), Email: m.name("owner") + "@example.com",
		Roles: store.Roles(1, 2, 3), Status: store.StatusActive,
		AccountNonExpired: true, AccountNonLocked: true, CredentialNonExpired: rapid.Bool().Draw(t, "the owner counts"),
	}
	if err := s.Store.CreateUser(ctx, &owner); err != nil {
		t.Fatal(err)
	}
	m.users = append(m.users, &modelUser{
		id: owner.ID, uuid: owner.UUID.String(), first: owner.FirstName, username: owner.Username, email: owner.Email,
		roles: []string{"ROLE_ADMIN", "ROLE_COMPANY_ADMIN", "ROLE_USER"}, status: "ACTIVE",
		accountNonExpired: true, accountNonLocked: true, credNonEx: owner.CredentialNonExpired, version: 1,
	})
	return m
}

// name makes a name that no other run uses.
func (m *machine) name(stem string) string { return fmt.Sprintf("%s.%d", stem, m.run) }

func (m *machine) user(t *rapid.T) *modelUser { return rapid.SampledFrom(m.users).Draw(t, "user") }

// The pools are small, so that what is drawn is often there already, in this case or another.
func (m *machine) drawEmail(t *rapid.T) string {
	return m.name(rapid.SampledFrom([]string{"a", "A", "b", "B", "c"}).Draw(t, "email")) + "@example.com"
}

func (m *machine) drawUsername(t *rapid.T) string {
	if rapid.Bool().Draw(t, "username is an e-mail") {
		return m.drawEmail(t)
	}
	return m.name(rapid.SampledFrom([]string{"x", "X", "y", "z"}).Draw(t, "username"))
}

var (
	drawText   = rapid.SampledFrom([]string{"", "Ada", "Grace", "Ünïcödé ß", "<&>", "𝔸"})
	drawMobile = rapid.SampledFrom([]string{"", "+44 20 7946 0000", "1"})
	drawCode   = rapid.SampledFrom([]string{"owner", "cro", "risk_analyst", "risk_analyst"})
	drawRoles  = rapid.SliceOfN(rapid.SampledFrom([]string{
		"ROLE_COMPANY_ADMIN", "ROLE_USER", "ROLE_RUN_TEST", "ROLE_READ_ONLY", "ROLE_USER", "ROLE_COMPANY_ADMIN", "ROLE_ADMIN",
	}), 0, 4)
)

func (m *machine) worth(path string) string {
	return "/auth/api/v1/customers/" + m.customer.UUID.String() + path
}

func (m *machine) testinium(path string) string {
	return "/account/api/v1/customers/" + strconv.FormatInt(m.customer.ID, 10) + path
}

func (m *machine) send(t *rapid.T, method, path string, body any, header http.Header) servertest.Answer {
	t.Helper()
	r := servertest.Request{Method: method, Path: path, Header: m.header.Clone()}
	for name, values := range header {
		r.Header[name] = values
	}
	switch body := body.(type) {
	case nil:
	case raw:
		r.Body = string(body)
	default:
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		r.Body = string(text)
	}
	return m.server.Send(r)
}

func (m *machine) create(t *rapid.T) {
	code := drawCode.Draw(t, "subrole")
	u := &modelUser{
		first: drawText.Draw(t, "first"), last: drawText.Draw(t, "last"), email: m.drawEmail(t), mobile: drawMobile.Draw(t, "mobile"),
		status: "INVITED", accountNonExpired: true, accountNonLocked: true, credNonEx: true, firstLogin: true, version: 1,
	}
	m.setSubrole(u, code)
	role, _ := m.server.Store.Catalogue().BySubroleCode(code)
	body := map[string]any{
		"first_name": u.first, "last_name": u.last, "email": u.email,
		"subrole": map[string]any{"id": role.SubroleUUID.String(), "code": code, "label": "whatever"},
	}
	if u.mobile != "" {
		body["mobile"] = u.mobile
	}
	a := m.send(t, "POST", m.worth("/users"), body, nil)
	want := 200
	switch {
	case code == "owner":
		want = 403
	case m.taken(u.email, nil, func(u *modelUser) string { return u.email }):
		want = 400
	}
	m.expectStatus(t, a, want)
	if want != 200 {
		return
	}
	var created struct {
		Data struct {
			UserID string `json:"user_id"`
		}
	}
	a.Decode(t, &created)
	u.uuid = created.Data.UserID
	u.username = u.email
	if m.taken(u.email, nil, func(u *modelUser) string { return u.username }) {
		u.username = u.uuid
	}
	key, err := m.server.Store.LocateUser(context.Background(), u.uuid)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := m.server.Store.FindUser(context.Background(), key)
	if err != nil {
		t.Fatal(err)
	}
	u.id = stored.ID
	m.users = append(m.users, u)
	m.expectETag(t, a, u)
}

func (m *machine) patch(t *rapid.T) {
	before := m.user(t)
	after := before.clone()
	body := map[string]any{}
	set := func(name string) bool { return rapid.IntRange(0, 2).Draw(t, name+"?") == 0 }
	if set("first_name") {
		after.first = drawText.Draw(t, "first")
		body["first_name"] = after.first
	}
	if set("last_name") {
		after.last = drawText.Draw(t, "last")
		body["last_name"] = after.last
	}
	if set("mobile") {
		after.mobile = drawMobile.Draw(t, "mobile")
		body["mobile"] = after.mobile
	}
	if set("email") {
		after.email = m.drawEmail(t)
		body["email"] = after.email
	}
	if set("subrole") {
		code := drawCode.Draw(t, "subrole")
		m.setSubrole(after, code)
		body["subrole"] = map[string]any{"code": code}
	}
	if set("status") || len(body) == 0 {
		after.status = rapid.SampledFrom([]string{"ACTIVE", "INACTIVE"}).Draw(t, "status")
		body["status"] = after.status
	}
	m.follow(before, after)
	ifMatch := m.drawIfMatch(t, before)
	a := m.send(t, "PATCH", m.worth("/users/"+before.uuid), body, ifMatchHeader(ifMatch))
	m.expect(t, a, before, m.decide(before, after, ifMatch, worthNames))
}

// drawIfMatch draws a version to insist on: mostly none, sometimes the present one or the one before.
func (m *machine) drawIfMatch(t *rapid.T, u *modelUser) int64 {
	switch rapid.IntRange(0, 5).Draw(t, "If-Match") {
	case 0:
		return u.version
	case 1:
		return u.version + 1
	}
	return 0
}

func ifMatchHeader(version int64) http.Header {
	if version == 0 {
		return nil
	}
	return http.Header{"If-Match": {fmt.Sprintf(`"%d"`, version)}}
}

func (m *machine) put(t *rapid.T) {
	before := m.user(t)
	after := before.clone()
	after.first, after.last = drawText.Draw(t, "first"), drawText.Draw(t, "last")
	if rapid.Bool().Draw(t, "renamed") {
		after.username = m.drawUsername(t)
	}
	if rapid.Bool().Draw(t, "readdressed") {
		after.email = m.drawEmail(t)
	}
	enabled := rapid.Bool().Draw(t, "enabled")
	if enabled {
		after.status = "ACTIVE"
	} else if before.status == "ACTIVE" {
		after.status = "INACTIVE"
	}
	after.accountNonExpired = rapid.IntRange(0, 3).Draw(t, "accountNonExpired") > 0
	after.accountNonLocked = rapid.IntRange(0, 3).Draw(t, "accountNonLocked") > 0
	after.credNonEx = rapid.IntRange(0, 3).Draw(t, "credentialNonExpired") > 0
	names := drawRoles.Draw(t, "authorities")
	after.roles = sortedRoles(names)
	authorities := []any{}
	for _, name := range names {
		// The ids are another service's, and mean nothing.
		authorities = append(authorities, map[string]any{"entityId": rapid.IntRange(1, 12).Draw(t, "entityId"), "name": name})
	}
	body := map[string]any{
		"name": after.first, "surname": after.last, "username": after.username, "email": after.email, "enabled": enabled,
		"accountNonExpired": after.accountNonExpired, "accountNonLocked": after.accountNonLocked,
		"credentialNonExpired": after.credNonEx, "authorities": authorities,
	}
	if rapid.IntRange(0, 5).Draw(t, "newPassword") == 0 {
		body["newPassword"] = "New-password"
		after.passwords++
	}
	if vcs := rapid.SampledFrom([]any{nil, nil, "", "one", "two"}).Draw(t, "vcsPassword"); vcs != nil {
		body["vcsPassword"] = vcs
		after.vcs = vcs.(string)
	}
	ifMatch := m.drawIfMatch(t, before)
	a := m.send(t, "PUT", m.testinium(fmt.Sprintf("/users/%d", before.id)), body, ifMatchHeader(ifMatch))
	if m.expect(t, a, before, m.decide(before, after, ifMatch, testiniumNames)) {
		m.expectTestinium(t, a.Body, before, nil)
	}
}

// expect holds the answer of a write against the model's decision, and tells whether the write went through; before then
// is what the user has become.
func (m *machine) expect(t *rapid.T, a servertest.Answer, before *modelUser, c change) bool {
	t.Helper()
	m.expectStatus(t, a, c.status)
	if c.status != 200 {
		return false
	}
	if got := a.Header.Get("Dragoman-Changed"); got != strings.Join(c.changed, ", ") {
		t.Fatalf("Dragoman-Changed is %q, want %q", got, strings.Join(c.changed, ", "))
	}
	*before = *c.after
	m.expectETag(t, a, before)
	return true
}

func (m *machine) expectStatus(t *rapid.T, a servertest.Answer, want int) {
	t.Helper()
	if a.Status != want {
		t.Fatalf("%d %s, want %d", a.Status, a.Body, want)
	}
}

func (m *machine) expectETag(t *rapid.T, a servertest.Answer, u *modelUser) {
	t.Helper()
	if got, want := a.Header.Get("ETag"), fmt.Sprintf(`"%d"`, u.version); got != want {
		t.Fatalf("ETag is %s, want %s", got, want)
	}
}

// get reads a user, sometimes with a version that the caller has already, and tells whether the answer has a body.
func (m *machine) get(t *rapid.T, path string, u *modelUser) (servertest.Answer, bool) {
	t.Helper()
	header, want := http.Header{}, 200
	switch rapid.IntRange(0, 3).Draw(t, "If-None-Match") {
	case 0:
		header.Set("If-None-Match", fmt.Sprintf(`"%d"`, u.version))
		want = 304
	case 1:
		header.Set("If-None-Match", fmt.Sprintf(`"%d"`, u.version+1))
	}
	a := m.send(t, "GET", path, nil, header)
	m.expectStatus(t, a, want)
	m.expectETag(t, a, u)
	return a, want == 200
}

func (m *machine) getWorth(t *rapid.T) {
	u := m.user(t)
	a, ok := m.get(t, m.worth("/users/"+u.uuid), u)
	if !ok {
		return
	}
	var shown struct{ Data map[string]any }
	a.Decode(t, &shown)
	m.expectWorth(t, shown.Data, u)
}

func (m *machine) expectWorth(t *rapid.T, shown map[string]any, u *modelUser) {
	t.Helper()
	for member, want := range u.worthRecord() {
		if !reflect.DeepEqual(shown[member], want) {
			t.Fatalf("%s is %v, want %v", member, shown[member], want)
		}
	}
	code := ""
	if subrole, ok := shown["subrole"].(map[string]any); ok {
		code = subrole["code"].(string)
	}
	if code != u.subrole() {
		t.Fatalf("subrole is %q, want %q", code, u.subrole())
	}
}

func (m *machine) getTestinium(t *rapid.T) {
	u := m.user(t)
	if a, ok := m.get(t, m.testinium(fmt.Sprintf("/users/%d", u.id)), u); ok {
		m.expectTestinium(t, a.Body, u, nil)
	}
}

func (m *machine) expectTestinium(t *rapid.T, body string, u *modelUser, company any) {
	t.Helper()
	var shown map[string]any
	if err := json.Unmarshal([]byte(body), &shown); err != nil {
		t.Fatal(err)
	}
	for member, want := range u.testiniumUser(m.customer.ID, company) {
		if got, ok := shown[member]; !ok || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s is %v, want %v", member, got, want)
		}
	}
	if reset := shown["lastPasswordResetDate"] != nil; reset != (u.passwords > 0) || len(shown) != 21 {
		t.Fatalf("%s", body)
	}
}

// putOfGet sends back what was read: nothing changes, and nothing was ignored.
func (m *machine) putOfGet(t *rapid.T) {
	u := m.user(t)
	path := m.testinium(fmt.Sprintf("/users/%d", u.id))
	read := m.send(t, "GET", path, nil, nil)
	m.expectStatus(t, read, 200)
	a := m.send(t, "PUT", path, json.RawMessage(read.Body), nil)
	c := m.decide(u, u.clone(), 0, testiniumNames)
	if m.expect(t, a, u, c) && (a.Body != read.Body || a.Header.Get("Dragoman-Ignored") != "" || len(c.changed) > 0) {
		t.Fatalf("%s became %s, ignored %q", read.Body, a.Body, a.Header.Get("Dragoman-Ignored"))
	}
}

func (m *machine) listTestinium(t *rapid.T) {
	a := m.send(t, "GET", m.testinium("/users/"), nil, nil)
	m.expectStatus(t, a, 200)
	var shown []json.RawMessage
	a.Decode(t, &shown)
	if len(shown) != len(m.users) {
		t.Fatalf("%d users, want %d", len(shown), len(m.users))
	}
	for i, u := range m.users {
		m.expectTestinium(t, string(shown[i]), u, m.company.Name)
	}
}

func (m *machine) listWorth(t *rapid.T) {
	size := rapid.IntRange(1, 4).Draw(t, "itemsPerPage")
	status := rapid.SampledFrom([]string{"", "ACTIVE", "INACTIVE", "INVITED"}).Draw(t, "status")
	want := slices.DeleteFunc(slices.Clone(m.users), func(u *modelUser) bool { return status != "" && u.status != status })
	filter := ""
	if status != "" {
		filter = "&" + rapid.SampledFrom([]string{"status", "search_filter[status]"}).Draw(t, "filter") + "=" + status
	}
	for page := 1; ; page++ {
		a := m.send(t, "GET", m.worth(fmt.Sprintf("/users?page=%d&itemsPerPage=%d%s", page, size, filter)), nil, nil)
		m.expectStatus(t, a, 200)
		var shown struct {
			Data struct {
				Records    []map[string]any
				TotalItems string `json:"total_items"`
			}
		}
		a.Decode(t, &shown)
		from, to := min((page-1)*size, len(want)), min(page*size, len(want))
		if shown.Data.TotalItems != strconv.Itoa(len(want)) || len(shown.Data.Records) != to-from {
			t.Fatalf("page %d: %s", page, a.Body)
		}
		for i, u := range want[from:to] {
			m.expectWorth(t, shown.Data.Records[i], u)
		}
		if from == to {
			return
		}
	}
}

// refused sends what is refused whatever the directory holds; whatever it is, nothing changes.
func (m *machine) refused(t *rapid.T) {
	u := m.user(t)
	if rapid.Bool().Draw(t, "through Worth") {
		body := rapid.SampledFrom([]string{
			`{}`, `{"first_name":null}`, `{"nobody":1}`, `{"first_name":"a","first_name":"b"}`, `{"email":"no address"}`,
			`{"status":"INVITED"}`, `{"subrole":{"label":"CRO"}}`, `{"first_name":"a","email":7}`, `[]`, ``,
		}).Draw(t, "body")
		m.expectStatus(t, m.send(t, "PATCH", m.worth("/users/"+u.uuid), raw(body), nil), 400)
		return
	}
	body := rapid.SampledFrom([]string{
		`{"name":"a"}`, `null`, `{"name":"a","surname":"b","username":"c d","email":"e@example.com","enabled":true,"accountNonExpired":true,"accountNonLocked":true,"credentialNonExpired":true,"authorities":[]}`,
		`{"name":"a","surname":"b","username":"c","email":"e@example.com","enabled":true,"accountNonExpired":true,"accountNonLocked":true,"credentialNonExpired":true,"authorities":[{"name":"ROLE_NOBODY"}]}`,
	}).Draw(t, "body")
	m.expectStatus(t, m.send(t, "PUT", m.testinium(fmt.Sprintf("/users/%d", u.id)), raw(body), nil), 400)
}

// raw is a body that is sent as it stands, whether it is JSON or not.
type raw string
