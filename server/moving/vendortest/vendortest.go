// Package vendortest provides fake vendors for tests: servers that speak a vendor's dialect as its documentation describes it, with its
// quirks, over invented people. Unlike Dragoman's own dialects they show secrets where the vendor does and write times in two forms. A
// test decides how they page and fail, and where they answer wrongly. The package is for tests only. It does not use the packages of the
// dialects, whose mistakes it would repeat.
package vendortest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/store"
)

// The ids of the customer that every fake vendor has.
const (
	CustomerID   = 3393
	CustomerUUID = "2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1"
	CompanyID    = 5251
	Token        = "vendor-token-1"
)

// The secrets that a fake vendor shows of user n, by Testinium's documentation.
const (
	accessToken = "0f1e2d3c4b5a6978%016x"
	vcsPassword = "Q2FuYXJ5IHZjcyBwYXNzd29yZA-%d=="
)

// SecretMarks are parts of every secret that a fake vendor shows.
var SecretMarks = []string{"0f1e2d3c4b5a6978", "Q2FuYXJ5IHZjcyBwYXNzd29yZA"}

// Vendor is a running fake vendor. Its fields are set before the first request.
type Vendor struct {
	URL     string // of the API
	Dialect string
	// Alter may change what is answered to an operation: show, list, update, create or error. The value is what json.Marshal takes.
	Alter func(operation string, header http.Header, body map[string]any)
	// Page gives the page that is answered for one that was asked for; nil: the same.
	Page func(asked int) int

	server *httptest.Server
	roles  *store.Catalogue

	mu       sync.Mutex
	front    func(w http.ResponseWriter, r *http.Request) bool
	token    string
	users    []store.User
	byKey    map[string]int
	requests map[string]int // by method
}

// Each runs a subtest for each dialect that a vendor may have, in parallel.
func Each(t *testing.T, f func(t *testing.T, dialect string)) {
	for _, dialect := range []string{"worth", "testinium"} {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f(t, dialect)
		})
	}
}

// New starts a fake vendor with these users, for as long as the test runs.
func New(t testing.TB, dialect string, roles *store.Catalogue, users []store.User) *Vendor {
	t.Helper()
	v := &Vendor{Dialect: dialect, roles: roles, token: Token, byKey: map[string]int{}, requests: map[string]int{}}
	for _, u := range users {
		v.Add(u)
	}
	v.server = httptest.NewServer(v)
	t.Cleanup(v.server.Close)
	v.URL = v.server.URL + v.base()
	return v
}

func (v *Vendor) base() string {
	if v.Dialect == "worth" {
		return "/auth/api/v1"
	}
	return "/account/api/v1"
}

// Customer is the customer as the dialect writes it.
func (v *Vendor) Customer() string {
	if v.Dialect == "worth" {
		return CustomerUUID
	}
	return strconv.Itoa(CustomerID)
}

func (v *Vendor) key(u *store.User) string {
	if v.Dialect == "worth" {
		return u.UUID.String()
	}
	return strconv.FormatInt(u.ID, 10)
}

// UserPath is the path of a user below the URL.
func (v *Vendor) UserPath(u *store.User) string {
	return "/customers/" + v.Customer() + "/users/" + v.key(u)
}

// Add adds a user at the end of the list.
func (v *Vendor) Add(u store.User) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.byKey[v.key(&u)] = len(v.users)
	v.users = append(v.users, u)
}

// Edit changes the user at an index.
func (v *Vendor) Edit(index int, edit func(*store.User)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	edit(&v.users[index])
}

// Remove removes the user at an index.
func (v *Vendor) Remove(index int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.users = append(append([]store.User{}, v.users[:index]...), v.users[index+1:]...)
	v.byKey = map[string]int{}
	for i := range v.users {
		v.byKey[v.key(&v.users[i])] = i
	}
}

// SetToken replaces the token that the vendor accepts.
func (v *Vendor) SetToken(token string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.token = token
}

// Requests returns how many requests of a method there were.
func (v *Vendor) Requests(method string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.requests[method]
}

// SetFront sets a function that may answer a request by itself, and reports whether it did; nil is none.
func (v *Vendor) SetFront(front func(w http.ResponseWriter, r *http.Request) bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.front = front
}

