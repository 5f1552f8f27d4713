package testinium

import (
	"context"
	"time"

	"github.com/dragoman-id/dragoman/gen/testiniumapi"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/store"
)

// maxPasswordAttempts is how often a present password is held against the user's again because another writer set
// a new one in between.
const maxPasswordAttempts = 3

// newPassword is a password that a put sets. Its zero value sets none.
type newPassword struct {
	hash    string    // "" sets none
	at      time.Time // when it is set
	refusal error     // what is wrong with the proof; nil if it holds
	proof   bool      // whether a proof was asked for
	against *string   // the stored hash that the proof was held against
}

// newPassword computes what p's newPassword becomes, and holds p's present password against the user's where the
// caller's rank asks for it. A user without a password costs as much time as a wrong one.
func (h *handler) newPassword(ctx context.Context, call *dialect.Call, key store.UserKey, p *testiniumapi.UserUpdate) (newPassword, error) {
	if p.NewPassword == nil {
		return newPassword{}, nil
	}
	u, err := h.store.FindUser(ctx, key)
	if err != nil {
		return newPassword{}, err
	}
	// How long the proof takes tells whether it holds: only who may write to the user gets so far.
	after := u
	applyPut(&after, p, h.store.Catalogue())
	if err := call.MayWrite(&u, &after); err != nil {
		return newPassword{}, err
	}
	n := newPassword{at: h.now(), proof: !call.Manages(), against: u.PasswordHash}
	if n.proof {
		if n.refusal, err = h.checkProof(ctx, call, p.Password, u.PasswordHash); n.refusal != nil || err != nil {
			return n, err
		}
	}
	if n.hash, err = h.passwords.Of(call.Customer.ID).Hash(ctx, *p.NewPassword); err != nil {
		return newPassword{}, err
	}
	return n, nil
}

func (h *handler) checkProof(ctx context.Context, call *dialect.Call, present, hash *string) (refusal, err error) {
	if present == nil {
		return refusedPassword("password is required to set a new one"), nil
	}
	holds, err := h.passwords.Of(call.Customer.ID).Verify(ctx, *present, hash)
	if err != nil || holds {
		return nil, err
	}
	return refusedPassword("password is not the present one"), nil
}

func refusedPassword(message string) error {
	return &dialect.RuleError{Fields: []dialect.FieldError{{Field: "password", Message: message}}}
}

// moved tells whether u's password is another than the proof was held against.
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
	if n.refusal != nil {
		return n.refusal
	}
	if n.hash == "" {
		return nil
	}
	if n.moved(u) {
		return store.ErrBusy
	}
	u.PasswordHash = &n.hash
	u.LastPasswordResetAt = &n.at
	return nil
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
