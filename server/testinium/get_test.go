package testinium_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/gen/testiniumclient"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/google/uuid"
)

// listPath is the documented path of the sandbox's users.
const listPath = "/account/api/v1/customers/3393/users/"

func userPath(id any) string { return listPath + fmt.Sprint(id) }

// ask sends a GET.
func ask(s *servertest.Server, claims auth.Claims, path string, header http.Header) servertest.Answer {
	return s.Ask(claims, servertest.Request{Method: http.MethodGet, Path: path, Header: header})
}

// user is a caller of rank 1 who may do everything that a permission allows.
func user() auth.Claims {
	c := servertest.Manager()
	c.Authorities = []string{"ROLE_USER"}
	return c
}

// dorothy is a user of the sandbox of whom everything is known.
func dorothy() store.User {
	at := time.Date(2024, 2, 12, 14, 16, 49, 50_000_000, time.UTC)
	return store.User{
		ID:                   7300,
		CustomerID:           servertest.Sandbox,
		FirstName:            "Dorothy",
		LastName:             "Vaughan",
		Username:             "dvaughan",
		Email:                "Dorothy.Vaughan@example.com",
		Mobile:               new("+1 202 555 0103"),
		Roles:                store.Roles(12, 3, 5),
		Status:               store.StatusActive,
		AccountNonExpired:    true,
		CredentialNonExpired: true,
		PasswordHash:         new("$argon2id$secret-of-dorothy"),
		LastPasswordResetAt:  new(at.Add(time.Minute)),
		AccessToken:          "0123456789abcdef0123456789abcdef",
		VCSPassword:          new("vcs-secret-of-dorothy"),
		EmailVerified:        true,
		CreatedAt:            at,
	}
}

// create stores u as it is.
func create(t testing.TB, s *servertest.Server, u store.User) store.User {
	t.Helper()
	if err := s.Store.CreateUser(t.Context(), &u); err != nil {
		t.Fatal(err)
	}
	return u
}

// shownDorothy is what a GET shows of dorothy, with these two members.
func shownDorothy(accessToken, companyName string) string {
	return `{"userType":null,"verificationToken":null,"resetPasswordToken":null,"entityId":7300,` +
		`"name":"Dorothy","surname":"Vaughan","username":"dvaughan","email":"Dorothy.Vaughan@example.com",` +
		`"password":null,"newPassword":null,"accessToken":` + accessToken + `,"companyName":` + companyName + `,` +
		`"enabled":true,"accountNonExpired":true,"accountNonLocked":false,"credentialNonExpired":true,"createdDate":1707747409050,` +
		`"customer":3393,"lastPasswordResetDate":1707747469050,"authorities":[{"entityId":3,"name":"ROLE_USER","cleanName":null},` +
		`{"entityId":5,"name":"ROLE_CHANGE_USER","cleanName":null},{"entityId":12,"name":"ROLE_REPORT","cleanName":null}],"vcsPassword":null}`
}

func TestGetShowsTheWholeUser(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		create(t, s, dorothy())
		answer := ask(s, servertest.Manager(), userPath(7300), nil)
		answer.Expect(t, http.StatusOK, shownDorothy(`"0123456789abcdef0123456789abcdef"`, "null"))
		answer.ExpectHeader(t, "ETag", `"1"`)
		answer.ExpectHeader(t, "Cache-Control", "private, no-cache")
		answer.ExpectHeader(t, "Content-Type", "application/json")
	})
}

func TestGetShowsNullForAbsentValues(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		u := dorothy()
		u.FirstName, u.Roles, u.Status, u.LastPasswordResetAt, u.Mobile, u.VCSPassword = "", 0, store.StatusInvited, nil, nil, nil
		u.AccountNonExpired, u.AccountNonLocked, u.CredentialNonExpired = false, true, false
		create(t, s, u)
		ask(s, servertest.Manager(), userPath(7300), nil).Expect(t, http.StatusOK,
			`{"userType":null,"verificationToken":null,"resetPasswordToken":null,"entityId":7300,`+
				`"name":"","surname":"Vaughan","username":"dvaughan","email":"Dorothy.Vaughan@example.com",`+
				`"password":null,"newPassword":null,"accessToken":"0123456789abcdef0123456789abcdef","companyName":null,`+
				`"enabled":false,"accountNonExpired":false,"accountNonLocked":true,"credentialNonExpired":false,"createdDate":1707747409050,`+
				`"customer":3393,"lastPasswordResetDate":null,"authorities":[],"vcsPassword":null}`)
	})
}

