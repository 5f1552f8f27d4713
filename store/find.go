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

// FindUser returns the user that key identifies, with its secrets opened. The error is ErrNotFound if the user does not exist or is
// another customer's.
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
	fold := FoldEmail(reference)
	where, values := claimantsOf("email"), []any{fold, fold}
	if id, err := strconv.ParseInt(reference, 10, 64); err == nil {
		where, values = "id = ?", []any{id}
	} else if id, err := uuid.Parse(reference); err == nil {
		where, values = "uuid = ?", []any{id}
	}
	var users []User
	if err := s.read.WithContext(ctx).Where(where, values...).Order("id").Find(&users).Error; err != nil {
		return UserKey{}, databaseError(ctx, findingUser, err)
	}
	if exact := slices.IndexFunc(users, func(u User) bool { return u.Email == reference }); exact >= 0 {
		users = users[exact : exact+1]
	}
	switch len(users) {
	case 0:
		return UserKey{}, fmt.Errorf("%s: %w", findingUser, ErrNotFound)
	case 1:
		return UserByID(users[0].CustomerID, users[0].ID), nil
	}
	return UserKey{}, fmt.Errorf("%s: %w", findingUser, ErrAmbiguous)
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

// unique lists the fields whose values must be unique across all customers and the column with the unique index of each. reserved is
// the field's name in the table reserved_folds, or "" if its values cannot be reserved.
var unique = []struct {
	field    Field
	column   string
	reserved string
	value    func(*User) any
}{
	{FieldID, "id", "", func(u *User) any { return u.ID }},
	{FieldUUID, "uuid", "", func(u *User) any { return u.UUID }},
	{FieldUsername, "username_fold", "username", func(u *User) any { return u.UsernameFold }},
	{FieldEmail, "email_fold", "email", func(u *User) any { return u.EmailFold }},
}

// claimantsOf returns an SQL condition for the users that have a fold or have reserved it. Both its parameters are the fold. Field is
// "username" or "email". The condition is written so that both engines use their indexes.
func claimantsOf(field string) string {
	return "id IN (SELECT id FROM users WHERE " + field + "_fold = ? UNION ALL " +
		"SELECT user_id FROM reserved_folds WHERE field = '" + field + "' AND fold = ?)"
}

// taken returns those of the given fields of u whose values a user other than self already has.
func taken(ctx context.Context, db *gorm.DB, self int64, u *User, among ...Field) ([]Field, error) {
	var others []Field
	for _, q := range unique {
		if !slices.Contains(among, q.field) {
			continue
		}
		where, values := q.column+" = ?", []any{q.value(u)}
		if q.reserved != "" {
			where, values = claimantsOf(q.reserved), []any{q.value(u), q.value(u)}
		}
		var n int64
		err := db.WithContext(ctx).Model(&User{}).Where(where, values...).Where("id <> ?", self).Count(&n).Error
		if err != nil {
			return nil, databaseError(ctx, fmt.Sprintf("asking whether %s is taken", q.field), err)
		}
		if n > 0 {
			others = append(others, q.field)
		}
	}
	return others, nil
}
