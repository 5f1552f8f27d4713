package webhook_test

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/webhook"
	"github.com/dragoman-id/dragoman/store"
)

func TestDeliveriesAreSignedAndThin(t *testing.T) {
	t.Parallel()
	each(t, func(f *fixture) {
		r := newReceiver(f.T)
		_, secret := f.add(3393, r.URL+"/hook?token=x", 1)
		f.rename(ada, "Canary")
		f.step(f.deliverer())
		got := wantNumbers(f.T, r, 1, 2, 4) // 3 is another customer's
		for i, want := range []string{webhook.TypeCreated, webhook.TypeCreated, webhook.TypeChanged} {
			d := got[i]
			if d.Type != want {
				f.Errorf("type %s, want %s", d.Type, want)
			}
			if err := verify(f.T, d, secret); err != nil {
				f.Error(err)
			}
			if id := d.Header.Get("webhook-id"); id != "chg_"+strconv.FormatInt(d.Data.Number, 10) {
				f.Errorf("id %s", id)
			}
			if at := d.Header.Get("webhook-timestamp"); at != strconv.FormatInt(f.clock.Now().Unix(), 10) {
				f.Errorf("timestamp %s", at)
			}
		}
		const want = `{"type":"user.changed","timestamp":"2026-01-02T03:04:05.000Z","data":{"number":4,"customer":3393,"customerUuid":"2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1",` +
			`"user":6860,"userUuid":"94520740-d63c-4e02-85ca-c4e138801e73","version":2,"dialect":"worth","operation":"updateCustomerUser","changed":["FirstName"]}}`
		if got := string(got[2].Body); got != want {
			f.Errorf("the body is\n%s\nwant\n%s", got, want)
		}
		if got[2].Header.Get("Content-Type") != "application/json" || got[2].Header.Get("Accept-Encoding") != "" {
			f.Errorf("%v", got[2].Header)
		}
	})
}

func TestEndpointOfAllCustomers(t *testing.T) {
	t.Parallel()
	each(t, func(f *fixture) {
		r := newReceiver(f.T)
		f.add(store.AllCustomers, r.URL, 2)
		f.step(f.deliverer())
		wantNumbers(f.T, r, 2, 3)
	})
}

func TestErasureHasATypeOfItsOwn(t *testing.T) {
	t.Parallel()
	each(t, func(f *fixture) {
		r := newReceiver(f.T)
		f.add(3393, r.URL, 4)
		ctx := store.WithOrigin(context.Background(), store.Origin{Subject: "op", Dialect: "cli", Operation: store.OperationErased})
		_, _, err := f.store.UpdateUser(ctx, ada, store.Change{Edit: func(u *store.User) error { u.FirstName = ""; return nil }})
		if err != nil {
			f.Fatal(err)
		}
		f.number()
		f.step(f.deliverer())
		if got := wantNumbers(f.T, r, 4); got[0].Type != webhook.TypeErased {
			f.Errorf("%s", got[0].Body)
		}
	})
}

