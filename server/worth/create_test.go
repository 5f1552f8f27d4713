package worth_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/gen/worthclient"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/google/uuid"
)

const newUsersPath = "/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users"

// The subroles as a new user's body names them.
const (
	ownerSubrole   = `{"id":"e50822ad-98ce-4612-aec4-e2f6c3437b2a","code":"owner","label":"Owner"}`
	croSubrole     = `{"id":"e0d4970f-0f4d-4a0d-aaa6-681a048cb656","code":"cro","label":"CRO"}`
	analystSubrole = `{"id":"6351c76f-76a3-4950-9cc4-cc37cdc05ec2","code":"risk_analyst","label":"Risk Analyst"}`
)

// newUser is the body of a new user with this e-mail.
func newUser(email string) string {
	return fmt.Sprintf(`{"first_name":"Mary","last_name":"Jackson","email":%q,"subrole":%s}`, email, analystSubrole)
}

// post asks for a new user in the sandbox.
func post(s *servertest.Server, claims auth.Claims, body string, header http.Header) servertest.Answer {
	return s.Ask(claims, servertest.Request{Method: http.MethodPost, Path: newUsersPath, Header: header, Body: body})
}

// created gives the user that a create answers with, which must have succeeded, as it is stored.
func created(t testing.TB, s *servertest.Server, answer servertest.Answer) store.User {
	t.Helper()
	if answer.Status != http.StatusOK {
		t.Fatalf("%d %s", answer.Status, answer.Body)
	}
	var body worthclient.CreatedAnswer
	answer.Decode(t, &body)
	u, err := s.Store.FindUser(t.Context(), store.UserByUUID(servertest.Sandbox, uuid.MustParse(string(body.Data.UserID))))
	if err != nil {
		t.Fatal(err)
	}
	answer.Expect(t, http.StatusOK, fmt.Sprintf(`{"status":"success","message":"Customer user created.","data":{"user_id":%q}}`, u.UUID))
	return u
}

func invalidBody(fields ...servertest.FieldError) string {
	return servertest.WorthError(http.StatusBadRequest, "INVALID", "ValidationMiddlewareError", "", fields...)
}

func duplicateEmail() string {
	return servertest.WorthError(http.StatusBadRequest, "INVALID", "CustomersApiError", "",
		servertest.FieldError{"email", "Another customer user exists with the same email."})
}

func TestCreateInvitesAUser(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		before := time.Now().Truncate(time.Millisecond)
		answer := post(s, servertest.Manager(), fmt.Sprintf(`{"first_name":"Mary","last_name":"Jackson","email":"Mary.Jackson@Example.com",`+
			`"mobile":"+1 202 555 0102","subrole":%s}`, croSubrole), nil)
		u := created(t, s, answer)
		answer.ExpectHeader(t, "ETag", `"1"`)
		answer.ExpectHeader(t, "Cache-Control", "private, no-cache")
		answer.ExpectHeader(t, "Content-Type", "application/json; charset=utf-8")
		answer.ExpectHeader(t, "Dragoman-Ignored")
		answer.ExpectHeader(t, "Preference-Applied")
		want := servertest.Folded(store.User{
			ID: u.ID, UUID: u.UUID, CustomerID: servertest.Sandbox,
			FirstName: "Mary", LastName: "Jackson", Username: "Mary.Jackson@Example.com", Email: "Mary.Jackson@Example.com",
			Mobile: new("+1 202 555 0102"), Roles: store.Roles(2, 3), Status: store.StatusInvited,
			AccountNonExpired: true, AccountNonLocked: true, CredentialNonExpired: true,
			AccessToken: u.AccessToken, AccessTokenSealed: u.AccessTokenSealed, FirstLogin: true,
			CreatedAt: u.CreatedAt, CreatedBy: &servertest.GraceUUID, UpdatedAt: u.CreatedAt, UpdatedBy: &servertest.GraceUUID, Version: 1,
		})
		if differ := servertest.Differences(u, want); len(differ) > 0 {
			t.Errorf("%v differ: %+v", differ, u)
		}
		if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(u.AccessToken) {
			t.Errorf("the access key is %q", u.AccessToken)
		}
		if u.UUID.Version() != 4 || u.CreatedAt.Before(before) || u.CreatedAt.After(time.Now()) {
			t.Errorf("UUID %s, created at %s", u.UUID, u.CreatedAt)
		}
	})
}

