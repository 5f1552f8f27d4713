//go:build linux

package faulttest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// The delivery test changes users while a webhook is notified of it, and meanwhile kills the server and the webhook's receiver. Each change must
// be delivered, and the first delivery of each in the order of its user's versions. A follower that knows only the deliveries, and reads
// the users that they name, must end with a copy that equals the directory. DELIVERIES is the number of changes.

const (
	deliveriesVariable = "DELIVERIES"
	fewDeliveries      = 400
)

// userOfDelivery is a user as the follower knows it.
type userOfDelivery struct {
	path    string // in Worth
	version int64  // of the last change that was delivered first
	etag    string // of the copy
	body    string // the copy
}

// follower receives deliveries.
type follower struct {
	secret  *standardwebhooks.Webhook
	address string
	server  *http.Server

	mu      sync.Mutex
	users   map[int64]*userOfDelivery
	numbers map[int64]bool
	highest int64
	again   int // deliveries that are not the first of their change
	faults  []string
}

// listen begins to receive, at the address of before if there was one.
func (f *follower) listen() error {
	l, err := net.Listen("tcp", cmp.Or(f.address, "127.0.0.1:0"))
	if err != nil {
		return err
	}
	f.address = l.Addr().String()
	f.server = &http.Server{Handler: f}
	go f.server.Serve(l)
	return nil
}

// kill ends the receiver, also in the middle of a delivery.
func (f *follower) kill() { _ = f.server.Close() }

func (f *follower) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // it is gone
	}
	var event struct {
		Type string
		Data struct {
			Number, User, Version int64
			UserUUID              string
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.secret.Verify(body, r.Header); err != nil {
		f.faults = append(f.faults, err.Error())
	}
	if err := json.Unmarshal(body, &event); err != nil {
		f.faults = append(f.faults, err.Error())
	}
	d := event.Data
	if f.numbers[d.Number] {
		f.again++
		return
	}
	f.numbers[d.Number] = true
	if d.Number < f.highest {
		f.faults = append(f.faults, fmt.Sprintf("change %d comes after %d", d.Number, f.highest))
	}
	f.highest = max(f.highest, d.Number)
	u := f.users[d.User]
	if u == nil {
		u = &userOfDelivery{path: worthUsers + "/" + d.UserUUID}
		f.users[d.User] = u
	}
	if d.Version != u.version+1 || (d.Version == 1) != (event.Type == "user.created") {
		f.faults = append(f.faults, fmt.Sprintf("user %d: %s of version %d comes after version %d", d.User, event.Type, d.Version, u.version))
	}
	u.version = d.Version
}

// delivered returns how many changes were delivered.
func (f *follower) delivered() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.numbers)
}

// read reads the users whose copy is older than what was delivered.
func (f *follower) read(ctx context.Context, c client) error {
	f.mu.Lock()
	var stale []*userOfDelivery
	for _, u := range f.users {
		if copied, _ := strconv.ParseInt(strings.Trim(u.etag, `"`), 10, 64); copied < u.version {
			stale = append(stale, u)
		}
	}
	f.mu.Unlock()
	for _, u := range stale {
		a, err := c.send(ctx, request{method: http.MethodGet, path: u.path})
		if err != nil || a.status != http.StatusOK {
			return fmt.Errorf("reading a user: %s, %w", a, err)
		}
		u.etag, u.body = a.header.Get("ETag"), a.body
	}
	return nil
}

func TestDeliverSQLite(t *testing.T) {
	t.Parallel()
	_, url := sqliteFile(t)
	deliver(t, url)
}

func TestDeliverPostgres(t *testing.T) {
	t.Parallel()
	deliver(t, running(t).url())
}

