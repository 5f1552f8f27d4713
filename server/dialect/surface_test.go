package dialect_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/servertest"
)

// surface is one dialect's update of a user, for the laws that hold in all of them.
type surface struct {
	name, method string
	path         string // with the customer and the user to be filled in
	customer     string // the sandbox, as the path names it
	foreign      string // another customer
	user         string // Ada, as the path names her
	header       http.Header
	members      []member // a body that changes nothing
	text         string   // the member that holds her first name
	taken        servertest.FieldError
	words        map[dialect.Kind][2]string // code, and name or sentence
}

// member is a member of a body: its name, and its value as JSON.
type member [2]string

var surfaces = []surface{
	{
		name:     "worth",
		method:   http.MethodPatch,
		path:     "/auth/api/v1/customers/%s/users/%s",
		customer: "2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1",
		foreign:  "1189b832-9e28-409a-a655-28d9e04eb022",
		user:     "94520740-d63c-4e02-85ca-c4e138801e73",
		members:  []member{{"first_name", `"Ada"`}},
		text:     "first_name",
		taken:    servertest.FieldError{"email", "Another customer user exists with the same email."},
		words: map[dialect.Kind][2]string{
			dialect.Internal:             {"ERR_INTERNAL_SERVER", "InternalServerError: Internal Server Error"},
			dialect.Invalid:              {"INVALID", "ValidationMiddlewareError: "},
			dialect.Refused:              {"INVALID", "CustomersApiError: "},
			dialect.Unauthenticated:      {"ERR_UNAUTHORIZED", "AuthenticationMiddlewareError: Unauthorized"},
			dialect.TokenExpired:         {"ERR_UNAUTHORIZED", "TokenExpiredError: Unauthorized"},
			dialect.Forbidden:            {"ERR_FORBIDDEN", "AccessMiddlewareError: Forbidden"},
			dialect.UserNotFound:         {"INVALID", "CustomersApiError: Customer user does not exist"},
			dialect.RouteNotFound:        {"NOT_FOUND", "RouteNotFoundError: Not Found"},
			dialect.MethodNotAllowed:     {"NOT_ALLOWED", "MethodNotAllowedError: Method Not Allowed"},
			dialect.RequestTimeout:       {"REQUEST_TIMEOUT", "RequestTimeoutError: Request Timeout"},
			dialect.PreconditionFailed:   {"PRECONDITION_FAILED", "PreconditionFailedError: Precondition Failed"},
			dialect.ContentTooLarge:      {"CONTENT_TOO_LARGE", "ContentTooLargeError: Content Too Large"},
			dialect.UnsupportedMediaType: {"UNSUPPORTED_MEDIA_TYPE", "UnsupportedMediaTypeError: Unsupported Media Type"},
			dialect.RateLimited:          {"TOO_MANY_REQUESTS", "TooManyRequestsError: Too Many Requests"},
			dialect.Unavailable:          {"SERVICE_UNAVAILABLE", "ServiceUnavailableError: Service Unavailable"},
		},
	},
	{
		name:     "testinium",
		method:   http.MethodPut,
		path:     "/account/api/v1/customers/%s/users/%s",
		customer: "3393",
		foreign:  "3394",
		user:     "6860",
		header:   http.Header{"current-company-id": {"5251"}},
		members: []member{
			{"name", `"Ada"`}, {"surname", `"Lovelace"`}, {"username", `"adalovelace"`}, {"email", `"ada.lovelace@example.com"`},
			{"enabled", "true"}, {"accountNonExpired", "true"}, {"accountNonLocked", "true"}, {"credentialNonExpired", "true"},
			{"authorities", `[{"name":"ROLE_USER"}]`},
		},
		text:  "name",
		taken: servertest.FieldError{"email", "email is already taken by another user"},
		words: map[dialect.Kind][2]string{
			dialect.Internal:             {"INTERNAL_SERVER_ERROR", "An unexpected error occurred on the server side."},
			dialect.Invalid:              {"INVALID_REQUEST", "The request was malformed or contained errors."},
			dialect.Refused:              {"INVALID_REQUEST", "The request was malformed or contained errors."},
			dialect.Unauthenticated:      {"UNAUTHORIZED", "Missing or invalid authentication token."},
			dialect.TokenExpired:         {"UNAUTHORIZED", "Missing or invalid authentication token."},
			dialect.Forbidden:            {"ACCESS_DENIED", "The user lacks permission to update this information."},
			dialect.UserNotFound:         {"USER_NOT_FOUND", "No user was found for the specified `userId`."},
			dialect.RouteNotFound:        {"NOT_FOUND", "There is no such path."},
			dialect.MethodNotAllowed:     {"METHOD_NOT_ALLOWED", "The path does not support this method."},
			dialect.RequestTimeout:       {"REQUEST_TIMEOUT", "The request body did not arrive in time, or not to its end."},
			dialect.PreconditionFailed:   {"PRECONDITION_FAILED", "The user's present version is not one that the request's preconditions allow."},
			dialect.ContentTooLarge:      {"PAYLOAD_TOO_LARGE", "The request body is too large."},
			dialect.UnsupportedMediaType: {"UNSUPPORTED_MEDIA_TYPE", "The request body must be JSON."},
			dialect.RateLimited:          {"TOO_MANY_REQUESTS", "Too many requests were made. Try again later."},
			dialect.Unavailable:          {"SERVICE_UNAVAILABLE", "The service cannot answer at the moment. Try again later."},
		},
	},
}

