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
)

// FindUser returns the user that key names, with its secrets opened, or ErrNotFound, also when the user is another
// customer's.
func (s *Store) FindUser(ctx context.Context, key UserKey) (User, error) {
	u, err := s.loadUser(ctx, s.read, key, false)
	if err == nil {
		s.recent.add(u)
	}
	return u, err
}

// LocateUser returns the key of the one user, of whichever customer, whom reference names: by the Long, the UUID, or the
// e-mail ignoring case. It is for operators, whom no customer confines. The error is ErrNotFound where it names nobody.
func (s *Store) LocateUser(ctx context.Context, reference string) (UserKey, error) {
	where := map[string]any{"email_fold": Fold(reference)}
	if id, err := strconv.ParseInt(reference, 10, 64); err == nil {
		where = map[string]any{"id": id}
	} else if id, err := uuid.Parse(reference); err == nil {
		where = map[string]any{"uuid": id}
	}
	var u User
	if err := take(ctx, s.read.WithContext(ctx), &u, "finding user", where); err != nil {
		return UserKey{}, err
	}
	return UserByID(u.CustomerID, u.ID), nil
}

// loadUser returns the user that key names. If it is held, db is a transaction, and no other writer has it until that ends.
func (s *Store) loadUser(ctx context.Context, db *gorm.DB, key UserKey, held bool) (User, error) {
	const doing = "finding user"
	statement, ok := s.db.statements.findUser[findUser{key.by, held}]
	if !ok {
		return User{}, fmt.Errorf("%s: %w", doing, ErrNotFound)
	}
	var u User
	err := s.db.queryRow(ctx, db.Statement.ConnPool, scanUser(&u), statement, key.customerID, key.value())
	if errors.Is(err, sql.ErrNoRows) {
		return User{}, fmt.Errorf("%s: %w", doing, ErrNotFound)
	}
	if err != nil {
		return User{}, databaseError(ctx, doing, err)
	}
	if err := s.keys.openSecrets(&u); err != nil {
		return User{}, err
	}
	return u, nil
}

// take reads the one row with these values into row, or returns ErrNotFound. The zero values of keys name the column "",
// which is nobody's.
func take(ctx context.Context, db *gorm.DB, row any, doing string, where map[string]any) error {
	if _, zero := where[""]; zero {
		return fmt.Errorf("%s: %w", doing, ErrNotFound)
	}
	err := db.Where(where).Take(row).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return fmt.Errorf("%s: %w", doing, ErrNotFound)
	}
	if err != nil {
		return databaseError(ctx, doing, err)
	}
	return nil
}

// unique are the fields whose values no two users share, whichever their customers, and the columns that see to it.
var unique = []struct {
	field  Field
	column string
	value  func(*User) any
}{
	{FieldID, "id", func(u *User) any { return u.ID }},
	{FieldUUID, "uuid", func(u *User) any { return u.UUID }},
	{FieldUsername, "username_fold", func(u *User) any { return u.UsernameFold }},
	{FieldEmail, "email_fold", func(u *User) any { return u.EmailFold }},
}

// taken returns which of these fields of u hold a value that a user has whose id is not self.
func taken(ctx context.Context, db *gorm.DB, self int64, u *User, among ...Field) ([]Field, error) {
	var others []Field
	for _, q := range unique {
		if !slices.Contains(among, q.field) {
			continue
		}
		var n int64
		err := db.WithContext(ctx).Model(&User{}).Where(q.column+" = ? AND id <> ?", q.value(u), self).Count(&n).Error
		if err != nil {
			return nil, databaseError(ctx, fmt.Sprintf("asking whether %s is taken", q.field), err)
		}
		if n > 0 {
			others = append(others, q.field)
		}
	}
	return others, nil
}
