package auth

import (
	"crypto/sha256"
	"slices"

	"github.com/google/uuid"
)

// Permission is a right over the users of a customer, by the code that Worth gives it. Codes other than the three below may
// stand in a token and permit nothing.
type Permission string

// The permissions that this server asks for (SEMANTICS.md, "Who may do what").
const (
	PermissionRead   Permission = "customer_user:read"   // see users
	PermissionWrite  Permission = "customer_user:write"  // change them
	PermissionCreate Permission = "customer_user:create" // add them
)

// AllCustomers is the customer claim of the platform's administrator: this very string and not an array that holds it.
const AllCustomers = "*"

// PermissionHistory is the right to read who changed what. It goes with the administrators' roles: no token can name it.
const PermissionHistory Permission = "history"

// Principal is who calls, as a verified token describes them. Only [Verifier.Verify] makes one; the zero Principal may do
// nothing. What a principal may do is asked of a [Policy].
type Principal struct {
	// Subject is the token's sub claim, never empty: how the issuer calls the caller.
	Subject string
	// Token is the hash of the token that says so.
	Token TokenHash

	userID           uuid.UUID // the user id claim; uuid.Nil where it is absent
	customers        []customerKey
	allCustomers     bool // whether the customer claim is AllCustomers; it counts only with ROLE_ADMIN
	permissions      []string
	authorities      []string
	namesAuthorities bool
}

// TokenHash is the SHA-256 of a token as it was sent: it names the token and tells nothing of it.
type TokenHash [sha256.Size]byte

// customerKey is how a token names a customer: by its UUID or its Long, never both.
type customerKey struct {
	id   int64
	uuid uuid.UUID
}

// Actor returns the UUID to record as who made a change: the token's user id claim, else a sub that is a UUID, else nil
// (SEMANTICS.md, "One user": created_by and updated_by).
func (p Principal) Actor() *uuid.UUID {
	id, ok := p.UserID()
	if !ok {
		return nil
	}
	return &id
}

// UserID returns the same as [Principal.Actor], and false for nil. Whether the directory has such a user is not said.
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
