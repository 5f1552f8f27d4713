package directory_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/dragoman-id/dragoman/gen/directoryapi"
	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

const (
	webhooks  = "/directory/v1/webhooks"
	noWebhook = "The token's customers have no such endpoint."
)

// post sends a body, with these further headers.
func post(s *servertest.Server, who auth.Claims, path, body string, header ...string) servertest.Answer {
	return ask(s, who, http.MethodPost, path, body, header...)
}

func remove(s *servertest.Server, who auth.Claims, path string) servertest.Answer {
	return ask(s, who, http.MethodDelete, path, "")
}

// added returns the endpoint and the secret of an answer.
func added(t *testing.T, a servertest.Answer, status int) directoryapi.WebhookWithSecret {
	t.Helper()
	var w directoryapi.WebhookWithSecret
	a.Decode(t, &w)
	if a.Status != status || !regexp.MustCompile(`\Awhsec_[A-Za-z0-9+/]{43}=\z`).MatchString(w.Secret) {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	a.ExpectHeader(t, "Cache-Control", "no-store")
	return w
}

func shown(t *testing.T, a servertest.Answer) directoryapi.Webhook {
	t.Helper()
	var w directoryapi.Webhook
	a.Decode(t, &w)
	if a.Status != http.StatusOK || strings.Contains(a.Body, "whsec_") {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	a.ExpectHeader(t, "Cache-Control", "private, no-cache")
	return w
}

// TestWebhookOperations adds, reads, rotates, disables, replays and removes an endpoint, each first as a dry run.
func TestWebhookOperations(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		ctx, grace := context.Background(), who["company administrator"]
		const body = `{"url":"https://hooks.example.com/a?token=x","customer":3393,"from":1,"colour":"red"}`
		dry := post(s, grace, "/dry-run"+webhooks, body)
		if w := added(t, dry, http.StatusCreated); w.Webhook.ID != 0 || w.Webhook.Behind != 2 {
			t.Errorf("%+v", w)
		}
		a := post(s, grace, webhooks, body)
		w := added(t, a, http.StatusCreated)
		path := fmt.Sprintf("%s/%d", webhooks, w.Webhook.ID)
		a.ExpectHeader(t, "Location", s.URL+path)
		a.ExpectHeader(t, "Dragoman-Ignored", "colour")
		want := directoryapi.Webhook{ID: 3, Customer: new(int64(3393)), URL: "https://hooks.example.com/a?token=x", Behind: 2, CreatedAt: w.Webhook.CreatedAt, BehindSince: w.Webhook.BehindSince}
		if !reflect.DeepEqual(w.Webhook, want) || w.Webhook.BehindSince == nil {
			t.Errorf("%+v, want %+v", w.Webhook, want)
		}
		if got := shown(t, read(s, grace, path)); !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, want %+v", got, want)
		}

		secrets := func() int {
			all, err := s.Store.WebhookSecrets(ctx, 3)
			if err != nil {
				t.Fatal(err)
			}
			return len(all)
		}
		for _, c := range []struct {
			body   string
			before int
		}{{`{"overlapSeconds":60}`, 1}, {`{}`, 2}, {`{"overlapSeconds":0}`, 3}} {
			added(t, post(s, grace, "/dry-run"+path+"/rotate", c.body), http.StatusOK)
			if n := secrets(); n != c.before {
				t.Errorf("%d secrets after a dry run of %s", n, c.body)
			}
			if rotated := added(t, post(s, grace, path+"/rotate", c.body), http.StatusOK); rotated.Secret == w.Secret {
				t.Error("the secret is the old one")
			}
		}
		if n := secrets(); n != 3 { // the one before the last has expired
			t.Errorf("%d secrets", n)
		}

		if got := shown(t, post(s, grace, "/dry-run"+path+"/disable", "")); got.DisabledAt == nil {
			t.Errorf("%+v", got)
		}
		if got := shown(t, read(s, grace, path)); got.DisabledAt != nil {
			t.Errorf("disabled by a dry run: %+v", got)
		}
		disabled := shown(t, post(s, grace, path+"/disable", ""))
		if disabled.DisabledAt == nil || *disabled.DisabledFor != "by an administrator" {
			t.Errorf("%+v", disabled)
		}
		if again := shown(t, post(s, grace, path+"/disable", "this is not read")); !reflect.DeepEqual(again, disabled) {
			t.Errorf("%+v, then %+v", disabled, again)
		}
		if got := shown(t, post(s, grace, path+"/replay", `{"from":4}`)); got.DisabledAt != nil || got.DisabledFor != nil || got.Delivered != 3 || got.Behind != 0 || got.BehindSince != nil {
			t.Errorf("%+v", got)
		}
		if got := shown(t, post(s, grace, path+"/replay", `{}`)); got.Delivered != 3 {
			t.Errorf("%+v", got)
		}
		refuses(t, post(s, grace, path+"/replay", `{"from":5}`), http.StatusBadRequest, refused, servertest.FieldError{"from", "from must be between 1 and 4, the number of the next change"})

		if a := remove(s, grace, "/dry-run"+path); a.Status != http.StatusNoContent {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		shown(t, read(s, grace, path))
		if a := remove(s, grace, path); a.Status != http.StatusNoContent || a.Body != "" {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		if n := secrets(); n != 0 {
			t.Errorf("%d secrets of what is removed", n)
		}
		for _, a := range []servertest.Answer{
			read(s, grace, path), remove(s, grace, path), post(s, grace, path+"/disable", ""), post(s, grace, path+"/replay", "{}"), post(s, grace, path+"/rotate", "{}"),
			read(s, grace, webhooks+"/9223372036854775807"), read(s, grace, webhooks+"/-1"),
		} {
			refuses(t, a, http.StatusNotFound, noWebhook)
		}
		refuses(t, read(s, grace, webhooks+"/x"), http.StatusBadRequest, invalid, servertest.FieldError{"webhookId", "webhookId must be an integer"})
	})
}

// TestWebhooksShowDeliveries: what the deliverer has noted is shown.
func TestWebhooksShowDeliveries(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		ctx := context.Background()
		w, err := s.Store.FindWebhook(ctx, store.FeedScope{All: true}, servertest.Webhook)
		if err == nil {
			_, err = s.Store.ClaimWebhook(ctx, &w, "a server")
		}
		if err != nil {
			t.Fatal(err)
		}
		at, later := w.CreatedAt.Add(1), w.CreatedAt.Add(5e9)
		w.Position, w.Attempts, w.AttemptedAt, w.DeliveredAt, w.NextAt, w.Answer = 0, 2, &at, &w.CreatedAt, &later, "503"
		if saved, err := s.Store.SaveWebhook(ctx, w, false); !saved || err != nil {
			t.Fatal(saved, err)
		}
		got := shown(t, read(s, who["administrator"], webhooks+"/1"))
		created := w.CreatedAt.Format(store.TimeLayout)
		want := directoryapi.Webhook{
			ID: 1, Customer: new(int64(3393)), URL: w.URL, CreatedAt: created, Behind: 2, BehindSince: got.BehindSince, Attempts: 2,
			NextAttemptAt: new(later.Format(store.TimeLayout)), AttemptedAt: &created, DeliveredAt: &created, Answer: new("503"),
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}

// TestWebhookScopes: each caller sees and edits the endpoints of its customers, and the platform's administrator all.
func TestWebhookScopes(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		root := who["platform administrator"]
		everyones := added(t, post(s, root, webhooks, `{"url":"https://hooks.example.com/all"}`), http.StatusCreated)
		if everyones.Webhook.ID != 3 || everyones.Webhook.Customer != nil {
			t.Fatalf("%+v", everyones)
		}
		all := map[int64]string{1: `"customer":3393,`, 2: `"customer":3394,`, 3: ""}
		for name, sees := range map[string][]int64{
			"company administrator": {1}, "administrator": {1}, "of both customers": {1, 2}, "platform administrator": {1, 2, 3}, "stranger": {2},
			"of no customer": nil, "without a customer": nil, "company's of none": nil, "without the claim": nil, "all, no administrator": nil, "user": nil, "Worth's CRO": nil,
			"names the permission": nil,
		} {
			claims := who[name]
			var listed directoryapi.WebhookPage
			a := read(s, claims, webhooks)
			if a.Status == http.StatusOK {
				a.Decode(t, &listed)
			}
			var got []int64
			for _, w := range listed.Webhooks {
				got = append(got, w.ID)
			}
			if !reflect.DeepEqual(got, sees) || (a.Status == http.StatusForbidden) != (sees == nil) {
				t.Errorf("%s sees %v: %d %s", name, got, a.Status, a.Body)
			}
			for id, customer := range all {
				path, may := fmt.Sprintf("%s/%d", webhooks, id), false
				for _, seen := range sees {
					may = may || seen == id
				}
				other := http.StatusNotFound
				if sees == nil {
					other = http.StatusForbidden
				}
				for what, c := range map[string]struct {
					a    servertest.Answer
					good int
				}{
					"read":    {read(s, claims, path), 200},
					"disable": {post(s, claims, path+"/disable", ""), 200},
					"replay":  {post(s, claims, path+"/replay", "{}"), 200},
					"rotate":  {post(s, claims, path+"/rotate", `{"overlapSeconds":0}`), 200},
					"remove":  {remove(s, claims, "/dry-run"+path), 204},
				} {
					if want := map[bool]int{true: c.good, false: other}[may]; c.a.Status != want {
						t.Errorf("%s, %s %d: %d %s, want %d", name, what, id, c.a.Status, c.a.Body, want)
					}
				}
				a := post(s, claims, "/dry-run"+webhooks, `{`+customer+`"url":"https://hooks.example.com/"}`)
				if want := map[bool]int{true: 201, false: 403}[may]; a.Status != want {
					t.Errorf("%s, add for %q: %d %s, want %d", name, customer, a.Status, a.Body, want)
				}
			}
		}
		// A customer that there is not is forbidden like another's, but to whom the token covers it.
		absent := `{"url":"https://hooks.example.com/","customer":4711}`
		refuses(t, post(s, who["company administrator"], webhooks, absent), http.StatusForbidden, forbidden)
		refuses(t, post(s, root, webhooks, absent), http.StatusBadRequest, refused, servertest.FieldError{"customer", "customer must be a customer of the directory"})
	})
}

