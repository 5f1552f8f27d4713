package store

import (
	"context"

	"github.com/google/uuid"
)

// SetLegalHold sets or lifts the legal hold of a user, who cannot be erased while there is one, on actor's behalf. It returns what
// [Store.UpdateUser] returns; the hold that is set already keeps its time.
func (s *Store) SetLegalHold(ctx context.Context, key UserKey, hold bool, actor *uuid.UUID) (User, []Field, error) {
	at := s.now()
	return s.UpdateUser(ctx, key, Change{Actor: actor, Edit: func(u *User) error {
		switch {
		case !hold:
			u.LegalHoldAt = nil
		case u.LegalHoldAt == nil:
			u.LegalHoldAt = &at
		}
		return nil
	}})
}
