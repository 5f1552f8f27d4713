package cli

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

const erasedAda = `user 6860, 94520740-d63c-4e02-85ca-c4e138801e73, of customer 3393, as version 6:
  fields: FirstName, LastName, Username, Email, Roles, Status, AccountNonExpired, AccountNonLocked, CredentialNonExpired, PasswordHash, LastPasswordResetAt, AccessToken, DeprovisionedAt
  entries of its history with values: 4
  changes of other users with its subject: 0
  answers kept for an Idempotency-Key: 0
`

// TestErase erases a user of a directory that is served, and looks at what else commands do with such a user.
func TestErase(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		o := &operator{
			Server: servertest.StartWith(t, server.Config{Database: url}), t: t, dir: t.TempDir(),
			variables: []string{"DRAGOMAN_DATABASE=" + url, "DRAGOMAN_SECRET_KEY=" + base64.StdEncoding.EncodeToString(storetest.Key)},
		}
		path, isFile := strings.CutPrefix(url, "sqlite:")
		list, purged := path+".erasures", "the file and its log have been overwritten; backups have not\n"
		if !isFile {
			list = filepath.Join(o.dir, "erasures")
			o.run(1, "", "dragoman: error: previewing an erasure: there is no erasure ledger, which brings an erasure back after a restore: name its file in --erasure-ledger (DRAGOMAN_ERASURE_LEDGER)\n",
				"erase", "--user", "6860")
			o.variables = append(o.variables, "DRAGOMAN_ERASURE_LEDGER="+list)
			purged = "PostgreSQL keeps old rows in its files until they are rewritten: run VACUUM FULL users, user_changes, claims, reserved_folds, user_search, idempotency_records, provisioning_tokens when the directory " +
				"may be locked for it. Archived write-ahead logs and backups have them, too.\n"
		}
		o.tellStory()
		before := o.FindUser(t, servertest.Ada)

		o.run(0, "user 6860 cannot be erased from now on: version 6\n", "", "legal-hold", "set", "--user", "6860")
		o.run(2, "", "dragoman: error: previewing an erasure: LegalHoldAt must be lifted before the user can be erased\n", "erase", "--user", "6860")
		o.run(2, "", "dragoman: error: erasing a user: LegalHoldAt must be lifted before the user can be erased\n", "erase", "--user", "6860", "--yes")
		o.run(0, "user 6860 can be erased again: version 7\n", "", "legal-hold", "lift", "--user", "6860")
		o.run(0, "user 6860 has no legal hold\n", "", "legal-hold", "lift", "--user", "6860")
		o.run(2, "", "dragoman: error: previewing an erasure: Status must leave the customer an active administrator\n", "erase", "--user", "6861")
		o.run(2, "", "dragoman: error: previewing an erasure: Reason must not have a value that the user has or had, as it is kept\n", "erase", "--user", "6860", "--reason", "asked by ADA@example.org")

		described := strings.Replace(erasedAda, "version 6", "version 8", 1)
		o.run(0, "would erase "+described+"nothing was changed: give --yes to erase\n", "", "erase", "--user", "Ada@Example.org")
		if d := servertest.Differences(o.FindUser(t, servertest.Ada), before); len(d) > 3 { // the version, and when and by whom it was made
			t.Errorf("changed are %v", d)
		}
		o.run(0, "erased "+described+purged, "", "erase", "--user", "6860", "--reason", "case 4711", "--yes")
		const nothing = "nothing to erase: user 6860, 94520740-d63c-4e02-85ca-c4e138801e73, is erased as version 8\n"
		o.run(0, nothing, "", "erase", "--user", "6860")
		o.run(0, nothing+purged, "", "erase", "--user", "6860", "--yes")
		o.run(2, "", "dragoman: error: there is no user ada@example.org\n", "erase", "--user", "ada@example.org")
		o.run(2, "", "dragoman: error: previewing restore: the value that FirstName had before version 8 was erased from the history: the value was erased\n", "restore", "--dry-run", "--user", "6860", "--version", "7")
		o.run(2, "", "dragoman: error: updating user: the user's personal data were erased, so it cannot be changed\n", "legal-hold", "set", "--user", "6860")
		if _, out, _ := configured(t, o.dir, o.variables, "", "history", "--user", "6860"); !strings.Contains(out, "through cli erased\n    FirstName             \"erased\" -> \"\"\n") ||
			strings.Contains(out, "Augusta") || strings.Contains(out, "20 7946") || strings.Contains(out, "example.org") {
			t.Errorf("the history tells\n%s", out)
		}
		_, out, _ := configured(t, o.dir, o.variables, "", "export")
		if strings.Contains(out, "\n6860,") || strings.Contains(out, "erased.invalid") || !strings.Contains(out, "\n6861,") {
			t.Errorf("exported is\n%s", out)
		}
		if text, err := os.ReadFile(list); err != nil || !strings.HasPrefix(string(text), before.UUID.String()+" 20") || strings.Count(string(text), "\n") != 1 {
			t.Errorf("the ledger is %q, %v", text, err)
		}
	})
}

