package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"gorm.io/gorm"
)

// PreviewUpdate returns what UpdateUser would return at the moment, except for the sealed columns, and writes nothing. It only reads, and
// locks nothing. A later UpdateUser may still end differently because of concurrent writes, such as of a user that takes the e-mail, or
// that deactivates an administrator.
func (s *Store) PreviewUpdate(ctx context.Context, key UserKey, c Change) (after User, changed []Field, err error) {
	return s.previewUpdate(ctx, key, c, nil)
}

// previewUpdate is PreviewUpdate. lost is as in [means].
func (s *Store) previewUpdate(ctx context.Context, key UserKey, c Change, lost *administratorsLost) (after User, changed []Field, err error) {
	before, err := s.loadUser(ctx, key)
	if err != nil {
		return User{}, nil, err
	}
	if c, err = s.withPast(ctx, s.read, c, &before); err != nil {
		return User{}, nil, err
	}
	invalid, refused := s.edit(c, &before, &after)
	switch {
	case refused != nil || len(invalid) > 0:
	case lost != nil:
		lost.add(&before, &after)
	case losesAdministrator(&before, &after):
		if invalid, err = lastAdministrator(ctx, s.read, &before, &after); err != nil {
			return User{}, nil, err
		}
		if len(invalid) > 0 {
			return User{}, nil, s.refusal(ctx, s.read, &before, &after, nil, nil)
		}
	}
	if refused != nil || len(invalid) > 0 {
		return User{}, nil, s.refusal(ctx, s.read, &before, &after, refused, invalid)
	}
	followed, err := follow(ctx, s.read, c, &before, &after)
	if err != nil {
		return User{}, nil, err
	}
	if changed = Diff(&before, &after); len(changed) == 0 {
		return before, nil, nil
	}
	if err := checkNames(ctx, s.read, &before, &after, followed); err != nil {
		return User{}, nil, err
	}
	s.stamp(&before, &after, c.Actor)
	return after, changed, nil
}

// checkNames returns the *ConflictError with which the database would refuse the names that an update changes, or nil. It leaves out a
// username that followed the e-mail, which then does not follow.
func checkNames(ctx context.Context, db *gorm.DB, before, after *User, followed bool) error {
	var renamed []Field
	for _, f := range names {
		if f.value(before) != f.value(after) && (!followed || f.field != FieldUsername) {
			renamed = append(renamed, f.field)
		}
	}
	if !equal(before.ExternalID, after.ExternalID) {
		renamed = append(renamed, FieldExternalID)
	}
	others, err := taken(ctx, db, before.ID, after, renamed...)
	if err != nil || len(others) == 0 {
		return err
	}
	return fmt.Errorf("updating user: %w", &ConflictError{others})
}

// PreviewCreation makes u what CreateUser would make it at the moment, except for ID, which stays as it is, and the sealed columns, or
// returns CreateUser's error. It writes nothing and takes no id. The UUID and the access token are not those of a later CreateUser.
func (s *Store) PreviewCreation(ctx context.Context, u *User) error {
	row, invalid := s.complete(u, s.now())
	if len(invalid) > 0 {
		return fmt.Errorf("creating user: %w", &invalid)
	}
	if _, err := s.FindCustomer(ctx, CustomerByID(u.CustomerID)); errors.Is(err, ErrNotFound) {
		return fmt.Errorf("creating user: customer: %w", ErrNotFound)
	} else if err != nil {
		return fmt.Errorf("creating user: %w", err)
	}
	others, err := taken(ctx, s.read, 0, &row, slices.Concat([]Field{FieldUUID}, changeable)...)
	if err != nil {
		return err
	}
	if len(others) > 0 {
		return fmt.Errorf("creating user: %w", &ConflictError{others})
	}
	row.Version = 1
	*u = row
	return nil
}