// TestSchedule: a delivery that fails is tried again by the schedule, and no other is before; after its end the endpoint is disabled, and
// once it is enabled nothing was skipped.
func TestSchedule(t *testing.T) {
	t.Parallel()
	each(t, func(f *fixture) {
		r := newReceiver(f.T)
		r.answers(http.StatusInternalServerError)
		w, _ := f.add(3393, r.URL, 1)
		d := f.deliverer()
		f.step(d)
		wantNumbers(f.T, r, 1)
		for attempt := 1; attempt < len(webhook.Schedule); attempt++ {
			pause := webhook.Schedule[attempt]
			f.clock.add(pause - time.Millisecond)
			f.step(d)
			wantNumbers(f.T, r)
			if got := f.find(w.ID); got.Attempts != int64(attempt) || got.Answer != "500" || got.Position != 0 || got.DisabledAt != nil {
				f.Fatalf("after %d attempts: %+v", attempt, got)
			}
			// A tenth of the pause may be added.
			f.clock.add(pause/10 + time.Millisecond)
			f.step(d)
			f.step(d)
			wantNumbers(f.T, r, 1)
		}
		if got := f.find(w.ID); got.DisabledAt == nil || got.Position != 0 || got.Worker != "" || got.Attempts != 10 {
			f.Errorf("%+v", got)
		}
		f.clock.add(100 * time.Hour)
		f.step(d)
		wantNumbers(f.T, r)
		r.answers(http.StatusOK)
		f.edit(w.ID, store.ReplayWebhook(nil))
		f.step(d)
		wantNumbers(f.T, r, 1, 2)
		if got := f.find(w.ID); got.Attempts != 0 || got.Answer != "200" || got.DisabledAt != nil || got.DisabledFor != "" {
			f.Errorf("%+v", got)
		}
	})
}

func TestScheduleEnds(t *testing.T) {
	t.Parallel()
	total := time.Duration(0)
	for failed := int64(1); ; failed++ {
		p, again := webhook.Pause(failed, 0)
		if !again {
			if failed != 10 || total < 75*time.Hour {
				t.Errorf("it ends after %d attempts and %s", failed, total)
			}
			break
		}
		if least := webhook.Schedule[failed]; p < least || p > least+least/10 {
			t.Errorf("%s after %d attempts", p, failed)
		}
		total += p
	}
}

func TestLongestPause(t *testing.T) {
	t.Parallel()
	if p, again := webhook.Pause(1, 1000*time.Hour); !again || p < 24*time.Hour || p > 27*time.Hour {
		t.Errorf("a receiver may ask for %s", p)
	}
}

func TestReceiverAsksToWait(t *testing.T) {
	t.Parallel()
	each(t, func(f *fixture) {
		r := newReceiver(f.T)
		r.answer = func(w http.ResponseWriter, n int) {
			if n == 1 {
				w.Header().Set("Retry-After", "3600")
				w.WriteHeader(http.StatusTooManyRequests)
			}
		}
		f.add(3393, r.URL, 2)
		d := f.deliverer()
		f.step(d)
		f.clock.add(time.Hour - time.Second)
		f.step(d)
		wantNumbers(f.T, r, 2)
		r.answer = nil
		f.clock.add(7 * time.Minute)
		f.step(d)
		f.step(d)
		wantNumbers(f.T, r, 2)
	})
}

// TestAnswersThatAreNoSuccess: only a status from 200 to 299 is one, and 410 disables the endpoint at once.
func TestAnswersThatAreNoSuccess(t *testing.T) {
	t.Parallel()
	each(t, func(f *fixture) {
		elsewhere := newReceiver(f.T)
		for status, disabled := range map[int]bool{301: false, 307: false, 308: false, 400: false, 404: false, 410: true, 429: false, 500: false, 999: false} {
			r := newReceiver(f.T)
			r.answer = func(w http.ResponseWriter, _ int) {
				w.Header().Set("Location", elsewhere.URL)
				w.WriteHeader(status)
			}
			w, _ := f.add(3393, r.URL, 2)
			d := f.deliverer()
			f.step(d)
			if got := f.find(w.ID); got.DisabledAt != nil != disabled || got.Answer != strconv.Itoa(status) || got.Position != 1 {
				f.Errorf("%d: %+v", status, got)
			}
			for answer := range d.Stats().Attempts {
				if !slices.Contains(webhook.Answers, answer) {
					f.Errorf("%d is counted as %s", status, answer)
				}
			}
			wantNumbers(f.T, r, 2)
			d.Stop()
		}
		if got := elsewhere.take(); len(got) > 0 {
			f.Errorf("redirects were followed %d times", len(got))
		}
	})
}