// TestWebhookPages: whoever follows next sees each endpoint once.
func TestWebhookPages(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	var got []int64
	for after := int64(0); ; {
		var page directoryapi.WebhookPage
		a := read(s, who["platform administrator"], fmt.Sprintf("%s?limit=1&after=%d", webhooks, after))
		a.Decode(t, &page)
		if len(page.Webhooks) == 0 {
			if page.Next != after {
				t.Errorf("%s", a.Body)
			}
			break
		}
		got, after = append(got, page.Webhooks[0].ID), page.Next
	}
	if !reflect.DeepEqual(got, []int64{1, 2}) {
		t.Errorf("%v", got)
	}
	for _, query := range []string{"limit=0", "limit=101", "limit=x", "after=-1", "page=1"} {
		if a := read(s, who["administrator"], webhooks+"?"+query); a.Status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", query, a.Status, a.Body)
		}
	}
}

func TestBadWebhooks(t *testing.T) {
	t.Parallel()
	const https = "url must be an https URL with a host, without a user and without a fragment"
	s := servertest.Start(t)
	for _, c := range []struct{ path, body, field, message string }{
		{"", `{}`, "url", "url is required"},
		{"", `{"url":null}`, "url", "url must not be null"},
		{"", `{"url":7}`, "url", "url must be a string"},
		{"", `{"url":"hooks.example.com"}`, "url", "url must be an https URL"},
		{"", `{"url":"ftp://hooks.example.com"}`, "url", "url must be an https URL"},
		{"", `{"url":"https://hooks.example.com/#a"}`, "url", "url must be an https URL"},
		{"", `{"url":"https://héllo.example"}`, "url", "url must be an https URL"},
		{"", `{"url":"http://hooks.example.com","customer":3393}`, "url", https + ", unless --webhook-allow-http (DRAGOMAN_WEBHOOK_ALLOW_HTTP) is set"},
		{"", `{"url":"https://u:p@hooks.example.com","customer":3393}`, "url", https},
		{"", `{"url":"https:///a","customer":3393}`, "url", https},
		{"", `{"url":"https://` + strings.Repeat("a", 2041) + `"}`, "url", "url must have at most 2048 characters"},
		{"", `{"url":"https://hooks.example.com","customer":0}`, "customer", "customer must be at least 1"},
		{"", `{"url":"https://hooks.example.com","customer":"3393"}`, "customer", "customer must be an integer"},
		{"", `{"url":"https://hooks.example.com","customer":3393,"from":0}`, "from", "from must be at least 1"},
		{"", `{"url":"https://hooks.example.com","customer":3393,"from":5}`, "from", "from must be between 1 and 4, the number of the next change"},
		{"/1/rotate", `{"overlapSeconds":-1}`, "overlapSeconds", "overlapSeconds must be at least 0"},
		{"/1/rotate", `{"overlapSeconds":2592001}`, "overlapSeconds", "overlapSeconds must be at most 2592000"},
		{"/1/replay", `{"from":0}`, "from", "from must be at least 1"},
		{"/1/replay", `{"from":1.5}`, "from", "from must be an integer"},
	} {
		var p directoryapi.Problem
		a := post(s, who["administrator"], webhooks+c.path, c.body)
		a.Decode(t, &p)
		if a.Status != http.StatusBadRequest || len(p.Errors) != 1 || p.Errors[0] != (directoryapi.FieldError{Field: c.field, Message: c.message}) {
			t.Errorf("%s: %d %s", c.body, a.Status, a.Body)
		}
	}
	for path, body := range map[string]string{"": "", "/1/rotate": "", "/1/replay": "[]"} {
		if a := post(s, who["administrator"], webhooks+path, body); a.Status != http.StatusBadRequest {
			t.Errorf("%s %q: %d %s", path, body, a.Status, a.Body)
		}
	}
	strict := post(s, who["administrator"], webhooks+"/1/rotate", `{"overlap":7}`, "Prefer", "handling=strict")
	refuses(t, strict, http.StatusBadRequest, invalid, servertest.FieldError{"overlap", "overlap would be ignored"})
}