func TestCreateGrantsSubroleAndImpliedRoles(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for subrole, want := range map[string]store.RoleSet{
		ownerSubrole: store.Roles(1, 2, 3), croSubrole: store.Roles(2, 3), analystSubrole: store.Roles(3),
		strings.Replace(analystSubrole, "Risk Analyst", "whatever", 1): store.Roles(3),
		strings.Replace(analystSubrole, "6351c76f", "6351C76F", 1):     store.Roles(3),
	} {
		body := fmt.Sprintf(`{"first_name":"","last_name":"","email":%q,"mobile":"","subrole":%s}`, s.Unique("x@example.com", 100), subrole)
		u := created(t, s, post(s, servertest.Administrator(), body, nil))
		if u.Roles != want || u.Mobile != nil || u.FirstName != "" || u.LastName != "" {
			t.Errorf("%s: %+v", subrole, u)
		}
	}
}

func TestCreateTellsWhoDidIt(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	subject := uuid.MustParse("0b2c7d7e-65b6-4b8f-b0b1-9a7f5d7f3a10")
	for _, c := range []struct {
		subject string
		id      *uuid.UUID
		want    *uuid.UUID
	}{
		{subject.String(), &servertest.GraceUUID, &servertest.GraceUUID}, {subject.String(), nil, &subject}, {"a service", nil, nil},
	} {
		claims := servertest.Manager()
		claims.Subject, claims.UserID = c.subject, c.id
		u := created(t, s, post(s, claims, newUser(s.Unique("x@example.com", 100)), nil))
		for _, by := range []*uuid.UUID{u.CreatedBy, u.UpdatedBy} {
			if (by == nil) != (c.want == nil) || by != nil && *by != *c.want {
				t.Errorf("%s, %v: by %v", c.subject, c.id, by)
			}
		}
	}
}

func TestCreateUsernameFallsBackToUUID(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		u := katherine()
		u.Username = "Mary@Example.com"
		create(t, s, u)
		got := created(t, s, post(s, servertest.Manager(), newUser("mary@example.com"), nil))
		if got.Username != got.UUID.String() || got.Email != "mary@example.com" {
			t.Errorf("username %q, UUID %s, e-mail %q", got.Username, got.UUID, got.Email)
		}
	})
}

func TestCreateRefusesTakenEmail(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		named := katherine()
		named.Email, named.Username = "Same@example.com", "same@EXAMPLE.com"
		create(t, s, named)
		strasse := katherine()
		strasse.UUID, strasse.Email, strasse.Username = uuid.Nil, "straße@example.com", "strasse"
		create(t, s, strasse)
		for _, email := range []string{
			"ada.lovelace@example.com", "ADA.Lovelace@EXAMPLE.COM", "alan.turing@example.com", // another customer's
			"same@example.com", // their username as well
			"STRASSE@example.com",
		} {
			answer := post(s, servertest.Manager(), newUser(email), nil)
			answer.Expect(t, http.StatusBadRequest, duplicateEmail())
			answer.ExpectHeader(t, "ETag")
		}
		created(t, s, post(s, servertest.Manager(), newUser("ada.lovelace+other@example.com"), nil))
		if p := list(t, s, ""); p.TotalItems != "5" {
			t.Errorf("%s users", p.TotalItems)
		}
	})
}

