package store_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// addWebhook adds an endpoint, and fails the test if that is impossible.
func addWebhook(t *testing.T, s *store.Store, n store.NewWebhook) (store.Webhook, []byte) {
	t.Helper()
	w, secret, err := s.AddWebhook(context.Background(), n)
	if err != nil {
		t.Fatal(err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) != 32 {
		t.Fatalf("the secret is %d bytes, %v", len(key), err)
	}
	return w, key
}

// hooked does everything that there is to do with endpoints. One is left, with two secrets.
func hooked(t *testing.T, s *store.Store) store.Webhook {
	t.Helper()
	ctx := context.Background()
	w, _ := addWebhook(t, s, store.NewWebhook{CustomerID: 3393, URL: "https://example.com/hook"})
	all, _ := addWebhook(t, s, store.NewWebhook{URL: "https://example.com/all", From: new(int64(1))})
	for _, edit := range []store.WebhookEdit{store.DisableWebhook(), store.ReplayWebhook(nil), store.ReplayWebhook(new(int64(1))), store.RotateWebhookSecret(time.Hour)} {
		if _, _, err := s.EditWebhook(ctx, everyone, w.ID, edit); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.NumberChanges(ctx); err != nil {
		t.Fatal(err)
	}
	for _, h := range []store.Webhook{w, all} {
		h, err := s.FindWebhook(ctx, everyone, h.ID)
		if err != nil {
			t.Fatal(err)
		}
		if claimed, err := s.ClaimWebhook(ctx, &h, "worker"); err != nil || !claimed {
			t.Fatal(claimed, err)
		}
		if saved, err := s.SaveWebhook(ctx, h, false); err != nil || !saved {
			t.Fatal(saved, err)
		}
		if _, _, err := s.WebhookChanges(ctx, h.CustomerID, 0, 10); err != nil {
			t.Fatal(err)
		}
		if _, err := s.WebhookLag(ctx, h); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.ChangedCustomers(ctx, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.EditWebhook(ctx, everyone, all.ID, store.RemoveWebhook()); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWebhookScopes(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := context.Background()
		storetest.Directory(t, s)
		sandbox, _ := addWebhook(t, s, store.NewWebhook{CustomerID: 3393, URL: "https://example.com/1"})
		elsewhere, _ := addWebhook(t, s, store.NewWebhook{CustomerID: 3394, URL: "https://example.com/2"})
		platform, _ := addWebhook(t, s, store.NewWebhook{URL: "https://example.com/3"})
		for name, c := range map[string]struct {
			scope store.FeedScope
			want  []int64
		}{
			"all":                 {everyone, []int64{sandbox.ID, elsewhere.ID, platform.ID}},
			"by id":               {store.FeedScope{IDs: []int64{3393}}, []int64{sandbox.ID}},
			"by UUID":             {store.FeedScope{UUIDs: []uuid.UUID{uuid.MustParse("1189b832-9e28-409a-a655-28d9e04eb022")}}, []int64{elsewhere.ID}},
			"of nobody":           {store.FeedScope{}, nil},
			"that claims to be 0": {store.FeedScope{IDs: []int64{0}}, nil},
		} {
			found, err := s.Webhooks(ctx, c.scope)
			if err != nil {
				t.Fatal(err)
			}
			var got []int64
			for _, w := range found {
				got = append(got, w.ID)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: %v, want %v", name, got, c.want)
			}
			for _, w := range []store.Webhook{sandbox, elsewhere, platform} {
				_, _, err := s.EditWebhook(ctx, c.scope, w.ID, store.ReplayWebhook(nil))
				if may := slices.Contains(c.want, w.ID); may != (err == nil) || !may && !errors.Is(err, store.ErrNotFound) {
					t.Errorf("%s: webhook %d, %v", name, w.ID, err)
				}
			}
		}
	})
}

func TestInvalidWebhooks(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := context.Background()
		storetest.Directory(t, s)
		if _, err := s.NumberChanges(ctx); err != nil {
			t.Fatal(err)
		}
		good := store.NewWebhook{CustomerID: 3393, URL: "https://example.com/"}
		for name, c := range map[string]struct {
			change func(n *store.NewWebhook)
			want   string // "" if nothing is wrong
		}{
			"good":             {func(*store.NewWebhook) {}, ""},
			"the first change": {func(n *store.NewWebhook) { n.From = new(int64(1)) }, ""},
			"the next change":  {func(n *store.NewWebhook) { n.From = new(int64(4)) }, ""},
			"http":             {func(n *store.NewWebhook) { n.URL = "http://example.com/" }, "url must be an https URL with a host, without a user and without a fragment, unless --webhook-allow-http (DRAGOMAN_WEBHOOK_ALLOW_HTTP) is set"},
			"no customer":      {func(n *store.NewWebhook) { n.CustomerID = 5 }, "customer must be a customer of the directory"},
			"before the feed":  {func(n *store.NewWebhook) { n.From = new(int64(0)) }, "from must be between 1 and 4, the number of the next change"},
			"after the feed":   {func(n *store.NewWebhook) { n.From = new(int64(5)) }, "from must be between 1 and 4, the number of the next change"},
			"too long":         {func(n *store.NewWebhook) { n.URL += strings.Repeat("x", 2048) }, "url must have at most 2048 bytes"},
		} {
			n := good
			c.change(&n)
			_, _, err := s.AddWebhook(ctx, n)
			var wrong *store.FieldErrors
			if c.want == "" && err != nil || c.want != "" && (!errors.As(err, &wrong) || wrong.Error() != c.want) {
				t.Errorf("%s: %v, want %q", name, err, c.want)
			}
		}
		for range store.MaxWebhooks - 3 {
			addWebhook(t, s, good)
		}
		if _, _, err := s.AddWebhook(ctx, good); !errors.As(err, new(*store.FieldErrors)) {
			t.Errorf("one too many: %v", err)
		}
		addWebhook(t, s, store.NewWebhook{CustomerID: 3394, URL: good.URL})
	})
}

func TestRotationsAreLimited(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := context.Background()
		w, _ := addWebhook(t, s, store.NewWebhook{URL: "https://example.com/"})
		for range store.MaxWebhookSecrets - 1 {
			if _, _, err := s.EditWebhook(ctx, everyone, w.ID, store.RotateWebhookSecret(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := s.EditWebhook(ctx, everyone, w.ID, store.RotateWebhookSecret(time.Hour)); !errors.As(err, new(*store.FieldErrors)) {
			t.Errorf("one too many: %v", err)
		}
		secrets, err := s.WebhookSecrets(ctx, w.ID)
		if err != nil || len(secrets) != store.MaxWebhookSecrets || secrets[0].ExpiresAt != nil || secrets[1].ExpiresAt == nil {
			t.Errorf("%v, %v", secrets, err)
		}
	})
}

// TestRekeySealsWebhooks: after that the old key is not needed any more, and before it is.
func TestRekeySealsWebhooks(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		ctx := context.Background()
		first := storetest.Open(t, url)
		w, key := addWebhook(t, first, store.NewWebhook{URL: "https://example.com/"})
		newKey := bytes.Repeat([]byte{7}, 32)
		rotating, err := store.Open(ctx, store.Config{URL: url, SecretKey: newKey, OldSecretKeys: [][]byte{storetest.Key}})
		if err != nil {
			t.Fatal(err)
		}
		defer rotating.Close()
		if _, err := store.Open(ctx, store.Config{URL: url, SecretKey: newKey}); !errors.Is(err, store.ErrSecretKey) {
			t.Errorf("opened without the key that seals a webhook's secret: %v", err)
		}
		if done, err := rotating.Rekey(ctx); err != nil || done != (store.Rekeyed{WebhookSecrets: 1}) {
			t.Fatalf("%+v, %v", done, err)
		}
		alone, err := store.Open(ctx, store.Config{URL: url, SecretKey: newKey})
		if err != nil {
			t.Fatal(err)
		}
		defer alone.Close()
		secrets, err := alone.WebhookSecrets(ctx, w.ID)
		if err != nil || len(secrets) != 1 || !bytes.Equal(secrets[0].Key, key) {
			t.Errorf("%v", err)
		}
	})
}

