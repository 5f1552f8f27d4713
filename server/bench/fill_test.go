package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

const (
	allUsers = 60 // of customer 1
	template = 20 // of them imported before the others are copied
)

// TestCopiedUsersEqualImportedUsers compares all rows of two directories, one of which was imported and one copied in part.
func TestCopiedUsersEqualImportedUsers(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, imported string) {
		copied := imported + "2"
		if engineOf(imported) == "postgres" {
			copied = storetest.PostgresURL(t)
		}
		importInto(t, imported, allUsers)
		importInto(t, copied, template)
		b := bench{secret: storetest.Key}
		if err := b.copyUsers(t.Context(), copied, template+1, allUsers); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"customers", "users", "user_changes", "user_counts", "user_blocks", "search_pending", "feed_pending", "claims"} {
			want, got := rowsOf(t, imported, table), rowsOf(t, copied, table)
			if len(want) == 0 {
				t.Errorf("%s is empty", table)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s:\n%s\nwant\n%s", table, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
		goesOn(t, copied)
	})
}

// goesOn holds that a copied directory can be used: secrets open, the feed is complete, ids are not given twice.
func goesOn(t *testing.T, database string) {
	t.Helper()
	s := storetest.Open(t, database)
	users, total, err := s.ListUsers(t.Context(), 1, store.Query{}, store.Window{Limit: 2 * allUsers})
	if err != nil || total != allUsers || len(users) != allUsers {
		t.Fatalf("%d of %d users: %v", len(users), total, err)
	}
	tokens := map[string]bool{}
	for _, u := range users {
		tokens[u.AccessToken] = true
	}
	if len(tokens) != allUsers {
		t.Errorf("%d access tokens", len(tokens))
	}
	if _, err := s.NumberChanges(t.Context()); err != nil {
		t.Fatal(err)
	}
	changes, _, err := s.ListChanges(t.Context(), store.FeedScope{All: true}, 0, 2*allUsers)
	if err != nil || len(changes) != allUsers+1 {
		t.Errorf("%d changes in the feed: %v", len(changes), err)
	}
	u := benchUser(0)
	u.UUID, u.CustomerID, u.Username, u.Email = uuid.Nil, 1, "new", "new@example.com"
	if err := s.CreateUser(t.Context(), &u); err != nil || u.ID != allUsers+2 {
		t.Errorf("the next user is %d: %v", u.ID, err)
	}
}

func benchUser(id int) store.User {
	return store.User{
		ID: int64(id), UUID: uuid.MustParse(userUUID(id)), FirstName: "Ada", LastName: "Lovelace", Username: fmt.Sprintf("user%d", id),
		Email: fmt.Sprintf("user%d@example.com", id), Roles: store.Roles(3), Status: store.StatusActive,
	}
}

// importInto imports the users 1 to n of customer 1, and the one of customer 2.
func importInto(t *testing.T, database string, n int) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{URL: database, SecretKey: storetest.Key})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	for id, uuids := range map[int64]string{1: customerUUID, 2: smallCustomer} {
		c := store.Customer{ID: id, UUID: uuid.MustParse(uuids), Name: "Bench"}
		if err := s.CreateCustomer(t.Context(), &c); err != nil {
			t.Fatal(err)
		}
	}
	var rows []store.ImportRow
	for id := 1; id <= n; id++ {
		rows = append(rows, store.ImportRow{Line: int64(id), Customer: store.CustomerByID(1), User: benchUser(id)})
	}
	rows = append(rows, store.ImportRow{Line: int64(n + 1), Customer: store.CustomerByID(2), User: benchUser(allUsers + 1)})
	i, err := s.NewImport(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if refused, err := i.Check(t.Context(), rows); err != nil || len(refused) > 0 {
		t.Fatal(refused, err)
	}
	given := false
	err = i.Write(context.Background(), func() ([]store.ImportRow, error) {
		if given {
			return nil, io.EOF
		}
		given = true
		return rows, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// rowsOf gives the rows of a table as texts, without what differs between any two users: when they were written, and the sealed token.
func rowsOf(t *testing.T, database, table string) (all []string) {
	t.Helper()
	driver, source := "pgx", database
	if engineOf(database) == "sqlite" {
		driver, source = "sqlite", strings.TrimPrefix(database, "sqlite:")
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query("SELECT * FROM " + table + " ORDER BY 1, 2")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for i, column := range columns {
			switch column {
			case "access_token_sealed", "created_at", "updated_at", "at":
			default:
				fmt.Fprintf(&text, "%s=%v ", column, values[i])
			}
		}
		all = append(all, text.String())
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		t.Fatal(err)
	}
	return all
}
