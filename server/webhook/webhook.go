// Package webhook delivers changes to endpoints, by Standard Webhooks 1.0. The change feed is the outbox: an endpoint is a place in it, so a
// request that changes a user does nothing for its deliveries.
//
// Each endpoint has one delivery under way at most, so it receives changes in the order of their numbers, and of each at least once. A
// delivery that fails is tried again by the schedule of the standard; meanwhile the endpoint waits, and after the schedule's end it is
// disabled, so that nothing is skipped.
//
// Any number of servers may have a [Deliverer]. Each endpoint is delivered to by the one that holds its lease. A lease is not compared
// with a clock: its holder increases a counter every few seconds, and whoever has watched the counter stand still for long enough may
// claim the endpoint. The holder of a lease that it could not renew makes no deliveries.
//
// The package knows neither the HTTP server nor any dialect.
package webhook

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/dragoman-id/dragoman/store"
)

// Config configures a Deliverer.
type Config struct {
	Store *store.Store
	// AllowHTTP permits endpoints without TLS.
	AllowHTTP bool
	// AllowNetworks are networks whose addresses may be dialled although they are not public.
	AllowNetworks []netip.Prefix
	// Proxy is where all deliveries are sent through; nil: none. It has to judge the addresses itself.
	Proxy *url.URL
	// TLS configures the connections to endpoints; nil: the defaults of crypto/tls.
	TLS *tls.Config
	// Resolver resolves host names; nil: the system's resolver.
	Resolver *net.Resolver
	Log      *slog.Logger     // nil: slog.Default()
	Now      func() time.Time // nil: time.Now
}

const (
	// scanPeriod is how often all endpoints are read.
	scanPeriod = 2 * time.Second
	// savePeriod is how often the places of endpoints are saved. After a crash the deliveries since then are repeated.
	savePeriod = time.Second
	// renewPeriod is how often a lease is renewed.
	renewPeriod = 3 * time.Second
	// leaseDuration is how long a lease must not have been renewed before another worker claims its endpoint.
	leaseDuration = 24 * time.Second
	// leaseMargin is what must be left of that for a delivery to begin, so that it ends before another worker begins one.
	leaseMargin = deliveryTimeout + drainTimeout + time.Second
	// pollPeriod is how often new changes are looked for.
	pollPeriod = 200 * time.Millisecond
	// pageSize is how many changes are read at once for an endpoint.
	pageSize = 100
	// databaseTimeout is when waiting for a database that does not answer is given up, to be tried again.
	databaseTimeout = 10 * time.Second
	// faultPause is how long to wait after an error of the database.
	faultPause = 2 * time.Second
	// idlePause is how long an endpoint without undelivered changes waits, unless it is woken.
	idlePause = time.Minute
)

// Deliverer delivers changes to endpoints. [Deliverer.Run] makes it work.
type Deliverer struct {
	c      Config
	client *http.Client
	name   string // of this worker
	// timeout is deliveryTimeout, but in tests.
	timeout time.Duration
	pace    *pace

	mu        sync.Mutex
	endpoints map[int64]*endpoint // those that this worker has
	foreign   map[int64]lease     // those of other workers
	fed       int64               // the number up to which endpoints were woken; negative: unknown
	stats     *stats
}

// lease is a lease of another worker, as it was seen first.
type lease struct {
	worker string
	beat   int64
	since  time.Time
}

// New returns a Deliverer, which does nothing before Run.
func New(c Config) *Deliverer {
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Log = cmp.Or(c.Log, slog.Default())
	return &Deliverer{
		c: c, client: newClient(c), name: rand.Text(), timeout: deliveryTimeout, pace: newPace(), endpoints: map[int64]*endpoint{}, foreign: map[int64]lease{}, fed: -1,
		stats: newStats(),
	}
}

