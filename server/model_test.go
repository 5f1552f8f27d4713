package server_test

import (
	"slices"
	"strings"
)

// The model that the state machine holds the server against: a directory in plain memory, that knows the rules by
// themselves and shares no code with the server.

type modelRole struct {
	id      int64
	rank    int
	subrole string // its code; "" for a role without one
	implies []string
}

var modelRoles = map[string]modelRole{
	"ROLE_ADMIN":         {1, 3, "owner", []string{"ROLE_COMPANY_ADMIN", "ROLE_USER"}},
	"ROLE_COMPANY_ADMIN": {2, 2, "cro", []string{"ROLE_USER"}},
	"ROLE_USER":          {3, 1, "risk_analyst", nil},
	"ROLE_RUN_TEST":      {4, 0, "", nil},
	"ROLE_READ_ONLY":     {11, 0, "", nil},
}

// callerRank is that of servertest.Manager.
const callerRank = 2

type modelUser struct {
	id                                             int64
	uuid                                           string
	first, last, username, email, mobile           string
	roles                                          []string // by ascending id
	status                                         string
	accountNonExpired, accountNonLocked, credNonEx bool
	verified, firstLogin                           bool
	passwords                                      int // how often one was set
	vcs                                            string
	version                                        int64
}

func (u *modelUser) clone() *modelUser {
	c := *u
	c.roles = slices.Clone(u.roles)
	return &c
}

// subrole is the code of the highest-ranked role that has one, or "".
func (u *modelUser) subrole() string {
	best, code := 0, ""
	for _, name := range u.roles {
		if r := modelRoles[name]; r.subrole != "" && r.rank > best {
			best, code = r.rank, r.subrole
		}
	}
	return code
}

func (u *modelUser) administers() bool {
	return (slices.Contains(u.roles, "ROLE_ADMIN") || slices.Contains(u.roles, "ROLE_COMPANY_ADMIN")) &&
		u.status == "ACTIVE" && u.accountNonExpired && u.accountNonLocked && u.credNonEx
}

func sortedRoles(names []string) []string {
	names = slices.Clone(names)
	slices.SortFunc(names, func(a, b string) int { return int(modelRoles[a].id - modelRoles[b].id) })
	return slices.Compact(names)
}

type model struct{ users []*modelUser } // by ascending id

// change is what a write is expected to come to.
type change struct {
	status  int
	changed []string // of a 200
	after   *modelUser
}

// decide gives what becomes of a write that turns before into after, by the rules that both dialects share.
func (m *model) decide(before, after *modelUser, ifMatch int64, names []fieldName) change {
	if ifMatch != 0 && ifMatch != before.version {
		return change{status: 412}
	}
	if !m.rankAllows(before, after) {
		return change{status: 403}
	}
	if before.administers() && !after.administers() && !m.anotherAdministrator(before) {
		return change{status: 400}
	}
	if m.taken(after.email, before, func(u *modelUser) string { return u.email }) ||
		m.taken(after.username, before, func(u *modelUser) string { return u.username }) {
		return change{status: 400}
	}
	if !strings.EqualFold(before.email, after.email) {
		after.verified = false
	}
	c := change{status: 200, changed: []string{}, after: after}
	effective := false
	for _, f := range allFields {
		if f.same(before, after) {
			continue
		}
		effective = true
		for _, n := range names {
			if n.field == f.name && n.name != "" {
				c.changed = append(c.changed, n.name)
			}
		}
	}
	if effective {
		after.version++
	}
	return c
}

func (m *model) rankAllows(before, after *modelUser) bool {
	for _, name := range before.roles {
		if modelRoles[name].rank > callerRank {
			return false
		}
	}
	for name, r := range modelRoles {
		if slices.Contains(before.roles, name) != slices.Contains(after.roles, name) && r.rank > callerRank {
			return false
		}
	}
	return true
}

func (m *model) anotherAdministrator(than *modelUser) bool {
	return slices.ContainsFunc(m.users, func(u *modelUser) bool { return u.id != than.id && u.administers() })
}

func (m *model) taken(text string, by *modelUser, of func(*modelUser) string) bool {
	return slices.ContainsFunc(m.users, func(u *modelUser) bool {
		return (by == nil || u.id != by.id) && strings.EqualFold(of(u), text)
	})
}