// TestWebhooksWithoutTLS: the server's setting decides.
func TestWebhooksWithoutTLS(t *testing.T) {
	t.Parallel()
	s := servertest.StartWith(t, server.Config{Webhooks: server.Webhooks{AllowHTTP: true}})
	added(t, post(s, who["administrator"], webhooks, `{"url":"http://hooks.example.com","customer":3393}`), http.StatusCreated)
}

// TestWebhooksAreBounded: a customer has no more endpoints than the maximum, whoever adds them at the same time.
func TestWebhooksAreBounded(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		ctx := context.Background()
		for range store.MaxWebhooks - 4 { // one is there
			if _, _, err := s.Store.AddWebhook(ctx, store.NewWebhook{CustomerID: 3393, URL: "https://hooks.example.com/"}); err != nil {
				t.Fatal(err)
			}
		}
		var writers sync.WaitGroup
		answers := make([]servertest.Answer, 8)
		for i := range answers {
			writers.Go(func() {
				var header []string
				if i%2 == 0 {
					header = []string{"Idempotency-Key", fmt.Sprint("bound", i)}
				}
				answers[i] = post(s, who["administrator"], webhooks, `{"url":"https://hooks.example.com/","customer":3393}`, header...)
			})
		}
		writers.Wait()
		created := 0
		for _, a := range answers {
			if a.Status == http.StatusCreated {
				created++
				continue
			}
			refuses(t, a, http.StatusBadRequest, refused, servertest.FieldError{"customer", "customer has 50 webhooks, which is the maximum: remove one"})
		}
		present, err := s.Store.Webhooks(ctx, store.FeedScope{IDs: []int64{3393}})
		if created != 3 || err != nil || len(present) != store.MaxWebhooks {
			t.Errorf("%d were added, there are %d: %v", created, len(present), err)
		}
		// Others may have theirs.
		added(t, post(s, who["platform administrator"], webhooks, `{"url":"https://hooks.example.com/"}`), http.StatusCreated)
	})
}

