package store_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// TestPageOfUnanalyzedFeed asks Postgres how many changes it reads for a page of the feed when it has no statistics of the tables, as after
// an import: about as many as the page has, and not all.
func TestPageOfUnanalyzedFeed(t *testing.T) {
	t.Parallel()
	const limit, changes = 10, 5000
	url := storetest.EmptyPostgresURL(t)
	var seen recorded
	s := storetest.OpenWith(t, store.Config{URL: url, Observer: seen.observer()})
	storetest.Directory(t, s)
	for _, statement := range []string{
		"ALTER TABLE user_changes SET (autovacuum_enabled = off)",
		"ALTER TABLE feed SET (autovacuum_enabled = off)",
		"INSERT INTO user_changes (user_id, version, customer_id, at, subject, dialect, operation, request_id, fields) " +
			"SELECT 6860, n, 3393, n, '', 'worth', 'updateCustomerUser', '', '[]' FROM generate_series(1001, 6000) n",
		"INSERT INTO feed (customer_id, number, user_id, version) SELECT customer_id, version, user_id, version FROM user_changes WHERE version > 1000",
		"UPDATE feed_state SET assigned = 6000, published = 6000",
	} {
		storetest.PostgresExec(t, url, statement)
	}
	if page, _, err := s.ListChanges(context.Background(), store.FeedScope{All: true}, 1000, limit); err != nil || len(page) != limit || page[0].Number != 1001 {
		t.Fatalf("%v, %v", page, err)
	}
	if page, _, err := s.WebhookChanges(context.Background(), store.AllCustomers, 1000, limit); err != nil || len(page) != limit || page[0].Number != 1001 {
		t.Fatalf("%v, %v", page, err)
	}
	if lag, err := s.WebhookLag(context.Background(), store.Webhook{CustomerID: store.AllCustomers, Position: 1000}); err != nil || lag.Changes != changes ||
		!lag.Oldest.Equal(time.UnixMilli(1001)) {
		t.Fatalf("%v, %v", lag, err)
	}
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	pages := 0
	for text := range seen.texts {
		if !strings.Contains(text, "JOIN user_changes c ") {
			continue
		}
		pages++
		arguments := []any{1000, changes + 1000, limit}
		if !strings.Contains(text, "$3") { // the end is a query
			arguments = []any{1000, limit}
		}
		var plan []struct{ Plan planNode }
		var encoded []byte
		if err := db.QueryRow("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) "+text, arguments...).Scan(&encoded); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(encoded, &plan); err != nil {
			t.Fatal(err)
		}
		if n := plan[0].Plan.read("user_changes"); n < 1 || n > 10*limit { // a webhook reads the change before it too, and the sandbox has several users
			t.Errorf("a page of %d reads %v changes: %s\n%s", limit, n, text, encoded)
		}
	}
	if pages != 3 {
		t.Errorf("%d queries of pages were seen: %q", pages, slices.Sorted(maps.Keys(seen.texts)))
	}
}

// planNode is a part of what EXPLAIN says.
type planNode struct {
	Relation string  `json:"Relation Name"`
	Rows     float64 `json:"Actual Rows"`
	Loops    float64 `json:"Actual Loops"`
	Plans    []planNode
}

// read returns how many rows of a table were read.
func (n planNode) read(table string) (rows float64) {
	if n.Relation == table {
		rows = n.Rows * n.Loops
	}
	for _, below := range n.Plans {
		rows += below.read(table)
	}
	return rows
}