var statuses = map[dialect.Kind]int{
	dialect.Internal:             500,
	dialect.Invalid:              400,
	dialect.Refused:              400,
	dialect.Unauthenticated:      401,
	dialect.TokenExpired:         401,
	dialect.Forbidden:            403,
	dialect.UserNotFound:         404,
	dialect.RouteNotFound:        404,
	dialect.MethodNotAllowed:     405,
	dialect.RequestTimeout:       408,
	dialect.PreconditionFailed:   412,
	dialect.ContentTooLarge:      413,
	dialect.UnsupportedMediaType: 415,
	dialect.RateLimited:          429,
	dialect.Unavailable:          503,
}

// onEach runs test once for each dialect, against one server.
func onEach(t *testing.T, s *servertest.Server, test func(t *testing.T, f surface)) {
	t.Helper()
	for _, f := range surfaces {
		t.Run(f.name, func(t *testing.T) { test(t, f) })
	}
}

// request is a legal one that changes nothing.
func (f surface) request(s *servertest.Server) servertest.Request {
	return f.requestBy(s, servertest.Manager())
}

func (f surface) requestBy(s *servertest.Server, who auth.Claims) servertest.Request {
	header := http.Header{"Authorization": {"Bearer " + s.Token(who)}, "Content-Type": {"application/json"}}
	for name, values := range f.header {
		header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	return servertest.Request{Method: f.method, Path: f.ada(), Header: header, Body: f.body()}
}

// ada is her path.
func (f surface) ada() string { return f.at(f.customer, f.user) }

func (f surface) at(customer, user string) string { return fmt.Sprintf(f.path, customer, user) }

// body is the legal body with further members, each in the place of the one of its name.
func (f surface) body(with ...member) string {
	members := slices.Clone(f.members)
	for _, w := range with {
		if i := slices.IndexFunc(members, func(m member) bool { return m[0] == w[0] }); i >= 0 {
			members[i] = w
		} else {
			members = append(members, w)
		}
	}
	var all []string
	for _, m := range members {
		all = append(all, fmt.Sprintf("%q:%s", m[0], m[1]))
	}
	return "{" + strings.Join(all, ",") + "}"
}

// refuses fails the test unless the answer, to a request for Ada, is an error of this kind about these fields.
func (f surface) refuses(t *testing.T, a servertest.Answer, kind dialect.Kind, fields ...servertest.FieldError) {
	t.Helper()
	f.refusesAt(t, f.ada(), a, kind, fields...)
}

func (f surface) refusesAt(t *testing.T, path string, a servertest.Answer, kind dialect.Kind, fields ...servertest.FieldError) {
	t.Helper()
	status, words := statuses[kind], f.words[kind]
	if f.name == "testinium" {
		a.Expect(t, status, servertest.TestiniumError(status, words[0], words[1], path, fields...))
		return
	}
	name, message, _ := strings.Cut(words[1], ": ")
	a.Expect(t, status, servertest.WorthError(status, words[0], name, message, fields...))
}

// accepts fails the test unless the answer is a success. What it says is for the dialect's own tests.
func (f surface) accepts(t *testing.T, a servertest.Answer) {
	t.Helper()
	if a.Status != http.StatusOK {
		t.Errorf("the answer is %d %s, want 200", a.Status, a.Body)
	}
}

// untouched fails the test if anything about Ada has changed since she was made.
func untouched(t *testing.T, s *servertest.Server) {
	t.Helper()
	if u := s.FindUser(t, servertest.Ada); u.Version != 1 {
		t.Errorf("a refused request was written: %+v", u)
	}
}
