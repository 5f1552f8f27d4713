package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store/engine"
)

// claim is a row of claims: a value that is unique over the platform, and who has it. A row is written in the transaction that gives
// the value to its user, so that of several who want it one gets it, wherever the rows of their users are.
type claim struct {
	Kind, Value        string
	CustomerID, UserID *int64 // nil: nobody, though the value is not free
	// Shared says that several users claim the value; see [Collision]. It is then not free before `dragoman migrate` has settled it.
	Shared bool
}

// uniqueField is a field whose values are unique over all customers.
type uniqueField struct {
	field Field
	kind  string // of its claims
	value func(*User) string
}

// unique lists the fields whose values are unique, in the order in which their claims are written. It is the same for all writers, so
// that two of them do not deadlock.
var unique = []uniqueField{
	{FieldID, "id", func(u *User) string { return strconv.FormatInt(u.ID, 10) }},
	{FieldUUID, "uuid", func(u *User) string { return u.UUID.String() }},
	{FieldUsername, claimUsername, func(u *User) string { return u.UsernameFold }},
	{FieldEmail, claimEmail, func(u *User) string { return u.EmailFold }},
}

const (
	claimUsername = "username"
	claimEmail    = "email"
)

// names are the unique fields that an update may change.
var (
	names      = unique[2:]
	byUsername = names[0]
	byEmail    = names[1]
)

// claimAll makes the statement that claims all unique values of users.
func claimAll(users ...User) engine.SQL {
	values := make([]any, 0, len(users)*len(unique)*insertClaims.columns)
	for i := range users {
		u := &users[i]
		for _, f := range unique {
			values = append(values, f.kind, f.value(u), u.CustomerID, u.ID)
		}
	}
	return insertClaims.of(values)
}

const (
	// unclaimStatement ends a user's claim. One that is shared remains.
	unclaimStatement   = "DELETE FROM claims WHERE kind = ? AND value = ? AND user_id = ? AND NOT shared"
	unreserveStatement = "DELETE FROM reserved_folds WHERE customer_id = ? AND user_id = ? AND field = ?"
	findClaimByUUID    = "SELECT customer_id, user_id FROM claims WHERE kind = 'uuid' AND value = ?"
)

// renaming makes the statements that change the claims of a user whose names change. New values are claimed before old ones are
// given up: a writer then waits only for those that are about to commit.
func renaming(before, after *User) (statements []engine.SQL) {
	for _, f := range names {
		if old, value := f.value(before), f.value(after); old != value {
			statements = append(statements, insertClaims.of([]any{f.kind, value, after.CustomerID, after.ID}))
		}
	}
	for _, f := range names {
		if old, value := f.value(before), f.value(after); old != value {
			statements = append(statements, engine.SQL{Text: unclaimStatement, Arguments: []any{f.kind, old, before.ID}})
		}
	}
	present := *before
	present.ComputeFolds()
	for _, f := range names {
		// The user has kept a fold of older rules so far, and no longer needs that of the present ones.
		if f.value(before) != f.value(&present) && f.text(before) != f.text(after) {
			statements = append(statements, engine.SQL{Text: unreserveStatement, Arguments: []any{before.CustomerID, before.ID, f.kind}})
		}
	}
	return statements
}

// text returns the name itself, whose fold is the value of the claim.
func (f uniqueField) text(u *User) string {
	if f.kind == claimEmail {
		return u.Email
	}
	return u.Username
}

// changeable are the unique fields that an update may change, in declaration order. FieldExternalID is unique within a customer, and the
// others, which are claimed, over the platform.
var changeable = []Field{FieldUsername, FieldEmail, FieldExternalID}

// taken returns those of the given fields of u whose values a user other than self already has.
func taken(ctx context.Context, db *gorm.DB, self int64, u *User, among ...Field) ([]Field, error) {
	var others []Field
	for _, f := range unique {
		if !slices.Contains(among, f.field) {
			continue
		}
		var n int64
		err := db.WithContext(ctx).Model(&claim{}).
			Where("kind = ? AND value = ? AND (shared OR user_id <> ?)", f.kind, f.value(u), self).Count(&n).Error
		if err != nil {
			return nil, databaseError(ctx, fmt.Sprintf("asking whether %s is taken", f.field), err)
		}
		if n > 0 {
			others = append(others, f.field)
		}
	}
	if u.ExternalID == nil || !slices.Contains(among, FieldExternalID) {
		return others, nil
	}
	var n int64
	err := db.WithContext(ctx).Model(&User{}).
		Where("customer_id = ? AND external_id = ? AND id <> ?", u.CustomerID, *u.ExternalID, self).Count(&n).Error
	if err != nil {
		return nil, databaseError(ctx, fmt.Sprintf("asking whether %s is taken", FieldExternalID), err)
	}
	if n > 0 {
		others = append(others, FieldExternalID)
	}
	return others, nil
}

// claimants returns the keys of the users who have a value: one at most, unless it is shared.
func claimants(ctx context.Context, db *gorm.DB, kind, value string) ([]UserKey, error) {
	db = db.WithContext(ctx)
	var found []claim
	if err := db.Where("kind = ? AND value = ?", kind, value).Find(&found).Error; err != nil {
		return nil, databaseError(ctx, findingUser, err)
	}
	var keys []UserKey
	for _, c := range found {
		if c.UserID != nil {
			keys = append(keys, UserByID(*c.CustomerID, *c.UserID))
		}
		if !c.Shared {
			continue
		}
		var reserved []reservedFold
		if err := db.Where("field = ? AND fold = ?", kind, value).Order("user_id").Find(&reserved).Error; err != nil {
			return nil, databaseError(ctx, findingUser, err)
		}
		for _, r := range reserved {
			if k := UserByID(r.CustomerID, r.UserID); !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
	}
	return keys, nil
}

// fold returns the value of the claim to a name.
func (f uniqueField) fold(name string) string {
	if f.kind == claimEmail {
		return FoldEmail(name)
	}
	return Fold(name)
}

// usersNamed returns the users who have a username or an e-mail, as f compares them: at most one, unless there is a [Collision] of it.
// A customerID of 0 stands for all customers.
func (s *Store) usersNamed(ctx context.Context, customerID int64, f uniqueField, name string) ([]User, error) {
	keys, err := claimants(ctx, s.read, f.kind, f.fold(name))
	if err != nil {
		return nil, err
	}
	var users []User
	for _, k := range keys {
		if customerID != 0 && k.customerID != customerID {
			continue
		}
		var found []User
		if err := s.read.WithContext(ctx).Where("customer_id = ? AND id = ?", k.customerID, k.id).Find(&found).Error; err != nil {
			return nil, databaseError(ctx, findingUser, err)
		}
		// A shared claim outlives the user's name.
		users = append(users, slices.DeleteFunc(found, func(u User) bool { return f.fold(f.text(&u)) != f.fold(name) })...)
	}
	return users, nil
}
