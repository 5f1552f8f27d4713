package directory

import (
	"context"
	"fmt"
	"time"

	"github.com/dragoman-id/dragoman/gen/directoryapi"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/store"
)

const (
	// defaultWebhooks is the maximum number of endpoints in a response to a request without a limit.
	defaultWebhooks = 50
	// defaultOverlap is how long a replaced secret is used, in seconds, if the request does not say.
	defaultOverlap = 24 * 60 * 60
)

// ListWebhooks returns a page of the endpoints that the caller may see.
func (h *handler) ListWebhooks(ctx context.Context, r directoryapi.ListWebhooksRequestObject) (directoryapi.ListWebhooksResponseObject, error) {
	page := directoryapi.WebhookPage{Webhooks: []directoryapi.Webhook{}, Next: orElse(r.Params.After, 0)}
	found, err := h.store.WebhooksAfter(ctx, dialect.CallFrom(ctx).Scope(), page.Next, int(orElse(r.Params.Limit, defaultWebhooks)))
	if err != nil {
		return nil, err
	}
	for _, w := range found {
		shown, err := h.toAPIWebhook(ctx, w)
		if err != nil {
			return nil, err
		}
		page.Webhooks, page.Next = append(page.Webhooks, shown), w.ID
	}
	return directoryapi.ListWebhooks200JSONResponse{
		Body:    page,
		Headers: directoryapi.ListWebhooks200ResponseHeaders{CacheControl: dialect.CacheControl},
	}, nil
}

// GetWebhook returns one endpoint.
func (h *handler) GetWebhook(ctx context.Context, r directoryapi.GetWebhookRequestObject) (directoryapi.GetWebhookResponseObject, error) {
	w, err := h.store.FindWebhook(ctx, dialect.CallFrom(ctx).Scope(), r.WebhookID)
	if err != nil {
		return nil, err
	}
	shown, err := h.toAPIWebhook(ctx, w)
	if err != nil {
		return nil, err
	}
	return directoryapi.GetWebhook200JSONResponse{
		Body:    shown,
		Headers: directoryapi.GetWebhook200ResponseHeaders{CacheControl: dialect.CacheControl},
	}, nil
}

// CreateWebhook adds an endpoint.
func (h *handler) CreateWebhook(ctx context.Context, r directoryapi.CreateWebhookRequestObject) (directoryapi.CreateWebhookResponseObject, error) {
	call := dialect.CallFrom(ctx)
	w, secret, err := call.AddWebhook(ctx, store.NewWebhook{
		CustomerID: orElse(r.Body.Customer, store.AllCustomers), URL: r.Body.URL, From: r.Body.From,
	})
	if err != nil {
		return nil, err
	}
	shown, err := h.toAPIWebhook(ctx, w)
	if err != nil {
		return nil, err
	}
	return directoryapi.CreateWebhook201JSONResponse{
		Body: directoryapi.WebhookWithSecret{Webhook: shown, Secret: secret},
		Headers: directoryapi.CreateWebhook201ResponseHeaders{
			CacheControl: noStore, Location: call.URL(fmt.Sprintf("/webhooks/%d", w.ID)), DragomanIgnored: call.Ignored(),
		},
	}, nil
}

// edit edits an endpoint, and returns what it is then, and its new secret if there is one.
func (h *handler) edit(ctx context.Context, id int64, edit store.WebhookEdit) (shown directoryapi.Webhook, secret string, err error) {
	w, secret, err := dialect.CallFrom(ctx).EditWebhook(ctx, id, edit)
	if err != nil {
		return directoryapi.Webhook{}, "", err
	}
	shown, err = h.toAPIWebhook(ctx, w)
	return shown, secret, err
}

// RotateWebhookSecret gives an endpoint a new secret.
func (h *handler) RotateWebhookSecret(ctx context.Context, r directoryapi.RotateWebhookSecretRequestObject) (directoryapi.RotateWebhookSecretResponseObject, error) {
	overlap := time.Duration(orElse(r.Body.OverlapSeconds, defaultOverlap)) * time.Second
	shown, secret, err := h.edit(ctx, r.WebhookID, store.RotateWebhookSecret(overlap))
	if err != nil {
		return nil, err
	}
	return directoryapi.RotateWebhookSecret200JSONResponse{
		Body:    directoryapi.WebhookWithSecret{Webhook: shown, Secret: secret},
		Headers: directoryapi.RotateWebhookSecret200ResponseHeaders{CacheControl: noStore, DragomanIgnored: dialect.CallFrom(ctx).Ignored()},
	}, nil
}

// DisableWebhook ends deliveries to an endpoint.
func (h *handler) DisableWebhook(ctx context.Context, r directoryapi.DisableWebhookRequestObject) (directoryapi.DisableWebhookResponseObject, error) {
	shown, _, err := h.edit(ctx, r.WebhookID, store.DisableWebhook())
	if err != nil {
		return nil, err
	}
	return directoryapi.DisableWebhook200JSONResponse{
		Body:    shown,
		Headers: directoryapi.DisableWebhook200ResponseHeaders{CacheControl: dialect.CacheControl},
	}, nil
}

// ReplayWebhook enables an endpoint, and delivers from a number on.
func (h *handler) ReplayWebhook(ctx context.Context, r directoryapi.ReplayWebhookRequestObject) (directoryapi.ReplayWebhookResponseObject, error) {
	shown, _, err := h.edit(ctx, r.WebhookID, store.ReplayWebhook(r.Body.From))
	if err != nil {
		return nil, err
	}
	return directoryapi.ReplayWebhook200JSONResponse{
		Body:    shown,
		Headers: directoryapi.ReplayWebhook200ResponseHeaders{CacheControl: dialect.CacheControl, DragomanIgnored: dialect.CallFrom(ctx).Ignored()},
	}, nil
}

// DeleteWebhook removes an endpoint.
func (h *handler) DeleteWebhook(ctx context.Context, r directoryapi.DeleteWebhookRequestObject) (directoryapi.DeleteWebhookResponseObject, error) {
	if _, _, err := dialect.CallFrom(ctx).EditWebhook(ctx, r.WebhookID, store.RemoveWebhook()); err != nil {
		return nil, err
	}
	return directoryapi.DeleteWebhook204Response{}, nil
}

// toAPIWebhook shows an endpoint, and how far it is behind.
func (h *handler) toAPIWebhook(ctx context.Context, w store.Webhook) (directoryapi.Webhook, error) {
	lag, err := h.store.WebhookLag(ctx, w)
	if err != nil {
		return directoryapi.Webhook{}, err
	}
	return directoryapi.Webhook{
		ID:            w.ID,
		Customer:      unlessZero(w.CustomerID),
		URL:           w.URL,
		CreatedAt:     toAPITime(w.CreatedAt),
		DisabledAt:    toAPITimeOrNil(w.DisabledAt),
		DisabledFor:   unlessZero(w.DisabledFor),
		Delivered:     w.Position,
		Behind:        lag.Changes,
		BehindSince:   toAPITimeOrNil(unlessZero(lag.Oldest)),
		Attempts:      w.Attempts,
		NextAttemptAt: toAPITimeOrNil(w.NextAt),
		AttemptedAt:   toAPITimeOrNil(w.AttemptedAt),
		DeliveredAt:   toAPITimeOrNil(w.DeliveredAt),
		Answer:        unlessZero(w.Answer),
	}, nil
}

func unlessZero[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
