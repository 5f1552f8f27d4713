package storetest

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/store"
)

// PartitionedVariable names the environment variable that, if it is not empty, has every Postgres schema for tests migrated and
// partitioned before the test begins; see [Partition].
const PartitionedVariable = "TEST_PARTITIONED"

// Partitioned reports whether PartitionedVariable is set.
func Partitioned() bool { return os.Getenv(PartitionedVariable) != "" }

// Partitions is how many partitions [Partition] makes of a table. That with index n is named TABLE_pn.
const Partitions = 4

// PartitionedTables are the tables that [Partition] partitions, and the column of each whose hash decides.
var PartitionedTables = map[string]string{
	"users": "customer_id", "user_changes": "customer_id", "feed": "customer_id", "feed_pending": "customer_id",
	"user_counts": "customer_id", "user_blocks": "customer_id", "reserved_folds": "customer_id",
	"user_search": "customer_id", "search_pending": "customer_id", "idempotency_records": "customer_id", "erasures": "customer_id",
	"claims": "value",
}

// Partition partitions the tables of the migrated Postgres at url by the hash of a column. That imposes on keys what a sharded database
// imposes: each unique key contains the column.
func Partition(t testing.TB, url string) {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tables := make([]string, 0, len(PartitionedTables))
	for table := range PartitionedTables {
		tables = append(tables, table)
	}
	slices.Sort(tables)
	texts := func(query string) (all []string) {
		rows, err := db.Query(query, tables)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				t.Fatal(err)
			}
			all = append(all, text)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return all
	}
	const from = " FROM pg_class r WHERE r.relnamespace = current_schema()::regnamespace AND r.relname = ANY ($1)"
	again := texts("SELECT format('ALTER TABLE %I ADD CONSTRAINT %I %s', relname, conname, definition) FROM (" +
		"SELECT r.relname, c.conname, pg_get_constraintdef(c.oid) AS definition FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid " +
		"WHERE c.contype = 'f' AND r.relnamespace = current_schema()::regnamespace AND r.relname = ANY ($1) ORDER BY r.relname, c.conname) f")
	again = append(again, texts("SELECT pg_get_triggerdef(g.oid) FROM pg_trigger g JOIN pg_class r ON r.oid = g.tgrelid WHERE NOT g.tgisinternal "+
		"AND r.relnamespace = current_schema()::regnamespace AND r.relname = ANY ($1) ORDER BY g.tgname")...)
	statements := texts("SELECT format('ALTER TABLE %I DROP CONSTRAINT %I', r.relname, c.conname) FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid " +
		"WHERE c.contype = 'f' AND r.relnamespace = current_schema()::regnamespace AND r.relname = ANY ($1)")
	if n := len(texts("SELECT r.relname" + from)); n != len(tables) {
		t.Fatalf("there are %d of the tables %q", n, tables)
	}
	for _, table := range tables {
		statements = append(statements,
			fmt.Sprintf("ALTER TABLE %s RENAME TO %[1]s_plain", table),
			fmt.Sprintf("CREATE TABLE %s (LIKE %[1]s_plain INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES) PARTITION BY HASH (%s)",
				table, PartitionedTables[table]))
		for n := range Partitions {
			statements = append(statements, fmt.Sprintf("CREATE TABLE %[1]s_p%[2]d PARTITION OF %[1]s FOR VALUES WITH (MODULUS %[3]d, REMAINDER %[2]d)",
				table, n, Partitions))
		}
		statements = append(statements, fmt.Sprintf("INSERT INTO %s SELECT * FROM %[1]s_plain", table), fmt.Sprintf("DROP TABLE %s_plain", table))
	}
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range append(statements, again...) {
		if _, err := tx.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// PartitionedURL is [PostgresURL] with a database that was migrated and partitioned.
func PartitionedURL(t testing.TB) string {
	t.Helper()
	url := EmptyPostgresURL(t)
	if _, err := store.Migrate(context.Background(), url, store.Wait{}); err != nil {
		t.Fatal(err)
	}
	Partition(t, url)
	return url
}

// Empty makes the database at url one that was never migrated.
func Empty(t testing.TB, url string) {
	t.Helper()
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if (Partitioned() || Distributed()) && store.EngineOf(url) == "postgres" {
		PostgresExec(t, url, "DO $$ BEGIN EXECUTE format('DROP SCHEMA %I CASCADE; CREATE SCHEMA %1$I', current_schema()); END $$")
	}
}
