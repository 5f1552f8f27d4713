package cli

import (
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// TestCollisions checks what 'dragoman collisions', 'dragoman migrate' and the log of 'dragoman serve' say of two users whose
// e-mails an older version stored as different ones.
func TestCollisions(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, database string) {
		s := storetest.Open(t, database)
		storetest.Directory(t, s)
		dir := t.TempDir()
		variables := []string{"DRAGOMAN_DATABASE=" + database, "DRAGOMAN_SECRET_KEY=" + keyOfNow, "DRAGOMAN_JWT_SECRET=" + secretOfTokens}
		expect := func(command, want string) {
			t.Helper()
			if status, out, said := configured(t, dir, variables, "", command); status != 0 || out != want {
				t.Errorf("%s: status %d\n%s%s, want\n%s", command, status, out, said, want)
			}
		}
		warns := func() bool {
			said := serve(t, dir, variables, []string{"serve", "--listen=127.0.0.1:0"}, func(string) {})
			return strings.Contains(said, `level=WARN msg="users have the same username or e-mail: see dragoman collisions" collisions=1 users=2 ids="[6860 6861]"`)
		}
		const none, migrated = "no two users have the same username or e-mail\n", "nothing to apply: the database is up to date\n"
		const both = `collision of email  user 6860  customer 3393  "rene\u0301@example.com"` + "\n" +
			`collision of email  user 6861  customer 3393  "ren\u00e9@example.com"` + "\n"

		expect("collisions", none)
		expect("migrate", migrated)
		if warns() {
			t.Error("a warning without collisions")
		}
		for _, statement := range []string{ // as the rules before this version's folded
			"UPDATE users SET email = 'rene\u0301@example.com', email_fold = 'rene\u0301@example.com' WHERE id = 6860",
			"UPDATE users SET email = 'ren\u00e9@example.com', email_fold = 'ren\u00e9@example.com' WHERE id = 6861",
		} {
			storetest.Exec(t, database, statement)
		}
		expect("migrate", migrated+both)
		expect("collisions", both)
		if !warns() {
			t.Error("no warning of the collision")
		}
		_, _, err := s.UpdateUser(t.Context(), store.UserByID(servertest.Sandbox, 6861), store.Change{Edit: func(u *store.User) error {
			u.Email = "grace@example.com"
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		expect("migrate", migrated)
		expect("collisions", none)
	})
}
