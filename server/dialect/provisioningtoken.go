package dialect

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/server/provisioning"
	"github.com/dragoman-id/dragoman/store"
)

// IssueProvisioningToken returns a new token of the call's customer, and stores t, which describes it, on the caller's behalf, if the
// caller's rank allows its role. A Role and an ExpiresAt that are zero are the defaults. In a dry run nothing is written: no token will have
// the ID, and the token is not valid.
func (c *Call) IssueProvisioningToken(ctx context.Context, t *store.ProvisioningToken) (token string, err error) {
	if err := c.checkStanding(ctx); err != nil {
		return "", err
	}
	s := c.dialect.service
	t.Role = cmp.Or(t.Role, provisioning.DefaultRole)
	if t.ExpiresAt.IsZero() {
		t.ExpiresAt = s.Now().Add(provisioning.DefaultLife)
	}
	if err := s.Policy.CheckCeiling(c.Principal, t.Role); err != nil {
		return "", fmt.Errorf("issue a provisioning token: %w", err)
	}
	if token, err = provisioning.Generate(rand.Reader); err != nil {
		return "", err
	}
	t.Hash, t.CustomerID, t.CreatedBy = provisioning.Hash(token), c.Customer.ID, c.Principal.Subject
	return token, c.write(func() error { return s.Store.CreateProvisioningToken(ctx, t) }, func() error { return s.Store.PreviewProvisioningToken(ctx, t) },
		func(int) (*store.Prepared, error) { return s.Store.PrepareProvisioningToken(ctx, t) })
}

// RevokeProvisioningToken revokes a token of the call's customer, if the caller's rank allows its role. In a dry run it writes nothing. The
// error is store.ErrNotFound if the customer has no such token.
func (c *Call) RevokeProvisioningToken(ctx context.Context, id uuid.UUID) error {
	if err := c.checkStanding(ctx); err != nil {
		return err
	}
	s := c.dialect.service
	t, err := s.Store.FindProvisioningTokenByID(ctx, c.Customer.ID, id)
	if err != nil {
		return err
	}
	if err := s.Policy.CheckCeiling(c.Principal, t.Role); err != nil {
		return fmt.Errorf("revoke a provisioning token: %w", err)
	}
	if c.dryRun {
		return nil
	}
	return s.Store.RevokeProvisioningToken(ctx, c.Customer.ID, id)
}