func TestAccessTokenIsShownFromTheUsersRank(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	create(t, s, dorothy())
	for name, c := range map[string]struct {
		change func(*auth.Claims)
		shown  bool
	}{
		"ROLE_ADMIN":                         {func(c *auth.Claims) { c.Authorities = []string{"ROLE_ADMIN"} }, true},
		"ROLE_COMPANY_ADMIN":                 {func(c *auth.Claims) { c.Authorities = []string{"ROLE_COMPANY_ADMIN"} }, true},
		"ROLE_USER":                          {func(c *auth.Claims) { c.Authorities = []string{"ROLE_USER"} }, true},
		"a role of rank 0":                   {func(c *auth.Claims) { c.Authorities = []string{"ROLE_REPORT"} }, false},
		"a role that there is not":           {func(c *auth.Claims) { c.Authorities = []string{"ROLE_ROOT"} }, false},
		"no authorities":                     {func(c *auth.Claims) { c.Authorities = []string{} }, false},
		"no such claim, permission to write": {func(c *auth.Claims) { c.Authorities = nil }, true},
		"no such claim, permission to read":  {func(c *auth.Claims) { c.Authorities, c.Permissions = nil, []auth.Permission{auth.PermissionRead} }, false},
	} {
		claims := servertest.Manager()
		c.change(&claims)
		token := "null"
		if c.shown {
			token = `"0123456789abcdef0123456789abcdef"`
		}
		for _, company := range []struct{ path, name string }{{userPath(7300), "null"}, {listPath, `"Sandbox"`}} {
			if answer := ask(s, claims, company.path, nil); !strings.Contains(answer.Body, shownDorothy(token, company.name)) {
				t.Errorf("%s: %s", name, answer.Body)
			}
		}
	}
}

// A company's administrator sees the tokens of its like, and not that of a ROLE_ADMIN, who ranks above.
func TestAccessTokenOfHigherRankIsNull(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		admin := dorothy()
		admin.Roles = store.Roles(1, 2, 3)
		admin = create(t, s, admin)
		for _, c := range []struct {
			role  string
			shown map[testiniumclient.UserID]bool // by the user's id; of Ada, rank 1, Grace, rank 2, and Dorothy, rank 3
		}{
			{"ROLE_REPORT", nil},
			{"ROLE_USER", map[testiniumclient.UserID]bool{servertest.Ada: true}},
			{"ROLE_COMPANY_ADMIN", map[testiniumclient.UserID]bool{servertest.Ada: true, servertest.Grace: true}},
			{"ROLE_ADMIN", map[testiniumclient.UserID]bool{servertest.Ada: true, servertest.Grace: true, testiniumclient.UserID(admin.ID): true}},
		} {
			claims := servertest.Manager()
			claims.Authorities = []string{c.role}
			var list []testiniumclient.User
			ask(s, claims, listPath, nil).Decode(t, &list)
			for _, listed := range list {
				var one testiniumclient.User
				ask(s, claims, userPath(int64(listed.EntityID)), nil).Decode(t, &one)
				if want := c.shown[listed.EntityID]; (listed.AccessToken != nil) != want || (one.AccessToken != nil) != want {
					t.Errorf("%s reads user %d: list %v, get %v, want shown %v", c.role, listed.EntityID, listed.AccessToken, one.AccessToken, want)
				}
			}
		}
	})
}

