package server_test

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// What nobody may learn can be learned from no status, no body, no header, and not from how much there was to do: the
// statements that the database is asked, and the hashes that are computed, are the same.

// putOfAda is a body that Testinium's update accepts about Ada.
const putOfAda = `{"name":"Ada","surname":"King","username":"adalovelace","email":"ada.lovelace@example.com","enabled":true,` +
	`"accountNonExpired":true,"accountNonLocked":true,"credentialNonExpired":true,"authorities":[{"name":"ROLE_USER"}]}`

// observed is all that a caller, or who watches the server, can see of an answer.
type observed struct {
	status     int
	body       string
	header     http.Header
	statements []string
	hashes     int64
}

// observer watches a server.
type observer struct {
	*servertest.Server
	tap       *wiretap
	passwords *auth.Passwords
	tokens    map[string]string // by the subjects and what else is claimed
}

// eachObserved runs f against an observed server of its own on each engine.
func eachObserved(t *testing.T, f func(t *testing.T, o *observer)) {
	t.Helper()
	storetest.EachURL(t, func(t *testing.T, database string) {
		o := &observer{passwords: auth.NewCheapPasswords(), tokens: map[string]string{}}
		o.tap, database = tapped(t, database)
		o.Server = servertest.StartWith(t, server.Config{Database: database, Passwords: o.passwords})
		f(t, o)
	})
}

var timestamps = regexp.MustCompile(`^\{"timestamp":[0-9]+,`)

// ask sends r, and gives what is to be seen. Names that stand for the same thing are made one, as the client knows what it
// asked for.
func (o *observer) ask(claims auth.Claims, r servertest.Request, same ...string) observed {
	r.Header = r.Header.Clone()
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set("Authorization", "Bearer "+o.token(claims))
	before := o.passwords.Computed()
	var a servertest.Answer
	statements := o.tap.during(func() { a = o.Ask(claims, r) })
	for _, name := range []string{"X-Request-Id", "Date", "Content-Length"} {
		a.Header.Del(name)
	}
	body := timestamps.ReplaceAllString(a.Body, `{"timestamp":0,`)
	for _, name := range same {
		name = strings.TrimPrefix(name, dialect.DryRunPath) // a dry run answers about the real path
		body = strings.ReplaceAll(body, name, "NAME")
	}
	return observed{a.Status, body, a.Header, statements, o.passwords.Computed() - before}
}

// token gives the one token that the observer has with these claims: of a token that it has seen, the server knows some things.
func (o *observer) token(claims auth.Claims) string {
	key := fmt.Sprint(claims)
	if o.tokens[key] == "" {
		o.tokens[key] = o.Token(claims)
	}
	return o.tokens[key]
}

// indistinguishable fails the test unless the two are the same refusal.
func (o *observer) indistinguishable(t *testing.T, status int, a, b observed) {
	t.Helper()
	if !reflect.DeepEqual(a, b) || a.status != status {
		t.Errorf("they can be told apart, or are not refused with %d:\n%+v\n%+v", status, a, b)
	}
	if o.tap != nil && len(a.statements) == 0 {
		t.Error("no statement was seen")
	}
}

// about gives the operation's request about a subject, with a good body.
func (p step) about(t testing.TB, subject description.Subject) servertest.Request {
	t.Helper()
	r := p.request
	r.Path, r.Header = p.About(subject)
	if r.Body != "" {
		r.Header.Set("Content-Type", "application/json")
		r.Body = servertest.Encode(t, p.dialect.Everything(p.OperationID, "silence"))
	}
	return r
}

const (
	noUUID       = "5d2b1c9e-31a5-4c39-8c1a-4a3f7cf4f0aa" // nobody's
	noLong int64 = 4711                                   // nobody's
)

