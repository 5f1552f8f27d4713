package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"
)

// oneConnection returns the writing connection of a new database with the numbers 1 to 9.
func oneConnection(t *testing.T) *sql.Conn {
	t.Helper()
	d := openNew(t)
	conn, err := d.pools.Write.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := conn.ExecContext(t.Context(), "INSERT INTO numbers VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9)"); err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestPreparedStatementSeesNewSchema: a newer program may add columns while this one has its statements prepared.
func TestPreparedStatementSeesNewSchema(t *testing.T) {
	t.Parallel()
	conn := oneConnection(t)
	columns := func() int {
		rows, err := conn.QueryContext(t.Context(), "SELECT * FROM numbers")
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
	if _, err := conn.ExecContext(t.Context(), "ALTER TABLE numbers ADD COLUMN note TEXT"); err != nil {
		t.Fatal(err)
	}
	if after := columns(); after != before+1 {
		t.Errorf("the statement has %d columns, and had %d before one was added", after, before)
	}
}

// TestPreparedStatementInUse: a statement whose rows are being read is not used a second time.
func TestPreparedStatementInUse(t *testing.T) {
	t.Parallel()
	conn := oneConnection(t)
	const text = "SELECT n FROM numbers WHERE n > ? ORDER BY n"
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

// TestPreparedStatementsAreBounded: filters of lists make ever new ones.
func TestPreparedStatementsAreBounded(t *testing.T) {
	t.Parallel()
	conn := oneConnection(t)
	for n := range 3 * maxPrepared {
		var got int
		if err := conn.QueryRowContext(t.Context(), fmt.Sprintf("SELECT %d", n)).Scan(&got); err != nil || got != n {
			t.Fatalf("%d: %d, %v", n, got, err)
		}
		// One that is used again and again stays.
		if err := conn.QueryRowContext(t.Context(), "SELECT 'again'").Scan(new(string)); err != nil {
			t.Fatal(err)
		}
	}
	var kept map[string]*preparedStatement
	if err := conn.Raw(func(c any) error { kept = c.(*fileConn).prepared.kept; return nil }); err != nil {
		t.Fatal(err)
	}
	_, again := kept["SELECT 'again'"]
	if len(kept) != maxPrepared || !again {
		t.Errorf("%d statements are kept, at most %d should be; the one in use among them: %v", len(kept), maxPrepared, again)
	}
}

// TestPreparedStatementAfterError: a statement that failed, or was interrupted, can be used again.
func TestPreparedStatementAfterError(t *testing.T) {
	t.Parallel()
	conn := oneConnection(t)
	const insert = "INSERT INTO copies VALUES (?)"
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
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := conn.QueryRowContext(ctx, endless, -1).Scan(&n); err == nil {
		t.Error("an endless query ended by itself")
	}
	if err := conn.QueryRowContext(t.Context(), endless, 3).Scan(&n); err != nil || n != 3 {
		t.Errorf("after it was interrupted: %d, %v", n, err)
	}
}