func TestRotation(t *testing.T) {
	t.Parallel()
	each(t, func(f *fixture) {
		r := newReceiver(f.T)
		w, first := f.add(3393, r.URL, 1)
		d := f.deliverer()
		second := f.edit(w.ID, store.RotateWebhookSecret(time.Hour))
		f.step(d)
		for _, got := range wantNumbers(f.T, r, 1, 2) {
			for _, secret := range []string{first, second} {
				if err := verify(f.T, got, secret); err != nil {
					f.Error(err)
				}
			}
		}
		// Also where the endpoint is being delivered to, and where the old secret expires meanwhile.
		third := f.edit(w.ID, store.RotateWebhookSecret(0))
		f.rename(ada, "A")
		f.step(d)
		got := wantNumbers(f.T, r, 4)[0]
		if verify(f.T, got, third) != nil || verify(f.T, got, second) == nil || verify(f.T, got, first) != nil {
			f.Errorf("signatures %s", got.Header.Get("webhook-signature"))
		}
		f.clock.add(time.Hour)
		f.rename(ada, "B")
		f.step(d)
		f.step(d)
		got = wantNumbers(f.T, r, 5)[0]
		if verify(f.T, got, third) != nil || verify(f.T, got, first) == nil {
			f.Errorf("signatures %s", got.Header.Get("webhook-signature"))
		}
	})
}

func TestReplayAndDisable(t *testing.T) {
	t.Parallel()
	each(t, func(f *fixture) {
		r := newReceiver(f.T)
		w, _ := f.add(store.AllCustomers, r.URL, 1)
		d := f.deliverer()
		f.step(d)
		wantNumbers(f.T, r, 1, 2, 3)
		from := int64(2)
		f.edit(w.ID, store.ReplayWebhook(&from))
		f.step(d)
		wantNumbers(f.T, r, 2, 3)
		f.edit(w.ID, store.DisableWebhook())
		f.rename(ada, "A")
		f.step(d)
		wantNumbers(f.T, r)
		f.edit(w.ID, store.ReplayWebhook(nil))
		f.step(d)
		wantNumbers(f.T, r, 4)
		f.edit(w.ID, store.RemoveWebhook())
		f.rename(ada, "B")
		f.step(d)
		wantNumbers(f.T, r)
		if n := d.Stats().Endpoints; n != 0 {
			f.Errorf("%d endpoints are left", n)
		}
	})
}

// TestLeases: an endpoint is one worker's until that has not renewed its lease for long enough; then the other one continues, and what the
// first one does has no effect.
func TestLeases(t *testing.T) {
	t.Parallel()
	each(t, func(f *fixture) {
		r := newReceiver(f.T)
		w, _ := f.add(3393, r.URL, 1)
		first, second := f.deliverer(), f.deliverer()
		f.step(first)
		wantNumbers(f.T, r, 1, 2)
		for range 20 { // as long as it renews the lease
			f.step(second)
			f.clock.add(3 * time.Second)
			f.step(first)
		}
		f.step(second)
		f.rename(ada, "A")
		f.clock.add(webhook.LeaseDuration - time.Second)
		f.step(second)
		wantNumbers(f.T, r)
		f.clock.add(time.Second)
		f.step(second)
		wantNumbers(f.T, r, 4)
		holder := f.find(w.ID).Worker
		f.rename(ada, "B")
		f.step(first)
		if got := f.find(w.ID); got.Worker != holder || got.Position != 4 {
			f.Errorf("%+v", got)
		}
		wantNumbers(f.T, r)
		f.step(second)
		wantNumbers(f.T, r, 5)
		second.Stop()
		f.rename(ada, "C")
		f.step(first)
		wantNumbers(f.T, r, 6)
	})
}

