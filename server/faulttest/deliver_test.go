//go:build linux

package faulttest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/server/servertest/follow"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
	"github.com/dragoman-id/dragoman/store/userfile"
)

// The delivery test changes and erases users while a webhook is notified of it, and meanwhile kills the server and the webhook's receiver,
// and erases the history as if it were old. Each change must be delivered, and the first delivery of each in the order of its user's
// versions. Followers that know only the deliveries, and read the users that they name, must end with a copy that equals the directory, and
// so must followers that know only the feed, whether they follow all the time or begin when everything is written. DELIVERIES is the
// number of changes.

const (
	deliveriesVariable = "DELIVERIES"
	fewDeliveries      = 400
)

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
	total, kills := numberIn(t, deliveriesVariable, fewDeliveries), 1
	if total > fewDeliveries {
		kills = 4
	}
	d := newDelivery(t, database)
	began := time.Now()
	feed, hook := follow.NewFeed(), d.hook()
	ctx, stop := context.WithCancel(t.Context())
	var following sync.WaitGroup
	following.Go(func() { d.follow(ctx, feed, hook) })
	var writing sync.WaitGroup
	writers := d.write(&writing, total)
	for k := range kills {
		d.kill(hook, total*(k+1)/(kills+2))
		// A directory keeps values for longer than its followers need to read them.
		known := time.Now()
		d.awaitFollower(known)
		d.eraseHistoryBefore(known.Add(-requestTimeout))
	}
	writing.Wait()
	written := time.Since(began)
	stop()
	following.Wait()

	lateFeed, lateHook := follow.NewFeed(), d.hook()
	var erased []string
	counts := map[string]int{}
	for _, w := range writers {
		erased = append(erased, w.Erased...)
		for did, n := range w.Counts {
			counts[did] += n
		}
	}
	d.compareFeed(feed, erased)
	d.eraseHistoryBefore(time.Now().Add(requestTimeout))
	d.compareFeed(lateFeed, erased)
	if feed.Mended > 0 || lateFeed.Mended == 0 {
		t.Errorf("the history has lost %d values to a follower who read it all the time, and %d to one who came late", feed.Mended, lateFeed.Mended)
	}
	for _, hook := range []*hookReceiver{hook, lateHook} {
		d.compareHook(hook, feed.Changes, erased)
	}
	changes, users, erasures, again := hook.Delivered()
	t.Logf("%d changes of %d users, %d of them erased, were delivered in order, %d of them more than once, %d kills of the server and of the receiver; written in %s, delivered after %s; "+
		"a late follower took %d values from an export; requests: %v",
		changes, users, erasures, again, kills, written.Round(time.Second), time.Since(began).Round(time.Second), lateFeed.Mended, counts)
}

// delivery is a directory whose server is killed, and whose changes are delivered.
type delivery struct {
	t        *testing.T
	database string
	store    *store.Store // of this process
	dir      string
	env      []string
	token    string
	serving  atomic.Pointer[program]
	hooks    int
	random   *rand.Rand
	read     atomic.Int64 // until when the follower of the feed has read it, in nanoseconds of the epoch
}

// requestTimeout is how long a write may take.
const requestTimeout = 10 * time.Second

