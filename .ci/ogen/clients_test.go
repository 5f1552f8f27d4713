// Package clients runs Go clients that ogen makes of the documents against a server. run makes them, starts the server,
// and says by variables where it is and with which tokens it may be asked.
package clients

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/ogen-go/ogen/validate"

	"github.com/dragoman-id/dragoman/.ci/ogen/generated/testinium"
	"github.com/dragoman-id/dragoman/.ci/ogen/generated/worth"
)

// The sandbox that serve --dev invents: its customer, by id, and one of its companies.
const (
	customer = 3393
	company  = 5251
	// The user whom an import brought, with the highest id that one may bring, and with nothing that may be null.
	edge = 1 << 52
	// The highest id that there can be.
	maximum = 1<<53 - 1
)

var (
	customerUUID                        = uuid.MustParse("2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1")
	serverURL, manager, reader, another string
	created                             atomic.Int64
)

func TestMain(m *testing.M) {
	for name, value := range map[string]*string{
		"SERVER_URL": &serverURL, "TOKEN_MANAGER": &manager, "TOKEN_READER": &reader, "TOKEN_ELSEWHERE": &another,
	} {
		if *value = os.Getenv(name); *value == "" {
			log.Fatalf("%s is not set: start the tests by .ci/ogen/run", name)
		}
	}
	os.Exit(m.Run())
}

type worthToken string

func (t worthToken) BearerAuth(context.Context, worth.OperationName) (worth.BearerAuth, error) {
	return worth.BearerAuth{Token: string(t)}, nil
}

type testiniumToken string

func (t testiniumToken) BearerAuth(context.Context, testinium.OperationName) (testinium.BearerAuth, error) {
	return testinium.BearerAuth{Token: string(t)}, nil
}