// ServeHTTP answers a request.
func (v *Vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	v.requests[r.Method]++
	token, front := v.token, v.front
	v.mu.Unlock()
	if front != nil && front(w, r) {
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+token {
		v.fail(w, http.StatusUnauthorized)
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, v.base()+"/customers/")
	if !ok {
		v.fail(w, http.StatusNotFound)
		return
	}
	customer, user, _ := strings.Cut(path, "/users")
	if customer != v.Customer() {
		v.fail(w, http.StatusForbidden)
		return
	}
	if v.Dialect == "testinium" && r.Header.Get("Current-Company-Id") == "" {
		v.fail(w, http.StatusBadRequest)
		return
	}
	if user = strings.Trim(user, "/"); user == "" {
		switch {
		case r.Method == http.MethodGet:
			v.list(w, r)
		case r.Method == http.MethodPost && v.Dialect == "worth":
			v.create(w, r)
		default:
			v.fail(w, http.StatusMethodNotAllowed)
		}
		return
	}
	v.mu.Lock()
	index, ok := v.byKey[user]
	v.mu.Unlock()
	switch {
	case !ok:
		v.fail(w, http.StatusNotFound)
	case r.Method == http.MethodGet:
		v.show(w, index)
	case r.Method == http.MethodPatch && v.Dialect == "worth", r.Method == http.MethodPut && v.Dialect == "testinium":
		v.update(w, r, index)
	default:
		v.fail(w, http.StatusMethodNotAllowed)
	}
}

func (v *Vendor) fail(w http.ResponseWriter, status int) {
	body := map[string]any{"timestamp": int64(1767225600000), "status": status, "error": http.StatusText(status), "message": map[int]string{
		400: "INVALID_REQUEST", 401: "UNAUTHORIZED", 403: "ACCESS_DENIED", 404: "USER_NOT_FOUND"}[status], "path": "/"}
	if v.Dialect == "worth" {
		said := map[int][3]string{
			400: {"INVALID", "ValidationMiddlewareError", "Invalid"}, 401: {"UNAUTHENTICATED", "TokenExpiredError", "User Session Expired"},
			403: {"UNAUTHORIZED", "AccessMiddlewareError", "You are not allowed to access the data."},
			404: {"NOT_FOUND", "CustomersApiError", "Customer user Not Found"}, 405: {"NOT_ALLOWED", "MethodNotAllowedError", "Method Not Allowed"},
		}[status]
		body = map[string]any{"status": "fail", "message": said[2], "errorCode": said[0], "data": map[string]any{"errorName": said[1]}}
	}
	v.answer(w, "error", status, body)
}

func (v *Vendor) answer(w http.ResponseWriter, operation string, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if v.Dialect == "testinium" {
		w.Header().Set("Content-Type", "application/json")
	}
	if v.Alter != nil {
		v.Alter(operation, w.Header(), body)
	}
	if drop, ok := body["#status"].(int); ok {
		status = drop
		delete(body, "#status")
	}
	var value any = body
	if whole, ok := body["#value"]; ok {
		value = whole
	}
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	w.WriteHeader(status)
	w.Write(text)
}

// between returns the users from an index to before another one, as far as there are that many, and the number of all.
func (v *Vendor) between(from, to int) (users []store.User, all int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	all = len(v.users)
	from = min(from, all)
	return slices.Clone(v.users[from:min(to, all)]), all
}

func (v *Vendor) list(w http.ResponseWriter, r *http.Request) {
	if v.Dialect == "testinium" {
		v.listWhole(w)
		return
	}
	number, _ := strconv.Atoi(r.URL.Query().Get("page"))
	size, _ := strconv.Atoi(r.URL.Query().Get("itemsPerPage"))
	if number == 0 {
		number = 1
	}
	if size == 0 {
		size = 20
	}
	if v.Page != nil {
		number = v.Page(number)
	}
	users, all := v.between((number-1)*size, number*size)
	records := []any{}
	for i := range users {
		records = append(records, v.worthRecord(&users[i]))
	}
	v.answer(w, "list", http.StatusOK, map[string]any{"status": "success", "message": "Success", "data": map[string]any{
		"records": records, "total_pages": (all + size - 1) / size, "total_items": strconv.Itoa(all),
	}})
}

// listWhole answers with all users. Without Alter it encodes them one by one, as there may be a million.
func (v *Vendor) listWhole(w http.ResponseWriter) {
	users, _ := v.between(0, math.MaxInt)
	element := func(u *store.User) map[string]any {
		shown := v.testinium(u)
		shown["companyName"] = "Sandbox"
		return shown
	}
	if v.Alter != nil {
		all := []any{}
		for i := range users {
			all = append(all, element(&users[i]))
		}
		v.answer(w, "list", http.StatusOK, map[string]any{"#value": all})
		return
	}
	w.Header().Set("Content-Type", "application/json")
	b := bufio.NewWriter(w)
	b.WriteByte('[')
	for i := range users {
		if i > 0 {
			b.WriteByte(',')
		}
		text, err := json.Marshal(element(&users[i]))
		if err != nil {
			panic(err)
		}
		if _, err := b.Write(text); err != nil {
			return // the client has gone
		}
	}
	b.WriteByte(']')
	b.Flush()
}

func (v *Vendor) show(w http.ResponseWriter, index int) {
	v.mu.Lock()
	u := v.users[index]
	v.mu.Unlock()
	if v.Dialect == "testinium" {
		v.answer(w, "show", http.StatusOK, v.testinium(&u))
		return
	}
	record := v.worthRecord(&u)
	delete(record, "ext_auth_ref_id")
	// Here the vendor writes the same times in another form.
	const withoutZone = "2006-01-02T15:04:05.000000"
	record["created_at"], record["updated_at"] = u.CreatedAt.UTC().Format(withoutZone), u.UpdatedAt.UTC().Format(withoutZone)
	if subrole, ok := record["subrole"].(map[string]any); ok {
		delete(subrole, "description")
		subrole["role_id"] = 2
	}
	record["company_details"] = map[string]any{"id": CustomerUUID, "name": "Sandbox", "contact_number": nil, "is_active": true,
		"created_at": "2023-01-01T00:00:00.123456", "created_by": nil, "updated_at": "2023-01-01T00:00:00.123456", "updated_by": nil}
	v.answer(w, "show", http.StatusOK, map[string]any{"status": "success", "message": "Success", "data": record})
}

func (v *Vendor) worthRecord(u *store.User) map[string]any {
	const withZone = "2006-01-02T15:04:05.000Z"
	record := map[string]any{
		"id": u.UUID, "first_name": u.FirstName, "last_name": u.LastName, "email": u.Email, "mobile": u.Mobile,
		"is_email_verified": u.EmailVerified, "is_first_login": u.FirstLogin, "created_at": u.CreatedAt.UTC().Format(withZone),
		"created_by": u.CreatedBy, "updated_at": u.UpdatedAt.UTC().Format(withZone), "updated_by": u.UpdatedBy,
		"ext_auth_ref_id": u.ExternalAuthID, "status": u.Status, "subrole": nil,
	}
	if role, ok := v.roles.Subrole(u.Roles); ok {
		record["subrole"] = map[string]any{"id": role.SubroleUUID, "code": role.SubroleCode, "display_name": role.SubroleLabel,
			"label": role.SubroleLabel, "description": role.SubroleLabel}
	}
	return record
}

func (v *Vendor) testinium(u *store.User) map[string]any {
	authorities := []any{}
	in := v.roles.In(u.Roles)
	for i := range in { // in another order than by id
		role := in[len(in)-1-i]
		authorities = append(authorities, map[string]any{"entityId": role.ID, "name": role.Name, "cleanName": nil})
	}
	return map[string]any{
		"userType": nil, "verificationToken": nil, "resetPasswordToken": nil, "entityId": u.ID, "name": u.FirstName,
		"surname": u.LastName, "username": u.Username, "email": u.Email, "password": nil, "newPassword": nil,
		"accessToken": fmt.Sprintf(accessToken, u.ID), "companyName": nil, "enabled": u.Status == store.StatusActive,
		"accountNonExpired": u.AccountNonExpired, "accountNonLocked": u.AccountNonLocked, "credentialNonExpired": u.CredentialNonExpired,
		"createdDate": u.CreatedAt.UnixMilli(), "customer": CustomerID, "lastPasswordResetDate": nil, "authorities": authorities,
		"vcsPassword": fmt.Sprintf(vcsPassword, u.ID),
	}
}

// update changes the names of a user and, in Testinium's dialect, the state; enough for a test to see that it was done.
func (v *Vendor) update(w http.ResponseWriter, r *http.Request, index int) {
	var body struct {
		FirstName *string `json:"first_name"`
		LastName  *string `json:"last_name"`
		Mobile    *string `json:"mobile"`
		Status    *string `json:"status"`
		Name      *string `json:"name"`
		Surname   *string `json:"surname"`
		Enabled   *bool   `json:"enabled"`
	}
	text, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(text, &body) != nil {
		v.fail(w, http.StatusBadRequest)
		return
	}
	v.mu.Lock()
	u := &v.users[index]
	for _, set := range []struct {
		to   *string
		from *string
	}{{&u.FirstName, body.FirstName}, {&u.LastName, body.LastName}, {&u.FirstName, body.Name}, {&u.LastName, body.Surname}} {
		if set.from != nil {
			*set.to = *set.from
		}
	}
	if body.Mobile != nil {
		u.Mobile = body.Mobile
	}
	if body.Status != nil {
		u.Status = store.Status(*body.Status)
	}
	if body.Enabled != nil {
		if *body.Enabled {
			u.Status = store.StatusActive
		} else {
			u.Status = store.StatusInactive
		}
	}
	u.UpdatedAt = time.Now()
	shown := *u
	v.mu.Unlock()
	if v.Dialect == "testinium" {
		v.answer(w, "update", http.StatusOK, v.testinium(&shown))
		return
	}
	v.answer(w, "update", http.StatusOK, map[string]any{"status": "success", "message": "User details updated successfully"})
}

func (v *Vendor) create(w http.ResponseWriter, r *http.Request) {
	var body struct {
		FirstName string `json:"first_name"`
		LastName  string `json:"last_name"`
		Email     string `json:"email"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		v.fail(w, http.StatusBadRequest)
		return
	}
	u := store.User{UUID: uuid.New(), FirstName: body.FirstName, LastName: body.LastName, Email: body.Email, Username: body.Email,
		Status: store.StatusInvited, FirstLogin: true, CreatedAt: time.Now(), UpdatedAt: time.Now()}
	v.Add(u)
	v.answer(w, "create", http.StatusOK, map[string]any{"status": "success", "message": "Customer user created.", "data": map[string]any{"user_id": u.UUID}})
}

// People returns invented people, those with the numbers from first on. The same number is always the same person.
func People(first, n int, roles *store.Catalogue) []store.User {
	names := []string{"Ada", "Grace", "José", "Zoë", "李", "Anne-Marie", "O'Neil", "Łukasz", "Ünal", ""}
	admin, _ := roles.ByName("ROLE_COMPANY_ADMIN")
	user, _ := roles.ByName("ROLE_USER")
	people := make([]store.User, n)
	for i := range people {
		k := first + i
		at := time.Date(2024, 2, 12, 14, 16, 49, 53e6, time.UTC).Add(time.Duration(k) * 61001 * time.Millisecond)
		u := store.User{
			ID: int64(100_000 + k), UUID: numbered("person", k), FirstName: names[k%len(names)], LastName: fmt.Sprintf("Invented %d", k),
			Username: fmt.Sprintf("person%d", k), Email: fmt.Sprintf("Person.%d@Example.com", k), Status: store.StatusActive,
			AccountNonExpired: true, AccountNonLocked: k%13 != 0, CredentialNonExpired: true, EmailVerified: k%3 != 0, FirstLogin: k%7 == 0,
			CreatedAt: at, UpdatedAt: at.Add(time.Hour), Roles: store.Roles(user.ID),
		}
		if k%5 == 0 {
			mobile := fmt.Sprintf("+44 20 7946 %04d", k%10000)
			u.Mobile = &mobile
		}
		if k%11 == 0 {
			u.Status = store.StatusInactive
		}
		if k%50 == 0 {
			u.Roles = store.Roles(admin.ID, user.ID)
			u.CreatedBy = new(numbered("creator", k))
		}
		if k%4 == 0 {
			u.ExternalAuthID = new(numbered("external", k))
		}
		people[i] = u
	}
	return people
}

func numbered(kind string, k int) uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceURL, fmt.Appendf(nil, "%s %d", kind, k))
}
