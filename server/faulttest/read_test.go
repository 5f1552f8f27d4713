//go:build linux

package faulttest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// usesStandby returns a condition for within: the metric says whether the standby is used.
func (p *program) usesStandby(t testing.TB, used int) func() error {
	return func() error {
		if got, ok := p.metric(t, "dragoman_db_standby_used"); !ok || got != float64(used) {
			return fmt.Errorf("dragoman_db_standby_used is %v, %t", got, ok)
		}
		return nil
	}
}

// TestReadsFromStandby checks what is read from a standby: lists, searches and histories, but no single user and nothing that a write
// depends on; and that a standby that is too far behind, frozen, down or promoted is not used.
func TestReadsFromStandby(t *testing.T) {
	t.Parallel()
	primary := running(t)
	standby := primary.standby(t)
	const lag = 5 * time.Second
	p := serving(t, primary.url(), "--database-read="+standby.url(), "--read-lag="+lag.String())
	within(t, recovery, "use of the standby", p.usesStandby(t, 1))
	patch := func(name string) {
		t.Helper()
		p.expect(t, http.StatusOK, request{method: http.MethodPatch, path: worthAda, body: `{"first_name":"` + name + `"}`})
		if a := p.expect(t, http.StatusOK, request{method: http.MethodGet, path: worthAda}); !strings.Contains(a.body, `"first_name":"`+name+`"`) {
			t.Fatalf("after a write the user is %s", a.body)
		}
	}
	search := func(name string) func() error {
		return func() error {
			a, err := p.send(t.Context(), request{method: http.MethodGet, path: worthUsers + "?search=" + name})
			if err == nil && (a.status != http.StatusOK || !strings.Contains(a.body, `"first_name":"`+name+`"`)) {
				err = fmt.Errorf("a search for %s is answered %s", name, a)
			}
			return err
		}
	}
	patch("Fresh")
	within(t, recovery, "the standby's list", search("Fresh"))
	if n := standby.query(t, "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE '%users%'"); n[0] == "0" {
		t.Error("nothing was read from the standby")
	}

	// Replay is paused: for a while lists are older than reads of single users, then the standby is left out.
	standby.query(t, "SELECT pg_wal_replay_pause()")
	within(t, recovery, "the pause", func() error {
		if got := standby.query(t, "SELECT pg_get_wal_replay_pause_state()"); got[0] != "paused" {
			return errNotYet
		}
		return nil
	})
	patch("Paused")
	if search("Paused")() == nil && p.usesStandby(t, 1)() == nil {
		t.Error("a list shows what the standby has not replayed")
	}
	within(t, recovery+lag, "the end of the use of a standby that is behind", p.usesStandby(t, 0))
	if err := search("Paused")(); err != nil {
		t.Error(err)
	}
	p.expectLog(t, "the standby of --database-read is not used", "behind")
	standby.query(t, "SELECT pg_wal_replay_resume()")
	within(t, recovery, "use of the standby", p.usesStandby(t, 1))

	standby.freeze()
	within(t, recovery, "the end of the use of a frozen standby", p.usesStandby(t, 0))
	patch("Frozen")
	within(t, recovery, "lists without the standby", search("Frozen"))
	standby.thaw()
	within(t, recovery, "use of the standby", p.usesStandby(t, 1))

	standby.kill()
	for _, r := range reads {
		p.expect(t, http.StatusOK, r)
	}
	within(t, recovery, "the end of the use of a standby that is down", p.usesStandby(t, 0))
	patch("Down")
	if err := search("Down")(); err != nil {
		t.Error(err)
	}
	standby.start(t)
	within(t, recovery, "use of the standby", p.usesStandby(t, 1))
	within(t, recovery, "the standby's list", search("Down"))

	standby.promote(t)
	within(t, recovery, "the end of the use of a primary", p.usesStandby(t, 0))
	patch("Promoted")
	if err := search("Promoted")(); err != nil {
		t.Error(err)
	}
	p.expectLog(t, "the standby of --database-read is not used", "the server is not a standby")
	p.expectNoFault(t)
}

// TestStandbyMayBeAbsent starts with a standby that is not there yet.
func TestStandbyMayBeAbsent(t *testing.T) {
	t.Parallel()
	primary := running(t)
	p := serving(t, primary.url(), "--database-read=postgres://postgres@127.0.0.1:1/postgres?sslmode=disable")
	for _, r := range reads {
		p.expect(t, http.StatusOK, r)
	}
	within(t, recovery, "the state of the standby", p.usesStandby(t, 0))
	p.expectNoFault(t)
}
