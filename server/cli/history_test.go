package cli

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// operator runs the program on a directory that is being served, with the key that it is sealed with.
type operator struct {
	*servertest.Server
	t         *testing.T
	dir       string
	variables []string
}

// eachOperated runs f with a served sandbox of its own on each engine, and an operator beside it.
func eachOperated(t *testing.T, f func(t *testing.T, o *operator)) {
	t.Helper()
	storetest.EachURL(t, func(t *testing.T, url string) {
		f(t, &operator{
			Server: servertest.StartWith(t, server.Config{Database: url}),
			t:      t, dir: t.TempDir(),
			variables: []string{"DRAGOMAN_DATABASE=" + url, "DRAGOMAN_SECRET_KEY=" + base64.StdEncoding.EncodeToString(storetest.Key)},
		})
	})
}

// run fails the test unless the program ends with this status, and prints this, but for times.
func (o *operator) run(status int, stdout, stderr string, args ...string) {
	o.t.Helper()
	gotStatus, gotOut, gotErr := configured(o.t, o.dir, o.variables, "", args...)
	gotOut = anyTime.ReplaceAllString(gotOut, "TIME")
	if gotStatus != status || gotOut != stdout || gotErr != stderr {
		o.t.Errorf("%q\nends with %d, prints\n%s%s\nwant %d and\n%s%s", args, gotStatus, gotOut, gotErr, status, stdout, stderr)
	}
}

var anyTime = regexp.MustCompile(`20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`)

// send sends a request of Grace's, who administers the sandbox.
func (o *operator) send(id, method, path, body string) {
	o.t.Helper()
	claims := auth.Claims{Subject: "grace@example.com", UserID: &servertest.GraceUUID, Customers: []string{"3393"}, Authorities: []string{"ROLE_COMPANY_ADMIN"}, Expires: time.Hour}
	a := o.Ask(claims, servertest.Request{Method: method, Path: path, Header: http.Header{"X-Request-Id": {id}}, Body: body})
	if a.Status != http.StatusOK {
		o.t.Fatalf("%d %s", a.Status, a.Body)
	}
}

const (
	patchOfAda = "/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users/94520740-d63c-4e02-85ca-c4e138801e73"
	putOfAda   = "/account/api/v1/customers/3393/users/6860"
)

// tellStory has Ada changed by both dialects: versions 2 to 5.
func (o *operator) tellStory() {
	o.t.Helper()
	const ada = `{"name":"Augusta","surname":"Lovelace","username":"adalovelace","email":"ada@example.org","enabled":true,` +
		`"accountNonExpired":true,"accountNonLocked":%t,"credentialNonExpired":true,"authorities":[{"name":"ROLE_USER"},{"name":"ROLE_REPORT"}],%s}`
	o.send("one", http.MethodPatch, patchOfAda, `{"first_name":"Augusta","mobile":"+44 20 \"7946\""}`)
	o.send("two", http.MethodPut, putOfAda, fmt.Sprintf(ada, false, `"newPassword":"pa55Word!","vcsPassword":"git"`))
	o.send("three", http.MethodPatch, patchOfAda, `{"subrole":{"code":"cro"},"mobile":""}`)
	o.send("four", http.MethodPut, putOfAda, fmt.Sprintf(ada, true, `"vcsPassword":""`))
}