// Run delivers until ctx is done. Then deliveries under way may end, places are saved and leases given up, which takes 20 seconds at most.
func (d *Deliverer) Run(ctx context.Context) {
	defer d.client.CloseIdleConnections()
	failing := false
	report := func(err error) {
		if ctx.Err() != nil || failing == (err != nil) {
			return
		}
		if failing = err != nil; failing {
			d.c.Log.Warn("webhooks are delayed: their state can be neither read nor saved", "error", err)
			return
		}
		d.c.Log.Info("webhooks are delivered again")
	}
	var scanned time.Time
	tick := time.NewTicker(pollPeriod)
	defer tick.Stop()
	for ctx.Err() == nil {
		d.pace.adapt(queued(), time.Now())
		err := d.round(ctx, &scanned)
		d.startAll(ctx)
		report(err)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	d.stop(context.WithoutCancel(ctx))
}

// round does what is due for all endpoints. scanned is when they were read last.
func (d *Deliverer) round(ctx context.Context, scanned *time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	if err := d.save(ctx); err != nil {
		return err
	}
	if now := d.c.Now(); now.Sub(*scanned) >= scanPeriod {
		if err := d.scan(ctx); err != nil {
			return err
		}
		*scanned = now
	}
	return d.wake(ctx)
}

// startAll lets each endpoint that this worker has be delivered to by a goroutine of its own.
func (d *Deliverer) startAll(ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.endpoints {
		if e.ended != nil {
			continue
		}
		var running context.Context
		running, e.end = context.WithCancel(ctx)
		e.ended = make(chan struct{})
		go func() {
			defer close(e.ended)
			d.run(running, e)
		}()
	}
}

// run delivers to an endpoint until ctx is done.
func (d *Deliverer) run(ctx context.Context, e *endpoint) {
	for ctx.Err() == nil {
		wait := d.next(ctx, e)
		if wait == 0 {
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-e.woken:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// stop waits until all deliveries have ended, and gives up all leases.
func (d *Deliverer) stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, deliveryTimeout+drainTimeout+3*time.Second)
	defer cancel()
	for _, e := range d.all() {
		if e.ended != nil {
			<-e.ended
		}
		if _, err := d.c.Store.SaveWebhook(ctx, e.state(), true); err != nil {
			d.c.Log.Warn("the place of a webhook could not be saved: its last deliveries will be repeated", "webhook", e.id, "error", err)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.endpoints)
}

// all returns the endpoints that this worker has.
func (d *Deliverer) all() []*endpoint {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]*endpoint, 0, len(d.endpoints))
	for _, e := range d.endpoints {
		all = append(all, e)
	}
	return all
}

// scan reads all endpoints, claims those that no worker has, and gives up those that were changed or that another worker has.
func (d *Deliverer) scan(ctx context.Context) error {
	now := d.c.Now()
	enabled, err := d.c.Store.EnabledWebhooks(ctx)
	if err != nil {
		return err
	}
	seen := map[int64]bool{}
	for i := range enabled {
		w := &enabled[i]
		seen[w.ID] = true
		if err := d.consider(ctx, w, now); err != nil {
			return err
		}
	}
	for _, e := range d.all() {
		if !seen[e.id] {
			d.giveUp(e)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for id := range d.foreign {
		if !seen[id] {
			delete(d.foreign, id)
		}
	}
	return nil
}

// consider claims an endpoint if no worker has it.
func (d *Deliverer) consider(ctx context.Context, w *store.Webhook, now time.Time) error {
	d.mu.Lock()
	e, mine := d.endpoints[w.ID]
	d.mu.Unlock()
	if mine {
		if w.Worker == d.name && w.Revision == e.revision {
			return nil
		}
		if !d.giveUp(e) {
			return nil // its last delivery is under way
		}
	}
	if w.Worker != "" && w.Worker != d.name && !d.abandoned(w, now) {
		return nil
	}
	secrets, err := d.c.Store.WebhookSecrets(ctx, w.ID)
	if err != nil {
		d.c.Log.Error("a webhook's secrets cannot be read", "webhook", w.ID, "error", err)
		return nil // others may be in order
	}
	claimed, err := d.c.Store.ClaimWebhook(ctx, w, d.name)
	if err != nil || !claimed {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.foreign, w.ID)
	d.endpoints[w.ID] = newEndpoint(*w, secrets, now)
	return nil
}

// abandoned reports whether the worker of an endpoint has not renewed its lease for long enough.
func (d *Deliverer) abandoned(w *store.Webhook, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	l, ok := d.foreign[w.ID]
	if !ok || l.worker != w.Worker || l.beat != w.Beat {
		d.foreign[w.ID] = lease{w.Worker, w.Beat, now}
		return false
	}
	return now.Sub(l.since) >= leaseDuration
}

// giveUp ends the deliveries to an endpoint, and reports whether they have ended.
func (d *Deliverer) giveUp(e *endpoint) bool {
	if e.ended != nil {
		e.end()
		select {
		case <-e.ended:
		default:
			return false
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.endpoints, e.id)
	return true
}

// save saves the places of endpoints that have moved, and renews leases.
func (d *Deliverer) save(ctx context.Context) error {
	now := d.c.Now()
	var saving sync.WaitGroup
	errs := make(chan error, 1)
	for _, e := range d.all() {
		if !e.due(now) {
			continue
		}
		// Together they are one transaction.
		saving.Go(func() {
			if err := d.saveOne(ctx, e, now); err != nil {
				select {
				case errs <- err:
				default:
				}
			}
		})
	}
	saving.Wait()
	close(errs)
	return <-errs
}

// saveOne saves the state of an endpoint, and gives the endpoint up if it is not this worker's any more.
func (d *Deliverer) saveOne(ctx context.Context, e *endpoint, now time.Time) error {
	e.saving.Lock()
	defer e.saving.Unlock()
	state := e.state()
	saved, err := d.c.Store.SaveWebhook(ctx, state, false)
	if err != nil {
		return err
	}
	if !saved {
		e.lost()
		return nil
	}
	e.saved(state, now)
	return nil
}

// wake wakes the endpoints of customers with new changes.
func (d *Deliverer) wake(ctx context.Context) error {
	all := d.all()
	if len(all) == 0 {
		d.fed = -1
		return nil
	}
	for {
		customers, next, err := d.c.Store.ChangedCustomers(ctx, d.fed)
		if err != nil {
			return err
		}
		changed := map[int64]bool{}
		for _, customer := range customers {
			changed[customer] = true
		}
		for _, e := range all {
			// Endpoints read the feed when they are claimed, which may be before its end is known here.
			if d.fed < 0 || changed[e.customer] || e.customer == store.AllCustomers && len(customers) > 0 {
				e.wake(next)
			}
		}
		done := d.fed < 0 || next == d.fed
		d.fed = next
		if done {
			return nil
		}
	}
}
