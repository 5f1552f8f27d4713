package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"gorm.io/gorm"
)

// UpdateUsers makes the same change to several users of a customer in one transaction: to all of them, or to none. It returns the ids of
// those that it changed. The rules and the errors are those of [Store.UpdateUser], which see; Base and Merge must be nil. The rule that a
// customer keeps an administrator is checked of the users one after another, so it holds for all of them together.
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
// nothing and locks nothing, and checks each user by itself.
func (s *Store) PreviewUpdates(ctx context.Context, customerID int64, ids []int64, c Change) (changed []int64, err error) {
	for _, id := range distinct(ids) {
		_, fields, err := s.PreviewUpdate(ctx, UserByID(customerID, id), c)
		if err != nil {
			return nil, err
		}
		if len(fields) > 0 {
			changed = append(changed, id)
		}
	}
	return changed, nil
}

// distinct returns ids in ascending order, each once: in this order rows are locked.
func distinct(ids []int64) []int64 { return slices.Compact(slices.Sorted(slices.Values(ids))) }

func (s *Store) updateUsersOnce(ctx context.Context, customerID int64, ids []int64, c Change) ([]int64, error) {
	type written struct {
		user   User
		fields []Field
	}
	var all []written
	err := s.transactionOnce(ctx, func(tx *gorm.DB) error {
		for _, id := range ids {
			after, fields, err := s.updateUser(ctx, means{db: tx, locked: true}, UserByID(customerID, id), c)
			if err != nil {
				return err
			}
			if len(fields) > 0 {
				all = append(all, written{after, fields})
			}
		}
		if len(all) == 0 && len(ids) > 0 {
			return s.settle(ctx, tx)
		}
		return nil
	})
	var d *duplicate
	if errors.As(err, &d) {
		// This query must be outside of the transaction: Postgres runs no statement in a transaction that failed.
		err = s.conflict(ctx, d)
	}
	if err != nil {
		return nil, err
	}
	changed := make([]int64, len(all))
	for i := range all {
		s.remember(&all[i].user)
		s.wroteStanding(&all[i].user, all[i].fields)
		changed[i] = all[i].user.ID
	}
	return changed, nil
}
