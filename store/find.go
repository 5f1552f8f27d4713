package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/dragoman-id/dragoman/store/engine"
)

const findingUser = "finding user"

// FindUser returns the user that key identifies, with its secrets opened. The error is ErrNotFound if the customer has no such user.
func (s *Store) FindUser(ctx context.Context, key UserKey) (User, error) {
	u, err := s.loadUser(ctx, key)
	if err == nil {
		s.remember(&u)
	}
	return u, err
}

// LocateUser returns the key of the user, of any customer, whose numeric id, UUID or e-mail is reference. E-mails are compared by
// [FoldEmail]. It is meant for operators, who are not limited to one customer. The error is ErrNotFound if no user matches, and
// ErrAmbiguous if several users have the e-mail (see [Collision]) and none of them has it byte for byte.
func (s *Store) LocateUser(ctx context.Context, reference string) (UserKey, error) {
	keys, err := s.locate(ctx, reference)
	switch {
	case err != nil:
		return UserKey{}, err
	case len(keys) == 0:
		return UserKey{}, fmt.Errorf("%s: %w", findingUser, ErrNotFound)
	case len(keys) > 1:
		return UserKey{}, fmt.Errorf("%s: %w", findingUser, ErrAmbiguous)
	}
	return keys[0], nil
}

func (s *Store) locate(ctx context.Context, reference string) (keys []UserKey, err error) {
	if id, err := strconv.ParseInt(reference, 10, 64); err == nil {
		return claimants(ctx, s.read, "id", strconv.FormatInt(id, 10))
	}
	if id, err := uuid.Parse(reference); err == nil {
		return claimants(ctx, s.read, "uuid", id.String())
	}
	users, err := s.usersNamed(ctx, 0, byEmail, reference)
	if err != nil {
		return nil, err
	}
	if exact := slices.IndexFunc(users, func(u User) bool { return u.Email == reference }); exact >= 0 {
		users = users[exact : exact+1]
	}
	for _, u := range users {
		keys = append(keys, UserByID(u.CustomerID, u.ID))
	}
	return keys, nil
}

// UsersWith returns the customer's users who have a value of a field that is unique: FieldUsername and FieldEmail, compared by [Fold] and
// [FoldEmail], or FieldExternalID, compared exactly. Deprovisioned users are among them. It returns at most one user, unless there is
// a [Collision] of the value, and no user and no error if none has it.
func (s *Store) UsersWith(ctx context.Context, customerID int64, field Field, value string) (users []User, err error) {
	switch field {
	case FieldUsername:
		users, err = s.usersNamed(ctx, customerID, byUsername, value)
	case FieldEmail:
		users, err = s.usersNamed(ctx, customerID, byEmail, value)
	case FieldExternalID:
		err = s.read.WithContext(ctx).Where("customer_id = ? AND external_id = ?", customerID, value).Find(&users).Error
		err = databaseErrorOrNil(ctx, findingUser, err)
	default:
		return nil, fmt.Errorf("%s: values of %s are not unique", findingUser, field)
	}
	if err != nil {
		return nil, err
	}
	for i := range users {
		if err := s.keys.openSecrets(&users[i]); err != nil {
			return nil, err
		}
	}
	return users, nil
}

// loadUser returns the user that key identifies, from the database.
func (s *Store) loadUser(ctx context.Context, key UserKey) (User, error) {
	text, ok := findUserStatements[key.by]
	if !ok {
		return User{}, fmt.Errorf("%s: %w", findingUser, ErrNotFound)
	}
	var u User
	err := s.db.FindRow(ctx, scanUser(&u), engine.SQL{Text: text, Arguments: []any{key.customerID, key.value()}})
	if errors.Is(err, sql.ErrNoRows) {
		return User{}, fmt.Errorf("%s: %w", findingUser, ErrNotFound)
	}
	if err != nil {
		return User{}, databaseError(ctx, findingUser, err)
	}
	if err := s.keys.openSecrets(&u); err != nil {
		return User{}, err
	}
	return u, nil
}

// lockUser returns the user that key identifies and locks its row until tx ends.
func (s *Store) lockUser(ctx context.Context, tx *gorm.DB, key UserKey) (User, error) {
	column := map[keyColumn]string{keyByID: "id", keyByUUID: "uuid"}[key.by]
	if column == "" {
		return User{}, fmt.Errorf("%s: %w", findingUser, ErrNotFound)
	}
	var u User
	where := map[string]any{"customer_id": key.customerID, column: key.value()}
	if err := take(ctx, tx.Clauses(clause.Locking{Strength: "UPDATE"}), &u, findingUser, where); err != nil {
		return User{}, err
	}
	if err := s.keys.openSecrets(&u); err != nil {
		return User{}, err
	}
	return u, nil
}

// take reads the row whose columns have the values in where into row. It returns ErrNotFound if there is none.
func take(ctx context.Context, db *gorm.DB, row any, doing string, where map[string]any) error {
	err := db.Where(where).Take(row).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return fmt.Errorf("%s: %w", doing, ErrNotFound)
	}
	if err != nil {
		return databaseError(ctx, doing, err)
	}
	return nil
}
