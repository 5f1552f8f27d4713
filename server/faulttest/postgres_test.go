//go:build linux

package faulttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// answered is how long the program may take to say 503: the request's time of one second, and what a busy machine adds.
const answered = 4 * time.Second

var patchAda = request{method: http.MethodPatch, path: worthAda, body: `{"first_name":"Augusta"}`}

// recovers wants everything to be served again in time, and that nothing was answered 500 in the meantime.
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

// TestPostgresStandsStill: the system takes connections and bytes for it, but nobody answers.
func TestPostgresStandsStill(t *testing.T) {
	t.Parallel()
	c := running(t)
	p := serving(t, c.url())
	before := p.look(t)
	c.freeze()
	p.expectUnavailable(t, answered, append(reads, writes...)...)
	p.expectHealth(t, http.StatusServiceUnavailable)
	c.thaw()
	recovers(t, p)
	// What was sent before it stood still may have been carried out since, but then whole.
	if after := p.look(t); after.etag != fmt.Sprintf(`"%d"`, after.history) {
		t.Errorf("%+v became %+v", before, after)
	}
}

func TestTheWayToPostgres(t *testing.T) {
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

// TestDeadConnectionsAreGivenUp: where something on the way has forgotten the connections of a server that had nothing to
// do for a while, without telling either end, the next requests are served all the same.
func TestDeadConnectionsAreGivenUp(t *testing.T) {
	t.Parallel()
	c := running(t)
	way := newProxy(t, fmt.Sprintf("127.0.0.1:%d", c.port))
	p := serving(t, c.urlAt(way.address), "--request-timeout=8s")
	for range 3 {
		p.burst(t, 16)
	}
	within(t, patience, "nothing to do", func() error {
		// What was used within the last second is believed to live.
		used := c.query(t, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() "+
			// The change feed is numbered twice a second.
			"AND query NOT LIKE '%user_changes%' AND state_change > now() - interval '1.1 seconds'")
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

// burst sends n requests at once, which open as many connections, and wants all of them served.
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

// commit is what pgx sends to commit a transaction.
const commit = "commit\x00"

// committing finds, in what pgx sends, that which commits a write: COMMIT, or the one statement that swaps a user, which is
// prepared first and then named.
type committing struct{ prepared string }

var preparing = regexp.MustCompile(`P(?s:.{4})(\w+)\x00WITH swapped AS`)

func (c *committing) in(piece []byte) bool {
	if found := preparing.FindSubmatch(piece); found != nil {
		c.prepared = string(found[1])
		return false
	}
	return bytes.Contains(piece, []byte(commit)) || c.prepared != "" && bytes.Contains(piece, []byte("\x00"+c.prepared+"\x00"))
}

// TestAConnectionCutAtTheCommit: before it nothing has happened, after it everything has; the answer is the same 503, and
// If-Match tells which it was.
func TestAConnectionCutAtTheCommit(t *testing.T) {
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

// cutOnce lets the next write of the program that comes by have this verdict.
func cutOnce(t testing.TB, p *program, way *proxy, v verdict) {
	t.Helper()
	// New connections prepare their statements where they can be seen.
	way.cut()
	for range 3 {
		within(t, recovery, "new connections", p.succeeds(t, reads[0]))
	}
	var c committing
	way.set(func(p *proxy) {
		p.judge = func(piece []byte) verdict {
			if v == pass || !c.in(piece) {
				return pass
			}
			now := v
			v = pass
			return now
		}
	})
}

// TestACreationCutAtTheCommit: a create has no If-Match. The e-mail tells: it is taken if the user is there.
func TestACreationCutAtTheCommit(t *testing.T) {
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
		t.Errorf("she is there with her history %s times", n[0])
	}
	p.expectNoFault(t)
}

// TestATransactionWhoseServerIsGone holds rows for as long as idle_in_transaction_session_timeout says and no longer.
func TestATransactionWhoseServerIsGone(t *testing.T) {
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

// TestTransactionsMayNotStandStill holds that the program asks for that time-out itself where the URL does not.
func TestTransactionsMayNotStandStill(t *testing.T) {
	t.Parallel()
	c := running(t, "log_statement=all")
	serving(t, c.url())
	text, err := os.ReadFile(c.log.Name())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "set_config('idle_in_transaction_session_timeout'") {
		t.Errorf("Postgres was told\n%s", text)
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

func TestPostgresHasTooManyConnections(t *testing.T) {
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
	// The first may still meet a connection that was ended.
	p.ask(t, reads[0])
	p.expectUnavailable(t, answered, append(reads, writes...)...)
	p.expectHealth(t, http.StatusServiceUnavailable)
	p.expectLog(t, "53300")
	c.query(t, "ALTER ROLE dragoman CONNECTION LIMIT -1")
	recovers(t, p)
}

// TestThePoolIsExhausted: all connections to write over wait for one row, and further writers for a connection. Readers of single
// users and signs of life have others.
func TestThePoolIsExhausted(t *testing.T) {
	t.Parallel()
	c := running(t)
	p := serving(t, c.url(), "--request-timeout=4s")
	p.look(t)
	release := hold(t, c, "SELECT * FROM users WHERE id = 6860 FOR UPDATE")
	done := make(chan answer)
	const waiting = 20
	for k := range waiting {
		go func() {
			a, _ := p.send(context.Background(), request{method: http.MethodPatch, path: worthAda, body: fmt.Sprintf(`{"first_name":"%d"}`, k)})
			done <- a
		}()
	}
	within(t, patience, "all connections in use", func() error {
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
	p.expectMetric(t, `dragoman_db_statement_duration_seconds_count{kind="update",outcome="timed_out"}`, 1)
	p.expectMetric(t, `dragoman_db_pool_waits_total{pool="read_write"}`, 1)
}

// hold runs a statement in a transaction that stands until release.
func hold(t testing.TB, c *cluster, statement string) (release func()) {
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

// TestAClientThatGoesCancelsItsStatement: what nobody waits for is not done.
func TestAClientThatGoesCancelsItsStatement(t *testing.T) {
	t.Parallel()
	c := running(t)
	p := serving(t, c.url(), "--request-timeout=25s")
	before := p.look(t)
	release := hold(t, c, "SELECT * FROM users WHERE id = 6860 FOR UPDATE")
	waiting := func(want string) func() error {
		return func() error {
			if n := c.query(t, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")[0]; n != want {
				return fmt.Errorf("%s statements wait, not %s", n, want)
			}
			return nil
		}
	}
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := p.send(ctx, patchAda)
		gone <- err
	}()
	within(t, patience, "the statement's wait", waiting("1"))
	leave()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("the request ended with %v", err)
	}
	within(t, recovery, "the statement's end", waiting("0"))
	release()
	if after := p.look(t); after != before {
		t.Errorf("%+v became %+v", before, after)
	}
	p.expectMetric(t, `dragoman_db_statement_duration_seconds_count{kind="update",outcome="canceled"}`, 1)
	p.expectGone(t, `"PATCH"`, `updating user: context canceled"`)
	p.expectMetric(t, `dragoman_http_refusals_total{dialect="worth",kind="client_gone"}`, 1)
	p.expectNoFault(t)
}

// TestFailover: of two addresses the one that can be written to is used, whichever it is at the moment.
func TestFailover(t *testing.T) {
	t.Parallel()
	first := running(t)
	second := first.standby(t)
	p := serving(t, first.urlAt(fmt.Sprintf("127.0.0.1:%d,127.0.0.1:%d", first.port, second.port))+"&target_session_attrs=read-write")
	before := p.look(t)
	within(t, patience, "replication", func() error {
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

// TestAPrimaryThatBecomesReadOnly keeps the connections it has, which are given up for it.
func TestAPrimaryThatBecomesReadOnly(t *testing.T) {
	t.Parallel()
	first := running(t)
	second := first.standby(t)
	p := serving(t, first.urlAt(fmt.Sprintf("127.0.0.1:%d,127.0.0.1:%d", first.port, second.port))+"&target_session_attrs=read-write")
	p.look(t)
	first.query(t, "ALTER SYSTEM SET default_transaction_read_only = on")
	first.query(t, "SELECT pg_reload_conf()")
	within(t, patience, "the read-only primary", func() error {
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

// TestPostgresHasNoDiskLeft: reading goes on, writing is refused, and nothing is half there.
func TestPostgresHasNoDiskLeft(t *testing.T) {
	t.Parallel()
	c := running(t)
	small := smallDisk(t, 2<<20)
	if err := give(small.dir); err != nil {
		t.Fatal(err)
	}
	p := serving(t, c.url())
	c.query(t, "CREATE TABLESPACE small LOCATION '"+small.dir+"'")
	c.query(t, "ALTER TABLE user_changes SET TABLESPACE small")
	small.fill(t)
	// What is free in the table's last page is used up first.
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

// TestPostgresIsDownAtTheStart: the program waits for it, and says so.
func TestPostgresIsDownAtTheStart(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	t.Run("and comes", func(t *testing.T) {
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
	t.Run("and does not come", func(t *testing.T) {
		p := launch(t, dragoman(t), environment(c.url()), serve("--database-wait=500ms")...)
		if code := p.awaitEnd(t, patience); code == 0 || len(p.log.find(says("database unavailable"))) == 0 {
			t.Errorf("it ends with %d and says\n%s", code, p.log)
		}
	})
	t.Run("and nobody waits any longer", func(t *testing.T) {
		p := launch(t, dragoman(t), environment(c.url()), serve()...)
		if _, err := p.log.await(says("waiting for the database"), p.ended); err != nil {
			t.Fatal(err)
		}
		p.signal(t, syscall.SIGTERM)
		p.awaitEnd(t, 2*time.Second)
	})
	t.Run("and stands still", func(t *testing.T) {
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
	t.Run("and does not know us", func(t *testing.T) {
		p := launch(t, dragoman(t), environment(strings.Replace(c.url(), "/postgres?", "/elsewhere?", 1)), serve()...)
		if code := p.awaitEnd(t, patience); code == 0 || len(p.log.find(says("waiting"))) > 0 {
			t.Errorf("waiting does not make a database, but it ends with %d and says\n%s", code, p.log)
		}
	})
}
