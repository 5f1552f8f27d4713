package store

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store/engine"
)

// WebhookSecret is a secret that signs the deliveries to an endpoint.
type WebhookSecret struct {
	Key       []byte
	ExpiresAt *time.Time // when a replaced one is no longer used; nil: it is the current one
}

// webhookSecret is a row of webhook_secrets.
type webhookSecret struct {
	WebhookID int64
	ID        int64
	Sealed    string
	ExpiresAt *time.Time `gorm:"serializer:epochms"`
}

// newWebhookSecret returns a random secret, and its text form. It always uses crypto/rand, not Config.Random.
func newWebhookSecret() (key []byte, text string) {
	key = make([]byte, webhookSecretBytes)
	_, _ = rand.Read(key) // never fails
	return key, webhookSecretPrefix + base64.StdEncoding.EncodeToString(key)
}

// rotation makes the statements that add a secret and let the one that it replaces expire, and delete those that have.
func (s *Store) rotation(id int64, secrets []webhookSecret, overlap time.Duration) (text string, statements []engine.SQL, err error) {
	now := s.now()
	until := inMillis(now.Add(overlap))
	valid, last := 0, int64(0)
	for _, present := range secrets {
		last = max(last, present.ID)
		if present.ExpiresAt == nil && overlap > 0 || present.ExpiresAt != nil && present.ExpiresAt.After(now) {
			valid++
		}
	}
	if valid >= MaxWebhookSecrets {
		return "", nil, &FieldErrors{{FieldWebhookSecrets, fmt.Sprintf("are %d, which is the maximum: wait until one expires", valid)}}
	}
	key, text := newWebhookSecret()
	return text, []engine.SQL{
		{Text: "UPDATE webhook_secrets SET expires_at = ? WHERE webhook_id = ? AND expires_at IS NULL", Arguments: []any{until.UnixMilli(), id}},
		{Text: "DELETE FROM webhook_secrets WHERE webhook_id = ? AND expires_at <= ?", Arguments: []any{id, now.UnixMilli()}},
		insertWebhookSecrets.of([]any{id, last + 1, s.keys.sealWebhookSecret(id, last+1, key)}),
	}, nil
}

// WebhookSecrets returns the secrets of an endpoint that have not expired, the newest first.
func (s *Store) WebhookSecrets(ctx context.Context, id int64) (secrets []WebhookSecret, err error) {
	var rows []webhookSecret
	err = s.read.WithContext(ctx).Where("webhook_id = ? AND (expires_at IS NULL OR expires_at > ?)", id, s.now().UnixMilli()).Order("id DESC").Find(&rows).Error
	if err != nil {
		return nil, databaseError(ctx, "reading the secrets of a webhook", err)
	}
	for _, row := range rows {
		key, err := s.keys.openWebhookSecret(id, row.ID, row.Sealed)
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, WebhookSecret{key, row.ExpiresAt})
	}
	return secrets, nil
}

// webhookSecretPlace is what a sealed secret is bound to.
func webhookSecretPlace(webhook, id int64) string {
	return fmt.Sprintf("webhook_secret %d %d", webhook, id)
}

func (k *keyring) sealWebhookSecret(webhook, id int64, key []byte) string {
	return k.seal(uuid.Nil, webhookSecretPlace(webhook, id), string(key))
}

func (k *keyring) openWebhookSecret(webhook, id int64, sealed string) ([]byte, error) {
	key, err := k.open(uuid.Nil, webhookSecretPlace(webhook, id), sealed)
	if err != nil {
		return nil, fmt.Errorf("opening a secret of webhook %d: %w", webhook, err)
	}
	return []byte(key), nil
}

// rekeyWebhooks does for secrets of endpoints what rekeyAll does for users.
func (s *Store) rekeyWebhooks(ctx context.Context) (found, written int64, err error) {
	const doing = "sealing secrets of webhooks anew"
	var stale []webhookSecret
	err = s.read.WithContext(ctx).Where("sealed NOT LIKE ?", s.keys.sealing+".%").Order("webhook_id, id").Find(&stale).Error
	if err != nil {
		return 0, 0, databaseError(ctx, doing, err)
	}
	for some := range slices.Chunk(stale, rekeyedAtOnce) {
		var wrote int64
		err := s.transaction(ctx, func(tx *gorm.DB) error {
			wrote = 0
			for _, row := range some {
				key, err := s.keys.openWebhookSecret(row.WebhookID, row.ID, row.Sealed)
				if err != nil {
					return err
				}
				update := tx.Exec("UPDATE webhook_secrets SET sealed = ? WHERE webhook_id = ? AND id = ? AND sealed = ?",
					s.keys.sealWebhookSecret(row.WebhookID, row.ID, key), row.WebhookID, row.ID, row.Sealed)
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
		found, written = found+int64(len(some)), written+wrote
	}
	return found, written, nil
}
