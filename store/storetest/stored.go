package storetest

import (
	"bytes"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Stored returns all the bytes that are stored of a directory: SQLite's file, its log and the erasure ledger beside it, or what pg_dump writes.
func Stored(t testing.TB, url string) (all []byte) {
	t.Helper()
	path, isFile := strings.CutPrefix(url, "sqlite:")
	if !isFile {
		dump, _ := PostgresPrograms(t, url)
		at, schema := WithoutSchema(t, url)
		return Run(t, nil, dump, "--format=plain", "--schema="+schema, at)
	}
	for _, suffix := range []string{"", "-wal", "-shm", ".erasures"} {
		text, err := os.ReadFile(path + suffix) // #nosec G304 -- the database of a test
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		all = append(all, text...)
	}
	return all
}

// PostgresPrograms returns the paths of a pg_dump and a pg_restore that are not older than the server; to dump, an older one
// refuses.
func PostgresPrograms(t testing.TB, database string) (dump, restore string) {
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
		found := version.FindSubmatch(Run(t, nil, dump, "--version"))
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

// Run runs a program and returns what it writes.
func Run(t testing.TB, input []byte, program string, args ...string) []byte {
	t.Helper()
	var out, said bytes.Buffer
	c := exec.CommandContext(t.Context(), program, args...) // #nosec G204 -- a test names the program
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(input), &out, &said
	if err := c.Run(); err != nil {
		t.Fatalf("%s %q: %v: %s", program, args, err, said.String())
	}
	return out.Bytes()
}

// WithoutSchema divides the URL of a database into one without a schema, as libpq takes it, and the schema.
func WithoutSchema(t testing.TB, database string) (at, schema string) {
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