// story is how the history tells that.
const story = `TIME  version 1, by unknown, through unknown
    FirstName             none -> "Ada"
    LastName              none -> "Lovelace"
    Username              none -> "adalovelace"
    Email                 none -> "ada.lovelace@example.com"
    Roles                 none -> [ROLE_USER]
    Status                none -> "ACTIVE"
    AccountNonExpired     none -> true
    AccountNonLocked      none -> true
    CredentialNonExpired  none -> true
    AccessToken           set
    EmailVerified         none -> true
    FirstLogin            none -> false
TIME  version 2, by grace@example.com (user 0cfecc31-e3f4-4fce-9a27-f36ea6256a10), through worth updateCustomerUser, request one
    FirstName  "Ada" -> "Augusta"
    Mobile     none -> "+44 20 \"7946\""
TIME  version 3, by grace@example.com (user 0cfecc31-e3f4-4fce-9a27-f36ea6256a10), through testinium updateUser, request two
    Email                "ada.lovelace@example.com" -> "ada@example.org"
    Roles                [ROLE_USER] -> [ROLE_USER ROLE_REPORT]
    AccountNonLocked     true -> false
    PasswordHash         set
    LastPasswordResetAt  none -> "TIME"
    VCSPassword          set
    EmailVerified        true -> false
TIME  version 4, by grace@example.com (user 0cfecc31-e3f4-4fce-9a27-f36ea6256a10), through worth updateCustomerUser, request three
    Mobile  "+44 20 \"7946\"" -> none
    Roles   [ROLE_USER ROLE_REPORT] -> [ROLE_COMPANY_ADMIN ROLE_USER ROLE_REPORT]
TIME  version 5, by grace@example.com (user 0cfecc31-e3f4-4fce-9a27-f36ea6256a10), through testinium updateUser, request four
    Roles             [ROLE_COMPANY_ADMIN ROLE_USER ROLE_REPORT] -> [ROLE_USER ROLE_REPORT]
    AccountNonLocked  false -> true
    VCSPassword       cleared
`

func TestHistory(t *testing.T) {
	t.Parallel()
	eachOperated(t, func(t *testing.T, o *operator) {
		o.tellStory()
		for _, user := range []string{"6860", servertest.AdaUUID.String(), "Ada@Example.org"} {
			o.run(0, story, "", "history", "--user", user)
		}
	})
}

func TestHistoryJSON(t *testing.T) {
	t.Parallel()
	eachOperated(t, func(t *testing.T, o *operator) {
		o.send("one", http.MethodPatch, patchOfAda, `{"first_name":"Augusta","subrole":{"code":"cro"},"mobile":"1"}`)
		_, out, stderr := configured(t, o.dir, o.variables, "", "history", "--json", "--user", "6860")
		lines := strings.Split(out, "\n")
		want := `{"at":"TIME","user":6860,"version":2,"customer":3393,"actor":"0cfecc31-e3f4-4fce-9a27-f36ea6256a10","subject":"grace@example.com",` +
			`"dialect":"worth","operation":"updateCustomerUser","requestId":"one","fields":[{"field":"FirstName","old":"Ada","new":"Augusta"},` +
			`{"field":"Mobile","old":null,"new":"1"},{"field":"Roles","old":["ROLE_USER"],"new":["ROLE_COMPANY_ADMIN","ROLE_USER"]}]}`
		if len(lines) != 3 || lines[2] != "" || anyTime.ReplaceAllString(lines[1], "TIME") != want || stderr != "" {
			t.Errorf("printed\n%s%s\nwant in the second line\n%s", out, stderr, want)
		}
	})
}

