package webhook_test

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/dragoman-id/dragoman/server/webhook"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// delivery is what a receiver was sent.
type delivery struct {
	Header http.Header
	Body   []byte
	Type   string
	Data   struct {
		Number, Customer, User, Version            int64
		CustomerUUID, UserUUID, Dialect, Operation string
		Changed                                    []string
	}
	Timestamp string
}

// receiver is an endpoint's other end.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	all    []delivery
	answer func(w http.ResponseWriter, n int) // nil: 204; n counts attempts from 1
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			t.Error(err)
		}
		d := delivery{Header: request.Header, Body: body}
		if err := json.Unmarshal(body, &d); err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		r.all = append(r.all, d)
		n, answer := len(r.all), r.answer
		r.mu.Unlock()
		if answer != nil {
			answer(w, n)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(r.Close)
	return r
}

// answers makes the receiver answer with a status.
func (r *receiver) answers(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = func(w http.ResponseWriter, _ int) { w.WriteHeader(status) }
}

// take returns what was sent since the last call.
func (r *receiver) take() []delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() { r.all = nil }()
	return r.all
}

func numbers(all []delivery) (numbers []int64) {
	for _, d := range all {
		numbers = append(numbers, d.Data.Number)
	}
	return numbers
}

// wantNumbers fails the test unless the changes with the given numbers were sent, in this order.
func wantNumbers(t *testing.T, r *receiver, want ...int64) []delivery {
	t.Helper()
	got := r.take()
	if !slices.Equal(numbers(got), want) {
		t.Errorf("the changes %v were delivered, want %v", numbers(got), want)
	}
	return got
}

// clock is a clock that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// loopback are the networks of the receivers.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// fixture is a directory with a deliverer.
type fixture struct {
	*testing.T
	url   string
	store *store.Store
	clock *clock
}

// each runs f on both engines, with the sandbox, whose three users are changes 1 to 3.
func each(t *testing.T, f func(f *fixture)) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		c := &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
		s, err := store.Open(t.Context(), store.Config{URL: url, SecretKey: storetest.Key, Now: c.Now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		storetest.Directory(t, s)
		fixture := &fixture{t, url, s, c}
		fixture.number()
		f(fixture)
	})
}

// number gives all changes their numbers.
func (f *fixture) number() {
	f.Helper()
	if _, err := f.store.NumberChanges(context.Background()); err != nil {
		f.Fatal(err)
	}
}

var ada = store.UserByID(3393, 6860)

// rename changes a user's first name, which is the next change of the feed.
func (f *fixture) rename(key store.UserKey, name string) {
	f.Helper()
	ctx := store.WithOrigin(context.Background(), store.Origin{Subject: "grace", Dialect: "worth", Operation: "updateCustomerUser", RequestID: "r"})
	_, _, err := f.store.UpdateUser(ctx, key, store.Change{Edit: func(u *store.User) error { u.FirstName = name; return nil }})
	if err != nil {
		f.Fatal(err)
	}
	f.number()
}

// add adds an endpoint that receives changes from a number on.
func (f *fixture) add(customer int64, url string, from int64) (store.Webhook, string) {
	f.Helper()
	w, secret, err := f.store.AddWebhook(context.Background(), store.NewWebhook{CustomerID: customer, URL: url, From: &from, AllowHTTP: true})
	if err != nil {
		f.Fatal(err)
	}
	return w, secret
}

func (f *fixture) deliverer(change ...func(*webhook.Config)) *webhook.Deliverer {
	c := webhook.Config{Store: f.store, AllowHTTP: true, AllowNetworks: loopback, Now: f.clock.Now, Log: slog.New(slog.DiscardHandler)}
	for _, change := range change {
		change(&c)
	}
	return webhook.New(c)
}

func (f *fixture) step(d *webhook.Deliverer) {
	f.Helper()
	if err := d.Step(context.Background()); err != nil {
		f.Fatal(err)
	}
}

// find returns an endpoint as it is stored.
func (f *fixture) find(id int64) store.Webhook {
	f.Helper()
	w, err := f.store.FindWebhook(context.Background(), store.FeedScope{All: true}, id)
	if err != nil {
		f.Fatal(err)
	}
	return w
}

func (f *fixture) edit(id int64, edit store.WebhookEdit) (secret string) {
	f.Helper()
	_, secret, err := f.store.EditWebhook(context.Background(), store.FeedScope{All: true}, id, edit)
	if err != nil {
		f.Fatal(err)
	}
	return secret
}

// verify verifies a delivery with the library of Standard Webhooks.
func verify(t *testing.T, d delivery, secret string) error {
	t.Helper()
	w, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	return w.VerifyIgnoringTimestamp(d.Body, d.Header)
}

// discard is the log of servers whose clients go away.
var discard = log.New(io.Discard, "", 0)

// addressed dials one address, whatever is asked.
type addressed struct{ address string }

func (a *addressed) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "udp", a.address)
}
