package worth_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/google/uuid"
)

// userPath is the path of a user of the sandbox's customer.
func userPath(id any) string {
	return fmt.Sprintf("/auth/api/v1/customers/%s/users/%s", servertest.SandboxUUID, id)
}

// katherine is a user of the sandbox of whom everything is known.
func katherine() store.User {
	at := time.Date(2024, 2, 12, 14, 16, 49, 50_000_000, time.UTC)
	external := uuid.MustParse("5f0e3a52-7b07-4c51-9f0b-3d1f8a3d5e11")
	return store.User{
		UUID:                 uuid.MustParse("3bd0c1ff-6b0b-4f0c-8f57-0d3c4f1b2a77"),
		CustomerID:           servertest.Sandbox,
		FirstName:            "Katherine",
		LastName:             "Johnson",
		Username:             "kjohnson",
		Email:                "Katherine.Johnson@example.com",
		Mobile:               new("+1 202 555 0101"),
		Roles:                store.Roles(2, 3, 11),
		Status:               store.StatusActive,
		AccountNonExpired:    true,
		AccountNonLocked:     true,
		CredentialNonExpired: true,
		AccessToken:          "0123456789abcdef0123456789abcdef",
		VCSPassword:          new("vcs-secret-of-katherine"),
		PasswordHash:         new("$argon2id$secret-of-katherine"),
		EmailVerified:        true,
		ExternalAuthID:       &external,
		CreatedAt:            at,
		CreatedBy:            &servertest.GraceUUID,
		UpdatedAt:            at.Add(time.Hour),
		UpdatedBy:            &servertest.AdaUUID,
	}
}

// create stores u as it is.
func create(t testing.TB, s *servertest.Server, u store.User) store.User {
	t.Helper()
	if err := s.Store.CreateUser(context.Background(), &u); err != nil {
		t.Fatal(err)
	}
	return u
}

// companyDetails is what get-one shows of the sandbox's customer.
func companyDetails(t testing.TB, s *servertest.Server) string {
	t.Helper()
	c, err := s.Store.FindCustomer(context.Background(), store.CustomerByID(servertest.Sandbox))
	if err != nil {
		t.Fatal(err)
	}
	at := c.CreatedAt.Format("2006-01-02T15:04:05.000Z")
	return fmt.Sprintf(`{"id":"2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1","name":"Sandbox","contact_number":null,"is_active":true,`+
		`"created_at":%q,"created_by":null,"updated_at":%q,"updated_by":null}`, at, at)
}

func TestGetShowsTheUser(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		u := create(t, s, katherine())
		answer := s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodGet, Path: userPath(u.UUID)})
		answer.Expect(t, http.StatusOK, `{"status":"success","message":"Success","data":{`+
			`"id":"3bd0c1ff-6b0b-4f0c-8f57-0d3c4f1b2a77","first_name":"Katherine","last_name":"Johnson",`+
			`"email":"Katherine.Johnson@example.com","mobile":"+1 202 555 0101","is_email_verified":true,"is_first_login":false,`+
			`"created_at":"2024-02-12T14:16:49.050Z","created_by":"0cfecc31-e3f4-4fce-9a27-f36ea6256a10",`+
			`"updated_at":"2024-02-12T15:16:49.050Z","updated_by":"94520740-d63c-4e02-85ca-c4e138801e73",`+
			`"company_details":`+companyDetails(t, s)+`,"status":"ACTIVE",`+
			`"subrole":{"id":"e0d4970f-0f4d-4a0d-aaa6-681a048cb656","code":"cro","label":"CRO","role_id":2,"display_name":"CRO"}}}`)
		answer.ExpectHeader(t, "ETag", `"1"`)
		answer.ExpectHeader(t, "Cache-Control", "private, no-cache")
		answer.ExpectHeader(t, "Content-Type", "application/json; charset=utf-8")
	})
}