// What a caller or a program is called cannot pass for something else that the history tells.
func TestHistoryQuotesNames(t *testing.T) {
	t.Parallel()
	eachOperated(t, func(t *testing.T, o *operator) {
		ctx := store.WithOrigin(context.Background(), store.Origin{
			Subject: "eve, through worth\n2026-01-01T00:00:00.000Z  version 3, by \x1b[1mgrace", Dialect: "cli", Operation: "import",
		})
		_, _, err := o.Store.UpdateUser(ctx, store.UserByID(servertest.Sandbox, servertest.Ada), store.Change{Edit: func(u *store.User) error {
			u.FirstName, u.LastName = "\x1b[2J\nTIME  version 9", "-> none"
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(story, "TIME  version 2")
		o.run(0, first+`TIME  version 2, by "eve, through worth\nTIME  version 3, by \x1b[1mgrace", through cli import
    FirstName  "Ada" -> "\x1b[2J\nTIME  version 9"
    LastName   "Lovelace" -> "-> none"
`, "", "history", "--user", "6860")
	})
}

func TestRestore(t *testing.T) {
	t.Parallel()
	eachOperated(t, func(t *testing.T, o *operator) {
		o.tellStory()
		before := o.FindUser(t, servertest.Ada)
		o.run(0, "nothing to restore: version 5 is as version 5 was\n", "", "restore", "--user", "6860", "--version", "5")
		o.run(0, "would restore version 2 over version 5: Email, Mobile, Roles, EmailVerified\n", "", "restore", "--dry-run", "--user", "6860", "--version", "2")
		if d := servertest.Differences(before, o.FindUser(t, servertest.Ada)); len(d) > 0 {
			t.Errorf("--dry-run changes %v", d)
		}
		o.run(0, "restored version 2 as version 6: Email, Mobile, Roles, EmailVerified\n", "", "restore", "--user", "ada@example.org", "--version", "2")
		after := o.FindUser(t, servertest.Ada)
		want := before
		want.Email, want.Mobile, want.Roles, want.EmailVerified = "ada.lovelace@example.com", new(`+44 20 "7946"`), store.Roles(3), true
		want.Version, want.UpdatedAt, want.UpdatedBy = 6, after.UpdatedAt, nil
		if d := servertest.Differences(servertest.Folded(want), after); len(d) > 0 {
			t.Errorf("%v are not as they were: %+v", d, after)
		}
		if after.PasswordHash == nil || *after.PasswordHash != *before.PasswordHash {
			t.Error("the password was not kept")
		}
		_, out, _ := configured(t, o.dir, o.variables, "", "history", "--user", "6860")
		if !strings.Contains(out, "through cli restore\n    Email          \"ada@example.org\" -> \"ada.lovelace@example.com\"\n") {
			t.Errorf("the history tells\n%s", out)
		}
	})
}

func TestRestoreInvalid(t *testing.T) {
	t.Parallel()
	eachOperated(t, func(t *testing.T, o *operator) {
		o.tellStory()
		// Ada has become the one who administers the sandbox, which she did not before.
		o.send("", http.MethodPatch, patchOfAda, `{"subrole":{"code":"cro"}}`)
		grace := store.UserByID(servertest.Sandbox, servertest.Grace)
		_, _, err := o.Store.UpdateUser(context.Background(), grace, store.Change{Edit: func(u *store.User) error {
			u.Status, u.Email = store.StatusInactive, "ada.lovelace@example.com"
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		const refused = "dragoman: error: updating user: Roles must leave the customer an active administrator"
		o.run(2, "", refused+"\n", "restore", "--user", "6860", "--version", "5")
		o.run(2, "", refused+"\n                 Email already taken\n", "restore", "--user", "6860", "--version", "1")
		if u := o.FindUser(t, servertest.Ada); u.Version != 6 {
			t.Errorf("version %d", u.Version)
		}
	})
}

func TestHistoryAndRestoreErrors(t *testing.T) {
	t.Parallel()
	eachOperated(t, func(t *testing.T, o *operator) {
		o.run(2, "", "dragoman: error: there is no user nobody@example.com\n", "history", "--user", "nobody@example.com")
		o.run(2, "", "dragoman: error: there is no user 4711\n", "restore", "--user", "4711", "--version", "1")
		o.run(2, "", "dragoman: error: there is no user \"Ada Lovelace\"\n", "restore", "--user", "Ada Lovelace", "--version", "1")
		for _, version := range []string{"0", "2", "-1", "9223372036854775807"} {
			o.run(2, "", "dragoman: error: the history of 6860 has no version "+version+"\n", "restore", "--user", "6860", "--version="+version)
		}
		for _, args := range []string{"history", "restore --user 6860", "restore --version 1", "restore --user 6860 --version one"} {
			if status, _, stderr := configured(t, o.dir, o.variables, "", strings.Fields(args)...); status != 80 || !strings.Contains(stderr, "--user") && !strings.Contains(stderr, "--version") {
				t.Errorf("%s: status %d, %s", args, status, stderr)
			}
		}
	})
}

func TestRekey(t *testing.T) {
	t.Parallel()
	eachOperated(t, func(t *testing.T, o *operator) {
		old, fresh := o.variables[1], "DRAGOMAN_SECRET_KEY="+base64.StdEncoding.EncodeToString([]byte("the fresh key: 32 bytes, no more"))
		database := o.variables[0]
		before := o.FindUser(t, servertest.Ada)
		o.run(0, "nothing to seal anew: all secrets are sealed with the present key\n", "", "rekey")

		const sealed = "users whose secrets were sealed anew: %d\nkept answers that were sealed anew: %d\nsecrets of webhooks that were sealed anew: %d\n"
		o.variables = []string{database, fresh}
		users := filepath.Join(t.TempDir(), "users.csv")
		if err := os.WriteFile(users, []byte("customer,first_name,last_name,email\n3393,New,User,new@example.com\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, command := range [][]string{
			{"rekey"}, {"import", users}, {"export"}, {"history", "--user", "6860"}, {"restore", "--user", "6860", "--version", "1"},
			{"customer", "add", "--name", "Acme"},
			{"serve", "--listen", "127.0.0.1:0", "--jwt-secret", strings.Repeat("s", 32)},
		} {
			status, out, stderr := configured(t, o.dir, o.variables, "", command...)
			if status != 1 || out != "" || !strings.Contains(stderr, "set --secret-key (DRAGOMAN_SECRET_KEY)") || strings.Count(stderr, "error: ") != 1 {
				t.Errorf("%s without the old key: status %d, %s%s", command[0], status, out, stderr)
			}
		}
		o.variables = append(o.variables, strings.Replace(old, "SECRET_KEY", "OLD_SECRET_KEY", 1))
		o.run(0, fmt.Sprintf(sealed, 3, 0, 2), "", "rekey")
		o.run(0, "nothing to seal anew: all secrets are sealed with the present key\n", "", "rekey")

		s, err := store.Open(t.Context(), store.Config{URL: strings.TrimPrefix(database, "DRAGOMAN_DATABASE="), SecretKey: []byte("the fresh key: 32 bytes, no more")})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		after, err := s.FindUser(t.Context(), store.UserByID(servertest.Sandbox, servertest.Ada))
		if err != nil || after.AccessToken != before.AccessToken || after.Version != before.Version {
			t.Errorf("%+v, %v", after, err)
		}
		// A kept answer counts too.
		if err := s.PrepareNothing().Commit(t.Context(), store.Record{Key: store.RecordKey{CustomerID: servertest.Sandbox}, Answer: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
		newest := "DRAGOMAN_SECRET_KEY=" + base64.StdEncoding.EncodeToString([]byte("the newest key: 32 bytes, enough"))
		o.variables = []string{database, newest, strings.Replace(fresh, "SECRET_KEY", "OLD_SECRET_KEY", 1)}
		o.run(0, fmt.Sprintf(sealed, 3, 1, 2), "", "rekey")

		o.variables = []string{database, old}
		if status, _, _ := configured(t, o.dir, o.variables, "", "history", "--user", "6860"); status != 1 {
			t.Errorf("with the old key alone: status %d", status)
		}
	})
}

// TestNumberChanges numbers by hand what no server has numbered.
func TestNumberChanges(t *testing.T) {
	t.Parallel()
	eachOperated(t, func(t *testing.T, o *operator) {
		o.send("one", http.MethodPatch, patchOfAda, `{"first_name":"Augusta"}`)
		o.run(0, "changes numbered: 1\n", "", "changes", "number")
		o.run(0, "changes numbered: 0\n", "", "changes", "number")
	})
}
