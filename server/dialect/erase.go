package dialect

import (
	"context"
	"fmt"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/store"
)

// EraseUser erases the personal data of the user with this key, on the caller's behalf. It evaluates If-Match and If-None-Match, then the
// caller's rank, then the rules of the directory, and returns the first failure. In a dry run it returns the same and writes nothing. The
// ledger is [store.Config.ErasureLedger].
//
// A user who is erased already stays so, whatever If-Match says: what the request asks for is done, so that it can be repeated (RFC 9110,
// section 13.1.1).
func (c *Call) EraseUser(ctx context.Context, key store.UserKey, reason string) (store.Erased, Written, error) {
	if err := c.checkStanding(ctx); err != nil {
		return store.Erased{}, Written{}, err
	}
	erase := c.dialect.service.Store.EraseUser
	if c.dryRun {
		erase = c.dialect.service.Store.PreviewErasure
	}
	done, err := erase(ctx, store.Erasure{Key: key, Actor: c.Principal.Actor(), Reason: reason, Allow: c.allowErasure})
	if err != nil {
		return store.Erased{}, Written{}, fmt.Errorf("erase user: %w", err)
	}
	w := written(done.User, c.dialect.names(done.Fields), nil)
	c.changed = w.Changed
	return done, w, nil
}

// allowErasure returns an error if the request's preconditions or the caller's rank are against erasing u.
func (c *Call) allowErasure(u *store.User) error {
	if c.hides(u, Edit{}) {
		return store.ErrNotFound
	}
	if !u.Erased() && !c.ifMatch.allow(u.Version) || c.ifNoneMatch.have(u.Version) {
		if c.permits(auth.PermissionRead) {
			return &preconditionError{version: u.Version}
		}
		return errPreconditionFailed
	}
	return c.dialect.service.Policy.CheckWrite(c.Principal, u, nil)
}
