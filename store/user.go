package store

import (
	"time"

	"github.com/google/uuid"
)

// Status says whether a user may use the account.
type Status string

// The statuses. An invited user has not signed in yet; an inactive one may not.
const (
	StatusInvited  Status = "INVITED"
	StatusActive   Status = "ACTIVE"
	StatusInactive Status = "INACTIVE"
)

// User is one user of one customer.
//
// Text is any Unicode but U+0000. Times are UTC with the precision of a millisecond. What the zero value of a pointer
// means is said at the field; nil is stored as NULL.
type User struct {
	ID         int64 // positive and below 2^53, so that JavaScript clients keep it
	UUID       uuid.UUID
	CustomerID int64

	FirstName, FirstNameFold string // as sent, and folded by [Fold], to search and sort by
	LastName, LastNameFold   string
	Username, UsernameFold   string  // as sent, and folded by [Fold]: unique over the platform
	Email, EmailFold         string  // as sent, and folded by [FoldEmail]: unique over the platform
	EmailSearch              *string // the text to search in beside EmailFold, if that hides letters of the domain; else nil
	Mobile                   *string // nil: none; the empty string is stored as nil

	Roles  RoleSet
	Status Status

	// For all three, true means that nothing is wrong with the account.
	AccountNonExpired, AccountNonLocked, CredentialNonExpired bool

	PasswordHash        *string    // nil: the user has no password
	LastPasswordResetAt *time.Time `gorm:"serializer:epochms"` // nil: never

	// The secrets, in the clear. They have no column: the store seals them into the columns below before a write and opens
	// them after a read.
	AccessToken string  `gorm:"-"` // 32 lower-case hexadecimal digits
	VCSPassword *string `gorm:"-"` // nil: none; the empty string is stored as nil

	AccessTokenSealed string
	VCSPasswordSealed *string

	EmailVerified, FirstLogin bool
	ExternalAuthID            *uuid.UUID // the user's id at an external identity provider; nil: none

	ExternalID  *string // by which a provisioning client knows the user: unique within the customer, case matters; nil: none
	DisplayName *string // nil: none; the empty string is stored as nil
	// DeprovisionedAt is when a provisioning client deleted the user, who is kept, INACTIVE. Nil means that none did. The store sets
	// it to nil whenever Status is another.
	DeprovisionedAt *time.Time `gorm:"serializer:epochms"`
	LegalHoldAt     *time.Time `gorm:"serializer:epochms"` // since when the user must not be erased; nil: it may be

	CreatedAt time.Time  `gorm:"serializer:epochms;autoCreateTime:false"`
	CreatedBy *uuid.UUID // nil: unknown
	UpdatedAt time.Time  `gorm:"serializer:epochms;autoUpdateTime:false"`
	UpdatedBy *uuid.UUID // nil: unknown

	Version int64 // 1 on creation, one more with every write that changed something
}

// UserKey names one user of one customer. Build it with [UserByID] or [UserByUUID]; the zero value names none.
type UserKey struct {
	customerID int64
	by         keyColumn
	id         int64     // for keyByID
	uuid       uuid.UUID // for keyByUUID
}

// keyColumn says which column a key is a value of.
type keyColumn uint8

const (
	noKey keyColumn = iota
	keyByID
	keyByUUID
)

// UserByID is the key of the customer's user with this id.
func UserByID(customerID, id int64) UserKey {
	return UserKey{customerID: customerID, by: keyByID, id: id}
}

// UserByUUID is the key of the customer's user with this UUID.
func UserByUUID(customerID int64, id uuid.UUID) UserKey {
	return UserKey{customerID: customerID, by: keyByUUID, uuid: id}
}

func (k UserKey) value() any {
	if k.by == keyByUUID {
		return k.uuid
	}
	return k.id
}
