package store

import (
	"context"
	"fmt"

	"gorm.io/gorm"
)

// rekeyedAtOnce is how many users' secrets are sealed anew in one transaction.
const rekeyedAtOnce = 500

// Rekey seals with the present key whatever one of Config.OldSecretKeys has sealed, and returns of how many users. Then the
// old keys are no longer needed, and a store is not opened with them any more. It may run while the directory is in use, as soon as every server seals with the present key;
// what is sealed is not changed, so neither versions nor histories are.
func (s *Store) Rekey(ctx context.Context) (users int64, err error) {
	for {
		before := users
		if users, err = s.rekeyAll(ctx, users); err != nil {
			return users, err
		}
		if users == before {
			return users, s.forgetKeys(ctx)
		}
		// Another writer may have been first with some: a pass that finds nothing is the last.
	}
}

func (s *Store) rekeyAll(ctx context.Context, users int64) (int64, error) {
	stale := s.keys.sealing + ".%"
	for after := int64(0); ; {
		var batch []User
		err := s.read.WithContext(ctx).
			Where("id > ? AND (access_token_sealed NOT LIKE ? OR vcs_password_sealed NOT LIKE ?)", after, stale, stale).
			Order("id").Limit(rekeyedAtOnce).Find(&batch).Error
		if err != nil {
			return users, databaseError(ctx, "looking for secrets under old keys", err)
		}
		if len(batch) == 0 {
			return users, nil
		}
		if err := s.openAll(batch); err != nil {
			return users, err
		}
		err = s.transaction(ctx, func(tx *gorm.DB) error {
			for i := range batch {
				if err := s.rekeyUser(ctx, tx, &batch[i]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return users, err
		}
		users += int64(len(batch))
		after = batch[len(batch)-1].ID
	}
}

// rekeyUser leaves a user alone whose secrets another writer has touched.
func (s *Store) rekeyUser(ctx context.Context, tx *gorm.DB, u *User) error {
	fresh := *u
	s.keys.sealSecrets(u, &fresh)
	err := tx.Model(&User{}).
		Where("id = ? AND customer_id = ? AND version = ?", u.ID, u.CustomerID, u.Version).
		Select("access_token_sealed", "vcs_password_sealed").Updates(&fresh).Error
	if err != nil {
		return databaseError(ctx, fmt.Sprintf("sealing the secrets of user %d anew", u.ID), err)
	}
	return nil
}
