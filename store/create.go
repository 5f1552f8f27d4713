package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store/engine"
	"github.com/dragoman-id/dragoman/store/postgres"
)

// CreateUser stores a new user of u.CustomerID. It generates ID, UUID, AccessToken, CreatedAt and UpdatedAt where they are
// zero, and keeps them where they are set, for seeding and import. The database never generates an ID that was given explicitly.
// Folded and sealed columns are computed, and Version becomes 1. No other field has a default.
//
// The error is a *[FieldErrors] when the user is invalid; a *[ConflictError] with those of FieldID, FieldUUID,
// FieldUsername, FieldEmail and FieldExternalID whose values another user has; ErrNotFound when there is no such customer; ErrBusy; or
// ErrUnavailable. On error u is unchanged.
func (s *Store) CreateUser(ctx context.Context, u *User) error {
	for range maxAttempts {
		row, invalid := s.complete(u, s.now())
		if len(invalid) > 0 {
			return fmt.Errorf("creating user: %w", &invalid)
		}
		err := s.giveID(ctx, &row)
		if err == nil {
			err = s.createUser(ctx, &row, s.db.Run)
		}
		switch {
		case err == nil:
			s.wakeSequencer()
			*u = row
			s.wroteStanding(u, nil)
			return nil
		case postgres.RolledBack(err):
			s.observer.retry(ctx, RetryRolledBack)
			continue
		case !errors.Is(err, gorm.ErrDuplicatedKey):
			return err
		}
		if err := s.creationConflict(ctx, u, &row); err != nil {
			return err
		}
		// The conflicting user has since changed, so try again.
	}
	s.observer.retry(ctx, RetryGivenUp)
	return fmt.Errorf("creating user: %w: other writers were first %d times", ErrBusy, maxAttempts)
}

// giveID gives a new user an id, or keeps the id that it has from being generated.
func (s *Store) giveID(ctx context.Context, u *User) (err error) {
	if u.ID != 0 {
		return s.reserveUserID(ctx, u.ID)
	}
	u.ID, err = s.newUserID(ctx)
	return err
}

// creationConflict returns a *ConflictError with the fields of a refused user whose values another user has, or nil if none has
// any longer. wanted is the user as it was given, and row as it was to be stored.
func (s *Store) creationConflict(ctx context.Context, wanted, row *User) error {
	fields, err := taken(ctx, s.read.WithContext(ctx), 0, row, slices.Concat([]Field{FieldID, FieldUUID}, changeable)...)
	if err != nil {
		return err
	}
	if i := slices.Index(fields, FieldID); i >= 0 && wanted.ID == 0 {
		// Another user was given the id that was generated here.
		fields = slices.Delete(fields, i, i+1)
		if err := s.dropUserIDs(ctx, maxID); err != nil {
			return err
		}
	}
	if len(fields) > 0 {
		return fmt.Errorf("creating user: %w", &ConflictError{fields})
	}
	return nil
}

// createUser adds a complete user, which has an id, by running a step.
func (s *Store) createUser(ctx context.Context, u *User, run func(context.Context, engine.Step) (int64, error)) error {
	u.Version = 1
	s.keys.sealSecrets(&User{}, u)
	change := s.catalogue.creation(ctx, u, s.now())
	step, err := creationStep(u, &change)
	if err != nil {
		return err
	}
	_, err = run(ctx, step)
	if errors.Is(err, gorm.ErrForeignKeyViolated) {
		return fmt.Errorf("creating user: customer: %w", ErrNotFound)
	}
	return databaseErrorOrNil(ctx, "creating user", err)
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
		row.AccessToken = s.NewAccessToken()
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

// NewAccessToken returns a new access token, as the store generates one for a new user: 128 random bits in hexadecimal.
func (s *Store) NewAccessToken() string {
	var b [16]byte
	if _, err := io.ReadFull(s.random, b[:]); err != nil {
		panic(fmt.Sprintf("reading Config.Random, which must not fail: %v", err))
	}
	return hex.EncodeToString(b[:])
}

// insert stores a row of the tables whose ids counter generates. id is a field of the row; if it is 0 it is generated.
func (s *Store) insert(ctx context.Context, tx *gorm.DB, kind, counter string, id *int64, row any) (err error) {
	if *id != 0 {
		err = skipIDs(tx, counter, *id)
	} else {
		*id, err = takeIDs(tx, counter, 1)
	}
	if err != nil {
		return databaseError(ctx, fmt.Sprintf("reserving an id for %s", kind), err)
	}
	err = tx.Create(row).Error
	if errors.Is(err, gorm.ErrForeignKeyViolated) {
		return fmt.Errorf("creating %s: customer: %w", kind, ErrNotFound)
	}
	if err != nil {
		return databaseError(ctx, "creating "+kind, err)
	}
	return nil
}
