package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"
)

// webhooksCommand measures how fast changes reach the endpoints of webhooks, and what deliveries cost writers.
type webhooksCommand struct {
	measureFlags
	Users       int `default:"10000" help:"The number of users in the directory."`
	Endpoints   int `default:"10" help:"The number of endpoints, each of which receives every change."`
	PerSecond   int `default:"100" help:"The changes per second whose lag is measured."`
	Connections int `default:"16" help:"The number of connections that write as fast as they can."`
}

// Validate rejects flags that no measurement is possible with.
func (c *webhooksCommand) Validate() error {
	switch {
	case c.Users < 1 || c.Endpoints < 1 || c.Endpoints > 50 || c.PerSecond < 1 || c.Connections < 1:
		return errors.New("--users, --endpoints, --per-second and --connections must be at least 1, and --endpoints at most 50")
	case c.Write:
		return errors.New("--write is for other measurements: this one only prints its results")
	}
	return c.measureFlags.Validate()
}

// maxLoss is the part of their throughput that writers may lose to deliveries.
const maxLoss = 0.1

// Run measures each engine in turn.
func (c *webhooksCommand) Run(ctx context.Context) error {
	b, err := newBench(ctx, &c.measureFlags)
	if err != nil {
		return err
	}
	defer b.close()
	postgres, err := b.newSchema(ctx)
	if err != nil {
		return err
	}
	t := newTable(os.Stdout, "engine", fmt.Sprintf("%d changes/s: lag p50", c.PerSecond), "p99", "lost or out of order",
		"full load: writes/s", "beside deliveries", "deliveries/s", "lag at the end")
	var targets []target
	for _, database := range []string{postgres, "sqlite:" + b.file("dragoman.db")} {
		if !b.wants(subject{engine: engineOf(database), name: "webhooks"}) {
			continue
		}
		m, err := c.measure(ctx, b, database)
		if err != nil {
			return err
		}
		name := engineName(engineOf(database))
		t.row(name, short(m.p50), short(m.p99), strconv.Itoa(m.faults), number(m.alone), number(m.beside), number(m.deliveries), short(m.lag))
		targets = append(targets,
			under(name+": loss of writes to deliveries, median of rounds", maxLoss, m.loss, func(n float64) string { return fmt.Sprintf("%.3f", n) }),
			under(fmt.Sprintf("%s: p99 of the lag at %d changes/s", name, c.PerSecond), float64(2*time.Second), float64(m.p99), timeShown),
			target{name + ": deliveries lost or out of order", "0", strconv.Itoa(m.faults), m.faults == 0})
	}
	if err := t.flush(); err != nil {
		return err
	}
	fmt.Println()
	return writeTargets(os.Stdout, targets)
}

// delivered is what was measured on one engine. Throughputs are medians of the rounds.
type delivered struct {
	p50, p99                        time.Duration
	faults                          int
	alone, beside, deliveries, loss float64
	lag                             time.Duration // of the last delivery beside the load, the median
}