func TestCreateReportsAllErrors(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	required := func(names ...string) (all []servertest.FieldError) {
		for _, name := range names {
			all = append(all, servertest.FieldError{name, name + " is required"})
		}
		return all
	}
	with := func(member, value string) string {
		body := newUser("new@example.com")
		return body[:len(body)-1] + fmt.Sprintf(`,%q:%s}`, member, value)
	}
	subrole := func(value string) string {
		return strings.Replace(newUser("new@example.com"), analystSubrole, value, 1)
	}
	for body, fields := range map[string][]servertest.FieldError{
		``:     {{"", "the body is required"}},
		`{}`:   required("email", "first_name", "last_name", "subrole"),
		`[]`:   {{"", "the body must be an object"}},
		`null`: {{"", "the body must not be null"}},
		`{"first_name":"x","last_name":"y","email":"z@example.com"}`:                   required("subrole"),
		`{"First_name":"x","last_name":"y","email":"z@example.com","subrole":{}}`:      required("first_name", "subrole.code", "subrole.id", "subrole.label"),
		`{"first_name":null,"last_name":1,"email":"nobody","mobile":[],"subrole":"x"}`: {{"email", "email must be an e-mail address"}, {"first_name", "first_name must not be null"}, {"last_name", "last_name must be a string"}, {"mobile", "mobile must be a string"}, {"subrole", "subrole must be an object"}},
		with("mobile", "null"): {{"mobile", "mobile must not be null"}},
		with("mobile", fmt.Sprintf("%q", strings.Repeat("1", 65))): {{"mobile", "mobile must have at most 64 characters"}},
		with("email", `"x@example.com"`):                           {{"email", "email is repeated"}},
		with("mobile", `"\u0000"`):                                 {{"mobile", "mobile must not contain U+0000"}},
		subrole(`null`):                                            {{"subrole", "subrole must not be null"}},
		subrole(`{"id":"6351c76f-76a3-4950-9cc4-cc37cdc05ec2","code":"risk_analyst"}`):                  required("subrole.label"),
		subrole(`{"id":"6351c76f-76a3-4950-9cc4-cc37cdc05ec2","label":"Risk Analyst"}`):                 required("subrole.code"),
		subrole(`{"id":"6351c76f-76a3-4950-9cc4-cc37cdc05ec2","code":"cro","label":"CRO"}`):             {{"subrole", "subrole.id and subrole.code must name the same subrole"}},
		subrole(`{"id":"6351c76f-76a3-4950-9cc4-cc37cdc05ec2","code":"admin","label":"Admin"}`):         {{"subrole.code", "subrole.code is not the code of a subrole"}},
		subrole(`{"id":"3","code":"","label":""}`):                                                      {{"subrole.code", "subrole.code is not the code of a subrole"}, {"subrole.id", "subrole.id is not the id of a subrole"}},
		subrole(`{"id":"6351c76f76a349509cc4cc37cdc05ec2","code":"risk_analyst","label":"x"}`):          {{"subrole.id", "subrole.id is not the id of a subrole"}},
		subrole(`{"id":null,"code":"risk_analyst","label":"x"}`):                                        {{"subrole.id", "subrole.id must not be null"}},
		newUser("ada.lovelace@example.com")[:20]:                                                        {{"", "the body is not valid JSON, at byte 20"}},
		strings.Replace(newUser("a@example.com"), "Mary", strings.Repeat("é", 256), 1):                  {{"first_name", "first_name must have at most 255 characters"}},
		newUser(strings.Repeat("x", 243) + "@example.com"):                                              {{"email", "email must have at most 254 characters"}},
		`{"first_name":"x","last_name":"y","email":"z@example.com","subrole":` + analystSubrole + `} x`: {{"", "the body must end after its JSON value"}},
	} {
		post(s, servertest.Manager(), body, nil).Expect(t, http.StatusBadRequest, invalidBody(fields...))
	}
	// The username is the e-mail, and has no name here.
	const hidden = `"errors":[{"field":"email","message":"email must not contain invisible characters or bidirectional controls"}]`
	if answer := post(s, servertest.Manager(), newUser("a\u202e@example.com"), nil); answer.Status != 400 || !strings.Contains(string(answer.Body), hidden) {
		t.Errorf("the answer is %d %s", answer.Status, answer.Body)
	}
	if p := list(t, s, ""); p.TotalItems != "2" {
		t.Errorf("%s users", p.TotalItems)
	}
	created(t, s, post(s, servertest.Manager(), newUser(strings.Repeat("x", 242)+"@example.com"), nil))
}

