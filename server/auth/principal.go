package auth

import (
	"crypto/sha256"
	"slices"

	"github.com/google/uuid"
)

// Permission is a right to the users of a customer, identified by Worth's code. Codes other than the three below have no effect.
type Permission string

// The permissions that this server checks (SEMANTICS.md, "Who may do what").
const (
	PermissionRead   Permission = "customer_user:read"   // see users
	PermissionWrite  Permission = "customer_user:write"  // change them
	PermissionCreate Permission = "customer_user:create" // add them
)

// AllCustomers is the customer claim of the platform's administrator. The claim must be this string, not an array that contains it;
// see [Rules.PlatformAdministrators].
const AllCustomers = "*"

// Only administrators' roles grant these: naming them in a token has no effect.
const (
	PermissionHistory  Permission = "history"  // read the history of changes
	PermissionWebhooks Permission = "webhooks" // decide where changes are delivered to
)

// PermissionProvisioning is the right to manage the tokens of a customer's provisioning clients. Naming it in a token has no effect: who has
// it is whoever manages other users and may do with them all that a provisioning client may; see [Policy.CheckCeiling] too.
const PermissionProvisioning Permission = "provisioning"

// PermissionErase is the right to erase users' personal data. Only the platform's administrator has it: naming it in a token has no effect.
const PermissionErase Permission = "erase"

// Principal is the caller as a verified token describes it. Only [Verifier.Verify] and [NewProvisioner] make one; the zero Principal may do
// nothing. A [Policy] decides what a principal may do.
type Principal struct {
	// Subject is the token's sub claim, the issuer's name for the caller. If there are several issuers, it is the token's iss, a
	// space and its sub. It is not empty.
	Subject string
	// Issuer is the token's iss claim, Name its sub claim. Unlike Subject they do not depend on how many issuers there are.
	Issuer, Name string
	// Token is the hash of the token.
	Token TokenHash

	userID            uuid.UUID // the user id claim, or else the sub claim if it is a UUID; uuid.Nil if there is neither
	customers         []customerKey
	allCustomers      bool // whether the token is for all customers; only effective with ROLE_ADMIN
	permissions       []string
	authorities       []string
	ranksByPermission bool // whether MissingLegacy applies, as the token has no authorities claim

	provisions bool // it has a provisioning token, which never grants what only administrators' roles do

	scope map[customerKey]bool // the customers that the issuer may speak for; nil: every customer
}

// TokenHash is the SHA-256 of a token as it was sent. It identifies the token without revealing it.
type TokenHash [sha256.Size]byte

// customerKey is a customer's id in a token: either its Long or its UUID.
type customerKey struct {
	id   int64
	uuid uuid.UUID
}

// Actor returns the UUID to record as the author of a change: the token's user id claim or, if that is absent, its sub. It returns
// nil if neither is a UUID (SEMANTICS.md, "One user": created_by and updated_by).
func (p Principal) Actor() *uuid.UUID {
	id, ok := p.UserID()
	if !ok {
		return nil
	}
	return &id
}

// UserID returns the UUID that [Principal.Actor] does, and whether there is one. The directory may have no such user, or one whom the
// issuer may not speak for; see [Policy.MayActAs].
func (p Principal) UserID() (uuid.UUID, bool) {
	return p.userID, p.userID != uuid.Nil
}

// IsLimited reports whether the issuer may speak for some customers only, so that its word alone does not show who the caller is.
func (p Principal) IsLimited() bool { return p.scope != nil }

func (p Principal) hasAuthority(role string) bool { return slices.Contains(p.authorities, role) }

func (p Principal) hasPermission(perm Permission) bool {
	return slices.Contains(p.permissions, string(perm))
}

func (p Principal) names(key customerKey) bool { return slices.Contains(p.customers, key) }
