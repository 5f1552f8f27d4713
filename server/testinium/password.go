package testinium

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dragoman-id/dragoman/gen/testiniumapi"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/store"
)

// maxPasswordAttempts is how often an update is tried while concurrent writers change the password between the check of the current
// one and the write.
const maxPasswordAttempts = 3

// newPassword is a password that an update sets. Its zero value sets none.
type newPassword struct {
	hash        string    // "" sets none
	at          time.Time // when it is set
	needsProof  bool      // whether the caller must prove the current password
	checkedHash *string   // the stored hash that the proof was checked against
}

// newPassword hashes p's new password. It also checks p's current password if the caller's rank requires that. The check takes the
// same time for a user without a password as for a wrong password.
//
// Unless the write takes place, neither the response nor its timing may reveal whether the current password is correct. So it is
// checked last, when nothing else rejects the edit, and a wrong password takes as long as a correct one. After a wrong password the
// write is executed and rolled back, so that any other failure, such as a busy database, takes precedence in the response.
func (h *handler) newPassword(ctx context.Context, call *dialect.Call, key store.UserKey, p *testiniumapi.UserUpdate, edit dialect.Edit) (newPassword, error) {
	if p.NewPassword == nil {
		return newPassword{}, nil
	}
	n := newPassword{at: h.now(), needsProof: !call.Manages()}
	var user int64
	apply := edit.Apply
	edit.Apply = func(u *store.User) error {
		user, n.checkedHash = u.ID, u.PasswordHash
		refused := apply(u)
		if refused == nil && n.needsProof && p.Password == nil {
			return refusedPassword("password is required to set a new one")
		}
		return refused
	}
	if err := call.CheckUpdate(ctx, key, edit); err != nil {
		return newPassword{}, err
	}
	passwords, right := h.passwords.Of(call.Customer.ID), true
	var err error
	if n.needsProof {
		right, err = passwords.VerifyCurrent(ctx, user, n.at, *p.Password, n.checkedHash)
		var tooMany *auth.TooManyAttemptsError
		if errors.As(err, &tooMany) {
			return newPassword{}, &dialect.RateLimitedError{Limit: "password", RetryAfter: tooMany.RetryAfter}
		}
		if err != nil {
			return newPassword{}, err
		}
	}
	if n.hash, err = passwords.Hash(ctx, *p.NewPassword); err != nil {
		return newPassword{}, err
	}
	if right {
		return n, nil
	}
	edit.Apply = func(u *store.User) error {
		refused := apply(u)
		n.set(u)
		return refused
	}
	if err := call.RehearseUpdate(ctx, key, edit); err != nil {
		return newPassword{}, err
	}
	return newPassword{}, fmt.Errorf("%w: %w", dialect.ErrWrongPassword, errNotPresent)
}

var errNotPresent = refusedPassword("password is not the present one")

func refusedPassword(message string) error {
	return &dialect.RuleError{Fields: []dialect.FieldError{{Field: "password", Message: message}}}
}

// stale reports whether u's password hash is no longer the one that the current password was checked against.
func (n newPassword) stale(u *store.User) bool {
	if !n.needsProof {
		return false
	}
	if n.checkedHash == nil || u.PasswordHash == nil {
		return n.checkedHash != u.PasswordHash
	}
	return *n.checkedHash != *u.PasswordHash
}

func (n newPassword) apply(u *store.User) error {
	if n.hash == "" {
		return nil
	}
	if n.stale(u) {
		return store.ErrBusy // put checks the current password again
	}
	n.set(u)
	return nil
}

// set gives u the new password.
func (n newPassword) set(u *store.User) {
	u.PasswordHash = &n.hash
	u.LastPasswordResetAt = &n.at
}

// passwordErrors checks the rules about the two passwords of a body that the document states only in prose.
func passwordErrors(body map[string]any) []dialect.FieldError {
	if wanted, ok := body["newPassword"].(string); ok {
		if problem := auth.PasswordProblem(wanted); problem != "" {
			return []dialect.FieldError{{Field: "newPassword", Message: "newPassword " + problem}}
		}
		return nil
	}
	if _, ok := body["password"].(string); ok && body["newPassword"] == nil {
		return []dialect.FieldError{{Field: "password", Message: "password must come with newPassword"}}
	}
	return nil
}
