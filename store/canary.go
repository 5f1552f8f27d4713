package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/dragoman-id/dragoman/store/postgres"
)

// secretKey is a row of secret_keys: the id of a key that has sealed secrets, and a canary sealed with that key.
type secretKey struct {
	ID     string
	Canary string
}

// TableName returns the name of the table, for gorm.
func (secretKey) TableName() string { return "secret_keys" }

// The canary is sealed for the nil UUID instead of a user's, and for a column that users do not have.
const (
	canaryColumn = "canary"
	canaryText   = "dragoman"
)

// ErrSecretKey: the database's secrets are sealed with a key that is not configured. The error contains that key's id.
var ErrSecretKey = errors.New("the database's secrets are sealed with another key: set --secret-key (DRAGOMAN_SECRET_KEY) to that key, " +
	"or name it in --old-secret-key (DRAGOMAN_OLD_SECRET_KEY) and run `dragoman rekey` to replace it")

func unknownKey(id string) error { return fmt.Errorf("%w; its id is %s", ErrSecretKey, id) }

// checkKeys returns ErrSecretKey unless the configured keys open the secrets in the database. It records a canary of the key that
// seals from now on. A key with a canary that seals no secret may be missing, if another recorded key is configured: it was
// configured for a while and replaced before it was used.
func (s *Store) checkKeys(ctx context.Context) error {
	recorded, err := s.findKeys(s.read.WithContext(ctx))
	if err != nil {
		return err
	}
	if recorded {
		return nil
	}
	err = s.transaction(ctx, func(tx *gorm.DB) error {
		if err := s.db.Lock(tx, "dragoman.keys"); err != nil {
			return databaseError(ctx, "locking the canaries of secret keys", err)
		}
		recorded, err := s.findKeys(tx)
		if err != nil || recorded {
			return err
		}
		return s.recordKeys(ctx, tx)
	})
	if postgres.IsReadOnly(err) {
		// A read-only server seals nothing, so it suffices that the keys open the present secrets.
		return s.openSample(ctx, s.read, func(string) {})
	}
	return err
}

// findKeys checks the canaries and reports whether the sealing key has one.
func (s *Store) findKeys(db *gorm.DB) (recorded bool, err error) {
	ctx := db.Statement.Context
	var keys []secretKey
	if err := db.Order("id").Find(&keys).Error; err != nil {
		return false, databaseError(ctx, "reading the canaries of secret keys", err)
	}
	known := false
	var missing []string
	for _, k := range keys {
		if _, ok := s.keys.keys[k.ID]; !ok {
			missing = append(missing, k.ID)
			continue
		}
		if _, err := s.keys.open(uuid.Nil, canaryColumn, k.Canary); err != nil {
			return false, fmt.Errorf("%w: %w", unknownKey(k.ID), err)
		}
		known = true
		recorded = recorded || k.ID == s.keys.sealing
	}
	for _, id := range missing {
		if !known {
			return false, unknownKey(id)
		}
		users := db.Model(&User{}).Where("access_token_sealed LIKE ? OR vcs_password_sealed LIKE ?", id+".%", id+".%")
		records := db.Table("idempotency_records").Where("sealed LIKE ?", id+".%")
		webhooks := db.Model(&webhookSecret{}).Where("sealed LIKE ?", id+".%")
		for _, those := range []*gorm.DB{users, records, webhooks} {
			var sealed []int64
			if err := those.Select("1").Limit(1).Scan(&sealed).Error; err != nil {
				return false, databaseError(ctx, "looking for secrets under another key", err)
			}
			if len(sealed) > 0 {
				return false, unknownKey(id)
			}
		}
	}
	return recorded, nil
}

// recordKeys writes the sealing key's canary. A directory may be older than canaries, so it also writes the canary of each key that
// opens one of the secrets sampled by openSample.
func (s *Store) recordKeys(ctx context.Context, tx *gorm.DB) error {
	ids := []string{s.keys.sealing}
	if err := s.openSample(ctx, tx, func(id string) { ids = append(ids, id) }); err != nil {
		return err
	}
	for _, id := range ids {
		row := secretKey{id, s.keys.sealWith(id, uuid.Nil, canaryColumn, canaryText)}
		if err := tx.WithContext(ctx).Clauses(clause.OnConflict{DoNothing: true}).Create(&row).Error; err != nil {
			return databaseError(ctx, "recording the secret key", err)
		}
	}
	return nil
}

// openSample opens the secrets of the first and of the last user, and calls report with the id of the key of each. It ignores damaged
// secrets, which fail when they are read.
func (s *Store) openSample(ctx context.Context, db *gorm.DB, report func(keyID string)) error {
	for _, order := range []string{"customer_id, id", "customer_id DESC, id DESC"} {
		var users []User
		if err := db.WithContext(ctx).Order(order).Limit(1).Find(&users).Error; err != nil {
			return databaseError(ctx, "looking for a secret to try the key on", err)
		}
		for i := range users {
			id, _, _ := strings.Cut(users[i].AccessTokenSealed, ".")
			if _, known := s.keys.keys[id]; !known && keyIDPattern.MatchString(id) {
				return unknownKey(id)
			}
			if s.keys.openSecrets(&users[i]) == nil {
				report(id)
			}
		}
	}
	return nil
}

// forgetKeys removes the canaries of all keys but the sealing one, unless some secret is still sealed with another key.
func (s *Store) forgetKeys(ctx context.Context) error {
	present := s.keys.sealing + ".%"
	sealedOtherwise := s.write.Model(&User{}).Select("1").
		Where("access_token_sealed NOT LIKE ? OR vcs_password_sealed NOT LIKE ?", present, present)
	recordSealedOtherwise := s.write.Table("idempotency_records").Select("1").Where("sealed NOT LIKE ?", present)
	webhookSealedOtherwise := s.write.Model(&webhookSecret{}).Select("1").Where("sealed NOT LIKE ?", present)
	err := s.write.WithContext(ctx).Where("id <> ? AND NOT EXISTS (?) AND NOT EXISTS (?) AND NOT EXISTS (?)",
		s.keys.sealing, sealedOtherwise, recordSealedOtherwise, webhookSealedOtherwise).Delete(&secretKey{}).Error
	if err != nil {
		return databaseError(ctx, "removing the canaries of old keys", err)
	}
	return nil
}
