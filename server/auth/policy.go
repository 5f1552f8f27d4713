package auth

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/store"
)

// The roles with rights beyond their rank (SEMANTICS.md, "Who may do what").
const (
	roleAdmin        = "ROLE_ADMIN"
	roleCompanyAdmin = "ROLE_COMPANY_ADMIN"
)

// rankManager is the lowest rank that manages other users, that of ROLE_COMPANY_ADMIN.
const rankManager = 2

// Policy implements the table "Who may do what" of SEMANTICS.md. Nothing else in the program decides this; the dialects choose
// only the order of the checks.
//
// Its methods take customers and users that the caller has loaded. The store's queries decide whether a company or a user
// belongs to a customer.
type Policy struct {
	Roles *store.Catalogue // required; the ranks of the roles
}

// PlatformAdministrator reports whether the principal administers the whole platform: it has ROLE_ADMIN, and its customer claim
// is [AllCustomers]. It needs both, so that a missing or misspelt claim never widens a token's scope.
func (p Policy) PlatformAdministrator(pr Principal) bool {
	return pr.hasAuthority(roleAdmin) && pr.allCustomers
}

// MayAskForMany reports whether the principal may read over several customers, within [Policy.Scope]: it is the platform's
// administrator, or its token names a customer. Others are refused, as on paths with a customer: an empty answer would hide that
// the claim is missing, misspelt or empty.
func (p Policy) MayAskForMany(pr Principal) bool {
	return p.PlatformAdministrator(pr) || len(pr.customers) > 0
}

// Covers reports whether c is one of the principal's customers: the token names its Long or its UUID, or the principal is the
// platform's administrator. [Policy.Permits] decides what the principal may do there.
func (p Policy) Covers(pr Principal, c store.Customer) bool {
	return p.CoversID(pr, c.ID) || p.CoversUUID(pr, c.UUID)
}

// CoversID is [Policy.Covers] for a Long that no customer has. Only a token that names it may learn that the customer does not
// exist; other tokens get the same refusal as for a foreign customer. For a customer that exists use Covers, since the token may
// name its UUID.
func (p Policy) CoversID(pr Principal, id int64) bool {
	return p.PlatformAdministrator(pr) || pr.names(customerKey{id: id})
}

// CoversUUID is [Policy.CoversID] for a UUID.
func (p Policy) CoversUUID(pr Principal, id uuid.UUID) bool {
	return p.PlatformAdministrator(pr) || pr.names(customerKey{uuid: id})
}

// Scope returns the customers that [Policy.Covers] grants the principal, as a scope of the change feed.
func (p Policy) Scope(pr Principal) store.FeedScope {
	scope := store.FeedScope{All: p.PlatformAdministrator(pr)}
	for _, c := range pr.customers {
		if c.uuid != uuid.Nil {
			scope.UUIDs = append(scope.UUIDs, c.uuid)
		} else {
			scope.IDs = append(scope.IDs, c.id)
		}
	}
	return scope
}

// Permits reports whether the principal has a permission within the customers that [Policy.Covers] grants it: the token has the
// permission, or one of the authorities ROLE_COMPANY_ADMIN and ROLE_ADMIN, which include all permissions.
func (p Policy) Permits(pr Principal, perm Permission) bool {
	switch perm {
	case PermissionRead, PermissionWrite, PermissionCreate:
		return pr.hasPermission(perm) || pr.hasAuthority(roleCompanyAdmin) || pr.hasAuthority(roleAdmin)
	case PermissionHistory:
		return pr.hasAuthority(roleCompanyAdmin) || pr.hasAuthority(roleAdmin)
	}
	return false
}

// Rank returns the principal's rank: the highest rank among its authorities, of which unknown ones count 0. If the token has no
// authorities claim, as Worth's, the rank is 2 with [PermissionWrite], since managing users distinguishes a CRO, and else 0.
func (p Policy) Rank(pr Principal) int {
	if !pr.namesAuthorities {
		if pr.hasPermission(PermissionWrite) {
			return rankManager
		}
		return 0
	}
	rank := 0
	for _, name := range pr.authorities {
		if role, ok := p.Roles.ByName(name); ok {
			rank = max(rank, role.Rank)
		}
	}
	return rank
}

// Manages reports whether the principal's rank is 2 or above. Such callers replace a password without the present one
// (SEMANTICS.md, "Testinium's update: PUT").
func (p Policy) Manages(pr Principal) bool { return p.Rank(pr) >= rankManager }

// SeesAccessToken reports whether the principal may see the access token of a user with these roles: its rank is at least
// theirs. A role that the catalogue does not have ranks above all.
func (p Policy) SeesAccessToken(pr Principal, roles store.RoleSet) bool {
	known := p.Roles.In(roles)
	if len(known) != len(roles.IDs()) {
		return false
	}
	return p.Rank(pr) >= p.Roles.Rank(roles)
}

// CheckWrite returns nil if the principal's rank permits the change of a user from before to after, else a [*ForbiddenError].
// It refuses
//
//   - every write, even one that changes nothing, to a user with a role of rank 2 or above that is above the principal's rank;
//   - to grant or to remove a role above the principal's rank;
//   - to grant or to remove a role of rank 0, such as ROLE_READ_ONLY, if the principal's rank is below 2. Other services
//     give such a role its meaning, which may be a restriction that a user must not be able to drop.
//
// A role that the catalogue does not have ranks above all: it was added after the server started, and its rank is unknown. A
// nil before is for a user who is created, a nil after for one who is removed. CheckWrite does not check the customer and the
// permission; call [Policy.Covers] and [Policy.Permits] first.
func (p Policy) CheckWrite(pr Principal, before, after *store.User) error {
	var present, wanted store.RoleSet
	if before != nil {
		present = before.Roles
	}
	if after != nil {
		wanted = after.Roles
	}
	rank := p.Rank(pr)

	for _, id := range present.IDs() {
		if role, ok := p.Roles.ByID(id); !ok || role.Rank >= rankManager && role.Rank > rank {
			return forbidden("rank %d may not write to a user with %s", rank, describe(id, role))
		}
	}
	for _, id := range present.Minus(wanted).Union(wanted.Minus(present)).IDs() {
		role, ok := p.Roles.ByID(id)
		if !ok || role.Rank > rank || role.Rank == 0 && rank < rankManager {
			return forbidden("rank %d may not grant or remove %s", rank, describe(id, role))
		}
	}
	return nil
}

// describe returns a role's name and rank for the log. The zero role is unknown.
func describe(id int64, role store.Role) string {
	if role.ID == 0 {
		return fmt.Sprintf("role %d, which is unknown", id)
	}
	return fmt.Sprintf("%s, of rank %d", role.Name, role.Rank)
}

func forbidden(reason string, args ...any) error {
	return &ForbiddenError{Reason: fmt.Sprintf(reason, args...)}
}
