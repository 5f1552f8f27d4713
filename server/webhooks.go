package server

import (
	"context"
	"net/netip"
	"net/url"
	"sync"

	"github.com/dragoman-id/dragoman/server/webhook"
	"github.com/dragoman-id/dragoman/store"
)

// Webhooks says how changes are delivered to webhooks.
type Webhooks struct {
	Off           bool           // nothing is delivered
	AllowHTTP     bool           // http URLs are allowed
	AllowNetworks []netip.Prefix // that deliveries may be sent to although they are not public
	Proxy         *url.URL       // for all deliveries; nil: none
}

// startWebhooks delivers changes to webhooks in the background until ctx is done. wait waits until the deliveries under way have ended.
func (s *Server) startWebhooks(ctx context.Context) (wait func()) {
	if s.webhooks == nil {
		return func() {}
	}
	var background sync.WaitGroup
	background.Go(func() { s.webhooks.Run(ctx) })
	return background.Wait
}

// newDeliverer returns what delivers to webhooks, or nil if nothing does.
func newDeliverer(c Config, s *store.Store) *webhook.Deliverer {
	if c.Webhooks.Off || c.Mock != nil {
		return nil
	}
	return webhook.New(webhook.Config{
		Store: s, AllowHTTP: c.Webhooks.AllowHTTP, AllowNetworks: c.Webhooks.AllowNetworks, Proxy: c.Webhooks.Proxy, Log: c.Log,
	})
}
