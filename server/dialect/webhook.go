package dialect

import (
	"context"
	"fmt"

	"github.com/dragoman-id/dragoman/store"
)

// AddWebhook adds an endpoint on the caller's behalf, if the caller's token covers the customer whose changes it receives, and returns it
// with its secret. In a dry run it writes nothing; the endpoint has no ID then, and the secret signs nothing.
func (c *Call) AddWebhook(ctx context.Context, n store.NewWebhook) (w store.Webhook, secret string, err error) {
	if err := c.checkStanding(ctx); err != nil {
		return store.Webhook{}, "", err
	}
	if err := c.concern(ctx, n.CustomerID); err != nil {
		return store.Webhook{}, "", err
	}
	s := c.dialect.service.Store
	n.AllowHTTP = c.dialect.service.AllowHTTPWebhooks
	err = c.write(func() (err error) {
		w, secret, err = s.AddWebhook(ctx, n)
		return err
	}, func() (err error) {
		w, secret, err = s.PreviewAddWebhook(ctx, n)
		return err
	}, func(int) (p *store.Prepared, err error) {
		w, secret, p, err = s.PrepareAddWebhook(ctx, n)
		return p, err
	})
	if err != nil {
		return store.Webhook{}, "", fmt.Errorf("add webhook: %w", err)
	}
	return w, secret, nil
}

// EditWebhook edits the endpoint with this id on the caller's behalf, and returns what it is then, and its new secret if there is one. The
// error is store.ErrNotFound if the caller's token does not cover the customer whose changes it receives. In a dry run it writes nothing.
func (c *Call) EditWebhook(ctx context.Context, id int64, edit store.WebhookEdit) (w store.Webhook, secret string, err error) {
	if err := c.checkStanding(ctx); err != nil {
		return store.Webhook{}, "", err
	}
	s := c.dialect.service.Store
	prepare := func(int) (p *store.Prepared, err error) {
		w, secret, p, err = s.PrepareEditWebhook(ctx, c.Scope(), id, edit)
		return p, err
	}
	err = c.write(func() (err error) {
		w, secret, err = s.EditWebhook(ctx, c.Scope(), id, edit)
		return err
	}, func() error {
		_, err := prepare(0) // it only reads
		return err
	}, prepare)
	if err != nil {
		return store.Webhook{}, "", fmt.Errorf("edit webhook: %w", err)
	}
	c.concerns = &w.CustomerID
	return w, secret, nil
}
