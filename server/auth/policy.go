package auth

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/store"
)

// The roles that mean more than their rank (SEMANTICS.md, "Who may do what").
const (
	roleAdmin        = "ROLE_ADMIN"
	roleCompanyAdmin = "ROLE_COMPANY_ADMIN"
)

// rankManager is the rank from which on a role is about managing other users: ROLE_COMPANY_ADMIN's.
const rankManager = 2

// Policy decides who may do what, by the table of that name in SEMANTICS.md. Nothing else in the program does, but for the
// order in which its questions are asked, which is the dialects'.
//
// It answers about customers and users that the caller has loaded; whether a company belongs to a customer, and a user to a
// customer, is decided by the store's queries.
type Policy struct {
	Roles *store.Catalogue // required; the ranks of the roles
}

// PlatformAdministrator reports whether the principal administers the whole platform: it has ROLE_ADMIN, and its customer claim
// is [AllCustomers]. Neither is enough alone, so that a claim that is missing or misspelt never widens what a token is for.
func (p Policy) PlatformAdministrator(pr Principal) bool {
	return pr.hasAuthority(roleAdmin) && pr.allCustomers
}

// MayAskForMany reports whether the principal may ask about no customer in particular and be shown what [Policy.Scope] has: it is
// the platform's administrator, or its token names a customer. Any other is refused, as it is on every customer's own paths: an
// empty answer would hide that the claim is missing, misspelt or empty.
func (p Policy) MayAskForMany(pr Principal) bool {
	return p.PlatformAdministrator(pr) || len(pr.customers) > 0
}

// Covers reports whether c is one of the principal's customers: the token names it by its Long or by its UUID, or the
// principal is the platform's administrator. It says nothing about what the principal may do there; see [Policy.Permits].
func (p Policy) Covers(pr Principal, c store.Customer) bool {
	return p.CoversID(pr, c.ID) || p.CoversUUID(pr, c.UUID)
}

// CoversID is [Policy.Covers] for a Long that no customer has. A token that names it is allowed to learn that there is
// nothing; to any other, a missing customer and another's customer are the same refusal. For a customer that exists use
// Covers, since the token may name it by its UUID.
func (p Policy) CoversID(pr Principal, id int64) bool {
	return p.PlatformAdministrator(pr) || pr.names(customerKey{id: id})
}

// CoversUUID is [Policy.CoversID] for a UUID.
func (p Policy) CoversUUID(pr Principal, id uuid.UUID) bool {
	return p.PlatformAdministrator(pr) || pr.names(customerKey{uuid: id})
}

// Scope gives all customers that [Policy.Covers] grants the principal, as a reader of the change feed names them.
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

// Permits reports whether the principal has a permission within the customers that [Policy.Covers] grants it: the token
// has it among its permissions, or ROLE_COMPANY_ADMIN or ROLE_ADMIN, which have all three, among its authorities.
func (p Policy) Permits(pr Principal, perm Permission) bool {
	switch perm {
	case PermissionRead, PermissionWrite, PermissionCreate:
		return pr.hasPermission(perm) || pr.hasAuthority(roleCompanyAdmin) || pr.hasAuthority(roleAdmin)
	case PermissionHistory:
		return pr.hasAuthority(roleCompanyAdmin) || pr.hasAuthority(roleAdmin)
	}
	return false
}

// Rank returns how high the principal stands: the highest rank among its authorities, where names that the catalogue does
// not have count 0. If the token has no such claim, as Worth's have none, it is 2 for one with [PermissionWrite], since
// managing users is what sets a CRO apart, and 0 for any other.
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

// Manages reports whether the principal is of rank 2 or above. Such callers replace a password without giving the present one
// (SEMANTICS.md, "Testinium's update: PUT").
func (p Policy) Manages(pr Principal) bool { return p.Rank(pr) >= rankManager }

// SeesAccessToken reports whether the principal is shown the access token of a user who holds these roles: its rank is at
// least theirs. A role that the catalogue does not have is above everybody's.
func (p Policy) SeesAccessToken(pr Principal, held store.RoleSet) bool {
	known := p.Roles.In(held)
	if len(known) != len(held.IDs()) {
		return false
	}
	return p.Rank(pr) >= p.Roles.Rank(held)
}

// CheckWrite returns nil if the principal's rank allows it to turn the user before into the user after, else a
// [*ForbiddenError]. It is refused
//
//   - to write at all, even what changes nothing, to a user who holds a role of rank 2 or above that is above the
//     principal's own rank;
//   - to grant or to remove a role that is above the principal's own rank;
//   - to grant or to remove a role of rank 0, such as ROLE_READ_ONLY, for a principal below rank 2. What such a role does is
//     up to the services that read it: its holder must not be able to drop a restriction.
//
// A role that the catalogue does not have is above everybody's: it was added since the server started, and its rank is not
// known. A nil before stands for a user who is being created, a nil after for one who is being removed. Customer and permission
// are not looked at; [Policy.Covers] and [Policy.Permits] come first.
func (p Policy) CheckWrite(pr Principal, before, after *store.User) error {
	var held, wanted store.RoleSet
	if before != nil {
		held = before.Roles
	}
	if after != nil {
		wanted = after.Roles
	}
	rank := p.Rank(pr)

	for _, id := range held.IDs() {
		if role, ok := p.Roles.ByID(id); !ok || role.Rank >= rankManager && role.Rank > rank {
			return forbidden("rank %d may not write to a user who holds %s", rank, describe(id, role))
		}
	}
	for _, id := range held.Minus(wanted).Union(wanted.Minus(held)).IDs() {
		role, ok := p.Roles.ByID(id)
		if !ok || role.Rank > rank || role.Rank == 0 && rank < rankManager {
			return forbidden("rank %d may not grant or remove %s", rank, describe(id, role))
		}
	}
	return nil
}

// describe names a role for the log; the zero role is one that the catalogue does not have.
func describe(id int64, role store.Role) string {
	if role.ID == 0 {
		return fmt.Sprintf("role %d, which is unknown", id)
	}
	return fmt.Sprintf("%s, of rank %d", role.Name, role.Rank)
}

func forbidden(reason string, args ...any) error {
	return &ForbiddenError{Reason: fmt.Sprintf(reason, args...)}
}