func TestGetShowsNullForAbsentValues(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		u := katherine()
		u.Mobile, u.Roles, u.CreatedBy, u.UpdatedBy, u.ExternalAuthID = nil, store.Roles(4, 5), nil, nil, nil
		u.Status, u.FirstLogin, u.EmailVerified, u.FirstName = store.StatusInvited, true, false, ""
		u = create(t, s, u)
		s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodGet, Path: userPath(u.UUID)}).
			Expect(t, http.StatusOK, `{"status":"success","message":"Success","data":{`+
				`"id":"3bd0c1ff-6b0b-4f0c-8f57-0d3c4f1b2a77","first_name":"","last_name":"Johnson",`+
				`"email":"Katherine.Johnson@example.com","mobile":null,"is_email_verified":false,"is_first_login":true,`+
				`"created_at":"2024-02-12T14:16:49.050Z","created_by":null,`+
				`"updated_at":"2024-02-12T15:16:49.050Z","updated_by":null,`+
				`"company_details":`+companyDetails(t, s)+`,"status":"INVITED","subrole":null}}`)
	})
}

func TestGetErrorsAsDocumented(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		notFound := servertest.WorthError(http.StatusNotFound, "NOT_FOUND", "CustomersApiError", "Customer user Not Found")
		forbidden := servertest.WorthError(http.StatusForbidden, "ERR_FORBIDDEN", "AccessMiddlewareError", "Forbidden")
		invalid := func(fields ...servertest.FieldError) string {
			return servertest.WorthError(http.StatusBadRequest, "INVALID", "ValidationMiddlewareError", "", fields...)
		}
		elsewhere := fmt.Sprintf("/auth/api/v1/customers/%s/users/%s", servertest.ElsewhereUUID, servertest.AlanUUID)
		nowhere := "/auth/api/v1/customers/5d2b1c9e-31a5-4c39-8c1a-4a3f7cf4f0aa/users/" + servertest.AdaUUID.String()
		with := func(change func(*auth.Claims)) auth.Claims {
			c := servertest.Manager()
			change(&c)
			return c
		}
		for name, c := range map[string]struct {
			claims auth.Claims
			path   string
			header http.Header
			status int
			body   string
		}{
			"nobody has the id":                {servertest.Manager(), userPath("5d2b1c9e-31a5-4c39-8c1a-4a3f7cf4f0aa"), nil, 404, notFound},
			"the user is another customer's":   {servertest.Manager(), userPath(servertest.AlanUUID), nil, 404, notFound},
			"the customer is another's":        {servertest.Manager(), elsewhere, nil, 403, forbidden},
			"there is no such customer":        {servertest.Manager(), nowhere, nil, 403, forbidden},
			"the token's customer is nowhere":  {with(func(c *auth.Claims) { c.Customers = []string{nowhere[23:59]} }), nowhere, nil, 404, notFound},
			"no permission":                    {with(func(c *auth.Claims) { c.Permissions, c.Authorities = nil, nil }), userPath(servertest.AdaUUID), nil, 403, forbidden},
			"permission to write alone":        {with(func(c *auth.Claims) { c.Permissions, c.Authorities = []auth.Permission{"customer_user:write"}, nil }), userPath(servertest.AdaUUID), nil, 403, forbidden},
			"the user's id is no UUID":         {servertest.Manager(), userPath("6860"), nil, 400, invalid(servertest.FieldError{"userID", "userID must be a UUID"})},
			"the user's id is the bare digits": {servertest.Manager(), userPath("94520740d63c4e0285cac4e138801e73"), nil, 400, invalid(servertest.FieldError{"userID", "userID must be a UUID"})},
			"the user's id holds U+0000":       {servertest.Manager(), userPath("%00"), nil, 400, invalid(servertest.FieldError{"userID", "userID must be a UUID"})},
			"neither id is a UUID": {servertest.Manager(), "/auth/api/v1/customers/3393/users/%FF", nil, 400, invalid(
				servertest.FieldError{"customerID", "customerID must be a UUID"}, servertest.FieldError{"userID", "userID must be a UUID"})},
			"syntax is told before the customer": {servertest.Manager(), elsewhere + "x", nil, 400, invalid(servertest.FieldError{"userID", "userID must be a UUID"})},
			"a malformed If-None-Match": {servertest.Manager(), userPath(servertest.AdaUUID), http.Header{"If-None-Match": {"1"}}, 400, invalid(
				servertest.FieldError{"If-None-Match", "If-None-Match must be * or entity tags in double quotes"})},
			"no token": {servertest.Manager(), userPath(servertest.AdaUUID), http.Header{"Authorization": nil}, 401,
				servertest.WorthError(http.StatusUnauthorized, "ERR_UNAUTHORIZED", "AuthenticationMiddlewareError", "Unauthorized")},
		} {
			t.Run(name, func(t *testing.T) {
				answer := s.Ask(c.claims, servertest.Request{Method: http.MethodGet, Path: c.path, Header: c.header})
				answer.Expect(t, c.status, c.body)
				answer.ExpectHeader(t, "ETag")
				answer.ExpectHeader(t, "Content-Type", "application/json; charset=utf-8")
			})
		}
	})
}

