package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// migrateTo makes an empty database one that a release left which had the migrations up to version.
func migrateTo(t *testing.T, url string, version int64) *sql.DB {
	t.Helper()
	storetest.Empty(t, url)
	dialect, driver, name := goose.DialectPostgres, "pgx", url
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		dialect, driver, name = goose.DialectSQLite3, "sqlite", "file:"+filepath.ToSlash(path)
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.Sub(store.Migrations, "migrations/"+map[goose.Dialect]string{goose.DialectPostgres: "postgres", goose.DialectSQLite3: "sqlite"}[dialect])
	if err != nil {
		t.Fatal(err)
	}
	provider, err := goose.NewProvider(dialect, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(context.Background(), version); err != nil {
		t.Fatal(err)
	}
	return db
}

func execute(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// oldCustomer is a statement that makes a customer as the first release had it.
func oldCustomer(id int64) string {
	return fmt.Sprintf(`INSERT INTO customers (id, uuid, name, created_at, updated_at) VALUES (%d, '2e6438cb-ec3f-4e94-b5c9-%012[1]d', 'c', 1, 1)`, id)
}

// oldUser is a statement that makes a user as the first release had it.
func oldUser(id, customer int64) string {
	return fmt.Sprintf(`INSERT INTO users (id, uuid, customer_id, first_name, first_name_fold, last_name, last_name_fold,
		username, username_fold, email, email_fold, roles, status, account_non_expired, account_non_locked, credential_non_expired,
		access_token_sealed, email_verified, first_login, created_at, updated_at, version)
		VALUES (%d, '94520740-d63c-4e02-85ca-%012[1]x', %d, '', '', '', '', 'u%[1]d', 'u%[1]d', 'e%[1]d', 'e%[1]d', 8, 'ACTIVE', true, true, true, '', false, false, 1, 1, 4)`,
		id, customer)
}

// TestHistorySurvivesNewIndexes: what had a number keeps it, and what had none gets one in the order of each user's versions.
func TestHistorySurvivesNewIndexes(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		db := migrateTo(t, url, 3)
		statements := []string{oldCustomer(1), oldUser(1, 1), oldUser(2, 1)}
		// Of the second user two changes are numbered, the first one's have no number.
		for _, change := range []struct {
			user, version int
			number        string
		}{{1, 3, "NULL"}, {1, 1, "NULL"}, {1, 2, "NULL"}, {2, 2, "2"}, {2, 1, "1"}, {2, 3, "NULL"}} {
			statements = append(statements, fmt.Sprintf(`INSERT INTO user_changes (user_id, version, customer_id, at, subject, dialect, operation, request_id, fields, number)
				VALUES (%d, %d, 1, 5, 's', 'd', 'o', 'r', '[]', %s)`, change.user, change.version, change.number))
		}
		execute(t, db, statements...)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		s := storetest.Open(t, url)
		changes, next, err := listChanges(s, store.FeedScope{All: true}, 0, 100)
		if err != nil || next != 6 {
			t.Fatalf("next is %d, %v", next, err)
		}
		var got []string
		for _, c := range changes {
			got = append(got, fmt.Sprintf("%d/%d/%s", c.UserID, c.Version, c.Subject))
		}
		if want := "2/1/s 2/2/s 1/1/s 1/2/s 1/3/s 2/3/s"; strings.Join(got, " ") != want {
			t.Errorf("the feed is %v, want %s", got, want)
		}
		_, write := s.Pools()
		for _, statement := range []string{
			"UPDATE feed SET number = 99 WHERE number = 1",
			"INSERT INTO user_changes SELECT * FROM user_changes",
			"UPDATE user_changes SET subject = 'x'",
		} {
			if _, err := write.Exec(statement); err == nil {
				t.Errorf("it lets %s", statement)
			}
		}
	})
}

// TestUsersOfAnOldDatabaseAreInBlocks: those who were there before blocks were counted are counted.
func TestUsersOfAnOldDatabaseAreInBlocks(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		db := migrateTo(t, url, 4)
		execute(t, db, oldCustomer(1), oldCustomer(2), oldCustomer(3))
		for i, id := range []int64{1, 2, 4095, 4096, 8191, 8192, 20_000, 1<<40 + 1, 3, 4097} {
			execute(t, db, oldUser(id, int64(1+i/8)))
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		blocks := sameBlocks(t, storetest.Open(t, url))
		want := []string{"1/0: 3", "1/1: 2", "1/2: 1", "1/4: 1", "1/268435456: 1", "2/0: 1", "2/1: 1"}
		if !slices.Equal(blocks, want) {
			t.Errorf("%v, want %v", blocks, want)
		}
	})
}

// TestFeedUsesIndexes: however much history there is, the sequencer and a reader look at nothing else than what they
// need. Postgres would rather scan tables as small as a test's.
func TestFeedUsesIndexes(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "d"))
	_, write := s.Pools()
	const feed = "SELECT c.* FROM feed JOIN user_changes c ON c.customer_id = feed.customer_id AND c.user_id = feed.user_id AND c.version = feed.version WHERE "
	for statement, want := range map[string]string{
		"SELECT customer_id, user_id, version, at FROM feed_pending ORDER BY customer_id, user_id, version LIMIT ?":                                           "SCAN feed_pending",
		"DELETE FROM feed_pending WHERE (customer_id, user_id, version) IN (SELECT customer_id, user_id, version FROM feed WHERE number > ? AND number <= ?)": "SEARCH feed_pending USING PRIMARY KEY (customer_id=? AND user_id=? AND version=?)",
		"SELECT count(*) FROM feed WHERE number > ? AND number <= ?":                                                                                          "feed_number (number>? AND number<?)",
		feed + "feed.number > ? AND feed.number <= ? ORDER BY feed.number LIMIT ?":                                                                            "feed_number (number>? AND number<?)",
		feed + "feed.number > ? AND feed.number <= ? AND feed.customer_id IN (?) ORDER BY feed.number":                                                        "PRIMARY KEY (customer_id=? AND number>? AND number<?)",
		"SELECT * FROM user_changes WHERE customer_id = ? AND user_id = ? AND version > ? ORDER BY version LIMIT 100":                                         "sqlite_autoindex_user_changes_1 (customer_id=? AND user_id=? AND version>?)",
	} {
		var id, parent, unused int
		var all []string
		rows, err := write.Query("EXPLAIN QUERY PLAN "+statement, []any{1, 2, 3, 4}[:strings.Count(statement, "?")]...)
		if err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
		for rows.Next() {
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			all = append(all, detail)
		}
		rows.Close()
		plan := strings.Join(all, "; ")
		if !strings.Contains(plan, want) || strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("%s\nis answered by %s,\nand should be by %s", statement, plan, want)
		}
	}
}
