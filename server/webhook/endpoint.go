package webhook

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/dragoman-id/dragoman/store"
)

// endpoint is an endpoint that this worker has.
type endpoint struct {
	id, customer, revision int64
	secrets                []store.WebhookSecret

	end    context.CancelFunc
	ended  chan struct{} // closed once nothing is delivered any more; nil: nothing was yet
	woken  chan struct{}
	saving sync.Mutex // one saves at a time

	// What was read of the feed, which only the goroutine that delivers uses.
	page []store.WebhookChange
	read int64 // the number up to which it was read

	mu      sync.Mutex
	w       store.Webhook
	unsaved bool
	renewed time.Time // when the lease was renewed last, before that was known
	gone    bool      // it is not this worker's any more
	target  int64     // the number up to which there are changes
	oldest  time.Time // the time of the first undelivered change; the zero time if none is known
}

func newEndpoint(w store.Webhook, secrets []store.WebhookSecret, claimed time.Time) *endpoint {
	return &endpoint{id: w.ID, customer: w.CustomerID, revision: w.Revision, secrets: secrets, w: w, renewed: claimed, read: w.Position, woken: make(chan struct{}, 1)}
}

func (e *endpoint) state() store.Webhook {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.w
}

// due reports whether the endpoint has to be saved.
func (e *endpoint) due(now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	age := now.Sub(e.renewed)
	return !e.gone && (age >= renewPeriod || e.unsaved && age >= savePeriod)
}

// saved notes that a state was saved, which also renewed the lease, at a time before that.
func (e *endpoint) saved(state store.Webhook, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.renewed = at
	e.unsaved = e.unsaved && (state.Position != e.w.Position || state.AttemptedAt != e.w.AttemptedAt)
	if state.DisabledAt != nil {
		e.gone = true
	}
}

func (e *endpoint) lost() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.gone = true
}

// wake tells the goroutine that delivers that there are changes up to a number.
func (e *endpoint) wake(target int64) {
	e.mu.Lock()
	e.target = max(e.target, target)
	e.mu.Unlock()
	select {
	case e.woken <- struct{}{}:
	default:
	}
}

// next makes the next delivery if one is due, and returns how long to wait before the one after it. An attempt that has begun is not
// canceled with ctx.
func (d *Deliverer) next(ctx context.Context, e *endpoint) (wait time.Duration) {
	if wait := e.mustWait(d.c.Now()); wait > 0 {
		return wait
	}
	if len(e.page) == 0 {
		if err := d.readPage(ctx, e); err != nil {
			return faultPause // the loop over all endpoints reports it
		}
		if wait := e.found(); wait > 0 {
			return wait
		}
	}
	if d.pace.Wait(ctx) != nil {
		return pollPeriod // ctx is done
	}
	if wait := e.mustWait(d.c.Now()); wait > 0 {
		return wait // the lease may have become too old meanwhile
	}
	change := &e.page[0]
	id, body, err := encode(change)
	if err != nil {
		d.c.Log.Error("a change cannot be delivered", "webhook", e.id, "error", err)
		return idlePause
	}
	state := e.state()
	began := d.c.Now()
	o := d.send(context.WithoutCancel(ctx), &state, valid(e.secrets, began), id, body)
	d.stats.count(o, began, d.c.Now())
	if o.ok() {
		e.page = e.page[1:]
		e.delivered(change.Number, o, e.page, began)
		if state.Attempts > 0 {
			d.c.Log.Info("a webhook accepts deliveries again", "webhook", e.id)
		}
		return 0
	}
	return d.failed(ctx, e, o, began)
}

// readPage reads the next changes of the feed.
func (d *Deliverer) readPage(ctx context.Context, e *endpoint) error {
	ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	page, read, err := d.c.Store.WebhookChanges(ctx, e.customer, e.read, pageSize)
	if err == nil {
		e.page, e.read = page, read
	}
	return err
}

// valid returns the secrets that have not expired.
func valid(secrets []store.WebhookSecret, now time.Time) []store.WebhookSecret {
	all := make([]store.WebhookSecret, 0, len(secrets))
	for _, s := range secrets {
		if s.ExpiresAt == nil || s.ExpiresAt.After(now) {
			all = append(all, s)
		}
	}
	return all
}

// mustWait returns how long no delivery may begin, 0 if one may.
func (e *endpoint) mustWait(now time.Time) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.gone {
		return idlePause
	}
	if now.Sub(e.renewed) > leaseDuration-leaseMargin {
		return pollPeriod
	}
	if e.w.NextAt != nil && now.Before(*e.w.NextAt) {
		return e.w.NextAt.Sub(now)
	}
	return 0
}

// found notes what was read of the feed, and returns how long to wait if that is nothing.
func (e *endpoint) found() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.page) > 0 {
		e.oldest = e.page[0].At
		return 0
	}
	e.oldest = time.Time{}
	if e.read < e.target {
		return pollPeriod // they were read from a database that is behind
	}
	return idlePause
}

// delivered notes that a change was delivered.
func (e *endpoint) delivered(number int64, o outcome, left []store.WebhookChange, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	at = at.UTC()
	e.w.Position, e.w.Attempts, e.w.NextAt, e.w.Answer = number, 0, nil, o.answer
	e.w.AttemptedAt, e.w.DeliveredAt = &at, &at
	e.unsaved = true
	e.oldest = time.Time{}
	if len(left) > 0 {
		e.oldest = left[0].At
	}
}

// failed notes that an attempt has failed, saves that, and returns how long to wait.
func (d *Deliverer) failed(ctx context.Context, e *endpoint, o outcome, at time.Time) time.Duration {
	now := d.c.Now()
	e.mu.Lock()
	e.w.Attempts++
	wait, again := pause(e.w.Attempts, o.retryAfter)
	at, next := at.UTC(), now.Add(wait).UTC()
	e.w.AttemptedAt, e.w.NextAt, e.w.Answer = &at, &next, o.answer
	switch {
	case o.status == http.StatusGone:
		e.w.Disable(now, "the receiver answered 410")
	case !again:
		e.w.Disable(now, "the last attempt of the schedule failed")
	}
	e.unsaved = true
	w := e.w
	e.mu.Unlock()
	log := d.c.Log.With("webhook", e.id, "host", host(w.URL), "answer", o.answer)
	switch {
	case w.DisabledAt != nil:
		d.stats.countDisabled()
		log.Error("a webhook is disabled: see dragoman webhook list, and enable it with dragoman webhook replay", "reason", w.DisabledFor, "undelivered_from", w.Position+1)
	case w.Attempts == 1:
		log.Warn("a delivery to a webhook failed, and is tried again", "in", wait.Round(time.Second).String())
	default:
		log.Debug("a delivery to a webhook failed, and is tried again", "attempts", w.Attempts, "in", wait.Round(time.Second).String())
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), databaseTimeout)
	defer cancel()
	if err := d.saveOne(ctx, e, now); err != nil {
		return faultPause // the loop over all endpoints saves it later
	}
	return max(wait, time.Millisecond)
}

// host returns the host of a URL, for the log. The rest of it may be secret.
func host(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Host
}
