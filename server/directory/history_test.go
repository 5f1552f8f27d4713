package directory_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

const (
	adaHistory = "/directory/v1/customers/3393/users/6860/history"
	changes    = "/directory/v1/changes"
)

// What a problem says of its kind.
const (
	invalid         = "The request is not what the document asks."
	unauthenticated = "The token is missing or cannot be believed."
	forbidden       = "The token does not allow this."
	noUser          = "The customer has no such user."
)

// read asks for a path of the dialect's.
func read(s *servertest.Server, who auth.Claims, path string) servertest.Answer {
	// Rather than wait for a server to do it. Where the database is broken the answer itself is what is tested.
	_, _ = s.Store.NumberChanges(context.Background())
	return s.Ask(who, servertest.Request{Method: http.MethodGet, Path: path})
}

// shows fails the test unless the answer is a success with this body.
func shows(t *testing.T, a servertest.Answer, body string) {
	t.Helper()
	a.Expect(t, http.StatusOK, body)
	a.ExpectHeader(t, "Content-Type", "application/json")
	a.ExpectHeader(t, "Cache-Control", "private, no-cache")
}

// refuses fails the test unless the answer is this problem.
func refuses(t *testing.T, a servertest.Answer, status int, detail string, fields ...servertest.FieldError) {
	t.Helper()
	a.Expect(t, status, servertest.Problem(status, detail, fields...))
	a.ExpectHeader(t, "Content-Type", "application/problem+json")
}

// who are callers of all kinds, all about the sandbox's customer, but for the platform's administrator and the stranger.
var who = map[string]auth.Claims{
	"company administrator":  {Subject: "grace", UserID: &servertest.GraceUUID, Customers: []string{"3393"}, Authorities: []string{"ROLE_USER", "ROLE_COMPANY_ADMIN"}},
	"administrator":          {Subject: "root", Customers: []string{servertest.SandboxUUID.String()}, Authorities: []string{"ROLE_ADMIN"}},
	"of both customers":      {Subject: "both", Customers: []string{"3394", servertest.SandboxUUID.String()}, Authorities: []string{"ROLE_COMPANY_ADMIN"}},
	"platform administrator": {Subject: "root", Customers: []string{auth.AllCustomers}, Authorities: []string{"ROLE_ADMIN"}},
	"stranger":               {Subject: "alan", Customers: []string{servertest.ElsewhereUUID.String()}, Authorities: []string{"ROLE_ADMIN"}},
	"of no customer":         {Subject: "nobody", Customers: []string{}, Authorities: []string{"ROLE_ADMIN"}},
	"without a customer":     {Subject: "root", Authorities: []string{"ROLE_ADMIN"}},
	"company's of none":      {Subject: "mary", Customers: []string{}, Authorities: []string{"ROLE_COMPANY_ADMIN"}},
	"without the claim":      {Subject: "mary", Authorities: []string{"ROLE_COMPANY_ADMIN"}},
	"all, no administrator":  {Subject: "mary", Customers: []string{auth.AllCustomers}, Authorities: []string{"ROLE_COMPANY_ADMIN"}},
	"user":                   {Subject: "ada", Customers: []string{"3393"}, Authorities: []string{"ROLE_USER", "ROLE_CHANGE_USER", "ROLE_READ_ONLY", "ROLE_REPORT"}},
	"Worth's CRO":            {Subject: "cro", Customers: []string{"3393"}, Permissions: []auth.Permission{auth.PermissionRead, auth.PermissionWrite, auth.PermissionCreate}},
	"names the permission":   {Subject: "eve", Customers: []string{"3393"}, Permissions: []auth.Permission{auth.PermissionHistory, "*"}, Authorities: []string{"history"}},
}

func init() {
	for name, claims := range who {
		claims.Expires = time.Hour
		who[name] = claims
	}
}

// asGrace sends a request of the company administrator's, under a request id of its own.
func asGrace(t *testing.T, s *servertest.Server, id, method, path, body string) {
	t.Helper()
	claims := who["company administrator"]
	claims.Permissions = []auth.Permission{auth.PermissionWrite}
	a := s.Ask(claims, servertest.Request{Method: method, Path: path, Header: http.Header{"X-Request-Id": {id}}, Body: body})
	if a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
}