// TestReplayAfterRestore: a server refuses a database that brings an erased user back, and says what to do.
func TestReplayAfterRestore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url := "sqlite:" + filepath.Join(dir, "users.db")
	s := storetest.Open(t, url)
	storetest.Directory(t, s)
	variables := []string{"DRAGOMAN_DATABASE=" + url, "DRAGOMAN_SECRET_KEY=" + base64.StdEncoding.EncodeToString(storetest.Key), "DRAGOMAN_JWT_SECRET=" + secretOfTokens}
	run := func(want string, args ...string) {
		t.Helper()
		if _, out, said := configured(t, dir, variables, "", args...); !strings.Contains(out+said, want) {
			t.Errorf("%q prints %s%s, want %s", args, out, said, want)
		}
	}
	backup := filepath.Join(dir, "backup.db")
	run("backed up", "backup", backup)
	if _, err := s.EraseUser(t.Context(), store.Erasure{Key: store.UserByID(servertest.Sandbox, servertest.Ada)}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	serve(t, dir, variables, []string{"serve", "--listen=127.0.0.1:0"}, func(string) {})
	// As the guide says: a log of the former database would be applied to the restored one.
	for _, name := range []string{"users.db-wal", "users.db-shm"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(backup, filepath.Join(dir, "users.db")); err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "users.db.erasures")
	status, _, said := configured(t, dir, variables, "", "serve", "--listen=127.0.0.1:0")
	if want := "the database has personal data of erased users, as one has that was restored from a backup: 1 users of " + list + ": run `dragoman erase --replay " + list + "`"; status != 1 || !strings.Contains(said, want) {
		t.Errorf("status %d, %s", status, said)
	}
	run("erased user 6860, 94520740-d63c-4e02-85ca-c4e138801e73, of customer 3393, as version 2\n", "erase", "--replay", list)
	run("nothing to erase: the database has no personal data of a user of the ledger\n", "erase", "--replay", list)
	serve(t, dir, variables, []string{"serve", "--listen=127.0.0.1:0"}, func(string) {})
}

func TestEraseCommandLine(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"erase": "--user", "erase --user=1 --replay=x": "--replay", "erase --replay=x": "--replay: stat x", "erase --replay=x --yes": "--yes", "erase --replay=x --reason=y": "--reason",
		"legal-hold set": "--user",
	} {
		if status, _, said := dragoman(t, t.TempDir(), "", strings.Fields(args)...); status != 80 || !strings.Contains(said, want) {
			t.Errorf("%s: status %d, %s", args, status, said)
		}
	}
}