// follow lets the username follow the e-mail, as a write through Worth does.
func (m *model) follow(before, after *modelUser) {
	follows := before.username == before.email && after.email != before.email
	if follows && !m.taken(after.email, before, func(u *modelUser) string { return u.username }) {
		after.username = after.email
	}
}

func (m *model) setSubrole(u *modelUser, code string) {
	if u.subrole() == code {
		return
	}
	var roles []string
	for _, name := range u.roles {
		if modelRoles[name].subrole == "" {
			roles = append(roles, name)
		}
	}
	for name, r := range modelRoles {
		if r.subrole == code {
			roles = append(append(roles, name), r.implies...)
		}
	}
	u.roles = sortedRoles(roles)
}

type modelField struct {
	name string
	same func(a, b *modelUser) bool
}

// allFields are in the order in which Dragoman-Changed names them.
var allFields = []modelField{
	{"first", func(a, b *modelUser) bool { return a.first == b.first }},
	{"last", func(a, b *modelUser) bool { return a.last == b.last }},
	{"username", func(a, b *modelUser) bool { return a.username == b.username }},
	{"email", func(a, b *modelUser) bool { return a.email == b.email }},
	{"mobile", func(a, b *modelUser) bool { return a.mobile == b.mobile }},
	{"roles", func(a, b *modelUser) bool { return slices.Equal(a.roles, b.roles) }},
	{"status", func(a, b *modelUser) bool { return a.status == b.status }},
	{"accountNonExpired", func(a, b *modelUser) bool { return a.accountNonExpired == b.accountNonExpired }},
	{"accountNonLocked", func(a, b *modelUser) bool { return a.accountNonLocked == b.accountNonLocked }},
	{"credNonEx", func(a, b *modelUser) bool { return a.credNonEx == b.credNonEx }},
	{"password", func(a, b *modelUser) bool { return a.passwords == b.passwords }},
	{"vcs", func(a, b *modelUser) bool { return a.vcs == b.vcs }},
	{"verified", func(a, b *modelUser) bool { return a.verified == b.verified }},
}

// fieldName is what a dialect calls a field; a password's change has two names.
type fieldName struct{ field, name string }

var worthNames = []fieldName{
	{"first", "first_name"}, {"last", "last_name"}, {"email", "email"}, {"mobile", "mobile"}, {"roles", "subrole"},
	{"status", "status"}, {"verified", "is_email_verified"},
}

var testiniumNames = []fieldName{
	{"first", "name"}, {"last", "surname"}, {"username", "username"}, {"email", "email"}, {"roles", "authorities"},
	{"status", "enabled"}, {"accountNonExpired", "accountNonExpired"}, {"accountNonLocked", "accountNonLocked"},
	{"credNonEx", "credentialNonExpired"}, {"password", "newPassword"}, {"password", "lastPasswordResetDate"}, {"vcs", "vcsPassword"},
}

// worthRecord is what Worth's list shows of the user, but for the times.
func (u *modelUser) worthRecord() map[string]any {
	shown := map[string]any{
		"id": u.uuid, "first_name": u.first, "last_name": u.last, "email": u.email, "mobile": nil,
		"is_email_verified": u.verified, "is_first_login": u.firstLogin, "status": u.status,
	}
	if u.mobile != "" {
		shown["mobile"] = u.mobile
	}
	return shown
}

// testiniumUser is what Testinium shows of the user, but for the access token and the times.
func (u *modelUser) testiniumUser(customer int64, company any) map[string]any {
	authorities := []any{}
	for _, name := range u.roles {
		authorities = append(authorities, map[string]any{"entityId": float64(modelRoles[name].id), "name": name, "cleanName": nil})
	}
	return map[string]any{
		"userType": nil, "verificationToken": nil, "resetPasswordToken": nil, "entityId": float64(u.id),
		"name": u.first, "surname": u.last, "username": u.username, "email": u.email, "password": nil, "newPassword": nil,
		"companyName": company, "enabled": u.status == "ACTIVE", "accountNonExpired": u.accountNonExpired,
		"accountNonLocked": u.accountNonLocked, "credentialNonExpired": u.credNonEx, "customer": float64(customer),
		"authorities": authorities, "vcsPassword": nil,
	}
}