func TestCreateReportsIgnoredMembers(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	body := func() string {
		return fmt.Sprintf(`{"first_name":"Mary","last_name":"Jackson","email":%q,"username":"mary","status":"ACTIVE","Mobile":"1","id":"x",`+
			`"subrole":{"id":"6351c76f-76a3-4950-9cc4-cc37cdc05ec2","code":"risk_analyst","label":"x","role id":2}}`, s.Unique("x@example.com", 100))
	}
	answer := post(s, servertest.Manager(), body(), nil)
	answer.ExpectHeader(t, "Dragoman-Ignored", "Mobile, id, status, subrole.role%20id, username")
	if u := created(t, s, answer); u.Status != store.StatusInvited || u.Username != u.Email || u.Mobile != nil {
		t.Errorf("%+v", u)
	}
	strict := http.Header{"Prefer": {"return=minimal, handling=strict"}}
	answer = post(s, servertest.Manager(), body(), strict)
	var fields []servertest.FieldError
	for _, name := range []string{"Mobile", "id", "status", "subrole.role id", "username"} {
		fields = append(fields, servertest.FieldError{name, name + " would be ignored"})
	}
	answer.Expect(t, http.StatusBadRequest, invalidBody(fields...))
	answer.ExpectHeader(t, "Preference-Applied", "handling=strict")
	answer = post(s, servertest.Manager(), newUser("strict@example.com"), strict)
	created(t, s, answer)
	answer.ExpectHeader(t, "Preference-Applied", "handling=strict")
	answer.ExpectHeader(t, "Dragoman-Ignored")
}

func TestCreateOrderOfRefusals(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		forbidden := servertest.WorthError(http.StatusForbidden, "ERR_FORBIDDEN", "AccessMiddlewareError", "Forbidden")
		const nowhere = "5d2b1c9e-31a5-4c39-8c1a-4a3f7cf4f0aa"
		path := func(customer string) string { return "/auth/api/v1/customers/" + customer + "/users" }
		as := func(change func(*auth.Claims)) auth.Claims {
			c := servertest.Manager()
			change(&c)
			return c
		}
		permitted := func(codes ...auth.Permission) auth.Claims {
			return as(func(c *auth.Claims) { c.Permissions, c.Authorities = codes, nil })
		}
		byOwner := func(email string) string { return strings.Replace(newUser(email), analystSubrole, ownerSubrole, 1) }
		byCRO := func(email string) string { return strings.Replace(newUser(email), analystSubrole, croSubrole, 1) }
		for name, c := range map[string]struct {
			claims auth.Claims
			path   string
			header http.Header
			body   string
			status int
			answer string
		}{
			"the customer's id is no UUID, nor is the body JSON": {servertest.Manager(), path("3393"), nil, "x", 400,
				invalidBody(servertest.FieldError{"customerID", "customerID must be a UUID"})},
			"another customer, nor is the body JSON": {servertest.Manager(), path(servertest.ElsewhereUUID.String()), nil, "x", 403, forbidden},
			"no customer at all":                     {servertest.Manager(), path(nowhere), nil, newUser("a@example.com"), 403, forbidden},
			"permission to read and write alone": {permitted(auth.PermissionRead, auth.PermissionWrite), newUsersPath, nil, newUser("a@example.com"),
				403, forbidden},
			"not JSON by its Content-Type": {servertest.Manager(), newUsersPath, http.Header{"Content-Type": {"text/plain"}}, "x", 415,
				servertest.WorthError(415, "UNSUPPORTED_MEDIA_TYPE", "UnsupportedMediaTypeError", "Unsupported Media Type")},
			"too large": {servertest.Manager(), newUsersPath, nil, strings.Repeat(" ", 256<<10) + "{}", 413,
				servertest.WorthError(413, "CONTENT_TOO_LARGE", "ContentTooLargeError", "Content Too Large")},
			"the token's customer is nowhere": {as(func(c *auth.Claims) { c.Customers = []string{nowhere} }), path(nowhere), nil, newUser("a@example.com"), 400,
				servertest.WorthError(400, "INVALID", "CustomersApiError", "", servertest.FieldError{"customerID", "Customer does not exists"})},
			"the token's customer is nowhere, nor is the body whole": {as(func(c *auth.Claims) { c.Customers = []string{nowhere} }), path(nowhere), nil, `{"email":"a@example.com"}`, 400,
				invalidBody(servertest.FieldError{"first_name", "first_name is required"}, servertest.FieldError{"last_name", "last_name is required"},
					servertest.FieldError{"subrole", "subrole is required"})},
			"an owner by a caller of rank 2":                   {servertest.Manager(), newUsersPath, nil, byOwner("a@example.com"), 403, forbidden},
			"an owner by a caller of rank 2, and a duplicate":  {servertest.Manager(), newUsersPath, nil, byOwner("ada.lovelace@example.com"), 403, forbidden},
			"a CRO by a caller of rank 0":                      {permitted(auth.PermissionCreate), newUsersPath, nil, byCRO("a@example.com"), 403, forbidden},
			"anybody with a subrole by a caller of rank 0":     {permitted(auth.PermissionCreate), newUsersPath, nil, newUser("a@example.com"), 403, forbidden},
			"a CRO by a caller of rank 1":                      {as(func(c *auth.Claims) { c.Authorities = []string{"ROLE_USER"} }), newUsersPath, nil, byCRO("a@example.com"), 403, forbidden},
			"a duplicate by a caller of rank 1 who may create": {as(func(c *auth.Claims) { c.Authorities = []string{"ROLE_USER"} }), newUsersPath, nil, newUser("ada.lovelace@example.com"), 400, duplicateEmail()},
			"no token, nor is the customer's id a UUID": {servertest.Manager(), path("3393"), http.Header{"Authorization": nil}, "x", 401,
				servertest.WorthError(401, "ERR_UNAUTHORIZED", "AuthenticationMiddlewareError", "Unauthorized")},
		} {
			t.Run(name, func(t *testing.T) {
				s.Ask(c.claims, servertest.Request{Method: http.MethodPost, Path: c.path, Header: c.header, Body: c.body}).Expect(t, c.status, c.answer)
			})
		}
		if p := list(t, s, ""); p.TotalItems != "2" {
			t.Errorf("%s users", p.TotalItems)
		}
	})
}