// callers are administrators of the sandbox, by all ways in which a token can say so, and one who may do nothing there.
var callers = map[string]auth.Claims{
	"manager":              servertest.Manager(),
	"administrator":        servertest.Administrator(),
	"by UUID":              {Customers: []string{servertest.SandboxUUID.String()}, Authorities: []string{"ROLE_COMPANY_ADMIN"}},
	"of several customers": {Customers: []string{"12", noUUID[:35] + "b", "3393"}, Authorities: []string{"ROLE_ADMIN"}},
	"of Worth's":           {Customers: []string{"3393"}, Permissions: []auth.Permission{auth.PermissionRead, auth.PermissionWrite, auth.PermissionCreate}},
	"user":                 {Customers: []string{"3393"}, Authorities: []string{"ROLE_USER"}},
	"of no customer":       {Customers: []string{}, Authorities: []string{"ROLE_ADMIN"}},
}

func init() {
	for name, c := range callers {
		c.Subject, c.Expires = "somebody", time.Hour
		callers[name] = c
	}
}

func TestForeignCustomerLooksUnknown(t *testing.T) {
	t.Parallel()
	eachObserved(t, func(t *testing.T, o *observer) {
		for _, p := range walk(t, o.Store) {
			tenancy := tenancyOf(p.Operation)
			if tenancy == byBody || tenancy == acrossCustomers {
				continue
			}
			for name, claims := range callers {
				want := http.StatusForbidden
				if tenancy == byThing {
					if !slices.Contains(claims.Authorities, "ROLE_COMPANY_ADMIN") && !slices.Contains(claims.Authorities, "ROLE_ADMIN") || len(claims.Customers) == 0 {
						continue // the token alone is a reason
					}
					want = http.StatusNotFound
				}
				t.Run(p.name+"/"+name, func(t *testing.T) {
					if tenancy == byThing {
						o.ask(claims, p.about(t, of(nobody, ada))) // whether the caller may write is looked up once
					}
					for _, company := range []int64{servertest.Company, 2760, noLong} { // ours, theirs and nobody's
						theirs, nobodys := of(elsewhere, ada), of(nobody, ada)
						theirs.Company, nobodys.Company = company, company
						foreign, none := p.about(t, theirs), p.about(t, nobodys)
						o.indistinguishable(t, want, o.ask(claims, foreign, foreign.Path), o.ask(claims, none, none.Path))
					}
				})
			}
		}
	})
}

func TestForeignCompanyLooksUnknown(t *testing.T) {
	t.Parallel()
	eachObserved(t, func(t *testing.T, o *observer) {
		for _, p := range walk(t, o.Store) {
			theirs, nobodys := servertest.AdaSubject, servertest.AdaSubject
			theirs.Company, nobodys.Company = 2760, noLong
			if !differs(p.Operation, theirs, nobodys) {
				continue
			}
			t.Run(p.name, func(t *testing.T) {
				o.indistinguishable(t, http.StatusForbidden, o.ask(servertest.Manager(), p.about(t, theirs)), o.ask(servertest.Manager(), p.about(t, nobodys)))
			})
		}
	})
}

func TestForeignUserLooksUnknown(t *testing.T) {
	t.Parallel()
	eachObserved(t, func(t *testing.T, o *observer) {
		for _, p := range walk(t, o.Store) {
			if !differs(p.Operation, of(sandbox, ada), of(sandbox, alan)) {
				continue
			}
			for _, claims := range []auth.Claims{servertest.Manager(), servertest.Administrator(), {Subject: "both", Customers: []string{"3393", "3394"}, Authorities: []string{"ROLE_COMPANY_ADMIN"}, Expires: time.Hour}} {
				claims = p.raised(claims)
				t.Run(p.name, func(t *testing.T) {
					// The customer, which is the token's own, may be known.
					o.ask(claims, p.about(t, of(sandbox, ada)))
					foreign, none := p.about(t, of(sandbox, alan)), p.about(t, of(sandbox, nobody))
					o.indistinguishable(t, http.StatusNotFound, o.ask(claims, foreign, foreign.Path), o.ask(claims, none, none.Path))
				})
			}
		}
	})
}

// withPassword gives a body with further members.
func withPassword(body, members string) string {
	return strings.TrimSuffix(body, "}") + "," + members + "}"
}

