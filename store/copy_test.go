package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
	"github.com/dragoman-id/dragoman/store/userfile"
)

// copyUsersVariable names the environment variable that says how many users `make copy` copies.
const copyUsersVariable = "COPY_USERS"

// fillForCopy makes a directory of n users with history, some of it without numbers, which has rows in every table.
func fillForCopy(t *testing.T, url string, n int) {
	t.Helper()
	ctx := store.WithOrigin(context.Background(), store.Origin{Subject: "a <test> & 'more'", Dialect: "cli", Operation: "import"})
	s, err := store.Open(ctx, store.Config{URL: url, SecretKey: storetest.Key})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	storetest.Directory(t, s)
	_, write := s.Pools()
	for _, row := range []string{
		"INSERT INTO erasures (customer_id, user_id, uuid, at, reason) VALUES (3393, 1, '5d2b1c9e-31a5-4c39-8c1a-4a3f7cf4f0aa', 1, 'case 4711')",
		"INSERT INTO history_retained (customer_id, user_id, at) VALUES (3393, 6860, 1)", "UPDATE history_retention SET number = 1",
	} {
		if _, err := write.Exec(row); err != nil {
			t.Fatal(err)
		}
	}
	i, err := s.NewImport(ctx)
	if err != nil {
		t.Fatal(err)
	}
	next := 0
	err = i.Write(ctx, func() (rows []store.ImportRow, err error) {
		if next == n {
			return nil, io.EOF
		}
		for ; next < n && len(rows) < 500; next++ {
			u := newUser(fmt.Sprintf("copied%d", next))
			u.FirstName, u.VCSPassword, u.Mobile = "Zoë \"Ж\"", new("secret"), new("+1")
			u.ExternalAuthID = new(uuid.New())
			rows = append(rows, row(int64(next+1), u))
		}
		return rows, nil
	})
	if err := errors.Join(err, i.Close()); err != nil {
		t.Fatal(err)
	}
	users, err := s.UsersAfter(ctx, 3393, 0, 40)
	if err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		for _, u := range users {
			_, _, err := s.UpdateUser(ctx, store.UserByID(u.CustomerID, u.ID), store.Change{Actor: &u.UUID, Edit: func(u *store.User) error {
				u.LastName, u.VCSPassword, u.EmailVerified = fmt.Sprintf("Noether %d", round), nil, !u.EmailVerified
				return nil
			}})
			if err != nil {
				t.Fatal(err)
			}
		}
		if round == 1 {
			if _, err := s.NumberChanges(ctx); err != nil {
				t.Fatal(err)
			}
			hooked(t, s)
		}
	}
	keyed(t, s, users[4])
	issued := token("h", nil)
	if err := s.CreateProvisioningToken(ctx, &issued); err != nil {
		t.Fatal(err)
	}
	if err := s.UseProvisioningToken(ctx, issued); err != nil {
		t.Fatal(err)
	}
	// A collision, as an older version may have left.
	storetest.Exec(t, url, fmt.Sprintf("UPDATE users SET email = 'René@example.com', email_fold = 'old 1' WHERE id = %d", users[5].ID))
	storetest.Exec(t, url, fmt.Sprintf("UPDATE users SET email = 'rené@example.com', email_fold = 'old 2' WHERE id = %d", users[6].ID))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Migrate(ctx, url, store.Wait{}); err != nil {
		t.Fatal(err)
	}
}

// tableRows returns all rows of all tables, sorted, but for those that are not copied. Values are as the driver returns them.
func tableRows(t *testing.T, url string) map[string][]string {
	t.Helper()
	driver, source, list := "pgx", url, "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		driver, source = "sqlite", "file:"+path
		list = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	all := map[string][]string{}
	for _, name := range readRows(t, db, list) {
		table := strings.Trim(name, "[]")
		if !slices.Contains([]string{"goose_db_version", "user_search", "search_pending", "incomplete_copy"}, table) {
			rows := readRows(t, db, "SELECT * FROM "+table)
			slices.Sort(rows)
			all[table] = rows
		}
	}
	return all
}

func readRows(t *testing.T, db *sql.DB, query string) (all []string) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		row, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		texts := make([]string, len(row))
		for i, v := range row {
			texts[i] = v.String
			if !v.Valid {
				texts[i] = "NULL"
			}
		}
		all = append(all, fmt.Sprint(texts))
	}
	return all
}