func TestCreatePermissions(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for name, change := range map[string]func(*auth.Claims){
		"permission, rank 1":                     func(c *auth.Claims) { c.Authorities = []string{"ROLE_USER"} },
		"permission to create and write, rank 2": func(c *auth.Claims) { c.Authorities = nil },
		"ROLE_COMPANY_ADMIN":                     func(c *auth.Claims) { c.Permissions, c.Authorities = nil, []string{"ROLE_COMPANY_ADMIN"} },
		"ROLE_ADMIN":                             func(c *auth.Claims) { c.Permissions, c.Authorities = nil, []string{"ROLE_ADMIN"} },
		"ROLE_ADMIN of all customers": func(c *auth.Claims) {
			c.Customers, c.Permissions, c.Authorities = []string{auth.AllCustomers}, nil, []string{"ROLE_ADMIN"}
		},
		"the customer by its UUID": func(c *auth.Claims) { c.Customers = []string{servertest.SandboxUUID.String()} },
		"permission to create alone, ROLE_USER rank": func(c *auth.Claims) {
			c.Permissions, c.Authorities = []auth.Permission{auth.PermissionCreate}, []string{"ROLE_USER"}
		},
	} {
		claims := servertest.Manager()
		change(&claims)
		if answer := post(s, claims, newUser(s.Unique("x@example.com", 100)), nil); answer.Status != http.StatusOK {
			t.Errorf("%s: %d %s", name, answer.Status, answer.Body)
		}
	}
}

func TestCreateWithoutContentType(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, contentType := range [][]string{nil, {"application/json"}, {"application/json; charset=UTF-8"}, {"Application/JSON"}} {
		created(t, s, post(s, servertest.Manager(), newUser(s.Unique("x@example.com", 100)), http.Header{"Content-Type": contentType}))
	}
}
