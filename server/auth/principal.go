package auth

import (
	"crypto/sha256"
	"slices"

	"github.com/google/uuid"
)

// Permission is a right over the users of a customer, named by Worth's code. A token may have other codes than the three below;
// they permit nothing.
type Permission string

// The permissions that this server checks (SEMANTICS.md, "Who may do what").
const (
	PermissionRead   Permission = "customer_user:read"   // see users
	PermissionWrite  Permission = "customer_user:write"  // change them
	PermissionCreate Permission = "customer_user:create" // add them
)

// AllCustomers is the customer claim of the platform's administrator: this string itself, not an array with it.
const AllCustomers = "*"

// PermissionHistory is the right to read the history of changes. Administrators' roles have it; a token cannot name it.
const PermissionHistory Permission = "history"

// Principal is the caller as a verified token describes it. Only [Verifier.Verify] makes one; the zero Principal may do
// nothing. A [Policy] decides what a principal may do.
type Principal struct {
	// Subject is the token's sub claim, the issuer's name for the caller. It is not empty.
	Subject string
	// Token is the hash of the token.
	Token TokenHash

	userID           uuid.UUID // the user id claim; uuid.Nil where it is absent
	customers        []customerKey
	allCustomers     bool // whether the customer claim is AllCustomers; it counts only with ROLE_ADMIN
	permissions      []string
	authorities      []string
	namesAuthorities bool
}

// TokenHash is the SHA-256 of a token as it was sent. It identifies the token without revealing it.
type TokenHash [sha256.Size]byte

// customerKey is a customer's id in a token: its UUID or its Long, never both.
type customerKey struct {
	id   int64
	uuid uuid.UUID
}

// Actor returns the UUID to record as the author of a change: the token's user id claim, else a sub that is a UUID, else nil
// (SEMANTICS.md, "One user": created_by and updated_by).
func (p Principal) Actor() *uuid.UUID {
	id, ok := p.UserID()
	if !ok {
		return nil
	}
	return &id
}

// UserID returns what [Principal.Actor] does, and false for nil. The directory need not have such a user.
func (p Principal) UserID() (uuid.UUID, bool) {
	id := p.userID
	if id == uuid.Nil {
		id, _ = ParseUUID(p.Subject)
	}
	return id, id != uuid.Nil
}

func (p Principal) hasAuthority(role string) bool { return slices.Contains(p.authorities, role) }

func (p Principal) hasPermission(perm Permission) bool {
	return slices.Contains(p.permissions, string(perm))
}

func (p Principal) names(key customerKey) bool { return slices.Contains(p.customers, key) }
