package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

// Origin says where a write comes from, for the history. It travels in the context of the write; see [WithOrigin].
type Origin struct {
	Subject   string // how the token's issuer calls the caller, or the program that writes
	Dialect   string // the door: a dialect's short name, or "cli"
	Operation string // the operationId, or the command
	RequestID string // as in X-Request-Id; empty for a command
}

// OriginKey is the key under which a context has its *Origin, for contexts that are not made by [WithOrigin].
type OriginKey struct{}

// WithOrigin gives a context whose writes are recorded as o's. Without it their origin is recorded as empty.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, OriginKey{}, &o)
}

// OriginFrom gives the origin of a context, or the zero value if it has none.
func OriginFrom(ctx context.Context) Origin {
	if o, ok := ctx.Value(OriginKey{}).(*Origin); ok {
		return *o
	}
	return Origin{}
}

// UserChange is one effective write to one user, as the history keeps it: written with the change, never altered after.
type UserChange struct {
	UserID     int64         `json:"user" gorm:"primaryKey;autoIncrement:false"`
	Version    int64         `json:"version" gorm:"primaryKey;autoIncrement:false"` // the version that the write made
	CustomerID int64         `json:"customer"`
	At         time.Time     `json:"at" gorm:"serializer:epochms"` // never before the user's previous change
	Actor      *uuid.UUID    `json:"actor"`                        // nil: unknown
	Subject    string        `json:"subject"`
	Dialect    string        `json:"dialect"`
	Operation  string        `json:"operation"`
	RequestID  string        `json:"requestId"`
	Fields     []FieldChange `json:"fields" gorm:"serializer:json"` // in declaration order
	Number     *int64        `json:"id"`                            // its place in the change feed; nil until the feed has taken it up
}

// Secret tells whether the history keeps of the field only that it was set or cleared.
func (f Field) Secret() bool { return secretFields[f] }

// FieldChange is what one field was and became: a string, a bool, nil, or the names of roles. Of a secret only this is
// kept: New is "set" or "cleared", and Old is nil.
type FieldChange struct {
	Field Field `json:"field"`
	Old   any   `json:"old"`
	New   any   `json:"new"`
}

// What the history says of secrets.
const (
	secretSet     = "set"
	secretCleared = "cleared"
)

// TimeLayout is RFC 3339 with the model's milliseconds, zeros included. Times are in UTC before they are formatted with it.
const TimeLayout = "2006-01-02T15:04:05.000Z07:00"

// recorded is how the history tells each field, and how a restored one is read from it. A secret is never told, and has no
// way back.
var recorded = map[Field]struct {
	get func(*User, *Catalogue) any
	set func(*User, any, *Catalogue) error
}{
	FieldFirstName: {
		func(u *User, _ *Catalogue) any { return u.FirstName },
		func(u *User, v any, _ *Catalogue) error { return assign(&u.FirstName, v) },
	},
	FieldLastName: {
		func(u *User, _ *Catalogue) any { return u.LastName },
		func(u *User, v any, _ *Catalogue) error { return assign(&u.LastName, v) },
	},
	FieldUsername: {
		func(u *User, _ *Catalogue) any { return u.Username },
		func(u *User, v any, _ *Catalogue) error { return assign(&u.Username, v) },
	},
	FieldEmail: {
		func(u *User, _ *Catalogue) any { return u.Email },
		func(u *User, v any, _ *Catalogue) error { return assign(&u.Email, v) },
	},
	FieldMobile: {
		func(u *User, _ *Catalogue) any { return orNil(u.Mobile) },
		func(u *User, v any, _ *Catalogue) error { return assignPointer(&u.Mobile, v) },
	},
	FieldRoles: {
		func(u *User, c *Catalogue) any { return c.names(u.Roles) },
		func(u *User, v any, c *Catalogue) (err error) { u.Roles, err = c.named(v); return err },
	},
	FieldStatus: {
		func(u *User, _ *Catalogue) any { return string(u.Status) },
		func(u *User, v any, _ *Catalogue) error { return assign((*string)(&u.Status), v) },
	},
	FieldAccountNonExpired: {
		func(u *User, _ *Catalogue) any { return u.AccountNonExpired },
		func(u *User, v any, _ *Catalogue) error { return assign(&u.AccountNonExpired, v) },
	},
	FieldAccountNonLocked: {
		func(u *User, _ *Catalogue) any { return u.AccountNonLocked },
		func(u *User, v any, _ *Catalogue) error { return assign(&u.AccountNonLocked, v) },
	},
	FieldCredentialNonExpired: {
		func(u *User, _ *Catalogue) any { return u.CredentialNonExpired },
		func(u *User, v any, _ *Catalogue) error { return assign(&u.CredentialNonExpired, v) },
	},
	FieldPasswordHash: {get: func(u *User, _ *Catalogue) any { return secret(u.PasswordHash != nil) }},
	// The time belongs to the password, which is not restored; so it is not either.
	FieldLastPasswordResetAt: {get: func(u *User, _ *Catalogue) any {
		if u.LastPasswordResetAt == nil {
			return nil
		}
		return u.LastPasswordResetAt.UTC().Format(TimeLayout)
	}},
	FieldAccessToken: {get: func(u *User, _ *Catalogue) any { return secret(u.AccessToken != "") }},
	FieldVCSPassword: {get: func(u *User, _ *Catalogue) any { return secret(u.VCSPassword != nil) }},
	FieldEmailVerified: {
		func(u *User, _ *Catalogue) any { return u.EmailVerified },
		func(u *User, v any, _ *Catalogue) error { return assign(&u.EmailVerified, v) },
	},
	FieldFirstLogin: {
		func(u *User, _ *Catalogue) any { return u.FirstLogin },
		func(u *User, v any, _ *Catalogue) error { return assign(&u.FirstLogin, v) },
	},
	FieldExternalAuthID: {
		func(u *User, _ *Catalogue) any {
			if u.ExternalAuthID == nil {
				return nil
			}
			return u.ExternalAuthID.String()
		},
		func(u *User, v any, _ *Catalogue) error {
			var text *string
			if err := assignPointer(&text, v); err != nil || text == nil {
				u.ExternalAuthID = nil
				return err
			}
			id, err := uuid.Parse(*text)
			u.ExternalAuthID = &id
			return err
		},
	},
}

