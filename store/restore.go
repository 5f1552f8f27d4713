package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// errChanged: the user no longer has the version up to which the history was read.
var errChanged = errors.New("the user was changed while its history was read")

// RestoreUser writes the state that the user had at a version back as a new change, on actor's behalf. The change is checked and
// recorded like any other. Secrets, a legal hold, and the time of the last password reset, stay as they are. It returns what [Store.UpdateUser]
// returns, and ErrNotFound also when the history does not reach back to the version, and ErrValueErased when it no longer has a value of that version.
func (s *Store) RestoreUser(ctx context.Context, key UserKey, version int64, actor *uuid.UUID) (User, []Field, error) {
	for range maxAttempts {
		_, restoring, err := s.restoring(ctx, key, version, actor)
		if err != nil {
			return User{}, nil, fmt.Errorf("restoring user: %w", err)
		}
		after, changed, err := s.UpdateUser(ctx, key, restoring)
		if !errors.Is(err, errChanged) {
			return after, changed, err
		}
	}
	return User{}, nil, fmt.Errorf("restoring user: %w", ErrBusy)
}

// PreviewRestore returns the fields that [Store.RestoreUser] would change, or its error, and the user's current version. It
// writes nothing.
func (s *Store) PreviewRestore(ctx context.Context, key UserKey, version int64) (present int64, changed []Field, err error) {
	present, restoring, err := s.restoring(ctx, key, version, nil)
	if err != nil {
		return 0, nil, fmt.Errorf("previewing restore: %w", err)
	}
	_, changed, err = s.PreviewUpdate(ctx, key, restoring)
	if errors.Is(err, errChanged) {
		err = ErrBusy
	}
	if err != nil {
		return 0, nil, fmt.Errorf("previewing restore: %w", err)
	}
	return present, changed, nil
}

// restoring returns the change that restores a version of a user, and the user's current version, which the change requires.
func (s *Store) restoring(ctx context.Context, key UserKey, version int64, actor *uuid.UUID) (present int64, c Change, err error) {
	present, undo, err := s.changesSince(ctx, key, version)
	if err != nil {
		return 0, Change{}, err
	}
	return present, Change{
		Actor:    actor,
		restores: true,
		Edit: func(u *User) error {
			if u.Version != present {
				return errChanged
			}
			return s.undo(u, undo)
		},
	}, nil
}

// changesSince returns the user's current version and the changes that were made after the given one, oldest first.
func (s *Store) changesSince(ctx context.Context, key UserKey, version int64) (present int64, changes []UserChange, err error) {
	u, err := s.FindUser(ctx, key)
	if err != nil {
		return 0, nil, err
	}
	if changes, err = changesBetween(ctx, s.read, &u, version); err != nil {
		return 0, nil, err
	}
	if len(changes) == 0 || changes[0].Version != version || int64(len(changes)) != u.Version-version+1 {
		return 0, nil, fmt.Errorf("version %d is not in the history: %w", version, ErrNotFound)
	}
	return u.Version, changes[1:], nil
}

// undo reverts the changes, newest first.
func (s *Store) undo(u *User, changes []UserChange) error {
	lost := map[Field]int64{}
	for i := len(changes) - 1; i >= 0; i-- {
		for _, f := range changes[i].Fields {
			row := editableNamed[f.Field]
			if row == nil || !row.restorable {
				continue
			}
			delete(lost, f.Field)
			if f.Old == erasedValue && !row.kept {
				lost[f.Field] = changes[i].Version
				continue
			}
			if wrong := row.set(u, f.Old, s.catalogue); wrong != "" {
				return fmt.Errorf("version %d: %s %s", changes[i].Version, f.Field, wrong)
			}
		}
	}
	for _, f := range editable {
		if version, ok := lost[f.name]; ok {
			return fmt.Errorf("the value that %s had before version %d was erased from the history: %w", f.name, version, ErrValueErased)
		}
	}
	return nil
}
