package server_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/gen/worthclient"
	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// trial is a request as a dry run, whose answer is marked as one.
func trial(t testing.TB, s *servertest.Server, claims auth.Claims, r servertest.Request) servertest.Answer {
	t.Helper()
	r.Path = dialect.DryRunPath + r.Path
	a := s.Ask(claims, r)
	if got := a.Header.Values("Dragoman-Dry-Run"); len(got) != 1 || got[0] != "true" {
		t.Errorf("%s %s: Dragoman-Dry-Run is %q", r.Method, r.Path, got)
	}
	return a
}

// directoryState is all that a dry run could have changed: users with their versions, and the feed.
func directoryState(t testing.TB, s *servertest.Server) string {
	t.Helper()
	ctx := context.Background()
	if _, err := s.Store.NumberChanges(ctx); err != nil {
		t.Fatal(err)
	}
	users, err := s.Store.UsersAfter(ctx, servertest.Sandbox, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	changes, last, err := s.Store.ListChanges(ctx, store.FeedScope{All: true}, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%+v\n%d changes, the last is %d", users, len(changes), last)
}

const newWorthUser = `{"first_name":"Mary","last_name":"Jackson","email":"mary@example.com","subrole":{"id":"6351c76f-76a3-4950-9cc4-cc37cdc05ec2","code":"risk_analyst","label":""}}`

// worthPeople is where Worth's users are created.
var worthPeople = "/auth/api/v1/customers/" + servertest.SandboxUUID.String() + "/users"

func TestDryRunWritesNothing(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		before := directoryState(t, s)
		for _, c := range []struct {
			servertest.Request
			changed string
		}{
			{servertest.Request{Method: http.MethodPatch, Path: worthAda, Body: `{"first_name":"Augusta","email":"a@example.com","shoe_size":1}`}, "first_name, email, is_email_verified"},
			{servertest.Request{Method: http.MethodPatch, Path: worthAda, Body: `{"first_name":"Ada","shoe_size":1}`}, ""},
			{servertest.Request{Method: http.MethodPut, Path: testiniumAda, Body: withPassword(putOfAda, `"newPassword":"pa55Word!","vcsPassword":"x","shoe_size":1`)}, "surname, newPassword, lastPasswordResetDate, vcsPassword"},
			{servertest.Request{Method: http.MethodPost, Path: worthPeople, Body: strings.Replace(newWorthUser, "{", `{"shoe_size":1,`, 1)}, ""},
		} {
			a := trial(t, s, servertest.Manager(), c.Request)
			if a.Status != http.StatusOK || a.Header.Get("Dragoman-Changed") != c.changed || a.Header.Get("Dragoman-Ignored") != "shoe_size" {
				t.Errorf("%s %s: %d %v %s", c.Method, c.Path, a.Status, a.Header, a.Body)
			}
			a.ExpectHeader(t, "ETag")
			if got := directoryState(t, s); got != before {
				t.Fatalf("%s %s: the directory is\n%s\nand was\n%s", c.Method, c.Path, got, before)
			}
		}
		// A read is the real one.
		trial(t, s, servertest.Manager(), servertest.Request{Method: http.MethodGet, Path: worthAda}).ExpectHeader(t, "ETag", `"1"`)
		if got := directoryState(t, s); got != before {
			t.Errorf("the directory is\n%s\nand was\n%s", got, before)
		}
	})
}

