package store

import (
	"context"
	"fmt"

	"gorm.io/gorm"
)

// rekeyedAtOnce is how many users' secrets are sealed anew in one transaction.
const rekeyedAtOnce = 500

// Rekeyed is how much [Store.Rekey] has sealed anew.
type Rekeyed struct {
	Users          int64 // with all their secrets
	Records        int64 // of answers under idempotency keys
	WebhookSecrets int64
}

// Rekey seals with the present key whatever one of Config.OldSecretKeys has sealed, and returns how much that was, also if it fails later.
// Then the old keys are no longer needed, and a store is not opened with them any more. It may run while the directory is in use, as soon as
// every server seals with the present key; what is sealed is not changed, so neither versions nor histories are.
func (s *Store) Rekey(ctx context.Context) (done Rekeyed, err error) {
	for {
		all := int64(0)
		for _, part := range []struct {
			rekey func(context.Context) (found, written int64, err error)
			count *int64
		}{{s.rekeyAll, &done.Users}, {s.rekeyRecords, &done.Records}, {s.rekeyWebhooks, &done.WebhookSecrets}} {
			found, written, err := part.rekey(ctx)
			*part.count += written
			if err != nil {
				return done, err
			}
			all += found
		}
		if all == 0 {
			return done, s.forgetKeys(ctx)
		}
		// Another writer may have been first with some: a pass that finds nothing is the last.
	}
}

// rekeyAll seals anew the secrets of all users that it finds under an old key, and returns how many users it found and how many of
// them it wrote: not those whom another writer changed meanwhile.
func (s *Store) rekeyAll(ctx context.Context) (found, written int64, err error) {
	stale := s.keys.sealing + ".%"
	for last := (User{}); ; {
		var batch []User
		err := s.read.WithContext(ctx).
			Where("(customer_id, id) > (?, ?) AND (access_token_sealed NOT LIKE ? OR vcs_password_sealed NOT LIKE ?)", last.CustomerID, last.ID, stale, stale).
			Order("customer_id, id").Limit(rekeyedAtOnce).Find(&batch).Error
		if err != nil {
			return found, written, databaseError(ctx, "looking for secrets under old keys", err)
		}
		if len(batch) == 0 {
			return found, written, nil
		}
		if err := s.openAll(batch); err != nil {
			return found, written, err
		}
		var wrote int64
		err = s.transaction(ctx, func(tx *gorm.DB) error {
			wrote = 0
			for i := range batch {
				n, err := s.rekeyUser(ctx, tx, &batch[i])
				if err != nil {
					return err
				}
				wrote += n
			}
			return nil
		})
		if err != nil {
			return found, written, err
		}
		found, written = found+int64(len(batch)), written+wrote
		last = batch[len(batch)-1]
	}
}

// rekeyUser returns how many users it wrote: none if another writer has changed the user since it was read.
func (s *Store) rekeyUser(ctx context.Context, tx *gorm.DB, u *User) (written int64, err error) {
	fresh := *u
	s.keys.sealSecrets(u, &fresh)
	update := tx.Model(&User{}).
		Where("id = ? AND customer_id = ? AND version = ?", u.ID, u.CustomerID, u.Version).
		Select("access_token_sealed", "vcs_password_sealed").Updates(&fresh)
	if update.Error != nil {
		return 0, databaseError(ctx, fmt.Sprintf("sealing the secrets of user %d anew", u.ID), update.Error)
	}
	return update.RowsAffected, nil
}

// rekeyRecords does for idempotency records what rekeyAll does for users. They are never altered otherwise, only deleted.
func (s *Store) rekeyRecords(ctx context.Context) (found, written int64, err error) {
	const doing = "sealing idempotency records anew"
	type row struct {
		CustomerID   int64
		Hash, Sealed string
	}
	for last := (row{}); ; {
		var batch []row
		err := s.read.WithContext(ctx).Table("idempotency_records").Select("customer_id, hash, sealed").
			Where("(customer_id, hash) > (?, ?) AND sealed NOT LIKE ?", last.CustomerID, last.Hash, s.keys.sealing+".%").
			Order("customer_id, hash").Limit(rekeyedAtOnce).Find(&batch).Error
		if err != nil {
			return found, written, databaseError(ctx, doing, err)
		}
		if len(batch) == 0 {
			return found, written, nil
		}
		var wrote int64
		err = s.transaction(ctx, func(tx *gorm.DB) error {
			wrote = 0
			for _, r := range batch {
				key, err := recordKey(r.CustomerID, r.Hash)
				if err != nil {
					return err
				}
				sealed, err := s.keys.resealRecord(key, r.Sealed)
				if err != nil {
					return err
				}
				update := tx.Exec("UPDATE idempotency_records SET sealed = ? WHERE customer_id = ? AND hash = ? AND sealed = ?", sealed, r.CustomerID, r.Hash, r.Sealed)
				if update.Error != nil {
					return databaseError(ctx, doing, update.Error)
				}
				wrote += update.RowsAffected
			}
			return nil
		})
		if err != nil {
			return found, written, err
		}
		found, written = found+int64(len(batch)), written+wrote
		last = batch[len(batch)-1]
	}
}
