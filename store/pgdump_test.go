package store_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// TestPgDumpRestoresADirectory runs the commands of server/docs/guide/backup.md: pg_dump, a new database, pg_restore.
func TestPgDumpRestoresADirectory(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, database string) {
		if strings.HasPrefix(database, "sqlite:") {
			return // see TestBackupCanBeTakenOverFrom
		}
		dump, restore := postgresPrograms(t, database)
		s := storetest.Open(t, database)
		before := beforeBackup(t, s)

		// libpq knows no search_path in a URL.
		at, schema := withoutSchema(t, database)
		file := run(t, nil, dump, "--format=custom", "--no-owner", "--schema="+schema, at)
		edit(t, s, ada, func(u *store.User) { u.LastName = "after the dump" })

		empty := newDatabase(t, at)
		run(t, file, restore, "--no-owner", "--exit-on-error", "--single-transaction", "--dbname="+empty)
		restored := storetest.Open(t, empty+"&search_path="+schema)
		before.goesOnIn(t, restored)
		if applied, err := store.Migrate(context.Background(), empty+"&search_path="+schema, store.Wait{}); err != nil || len(applied) > 0 {
			t.Errorf("restored, it lacks %v, %v", applied, err)
		}
	})
}

// postgresPrograms returns the paths of a pg_dump and a pg_restore that are not older than the server; to dump, an older one
// refuses.
func postgresPrograms(t *testing.T, database string) (dump, restore string) {
	t.Helper()
	db, err := sql.Open("pgx", database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var server int
	if err := db.QueryRow("SELECT current_setting('server_version_num')::int / 10000").Scan(&server); err != nil {
		t.Fatal(err)
	}
	installed, err := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump") // Debian's
	if err != nil {
		t.Fatal(err)
	}
	if onPath, err := exec.LookPath("pg_dump"); err == nil {
		installed = slices.Insert(installed, 0, onPath)
	}
	version := regexp.MustCompile(`\) (\d+)`)
	for _, dump := range installed {
		found := version.FindSubmatch(run(t, nil, dump, "--version"))
		restore := filepath.Join(filepath.Dir(dump), "pg_restore")
		if _, err := os.Stat(restore); found == nil || err != nil {
			continue
		}
		if major, err := strconv.Atoi(string(found[1])); err == nil && major >= server {
			return dump, restore
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("there is no pg_dump of version %d or later, and CI is true", server)
	}
	t.Skipf("there is no pg_dump of version %d or later", server)
	return "", ""
}

// run runs a program and returns what it writes.
func run(t *testing.T, input []byte, program string, args ...string) []byte {
	t.Helper()
	var out, said bytes.Buffer
	c := exec.CommandContext(t.Context(), program, args...)
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(input), &out, &said
	if err := c.Run(); err != nil {
		t.Fatalf("%s %q: %v: %s", program, args, err, said.String())
	}
	return out.Bytes()
}

func withoutSchema(t *testing.T, database string) (at, schema string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	schema = q.Get("search_path")
	q.Del("search_path")
	u.RawQuery = q.Encode()
	return u.String(), schema
}

// newDatabase makes an empty database on the server at url, drops it when the test ends, and returns its URL.
func newDatabase(t *testing.T, at string) string {
	t.Helper()
	db, err := sql.Open("pgx", at)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	name := "restored_" + strings.ToLower(rand.Text())
	if _, err := db.Exec("CREATE DATABASE " + name + " TEMPLATE template0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := db.Exec("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Error(err)
		}
		db.Close()
	})
	u.Path = "/" + name
	if u.RawQuery == "" {
		u.RawQuery = "application_name=dragoman"
	}
	return u.String()
}