// TestRepeatedWebhookWrites: under a key each is executed once, and its answer, with the secret, is repeated to a caller who may still see it.
func TestRepeatedWebhookWrites(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		ctx, root := context.Background(), who["platform administrator"]
		const body = `{"url":"https://hooks.example.com/repeated"}`
		first := post(s, root, webhooks, body, "Idempotency-Key", "create")
		w := added(t, first, http.StatusCreated)
		again := post(s, root, webhooks, body, "Idempotency-Key", "create")
		if again.Body != first.Body || again.Status != first.Status || again.Header.Get("Idempotency-Replayed") != "true" || again.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%d %s", again.Status, again.Body)
		}
		all, err := s.Store.Webhooks(ctx, store.FeedScope{All: true})
		if err != nil || len(all) != 3 {
			t.Errorf("%d endpoints: %v", len(all), err)
		}
		secrets, err := s.Store.WebhookSecrets(ctx, w.Webhook.ID)
		if err != nil || len(secrets) != 1 {
			t.Errorf("%v %v", secrets, err)
		}
		refuses(t, post(s, root, webhooks, body+" ", "Idempotency-Key", "create"), http.StatusUnprocessableEntity, "The Idempotency-Key is that of another request.")
		// The same caller with a token for less.
		less := root
		less.Customers = []string{"3393"}
		refuses(t, post(s, less, webhooks, body, "Idempotency-Key", "create"), http.StatusForbidden, forbidden)

		for _, c := range []struct{ action, body string }{{"rotate", `{"overlapSeconds":9}`}, {"disable", ""}, {"replay", `{"from":1}`}} {
			path := webhooks + "/1/" + c.action
			first := post(s, less, path, c.body, "Idempotency-Key", c.action)
			again := post(s, less, path, c.body, "Idempotency-Key", c.action)
			if first.Status != http.StatusOK || again.Body != first.Body || first.Header.Get("Idempotency-Replayed") != "" || again.Header.Get("Idempotency-Replayed") != "true" {
				t.Errorf("%s: %d %s\n%d %s", c.action, first.Status, first.Body, again.Status, again.Body)
			}
			other := less
			other.Customers = []string{"3394"}
			refuses(t, post(s, other, path, c.body, "Idempotency-Key", c.action), http.StatusForbidden, forbidden)
		}
		if n, err := s.Store.WebhookSecrets(ctx, 1); err != nil || len(n) != 2 {
			t.Errorf("%d secrets: %v", len(n), err)
		}
	})
}

