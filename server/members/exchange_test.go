package members_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/members"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
)

// The customers of these tests, and their companies: the sandbox's, and one of which everything is known.
const known, knownCompany = 40, 41

// exchange sends requests and reads answers by the documents and the tables alone.
type exchange struct {
	*servertest.Server
	documents map[string]*openapi3.T
}

func newExchange(t *testing.T, s *servertest.Server) exchange {
	t.Helper()
	c := store.Customer{ID: known, Name: "Known", CreatedBy: &servertest.AdaUUID, UpdatedBy: &servertest.GraceUUID}
	if err := s.Store.CreateCustomer(t.Context(), &c); err != nil {
		t.Fatal(err)
	}
	if err := s.Store.CreateCompany(t.Context(), &store.Company{ID: knownCompany, CustomerID: known, Name: "Known Labs"}); err != nil {
		t.Fatal(err)
	}
	return exchange{s, documents(t)}
}

// caller may do everything in both customers, at this rank.
func caller(authority string) auth.Claims {
	c := servertest.Manager()
	c.Customers, c.Authorities = []string{"3393", "40"}, []string{authority}
	return c
}

// password is the present one of every user of these tests.
const password = "Present-Password"

// user stores a user of a customer: one of whom everything is known and set, or one of whom as little as may be.
func (x exchange) user(t *testing.T, customer int64, everything bool) store.User {
	t.Helper()
	name := x.Unique("user@example.com", 100)
	u := store.User{CustomerID: customer, Username: name, Email: name, Status: store.StatusInvited, FirstLogin: true}
	if everything {
		hash, err := auth.NewCheapPasswords().Hash(context.Background(), password)
		if err != nil {
			t.Fatal(err)
		}
		at := time.UnixMilli(1707747409050).UTC()
		u.FirstName, u.LastName, u.Mobile = "Ada", "Lovelace", new("+44 20 7946 0000")
		u.Roles, u.Status = store.Roles(3, 11), store.StatusActive
		u.AccountNonExpired, u.AccountNonLocked, u.CredentialNonExpired = true, true, true
		u.PasswordHash, u.LastPasswordResetAt, u.VCSPassword = &hash, &at, new("present VCS password")
		u.EmailVerified, u.FirstLogin, u.ExternalAuthID = true, false, new(uuid.New())
		u.CreatedAt, u.CreatedBy, u.UpdatedBy = at, new(uuid.New()), new(uuid.New())
	}
	if err := x.Store.CreateUser(t.Context(), &u); err != nil {
		t.Fatal(err)
	}
	return x.stored(t, u)
}

// stored gives u as it is now.
func (x exchange) stored(t *testing.T, u store.User) store.User {
	t.Helper()
	now, err := x.Store.FindUser(t.Context(), store.UserByID(u.CustomerID, u.ID))
	if err != nil {
		t.Fatal(err)
	}
	return now
}