func secret(present bool) any {
	if present {
		return secretSet
	}
	return secretCleared
}

func orNil(s *string) any {
	if s == nil {
		return nil
	}
	return *s
}

func assign[T any](to *T, value any) error {
	v, ok := value.(T)
	if !ok {
		return fmt.Errorf("history holds %T where %T belongs", value, *to)
	}
	*to = v
	return nil
}

func assignPointer[T any](to **T, value any) error {
	if value == nil {
		*to = nil
		return nil
	}
	*to = new(T)
	return assign(*to, value)
}

func (c *Catalogue) names(s RoleSet) []string {
	names := []string{}
	for _, r := range c.In(s) {
		names = append(names, r.Name)
	}
	return names
}

func (c *Catalogue) named(value any) (RoleSet, error) {
	names, ok := value.([]any)
	if !ok {
		return 0, fmt.Errorf("history holds %T where roles belong", value)
	}
	var set RoleSet
	for _, n := range names {
		name, _ := n.(string)
		role, ok := c.ByName(name)
		if !ok {
			return 0, fmt.Errorf("role %q is no longer in the catalogue", name)
		}
		set = set.Union(Roles(role.ID))
	}
	return set, nil
}

// change makes the history's row of a write that turned before into after. A nil before is a user who was created.
func (c *Catalogue) change(ctx context.Context, before, after *User, fields []Field, at time.Time) UserChange {
	o := OriginFrom(ctx)
	row := UserChange{
		UserID: after.ID, Version: after.Version, CustomerID: after.CustomerID,
		At: at, Actor: after.UpdatedBy,
		Subject: o.Subject, Dialect: o.Dialect, Operation: o.Operation, RequestID: o.RequestID,
		Fields: make([]FieldChange, 0, len(fields)),
	}
	for _, f := range fields {
		told := FieldChange{Field: f, New: recorded[f].get(after, c)}
		if before != nil && !secretFields[f] {
			told.Old = recorded[f].get(before, c)
		}
		row.Fields = append(row.Fields, told)
	}
	return row
}

// secretFields are told as set or cleared only.
var secretFields = map[Field]bool{FieldPasswordHash: true, FieldAccessToken: true, FieldVCSPassword: true}

// creation makes the history's row of a user who was created: every field that has a value.
func (c *Catalogue) creation(ctx context.Context, u *User, at time.Time) UserChange {
	var fields []Field
	for _, f := range fieldNames() {
		if value := recorded[f].get(u, c); value != nil && value != secretCleared {
			fields = append(fields, f)
		}
	}
	return c.change(ctx, nil, u, fields, at)
}

func fieldNames() []Field {
	names := make([]Field, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	return names
}

// recordChange adds a row to the history, in the transaction of the write that it tells of.
func (s *statements) recordChange(ctx context.Context, tx *gorm.DB, row UserChange) error {
	values, err := appendRecord(nil, &row)
	if err != nil {
		return err
	}
	if _, err := exec(ctx, tx.Statement.ConnPool, s.record, values...); err != nil {
		return databaseError(ctx, "recording the change", err)
	}
	return nil
}

// UserHistory returns up to limit changes of one user, by ascending version, from the first above after. The error is
// ErrNotFound when the customer has no such user.
func (s *Store) UserHistory(ctx context.Context, key UserKey, after int64, limit int) ([]UserChange, error) {
	u, err := s.FindUser(ctx, key)
	if err != nil {
		return nil, err
	}
	release, err := acquireReader(ctx, s.db.lists, u.CustomerID)
	if err != nil {
		return nil, databaseError(ctx, "reading history", err)
	}
	defer release()
	var changes []UserChange
	err = s.read.WithContext(ctx).
		Where("user_id = ? AND customer_id = ? AND version > ?", u.ID, u.CustomerID, after).
		Order("version").Limit(limit).Find(&changes).Error
	if err != nil {
		return nil, databaseError(ctx, "reading history", err)
	}
	return changes, nil
}