// TestDryRunTakesNoID: a creation gets the id that it would have got without the dry runs before it.
func TestDryRunTakesNoID(t *testing.T) {
	t.Parallel()
	create := func(s *servertest.Server, name string, ask func(*servertest.Server, servertest.Request) servertest.Answer) {
		a := ask(s, servertest.Request{Method: http.MethodPost, Path: worthPeople, Body: strings.Replace(newWorthUser, "mary", name, 1)})
		if a.Status != http.StatusOK {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}
	real := func(s *servertest.Server, r servertest.Request) servertest.Answer {
		return s.Ask(servertest.Manager(), r)
	}
	dry := func(s *servertest.Server, r servertest.Request) servertest.Answer {
		return trial(t, s, servertest.Manager(), r)
	}
	ids := func(s *servertest.Server) (ids []int64) {
		users, err := s.Store.UsersAfter(context.Background(), servertest.Sandbox, 0, 1000)
		if err != nil {
			t.Error(err)
		}
		for _, u := range users {
			ids = append(ids, u.ID)
		}
		return ids
	}
	with, without := servertest.Start(t), servertest.Start(t)
	for i := range 3 {
		create(with, fmt.Sprint("dry", i), dry)
	}
	for i, s := range []*servertest.Server{with, with, without, without} {
		create(s, fmt.Sprint("real", i), real)
	}
	if a, b := fmt.Sprint(ids(with)), fmt.Sprint(ids(without)); a != b {
		t.Errorf("with dry runs the ids are %s, without %s", a, b)
	}
}

// TestDryRunWaitsForNoWriter: while another program holds what a write needs, a dry run is answered.
func TestDryRunWaitsForNoWriter(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s := servertest.StartWith(t, server.Config{Database: url, Timeouts: server.Timeouts{Request: 30 * time.Second}})
		conn := beside(t, url)
		lock(t, conn, url)
		for _, r := range []servertest.Request{
			{Method: http.MethodPatch, Path: worthAda, Body: `{"first_name":"Augusta","email":"augusta@example.com"}`},
			{Method: http.MethodPut, Path: "/account/api/v1/customers/3393/users/6861", Header: http.Header{"Current-Company-Id": {"5251"}},
				Body: strings.NewReplacer("adalovelace", "gracehopper", "ada.lovelace", "grace.hopper", `"enabled":true`, `"enabled":false`).Replace(putOfAda)},
			{Method: http.MethodPost, Path: worthPeople, Body: newWorthUser},
		} {
			want := http.StatusOK
			if r.Method == http.MethodPut {
				want = http.StatusBadRequest // she is the last administrator, which is decided under locks otherwise
			}
			if a := trial(t, s, servertest.Administrator(), r); a.Status != want {
				t.Errorf("%s %s: %d %s", r.Method, r.Path, a.Status, a.Body)
			}
		}
		if _, err := conn.ExecContext(context.Background(), "ROLLBACK"); err != nil {
			t.Error(err)
		}
	})
}

