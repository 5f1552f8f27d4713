package store_test

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// refusals are functions of the names of Citus's that refuse what Citus refuses, and note what they were asked for: a table with triggers, with
// a generated id, with a unique key that lacks the column, or with a foreign key that connects it with a local table or with one
// whose rows are elsewhere.
const refusals = `
CREATE TABLE pg_dist_partition (logicalrelid regclass PRIMARY KEY, by text, colocated text, truncated boolean DEFAULT FALSE);
CREATE FUNCTION refuse(t regclass, by text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = t AND NOT tgisinternal) THEN RAISE '% has triggers', t; END IF;
	IF EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = t AND attidentity <> '') THEN RAISE '% has an identity column', t; END IF;
	IF by <> '' AND EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = t AND i.indisunique AND NOT EXISTS (
		SELECT 1 FROM pg_attribute a WHERE a.attrelid = t AND a.attname = by AND a.attnum = ANY (i.indkey))) THEN
		RAISE '% has a unique key without %', t, by;
	END IF;
	IF EXISTS (SELECT 1 FROM pg_constraint WHERE contype = 'f' AND (conrelid = t OR confrelid = t)) THEN RAISE '% has a foreign key', t; END IF;
END $$;
CREATE FUNCTION create_reference_table(t text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM refuse(t::regclass, '');
	INSERT INTO pg_dist_partition VALUES (t::regclass, '', '');
END $$;
CREATE FUNCTION create_distributed_table(t text, by text, colocate_with text DEFAULT 'default') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('citus.multi_shard_modify_mode') <> 'sequential' THEN RAISE 'not sequential'; END IF;
	PERFORM refuse(t::regclass, by);
	INSERT INTO pg_dist_partition VALUES (t::regclass, by, colocate_with);
END $$;
CREATE FUNCTION truncate_local_data_after_distributing_table(t text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM refuse(t::regclass, '');
	UPDATE pg_dist_partition SET truncated = TRUE WHERE logicalrelid = t::regclass;
END $$`

// TestDistribute runs the statements of `dragoman migrate --distribute` on a Postgres whose functions refuse what Citus refuses.
func TestDistribute(t *testing.T) {
	t.Parallel()
	url := storetest.PostgresDatabase(t, "ENCODING 'UTF8'")
	ctx := context.Background()
	if err := store.Distribute(ctx, url, store.Wait{}, func(string) {}); !errors.Is(err, store.ErrNotCitus) {
		t.Errorf("without Citus: %v", err)
	}
	s := storetest.Open(t, url)
	storetest.Directory(t, s)
	edit(t, s, ada, func(u *store.User) { u.FirstName = "Augusta" })
	storetest.PostgresExec(t, url, refusals)
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	keys := func() []string {
		return column(t, s, "SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f' AND connamespace = current_schema()::regnamespace")
	}
	before := keys()
	var done []string
	if err := store.Distribute(ctx, url, store.Wait{}, func(what string) { done = append(done, what) }); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"claims value none", "companies  ", "customers  ", "erasures customer_id users", "feed customer_id users", "feed_pending customer_id users",
		"idempotency_records customer_id users", "provisioning_tokens  ", "reserved_folds customer_id users",
		"roles  ", "search_pending customer_id users", "user_blocks customer_id users", "user_changes customer_id users", "user_counts customer_id users",
		"user_search customer_id users", "users customer_id default",
	}
	if got := column(t, s, "SELECT logicalrelid || ' ' || by || ' ' || colocated FROM pg_dist_partition"); !slices.Equal(got, want) {
		t.Errorf("distributed are\n%q, want\n%q", got, want)
	}
	if left := column(t, s, "SELECT logicalrelid FROM pg_dist_partition WHERE NOT truncated"); len(left) > 0 {
		t.Errorf("the coordinator keeps what was in %q", left)
	}
	if after := keys(); !slices.Equal(after, before) {
		t.Errorf("foreign keys are\n%q, were\n%q", after, before)
	}
	for _, part := range []string{"customers is on every node", "users is distributed by customer_id", "user_changes keeps its trigger user_changes_append_only"} {
		if !slices.Contains(done, part) {
			t.Errorf("it does not say %q: %q", part, done)
		}
	}
	if _, err := db.Exec("UPDATE user_changes SET subject = 'x'"); err == nil || !strings.Contains(err.Error(), "append-only") {
		t.Errorf("the history is not append-only: %v", err)
	}
	if left := column(t, s, "SELECT tgname FROM pg_trigger WHERE tgrelid = 'users'::regclass AND NOT tgisinternal"); len(left) > 0 {
		t.Errorf("users keeps the triggers %q", left)
	}
	// A second time there is nothing to do, and what is written from now on is found without an index.
	done = nil
	if err := store.Distribute(ctx, url, store.Wait{}, func(what string) { done = append(done, what) }); err != nil || len(done) != 1 {
		t.Errorf("again: %q, %v", done, err)
	}
	if _, err := store.Open(ctx, store.Config{URL: with(t, url, "default_query_exec_mode=simple_protocol"), SecretKey: storetest.Key}); err == nil {
		t.Error("the simple protocol is not refused")
	}
	later := storetest.Open(t, url)
	create(t, later, newUser("distributed"))
	later.KeepIndexing(ctx, func(error) {}) // returns, since there is nothing to index
	found, _, err := later.ListUsers(ctx, 3393, store.Query{Filters: []store.Filter{store.Mentions("tribute")}}, store.Window{Limit: 5})
	if err != nil || len(found) != 1 {
		t.Errorf("%d users are found, %v", len(found), err)
	}
}

// TestCitus distributes a directory over a real cluster, and runs everything that a store does on it.
func TestCitus(t *testing.T) {
	t.Parallel()
	everything(t, storetest.DistributedURL(t), store.Observer{})
}

// TestCitusFilled distributes a directory that has users: they are found, and the coordinator keeps nothing of them.
func TestCitusFilled(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyCitusURL(t)
	s := storetest.Open(t, url)
	storetest.Directory(t, s)
	edit(t, s, ada, func(u *store.User) { u.FirstName = "Augusta" })
	if err := store.Distribute(t.Context(), url, store.Wait{}, func(string) {}); err != nil {
		t.Fatal(err)
	}
	s = storetest.Open(t, url)
	edit(t, s, ada, func(u *store.User) { u.LastName = "King" })
	if got := find(t, s, ada); got.FirstName != "Augusta" || got.Version != 3 {
		t.Errorf("found %+v", got)
	}
	left := column(t, s, "SELECT logicalrelid FROM pg_dist_partition JOIN pg_class ON pg_class.oid = logicalrelid "+
		"WHERE relnamespace = current_schema()::regnamespace AND pg_relation_size(logicalrelid) > 0")
	if len(left) > 0 {
		t.Errorf("the coordinator keeps what was in %q", left)
	}
}
