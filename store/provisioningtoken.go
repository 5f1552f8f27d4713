package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store/engine"
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

var insertProvisioningTokens = newInsertion("provisioning_tokens",
	"hash", "id", "customer_id", "role", "note", "created_at", "created_by", "expires_at")

// insertion makes the statement that stores a new token.
func (t *ProvisioningToken) insertion() engine.SQL {
	return insertProvisioningTokens.of([]any{
		t.Hash, t.ID, t.CustomerID, t.Role, t.Note, t.CreatedAt.UnixMilli(), t.CreatedBy, t.ExpiresAt.UnixMilli(),
	})
}

// CreateProvisioningToken stores a new token. It sets CreatedAt, and ID where that is zero. The error is a *[FieldErrors] if the role is
// unknown, the note too long, the expiry not within MaxProvisioningTokenLife from now, or the customer has MaxProvisioningTokens already;
// ErrNotFound if there is no such customer; ErrBusy; or ErrUnavailable.
func (s *Store) CreateProvisioningToken(ctx context.Context, t *ProvisioningToken) error {
	row, err := s.newProvisioningToken(*t)
	if err != nil {
		return err
	}
	err = s.transaction(ctx, func(tx *gorm.DB) error {
		if err := lockForProvisioningToken(ctx, tx, row); err != nil {
			return err
		}
		return databaseErrorOrNil(ctx, creatingProvisioningToken, execute(tx, row.insertion()))
	})
	if err != nil {
		return err
	}
	*t = row
	return nil
}

// PrepareProvisioningToken prepares [Store.CreateProvisioningToken]. It sets in t what that would set, and returns the errors that it would
// return. The customer is locked until Commit or Close, so the caller must do nothing slow between.
func (s *Store) PrepareProvisioningToken(ctx context.Context, t *ProvisioningToken) (*Prepared, error) {
	row, err := s.newProvisioningToken(*t)
	if err != nil {
		return nil, err
	}
	p := &Prepared{s: s, step: engine.Step{Statements: []engine.SQL{row.insertion()}}}
	if p.tx, p.end, err = s.begin(ctx); err != nil {
		return nil, err
	}
	if err := lockForProvisioningToken(ctx, p.tx, row); err != nil {
		p.Close()
		return nil, s.again(ctx, err)
	}
	*t = row
	return p, nil
}

// PreviewProvisioningToken makes t what CreateProvisioningToken would make it at the moment, or returns that one's error. It writes nothing,
// and no token will have the ID.
func (s *Store) PreviewProvisioningToken(ctx context.Context, t *ProvisioningToken) error {
	row, err := s.newProvisioningToken(*t)
	if err != nil {
		return err
	}
	if _, err := s.FindCustomer(ctx, CustomerByID(row.CustomerID)); err != nil {
		return fmt.Errorf("%s: %w", creatingProvisioningToken, err)
	}
	if err := checkProvisioningTokens(ctx, s.find.WithContext(ctx), row); err != nil {
		return err
	}
	*t = row
	return nil
}

const creatingProvisioningToken = "creating a provisioning token"

// newProvisioningToken returns t as it is to be stored, or a *FieldErrors.
func (s *Store) newProvisioningToken(t ProvisioningToken) (ProvisioningToken, error) {
	t.CreatedAt, t.ExpiresAt = s.now(), inMillis(t.ExpiresAt)
	t.RevokedAt, t.LastUsedAt = nil, nil
	if t.ID == uuid.Nil {
		t.ID = s.NewUUID()
	}
	var wrong FieldErrors
	if _, ok := s.catalogue.ByName(t.Role); !ok {
		wrong.add(FieldTokenRole, "must be the name of a role")
	}
	wrong.add(FieldTokenNote, checkText(t.Note, MaxProvisioningNote))
	if !t.ExpiresAt.After(t.CreatedAt) || t.ExpiresAt.After(t.CreatedAt.Add(MaxProvisioningTokenLife)) {
		wrong.add(FieldTokenExpires, fmt.Sprintf("must be in the future, and at most %d days from now", int(MaxProvisioningTokenLife.Hours()/24)))
	}
	if len(wrong) > 0 {
		return ProvisioningToken{}, fmt.Errorf("%s: %w", creatingProvisioningToken, &wrong)
	}
	return t, nil
}

// lockForProvisioningToken returns an error unless the customer of a new token may have one more. Others who create one for the customer
// wait until tx ends, so that the number is exact.
func lockForProvisioningToken(ctx context.Context, tx *gorm.DB, t ProvisioningToken) error {
	err := lockCustomer(ctx, tx, t.CustomerID)
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return fmt.Errorf("%s: customer: %w", creatingProvisioningToken, ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", creatingProvisioningToken, err)
	}
	return checkProvisioningTokens(ctx, tx, t)
}

// checkProvisioningTokens returns a *FieldErrors if the customer of a new token has MaxProvisioningTokens valid ones.
func checkProvisioningTokens(ctx context.Context, db *gorm.DB, t ProvisioningToken) error {
	var valid int64
	err := db.Model(&ProvisioningToken{}).
		Where("customer_id = ? AND revoked_at IS NULL AND expires_at > ?", t.CustomerID, t.CreatedAt.UnixMilli()).Count(&valid).Error
	if err != nil {
		return databaseError(ctx, creatingProvisioningToken, err)
	}
	if valid >= MaxProvisioningTokens {
		wrong := FieldErrors{{FieldCustomer, fmt.Sprintf("must have fewer than %d valid tokens: revoke some", MaxProvisioningTokens)}}
		return fmt.Errorf("%s: %w", creatingProvisioningToken, &wrong)
	}
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

// ProvisioningTokensAfter returns up to limit tokens of a customer, oldest first, also those that are revoked or expired: those after the one
// with an id, or the first ones for the zero UUID. The error is ErrNotFound if the customer has no token with the id.
func (s *Store) ProvisioningTokensAfter(ctx context.Context, customerID int64, after uuid.UUID, limit int) (page []ProvisioningToken, err error) {
	db := s.find.WithContext(ctx).Where("customer_id = ?", customerID)
	if after != uuid.Nil {
		last, err := s.FindProvisioningTokenByID(ctx, customerID, after)
		if err != nil {
			return nil, err
		}
		db = db.Where("(created_at, id) > (?, ?)", last.CreatedAt.UnixMilli(), last.ID)
	}
	err = db.Order("created_at, id").Limit(limit).Find(&page).Error
	return page, databaseErrorOrNil(ctx, "listing provisioning tokens", err)
}

// FindProvisioningTokenByID returns a customer's token with this id, also if it is revoked or expired, or ErrNotFound.
func (s *Store) FindProvisioningTokenByID(ctx context.Context, customerID int64, id uuid.UUID) (t ProvisioningToken, err error) {
	err = take(ctx, s.find.WithContext(ctx), &t, "finding a provisioning token", map[string]any{"customer_id": customerID, "id": id})
	return t, err
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
