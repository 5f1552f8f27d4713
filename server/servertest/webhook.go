package servertest

import (
	"context"
	"testing"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// The endpoints of the webhooks that a server under test begins with: one of the sandbox's customer, and one of the other customer.
const (
	Webhook          = 1
	ElsewhereWebhook = 2

	webhookURL = "https://hooks.example.com/dragoman"
)

// addWebhooks adds them to a directory that has none.
func addWebhooks(t testing.TB, s *store.Store) {
	t.Helper()
	ctx := context.Background()
	present, err := s.Webhooks(ctx, store.FeedScope{All: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(present) > 0 {
		return
	}
	for _, customer := range []int64{Sandbox, Elsewhere} {
		if _, _, err := s.AddWebhook(ctx, store.NewWebhook{CustomerID: customer, URL: webhookURL}); err != nil {
			t.Fatal(err)
		}
	}
}

// RestoreWebhook brings back the sandbox's endpoint, which a test may have removed, with its id and without secrets.
func (s *Server) RestoreWebhook(t testing.TB) {
	t.Helper()
	storetest.Exec(t, s.database, "DELETE FROM webhook_secrets WHERE webhook_id = 1")
	storetest.Exec(t, s.database, "INSERT INTO webhooks (id, customer_id, url, created_at, revision, disabled_for, position, attempts, answer, worker, beat) "+
		"VALUES (1, 3393, '"+webhookURL+"', 1, 1, '', 0, 0, '', '', 0) ON CONFLICT DO NOTHING")
}