func TestReadNeedsReadPermissionOnly(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	reader := servertest.Manager()
	reader.Permissions, reader.Authorities = []auth.Permission{auth.PermissionRead}, nil
	customer := "/auth/api/v1/customers/" + servertest.SandboxUUID.String()
	for _, path := range []string{userPath(servertest.AdaUUID), customer + "/users", customer + "/subroles"} {
		if answer := s.Ask(reader, servertest.Request{Method: http.MethodGet, Path: path}); answer.Status != http.StatusOK {
			t.Errorf("%s: %d %s", path, answer.Status, answer.Body)
		}
	}
}

func TestGetNotModified(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		ask := func(ifNoneMatch ...string) servertest.Answer {
			return s.Ask(servertest.Manager(), servertest.Request{
				Method: http.MethodGet, Path: userPath(servertest.AdaUUID), Header: http.Header{"If-None-Match": ifNoneMatch},
			})
		}
		for _, match := range [][]string{
			{`"1"`}, {`W/"1"`}, {`*`}, {` "1" `}, {`"0", "1"`}, {`W/"7","x,y"`, `"1"`}, {`"0",, W/"1" ,`},
		} {
			answer := ask(match...)
			if answer.Status != http.StatusNotModified || answer.Body != "" {
				t.Errorf("%q: %d %s", match, answer.Status, answer.Body)
			}
			answer.ExpectHeader(t, "ETag", `"1"`)
			answer.ExpectHeader(t, "Cache-Control", "private, no-cache")
			answer.ExpectHeader(t, "Content-Type")
		}
		for _, match := range [][]string{nil, {`"0"`}, {`W/"2"`}, {`"01"`}, {`"W/1"`}, {`""`}, {`"0", "2"`}} {
			if answer := ask(match...); answer.Status != http.StatusOK {
				t.Errorf("%q: %d %s", match, answer.Status, answer.Body)
			}
		}
		for _, match := range []string{``, `1`, `"1`, `w/"1"`, `*, "1"`, `"1" "2"`, `,`, `W/1`, `"1 "`} {
			ask(match).Expect(t, http.StatusBadRequest, servertest.WorthError(http.StatusBadRequest, "INVALID", "ValidationMiddlewareError", "",
				servertest.FieldError{"If-None-Match", "If-None-Match must be * or entity tags in double quotes"}))
		}
		if answer := s.Ask(servertest.Manager(), servertest.Request{
			Method: http.MethodGet, Path: userPath(uuid.Nil), Header: http.Header{"If-None-Match": {"*"}},
		}); answer.Status != http.StatusNotFound {
			t.Errorf("nobody, whatever the version: %d %s", answer.Status, answer.Body)
		}
	})
}

func TestETagSharedAcrossDialects(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		const long = "/account/api/v1/customers/3393/users/6860"
		same := func(want string) {
			t.Helper()
			for _, path := range []string{userPath(servertest.AdaUUID), long} {
				answer := s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodGet, Path: path})
				answer.ExpectHeader(t, "ETag", want)
				for _, match := range []string{want, "W/" + want} {
					again := s.Ask(servertest.Manager(), servertest.Request{
						Method: http.MethodGet, Path: path, Header: http.Header{"If-None-Match": {match}},
					})
					if again.Status != http.StatusNotModified {
						t.Errorf("%s: %d", path, again.Status)
					}
				}
			}
		}
		same(`"1"`)
		patch := servertest.Request{Method: http.MethodPatch, Path: userPath(servertest.AdaUUID), Body: `{"mobile":"+44 20 7946 0000"}`}
		s.Ask(servertest.Manager(), patch).ExpectHeader(t, "ETag", `"2"`)
		same(`"2"`)
		s.Ask(servertest.Manager(), patch).ExpectHeader(t, "ETag", `"2"`)
		same(`"2"`)
		got := s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodGet, Path: long})
		s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodPut, Path: long, Body: got.Body}).ExpectHeader(t, "ETag", `"2"`)
		same(`"2"`)
	})
}
