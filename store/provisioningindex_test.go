package store_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// TestListsOfProvisionedUseIndexes: what a provisioning client asks for is looked up among the users whom it sees, however many others were
// deprovisioned.
func TestListsOfProvisionedUseIndexes(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := context.Background()
		storetest.Directory(t, s)
		var rows []store.ImportRow
		for n := range 2000 {
			u := provisioned(fmt.Sprint("user", n), fmt.Sprint("00u", n))
			if n%10 > 0 || n < 1000 {
				u.Status, u.DeprovisionedAt = store.StatusInactive, new(time.Now())
			}
			rows = append(rows, row(int64(n+1), u))
		}
		write(t, s, rows)
		_, db := s.Pools()
		if _, err := db.Exec("ANALYZE"); err != nil {
			t.Fatal(err)
		}
		last, err := s.UsersWith(ctx, 3393, store.FieldUsername, "user1990")
		if err != nil || len(last) != 1 {
			t.Fatal(last, err)
		}
		type statement struct {
			text      string
			arguments []any
		}
		var asked []statement
		err = s.Gorm().Callback().Query().After("gorm:query").Register("test", func(db *gorm.DB) {
			if text := db.Statement.SQL.String(); db.Statement.Table == "users" && !db.DryRun {
				asked = append(asked, statement{text, slices.Clone(db.Statement.Vars)})
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		by := func(text store.Text, value string) store.Query {
			return store.Query{Provisioned: true, Filters: []store.Filter{store.CompareText(text, store.Equal, value)}}
		}
		all := store.Query{Provisioned: true}
		ids, uuids := s.Engine(map[string]string{"sqlite": "sqlite_autoindex_users_1", "postgres": "users_pkey"}), s.Engine(map[string]string{"sqlite": "sqlite_autoindex_users_2", "postgres": "users_uuid_customer_id_key"})
		for name, c := range map[string]struct {
			query  store.Query
			window store.Window
			index  string
			users  int
		}{
			"the first page":       {all, store.Window{Limit: 20}, "users_provisioned", 20},
			"a page in the middle": {all, store.Window{Offset: 50, Limit: 20}, "users_provisioned", 20},
			"the last page":        {all, store.Window{Offset: 95, Limit: 20}, "users_provisioned", 7},
			"a page by cursor":     {all, store.Window{After: last[0].ID - 100, Limit: 20}, "users_provisioned", 10},
			"the number":           {all, store.Window{}, "", 0},
			"a userName":           {by(store.TextUsername, "User1990"), store.Window{Limit: 20}, ids, 1},
			"a deleted userName":   {by(store.TextUsername, "user5"), store.Window{Limit: 20}, ids, 0},
			"an e-mail":            {by(store.TextEmail, "user1990@example.com"), store.Window{Limit: 20}, ids, 1},
			"an externalId":        {by(store.TextExternalID, "00u1990"), store.Window{Limit: 20}, "users_external_id", 1},
			"no externalId":        {by(store.TextExternalID, "00u"), store.Window{Limit: 20}, "users_external_id", 0},
			"an id":                {by(store.TextUUID, last[0].UUID.String()), store.Window{Limit: 20}, uuids, 1},
		} {
			asked = nil
			users, _, err := s.ListUsers(ctx, 3393, c.query, c.window)
			if err != nil || len(users) != c.users {
				t.Errorf("%s: %d users, %v", name, len(users), err)
			}
			used := c.index == "" && len(asked) == 0 || storetest.Partitioned() // partitions' indexes have names of their own
			for _, a := range asked {
				plan := planOf(t, s, a.text, a.arguments)
				used = used || strings.Contains(plan, c.index)
				if strings.Contains(plan, "SCAN users") || strings.Contains(plan, "Seq Scan") {
					t.Errorf("%s\nis answered by %s", a.text, plan)
				}
			}
			if !used {
				t.Errorf("%s is not answered by %s: %q", name, c.index, asked)
			}
		}
	})
}

// planOf returns how the database executes a statement. Postgres would rather scan tables as small as a test's.
func planOf(t *testing.T, s *store.Store, text string, arguments []any) string {
	t.Helper()
	_, db := s.Pools()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	explain := "EXPLAIN QUERY PLAN "
	if s.Engine(map[string]string{"postgres": "yes"}) != "" {
		explain = "EXPLAIN "
		if _, err := tx.Exec("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off"); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := tx.Query(explain+text, arguments...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		if err := rows.Scan(values...); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprint(*values[len(values)-1].(*any)))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "; ")
}