func TestReadErrorsAsDocumented(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		type field = servertest.FieldError
		const notFound, denied = "No user was found for the specified `userId`.", "The user lacks permission to update this information."
		refused := func(status int, code, description string, fields ...field) func(string) string {
			return func(path string) string { return servertest.TestiniumError(status, code, description, path, fields...) }
		}
		invalid := func(fields ...field) func(string) string {
			return refused(400, "INVALID_REQUEST", "The request was malformed or contained errors.", fields...)
		}
		unauthorized := refused(401, "UNAUTHORIZED", "Missing or invalid authentication token.")
		unknown := refused(404, "USER_NOT_FOUND", notFound)
		// Get-one's 403 has another code than the list's.
		forbidden := map[bool]func(string) string{
			true:  refused(403, "UNAUTHORIZED_ACCESS", "The user lacks permission to see this information."),
			false: refused(403, "ACCESS_DENIED", denied),
		}
		company := func(values ...string) http.Header { return http.Header{"Current-Company-Id": values} }
		as := func(change func(*auth.Claims)) auth.Claims {
			c := servertest.Manager()
			change(&c)
			return c
		}
		stranger := as(func(c *auth.Claims) { c.Customers = []string{"999"} })
		platform := as(func(c *auth.Claims) { c.Customers, c.Authorities = []string{auth.AllCustomers}, []string{"ROLE_ADMIN"} })
		writer := as(func(c *auth.Claims) { c.Permissions, c.Authorities = []auth.Permission{auth.PermissionWrite}, nil })

		for name, c := range map[string]struct {
			claims auth.Claims
			user   string // "": of the list
			header http.Header
			status int
			body   func(string) string
		}{
			"nobody has the id":              {servertest.Manager(), "/customers/3393/users/999", nil, 404, unknown},
			"the user is another customer's": {servertest.Manager(), "/customers/3393/users/7001", nil, 404, unknown},
			"an id below 0":                  {servertest.Manager(), "/customers/3393/users/-1", nil, 404, unknown},
			"an id beyond 2^53":              {servertest.Manager(), "/customers/3393/users/9223372036854775807", nil, 404, unknown},
			"the user's id is no Long":       {servertest.Manager(), "/customers/3393/users/ada", nil, 400, invalid(field{"userId", "userId must be an integer"})},
			"the user's id has a fraction":   {servertest.Manager(), "/customers/3393/users/6860.0", nil, 400, invalid(field{"userId", "userId must be an integer"})},
			"the user's id has a sign":       {servertest.Manager(), "/customers/3393/users/+6860", nil, 400, invalid(field{"userId", "userId must be an integer"})},
			"the user's id is too large":     {servertest.Manager(), "/customers/3393/users/9223372036854775808", nil, 400, invalid(field{"userId", "userId must be an integer"})},
			"the user's id is a UUID": {servertest.Manager(), "/customers/3393/users/" + servertest.AdaUUID.String(), nil, 400,
				invalid(field{"userId", "userId must be an integer"})},
			"the customer's id is no Long": {servertest.Manager(), "/customers/x/users/", nil, 400, invalid(field{"id", "id must be an integer"})},
			"no id is a Long, nor is the company's": {servertest.Manager(), "/customers/x/users/y", company("z"), 400,
				invalid(field{"id", "id must be an integer"}, field{"userId", "userId must be an integer"}, field{"current-company-id", "current-company-id must be an integer"})},
			"no company":                        {servertest.Manager(), "/customers/3393/users/6860", company(), 400, invalid(field{"current-company-id", "current-company-id is required"})},
			"no company, of a list":             {servertest.Manager(), "/customers/3393/users/", company(), 400, invalid(field{"current-company-id", "current-company-id is required"})},
			"an empty company":                  {servertest.Manager(), "/customers/3393/users/6860", company(""), 400, invalid(field{"current-company-id", "current-company-id must be an integer"})},
			"two companies":                     {servertest.Manager(), "/customers/3393/users/6860", company("5251", "5267"), 400, invalid(field{"current-company-id", "current-company-id must be given once"})},
			"two companies in one line":         {servertest.Manager(), "/customers/3393/users/6860", company("5251, 5267"), 400, invalid(field{"current-company-id", "current-company-id must be an integer"})},
			"syntax is told before the tenant":  {servertest.Manager(), "/customers/3394/users/x", nil, 400, invalid(field{"userId", "userId must be an integer"})},
			"no such company":                   {servertest.Manager(), "/customers/3393/users/6860", company("1"), 403, forbidden[true]},
			"another customer's company":        {servertest.Manager(), "/customers/3393/users/6860", company("2760"), 403, forbidden[true]},
			"another customer's, to the list":   {servertest.Manager(), "/customers/3393/users/", company("2760"), 403, forbidden[false]},
			"the customer is another's":         {servertest.Manager(), "/customers/3394/users/7001", company("2760"), 403, forbidden[true]},
			"there is no such customer":         {servertest.Manager(), "/customers/999/users/6860", nil, 403, forbidden[true]},
			"the token's customer is nowhere":   {stranger, "/customers/999/users/6860", nil, 403, forbidden[true]},
			"a list of the token's, nowhere":    {stranger, "/customers/999/users/", nil, 403, forbidden[false]},
			"nowhere, to the platform's":        {platform, "/customers/999/users/", nil, 403, forbidden[false]},
			"permission to write alone":         {writer, "/customers/3393/users/6860", nil, 403, forbidden[true]},
			"permission to write, to the list":  {writer, "/customers/3393/users/", nil, 403, forbidden[false]},
			"no permission before no such user": {writer, "/customers/3393/users/999", nil, 403, forbidden[true]},
			"no token":                          {servertest.Manager(), "/customers/3393/users/6860", http.Header{"Authorization": nil}, 401, unauthorized},
			"no token, and nothing else right":  {servertest.Manager(), "/customers/x/users/", http.Header{"Authorization": nil, "Current-Company-Id": nil}, 401, unauthorized},
			"a malformed If-None-Match": {servertest.Manager(), "/customers/3393/users/6860", http.Header{"If-None-Match": {"1"}}, 400,
				invalid(field{"If-None-Match", "If-None-Match must be * or entity tags in double quotes"})},
		} {
			t.Run(name, func(t *testing.T) {
				path := "/account/api/v1" + c.user
				answer := ask(s, c.claims, path, c.header)
				answer.Expect(t, c.status, c.body(path))
				answer.ExpectHeader(t, "ETag")
				answer.ExpectHeader(t, "Content-Type", "application/json")
			})
		}
	})
}