func (c *webhooksCommand) measure(ctx context.Context, b *bench, database string) (m delivered, err error) {
	if err := b.importUsers(ctx, database, c.Users, c.Users+1); err != nil {
		return m, err
	}
	server, err := b.startProgram(ctx, database, "--webhook-allow-http", "--webhook-allow-network", "127.0.0.0/8")
	if err != nil {
		return m, err
	}
	r, err := listenForDeliveries()
	if err != nil {
		return m, err
	}
	b.stop = append(b.stop, r.stop)
	h := hooks{caller: caller{"http://" + server.address, b.token, "application/json"}, receiver: r, users: c.Users}
	loaded := subject{engine: engineOf(database), name: "PATCH", method: "PATCH", path: worthUsers + "/{uuid}", body: patchBody, server: server, users: c.Users}
	var lags, last []time.Duration
	var alone, beside, deliveries, loss []float64
	for round := range c.Rounds {
		// What a machine does besides changes over time, so that the two loads of a round are made one right after the other, and in turn
		// one or the other is the first.
		var on, off load
		var perSecond float64
		loadBeside := func() error {
			if err := h.add(ctx, c.Endpoints); err != nil {
				return err
			}
			before := r.seen()
			if on, err = b.wrk(ctx, loaded, c.Connections, c.Duration); err != nil {
				return err
			}
			perSecond = float64(r.seen()-before) / c.Duration.Seconds()
			last = append(last, r.lastLag())
			return h.remove(ctx)
		}
		loadAlone := func() (err error) {
			off, err = b.wrk(ctx, loaded, c.Connections, c.Duration)
			return err
		}
		steps := []func() error{loadAlone, loadBeside}
		if round%2 == 1 {
			slices.Reverse(steps)
		}
		for _, step := range steps {
			if err := step(); err != nil {
				return m, err
			}
		}
		alone, beside, deliveries = append(alone, off.perSecond), append(beside, on.perSecond), append(deliveries, perSecond)
		loss = append(loss, 1-on.perSecond/off.perSecond)

		if err := h.add(ctx, c.Endpoints); err != nil {
			return m, err
		}
		r.reset()
		written, err := h.change(ctx, c.PerSecond, c.Duration)
		if err != nil {
			return m, err
		}
		_ = r.await(ctx, written*c.Endpoints) // what is missing is counted below
		some, faults := r.result()
		lags, m.faults = append(lags, some...), m.faults+faults+max(0, written*c.Endpoints-len(some))
		if err := h.remove(ctx); err != nil {
			return m, err
		}
	}
	m.p50, m.p99 = percentiles(lags)
	m.alone, m.beside, m.deliveries, m.loss = median(alone), median(beside), median(deliveries), median(loss)
	slices.Sort(last)
	m.lag = last[len(last)/2]
	return m, nil
}

// hooks adds and removes endpoints, and changes users.
type hooks struct {
	caller   caller
	receiver *receiver
	users    int
	ids      []int64
}

// send is that of the caller, with an error for what is no success.
func (h *hooks) send(ctx context.Context, client *http.Client, method, path, body string, into any) error {
	status, content, err := h.caller.send(ctx, client, method, path, body, into)
	if err == nil && status >= http.StatusMultipleChoices {
		err = fmt.Errorf("%s %s: %d: %s", method, path, status, content)
	}
	return err
}

// patch changes one user.
func (h *hooks) patch(ctx context.Context, client *http.Client) error {
	return h.send(ctx, client, http.MethodPatch, worthUsers+"/"+userUUID(1+rand.IntN(h.users)), fmt.Sprintf(`{"first_name":"Ada %d"}`, rand.Int()), nil) // #nosec G404 -- any user will do
}

