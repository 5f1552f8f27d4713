package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

// CreateUser stores a new user of u.CustomerID. It generates ID, UUID, AccessToken, CreatedAt and UpdatedAt where they are
// zero, and keeps them where they are set, for seeding and import. The database never generates an ID that was given explicitly.
// Folded and sealed columns are computed, and Version becomes 1. No other field has a default.
//
// The error is a *[FieldErrors] when the user is invalid; a *[ConflictError] with those of FieldID, FieldUUID,
// FieldUsername and FieldEmail whose values another user has; ErrNotFound when there is no such customer; ErrBusy; or
// ErrUnavailable. On error u is unchanged.
func (s *Store) CreateUser(ctx context.Context, u *User) error {
	for range maxAttempts {
		row := *u
		row.unshare()
		err := s.transaction(ctx, func(tx *gorm.DB) error { return s.createUser(ctx, tx, &row) })
		if err == nil {
			*u = row
			s.wroteStanding(u, nil)
			return nil
		}
		if !errors.Is(err, gorm.ErrDuplicatedKey) {
			return err
		}
		wanted := *u
		wanted.ComputeFolds()
		fields, err := taken(ctx, s.read.WithContext(ctx), 0, &wanted, FieldID, FieldUUID, FieldUsername, FieldEmail)
		if err != nil {
			return err
		}
		if len(fields) > 0 {
			return fmt.Errorf("creating user: %w", &ConflictError{fields})
		}
		// The conflicting user has since changed, so try again.
	}
	return fmt.Errorf("creating user: %w: each of %d attempts conflicted with a user that has changed since", ErrBusy, maxAttempts)
}

func (s *Store) createUser(ctx context.Context, tx *gorm.DB, u *User) error {
	row, invalid := s.complete(u, s.now())
	if len(invalid) > 0 {
		return fmt.Errorf("creating user: %w", &invalid)
	}
	row.Version = 1
	s.keys.sealSecrets(&User{}, &row)
	if err := s.insert(ctx, tx, "user", "users", row.ID, &row); err != nil {
		return err
	}
	if err := execute(tx, claimAll(row)); err != nil {
		return databaseError(ctx, "claiming the names of the user", err)
	}
	change := s.catalogue.creation(ctx, &row, s.now())
	if err := tx.Create(&change).Error; err != nil {
		return databaseError(ctx, "recording the change", err)
	}
	added := addedUsers{}
	added.add(&row)
	if err := addToCounts(ctx, tx, added); err != nil {
		return err
	}
	*u = row
	return nil
}

// complete returns u as CreateUser would store it now, except for a generated ID, Version and the sealed columns. It also returns
// the user's violations.
func (s *Store) complete(u *User, now time.Time) (User, FieldErrors) {
	row := *u
	row.unshare()
	if row.UUID == uuid.Nil {
		row.UUID = s.NewUUID()
	}
	if row.AccessToken == "" {
		row.AccessToken = s.newAccessToken()
	}
	created(now, &row.CreatedAt, &row.UpdatedAt)
	normalize(&row)
	row.ComputeFolds()
	wrong := s.catalogue.validate(&row, nil)
	wrong.add(FieldID, checkID(row.ID))
	return row, wrong
}

// NewUUID returns a new random UUID, such as the store generates for users and customers.
func (s *Store) NewUUID() uuid.UUID { return uuid.Must(uuid.NewRandomFromReader(s.random)) }

// newAccessToken returns a new access token of 128 random bits, in hexadecimal.
func (s *Store) newAccessToken() string {
	var b [16]byte
	if _, err := io.ReadFull(s.random, b[:]); err != nil {
		panic(fmt.Sprintf("reading Config.Random, which must not fail: %v", err))
	}
	return hex.EncodeToString(b[:])
}

// insert stores a row. If id is 0, the database generates it and gorm sets it in row.
func (s *Store) insert(ctx context.Context, tx *gorm.DB, kind, table string, id int64, row any) error {
	if id != 0 {
		if err := s.db.ReserveID(tx, table, id); err != nil {
			return databaseError(ctx, fmt.Sprintf("reserving id %d for %s", id, kind), err)
		}
	}
	err := tx.Create(row).Error
	if errors.Is(err, gorm.ErrForeignKeyViolated) {
		return fmt.Errorf("creating %s: customer: %w", kind, ErrNotFound)
	}
	if err != nil {
		return databaseError(ctx, "creating "+kind, err)
	}
	return nil
}