// beside gives a connection to a database beside the server's.
func beside(t *testing.T, url string) *sql.Conn {
	t.Helper()
	driver, source := "pgx", url
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		driver, source = "sqlite", "file:"+path
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// lock makes writers of the sandbox's users wait.
func lock(t *testing.T, conn *sql.Conn, url string) {
	t.Helper()
	statements := []string{"BEGIN", "SELECT 1 FROM customers FOR UPDATE", "SELECT 1 FROM users WHERE customer_id = 3393 FOR UPDATE"}
	if store.EngineOf(url) == "sqlite" {
		statements = []string{"BEGIN IMMEDIATE"}
	}
	for _, text := range statements {
		if _, err := conn.ExecContext(context.Background(), text); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDryRunIsNoOracle: nothing that a caller or who watches the server can see depends on a stored secret.
func TestDryRunIsNoOracle(t *testing.T) {
	t.Parallel()
	eachObserved(t, func(t *testing.T, o *observer) {
		hash, err := o.passwords.Hash(context.Background(), "Present!")
		if err != nil {
			t.Fatal(err)
		}
		vcs := "vcs"
		herself := auth.Claims{Subject: "ada", Customers: []string{"3393"}, Permissions: []auth.Permission{auth.PermissionWrite}, Authorities: []string{"ROLE_USER"}, Expires: time.Hour}
		for _, c := range []struct{ members, changed string }{
			{`"newPassword":"pa55Word!","password":"Present!"`, "newPassword, lastPasswordResetDate"},
			{`"newPassword":"pa55Word!","password":"Present?"`, "newPassword, lastPasswordResetDate"},
			{`"newPassword":"Present!","password":""`, "newPassword, lastPasswordResetDate"},
			{`"vcsPassword":"vcs"`, "vcsPassword"},
			{`"vcsPassword":"other"`, "vcsPassword"},
			{`"vcsPassword":""`, "vcsPassword"},
			{`"vcsPassword":null,"newPassword":null`, ""},
		} {
			r := servertest.Request{
				Method: http.MethodPut, Path: dialect.DryRunPath + "/account/api/v1/customers/3393/users/6860", Body: withPassword(putOfAda, c.members),
			}
			rewrite(t, o.Server, servertest.Ada, func(u *store.User) { u.LastName, u.PasswordHash, u.VCSPassword = "King", nil, nil })
			o.ask(herself, r) // the customer, which is the token's own, may be known
			var seen []observed
			for _, present := range []struct{ hash, vcs *string }{{nil, nil}, {&hash, &vcs}} {
				rewrite(t, o.Server, servertest.Ada, func(u *store.User) { u.PasswordHash, u.VCSPassword = present.hash, present.vcs })
				a := o.ask(herself, r)
				a.body = regexp.MustCompile(`"lastPasswordResetDate":\d+`).ReplaceAllString(a.body, "")
				if a.hashes != 0 {
					t.Errorf("%s: %d hashes were computed", c.members, a.hashes)
				}
				if got := a.header.Get("Dragoman-Changed"); got != c.changed {
					t.Errorf("%s: Dragoman-Changed is %q, want %q", c.members, got, c.changed)
				}
				seen = append(seen, a)
			}
			o.indistinguishable(t, http.StatusOK, seen[0], seen[1])
		}
		// Whether the present one is sent at all does not depend on what is stored.
		r := servertest.Request{Method: http.MethodPut, Path: dialect.DryRunPath + testiniumAda, Body: withPassword(putOfAda, `"newPassword":"pa55Word!"`)}
		if a := o.ask(herself, r); a.status != http.StatusBadRequest || !strings.Contains(a.body, "password is required to set a new one") {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

// TestDryRunRoutes: what is no operation is answered as elsewhere, and marked.
func TestDryRunRoutes(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, "/auth/api/v1/nothing", http.StatusNotFound},
		{http.MethodDelete, worthAda, http.StatusMethodNotAllowed},
		{http.MethodPatch, "/auth/api/v1/customers/x/users/y", http.StatusForbidden},
		{http.MethodHead, worthAda, http.StatusOK},
		{http.MethodOptions, worthAda, http.StatusNoContent},
	} {
		if a := trial(t, s, servertest.Manager(), servertest.Request{Method: c.method, Path: c.path, Body: "{}"}); a.Status != c.status {
			t.Errorf("%s %s: %d %s, want %d", c.method, c.path, a.Status, a.Body, c.status)
		}
	}
	for _, path := range []string{dialect.DryRunPath, dialect.DryRunPath + "/", dialect.DryRunPath + "/livez", dialect.DryRunPath + dialect.DryRunPath + worthAda, "/dry-runs" + worthAda} {
		a := s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodPatch, Path: path, Body: `{"first_name":"Augusta"}`})
		if a.Status != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, a.Status, a.Body)
		}
		if marked := a.Header.Get("Dragoman-Dry-Run") != ""; marked != strings.HasPrefix(path, dialect.DryRunPath+"/") {
			t.Errorf("%s: Dragoman-Dry-Run is %q", path, a.Header.Get("Dragoman-Dry-Run"))
		}
	}
	// What is there only as a dry run is nowhere else.
	s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodGet, Path: worthAda}).ExpectHeader(t, "Dragoman-Dry-Run")
}

func TestDryRunsCountForRateLimits(t *testing.T) {
	t.Parallel()
	s := servertest.StartWith(t, server.Config{Limits: server.Limits{Principal: dialect.Rate{PerSecond: 1e-3, Burst: 2}}})
	r := servertest.Request{Method: http.MethodPatch, Path: worthAda, Body: `{"first_name":"Augusta"}`}
	trial(t, s, servertest.Manager(), r)
	trial(t, s, servertest.Manager(), r)
	if a := s.Ask(servertest.Manager(), r); a.Status != http.StatusTooManyRequests {
		t.Errorf("after two dry runs a write is %d", a.Status)
	}
	if a := trial(t, s, servertest.Manager(), r); a.Status != http.StatusTooManyRequests {
		t.Errorf("a third dry run is %d", a.Status)
	}
}

// TestDryRunByTheSDK reaches dry runs by the base URL alone.
func TestDryRunByTheSDK(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	dry := s.Below(dialect.DryRunPath)
	u := s.FindUser(t, servertest.Ada)
	if _, r := patch(t, dry, u, worthclient.UserPatch{FirstName: new("Augusta")}); r.Headers200.DragomanChanged != "first_name" || r.Headers200.ETag != "" || r.Headers200.DragomanDryRun == nil || !*r.Headers200.DragomanDryRun {
		t.Errorf("%+v", r.Headers200)
	}
	p := bodyOf(s, u)
	p.Surname = "King"
	if _, r := put(t, dry, u, p); r.Headers200.DragomanChanged != "surname" || r.Headers200.ETag != "" || r.JSON200.Surname != "King" {
		t.Errorf("%+v %s", r.Headers200, r.Body)
	}
	if after := s.FindUser(t, servertest.Ada); after.Version != u.Version {
		t.Errorf("version %d", after.Version)
	}
}