// add adds endpoints, and waits until the server delivers to them.
func (h *hooks) add(ctx context.Context, endpoints int) error {
	h.receiver.reset()
	for n := range endpoints {
		var added struct{ Webhook struct{ ID int64 } }
		body := fmt.Sprintf(`{"url":"http://%s/%d","customer":1}`, h.receiver.address, n)
		if err := h.send(ctx, http.DefaultClient, http.MethodPost, "/directory/v1/webhooks", body, &added); err != nil {
			return err
		}
		h.ids = append(h.ids, added.Webhook.ID)
	}
	if err := h.patch(ctx, http.DefaultClient); err != nil {
		return err
	}
	for began := time.Now(); ; {
		// Also what had no number yet when the endpoints were added is delivered to them.
		var page struct {
			Webhooks []struct {
				Behind      int
				DeliveredAt *string
			}
		}
		if err := h.send(ctx, http.DefaultClient, http.MethodGet, "/directory/v1/webhooks", "", &page); err != nil {
			return err
		}
		upToDate := 0
		for _, w := range page.Webhooks {
			if w.Behind == 0 && w.DeliveredAt != nil {
				upToDate++
			}
		}
		switch {
		case upToDate == endpoints:
			return nil
		case time.Since(began) > answerTimeout:
			return fmt.Errorf("%d of %d endpoints are up to date after %s", upToDate, endpoints, answerTimeout)
		}
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// remove removes the endpoints, and waits until nothing is delivered any more.
func (h *hooks) remove(ctx context.Context) error {
	for _, id := range h.ids {
		if err := h.send(ctx, http.DefaultClient, http.MethodDelete, fmt.Sprintf("/directory/v1/webhooks/%d", id), "", nil); err != nil {
			return err
		}
	}
	h.ids = nil
	for before := -1; before != h.receiver.seen(); {
		before = h.receiver.seen()
		if err := wait(ctx, 2500*time.Millisecond); err != nil { // a server looks every two seconds
			return err
		}
	}
	return nil
}

// change changes users for a while, so many a second, and returns how many.
func (h *hooks) change(ctx context.Context, perSecond int, d time.Duration) (written int, err error) {
	const lanes = 10
	var (
		mutex  sync.Mutex
		client = &http.Client{Timeout: answerTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: lanes}}
	)
	defer client.CloseIdleConnections()
	paced(ctx, lanes, perSecond, d, func(int, time.Time) {
		sent := h.patch(ctx, client)
		mutex.Lock()
		defer mutex.Unlock()
		if sent == nil {
			written++
		}
		err = errors.Join(err, sent)
	})
	return written, err
}

// receiver receives deliveries, with as little work as it can: the machine is that of the server.
type receiver struct {
	address  string
	listener net.Listener

	mu      sync.Mutex
	lags    []time.Duration
	highest map[string]int64 // by path
	faults  int
	total   int // since the start
}

func listenForDeliveries() (*receiver, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for deliveries: %w", err)
	}
	r := &receiver{address: l.Addr().String(), listener: l, highest: map[string]int64{}}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.serve(c)
		}
	}()
	return r, nil
}

func (r *receiver) stop() { _ = r.listener.Close() }

func (r *receiver) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	var body []byte
	for in := bufio.NewReader(c); ; {
		request, err := http.ReadRequest(in)
		if err != nil || request.ContentLength < 0 || request.ContentLength > 64<<10 {
			return
		}
		body = slices.Grow(body[:0], int(request.ContentLength))[:request.ContentLength]
		if _, err := io.ReadFull(in, body); err != nil {
			return
		}
		r.receive(request.URL.Path, body, time.Now())
		if _, err := io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n"); err != nil {
			return
		}
	}
}

// receive notes a delivery to an endpoint. Changes must come one after another, without a gap.
func (r *receiver) receive(endpoint string, body []byte, now time.Time) {
	at, timeErr := time.Parse(time.RFC3339, textBetween(body, `"timestamp":"`, `"`))
	number, numberErr := strconv.ParseInt(textBetween(body, `"number":`, `,`), 10, 64)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total++
	before, known := r.highest[endpoint]
	if timeErr != nil || numberErr != nil || known && number != before+1 {
		r.faults++
	}
	r.highest[endpoint] = number
	r.lags = append(r.lags, now.Sub(at))
}

func textBetween(body []byte, before, after string) string {
	_, rest, _ := bytes.Cut(body, []byte(before))
	text, _, _ := bytes.Cut(rest, []byte(after))
	return string(text)
}

// reset forgets what was received.
func (r *receiver) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lags, r.highest, r.faults = nil, map[string]int64{}, 0
}

// result returns the lag of each delivery since reset, and how many came too early or too late.
func (r *receiver) result() (lags []time.Duration, faults int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lags), r.faults
}

// seen returns how many deliveries there were.
func (r *receiver) seen() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.total
}

// lastLag returns the lag of the last delivery.
func (r *receiver) lastLag() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.lags) == 0 {
		return 0
	}
	return r.lags[len(r.lags)-1]
}

// await waits until there were so many deliveries since reset.
func (r *receiver) await(ctx context.Context, deliveries int) error {
	for began := time.Now(); ; {
		lags, _ := r.result()
		switch {
		case len(lags) >= deliveries:
			return nil
		case time.Since(began) > answerTimeout:
			return fmt.Errorf("%d of %d deliveries came within %s", len(lags), deliveries, answerTimeout)
		}
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}