// TestWebhookLag counts what an endpoint has not received.
func TestWebhookLag(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := context.Background()
		storetest.Directory(t, s)
		if _, err := s.NumberChanges(ctx); err != nil {
			t.Fatal(err)
		}
		for customer, want := range map[int64]int64{store.AllCustomers: 3, 3393: 2, 3394: 1} {
			w, _ := addWebhook(t, s, store.NewWebhook{CustomerID: customer, URL: "https://example.com/", From: new(int64(1))})
			lag, err := s.WebhookLag(ctx, w)
			if err != nil || lag.Changes != want || lag.Oldest.IsZero() {
				t.Errorf("%+v, %v", lag, err)
			}
			w.Position = 3
			if lag, err := s.WebhookLag(ctx, w); err != nil || lag != (store.WebhookLag{}) {
				t.Errorf("%+v, %v", lag, err)
			}
		}
	})
}

// TestWebhookIsClaimedOnce: of many workers that have seen the same, one gets the endpoint, and only that one can save.
func TestWebhookIsClaimedOnce(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := context.Background()
		w, _ := addWebhook(t, s, store.NewWebhook{URL: "https://example.com/"})
		const workers = 8
		claims := make(chan store.Webhook, workers)
		for n := range workers {
			go func() {
				mine := w
				if claimed, err := s.ClaimWebhook(ctx, &mine, string(rune('a'+n))); err != nil || !claimed {
					mine = store.Webhook{}
				}
				claims <- mine
			}()
		}
		var winner store.Webhook
		for range workers {
			if c := <-claims; c.ID != 0 {
				if winner.ID != 0 {
					t.Error("two workers have the endpoint")
				}
				winner = c
			}
		}
		loser := winner
		loser.Worker = "somebody else"
		if saved, err := s.SaveWebhook(ctx, loser, false); saved || err != nil {
			t.Errorf("saved by another worker: %v, %v", saved, err)
		}
		if saved, err := s.SaveWebhook(ctx, winner, true); !saved || err != nil {
			t.Errorf("not saved: %v, %v", saved, err)
		}
		if saved, err := s.SaveWebhook(ctx, winner, true); saved || err != nil {
			t.Errorf("saved after the lease was given up: %v, %v", saved, err)
		}
	})
}
