package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

// ProvisioningToken is the credential with which a provisioning client manages the users of one customer. The store has its hash, not the
// token itself.
type ProvisioningToken struct {
	Hash       string    // of the token, in the form that its issuer chooses
	ID         uuid.UUID // by which operators and the history name it
	CustomerID int64
	Role       string     // the name of the highest role that the client may have to do with
	Note       string     // what it is for, at most 256 characters
	CreatedAt  time.Time  `gorm:"serializer:epochms;autoCreateTime:false"`
	CreatedBy  string     // the subject of who created it
	ExpiresAt  time.Time  `gorm:"serializer:epochms"`
	RevokedAt  *time.Time `gorm:"serializer:epochms"` // nil: it is not revoked
	LastUsedAt *time.Time `gorm:"serializer:epochms"` // nil: it was not used yet; else at most LastUseInterval too early
}

const (
	// MaxProvisioningTokenLife is how long a token is valid at most.
	MaxProvisioningTokenLife = 2 * 365 * 24 * time.Hour
	// MaxProvisioningTokens is how many tokens of a customer may be valid at once.
	MaxProvisioningTokens = 100
	// MaxProvisioningNote is the maximum length of a note in characters.
	MaxProvisioningNote = 256
	// LastUseInterval is how often the time of a token's last use is written at most.
	LastUseInterval = time.Hour
)

// The fields of a provisioning token, as errors name them.
const (
	FieldTokenRole    Field = "Role"
	FieldTokenNote    Field = "Note"
	FieldTokenExpires Field = "ExpiresAt"
)

// CreateProvisioningToken stores a new token. It sets ID and CreatedAt. The error is a *[FieldErrors] if the role is unknown, the note too
// long, the expiry not within MaxProvisioningTokenLife from now, or the customer has MaxProvisioningTokens already; ErrNotFound if there is
// no such customer; ErrBusy; or ErrUnavailable.
func (s *Store) CreateProvisioningToken(ctx context.Context, t *ProvisioningToken) error {
	const doing = "creating a provisioning token"
	row := *t
	row.ID, row.CreatedAt, row.ExpiresAt = s.NewUUID(), s.now(), inMillis(t.ExpiresAt)
	row.RevokedAt, row.LastUsedAt = nil, nil
	var wrong FieldErrors
	if _, ok := s.catalogue.ByName(row.Role); !ok {
		wrong.add(FieldTokenRole, "must be the name of a role")
	}
	wrong.add(FieldTokenNote, checkText(row.Note, MaxProvisioningNote))
	if !row.ExpiresAt.After(row.CreatedAt) || row.ExpiresAt.After(row.CreatedAt.Add(MaxProvisioningTokenLife)) {
		wrong.add(FieldTokenExpires, fmt.Sprintf("must be in the future, and at most %d days from now", int(MaxProvisioningTokenLife.Hours()/24)))
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%s: %w", doing, &wrong)
	}
	err := s.transaction(ctx, func(tx *gorm.DB) error {
		// Others who create one for the customer wait here, so that the number is exact.
		err := lockCustomer(ctx, tx, row.CustomerID)
		if errors.Is(err, gorm.ErrRecordNotFound) {
			return fmt.Errorf("customer: %w", ErrNotFound)
		}
		if err != nil {
			return err
		}
		var valid int64
		err = tx.Model(&ProvisioningToken{}).
			Where("customer_id = ? AND revoked_at IS NULL AND expires_at > ?", row.CustomerID, row.CreatedAt.UnixMilli()).Count(&valid).Error
		if err != nil {
			return databaseError(ctx, doing, err)
		}
		if valid >= MaxProvisioningTokens {
			return &FieldErrors{{FieldCustomer, fmt.Sprintf("must have fewer than %d valid tokens: revoke some", MaxProvisioningTokens)}}
		}
		return databaseErrorOrNil(ctx, doing, tx.Create(&row).Error)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	*t = row
	return nil
}

// FindProvisioningToken returns the token with this hash, also if it is revoked or expired, or ErrNotFound.
func (s *Store) FindProvisioningToken(ctx context.Context, hash string) (ProvisioningToken, error) {
	var t ProvisioningToken
	err := take(ctx, s.find.WithContext(ctx), &t, "finding a provisioning token", map[string]any{"hash": hash})
	return t, err
}

// ProvisioningTokens returns the tokens of a customer, or of all customers for 0, oldest first, also those that are revoked or expired.
func (s *Store) ProvisioningTokens(ctx context.Context, customerID int64) (all []ProvisioningToken, err error) {
	db := s.find.WithContext(ctx)
	if customerID != 0 {
		db = db.Where("customer_id = ?", customerID)
	}
	err = db.Order("customer_id, created_at, id").Find(&all).Error
	return all, databaseErrorOrNil(ctx, "listing provisioning tokens", err)
}

// RevokeProvisioningToken revokes a token of a customer, or of any customer for 0. For a token that is revoked already it does nothing. The
// error is ErrNotFound if there is no such token; ErrBusy; or ErrUnavailable.
func (s *Store) RevokeProvisioningToken(ctx context.Context, customerID int64, id uuid.UUID) error {
	const doing = "revoking a provisioning token"
	return s.transaction(ctx, func(tx *gorm.DB) error {
		which := map[string]any{"id": id}
		if customerID != 0 {
			which["customer_id"] = customerID
		}
		done := tx.Model(&ProvisioningToken{}).Where(which).Update("revoked_at", gorm.Expr("coalesce(revoked_at, ?)", s.now().UnixMilli()))
		if done.Error != nil {
			return databaseError(ctx, doing, done.Error)
		}
		if done.RowsAffected == 0 {
			return fmt.Errorf("%s: %w", doing, ErrNotFound)
		}
		return nil
	})
}

// UseProvisioningToken records that a token is used, unless a use within LastUseInterval is recorded already.
func (s *Store) UseProvisioningToken(ctx context.Context, t ProvisioningToken) error {
	now := s.now()
	if t.LastUsedAt != nil && now.Sub(*t.LastUsedAt) < LastUseInterval {
		return nil
	}
	return s.transaction(ctx, func(tx *gorm.DB) error {
		err := tx.Model(&ProvisioningToken{}).Where("hash = ? AND (last_used_at IS NULL OR last_used_at < ?)", t.Hash, now.Add(-LastUseInterval).UnixMilli()+1).
			Update("last_used_at", now.UnixMilli()).Error
		return databaseErrorOrNil(ctx, "recording the use of a provisioning token", err)
	})
}

// Valid reports whether a token is neither revoked nor expired at a time.
func (t ProvisioningToken) Valid(at time.Time) bool {
	return t.RevokedAt == nil && at.Before(t.ExpiresAt)
}
