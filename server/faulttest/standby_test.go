//go:build linux

package faulttest

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// synchronousPair returns a primary whose commits wait for its standby.
func synchronousPair(t testing.TB) (primary, standby *cluster) {
	t.Helper()
	primary = running(t)
	standby = primary.standby(t)
	primary.waitForStandby(t, true)
	return primary, standby
}

// waitForStandby has commits wait for a standby, or not.
func (c *cluster) waitForStandby(t testing.TB, wait bool) {
	t.Helper()
	names, state := "*", "sync"
	if !wait {
		names, state = "", "async"
	}
	c.query(t, "ALTER SYSTEM SET synchronous_standby_names = '"+names+"'")
	c.query(t, "SELECT pg_reload_conf()")
	within(t, waitLimit, "the standby's state", func() error {
		if got := c.query(t, "SELECT sync_state FROM pg_stat_replication"); len(got) != 1 || got[0] != state {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
}

// waiting returns how many commits wait for the standby.
func (c *cluster) waiting(t testing.TB) int {
	t.Helper()
	n, err := strconv.Atoi(c.query(t, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// expectNotCanceled expects that no commit's wait for the standby was canceled.
func (c *cluster) expectNotCanceled(t testing.TB) {
	t.Helper()
	text, err := os.ReadFile(c.log.Name())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "canceling wait for synchronous replication") {
		t.Errorf("a commit was canceled:\n%s", text)
	}
}

// TestSynchronousStandbyStops checks that nothing is acknowledged that the standby does not have: neither a write nor its repetition,
// which finds the user as asked if the first commit was canceled, or the answer to its idempotency key.
func TestSynchronousStandbyStops(t *testing.T) {
	t.Parallel()
	primary, standby := synchronousPair(t)
	p := serving(t, primary.url())
	patch := func(name string) request {
		return request{method: http.MethodPatch, path: worthAda, body: `{"first_name":"` + name + `"}`}
	}
	p.expect(t, http.StatusOK, patch("Before"))
	p.expect(t, http.StatusOK, patch("Before"))
	standby.freeze()
	t.Cleanup(standby.thaw)

	p.expectUnavailable(t, answered, writes...)
	for range 2 {
		p.expectUnavailable(t, answered, patch("Lost"))
	}
	keyed := patch("Once") // of another user, whom no commit that waits has locked
	keyed.key, keyed.path = "once", worthUsers+"/0cfecc31-e3f4-4fce-9a27-f36ea6256a10"
	p.expectUnavailable(t, answered, keyed)
	p.expect(t, http.StatusOK, reads[0])
	primary.expectNotCanceled(t)
	if n := primary.waiting(t); n == 0 {
		t.Error("no commit waits for the standby")
	}

	// As the driver's cancel request did, or as an operator may.
	primary.query(t, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
	within(t, recovery, "the canceled commit's visibility", func() error {
		if n := primary.query(t, "SELECT first_name FROM users WHERE id = 6860"); n[0] == "Before" {
			return errNotYet
		}
		if n := primary.query(t, "SELECT count(*) FROM idempotency_records"); n[0] != "1" {
			return errNotYet
		}
		return nil
	})
	stored := primary.query(t, "SELECT first_name FROM users WHERE id = 6860")[0]
	for range 2 {
		p.expectUnavailable(t, answered, patch(stored)) // it changes nothing
		p.expectUnavailable(t, answered, keyed)         // it was executed
	}
	standby.thaw()
	within(t, recovery, "recovery", p.succeeds(t, patch(stored)))
	if a := p.expect(t, http.StatusOK, keyed); a.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("what was executed before is answered %v", a.header)
	}
	primary.kill()
	standby.promote(t)
	if got := standby.query(t, "SELECT first_name FROM users WHERE id = 6860"); got[0] != stored {
		t.Errorf("%q was acknowledged and is %q after the failover", stored, got[0])
	}
	p.expectNoFault(t)
}

// TestCanceledWaitForStandby checks that a write is not acknowledged if its wait for the standby is canceled on the server.
func TestCanceledWaitForStandby(t *testing.T) {
	t.Parallel()
	primary, standby := synchronousPair(t)
	p := serving(t, primary.url(), "--request-timeout=20s")
	standby.freeze()
	t.Cleanup(standby.thaw)
	for _, r := range []request{writes[0], writes[2]} {
		got := make(chan answer, 1)
		go func() {
			a, err := p.send(t.Context(), r)
			if err != nil {
				t.Error(err)
			}
			got <- a
		}()
		var a answer
		within(t, waitLimit, "the answer to the canceled commit", func() error {
			// The feed's numbering and the index wait as well, before the write or after it.
			primary.query(t, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
			select {
			case a = <-got:
				return nil
			default:
				return errNotYet
			}
		})
		if a.status != http.StatusServiceUnavailable {
			t.Errorf("%s %s is answered %s", r.method, r.path, a)
		}
	}
	p.expectLog(t, "the wait for a synchronous standby was canceled")
	standby.thaw()
	recovers(t, p)
}

// TestCommitsThatWaitAreBounded checks that writes which nobody waits for do not use up the server's connections, that reads are
// served meanwhile, and that writes succeed as soon as commits do not wait any more.
func TestCommitsThatWaitAreBounded(t *testing.T) {
	t.Parallel()
	primary, standby := synchronousPair(t)
	p := serving(t, primary.url())
	made := &crash{ledger: newLedger()}
	users := make([]string, 40)
	for k := range users {
		user, err := made.create(t.Context(), p.client)
		if err != nil {
			t.Fatal(err)
		}
		users[k] = worthUsers + "/" + user.uuid
	}
	standby.freeze()
	t.Cleanup(standby.thaw)
	refused := says("commits wait for a synchronous standby")
	for round := 0; len(p.log.find(refused)) == 0; round++ {
		if round == 20 {
			t.Fatal("no write is refused at once")
		}
		var all sync.WaitGroup
		// These are not batched.
		for k, user := range users {
			all.Go(func() {
				a, err := p.send(t.Context(), request{method: http.MethodPatch, path: user, body: fmt.Sprintf(`{"email":"%d-%d@example.com"}`, round, k)})
				if err != nil || a.status != http.StatusServiceUnavailable {
					t.Errorf("answered %s, %v", a, err)
				}
			})
		}
		all.Wait()
	}
	if n := primary.waiting(t); n < 16 || n > 27 {
		t.Errorf("%d commits wait for the standby", n)
	}
	for _, r := range reads {
		p.expect(t, http.StatusOK, r)
	}
	primary.expectNotCanceled(t)
	primary.query(t, "ALTER SYSTEM SET synchronous_standby_names = ''")
	primary.query(t, "SELECT pg_reload_conf()")
	recovers(t, p)
}
