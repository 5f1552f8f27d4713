package cli

import (
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// restoreSQLite is what the guide has to restore a backup, in the database's directory.
const restoreSQLite = `mkdir before
mv dragoman.db dragoman.db-* before/
install -m 600 backup.db dragoman.db
`

// TestRestoreSQLite restores a backup over a database whose server was killed, so that its log is still there. SQLite would
// take the log of the one database for the other's.
func TestRestoreSQLite(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile(root + "server/docs/guide/backup.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(guide), "\n$ "+strings.ReplaceAll(strings.TrimSpace(restoreSQLite), "\n", "\n$ ")) {
		t.Errorf("server/docs/guide/backup.md does not say\n%s", restoreSQLite)
	}
	dir := t.TempDir()
	s := storetest.Open(t, "sqlite:"+filepath.Join(dir, "dragoman.db"))
	storetest.Directory(t, s)
	status, out, said := dragoman(t, dir, "", "backup", "backup.db")
	if status != 0 || said != "" || !strings.HasPrefix(out, "backed up sqlite:dragoman.db to backup.db: 3 users, ") {
		t.Fatalf("status %d: %s%s", status, out, said)
	}
	_, _, err = s.UpdateUser(t.Context(), store.UserByID(3393, 6860), store.Change{Edit: func(u *store.User) error {
		u.FirstName = "Lost"
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	killed := t.TempDir() // what a server leaves behind that could close nothing
	if out, err := exec.CommandContext(t.Context(), "sh", "-e", "-c", `cp "$1"/dragoman.db* "$1"/backup.db "$2"; ls "$2"/dragoman.db-wal`, "sh", dir, killed).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	restore := exec.CommandContext(t.Context(), "sh", "-e", "-c", restoreSQLite)
	restore.Dir = killed
	if out, err := restore.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	key := []string{"DRAGOMAN_SECRET_KEY=" + base64.StdEncoding.EncodeToString(storetest.Key)}
	for database, want := range map[string]string{"dragoman.db": "Ada,", "before/dragoman.db": "Lost,"} {
		status, out, said := configured(t, killed, key, "", "export", "--database=sqlite:"+database)
		if status != 0 || said != "" || !strings.Contains(out, want) || strings.Count(out, "\n") != 4 {
			t.Errorf("%s: status %d: %s%s", database, status, out, said)
		}
	}
}

func TestBackupErrors(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{"taken.db": "mine"})
	for _, c := range []struct {
		args   string
		status int
		said   string
	}{
		{"--database=postgres://127.0.0.1:1/d backup.db", 2, "for PostgreSQL use pg_dump"},
		{"taken.db", 1, "dragoman.db: no such file or directory"},
		{"--database=sqlite:taken.db taken.db", 2, "taken.db is there already: name a file that is not"},
		{"--database=sqlite:taken.db backup.db", 1, "file is not a database"},
	} {
		status, out, said := dragoman(t, dir, "", append([]string{"backup"}, strings.Fields(c.args)...)...)
		if status != c.status || out != "" || !strings.Contains(said, c.said) {
			t.Errorf("%s: status %d: %s%s", c.args, status, out, said)
		}
	}
}
