package dialect

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/store"
	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
)

// headerConflict lists the members of a body for which a write with a stale If-Match is in conflict with what was written meanwhile.
const headerConflict = "Dragoman-Conflict"

// The preference for which a write with a stale If-Match is merged, if it is not in conflict with what was written meanwhile.
const (
	preferMerge    = "merge"
	mergeUntouched = "untouched"
)

// ConcurrentChange is a field that has changed since the version in a write's If-Match. It has no values.
type ConcurrentChange struct {
	Field string                // in the dialect's names
	State store.ConcurrentState // what the body asks of it

	// What the history says of the last change of the field. All are nil for a caller who may not read the history.

	Version *int64
	At      *time.Time
	Actor   *uuid.UUID // nil if the actor is unknown, too
	Dialect *string
}

// preconditionError is an errPreconditionFailed about a user whom the caller may read.
type preconditionError struct {
	version int64 // the present one
	// changes are those since the version in If-Match. They are nil if they are not known, and in a request that edits nothing.
	changes []store.ConcurrentChange
	history bool // the caller may read the history
}

func (e *preconditionError) Error() string {
	return fmt.Sprintf("%v: the user is at version %d", errPreconditionFailed, e.version)
}

func (e *preconditionError) Unwrap() error { return errPreconditionFailed }

// conflicts returns the fields in conflict.
func (e *preconditionError) conflicts() (fields []store.Field) {
	for _, c := range e.changes {
		if c.State == store.ConcurrentConflict {
			fields = append(fields, c.Field)
		}
	}
	return fields
}

// explain returns err, for which an update was refused, and for an errPreconditionFailed a *preconditionError, if the caller may read the
// user. It reads the present user and the history since the version in If-Match.
func (c *Call) explain(ctx context.Context, key store.UserKey, edit Edit, err error) error {
	c.merged = false // what was merged was not written
	explained := (*preconditionError)(nil)
	if !errors.Is(err, errPreconditionFailed) || errors.As(err, &explained) || !c.permits(auth.PermissionRead) {
		return err
	}
	user, past, failed := c.dialect.service.Store.UserPast(ctx, key, c.baseVersion)
	if failed != nil {
		return err // which is true all the same
	}
	explained = &preconditionError{version: user.Version, history: c.permits(auth.PermissionHistory)}
	if past != nil {
		explained.changes = past.Compare(edit.asks, c.replaces)
		c.conflicts = explained.conflicts()
	}
	return fmt.Errorf("%w: %w", err, explained)
}

func (c *Call) permits(p auth.Permission) bool {
	return c.dialect.service.Policy.Permits(c.Principal, p)
}

// baseVersion returns the older version of the user that If-Match names, the latest if it names several, or 0.
func (c *Call) baseVersion(present *store.User) int64 { return c.ifMatch.before(present.Version) }

// asks edits u as Apply does, and sets some password where the edit sets one.
func (e Edit) asks(u *store.User) error {
	if e.Password != nil {
		u.PasswordHash = &assumedHash
	}
	return e.Apply(u)
}

// describe returns the problem's changes, and sets the headers that explain it.
func (d *Dialect) describe(c echo.Context, err error) []ConcurrentChange {
	var e *preconditionError
	if !errors.As(err, &e) {
		return nil
	}
	header := c.Response().Header()
	header.Set(headerETag, ETag(e.version))
	if e.changes == nil {
		return nil
	}
	header.Set(headerConflict, listNames(d.names(e.conflicts())))
	var all []ConcurrentChange
	for _, change := range e.changes {
		name := d.FieldName(change.Field)
		if name == "" {
			continue
		}
		described := ConcurrentChange{Field: name, State: change.State}
		if last := change.Last; e.history {
			described.Version, described.At, described.Actor, described.Dialect = &last.Version, &last.At, last.Actor, &last.Dialect
		}
		all = append(all, described)
	}
	return all
}