// change is a change as the history shows it.
func change(c store.UserChange, actor, subject, dialect, operation, request, fields string) string {
	return fmt.Sprintf(`{"customer":%d,"user":%d,"version":%d,"at":%q,"actor":%s,"subject":%q,"dialect":%q,"operation":%q,"requestId":%q,"fields":[%s]}`,
		c.CustomerID, c.UserID, c.Version, c.At.Format("2006-01-02T15:04:05.000Z"), actor, subject, dialect, operation, request, fields)
}

// history gives a user's changes as they are stored.
func history(t *testing.T, s *servertest.Server, key store.UserKey) []store.UserChange {
	t.Helper()
	all, err := s.Store.UserHistory(context.Background(), key, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestHistoryOfBothDialects(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		const (
			patch = "/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users/94520740-d63c-4e02-85ca-c4e138801e73"
			put   = "/account/api/v1/customers/3393/users/6860"
			rest  = `"email":"ada@example.org","accountNonExpired":true,"accountNonLocked":false,"credentialNonExpired":true,`
		)
		asGrace(t, s, "one", http.MethodPatch, patch, `{"first_name":"Augusta","mobile":"+44 20","subrole":{"code":"cro"}}`)
		asGrace(t, s, "none", http.MethodPatch, patch, `{"first_name":"Augusta"}`)
		asGrace(t, s, "two", http.MethodPut, put, `{"name":"Augusta","surname":"King","username":"ada","enabled":false,`+rest+
			`"authorities":[],"newPassword":"pa55Word!","vcsPassword":"git"}`)
		asGrace(t, s, "three", http.MethodPut, put, `{"name":"Augusta","surname":"King","username":"ada","enabled":false,`+rest+
			`"authorities":[],"vcsPassword":""}`)
		asGrace(t, s, "four", http.MethodPatch, patch, `{"mobile":""}`)

		rows := history(t, s, store.UserByID(servertest.Sandbox, servertest.Ada))
		if len(rows) != 5 {
			t.Fatalf("%+v", rows)
		}
		reset := s.FindUser(t, servertest.Ada).LastPasswordResetAt.Format("2006-01-02T15:04:05.000Z")
		byGrace := func(i int, dialect, operation, request, fields string) string {
			return change(rows[i], `"0cfecc31-e3f4-4fce-9a27-f36ea6256a10"`, "grace", dialect, operation, request, fields)
		}
		want := strings.Join([]string{
			change(rows[0], "null", "", "", "", "", `{"field":"FirstName","old":null,"new":"Ada"},{"field":"LastName","old":null,"new":"Lovelace"},`+
				`{"field":"Username","old":null,"new":"adalovelace"},{"field":"Email","old":null,"new":"ada.lovelace@example.com"},`+
				`{"field":"Roles","old":null,"new":["ROLE_USER"]},{"field":"Status","old":null,"new":"ACTIVE"},`+
				`{"field":"AccountNonExpired","old":null,"new":true},{"field":"AccountNonLocked","old":null,"new":true},`+
				`{"field":"CredentialNonExpired","old":null,"new":true},{"field":"AccessToken","old":null,"new":"set"},`+
				`{"field":"EmailVerified","old":null,"new":true},{"field":"FirstLogin","old":null,"new":false}`),
			byGrace(1, "worth", "updateCustomerUser", "one", `{"field":"FirstName","old":"Ada","new":"Augusta"},`+
				`{"field":"Mobile","old":null,"new":"+44 20"},{"field":"Roles","old":["ROLE_USER"],"new":["ROLE_COMPANY_ADMIN","ROLE_USER"]}`),
			byGrace(2, "testinium", "updateUser", "two", `{"field":"LastName","old":"Lovelace","new":"King"},`+
				`{"field":"Username","old":"adalovelace","new":"ada"},{"field":"Email","old":"ada.lovelace@example.com","new":"ada@example.org"},`+
				`{"field":"Roles","old":["ROLE_COMPANY_ADMIN","ROLE_USER"],"new":[]},{"field":"Status","old":"ACTIVE","new":"INACTIVE"},`+
				`{"field":"AccountNonLocked","old":true,"new":false},{"field":"PasswordHash","old":null,"new":"set"},`+
				`{"field":"LastPasswordResetAt","old":null,"new":"`+reset+`"},{"field":"VCSPassword","old":null,"new":"set"},`+
				`{"field":"EmailVerified","old":true,"new":false}`),
			byGrace(3, "testinium", "updateUser", "three", `{"field":"VCSPassword","old":null,"new":"cleared"}`),
			byGrace(4, "worth", "updateCustomerUser", "four", `{"field":"Mobile","old":"+44 20","new":null}`),
		}, ",")
		shows(t, read(s, who["company administrator"], adaHistory), `{"changes":[`+want+`],"next":5}`)
	})
}

