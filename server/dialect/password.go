package dialect

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/store"
)

// NewPassword is a password that an edit sets.
type NewPassword struct {
	Password string // it has passed [auth.PasswordProblem]
	// Present is what the body says the user's present password is; nil if it says nothing. Callers who are not managers must prove
	// that they know it.
	Present *string
	// Member is the body's member that has Present, for errors.
	Member string
}

// refused returns the error about the member that has the present password.
func (p *NewPassword) refused(message string) error {
	return &RuleError{Fields: []FieldError{{Field: p.Member, Message: p.Member + " " + message}}}
}

// notPresent is the error for a wrong present password.
func (p *NewPassword) notPresent() error { return p.refused("is not the present one") }

// checkProof returns an error if the caller must prove the present password and the body does not have it.
func (p *NewPassword) checkProof(c *Call) error {
	if p.Present == nil && !c.Manages() {
		return p.refused("is required to set a new one")
	}
	return nil
}

// maxPasswordAttempts is how often an update is tried while concurrent writers change the password between the check of the present
// one and the write.
const maxPasswordAttempts = 3

// updatePassword is UpdateUser for an edit with a password. The hashes are computed before the write's transaction, and the write
// succeeds only if the stored hash is still the one that the present password was checked against.
func (c *Call) updatePassword(ctx context.Context, key store.UserKey, edit Edit) (store.User, Written, error) {
	for range maxPasswordAttempts {
		hash, err := c.hashPassword(ctx, key, edit)
		if err != nil {
			return store.User{}, Written{}, err
		}
		stale := false
		edit.setPassword = func(u *store.User) error {
			if stale = hash.stale(u); stale {
				return store.ErrBusy // the present password is checked again
			}
			hash.set(u)
			return nil
		}
		user, written, err := c.UpdateUser(ctx, key, edit)
		if !stale {
			return user, written, err
		}
	}
	// The response must not reveal whether the password matched one of the replaced hashes.
	return store.User{}, Written{}, edit.Password.notPresent()
}

// passwordHash is a hashed password that an update sets.
type passwordHash struct {
	hash        string
	at          time.Time // when it is set
	needsProof  bool      // whether the caller must prove the present password
	checkedHash *string   // the stored hash that the proof was checked against
}

// hashPassword hashes the edit's new password. It also checks the present password if the caller's rank requires that. The check takes
// the same time for a user without a password as for a wrong password.
//
// Unless the write takes place, neither the response nor its timing may reveal whether the present password is correct. So it is
// checked last, when nothing else rejects the edit, and a wrong password takes as long as a correct one. After a wrong password the
// write is executed and rolled back, so that any other failure, such as a busy database, takes precedence in the response.
func (c *Call) hashPassword(ctx context.Context, key store.UserKey, edit Edit) (passwordHash, error) {
	p := edit.Password
	n := passwordHash{at: c.dialect.service.Now(), needsProof: !c.Manages()}
	var user int64
	edit.setPassword = func(u *store.User) error {
		user, n.checkedHash = u.ID, u.PasswordHash
		return p.checkProof(c)
	}
	if err := c.checkUpdate(ctx, key, edit); err != nil {
		return passwordHash{}, err
	}
	passwords, right := c.dialect.service.Passwords.Of(c.Customer.ID), true
	var err error
	if n.needsProof {
		right, err = passwords.VerifyCurrent(ctx, user, n.at, *p.Present, n.checkedHash)
		var tooMany *auth.TooManyAttemptsError
		if errors.As(err, &tooMany) {
			return passwordHash{}, &RateLimitedError{Limit: "password", RetryAfter: tooMany.RetryAfter}
		}
		if err != nil {
			return passwordHash{}, err
		}
	}
	if n.hash, err = passwords.Hash(ctx, p.Password); err != nil {
		return passwordHash{}, err
	}
	if right {
		return n, nil
	}
	edit.setPassword = func(u *store.User) error {
		n.set(u)
		return nil
	}
	if err := c.rehearseUpdate(ctx, key, edit); err != nil {
		return passwordHash{}, err
	}
	return passwordHash{}, fmt.Errorf("%w: %w", ErrWrongPassword, p.notPresent())
}

// stale reports whether u's password hash is no longer the one that the present password was checked against.
func (n passwordHash) stale(u *store.User) bool {
	if !n.needsProof {
		return false
	}
	if n.checkedHash == nil || u.PasswordHash == nil {
		return n.checkedHash != u.PasswordHash
	}
	return *n.checkedHash != *u.PasswordHash
}

// set gives u the new password.
func (n passwordHash) set(u *store.User) {
	u.PasswordHash = &n.hash
	u.LastPasswordResetAt = &n.at
}

// checkUpdate returns the error that UpdateUser would return for the edit at the moment, or nil if it would succeed. It writes
// nothing.
func (c *Call) checkUpdate(ctx context.Context, key store.UserKey, edit Edit) error {
	if err := c.checkStanding(ctx); err != nil {
		return err
	}
	ignored := c.unknown
	if _, _, err := c.dialect.service.Store.PreviewUpdate(ctx, key, c.change(edit, &ignored)); err != nil {
		return fmt.Errorf("check update: %w", err)
	}
	return nil
}

// rehearseUpdate returns the error that UpdateUser would return, or nil if it would succeed. It does all that UpdateUser does
// and then rolls the transaction back.
func (c *Call) rehearseUpdate(ctx context.Context, key store.UserKey, edit Edit) error {
	if err := c.checkStanding(ctx); err != nil {
		return err
	}
	ignored := c.unknown
	if err := c.dialect.service.Store.RehearseUpdate(ctx, key, c.change(edit, &ignored)); err != nil {
		return fmt.Errorf("rehearse update: %w", err)
	}
	return nil
}
