package store

import (
	"context"
	"fmt"
	"slices"

	"gorm.io/gorm"
)

// UpdateUsers makes the same change to several users of a customer in one transaction: to all of them, or to none. It returns the ids of
// those that it changed. The rules and the errors are those of [Store.UpdateUser], which see; Base and Merge must be nil. The rule that a
// customer keeps an administrator is checked of all of them together: some may be administrators after the change whom it takes the place of.
func (s *Store) UpdateUsers(ctx context.Context, customerID int64, ids []int64, c Change) (changed []int64, err error) {
	ids = distinct(ids)
	for range maxAttempts {
		changed, err = s.updateUsersOnce(ctx, customerID, ids, c)
		if err == nil {
			return changed, nil
		}
		why, again := retryReason(err)
		if !again {
			return nil, err
		}
		s.observer.retry(ctx, why)
	}
	s.observer.retry(ctx, RetryGivenUp)
	return nil, fmt.Errorf("updating users: %w: other writers were first %d times", ErrBusy, maxAttempts)
}

// PreviewUpdates returns the error for which UpdateUsers would fail at the moment, and the ids of those whom it would change. It writes
// nothing and locks nothing.
func (s *Store) PreviewUpdates(ctx context.Context, customerID int64, ids []int64, c Change) (changed []int64, err error) {
	var lost administratorsLost
	for _, id := range distinct(ids) {
		_, fields, err := s.previewUpdate(ctx, UserByID(customerID, id), c, &lost)
		if err != nil {
			return nil, err
		}
		if len(fields) > 0 {
			changed = append(changed, id)
		}
	}
	if err := lost.check(ctx, s.read, customerID); err != nil {
		return nil, err
	}
	return changed, nil
}

// distinct returns ids in ascending order, each once: in this order rows are locked.
func distinct(ids []int64) []int64 { return slices.Compact(slices.Sorted(slices.Values(ids))) }

// written is a user as an update has left it, and the fields that the update changed.
type written struct {
	user   User
	fields []Field
}

func (s *Store) updateUsersOnce(ctx context.Context, customerID int64, ids []int64, c Change) ([]int64, error) {
	var all []written
	err := s.transactionOnce(ctx, func(tx *gorm.DB) (err error) {
		if all, err = s.updateUsers(ctx, tx, customerID, ids, c); err == nil && len(all) == 0 && len(ids) > 0 {
			return s.settle(ctx, tx)
		}
		return err
	})
	if err != nil {
		return nil, s.explainDuplicate(ctx, err)
	}
	return s.wrote(all), nil
}

// updateUsers carries out UpdateUsers in a transaction, and returns those whom it changes.
func (s *Store) updateUsers(ctx context.Context, tx *gorm.DB, customerID int64, ids []int64, c Change) (all []written, err error) {
	var lost administratorsLost
	for _, id := range ids {
		after, fields, err := s.updateUser(ctx, means{db: tx, locked: true, lost: &lost}, UserByID(customerID, id), c)
		if err != nil {
			return nil, err
		}
		if len(fields) > 0 {
			all = append(all, written{after, fields})
		}
	}
	if len(lost.ids) > 0 {
		// Of two who write at once the second one then sees what the first has left.
		if err := lockCustomer(ctx, tx, customerID); err != nil {
			return nil, err
		}
	}
	return all, lost.check(ctx, tx, customerID)
}

// wrote updates the caches after a commit, and returns the users' ids.
func (s *Store) wrote(all []written) []int64 {
	for i := range all {
		s.remember(&all[i].user)
		s.wroteStanding(&all[i].user, all[i].fields)
	}
	return idsOf(all)
}

func idsOf(all []written) []int64 {
	ids := make([]int64, len(all))
	for i := range all {
		ids[i] = all[i].user.ID
	}
	return ids
}