func (x exchange) customer(t *testing.T, id int64) store.Customer {
	t.Helper()
	c, err := x.Store.FindCustomer(t.Context(), store.CustomerByID(id))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func companyOf(customer int64) int64 {
	if customer == known {
		return knownCompany
	}
	return servertest.Company
}

// send asks for an operation about u. A nil body is none.
func (x exchange) send(t *testing.T, claims auth.Claims, dialect, operation string, u store.User, body any, header http.Header) servertest.Answer {
	t.Helper()
	d := x.documents[dialect]
	parameters := strings.NewReplacer(
		"{customerID}", x.customer(t, u.CustomerID).UUID.String(), "{userID}", u.UUID.String(),
		"{id}", fmt.Sprint(u.CustomerID), "{userId}", fmt.Sprint(u.ID),
	)
	r := servertest.Request{Header: http.Header{"Current-Company-Id": {fmt.Sprint(companyOf(u.CustomerID))}}}
	maps.Copy(r.Header, header)
	for path, item := range d.Paths.Map() {
		for method, o := range item.Operations() {
			if o.OperationID == operation {
				r.Method, r.Path = method, d.Servers[0].URL+parameters.Replace(path)
			}
		}
	}
	if r.Path == "" {
		t.Fatalf("%s has no operation %s", dialect, operation)
	}
	if body != nil {
		r.Body = encoded(t, body)
	}
	return x.Ask(claims, r)
}

func encoded(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// oneUser is the operation that shows one user, in each dialect.
var oneUser = map[string]string{"Worth": "getCustomerUser", "Testinium": "getUser"}

// shown gives what a dialect's GET shows of u under the names of its table, without what stands around the user.
func (x exchange) shown(t *testing.T, claims auth.Claims, dialect string, u store.User) map[string]any {
	t.Helper()
	b, ok := find(dialect, oneUser[dialect], false)
	if !ok {
		t.Fatalf("%s has no table of one user", dialect)
	}
	var answer any
	x.send(t, claims, dialect, oneUser[dialect], u, nil, nil).Decode(t, &answer)
	if around := strings.TrimSuffix(b.User, "."); around != "" {
		answer = at(answer, around)[0]
	}
	return answer.(map[string]any)
}

// at gives the values at a path: none where an object on the way to them is null, each where an array is.
func at(value any, path string) []any {
	name, rest, more := strings.Cut(path, ".")
	bare, items := strings.CutSuffix(name, "[]")
	var found []any
	switch value := value.(type) {
	case map[string]any:
		if member, ok := value[bare]; ok {
			found = []any{member}
		}
	case []any:
		if bare == "" && items {
			found, items = value, false
		}
	}
	if items && len(found) == 1 {
		found, _ = found[0].([]any)
	}
	if !more {
		return found
	}
	var all []any
	for _, f := range found {
		all = append(all, at(f, rest)...)
	}
	return all
}

// set puts a value to the place that a path names, in the first item of an array; absent takes the member away. It gives
// the member's path as an error tells it.
func set(body map[string]any, path string, value any) string {
	name, rest, more := strings.Cut(path, ".")
	bare, items := strings.CutSuffix(name, "[]")
	switch {
	case !more && value == absent:
		delete(body, bare)
	case !more:
		body[bare] = value
	case items:
		return bare + ".0." + set(body[bare].([]any)[0].(map[string]any), rest, value)
	default:
		return bare + "." + set(body[bare].(map[string]any), rest, value)
	}
	return bare
}

// absent is no value that JSON has.
var absent any = struct{ absent int }{}

// copied gives a body that shares nothing with v.
func copied(t *testing.T, v any) map[string]any {
	t.Helper()
	var body map[string]any
	if err := json.Unmarshal([]byte(encoded(t, v)), &body); err != nil {
		t.Fatal(err)
	}
	return body
}

// project gives what b has of what was shown.
func project(t *testing.T, b members.Body, shown map[string]any) map[string]any {
	t.Helper()
	projected := copied(t, shown)
	known := map[string]bool{}
	for _, m := range b.Members {
		known[m.Path] = true
	}
	var drop func(value any, path string)
	drop = func(value any, path string) {
		switch value := value.(type) {
		case map[string]any:
			for name, member := range value {
				at := strings.TrimPrefix(path+"."+name, ".")
				if !known[at] {
					delete(value, name)
				} else {
					drop(member, at)
				}
			}
		case []any:
			for _, item := range value {
				drop(item, path+"[]")
			}
		}
	}
	drop(projected, "")
	return projected
}

// contains tells whether shown has everything that sent has; order is no matter.
func contains(shown, sent any) bool {
	switch sent := sent.(type) {
	case map[string]any:
		object, ok := shown.(map[string]any)
		for name, member := range sent {
			ok = ok && contains(object[name], member)
		}
		return ok
	case []any:
		array, ok := shown.([]any)
		for _, item := range sent {
			ok = ok && slices.ContainsFunc(array, func(s any) bool { return contains(s, item) })
		}
		return ok && len(array) == len(sent)
	}
	return reflect.DeepEqual(shown, sent)
}

// differences gives the fields in which two users differ, without those that are computed of others.
func differences(before, after store.User) []string {
	return slices.DeleteFunc(servertest.Differences(before, after), func(name string) bool {
		_, unnamed := members.Unnamed[name]
		return unnamed && !slices.Contains(members.Stamped, name)
	})
}
