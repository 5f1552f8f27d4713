package store_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"net/url"
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
		dump, restore := storetest.PostgresPrograms(t, database)
		s := storetest.Open(t, database)
		before := beforeBackup(t, s)

		// libpq knows no search_path in a URL.
		at, schema := storetest.WithoutSchema(t, database)
		file := storetest.Run(t, nil, dump, "--format=custom", "--no-owner", "--schema="+schema, at)
		edit(t, s, ada, func(u *store.User) { u.LastName = "after the dump" })

		empty := newDatabase(t, at)
		storetest.Run(t, file, restore, "--no-owner", "--exit-on-error", "--single-transaction", "--dbname="+empty)
		restored := storetest.Open(t, empty+"&search_path="+schema)
		before.goesOnIn(t, restored)
		if applied, err := store.Migrate(context.Background(), empty+"&search_path="+schema, store.Wait{}); err != nil || len(applied) > 0 {
			t.Errorf("restored, it lacks %v, %v", applied, err)
		}
	})
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
