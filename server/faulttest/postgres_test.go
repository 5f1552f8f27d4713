//go:build linux

package faulttest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// answered limits the time until a 503: the request timeout of a second, and more for a busy machine.
const answered = 4 * time.Second

var patchAda = request{method: http.MethodPatch, path: worthAda, body: `{"first_name":"Augusta"}`}

// recovers expects that all requests are served within recovery, and that there was no 500.
func recovers(t testing.TB, p *program) {
	t.Helper()
	start := time.Now()
	for _, r := range append(reads, patchAda, request{method: http.MethodGet, path: "/readyz"}) {
		within(t, recovery-time.Since(start), "recovery", p.succeeds(t, r))
	}
	t.Logf("recovered %s after the fault's end", time.Since(start).Round(time.Millisecond))
	p.expectNoFault(t)
}

func TestPostgresStops(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"fast", "immediate"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			c := running(t)
			p := serving(t, c.url())
			before := p.look(t)
			c.stop(t, mode)
			p.expectUnavailable(t, answered, append(reads, writes...)...)
			p.expectHealth(t, http.StatusServiceUnavailable)
			p.expectLog(t, "request", "503", "database unavailable")
			p.expectMetric(t, `dragoman_http_refusals_total{dialect="worth",kind="unavailable"}`, 4)
			p.expectMetric(t, `dragoman_http_refusals_total{dialect="testinium",kind="unavailable"}`, 3)
			c.start(t)
			within(t, recovery, "recovery", p.succeeds(t, reads[0]))
			if after := p.look(t); after != before {
				t.Errorf("%+v became %+v", before, after)
			}
			recovers(t, p)
		})
	}
}

func TestPostgresFrozen(t *testing.T) {
	t.Parallel()
	c := running(t)
	p := serving(t, c.url())
	before := p.look(t)
	c.freeze()
	p.expectUnavailable(t, answered, append(reads, writes...)...)
	p.expectHealth(t, http.StatusServiceUnavailable)
	c.thaw()
	recovers(t, p)
	// A write that was sent before may be committed, but only as a whole.
	if after := p.look(t); after.etag != fmt.Sprintf(`"%d"`, after.history) {
		t.Errorf("%+v became %+v", before, after)
	}
}

func TestNetworkFaults(t *testing.T) {
	t.Parallel()
	c := running(t)
	for name, fault := range map[string]func(*proxy){
		"is cut":          func(p *proxy) { p.set(func(p *proxy) { p.refuse = true }); p.cut() },
		"is slow":         func(p *proxy) { p.set(func(p *proxy) { p.delay = 1500 * time.Millisecond }) },
		"is a black hole": func(p *proxy) { p.swallow() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			way := newProxy(t, fmt.Sprintf("127.0.0.1:%d", c.port))
			database := fmt.Sprintf("w%d", time.Now().UnixNano())
			c.query(t, "CREATE DATABASE "+database)
			url := strings.Replace(c.urlAt(way.address), "/postgres?", "/"+database+"?", 1)
			p := serving(t, url)
			p.look(t)
			fault(way)
			p.expectUnavailable(t, answered, append(reads, writes...)...)
			p.expectHealth(t, http.StatusServiceUnavailable)
			way.pass()
			recovers(t, p)
		})
	}
}

// TestDeadConnections checks that requests are served after the network silently dropped idle connections.
func TestDeadConnections(t *testing.T) {
	t.Parallel()
	c := running(t)
	way := newProxy(t, fmt.Sprintf("127.0.0.1:%d", c.port))
	p := serving(t, c.urlAt(way.address), "--request-timeout=8s")
	for range 3 {
		p.burst(t, 16)
	}
	within(t, waitLimit, "idle connections", func() error {
		// The pool does not check connections that were used within the last second.
		used := c.query(t, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() "+
			// The change feed is numbered, and users are indexed, twice a second. Records are pruned twice a minute.
			"AND query NOT LIKE '%feed_%' AND query NOT LIKE '%search_pending%' AND query NOT LIKE '%idempotency_records%' AND state_change > now() - interval '1.1 seconds'")
		if used[0] != "0" {
			return errNotYet
		}
		return nil
	})
	way.swallow()
	way.pass()
	a := p.expect(t, http.StatusOK, reads[0])
	t.Logf("the first request took %s", a.took.Round(time.Millisecond))
	p.burst(t, 16)
	p.expectNoFault(t)
}