func worthAPI(t *testing.T, token string, options ...worth.ClientOption) *worth.Client {
	t.Helper()
	c, err := worth.NewClient(serverURL+"/auth/api/v1", worthToken(token), options...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func testiniumAPI(t *testing.T, token string, options ...testinium.ClientOption) *testinium.Client {
	t.Helper()
	c, err := testinium.NewClient(serverURL+"/account/api/v1", testiniumToken(token), options...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// plainText is an HTTP client that calls every body text.
var plainText = &http.Client{Transport: contentType("text/plain")}

type contentType string

func (c contentType) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Content-Type", string(c))
	return http.DefaultTransport.RoundTrip(r)
}

// answer returns the answer to a call, as the type that the document gives it.
func answer[T any](t *testing.T) func(res any, err error) T {
	t.Helper()
	return func(res any, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		a, ok := res.(T)
		if !ok {
			t.Fatalf("the answer is %T: %+v", res, res)
		}
		return a
	}
}

// wantWorthError fails the test unless an answer is an error of the type T, and returns what every error has.
func wantWorthError[T interface{ GetResponse() worth.Error }](t *testing.T) func(res any, err error) worth.Error {
	t.Helper()
	return func(res any, err error) worth.Error {
		t.Helper()
		e := answer[T](t)(res, err).GetResponse()
		if e.Status != "fail" || e.Message == "" || e.ErrorCode == "" || e.Data.ErrorName == "" {
			t.Errorf("the error is %+v", e)
		}
		return e
	}
}

// wantTestiniumError fails the test unless an answer is an error of the type T with this code, and returns it.
func wantTestiniumError[T interface{ GetResponse() testinium.Error }](t *testing.T, message string) func(res any, err error) testinium.Error {
	t.Helper()
	return func(res any, err error) testinium.Error {
		t.Helper()
		e := answer[T](t)(res, err).GetResponse()
		if e.Message != message || e.Status < 400 || e.Error == "" || e.Description == "" || e.Path == "" || e.Timestamp == 0 {
			t.Errorf("the error is %+v, want %s", e, message)
		}
		return e
	}
}

// newUser returns a user whom nobody has yet.
func newUser() *worth.NewUser {
	return &worth.NewUser{
		FirstName: "Mary", LastName: "Jackson", Email: fmt.Sprintf("ogen.%d.%d@example.com", os.Getpid(), created.Add(1)),
		Mobile:  worth.NewOptString("+1 757 555 0100"),
		Subrole: worth.NewUserSubrole{ID: "6351c76f-76a3-4950-9cc4-cc37cdc05ec2", Code: "risk_analyst", Label: "Risk Analyst"},
	}
}

// createUser creates a user whom nobody else changes.
func createUser(t *testing.T) (id uuid.UUID, email string) {
	t.Helper()
	u := newUser()
	res, err := worthAPI(t, manager).CreateCustomerUser(t.Context(), u, worth.CreateCustomerUserParams{CustomerID: customerUUID})
	return answer[*worth.CreateCustomerUserOKHeaders](t)(res, err).Response.Data.UserID, u.Email
}

func worthUser(id uuid.UUID) worth.GetCustomerUserParams {
	return worth.GetCustomerUserParams{CustomerID: customerUUID, UserID: id}
}

func worthUpdate(id uuid.UUID) worth.UpdateCustomerUserParams {
	return worth.UpdateCustomerUserParams{CustomerID: customerUUID.String(), UserID: id.String()}
}

// firstName returns a body that changes the first name.
func firstName(s string) *worth.UpdateCustomerUserReq {
	return &worth.UpdateCustomerUserReq{FirstName: worth.NewOptString(s)}
}

func getWorth(t *testing.T, id uuid.UUID) *worth.GetCustomerUserOKHeaders {
	t.Helper()
	return answer[*worth.GetCustomerUserOKHeaders](t)(worthAPI(t, manager).GetCustomerUser(t.Context(), worthUser(id)))
}

func TestWorthUpdate(t *testing.T) {
	t.Parallel()
	id, _ := createUser(t)
	before := getWorth(t, id).Response.Data
	api := worthAPI(t, manager)
	ok := answer[*worth.UpdateCustomerUserOKHeaders](t)(api.UpdateCustomerUser(t.Context(), firstName("Mary W."), worthUpdate(id)))
	if ok.Response.Message != "User details updated successfully" || ok.DragomanChanged.Value != "first_name" || ok.DragomanIgnored.Set {
		t.Errorf("the answer is %+v", ok)
	}
	after := getWorth(t, id)
	if after.ETag != ok.ETag.Value {
		t.Errorf("the ETag is %s after an update that gave %s", after.ETag, ok.ETag.Value)
	}
	before.FirstName, before.UpdatedAt, before.UpdatedBy = "Mary W.", after.Response.Data.UpdatedAt, after.Response.Data.UpdatedBy
	if !reflect.DeepEqual(after.Response.Data, before) {
		t.Errorf("the user is\n%+v\nwant\n%+v", after.Response.Data, before)
	}
	ok = answer[*worth.UpdateCustomerUserOKHeaders](t)(api.UpdateCustomerUser(t.Context(), firstName("Mary W."), worthUpdate(id)))
	if ok.DragomanChanged.Value != "" {
		t.Errorf("an update of nothing changed %s", ok.DragomanChanged.Value)
	}
}

func TestWorthListAndNulls(t *testing.T) {
	t.Parallel()
	id, email := createUser(t)
	api := worthAPI(t, manager)
	list := func(email string) []worth.UserRecord {
		t.Helper()
		page := answer[*worth.ListCustomerUsersOKHeaders](t)(api.ListCustomerUsers(t.Context(), worth.ListCustomerUsersParams{
			CustomerID: customerUUID, Page: worth.NewOptInt64(1), ItemsPerPage: worth.NewOptInt64(5),
			SearchFilterEmail: worth.NewOptString(email),
		})).Response.Data
		if page.TotalItems != "1" || page.TotalPages != 1 || len(page.Records) != 1 {
			t.Fatalf("the page is %+v", page)
		}
		return page.Records
	}
	if r := list(email)[0]; r.ID != id || r.Status != worth.UserStateINVITED || r.Subrole.Null || r.Mobile.Null {
		t.Errorf("the record is %+v", r)
	}
	r := list("edge.case@example.com")[0]
	if !r.Mobile.Null || !r.Subrole.Null || !r.CreatedBy.Null || !r.ExtAuthRefID.Null {
		t.Errorf("the record is %+v, want nulls", r)
	}
	u := getWorth(t, r.ID).Response.Data
	if !u.Mobile.Null || !u.Subrole.Null || !u.CreatedBy.Null || !u.CompanyDetails.ContactNumber.Null {
		t.Errorf("the user is %+v, want nulls", u)
	}
	subroles := answer[*worth.ListCustomerSubrolesOKHeaders](t)(api.ListCustomerSubroles(t.Context(), worth.ListCustomerSubrolesParams{CustomerID: customerUUID}))
	if len(subroles.Response.Data) == 0 {
		t.Error("there are no subroles")
	}
}

func TestWorthPreconditions(t *testing.T) {
	t.Parallel()
	id, _ := createUser(t)
	api := worthAPI(t, manager)
	tag := getWorth(t, id).ETag

	get := worthUser(id)
	get.IfNoneMatch = worth.NewOptString(tag)
	if same := answer[*worth.GetCustomerUserNotModified](t)(api.GetCustomerUser(t.Context(), get)); same.ETag != tag {
		t.Errorf("a 304 has the ETag %s, want %s", same.ETag, tag)
	}
	answer[*worth.ListNotModified](t)(api.ListCustomerUsers(t.Context(), worth.ListCustomerUsersParams{
		CustomerID: customerUUID, IfNoneMatch: worth.NewOptString("*"),
	}))

	update := worthUpdate(id)
	update.IfMatch = worth.NewOptString(tag)
	answer[*worth.UpdateCustomerUserOKHeaders](t)(api.UpdateCustomerUser(t.Context(), firstName("First"), update))
	wantWorthError[*worth.PreconditionFailedHeaders](t)(api.UpdateCustomerUser(t.Context(), firstName("Second"), update))
	get = worthUser(id)
	get.IfMatch = update.IfMatch
	wantWorthError[*worth.PreconditionFailedHeaders](t)(api.GetCustomerUser(t.Context(), get))
	if name := getWorth(t, id).Response.Data.FirstName; name != "First" {
		t.Errorf("the name is %s", name)
	}
}

func TestWorthErrors(t *testing.T) {
	t.Parallel()
	id, email := createUser(t)
	api := worthAPI(t, manager)
	subrole := func(code, label string) *worth.UpdateCustomerUserReq {
		return &worth.UpdateCustomerUserReq{Subrole: worth.NewOptUpdateCustomerUserReqSubrole(worth.UpdateCustomerUserReqSubrole{
			Code: worth.NewOptString(code), Label: worth.NewOptString(label),
		})}
	}
	e := wantWorthError[*worth.BadRequestHeaders](t)(api.UpdateCustomerUser(t.Context(), subrole("pilot", ""), worthUpdate(id)))
	if len(e.Data.Errors) != 1 || e.Data.Errors[0].Field != "subrole.code" {
		t.Errorf("the errors are %+v", e.Data.Errors)
	}
	taken := newUser()
	taken.Email = email
	wantWorthError[*worth.BadRequestHeaders](t)(api.CreateCustomerUser(t.Context(), taken, worth.CreateCustomerUserParams{CustomerID: customerUUID}))

	nobody, users := worthAPI(t, "no.jwt.atall"), worth.ListCustomerUsersParams{CustomerID: customerUUID}
	wantWorthError[*worth.UnauthorizedHeaders](t)(nobody.UpdateCustomerUser(t.Context(), firstName("Nobody"), worthUpdate(id)))
	wantWorthError[*worth.UnauthorizedHeaders](t)(nobody.GetCustomerUser(t.Context(), worthUser(id)))
	wantWorthError[*worth.UnauthorizedHeaders](t)(nobody.ListCustomerUsers(t.Context(), users))
	for _, token := range []string{reader, another} {
		wantWorthError[*worth.ForbiddenHeaders](t)(worthAPI(t, token).UpdateCustomerUser(t.Context(), firstName("Nobody"), worthUpdate(id)))
	}
	wantWorthError[*worth.ForbiddenHeaders](t)(worthAPI(t, another).GetCustomerUser(t.Context(), worthUser(id)))
	wantWorthError[*worth.ForbiddenHeaders](t)(worthAPI(t, another).ListCustomerUsers(t.Context(), users))

	unknown := uuid.MustParse("1cf29daf-e5ce-4ccd-ac7a-9aba8a5b600c")
	wantWorthError[*worth.UserNotFoundHeaders](t)(api.GetCustomerUser(t.Context(), worthUser(unknown)))
	wantWorthError[*worth.ErrorHeaders](t)(api.UpdateCustomerUser(t.Context(), firstName("Nobody"), worthUpdate(unknown)))

	wantWorthError[*worth.ContentTooLargeHeaders](t)(api.UpdateCustomerUser(t.Context(), subrole("cro", strings.Repeat("x", 300_000)), worthUpdate(id)))
	wantWorthError[*worth.UnsupportedMediaTypeHeaders](t)(
		worthAPI(t, manager, worth.WithClient(plainText)).UpdateCustomerUser(t.Context(), firstName("Nobody"), worthUpdate(id)))

	// What the document forbids, the client does not send.
	_, err := api.UpdateCustomerUser(t.Context(), &worth.UpdateCustomerUserReq{Email: worth.NewOptString("mary")}, worthUpdate(id))
	if v := new(validate.Error); !errors.As(err, &v) || v.Fields[0].Name != "email" {
		t.Errorf("an update with the e-mail mary ends with %v", err)
	}
	if u := getWorth(t, id).Response.Data; u.FirstName != "Mary" || u.Email != email {
		t.Errorf("refused updates changed the user: %+v", u)
	}
}

var testiniumUsers = testinium.ListUsersParams{ID: customer, CurrentCompanyID: company}

func testiniumUser(id int64) testinium.GetUserParams {
	return testinium.GetUserParams{ID: customer, UserId: id, CurrentCompanyID: company}
}

func testiniumUpdate(id int64) testinium.UpdateUserParams {
	return testinium.UpdateUserParams{ID: customer, UserId: id, CurrentCompanyID: company}
}

// listTestinium returns the customer's users whom a function chooses.
func listTestinium(t *testing.T, choose func(testinium.User) bool) []testinium.User {
	t.Helper()
	users := answer[*testinium.ListUsersOKHeaders](t)(testiniumAPI(t, manager).ListUsers(t.Context(), testiniumUsers)).Response
	return slices.DeleteFunc(users, func(u testinium.User) bool { return !choose(u) })
}

// listed returns a user whom nobody else changes, as the list shows them.
func listed(t *testing.T) testinium.User {
	t.Helper()
	_, email := createUser(t)
	users := listTestinium(t, func(u testinium.User) bool { return u.Email == email })
	if len(users) != 1 {
		t.Fatalf("the list has %d users with the e-mail of the one created", len(users))
	}
	return users[0]
}

func getTestinium(t *testing.T, id int64) *testinium.UserHeaders {
	t.Helper()
	return answer[*testinium.UserHeaders](t)(testiniumAPI(t, manager).GetUser(t.Context(), testiniumUser(id)))
}

// body returns what puts back a user who was read.
func body(t *testing.T, u testinium.User) *testinium.UserUpdate {
	t.Helper()
	shown, err := json.Marshal(&u)
	if err != nil {
		t.Fatal(err)
	}
	var update testinium.UserUpdate
	if err := json.Unmarshal(shown, &update); err != nil {
		t.Fatal(err)
	}
	return &update
}

func TestTestiniumUpdate(t *testing.T) {
	t.Parallel()
	api := testiniumAPI(t, manager)
	want := getTestinium(t, listed(t).EntityId).Response
	// Null is the same as what is left out.
	nulls := body(t, want)
	nulls.EntityId.SetToNull()
	nulls.Customer.SetToNull()
	nulls.CreatedDate.SetToNull()
	ok := answer[*testinium.UpdateUserOKHeaders](t)(api.UpdateUser(t.Context(), nulls, testiniumUpdate(want.EntityId)))
	if !reflect.DeepEqual(ok.Response, want) || ok.DragomanChanged.Value != "" || ok.DragomanIgnored.Set {
		t.Errorf("the answer is\n%+v\nwant the user\n%+v", ok, want)
	}

	put := body(t, want)
	put.Surname = "Winston Jackson"
	want.Surname = put.Surname
	ok = answer[*testinium.UpdateUserOKHeaders](t)(api.UpdateUser(t.Context(), put, testiniumUpdate(want.EntityId)))
	if !reflect.DeepEqual(ok.Response, want) || ok.DragomanChanged.Value != "surname" || ok.DragomanIgnored.Set {
		t.Errorf("the answer is\n%+v\nwant the user\n%+v", ok, want)
	}
	if after := getTestinium(t, want.EntityId); !reflect.DeepEqual(after.Response, want) || after.ETag != ok.ETag.Value {
		t.Errorf("then it is\n%+v", after)
	}
	if !want.UserType.Null || !want.Password.Null || !want.LastPasswordResetDate.Null || !want.VcsPassword.Null ||
		len(want.Authorities) == 0 || !want.Authorities[0].CleanName.Null {
		t.Errorf("the user is %+v, want nulls", want)
	}
}

func TestTestiniumPreconditions(t *testing.T) {
	t.Parallel()
	api := testiniumAPI(t, manager)
	u := listed(t)
	tag := getTestinium(t, u.EntityId).ETag

	get := testiniumUser(u.EntityId)
	get.IfNoneMatch = testinium.NewOptString(tag)
	if same := answer[*testinium.GetUserNotModified](t)(api.GetUser(t.Context(), get)); same.ETag != tag {
		t.Errorf("a 304 has the ETag %s, want %s", same.ETag, tag)
	}
	list := testiniumUsers
	list.IfNoneMatch = testinium.NewOptString("*")
	answer[*testinium.ListNotModified](t)(api.ListUsers(t.Context(), list))

	update := testiniumUpdate(u.EntityId)
	update.IfMatch = testinium.NewOptString(tag)
	u.Name = "First"
	answer[*testinium.UpdateUserOKHeaders](t)(api.UpdateUser(t.Context(), body(t, u), update))
	u.Name = "Second"
	wantTestiniumError[*testinium.PreconditionFailedHeaders](t, "PRECONDITION_FAILED")(api.UpdateUser(t.Context(), body(t, u), update))
	get = testiniumUser(u.EntityId)
	get.IfMatch = update.IfMatch
	wantTestiniumError[*testinium.PreconditionFailedHeaders](t, "PRECONDITION_FAILED")(api.GetUser(t.Context(), get))
	if name := getTestinium(t, u.EntityId).Response.Name; name != "First" {
		t.Errorf("the name is %s", name)
	}
}

func TestTestiniumErrors(t *testing.T) {
	t.Parallel()
	api := testiniumAPI(t, manager)
	u := listed(t)
	update := testiniumUpdate(u.EntityId)

	pilot := body(t, u)
	pilot.Authorities = append(pilot.Authorities, testinium.AuthorityReference{Name: "ROLE_PILOT"})
	e := wantTestiniumError[*testinium.BadRequestHeaders](t, "INVALID_REQUEST")(api.UpdateUser(t.Context(), pilot, update))
	if want := fmt.Sprintf("authorities.%d.name", len(u.Authorities)); len(e.Errors) != 1 || e.Errors[0].Field != want {
		t.Errorf("the errors are %+v, want one of %s", e.Errors, want)
	}

	nobody := testiniumAPI(t, "no.jwt.atall")
	wantTestiniumError[*testinium.UnauthorizedHeaders](t, "UNAUTHORIZED")(nobody.UpdateUser(t.Context(), body(t, u), update))
	wantTestiniumError[*testinium.UnauthorizedHeaders](t, "UNAUTHORIZED")(nobody.GetUser(t.Context(), testiniumUser(u.EntityId)))
	wantTestiniumError[*testinium.UnauthorizedHeaders](t, "UNAUTHORIZED")(nobody.ListUsers(t.Context(), testiniumUsers))
	for _, token := range []string{reader, another} {
		wantTestiniumError[*testinium.ForbiddenHeaders](t, "ACCESS_DENIED")(testiniumAPI(t, token).UpdateUser(t.Context(), body(t, u), update))
	}
	elsewhere := testiniumAPI(t, another)
	wantTestiniumError[*testinium.AccessUnauthorizedHeaders](t, "UNAUTHORIZED_ACCESS")(elsewhere.GetUser(t.Context(), testiniumUser(u.EntityId)))
	wantTestiniumError[*testinium.ForbiddenHeaders](t, "ACCESS_DENIED")(elsewhere.ListUsers(t.Context(), testiniumUsers))
	wantTestiniumError[*testinium.NotFoundHeaders](t, "USER_NOT_FOUND")(api.GetUser(t.Context(), testiniumUser(1)))

	large := body(t, u)
	large.UserType = testinium.NewOptNilString(strings.Repeat("x", 300_000))
	wantTestiniumError[*testinium.ContentTooLargeHeaders](t, "PAYLOAD_TOO_LARGE")(api.UpdateUser(t.Context(), large, update))
	wantTestiniumError[*testinium.UnsupportedMediaTypeHeaders](t, "UNSUPPORTED_MEDIA_TYPE")(
		testiniumAPI(t, manager, testinium.WithClient(plainText)).UpdateUser(t.Context(), body(t, u), update))

	// What the document forbids, the client does not send.
	wrong := body(t, u)
	wrong.Email = "mary"
	_, err := api.UpdateUser(t.Context(), wrong, update)
	if v := new(validate.Error); !errors.As(err, &v) || v.Fields[0].Name != "email" {
		t.Errorf("an update with the e-mail mary ends with %v", err)
	}
	if after := getTestinium(t, u.EntityId).Response; after.Name != u.Name || after.Email != u.Email {
		t.Errorf("refused updates changed the user: %+v", after)
	}
}

func TestHighestIDs(t *testing.T) {
	t.Parallel()
	api := testiniumAPI(t, manager)
	read := getTestinium(t, edge).Response
	if read.EntityId != edge {
		t.Errorf("the id is %d, want %d", read.EntityId, int64(edge))
	}
	put := body(t, read)
	put.Surname = "Put"
	ok := answer[*testinium.UpdateUserOKHeaders](t)(api.UpdateUser(t.Context(), put, testiniumUpdate(edge)))
	if ok.Response.EntityId != edge || ok.Response.Surname != "Put" {
		t.Errorf("the answer is %+v", ok.Response)
	}
	if users := listTestinium(t, func(u testinium.User) bool { return u.EntityId == edge }); len(users) != 1 {
		t.Errorf("the list has the user %d times", len(users))
	}

	// Ids are given from the bottom up, so that nobody has the highest; it arrives and comes back as it is.
	e := wantTestiniumError[*testinium.NotFoundHeaders](t, "USER_NOT_FOUND")(api.GetUser(t.Context(), testiniumUser(maximum)))
	if !strings.HasSuffix(e.Path, "/9007199254740991") {
		t.Errorf("the path is %s", e.Path)
	}
	put.EntityId = testinium.NewOptNilInt64(maximum)
	wantTestiniumError[*testinium.NotFoundHeaders](t, "USER_NOT_FOUND")(api.UpdateUser(t.Context(), put, testiniumUpdate(maximum)))
	e = wantTestiniumError[*testinium.BadRequestHeaders](t, "INVALID_REQUEST")(api.UpdateUser(t.Context(), put, testiniumUpdate(edge)))
	if len(e.Errors) != 1 || e.Errors[0].Field != "entityId" {
		t.Errorf("the errors are %+v", e.Errors)
	}
	get := testiniumUser(edge)
	get.ID = maximum
	wantTestiniumError[*testinium.AccessUnauthorizedHeaders](t, "UNAUTHORIZED_ACCESS")(api.GetUser(t.Context(), get))
	get = testiniumUser(edge)
	get.CurrentCompanyID = maximum
	wantTestiniumError[*testinium.AccessUnauthorizedHeaders](t, "UNAUTHORIZED_ACCESS")(api.GetUser(t.Context(), get))
}