// TestStaleLeaseDeliversNothing: a worker that was stopped for a while makes no delivery before it has renewed its lease.
func TestStaleLeaseDeliversNothing(t *testing.T) {
	t.Parallel()
	each(t, func(f *fixture) {
		r := newReceiver(f.T)
		f.add(3393, r.URL, 1)
		d := f.deliverer()
		f.step(d)
		wantNumbers(f.T, r, 1, 2)
		f.rename(ada, "A")
		f.clock.add(webhook.LeaseDuration)
		d.DeliverAll(f.Context())
		wantNumbers(f.T, r)
		f.step(d)
		wantNumbers(f.T, r, 4)
	})
}

// TestRun: endpoints receive changes as they come, and a shutdown gives them to others at once.
func TestRun(t *testing.T) {
	t.Parallel()
	each(t, func(f *fixture) {
		r := newReceiver(f.T)
		arrived := make(chan int64, 100)
		r.answer = func(http.ResponseWriter, int) {
			r.mu.Lock()
			defer r.mu.Unlock()
			arrived <- r.all[len(r.all)-1].Data.Number
		}
		w, _ := f.add(3393, r.URL, 1)
		for want := int64(1); want < 7; {
			ctx, cancel := context.WithCancel(context.Background())
			var running sync.WaitGroup
			d := webhook.New(webhook.Config{Store: f.store, AllowHTTP: true, AllowNetworks: loopback, Log: slog.New(slog.DiscardHandler)})
			running.Go(func() { d.Run(ctx) })
			for range 2 {
				if want > 2 {
					f.rename(ada, "Ada "+strconv.FormatInt(want, 10))
				}
				if got := <-arrived; got != want {
					f.Errorf("change %d, want %d", got, want)
				}
				if want++; want == 3 {
					want = 4 // another customer's
				}
			}
			cancel()
			running.Wait()
			if got := f.find(w.ID); got.Worker != "" || got.Position != want-1 && want != 4 {
				f.Errorf("%+v", got)
			}
		}
	})
}

// TestFailedReadKeepsThePlace: after the feed could not be read, nothing is delivered again.
func TestFailedReadKeepsThePlace(t *testing.T) {
	t.Parallel()
	each(t, func(f *fixture) {
		r := newReceiver(f.T)
		f.add(3393, r.URL, 1)
		d := f.deliverer()
		f.step(d)
		wantNumbers(f.T, r, 1, 2)
		ctx, cancel := context.WithCancel(f.Context())
		cancel()
		d.DeliverAll(ctx)
		f.rename(ada, "A")
		f.step(d)
		wantNumbers(f.T, r, 4)
	})
}

// TestReceiverThatMisbehaves: slow, endless, and with a header that is too long.
func TestReceiverThatMisbehaves(t *testing.T) {
	t.Parallel()
	each(t, func(f *fixture) {
		for name, c := range map[string]struct {
			answer   func(w http.ResponseWriter, n int)
			want     string
			position int64
		}{
			"silent": {func(http.ResponseWriter, int) { time.Sleep(300 * time.Millisecond) }, "timeout", 1},
			"endless": {func(w http.ResponseWriter, _ int) {
				for range 1 << 12 {
					if _, err := w.Write(make([]byte, 1<<12)); err != nil {
						return
					}
				}
				t.Error("16 MiB of a body were read")
			}, "200", 2},
			"long header": {func(w http.ResponseWriter, _ int) { w.Header().Set("X", strings.Repeat("x", 128<<10)) }, "unreachable", 1},
			"hangs up":    {func(http.ResponseWriter, int) { panic(http.ErrAbortHandler) }, "unreachable", 1},
		} {
			r := newReceiver(f.T)
			r.answer = c.answer
			w, _ := f.add(3393, r.URL, 2)
			d := f.deliverer()
			d.SetTimeout(100 * time.Millisecond)
			f.step(d)
			if got := f.find(w.ID); got.Answer != c.want || got.Position != c.position {
				f.Errorf("%s: %+v", name, got)
			}
			d.Stop()
			f.edit(w.ID, store.RemoveWebhook())
		}
	})
}