// rename gives a user so many versions more.
func rename(t *testing.T, s *servertest.Server, key store.UserKey, times int) {
	t.Helper()
	for i := range times {
		_, _, err := s.Store.UpdateUser(context.Background(), key, store.Change{Edit: func(u *store.User) error {
			u.FirstName = fmt.Sprint("name ", u.Version, " ", i)
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// page is what is looked at of a page of changes: whose they are, and which.
type page struct {
	Changes []struct{ ID, Customer, User, Version int64 }
	Next    *int64
}

func readPage(t *testing.T, s *servertest.Server, claims auth.Claims, path string) page {
	t.Helper()
	a := read(s, claims, path)
	if a.Status != http.StatusOK {
		t.Fatalf("%s: %d %s", path, a.Status, a.Body)
	}
	var p page
	a.Decode(t, &p)
	return p
}

func (p page) versions() []int64 {
	all := []int64{}
	for _, c := range p.Changes {
		all = append(all, c.Version)
	}
	return all
}

func TestHistoryIsReadInParts(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		rename(t, s, store.UserByID(servertest.Sandbox, servertest.Ada), 6)
		for query, want := range map[string]string{
			"":                               "[1 2 3 4 5 6 7]",
			"?limit=3":                       "[1 2 3]",
			"?limit=3&after=3":               "[4 5 6]",
			"?after=6&limit=3":               "[7]",
			"?after=7":                       "[]",
			"?after=0&limit=1000":            "[1 2 3 4 5 6 7]",
			"?after=9223372036854775807":     "[]",
			"?limit=1&after=%36":             "[7]",
			"?":                              "[1 2 3 4 5 6 7]",
			"?after=00000000000000000000005": "[6 7]",
		} {
			if got := fmt.Sprint(readPage(t, s, who["administrator"], adaHistory+query).versions()); got != want {
				t.Errorf("%q shows %s, want %s", query, got, want)
			}
		}
	})
}

func TestHistoryPageSize(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	rename(t, s, store.UserByID(servertest.Sandbox, servertest.Ada), 104)
	for path, want := range map[string]int{
		adaHistory: 100, adaHistory + "?limit=1000": 105,
		changes: 100, changes + "?limit=1000": 107,
	} {
		if got := len(readPage(t, s, who["platform administrator"], path).Changes); got != want {
			t.Errorf("%s: %d changes, want %d", path, got, want)
		}
	}
}

func TestHistoryIsForAdministratorsOfTheCustomer(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		at := func(customer, user string) string {
			return "/directory/v1/customers/" + customer + "/users/" + user + "/history"
		}
		for name, claims := range who {
			t.Run(name, func(t *testing.T) {
				var mine, elsewhere, nowhere int
				switch name {
				case "company administrator", "administrator":
					mine, elsewhere, nowhere = 200, 403, 403
				case "of both customers":
					mine, elsewhere, nowhere = 200, 200, 403
				case "platform administrator":
					mine, elsewhere, nowhere = 200, 200, 404
				case "stranger":
					mine, elsewhere, nowhere = 403, 200, 403
				default:
					mine, elsewhere, nowhere = 403, 403, 403
				}
				for path, want := range map[string]int{
					at("3393", "6860"): mine, at("3394", "7001"): elsewhere, at("4711", "6860"): nowhere,
					at("0", "0"): nowhere, at("-1", "6860"): nowhere, at("9223372036854775807", "6860"): nowhere,
				} {
					switch a := read(s, claims, path); want {
					case 200:
						if a.Status != http.StatusOK {
							t.Errorf("%s: %d %s", path, a.Status, a.Body)
						}
					case 403:
						refuses(t, a, 403, forbidden)
					case 404:
						refuses(t, a, 404, noUser)
					}
				}
				// Who may read somebody's history, may not read that of a user who is another customer's.
				for _, user := range []string{"7001", "4711", "0", "-6860", "9223372036854775807"} {
					if a := read(s, claims, at("3393", user)); mine == 200 {
						refuses(t, a, 404, noUser)
					} else {
						refuses(t, a, 403, forbidden)
					}
				}
			})
		}
	})
}

func TestParametersAsDocumented(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	type told = servertest.FieldError
	for query, fields := range map[string][]told{
		"?after=-1":                  {{"after", "after must be at least 0"}},
		"?after=x":                   {{"after", "after must be an integer"}},
		"?after=":                    {{"after", "after must be an integer"}},
		"?after":                     {{"after", "after must be an integer"}},
		"?after=1.0":                 {{"after", "after must be an integer"}},
		"?after=%2B1":                {{"after", "after must be an integer"}},
		"?after=9223372036854775808": {{"after", "after must be an integer"}},
		"?after=1&after=1":           {{"after", "after must be given once"}},
		"?limit=0":                   {{"limit", "limit must be at least 1"}},
		"?limit=-1":                  {{"limit", "limit must be at least 1"}},
		"?limit=1001":                {{"limit", "limit must be at most 1000"}},
		"?limit=4294967297":          {{"limit", "limit must be an integer"}},
		"?limit=ten":                 {{"limit", "limit must be an integer"}},
		"?limit=1&limit=2":           {{"limit", "limit must be given once"}},
		"?limit=0&after=-1":          {{"after", "after must be at least 0"}, {"limit", "limit must be at least 1"}},
		"?limits=1":                  {{"limits", "limits is not a parameter, the nearest is limit"}},
		"?After=1":                   {{"After", "After is not a parameter, the nearest is after"}},
		"?user=6860&after=x":         {{"after", "after must be an integer"}, {"user", "user is not a parameter, the nearest is after"}},
		"?%zz":                       {{"", "the query is not well formed"}},
		"?after=1;limit=1":           {{"", "the query is not well formed"}},
	} {
		for _, path := range []string{adaHistory, changes} {
			t.Run(path+query, func(t *testing.T) {
				refuses(t, read(s, who["company administrator"], path+query), 400, invalid, fields...)
			})
		}
	}
	for path, fields := range map[string][]told{
		"/directory/v1/customers/x/users/6860/history":                                    {{"id", "id must be an integer"}},
		"/directory/v1/customers/3393/users/94520740-d63c-4e02-85ca-c4e138801e73/history": {{"userId", "userId must be an integer"}},
		"/directory/v1/customers/a/users/b/history?limit=c": {
			{"id", "id must be an integer"}, {"userId", "userId must be an integer"}, {"limit", "limit must be an integer"}},
		"/directory/v1/customers//users/6860/history": {{"id", "id is required"}},
	} {
		t.Run(path, func(t *testing.T) { refuses(t, read(s, who["company administrator"], path), 400, invalid, fields...) })
	}
}

// Who is not known, or asks for what nobody has, hears nothing of parameters.
func TestProblemsComeInTheirOrder(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, path := range []string{adaHistory, changes} {
		a := s.Send(servertest.Request{Method: http.MethodGet, Path: path + "?limit=x"})
		refuses(t, a, 401, unauthenticated)
		a.ExpectHeader(t, "WWW-Authenticate", "Bearer")
		refuses(t, read(s, who["user"], path+"?limit=x"), 400, invalid, servertest.FieldError{"limit", "limit must be an integer"})
		refuses(t, read(s, who["user"], path+"?limit=1"), 403, forbidden)
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			a := s.Ask(who["platform administrator"], servertest.Request{Method: method, Path: path})
			refuses(t, a, 405, "The path does not support this method.")
			a.ExpectHeader(t, "Allow", "OPTIONS, GET, HEAD")
		}
	}
	for _, path := range []string{"/directory/v1", "/directory/v1/", "/directory/v1/users", changes + "/1", adaHistory + "/1"} {
		refuses(t, read(s, who["platform administrator"], path), 404, "There is no such path.")
	}
}