func TestGetNotModified(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for _, match := range []string{`"1"`, `W/"1"`, `*`, `"0", W/"1"`} {
			answer := ask(s, servertest.Manager(), userPath(servertest.Ada), http.Header{"If-None-Match": {match}})
			if answer.Status != http.StatusNotModified || answer.Body != "" {
				t.Errorf("%q: %d %s", match, answer.Status, answer.Body)
			}
			answer.ExpectHeader(t, "ETag", `"1"`)
			answer.ExpectHeader(t, "Cache-Control", "private, no-cache")
		}
		if answer := ask(s, servertest.Manager(), userPath(servertest.Ada), http.Header{"If-None-Match": {`"2"`}}); answer.Status != http.StatusOK {
			t.Errorf("another version: %d", answer.Status)
		}
		if answer := ask(s, servertest.Manager(), userPath(999), http.Header{"If-None-Match": {`*`}}); answer.Status != http.StatusNotFound {
			t.Errorf("nobody, whatever the version: %d", answer.Status)
		}
	})
}

// What a GET or a list showed may be put back by whoever may write to the user: nothing changes and nothing is ignored.
func TestPutOfGetIgnoresNothing(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		create(t, s, dorothy())
		never := dorothy()
		never.ID, never.UUID, never.Username, never.Email = 7301, uuid.Nil, "never", "never@example.com"
		never.Status, never.LastPasswordResetAt, never.PasswordHash, never.Mobile, never.VCSPassword = store.StatusInvited, nil, nil, nil, nil
		create(t, s, never)
		for _, claims := range []auth.Claims{servertest.Manager(), user()} {
			for _, company := range []string{"5251", "5267"} {
				header := http.Header{"Current-Company-Id": {company}}
				var entries []map[string]any
				ask(s, claims, listPath, header).Decode(t, &entries)
				for _, id := range []int64{7300, 7301} {
					before := s.FindUser(t, id)
					bodies := []string{ask(s, claims, userPath(id), header).Body}
					for _, entry := range entries {
						if entry["entityId"] == float64(id) {
							bodies = append(bodies, string(encode(t, entry)))
						}
					}
					if len(bodies) != 2 {
						t.Fatalf("the list does not show %d once", id)
					}
					for _, body := range bodies {
						answer := s.Ask(claims, servertest.Request{
							Method: http.MethodPut, Path: userPath(id), Body: body,
							Header: http.Header{"Current-Company-Id": {company}, "Prefer": {"handling=strict"}},
						})
						if answer.Status != http.StatusOK {
							t.Fatalf("%s: %d %s", body, answer.Status, answer.Body)
						}
						answer.ExpectHeader(t, "Dragoman-Changed", "")
						answer.ExpectHeader(t, "Dragoman-Ignored")
						answer.ExpectHeader(t, "ETag", `"1"`)
					}
					unwritten(t, s, before)
				}
			}
		}
	})
}
