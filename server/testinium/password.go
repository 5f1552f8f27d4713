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

// maxPasswordAttempts is how often a present password is checked again because another writer set
// a new one in between.
const maxPasswordAttempts = 3

// newPassword is a password that a put sets. Its zero value sets none.
type newPassword struct {
	hash    string    // "" sets none
	at      time.Time // when it is set
	proof   bool      // whether the present password was asked for
	against *string   // the stored hash that it was checked against
}

// newPassword computes what p's newPassword becomes, and checks p's present password where the caller's rank asks for it. A
// user without a password costs as much time as a wrong one.
//
// No answer, and no time that one takes, may tell whether the present password is right unless the write takes place. So it
// is looked at last, once nothing else refuses the edit; a wrong one takes as long as a right one; and the write is then carried
// out and rolled back, so that whatever would make it fail, a busy database too, goes before the wrong password.
func (h *handler) newPassword(ctx context.Context, call *dialect.Call, key store.UserKey, p *testiniumapi.UserUpdate, edit dialect.Edit) (newPassword, error) {
	if p.NewPassword == nil {
		return newPassword{}, nil
	}
	n := newPassword{at: h.now(), proof: !call.Manages()}
	var user int64
	apply := edit.Apply
	edit.Apply = func(u *store.User) error {
		user, n.against = u.ID, u.PasswordHash
		refused := apply(u)
		if refused == nil && n.proof && p.Password == nil {
			return refusedPassword("password is required to set a new one")
		}
		return refused
	}
	if err := call.CheckUpdate(ctx, key, edit); err != nil {
		return newPassword{}, err
	}
	passwords, right := h.passwords.Of(call.Customer.ID), true
	var err error
	if n.proof {
		right, err = passwords.Prove(ctx, user, n.at, *p.Password, n.against)
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

// moved tells whether u's password is another than the present one was checked against.
func (n newPassword) moved(u *store.User) bool {
	if !n.proof {
		return false
	}
	if n.against == nil || u.PasswordHash == nil {
		return n.against != u.PasswordHash
	}
	return *n.against != *u.PasswordHash
}

func (n newPassword) apply(u *store.User) error {
	if n.hash == "" {
		return nil
	}
	if n.moved(u) {
		return store.ErrBusy // put checks the present password again
	}
	n.set(u)
	return nil
}

// set gives u the new password.
func (n newPassword) set(u *store.User) {
	u.PasswordHash = &n.hash
	u.LastPasswordResetAt = &n.at
}

// passwordErrors checks what the document says in words about the two passwords of a body.
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
