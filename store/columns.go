package store

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// userColumn is one column of the table users: its name, where its value goes when a row is read, what is written, and whether two
// users have the same there. The statements that every request runs are made of these. gorm, which owns the model, would make the
// same statements anew each time; that the two agree is tested.
type userColumn struct {
	name  string
	scan  func(*User) any
	value func(*User) any
	same  func(a, b *User) bool
}

// column is a column whose values database/sql reads and writes as they are.
func column[T comparable](name string, at func(*User) *T) userColumn {
	return userColumn{
		name:  name,
		scan:  func(u *User) any { return at(u) },
		value: func(u *User) any { return *at(u) },
		same:  func(a, b *User) bool { return *at(a) == *at(b) },
	}
}

// nullable is a column whose values may be absent.
func nullable[T comparable](name string, at func(*User) **T) userColumn {
	return userColumn{
		name:  name,
		scan:  func(u *User) any { return at(u) },
		value: func(u *User) any { return *at(u) },
		same:  func(a, b *User) bool { return equal(*at(a), *at(b)) },
	}
}

// folded is a column with the fold of a text. It is written whenever the text is: the fold of the user before may come from a
// cache, and the stored one be that of other rules by now.
func folded(name string, at func(*User) *string, text func(*User) string) userColumn {
	c := column(name, at)
	c.same = func(a, b *User) bool { return text(a) == text(b) && *at(a) == *at(b) }
	return c
}

// timestamp is a column of times.
func timestamp(name string, at func(*User) *time.Time) userColumn {
	return userColumn{
		name:  name,
		scan:  func(u *User) any { return (*millis)(at(u)) },
		value: func(u *User) any { return at(u).UnixMilli() },
		same:  func(a, b *User) bool { return at(a).UnixMilli() == at(b).UnixMilli() },
	}
}

// identityColumns are set when a user is created and never again.
var identityColumns = []userColumn{
	column("id", func(u *User) *int64 { return &u.ID }),
	column("uuid", func(u *User) *uuid.UUID { return &u.UUID }),
	column("customer_id", func(u *User) *int64 { return &u.CustomerID }),
	timestamp("created_at", func(u *User) *time.Time { return &u.CreatedAt }),
	nullable("created_by", func(u *User) **uuid.UUID { return &u.CreatedBy }),
}

// writtenColumns are those that a write may change.
var writtenColumns = []userColumn{
	column("first_name", func(u *User) *string { return &u.FirstName }),
	column("first_name_fold", func(u *User) *string { return &u.FirstNameFold }),
	column("last_name", func(u *User) *string { return &u.LastName }),
	column("last_name_fold", func(u *User) *string { return &u.LastNameFold }),
	column("username", func(u *User) *string { return &u.Username }),
	folded("username_fold", func(u *User) *string { return &u.UsernameFold }, func(u *User) string { return u.Username }),
	column("email", func(u *User) *string { return &u.Email }),
	folded("email_fold", func(u *User) *string { return &u.EmailFold }, func(u *User) string { return u.Email }),
	nullable("email_search", func(u *User) **string { return &u.EmailSearch }),
	nullable("mobile", func(u *User) **string { return &u.Mobile }),
	column("roles", func(u *User) *int64 { return (*int64)(&u.Roles) }),
	column("status", func(u *User) *string { return (*string)(&u.Status) }),
	column("account_non_expired", func(u *User) *bool { return &u.AccountNonExpired }),
	column("account_non_locked", func(u *User) *bool { return &u.AccountNonLocked }),
	column("credential_non_expired", func(u *User) *bool { return &u.CredentialNonExpired }),
	nullable("password_hash", func(u *User) **string { return &u.PasswordHash }),
	{
		name:  "last_password_reset_at",
		scan:  func(u *User) any { return nullMillis{&u.LastPasswordResetAt} },
		value: func(u *User) any { return epochMillis(u.LastPasswordResetAt) },
		same: func(a, b *User) bool {
			return equal(epochMillis(a.LastPasswordResetAt), epochMillis(b.LastPasswordResetAt))
		},
	},
	column("access_token_sealed", func(u *User) *string { return &u.AccessTokenSealed }),
	nullable("vcs_password_sealed", func(u *User) **string { return &u.VCSPasswordSealed }),
	column("email_verified", func(u *User) *bool { return &u.EmailVerified }),
	column("first_login", func(u *User) *bool { return &u.FirstLogin }),
	nullable("external_auth_id", func(u *User) **uuid.UUID { return &u.ExternalAuthID }),
	timestamp("updated_at", func(u *User) *time.Time { return &u.UpdatedAt }),
	nullable("updated_by", func(u *User) **uuid.UUID { return &u.UpdatedBy }),
	column("version", func(u *User) *int64 { return &u.Version }),
}

var userColumns = slices.Concat(identityColumns, writtenColumns)

// columnSet is a set of writtenColumns, bit n the one with index n.
type columnSet uint32

// uniqueColumns are those whose values no two users share.
var uniqueColumns = columnsNamed("username_fold", "email_fold")

func columnsNamed(names ...string) (set columnSet) {
	for i, c := range writtenColumns {
		if slices.Contains(names, c.name) {
			set |= 1 << i
		}
	}
	return set
}

// differing returns the columns in which two users differ.
func differing(before, after *User) (set columnSet) {
	for i, c := range writtenColumns {
		if !c.same(before, after) {
			set |= 1 << i
		}
	}
	return set
}

// in returns the columns of the set, in their order.
func (s columnSet) in() []userColumn {
	columns := make([]userColumn, 0, bits.OnesCount32(uint32(s)))
	for i, c := range writtenColumns {
		if s&(1<<i) != 0 {
			columns = append(columns, c)
		}
	}
	return columns
}

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
