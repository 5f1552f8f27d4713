package description_test

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/google/uuid"
)

// The customers of these tests, and their companies: the sandbox's, and one of which everything is known.
const known, knownCompany = 40, 41

// dialects describes all dialects under test.
func dialects() []description.API { return server.Descriptions(servertest.Dialects()) }

// exchange sends requests and reads answers by the documents and the descriptions alone.
type exchange struct {
	*servertest.Server
	operations map[string]description.Operation // by the dialect's name and the operationId
}

func operations(t *testing.T, d description.API) []description.Operation {
	t.Helper()
	all, err := d.Operations()
	if err != nil {
		t.Fatal(err)
	}
	return all
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
	x := exchange{s, map[string]description.Operation{}}
	for _, d := range dialects() {
		for _, o := range operations(t, d) {
			x.operations[d.Name+" "+o.OperationID] = o
		}
	}
	return x
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
		u.DisplayName, u.ExternalID = new("Ada"), new(x.Unique("external", 100))
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

// subject is whom a request about u is about.
func (x exchange) subject(t *testing.T, u store.User) description.Subject {
	t.Helper()
	return description.Subject{
		Customer: u.CustomerID, CustomerUUID: x.customer(t, u.CustomerID).UUID.String(),
		User: u.ID, UserUUID: u.UUID.String(), Company: companyOf(u.CustomerID),
	}
}

// send asks for an operation about u. A nil body is none.
func (x exchange) send(t *testing.T, claims auth.Claims, d description.API, operation string, u store.User, body any, header http.Header) servertest.Answer {
	t.Helper()
	o, ok := x.operations[d.Name+" "+operation]
	if !ok {
		t.Fatalf("%s has no operation %q", d.Name, operation)
	}
	r := servertest.Request{Method: o.Method}
	r.Path, r.Header = o.About(x.subject(t, u))
	maps.Copy(r.Header, header)
	if body != nil {
		r.Body = servertest.Encode(t, body)
	}
	return x.Ask(claims, r)
}

// shown gives what the dialect shows of one user under the names of its table, without what stands around the user.
func (x exchange) shown(t *testing.T, claims auth.Claims, d description.API, u store.User) map[string]any {
	t.Helper()
	_, user := x.Show(t, d, claims, x.subject(t, u))
	return user
}

// differences gives the fields in which two users differ, without those that are computed of others.
func differences(before, after store.User) []string {
	return slices.DeleteFunc(servertest.Differences(before, after), func(name string) bool {
		return unnamed[name] != "" && !slices.Contains(stamped, name)
	})
}