// TestDevelopmentLedger: with --dev there is a ledger for either engine, and its directory is made if the keys did not need it.
func TestDevelopmentLedger(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		storetest.Directory(t, storetest.Open(t, url))
		dir := t.TempDir()
		variables := []string{
			"DRAGOMAN_DATABASE=" + url, "DRAGOMAN_SECRET_KEY=" + base64.StdEncoding.EncodeToString(storetest.Key), "DRAGOMAN_JWT_SECRET=" + secretOfTokens,
		}
		list := filepath.Join(dir, ".dragoman", "erasures")
		if path, isFile := strings.CutPrefix(url, "sqlite:"); isFile {
			list = path + ".erasures"
		}
		serve(t, dir, variables, []string{"serve", "--dev", "--listen=127.0.0.1:0"}, func(string) {})
		if status, _, said := configured(t, dir, variables, "", "erase", "--dev", "--user", "6860", "--yes"); status != 0 {
			t.Fatal(said)
		}
		if text, err := os.ReadFile(list); err != nil || !strings.HasPrefix(string(text), servertest.AdaUUID.String()) {
			t.Errorf("%q, %v", text, err)
		}
		serve(t, dir, variables, []string{"serve", "--dev", "--listen=127.0.0.1:0"}, func(string) {})
	})
}

// TestExportPerson writes all that is kept of one person.
func TestExportPerson(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		o := &operator{
			Server: servertest.StartWith(t, server.Config{Database: url}), t: t, dir: t.TempDir(),
			variables: []string{"DRAGOMAN_DATABASE=" + url, "DRAGOMAN_SECRET_KEY=" + base64.StdEncoding.EncodeToString(storetest.Key)},
		}
		o.tellStory()
		_, document, _ := configured(t, o.dir, o.variables, "", "export", "--user", "6860")
		const want = `{
  "exportedAt": "TIME",
  "user": {
    "id": 6860,
    "uuid": "94520740-d63c-4e02-85ca-c4e138801e73",
    "customer": {
      "id": 3393,
      "uuid": "2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1",
      "name": "Sandbox"
    },
    "version": 5,
    "createdAt": "TIME",
    "createdBy": null,
    "updatedAt": "TIME",
    "updatedBy": "0cfecc31-e3f4-4fce-9a27-f36ea6256a10",
    "fields": [
      {
        "field": "FirstName",
        "value": "Augusta"
      },
`
		timeless := anyTime.ReplaceAllString(document, "TIME")
		if !strings.HasPrefix(timeless, want) {
			t.Errorf("the document begins with\n%s\nwant\n%s", timeless, want)
		}
		for _, part := range []string{
			`"value": "not set"`, `{"kind":"username","value":"adalovelace"}`, `{"kind":"email","value":"ada@example.org"}`,
			`{"customer":3393,"user":6860,"version":4,"at":"TIME","actor":"0cfecc31-e3f4-4fce-9a27-f36ea6256a10","subject":"grace@example.com","dialect":"worth",` +
				`"operation":"updateCustomerUser","requestId":"three","fields":[{"field":"Mobile","old":"+44 20 \"7946\"","new":null},`,
			"\n  \"changesMade\": []\n}\n",
		} {
			if !strings.Contains(timeless, part) {
				t.Errorf("the document lacks %s:\n%s", part, timeless)
			}
		}
		_, made, _ := configured(t, o.dir, o.variables, "", "export", "--user", servertest.GraceUUID.String())
		if n := strings.Count(made, `"user":6860`); n != 4 || strings.Contains(made, "Augusta") {
			t.Errorf("of the one who made %d changes there is\n%s", n, made)
		}
		o.run(0, "", "", "export", "--user", "Ada@example.org", "--output", "person.json")
		if text, err := os.ReadFile(filepath.Join(o.dir, "person.json")); err != nil || anyTime.ReplaceAllString(string(text), "TIME") != timeless {
			t.Errorf("%s, %v", text, err)
		}
		o.run(2, "", "dragoman: error: there is no user nobody@example.com\n", "export", "--user", "nobody@example.com")
		for _, flag := range []string{"--customer=3393", "--format=csv", "--spreadsheet"} {
			o.run(80, "", "dragoman: error: --customer, --format and --spreadsheet are for files of users: leave them out with --user\n", "export", "--user=6860", flag)
		}
	})
}

