package store

import (
	"fmt"
	"strings"
	"time"
)

// userColumn is one column of the table users: its name, where its value goes when a row is read, and what is written. The
// statements that every request runs are made of these, once. gorm, which owns the model, would make the same statements anew
// each time; that the two agree is tested.
type userColumn struct {
	name  string
	scan  func(*User) any
	value func(*User) any
}

// identityColumns are set when a user is created and never again.
var identityColumns = []userColumn{
	{"id", func(u *User) any { return &u.ID }, func(u *User) any { return u.ID }},
	{"uuid", func(u *User) any { return &u.UUID }, func(u *User) any { return u.UUID }},
	{"customer_id", func(u *User) any { return &u.CustomerID }, func(u *User) any { return u.CustomerID }},
	{"created_at", func(u *User) any { return (*millis)(&u.CreatedAt) }, func(u *User) any { return u.CreatedAt.UnixMilli() }},
	{"created_by", func(u *User) any { return &u.CreatedBy }, func(u *User) any { return u.CreatedBy }},
}

// writtenColumns are those that a write may change.
var writtenColumns = []userColumn{
	{"first_name", func(u *User) any { return &u.FirstName }, func(u *User) any { return u.FirstName }},
	{"first_name_fold", func(u *User) any { return &u.FirstNameFold }, func(u *User) any { return u.FirstNameFold }},
	{"last_name", func(u *User) any { return &u.LastName }, func(u *User) any { return u.LastName }},
	{"last_name_fold", func(u *User) any { return &u.LastNameFold }, func(u *User) any { return u.LastNameFold }},
	{"username", func(u *User) any { return &u.Username }, func(u *User) any { return u.Username }},
	{"username_fold", func(u *User) any { return &u.UsernameFold }, func(u *User) any { return u.UsernameFold }},
	{"email", func(u *User) any { return &u.Email }, func(u *User) any { return u.Email }},
	{"email_fold", func(u *User) any { return &u.EmailFold }, func(u *User) any { return u.EmailFold }},
	{"mobile", func(u *User) any { return &u.Mobile }, func(u *User) any { return u.Mobile }},
	{"roles", func(u *User) any { return (*int64)(&u.Roles) }, func(u *User) any { return int64(u.Roles) }},
	{"status", func(u *User) any { return (*string)(&u.Status) }, func(u *User) any { return string(u.Status) }},
	{"account_non_expired", func(u *User) any { return &u.AccountNonExpired }, func(u *User) any { return u.AccountNonExpired }},
	{"account_non_locked", func(u *User) any { return &u.AccountNonLocked }, func(u *User) any { return u.AccountNonLocked }},
	{"credential_non_expired", func(u *User) any { return &u.CredentialNonExpired }, func(u *User) any { return u.CredentialNonExpired }},
	{"password_hash", func(u *User) any { return &u.PasswordHash }, func(u *User) any { return u.PasswordHash }},
	{"last_password_reset_at", func(u *User) any { return nullMillis{&u.LastPasswordResetAt} },
		func(u *User) any { return epochMillis(u.LastPasswordResetAt) }},
	{"access_token_sealed", func(u *User) any { return &u.AccessTokenSealed }, func(u *User) any { return u.AccessTokenSealed }},
	{"vcs_password_sealed", func(u *User) any { return &u.VCSPasswordSealed }, func(u *User) any { return u.VCSPasswordSealed }},
	{"email_verified", func(u *User) any { return &u.EmailVerified }, func(u *User) any { return u.EmailVerified }},
	{"first_login", func(u *User) any { return &u.FirstLogin }, func(u *User) any { return u.FirstLogin }},
	{"external_auth_id", func(u *User) any { return &u.ExternalAuthID }, func(u *User) any { return u.ExternalAuthID }},
	{"updated_at", func(u *User) any { return (*millis)(&u.UpdatedAt) }, func(u *User) any { return u.UpdatedAt.UnixMilli() }},
	{"updated_by", func(u *User) any { return &u.UpdatedBy }, func(u *User) any { return u.UpdatedBy }},
	{"version", func(u *User) any { return &u.Version }, func(u *User) any { return u.Version }},
}

var userColumns = append(append([]userColumn{}, identityColumns...), writtenColumns...)

// columnNames returns the columns' names, separated by commas.
func columnNames(columns []userColumn) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return strings.Join(names, ", ")
}

// scanUser returns where the values of userColumns go.
func scanUser(u *User) []any {
	into := make([]any, len(userColumns))
	for i, c := range userColumns {
		into[i] = c.scan(u)
	}
	return into
}

// appendWritten appends the values of writtenColumns.
func appendWritten(values []any, u *User) []any {
	for _, c := range writtenColumns {
		values = append(values, c.value(u))
	}
	return values
}

// millis reads a time from its column.
type millis time.Time

// Scan takes the milliseconds since the epoch.
func (m *millis) Scan(value any) error {
	ms, ok := value.(int64)
	if !ok {
		return fmt.Errorf("%T is no integer", value)
	}
	*m = millis(time.UnixMilli(ms).UTC())
	return nil
}

// nullMillis reads a time that may be absent from its column.
type nullMillis struct{ into **time.Time }

// Scan takes the milliseconds since the epoch, or nothing.
func (m nullMillis) Scan(value any) error {
	if value == nil {
		*m.into = nil
		return nil
	}
	var at millis
	if err := at.Scan(value); err != nil {
		return err
	}
	*m.into = (*time.Time)(&at)
	return nil
}