// burst sends n concurrent requests, which open n connections, and expects that all are served.
func (c client) burst(t testing.TB, n int) {
	t.Helper()
	served := make(chan error)
	for range n {
		go func() { served <- c.succeeds(t, reads[1])() }()
	}
	for range n {
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

// committing finds, in what pgx sends on new connections, that which commits a write of users: other transactions commit in the
// background. A COMMIT is the text of a simple query, or a statement that was prepared.
type committing struct{ writes map[*link]bool }

// preparedCommit is the name that pgx gives to the statement COMMIT.
var preparedCommit = func() []byte {
	sum := sha256.Sum256([]byte("COMMIT"))
	return []byte("\x00stmtcache_" + hex.EncodeToString(sum[:24]) + "\x00")
}()

func (c *committing) in(k *link, piece []byte) bool {
	commits := c.writes[k] && (bytes.Contains(piece, []byte("commit\x00")) || bytes.Contains(piece, preparedCommit))
	if bytes.Contains(piece, []byte("UPDATE users SET")) || bytes.Contains(piece, []byte("INSERT INTO users ")) {
		c.writes[k] = true
	}
	return commits
}

// TestConnectionCutAtCommit cuts the connection before and after a commit. The response is a 503 in both cases, and a retry with
// If-Match shows which it was.
func TestConnectionCutAtCommit(t *testing.T) {
	t.Parallel()
	c := running(t)
	for _, r := range []request{
		{method: http.MethodPatch, path: worthAda, body: `{"first_name":"%s"}`},
		{method: http.MethodPut, path: testiniumAda, body: putAda("%s")},
	} {
		t.Run(r.method, func(t *testing.T) {
			database := "cut_" + strings.ToLower(r.method)
			c.query(t, "CREATE DATABASE "+database)
			way := newProxy(t, fmt.Sprintf("127.0.0.1:%d", c.port))
			p := serving(t, strings.Replace(c.urlAt(way.address), "/postgres?", "/"+database+"?", 1))
			with := func(name, ifMatch string) request {
				r := r
				r.body, r.ifMatch = fmt.Sprintf(r.body, name), ifMatch
				return r
			}
			before := p.look(t)
			cutOnce(t, p, way, cutBefore)
			p.expectUnavailable(t, answered, with("Cut-before", before.etag))
			if after := p.look(t); after != before {
				t.Errorf("nothing was committed, but %+v became %+v", before, after)
			}
			p.expect(t, http.StatusOK, with("Cut-before", before.etag))

			before = p.look(t)
			cutOnce(t, p, way, cutAfter)
			p.expectUnavailable(t, answered, with("Cut-after", before.etag))
			after := p.look(t)
			if after.etag == before.etag || after.history != before.history+1 || !strings.Contains(after.first+after.surname, "Cut-after") {
				t.Errorf("it was committed, but %+v became %+v", before, after)
			}
			p.expect(t, http.StatusPreconditionFailed, with("Cut-after", before.etag))
			if a := p.expect(t, http.StatusOK, with("Cut-after", "")); a.header.Get("Dragoman-Changed") != "" {
				t.Errorf("the retry without If-Match changed %s", a.header.Get("Dragoman-Changed"))
			}
			p.expectNoFault(t)
		})
	}
}

// cutOnce applies a verdict to the program's next commit.
func cutOnce(t testing.TB, p *program, way *proxy, v verdict) {
	t.Helper()
	// On new connections the proxy sees the preparation of statements.
	way.cut()
	for range 3 {
		within(t, recovery, "new connections", p.succeeds(t, reads[0]))
	}
	c := committing{map[*link]bool{}}
	way.set(func(p *proxy) {
		p.judge = func(k *link, piece []byte) verdict {
			if v == pass || !c.in(k, piece) {
				return pass
			}
			now := v
			v = pass
			return now
		}
	})
}

// TestCreationCutAtCommit is like TestConnectionCutAtCommit for a creation. A retry fails if the e-mail exists.
func TestCreationCutAtCommit(t *testing.T) {
	t.Parallel()
	c := running(t)
	way := newProxy(t, fmt.Sprintf("127.0.0.1:%d", c.port))
	p := serving(t, c.urlAt(way.address))
	create := writes[2]
	cutOnce(t, p, way, cutBefore)
	p.expectUnavailable(t, answered, create)
	cutOnce(t, p, way, cutAfter)
	p.expectUnavailable(t, answered, create)
	p.expect(t, http.StatusBadRequest, create)
	if n := c.query(t, "SELECT count(*) FROM users JOIN user_changes ON user_id = id WHERE email = 'mary@example.com'"); n[0] != "1" {
		t.Errorf("the user and her history are there %s times", n[0])
	}
	p.expectNoFault(t)
}

// TestAbandonedTransaction checks that idle_in_transaction_session_timeout limits the locks of a transaction whose client is gone.
func TestAbandonedTransaction(t *testing.T) {
	t.Parallel()
	c := running(t)
	way := newProxy(t, fmt.Sprintf("127.0.0.1:%d", c.port))
	p := serving(t, c.urlAt(way.address)+"&idle_in_transaction_session_timeout=1000")
	create := writes[2]
	cutOnce(t, p, way, swallowBefore)
	p.expectUnavailable(t, answered, create)
	within(t, recovery, "recovery", func() error {
		a, err := p.send(t.Context(), create)
		if err == nil && a.status != http.StatusOK && a.status != http.StatusCreated {
			err = errors.New(a.String())
		}
		return err
	})
	recovers(t, p)
}

// TestIdleInTransactionTimeout checks that the program sets that timeout if the URL does not.
func TestIdleInTransactionTimeout(t *testing.T) {
	t.Parallel()
	c := running(t, "log_statement=all")
	serving(t, c.url())
	text, err := os.ReadFile(c.log.Name())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "set_config('idle_in_transaction_session_timeout'") {
		t.Errorf("Postgres received\n%s", text)
	}
}

func TestPostgresEndsConnections(t *testing.T) {
	t.Parallel()
	c := running(t)
	p := serving(t, c.url())
	ctx, stop := context.WithCancel(t.Context())
	statuses := make(chan map[int]int)
	go func() {
		seen := map[int]int{}
		for ctx.Err() == nil {
			if a, err := p.send(context.Background(), reads[0]); err == nil {
				seen[a.status]++
			}
		}
		statuses <- seen
	}()
	for range 20 {
		c.query(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")
	}
	stop()
	seen := <-statuses
	t.Logf("answers by status: %v", seen)
	for status := range seen {
		if status != http.StatusOK && status != http.StatusServiceUnavailable {
			t.Errorf("%d answers of %d", seen[status], status)
		}
	}
	recovers(t, p)
}

func TestTooManyConnections(t *testing.T) {
	t.Parallel()
	c := running(t)
	c.query(t, "CREATE ROLE dragoman LOGIN; GRANT ALL ON SCHEMA public TO dragoman")
	p := serving(t, strings.Replace(c.url(), "postgres@", "dragoman@", 1))
	p.look(t)
	c.query(t, "ALTER ROLE dragoman CONNECTION LIMIT 0; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'dragoman'")
	within(t, recovery, "the connections' end", func() error {
		if n := c.query(t, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'dragoman'")[0]; n != "0" {
			return errNotYet
		}
		return nil
	})
	// The first request may get a connection that was terminated.
	p.ask(t, reads[0])
	p.expectUnavailable(t, answered, append(reads, writes...)...)
	p.expectHealth(t, http.StatusServiceUnavailable)
	p.expectLog(t, "53300")
	c.query(t, "ALTER ROLE dragoman CONNECTION LIMIT -1")
	recovers(t, p)
}

// TestExhaustedPool checks that single users and health checks are served while all connections for writes wait for a lock.
func TestExhaustedPool(t *testing.T) {
	t.Parallel()
	c := running(t)
	p := serving(t, c.url(), "--request-timeout=4s")
	p.look(t)
	release := lock(t, c, "SELECT * FROM users WHERE id = 6860 FOR UPDATE")
	done := make(chan answer)
	const waiting = 20
	for k := range waiting {
		go func() {
			a, _ := p.send(context.Background(), request{method: http.MethodPatch, path: worthAda, body: fmt.Sprintf(`{"first_name":"%d"}`, k)})
			done <- a
		}()
	}
	within(t, waitLimit, "all connections in use", func() error {
		if n := c.query(t, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")[0]; n != "11" {
			return fmt.Errorf("%s wait", n)
		}
		return nil
	})
	p.expectMetric(t, `dragoman_db_pool_connections{pool="read_write",state="in_use"}`, 11)
	p.expectHealth(t, http.StatusOK)
	p.look(t)
	for range waiting {
		if a := <-done; a.status != http.StatusServiceUnavailable {
			t.Errorf("a write that waits is answered %s", a)
		}
	}
	release()
	recovers(t, p)
	p.expectMetric(t, `dragoman_db_statement_duration_seconds_count{kind="update",outcome="busy"}`, 1)
	p.expectMetric(t, `dragoman_db_pool_waits_total{pool="read_write"}`, 1)
}

// lock runs a statement in a transaction that stays open until release.
func lock(t testing.TB, c *cluster, statement string) (release func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.url())
	if err != nil {
		t.Fatal(err)
	}
	release = func() { conn.Close(context.Background()) }
	t.Cleanup(release)
	if _, err := conn.Exec(t.Context(), "BEGIN; "+statement); err != nil {
		t.Fatal(err)
	}
	return release
}

func TestClientGoneCancelsStatement(t *testing.T) {
	t.Parallel()
	c := running(t)
	p := serving(t, c.url(), "--request-timeout=25s")
	before := p.look(t)
	release := lock(t, c, "SELECT * FROM users WHERE id = 6860 FOR UPDATE")
	waiting := func(want string) func() error {
		return func() error {
			if n := c.query(t, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")[0]; n != want {
				return fmt.Errorf("%s statements wait, not %s", n, want)
			}
			return nil
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := p.send(ctx, patchAda)
		gone <- err
	}()
	within(t, waitLimit, "the statement's wait", waiting("1"))
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("the request ended with %v", err)
	}
	within(t, recovery, "the statement's end", waiting("0"))
	release()
	if after := p.look(t); after != before {
		t.Errorf("%+v became %+v", before, after)
	}
	p.expectMetric(t, `dragoman_db_statement_duration_seconds_count{kind="update",outcome="canceled"}`, 1)
	p.expectGone(t, `"PATCH"`, `updating user: `, `context canceled"`)
	p.expectMetric(t, `dragoman_http_refusals_total{dialect="worth",kind="client_gone"}`, 1)
	p.expectNoFault(t)
}

// TestFailover checks that the program uses whichever of two servers is the primary.
func TestFailover(t *testing.T) {
	t.Parallel()
	first := running(t)
	second := first.standby(t)
	p := serving(t, first.urlAt(fmt.Sprintf("127.0.0.1:%d,127.0.0.1:%d", first.port, second.port))+"&target_session_attrs=read-write")
	before := p.look(t)
	within(t, waitLimit, "replication", func() error {
		if n := first.query(t, "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()")[0]; n != "1" {
			return errNotYet
		}
		return nil
	})
	first.kill()
	p.expectUnavailable(t, answered, append(reads, writes...)...)
	second.promote(t)
	recovers(t, p)
	if after := p.look(t); after.surname != before.surname || after.history < before.history {
		t.Errorf("%+v became %+v", before, after)
	}
}

// TestPrimaryBecomesReadOnly checks that the program closes its connections to a server that becomes read-only.
func TestPrimaryBecomesReadOnly(t *testing.T) {
	t.Parallel()
	first := running(t)
	second := first.standby(t)
	p := serving(t, first.urlAt(fmt.Sprintf("127.0.0.1:%d,127.0.0.1:%d", first.port, second.port))+"&target_session_attrs=read-write")
	p.look(t)
	first.query(t, "ALTER SYSTEM SET default_transaction_read_only = on")
	first.query(t, "SELECT pg_reload_conf()")
	within(t, waitLimit, "the read-only primary", func() error {
		if first.query(t, "SHOW transaction_read_only")[0] != "on" {
			return errNotYet
		}
		return nil
	})
	p.expectUnavailable(t, answered, writes...)
	p.expectLog(t, "25006")
	second.promote(t)
	recovers(t, p)
}

func TestPostgresDiskFull(t *testing.T) {
	t.Parallel()
	c := running(t)
	small := smallDisk(t, 2<<20)
	if err := chown(small.dir); err != nil {
		t.Fatal(err)
	}
	p := serving(t, c.url())
	c.query(t, "CREATE TABLESPACE small LOCATION '"+small.dir+"'")
	c.query(t, "ALTER TABLE user_changes SET TABLESPACE small")
	small.fill(t)
	// The first writes still fit into the table's last page.
	var refused answer
	for k := range 200 {
		refused = p.ask(t, request{method: http.MethodPatch, path: worthAda, body: fmt.Sprintf(`{"first_name":"%d%s"}`, k, strings.Repeat("x", 200))})
		if refused.status != http.StatusOK {
			break
		}
	}
	if refused.status != http.StatusServiceUnavailable || refused.header.Get("Retry-After") == "" {
		t.Fatalf("with a full disk a write is answered %s", refused)
	}
	p.expectLog(t, "53100")
	full := p.look(t)
	if full.etag != fmt.Sprintf(`"%d"`, full.history) {
		t.Errorf("the version and the history do not agree: %+v", full)
	}
	p.expectHealth(t, http.StatusOK)
	small.empty(t)
	recovers(t, p)
}

func TestPostgresDownAtStart(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	t.Run("starts later", func(t *testing.T) {
		p := launch(t, dragoman(t), environment(c.url()), serve()...)
		if _, err := p.log.await(says("waiting for the database", "WARN", "next_try_in"), p.ended); err != nil {
			t.Fatal(err)
		}
		c.start(t)
		start := time.Now()
		if err := p.awaitListening(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > recovery {
			t.Errorf("it served %s after Postgres did", took)
		}
		p.look(t)
		c.stop(t, "fast")
	})
	t.Run("does not start", func(t *testing.T) {
		p := launch(t, dragoman(t), environment(c.url()), serve("--database-wait=500ms")...)
		if code := p.awaitEnd(t, waitLimit); code == 0 || len(p.log.find(says("database unavailable"))) == 0 {
			t.Errorf("it ends with %d and logs\n%s", code, p.log)
		}
	})
	t.Run("program is stopped", func(t *testing.T) {
		p := launch(t, dragoman(t), environment(c.url()), serve()...)
		if _, err := p.log.await(says("waiting for the database"), p.ended); err != nil {
			t.Fatal(err)
		}
		p.signal(t, syscall.SIGTERM)
		p.awaitEnd(t, 2*time.Second)
	})
	t.Run("is frozen", func(t *testing.T) {
		c.start(t)
		c.freeze()
		p := launch(t, dragoman(t), environment(c.url()), serve()...)
		if _, err := p.log.await(says("waiting for the database"), p.ended); err != nil {
			t.Fatal(err)
		}
		c.thaw()
		if err := p.awaitListening(); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("has no such database", func(t *testing.T) {
		p := launch(t, dragoman(t), environment(strings.Replace(c.url(), "/postgres?", "/elsewhere?", 1)), serve()...)
		if code := p.awaitEnd(t, waitLimit); code == 0 || len(p.log.find(says("waiting"))) > 0 {
			t.Errorf("without the database it ends with %d and logs\n%s", code, p.log)
		}
	})
}