// TestConcurrentRotations: each returns a secret that is valid.
func TestConcurrentRotations(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		answers := make([]servertest.Answer, store.MaxWebhookSecrets-1)
		var callers sync.WaitGroup
		for i := range answers {
			callers.Go(func() {
				answers[i] = post(s, who["administrator"], webhooks+"/1/rotate", `{}`, "Idempotency-Key", fmt.Sprint("rotate", i))
			})
		}
		callers.Wait()
		told := map[string]bool{}
		for _, a := range answers {
			told[added(t, a, http.StatusOK).Secret] = true
		}
		secrets, err := s.Store.WebhookSecrets(context.Background(), 1)
		if err != nil || len(secrets) != store.MaxWebhookSecrets || len(told) != len(answers) {
			t.Errorf("%d secrets, %d told: %v", len(secrets), len(told), err)
		}
		for _, secret := range secrets[:len(answers)] {
			text, err := json.Marshal(secret.Key)
			if err != nil || !told["whsec_"+strings.Trim(string(text), `"`)] {
				t.Errorf("a secret that nobody was told: %v", err)
			}
		}
		refuses(t, post(s, who["administrator"], webhooks+"/1/rotate", `{}`), http.StatusBadRequest, refused, servertest.FieldError{"secrets", "secrets are 5, which is the maximum: wait until one expires"})
	})
}
