package cli

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/store/storetest"
	"github.com/libtnb/sqlite"
)

// existingCommands are the commands that need a directory which is there already.
var existingCommands = []string{
	"history --user 6860", "export", "export --output out.csv", "backup copy.db", "restore --user 6860 --version 1",
	"restore --dry-run --user 6860 --version 1", "rekey", "import users.csv", "import --dry-run users.csv",
}

// files lists what is below a directory.
func files(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		names = append(names, strings.TrimPrefix(path, dir))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, "\n")
}

func TestNoDatabaseCreated(t *testing.T) {
	t.Parallel()
	key := []string{"DRAGOMAN_SECRET_KEY=" + keyOfNow}
	for name, c := range map[string]struct{ make, database, want string }{
		"missing":           {"", "sqlite:dragoman.db", "dragoman.db: no such file or directory"},
		"missing folder":    {"", "sqlite:folder/dragoman.db", "folder/dragoman.db: no such file or directory"},
		"empty":             {"empty", "sqlite:dragoman.db", "dragoman.db is empty"},
		"folder":            {"folder", "sqlite:dragoman.db", "dragoman.db is not a file"},
		"text":              {"text", "sqlite:dragoman.db", "dragoman.db: file is not a database"},
		"another program's": {"other", "sqlite:dragoman.db", "dragoman.db is a SQLite database of something else"},
	} {
		for _, command := range existingCommands {
			t.Run(name+"/"+command, func(t *testing.T) {
				t.Parallel()
				dir := writeFiles(t, map[string]string{"users.csv": "customer,first_name,last_name,email\n"})
				makeDatabase(t, filepath.Join(dir, "dragoman.db"), c.make)
				before := files(t, dir)
				for _, variables := range [][]string{key, nil} {
					args := append(strings.Fields(command), "--database="+c.database)
					status, out, said := configured(t, dir, variables, "", args...)
					if status == 0 || out != "" || !strings.Contains(said, c.want) || !strings.Contains(said, "--database") || strings.Count(said, "\n") > 2 {
						t.Errorf("status %d, %s%s", status, out, said)
					}
				}
				if after := files(t, dir); after != before {
					t.Errorf("there were\n%s\nand are\n%s", before, after)
				}
			})
		}
	}
}

// makeDatabase puts a thing at path that is no directory.
func makeDatabase(t *testing.T, path, what string) {
	t.Helper()
	var err error
	switch what {
	case "empty":
		err = os.WriteFile(path, nil, 0o600)
	case "folder":
		err = os.Mkdir(path, 0o700)
	case "text":
		err = os.WriteFile(path, []byte(strings.Repeat("no database\n", 1000)), 0o600)
	case "other":
		var db *sql.DB
		if db, err = sql.Open(sqlite.DriverName, "file:"+path+"?_pragma=journal_mode(WAL)"); err == nil {
			_, err = db.Exec("CREATE TABLE users (id INTEGER)")
			if closed := db.Close(); err == nil {
				err = closed
			}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestNoSchemaCreated(t *testing.T) {
	t.Parallel()
	url := storetest.PostgresURL(t)
	dir := writeFiles(t, map[string]string{"users.csv": "customer,first_name,last_name,email\n"})
	variables := []string{"DRAGOMAN_SECRET_KEY=" + keyOfNow, "DRAGOMAN_DATABASE=" + url}
	for _, command := range existingCommands {
		if strings.HasPrefix(command, "backup") {
			continue // is for SQLite
		}
		status, out, said := configured(t, dir, variables, "", strings.Fields(command)...)
		if status == 0 || out != "" || !strings.Contains(said, "holds none") || !strings.Contains(said, "--database") {
			t.Errorf("%s: status %d, %s%s", command, status, out, said)
		}
	}
	if _, out, said := configured(t, dir, variables, "", "migrate"); !strings.Contains(out, "applied 00001") {
		t.Errorf("something was there: %s%s", out, said)
	}
}

// TestDevelopmentKeys: commands find the key that serve --dev keeps beside an SQLite file; serve needs to be told.
func TestDevelopmentKeys(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{"users.csv": "customer,first_name,last_name,email\n3393,Mary,Somerville,mary@example.com\n"})
	for _, flag := range []string{"", " --dev"} {
		for _, command := range existingCommands {
			if flag != "" && strings.HasPrefix(command, "backup") {
				continue // needs no key
			}
			if _, _, said := dragoman(t, dir, "", strings.Fields(command+flag)...); !strings.Contains(said, "dragoman.db: no such file") {
				t.Errorf("%s: %s", command+flag, said)
			}
		}
	}
	if status, _, said := dragoman(t, dir, "", "customer", "add", "--name=Acme"); status != 80 || !strings.Contains(said, "--dev") {
		t.Errorf("without any key: status %d, %s", status, said)
	}
	if left := files(t, dir); strings.Contains(left, ".d") {
		t.Errorf("something was made:\n%s", left)
	}
	serve(t, dir, nil, []string{"serve", "--dev", "--listen=127.0.0.1:0"}, func(string) {})
	for _, command := range []string{"customer add --name=Acme", "import users.csv", "history --user 6860", "export", "restore --user 6860 --version 1", "rekey"} {
		if status, _, said := dragoman(t, dir, "", strings.Fields(command)...); status != 0 || said != "" {
			t.Errorf("%s: status %d, %s", command, status, said)
		}
	}
	if status, _, said := dragoman(t, dir, "", "serve", "--listen=127.0.0.1:0"); status != 80 || !strings.Contains(said, "DRAGOMAN_SECRET_KEY") {
		t.Errorf("serve: status %d, %s", status, said)
	}
}