// exported returns all users as both formats have them, and all their changes in the order of the feed, then those without a number.
func exported(t *testing.T, url string) string {
	t.Helper()
	ctx := context.Background()
	s := storetest.Open(t, url)
	var b bytes.Buffer
	for _, f := range []userfile.Format{userfile.CSV, userfile.NDJSON} {
		if _, err := (userfile.Export{Store: s, Format: f}).Run(ctx, &b); err != nil {
			t.Fatal(err)
		}
	}
	for after := int64(0); ; {
		changes, next, err := s.ListChanges(ctx, store.FeedScope{All: true}, after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(changes) == 0 {
			break
		}
		for _, c := range changes {
			fmt.Fprintf(&b, "%d %d %v %v %q %+v\n", c.Number, c.Version, c.At, c.Actor, c.Subject, c.Fields)
		}
		after = next
	}
	users, err := s.UsersAfter(ctx, 3393, 0, 60)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range users {
		changes, err := s.UserHistory(ctx, key(u), 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %t\n", u.AccessToken, u.VCSPassword == nil)
		if u.VCSPassword != nil {
			b.WriteString(*u.VCSPassword)
		}
		for _, c := range changes {
			fmt.Fprintf(&b, "%d %+v\n", c.Version, c.Fields)
		}
	}
	return b.String()
}

// emptyLike returns the URL of an empty database on an engine.
func emptyLike(t *testing.T, engine string) string {
	t.Helper()
	if engine == "sqlite" {
		return "sqlite:" + filepath.Join(t.TempDir(), "copy.db")
	}
	return storetest.PostgresURL(t)
}

// TestCopy copies a directory to the other engine and back. COPY_USERS says how large it is.
func TestCopy(t *testing.T) {
	t.Parallel()
	n := 1200
	if text := os.Getenv(copyUsersVariable); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatalf("%s: %v", copyUsersVariable, err)
		}
	}
	storetest.EachURL(t, func(t *testing.T, first string) {
		fillForCopy(t, first, n)
		want, wantRows := exported(t, first), tableRows(t, first)
		for table, rows := range wantRows {
			if len(rows) == 0 {
				t.Errorf("%s is empty: let fillForCopy fill it", table)
			}
		}
		others := map[string]string{"sqlite": "postgres", "postgres": "sqlite"}
		second := emptyLike(t, others[store.EngineOf(first)])
		third := emptyLike(t, store.EngineOf(first))
		from := first
		for _, to := range []string{second, third} {
			done, err := store.Copy{From: from, To: to}.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(done) != len(wantRows) {
				t.Errorf("copied %d tables of %d", len(done), len(wantRows))
			}
			for _, table := range done {
				if table.Rows != int64(len(wantRows[table.Name])) {
					t.Errorf("copied %d rows of %s, of %d", table.Rows, table.Name, len(wantRows[table.Name]))
				}
			}
			if got := exported(t, to); got != want {
				t.Errorf("the export of %s differs", store.EngineOf(to))
			}
			from = to
		}
		got := tableRows(t, third)
		for table, rows := range wantRows {
			if table == "user_changes" && store.EngineOf(first) == "sqlite" {
				continue // its members are in another order
			}
			if !reflect.DeepEqual(got[table], rows) {
				t.Errorf("%s differs after two copies", table)
			}
		}
		// Ids go on.
		a, b := newUser("later"), newUser("later")
		for url, u := range map[string]*store.User{first: &a, second: &b} {
			if err := storetest.Open(t, url).CreateUser(t.Context(), u); err != nil {
				t.Fatal(err)
			}
		}
		if a.ID != b.ID {
			t.Errorf("the next id is %d, after a copy %d", a.ID, b.ID)
		}
	})
}

func TestCopyResumes(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, from string) {
		fillForCopy(t, from, 2100)
		to := emptyLike(t, map[string]string{"sqlite": "postgres", "postgres": "sqlite"}[store.EngineOf(from)])
		ctx, cancel := context.WithCancel(t.Context())
		_, err := store.Copy{From: from, To: to, Progress: func(table string, rows int64) {
			if table == "users" {
				cancel()
			}
		}}.Run(ctx)
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("interrupted: %v", err)
		}
		if _, err := store.Open(t.Context(), store.Config{URL: to, SecretKey: storetest.Key}); !errors.Is(err, store.ErrCopying) {
			t.Errorf("an incomplete copy: %v", err)
		}
		other := emptyLike(t, store.EngineOf(from))
		fillForCopy(t, other, 10)
		if _, err := (store.Copy{From: other, To: to}).Run(t.Context()); !errors.Is(err, store.ErrNotEmpty) {
			t.Errorf("another directory over an incomplete copy: %v", err)
		}
		if _, err := (store.Copy{From: to, To: emptyLike(t, store.EngineOf(from))}).Run(t.Context()); !errors.Is(err, store.ErrCopying) {
			t.Errorf("from an incomplete copy: %v", err)
		}
		copied := int64(0)
		if _, err := (store.Copy{From: from, To: to, Progress: func(table string, rows int64) {
			if table == "users" && copied == 0 {
				copied = rows
			}
		}}).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if copied == 0 || copied > 1200 {
			t.Errorf("the second run began with %d users", copied)
		}
		if exported(t, to) != exported(t, from) {
			t.Error("the exports differ")
		}
		if _, err := (store.Copy{From: from, To: to}).Run(t.Context()); !errors.Is(err, store.ErrNotEmpty) {
			t.Errorf("over a complete copy: %v", err)
		}
		if _, err := (store.Copy{From: emptyLike(t, "sqlite"), To: to}).Run(t.Context()); !errors.Is(err, store.ErrNoDirectory) {
			t.Errorf("from nothing: %v", err)
		}
	})
}

// TestCopyComparesAllRows writes to the source, and to the target, during a copy.
func TestCopyComparesAllRows(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, from string) {
		fillForCopy(t, from, 5)
		for _, written := range []string{"from", "to"} {
			to := emptyLike(t, map[string]string{"sqlite": "postgres", "postgres": "sqlite"}[store.EngineOf(from)])
			url := map[string]string{"from": from, "to": to}[written]
			once := false
			_, err := store.Copy{From: from, To: to, Progress: func(table string, rows int64) {
				if table == "user_changes" && !once {
					once = true
					storetest.Exec(t, url, "UPDATE users SET mobile = '"+written+"' WHERE id = 6860")
				}
			}}.Run(t.Context())
			if !errors.Is(err, store.ErrSourceChanged) {
				t.Errorf("%s was changed: %v", written, err)
			}
		}
	})
}
