package server_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/server/servertest/follow"
	"github.com/dragoman-id/dragoman/server/webhook"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
	"github.com/dragoman-id/dragoman/store/userfile"
)

// TestFollowersEqualDirectory: whoever keeps a copy of the users by the feed alone, or by webhooks alone, has what the directory has, in
// the end, also if it begins late. TestDeliver of server/faulttest tests the same with more changes and with kills.
func TestFollowersEqualDirectory(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		f := newFollowed(t, url)
		feed, hook := follow.NewFeed(), f.hook()
		var writers []*follow.Writer
		for n := range 2 {
			writers = append(writers, follow.NewWriter(f.send, f.Store, rand.New(rand.NewPCG(rand.Uint64(), 0)), n))
		}
		for range 2 {
			f.write(writers, 80)
			f.read(feed)
			f.await(hook)
			f.eraseOldHistory()
		}
		f.write(writers, 20)
		f.read(feed)
		f.await(hook)
		lateFeed, lateHook := follow.NewFeed(), f.hook()
		f.read(lateFeed)
		f.await(lateHook)

		var export strings.Builder
		if _, err := (userfile.Export{Store: f.Store, Format: userfile.NDJSON}).Run(t.Context(), &export); err != nil {
			t.Fatal(err)
		}
		var erased []string
		counts := map[string]int{}
		for _, w := range writers {
			erased = append(erased, w.Erased...)
			for did, n := range w.Counts {
				counts[did] += n
			}
		}
		t.Log(counts)
		for _, feed := range []*follow.Feed{feed, lateFeed} {
			if err := feed.Mend(strings.NewReader(export.String())); err != nil {
				t.Error(err)
			}
			f.right(feed.Compare(t.Context(), f.Store))
			if leaked := follow.Leaked(erased, feed.Texts); feed.Erasures != len(erased) || len(leaked) > 0 {
				t.Errorf("of %d users %d are erased in a copy, which has %q", len(erased), feed.Erasures, leaked)
			}
		}
		if feed.Mended > 0 || lateFeed.Mended == 0 {
			t.Errorf("the history has lost %d values of those that it had, and %d of those that it has", feed.Mended, lateFeed.Mended)
		}
		for _, hook := range []*follow.Hook{hook, lateHook} {
			f.right(hook.Compare(t.Context(), f.Store, f.send))
			_, _, erasures, _ := hook.Delivered()
			if leaked := follow.Leaked(erased, hook.Texts); erasures != len(erased) || len(leaked) > 0 {
				t.Errorf("of %d users %d are erased in a copy, which has %q", len(erased), erasures, leaked)
			}
		}
	})
}

// followed is a directory that is followed.
type followed struct {
	*servertest.Server
	t     *testing.T
	url   string
	token string
}

func newFollowed(t *testing.T, url string) *followed {
	t.Helper()
	f := &followed{Server: servertest.StartWith(t, server.Config{Database: url}), t: t, url: url}
	f.token = f.Token(follow.Claims())
	for _, id := range []int64{servertest.Webhook, servertest.ElsewhereWebhook} {
		if _, _, err := f.Store.EditWebhook(t.Context(), store.FeedScope{All: true}, id, store.RemoveWebhook()); err != nil {
			t.Fatal(err)
		}
	}
	d := webhook.New(webhook.Config{Store: f.Store, AllowHTTP: true, AllowNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	ctx, cancel := context.WithCancel(context.Background())
	var delivering sync.WaitGroup
	delivering.Go(func() { d.Run(ctx) })
	t.Cleanup(func() { cancel(); delivering.Wait() })
	return f
}

func (f *followed) send(_ context.Context, method, path, body string) (follow.Answer, error) {
	header := http.Header{"Authorization": {"Bearer " + f.token}, "Content-Type": {"application/json"}, "Current-Company-Id": {"5251"}}
	return follow.Answer(f.Send(servertest.Request{Method: method, Path: path, Header: header, Body: body})), nil
}

// hook returns a receiver of all changes.
func (f *followed) hook() *follow.Hook {
	f.t.Helper()
	hook := follow.NewHook()
	receiver := httptest.NewServer(hook)
	f.t.Cleanup(receiver.Close)
	_, secret, err := f.Store.AddWebhook(f.t.Context(), store.NewWebhook{CustomerID: servertest.Sandbox, URL: receiver.URL, From: new(int64(1)), AllowHTTP: true})
	if err == nil {
		err = hook.SetSecret(secret)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return hook
}

// write lets each writer make so many requests, and numbers the changes.
func (f *followed) write(writers []*follow.Writer, requests int) {
	f.t.Helper()
	var writing sync.WaitGroup
	for _, w := range writers {
		writing.Go(func() {
			for range requests {
				if a, err := w.Write(f.t.Context()); err != nil || a.Status >= http.StatusMultipleChoices {
					f.t.Errorf("%d %s, %v", a.Status, a.Body, err)
				}
			}
		})
	}
	writing.Wait()
	if _, err := f.Store.NumberChanges(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

// read reads the feed to its end.
func (f *followed) read(feed *follow.Feed) {
	f.t.Helper()
	for more := true; more; {
		var err error
		if more, err = feed.Read(f.t.Context(), f.send); err != nil {
			f.t.Fatal(err)
		}
	}
}

// await waits until all changes are delivered, and lets the receiver read users.
func (f *followed) await(hook *follow.Hook) {
	f.t.Helper()
	all := follow.NewFeed()
	f.read(all)
	for deadline := time.Now().Add(waitLimit); ; {
		if delivered, _, _, _ := hook.Delivered(); delivered == all.Changes {
			break
		}
		if time.Now().After(deadline) {
			delivered, _, _, _ := hook.Delivered()
			f.t.Fatalf("%d of %d changes are delivered", delivered, all.Changes)
		}
		<-time.After(10 * time.Millisecond)
	}
	if err := hook.Read(f.t.Context(), f.send); err != nil {
		f.t.Fatal(err)
	}
}

// eraseOldHistory erases what is old of the history, as a server whose clock is years ahead does.
func (f *followed) eraseOldHistory() {
	f.t.Helper()
	age, err := store.ParseAge("2y")
	if err != nil {
		f.t.Fatal(err)
	}
	ahead := storetest.OpenWith(f.t, store.Config{
		URL: f.url, ErasureLedger: f.t.TempDir() + "/erasures", HistoryRetention: age, Now: func() time.Time { return time.Now().AddDate(3, 0, 0) },
	})
	if n, err := ahead.EraseOldHistory(f.t.Context()); err != nil || n == 0 {
		f.t.Fatal(n, err)
	}
}

// right fails the test if something is wrong with a copy.
func (f *followed) right(wrong []string, err error) {
	f.t.Helper()
	if err != nil {
		f.t.Error(err)
	}
	for _, text := range wrong {
		f.t.Error(text)
	}
}
