package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/store/engine"
)

// Origin describes where a write comes from, for the history. It is a value of the write's context; see [WithOrigin].
type Origin struct {
	Subject   string // the token's subject, or the user of the operating system who ran the command
	Dialect   string // a dialect's short name, or "cli"
	Operation string // the operationId, or the command
	RequestID string // as in X-Request-Id; empty for a command
}

// OriginKey is the context key of an *Origin, for contexts that are not made by [WithOrigin].
type OriginKey struct{}

// WithOrigin returns a context whose writes are recorded with origin o. A write without an origin is recorded with the zero Origin.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, OriginKey{}, &o)
}

// OriginFrom returns the origin of a context, or the zero value if it has none.
func OriginFrom(ctx context.Context) Origin {
	if o, ok := ctx.Value(OriginKey{}).(*Origin); ok {
		return *o
	}
	return Origin{}
}

// UserChange is a row of the history: one write that changed a user. It is written in the write's transaction and never altered, except that
// its values and its subject may be erased; see [Store.EraseUser].
type UserChange struct {
	UserID     int64         `json:"user" gorm:"primaryKey;autoIncrement:false"`
	Version    int64         `json:"version" gorm:"primaryKey;autoIncrement:false"` // the version that the write made
	CustomerID int64         `json:"customer" gorm:"primaryKey;autoIncrement:false"`
	At         time.Time     `json:"at" gorm:"serializer:epochms"` // never before the user's previous change
	Actor      *uuid.UUID    `json:"actor"`                        // nil: unknown
	Subject    string        `json:"subject"`
	Dialect    string        `json:"dialect"`
	Operation  string        `json:"operation"`
	RequestID  string        `json:"requestId"`
	Fields     []FieldChange `json:"fields" gorm:"serializer:json"` // in declaration order
}

// FieldChange is the old and the new value of one field: a string, a bool, nil, or the names of roles. For a secret, New is "set" or
// "cleared" and Old is nil. A value that was erased is "erased".
type FieldChange struct {
	Field Field `json:"field"`
	Old   any   `json:"old"`
	New   any   `json:"new"`
}

// The values that the history shows for secrets.
const (
	secretSet     = "set"
	secretCleared = "cleared"
)

// change returns the history row for a write that changed before to after. If before is nil, the write created the user.
func (c *Catalogue) change(ctx context.Context, before, after *User, fields []Field, at time.Time) UserChange {
	o := OriginFrom(ctx)
	row := UserChange{
		UserID: after.ID, Version: after.Version, CustomerID: after.CustomerID,
		At: at, Actor: after.UpdatedBy,
		Subject: o.Subject, Dialect: o.Dialect, Operation: o.Operation, RequestID: o.RequestID,
		Fields: make([]FieldChange, 0, len(fields)),
	}
	for _, name := range fields {
		f := editableNamed[name]
		change := FieldChange{Field: name, New: f.show(after, c)}
		if before != nil && !f.secret {
			change.Old = f.show(before, c)
		}
		row.Fields = append(row.Fields, change)
	}
	return row
}

// creation returns the history row for the creation of a user, which lists every field that has a value.
func (c *Catalogue) creation(ctx context.Context, u *User, at time.Time) UserChange {
	var fields []Field
	for _, f := range editable {
		if value := f.show(u, c); value != nil && value != any(secretCleared) {
			fields = append(fields, f.name)
		}
	}
	return c.change(ctx, nil, u, fields, at)
}

// UserHistory returns up to limit changes of one user with versions greater than after, by ascending version. The error is ErrNotFound
// if the customer has no such user.
func (s *Store) UserHistory(ctx context.Context, key UserKey, after int64, limit int) ([]UserChange, error) {
	u, err := s.FindUser(ctx, key)
	if err != nil {
		return nil, err
	}
	var rows []UserChange
	err = s.reading(ctx, func(from reader) error {
		release, err := engine.AcquireReader(ctx, from.lists, u.CustomerID)
		if err != nil {
			return databaseError(ctx, "reading history", err)
		}
		defer release()
		rows = nil
		err = from.db.WithContext(ctx).Where("customer_id = ? AND user_id = ? AND version > ?", u.CustomerID, u.ID, after).
			Order("version").Limit(limit).Find(&rows).Error
		return databaseErrorOrNil(ctx, "reading history", err)
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}