func newDelivery(t *testing.T, database string) *delivery {
	t.Helper()
	token, err := auth.Sign(servertest.Secret, follow.Claims(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	d := &delivery{t: t, database: database, dir: folder(t), token: token, random: rand.New(rand.NewPCG(rand.Uint64(), 0))}
	d.env = append(environment(database), "DRAGOMAN_WEBHOOK_ALLOW_HTTP=true", "DRAGOMAN_WEBHOOK_ALLOW_NETWORK=127.0.0.0/8", "DRAGOMAN_ERASURE_LEDGER="+d.ledger())
	d.restart()
	t.Cleanup(func() { d.serving.Load().kill() })
	d.store = storetest.OpenWith(t, store.Config{URL: database, ErasureLedger: d.ledger()})
	return d
}

// restart starts a server, after the one before was killed.
func (d *delivery) restart() {
	d.t.Helper()
	p, err := start(dragoman(d.t), d.dir, d.env, serve("--request-timeout="+requestTimeout.String())...)
	if err == nil {
		err = p.awaitListening()
	}
	if err != nil {
		d.t.Fatal(err)
	}
	d.serving.Store(p)
}

// send sends a request to the present server.
func (d *delivery) send(ctx context.Context, method, path, body string) (follow.Answer, error) {
	a, err := d.serving.Load().as(d.token).send(ctx, request{method: method, path: path, body: body})
	return follow.Answer{Status: a.status, Header: a.header, Body: a.body}, err
}

// ledger returns the path of the erasure ledger.
func (d *delivery) ledger() string { return filepath.Join(d.dir, "erasures") }

// command runs a command of the program.
func (d *delivery) command(arguments ...string) string {
	d.t.Helper()
	c := exec.Command(dragoman(d.t), arguments...)
	c.Env, c.Dir = d.env, d.dir
	out, err := c.CombinedOutput()
	if err != nil {
		d.t.Fatalf("dragoman %q: %v\n%s", arguments, err, out)
	}
	return string(out)
}

// hookReceiver is a receiver that can be killed, also in the middle of a delivery.
type hookReceiver struct {
	*follow.Hook
	id      string
	address string
	server  *http.Server
}

// hook returns a receiver of all changes.
func (d *delivery) hook() *hookReceiver {
	d.t.Helper()
	d.hooks++
	r := &hookReceiver{Hook: follow.NewHook(), id: fmt.Sprint(d.hooks), address: "127.0.0.1:0"}
	l := r.listen(d.t)
	d.t.Cleanup(r.kill)
	_, secret, _ := strings.Cut(strings.TrimSpace(d.command("webhook", "add", "--url", "http://"+r.address, "--customer", "3393", "--from", "1")), "secret=")
	if err := r.SetSecret(secret); err != nil {
		d.t.Fatal(err)
	}
	r.serve(l)
	return r
}

// listen listens at the address that the receiver had before, if it had one. Deliveries wait until serve is called.
func (r *hookReceiver) listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	r.address = l.Addr().String()
	return l
}

func (r *hookReceiver) serve(l net.Listener) {
	r.server = &http.Server{Handler: r.Hook}
	go r.server.Serve(l)
}

func (r *hookReceiver) kill() { _ = r.server.Close() }

func (r *hookReceiver) delivered() int {
	changes, _, _, _ := r.Delivered()
	return changes
}

// write makes writers write until so many requests were answered.
func (d *delivery) write(writing *sync.WaitGroup, total int) (writers []*follow.Writer) {
	var acknowledged atomic.Int64
	for n := range 4 {
		w := follow.NewWriter(d.send, d.store, rand.New(rand.NewPCG(d.random.Uint64(), 0)), n)
		writers = append(writers, w)
		writing.Go(func() {
			for acknowledged.Load() < int64(total) && d.t.Context().Err() == nil {
				switch a, err := w.Write(d.t.Context()); {
				case err != nil, a.Status >= http.StatusInternalServerError:
					time.Sleep(20 * time.Millisecond) // it was killed
				case a.Status >= http.StatusMultipleChoices:
					d.t.Errorf("a writer is answered %d %s", a.Status, a.Body)
				default:
					acknowledged.Add(1)
				}
			}
		})
	}
	return writers
}

// follow lets two followers read what there is until ctx is done.
func (d *delivery) follow(ctx context.Context, feed *follow.Feed, hook *hookReceiver) {
	for ctx.Err() == nil {
		began := time.Now().UnixNano()
		// The server may be killed at any time.
		more, err := feed.Read(ctx, d.send)
		if err == nil && !more {
			d.read.Store(began)
		}
		if err == nil {
			err = hook.Read(ctx, d.send)
		}
		if err != nil || !more {
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// kill kills the receiver and then the server, once so many changes are delivered.
func (d *delivery) kill(hook *hookReceiver, least int) {
	d.t.Helper()
	within(d.t, 20*time.Minute, fmt.Sprintf("delivery of %d changes", least), func() error { return unlessAtLeast(hook.delivered(), least) })
	hook.kill()
	time.Sleep(time.Duration(d.random.IntN(200)) * time.Millisecond)
	hook.serve(hook.listen(d.t))
	d.command("webhook", "replay", hook.id) // rather than wait for the schedule
	within(d.t, time.Minute, "deliveries after the receiver is back", func() error { return unlessAtLeast(hook.delivered(), least+5) })
	time.Sleep(time.Duration(d.random.IntN(200)) * time.Millisecond)
	d.serving.Load().kill()
	d.command("erase", "--replay", d.ledger()) // what the kill has interrupted
	d.restart()
}

// awaitFollower waits until the follower of the feed has read what was written until a time.
func (d *delivery) awaitFollower(until time.Time) {
	d.t.Helper()
	within(d.t, time.Minute, "the follower of the feed", func() error {
		if _, err := d.store.NumberChanges(d.t.Context()); err != nil {
			return err
		}
		if d.read.Load() < until.UnixNano() {
			return errNotYet
		}
		return nil
	})
}

// eraseHistoryBefore erases values that were written before a time from the history, as a server with --history-retention does two years later.
func (d *delivery) eraseHistoryBefore(written time.Time) {
	d.t.Helper()
	age, err := store.ParseAge("2y")
	if err != nil {
		d.t.Fatal(err)
	}
	ahead := storetest.OpenWith(d.t, store.Config{URL: d.database, ErasureLedger: d.ledger(), HistoryRetention: age, Now: func() time.Time { return written.AddDate(2, 0, 0) }})
	// A process beside the server may wait too long for SQLite's lock. Then it tries again, as the server's own task does.
	for {
		_, err := ahead.EraseOldHistory(d.t.Context())
		if err == nil {
			return
		}
		if !errors.Is(err, store.ErrUnavailable) {
			d.t.Fatal(err)
		}
	}
}

// compareFeed reads the feed to its end, and compares the copy.
func (d *delivery) compareFeed(feed *follow.Feed, erased []string) {
	d.t.Helper()
	// The server numbers the last changes within a second.
	if _, err := d.store.NumberChanges(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	for more := true; more; {
		var err error
		if more, err = feed.Read(d.t.Context(), d.send); err != nil {
			d.t.Fatal(err)
		}
	}
	var export strings.Builder
	if _, err := (userfile.Export{Store: d.store, Format: userfile.NDJSON}).Run(d.t.Context(), &export); err != nil {
		d.t.Fatal(err)
	}
	if err := feed.Mend(strings.NewReader(export.String())); err != nil {
		d.t.Error(err)
	}
	wrong, err := feed.Compare(d.t.Context(), d.store)
	d.right("the feed", wrong, err)
	if leaked := follow.Leaked(erased, feed.Texts); feed.Erasures < len(erased) || len(leaked) > 0 {
		d.t.Errorf("of %d users %d are erased in a copy by the feed, which has %q", len(erased), feed.Erasures, leaked)
	}
}

// compareHook waits until all changes are delivered, and compares the copy.
func (d *delivery) compareHook(hook *hookReceiver, changes int, erased []string) {
	d.t.Helper()
	within(d.t, 20*time.Minute, "delivery of all changes", func() error { return unlessAtLeast(hook.delivered(), changes) })
	if err := hook.Read(d.t.Context(), d.send); err != nil {
		d.t.Fatal(err)
	}
	wrong, err := hook.Compare(d.t.Context(), d.store, d.send)
	d.right("webhooks", wrong, err)
	_, _, erasures, _ := hook.Delivered()
	if leaked := follow.Leaked(erased, hook.Texts); erasures < len(erased) || len(leaked) > 0 {
		d.t.Errorf("of %d users %d are erased in a copy by webhooks, which has %q", len(erased), erasures, leaked)
	}
}

// right fails the test if something is wrong with a copy.
func (d *delivery) right(by string, wrong []string, err error) {
	d.t.Helper()
	if err != nil {
		d.t.Error(err)
	}
	for _, text := range wrong {
		d.t.Errorf("a copy by %s: %s", by, text)
	}
}

func unlessAtLeast(n, least int) error {
	if n < least {
		return fmt.Errorf("%w: %d of %d", errNotYet, n, least)
	}
	return nil
}
