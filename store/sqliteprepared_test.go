package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// oneConnection returns the one connection that writes to a new directory.
func oneConnection(t *testing.T) *sql.Conn {
	t.Helper()
	s := storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "d"))
	storetest.Directory(t, s)
	_, write := s.Pools()
	conn, err := write.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

// TestAPreparedStatementSeesANewSchema: a newer program may add columns while this one has its statements prepared.
func TestAPreparedStatementSeesANewSchema(t *testing.T) {
	t.Parallel()
	conn := oneConnection(t)
	columns := func() int {
		rows, err := conn.QueryContext(t.Context(), "SELECT * FROM roles")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		names, err := rows.Columns()
		if err != nil || !rows.Next() {
			t.Fatal(err, "no row")
		}
		return len(names)
	}
	before := columns()
	if _, err := conn.ExecContext(t.Context(), "ALTER TABLE roles ADD COLUMN note TEXT"); err != nil {
		t.Fatal(err)
	}
	if after := columns(); after != before+1 {
		t.Errorf("the statement has %d columns, and had %d before one was added", after, before)
	}
}

// TestAStatementThatIsReadIsNotUsedTwice: each has rows of its own.
func TestAStatementThatIsReadIsNotUsedTwice(t *testing.T) {
	t.Parallel()
	conn := oneConnection(t)
	const text = "SELECT id FROM roles WHERE id > ? ORDER BY id"
	next := func(rows *sql.Rows) (id int) {
		t.Helper()
		if !rows.Next() {
			t.Fatal("no row", rows.Err())
		}
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		return id
	}
	for range 2 { // the second time what the first has left is used
		outer, err := conn.QueryContext(t.Context(), text, 0)
		if err != nil {
			t.Fatal(err)
		}
		inner, err := conn.QueryContext(t.Context(), text, 3)
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(next(outer), next(inner), next(outer), next(inner))
		if got != "1 4 2 5" {
			t.Errorf("read %s", got)
		}
		if err := inner.Close(); err != nil {
			t.Fatal(err)
		}
		if id := next(outer); id != 3 {
			t.Errorf("after the other one's end it reads %d", id)
		}
		if err := outer.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAConnectionKeepsABoundedNumberOfStatements: filters of lists make ever new ones.
func TestAConnectionKeepsABoundedNumberOfStatements(t *testing.T) {
	t.Parallel()
	conn := oneConnection(t)
	for n := range 3 * store.MaxPrepared {
		var got int
		if err := conn.QueryRowContext(t.Context(), fmt.Sprintf("SELECT %d", n)).Scan(&got); err != nil || got != n {
			t.Fatalf("%d: %d, %v", n, got, err)
		}
		// One that is used again and again stays.
		if err := conn.QueryRowContext(t.Context(), "SELECT 'again'").Scan(new(string)); err != nil {
			t.Fatal(err)
		}
	}
	kept := store.PreparedStatements(t, conn)
	again := false
	for _, text := range kept {
		again = again || text == "SELECT 'again'"
	}
	if len(kept) != store.MaxPrepared || !again {
		t.Errorf("%d statements are kept, at most %d should be; the one in use among them: %v", len(kept), store.MaxPrepared, again)
	}
}

// TestAStatementThatFailsIsStillGood: and so is one that was interrupted.
func TestAStatementThatFailsIsStillGood(t *testing.T) {
	t.Parallel()
	conn := oneConnection(t)
	if _, err := conn.ExecContext(t.Context(), "CREATE TABLE numbers (n INTEGER PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	const insert = "INSERT INTO numbers VALUES (?)"
	for _, c := range []struct {
		n    int
		good bool
	}{{1, true}, {1, false}, {2, true}} {
		if _, err := conn.ExecContext(t.Context(), insert, c.n); (err == nil) != c.good {
			t.Errorf("%d: %v", c.n, err)
		}
	}
	const endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT ?) SELECT count(*) FROM n"
	var n int
	ctx, cancel := context.WithTimeout(t.Context(), stalled)
	defer cancel()
	if err := conn.QueryRowContext(ctx, endless, -1).Scan(&n); err == nil {
		t.Error("an endless query ended by itself")
	}
	if err := conn.QueryRowContext(t.Context(), endless, 3).Scan(&n); err != nil || n != 3 {
		t.Errorf("after it was interrupted: %d, %v", n, err)
	}
}