func deliver(t *testing.T, database string) {
	ctx := t.Context()
	total, kills := numberIn(t, deliveriesVariable, fewDeliveries), 1
	if total > fewDeliveries {
		kills = 4
	}
	env := append(environment(database), "DRAGOMAN_WEBHOOK_ALLOW_HTTP=true", "DRAGOMAN_WEBHOOK_ALLOW_NETWORK=127.0.0.0/8")
	dir := folder(t)
	var serving atomic.Pointer[program]
	restart := func() {
		p, err := start(dragoman(t), dir, env, serve("--request-timeout=10s")...)
		if err == nil {
			err = p.awaitListening()
		}
		if err != nil {
			t.Fatal(err)
		}
		serving.Store(p)
	}
	restart()
	defer func() { serving.Load().kill() }()
	f := &follower{users: map[int64]*userOfDelivery{}, numbers: map[int64]bool{}}
	if err := f.listen(); err != nil {
		t.Fatal(err)
	}
	defer f.kill()
	command := func(arguments ...string) string {
		t.Helper()
		c := exec.Command(dragoman(t), append([]string{"webhook"}, arguments...)...)
		c.Env, c.Dir = env, dir
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("dragoman webhook %q: %v\n%s", arguments, err, out)
		}
		return string(out)
	}
	_, secret, _ := strings.Cut(strings.TrimSpace(command("add", "--url", "http://"+f.address, "--customer", "3393", "--from", "1")), "secret=")
	var err error
	if f.secret, err = standardwebhooks.NewWebhook(secret); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	// Writers change some users, and add others, until there are as many changes as are wanted.
	var acknowledged atomic.Int64
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := 0; acknowledged.Load() < int64(total) && ctx.Err() == nil; i++ {
				r := request{method: http.MethodPatch, path: worthAda, body: fmt.Sprintf(`{"mobile":"%d %d"}`, w, i)}
				switch {
				case i%100 == 0:
					r = request{method: http.MethodPost, path: worthUsers, body: fmt.Sprintf(`{"first_name":"New","last_name":"Made","email":"deliver%d-%d@example.com",`+
						`"mobile":"+1","subrole":{"id":"6351c76f-76a3-4950-9cc4-cc37cdc05ec2","code":"risk_analyst","label":"Risk Analyst"}}`, w, i)}
				case w%2 == 1:
					r = request{method: http.MethodPatch, path: worthUsers + "/0cfecc31-e3f4-4fce-9a27-f36ea6256a10", body: r.body}
				}
				if a, err := serving.Load().send(ctx, r); err != nil || a.status >= 500 {
					time.Sleep(20 * time.Millisecond) // it was killed
				} else {
					acknowledged.Add(1)
				}
			}
		})
	}
	rng := rand.New(rand.NewPCG(uint64(began.UnixNano()), 0))
	for k := range kills {
		least := total * (k + 1) / (kills + 2)
		within(t, 10*time.Minute, fmt.Sprintf("delivery of %d changes", least), func() error { return unlessAtLeast(f.delivered(), least) })
		f.kill()
		time.Sleep(time.Duration(rng.IntN(200)) * time.Millisecond)
		if err := f.listen(); err != nil {
			t.Fatal(err)
		}
		command("replay", "1") // rather than wait for the schedule
		within(t, time.Minute, "deliveries after the receiver is back", func() error { return unlessAtLeast(f.delivered(), least+5) })
		time.Sleep(time.Duration(rng.IntN(200)) * time.Millisecond)
		serving.Load().kill()
		restart()
	}
	writers.Wait()
	written := time.Since(began)
	highest := func() (n int) {
		for after, more := 0, true; more; {
			var page struct {
				Changes []struct{}
				Next    int
			}
			a := serving.Load().expect(t, http.StatusOK, request{method: http.MethodGet, path: fmt.Sprintf("/directory/v1/changes?limit=1000&after=%d", after)})
			if err := json.Unmarshal([]byte(a.body), &page); err != nil {
				t.Fatal(err)
			}
			n, after, more = n+len(page.Changes), page.Next, len(page.Changes) > 0
		}
		return n
	}
	reading := serving.Load().client
	within(t, 20*time.Minute, "delivery of all changes", func() error {
		if err := unlessAtLeast(f.delivered(), total); err != nil {
			return err
		}
		return unlessAtLeast(f.delivered(), highest())
	})
	if err := f.read(ctx, reading); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, fault := range f.faults {
		if i < 10 {
			t.Error(fault)
		}
	}
	for id, u := range f.users {
		a := reading.expect(t, http.StatusOK, request{method: http.MethodGet, path: u.path})
		if etag := a.header.Get("ETag"); a.body != u.body || etag != u.etag || etag != fmt.Sprintf(`"%d"`, u.version) {
			t.Errorf("user %d: the follower has version %d and copied %s, the directory has %s", id, u.version, u.etag, etag)
		}
	}
	t.Logf("%d changes of %d users were delivered in order, %d of them more than once, %d kills of the server and of the receiver; written in %s, delivered after %s",
		len(f.numbers), len(f.users), f.again, kills, written.Round(time.Second), time.Since(began).Round(time.Second))
}

func unlessAtLeast(n, least int) error {
	if n < least {
		return fmt.Errorf("%w: %d of %d", errNotYet, n, least)
	}
	return nil
}