// A password that is not the present one is refused alike, after the same work, whether or not there is a present one.
func TestPasswordTiming(t *testing.T) {
	t.Parallel()
	eachObserved(t, func(t *testing.T, o *observer) {
		herself := auth.Claims{Subject: "ada", Customers: []string{"3393"}, Permissions: []auth.Permission{auth.PermissionWrite}, Authorities: []string{"ROLE_USER"}, Expires: time.Hour}
		hash, err := o.passwords.Hash(context.Background(), "Present!")
		if err != nil {
			t.Fatal(err)
		}
		r := servertest.Request{Method: http.MethodPut, Path: "/account/api/v1/customers/3393/users/6860"}
		for _, c := range []struct {
			name, members string
			by            auth.Claims
			status        int
			hashes        int64
		}{
			{"a wrong password", `"newPassword":"pa55Word!","password":"Present?"`, herself, 400, 2},
			{"an empty one", `"newPassword":"pa55Word!","password":""`, herself, 400, 2},
			{"none", `"newPassword":"pa55Word!"`, herself, 400, 0},
			{"one that is not needed", `"newPassword":"pa55Word!","password":"Present?"`, servertest.Manager(), 200, 1},
		} {
			t.Run(c.name, func(t *testing.T) {
				r.Body = withPassword(putOfAda, c.members)
				o.ask(c.by, r) // the customer, which is the token's own, may be known
				var seen []observed
				for _, present := range []*string{nil, &hash} {
					rewrite(t, o.Server, servertest.Ada, func(u *store.User) { u.PasswordHash, u.LastPasswordResetAt, u.LastName = present, nil, "Lovelace" })
					a := o.ask(c.by, r)
					if a.hashes != c.hashes {
						t.Errorf("%d hashes were computed, want %d", a.hashes, c.hashes)
					}
					if a.status == http.StatusOK {
						a.body, a.header = "", nil // the user, and the version
					}
					seen = append(seen, a)
				}
				o.indistinguishable(t, c.status, seen[0], seen[1])
			})
		}
		// Where there is something else to refuse, neither is looked at.
		for _, present := range []*string{nil, &hash} {
			rewrite(t, o.Server, servertest.Ada, func(u *store.User) { u.PasswordHash = present })
			r.Body = strings.ReplaceAll(withPassword(putOfAda, `"newPassword":"pa55Word!","password":"Present?"`), "adalovelace", "gracehopper")
			a := o.ask(herself, r)
			want := servertest.TestiniumError(400, "INVALID_REQUEST", "The request was malformed or contained errors.", r.Path,
				servertest.FieldError{"username", "username is already taken by another user"})
			if a.status != 400 || strings.TrimSpace(a.body) != want || a.hashes != 0 {
				t.Errorf("%d hashes: %d %s, want %s", a.hashes, a.status, a.body, want)
			}
		}
	})
}

// The tap itself: it sees what is executed.
func TestTapSeesStatements(t *testing.T) {
	t.Parallel()
	eachObserved(t, func(t *testing.T, o *observer) {
		if o.tap == nil {
			t.Skip("SQLite has no wire")
		}
		r := servertest.Request{Method: http.MethodPatch, Path: fmt.Sprintf("/auth/api/v1/customers/%s/users/%s", servertest.SandboxUUID, servertest.AdaUUID), Body: `{"mobile":"1"}`}
		// The customer, the caller's claim and standing, the user, and a transaction with its time limit for locks, the update, its history and
		// its place in the feed; and
		// where the customer and the caller are known, and there is nothing to write, the user.
		first := 10
		if storetest.Distributed() {
			first-- // the update is not sent with the commit, and needs no time limit
		}
		for _, want := range []int{first, 1} {
			a := o.ask(servertest.Manager(), r)
			// Whether a standby must confirm is asked once a second.
			a.statements = slices.DeleteFunc(a.statements, func(s string) bool { return strings.HasPrefix(s, "-- settled") })
			if a.status != http.StatusOK || len(a.statements) != want {
				t.Errorf("%d %s: %d statements, want %d: %q", a.status, a.body, len(a.statements), want, a.statements)
			}
			if !slices.ContainsFunc(a.statements, func(s string) bool { return strings.Contains(s, "FROM users") }) {
				t.Errorf("none is of users: %q", a.statements)
			}
		}
	})
}