// TestImportOfErasedPerson: the export of an old backup does not bring anybody back by an import.
func TestImportOfErasedPerson(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		list := filepath.Join(t.TempDir(), "erasures")
		o := &operator{
			Server: servertest.StartWith(t, server.Config{Database: url}), t: t, dir: t.TempDir(),
			variables: []string{"DRAGOMAN_DATABASE=" + url, "DRAGOMAN_SECRET_KEY=" + base64.StdEncoding.EncodeToString(storetest.Key), "DRAGOMAN_ERASURE_LEDGER=" + list},
		}
		o.run(0, "", "", "export", "--output", "users.csv")
		if status, _, said := configured(t, o.dir, o.variables, "", "erase", "--user", "6860", "--yes"); status != 0 {
			t.Fatal(said)
		}
		status, out, said := configured(t, o.dir, o.variables, "", "import", "users.csv")
		if status != 2 || out != "" || !strings.Contains(said, "line 2: uuid is that of a person who was erased: leave the line out, or the UUID if it is about somebody else; id is already taken\n") {
			t.Errorf("status %d, %s%s", status, out, said)
		}
	})
}

// TestServeCompletesLedger: a server says so if the ledger that is named lacks erasures of the database, and adds them.
func TestServeCompletesLedger(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		dir := t.TempDir()
		list := filepath.Join(dir, "erasures")
		s := storetest.OpenWith(t, store.Config{URL: url, ErasureLedger: list})
		storetest.Directory(t, s)
		if _, err := s.EraseUser(t.Context(), store.Erasure{Key: store.UserByID(servertest.Sandbox, 6860)}); err != nil {
			t.Fatal(err)
		}
		variables := []string{"DRAGOMAN_DATABASE=" + url, "DRAGOMAN_SECRET_KEY=" + keyOfNow, "DRAGOMAN_JWT_SECRET=" + secretOfTokens}
		warnings := func(variables ...string) string {
			var found []string
			for line := range strings.Lines(serve(t, dir, variables, []string{"serve", "--listen=127.0.0.1:0"}, func(string) {})) {
				if _, warning, isWarning := strings.Cut(line, "level=WARN "); isWarning && strings.Contains(warning, "erasure") {
					found = append(found, warning)
				}
			}
			return strings.Join(found, "")
		}
		named := slices.Concat(variables, []string{"DRAGOMAN_ERASURE_LEDGER=" + list})
		if got := warnings(named...); got != "" {
			t.Errorf("with its ledger: %s", got)
		}
		lost := `msg="the erasure ledger lacked erasures of the database, which were added: if another file is the ledger, name that in --erasure-ledger (DRAGOMAN_ERASURE_LEDGER)" ledger=`
		if err := os.Remove(list); err != nil {
			t.Fatal(err)
		}
		if got, want := warnings(named...), lost+list+" added=1\n"; got != want {
			t.Errorf("with a ledger that was lost: %s, want %s", got, want)
		}
		if got := warnings(named...); got != "" {
			t.Errorf("once it has been added: %s", got)
		}
		want := `msg="users of the database were erased, but no erasure ledger is named: a backup that is restored could bring them back, and nobody can be erased: ` +
			`set --erasure-ledger (DRAGOMAN_ERASURE_LEDGER)"` + "\n"
		if path, isFile := strings.CutPrefix(url, "sqlite:"); isFile {
			want = lost + path + ".erasures added=1\n"
		}
		if got := warnings(variables...); got != want {
			t.Errorf("without a ledger: %s, want %s", got, want)
		}
	})
}
