package auth

import (
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/store"
)

// The roles that grant more than their rank does (SEMANTICS.md, "Who may do what").
const (
	roleAdmin        = "ROLE_ADMIN"
	roleCompanyAdmin = "ROLE_COMPANY_ADMIN"
)

// rankManager is the lowest rank that may manage other users. It is the rank of ROLE_COMPANY_ADMIN.
const rankManager = 2

// Policy implements the table "Who may do what" of SEMANTICS.md. All decisions of this kind are made here; the dialects only
// determine the order of the checks.
//
// The customers and users that its methods take must already be loaded. The store's queries ensure that a company or a user
// belongs to a customer.
type Policy struct {
	Roles *store.Catalogue // required; the ranks of the roles
}

// PlatformAdministrator reports whether the principal administers the whole platform: it has ROLE_ADMIN, and its customer claim
// is [AllCustomers] or its token satisfies [Rules.PlatformAdministrators]. Both are required, so that a missing or misspelled claim
// never widens a token's scope.
func (p Policy) PlatformAdministrator(pr Principal) bool {
	return pr.hasAuthority(roleAdmin) && pr.allCustomers
}

// MaySpanCustomers reports whether the principal may make requests that span several customers, within [Policy.Scope]: it is the
// platform's administrator, or its token names a customer. Other principals are refused, as they are on paths with a customer: an
// empty result would hide that the claim is missing, misspelled or empty.
func (p Policy) MaySpanCustomers(pr Principal) bool {
	return p.PlatformAdministrator(pr) || len(pr.customers) > 0
}

// Covers reports whether c is one of the principal's customers: the token names its Long or its UUID, or the principal is the
// platform's administrator. [Policy.Permits] decides what the principal may do there.
func (p Policy) Covers(pr Principal, c store.Customer) bool {
	return p.CoversID(pr, c.ID) || p.CoversUUID(pr, c.UUID)
}

// CoversID is like [Policy.Covers], for a Long that no customer has. Only the holder of a token that covers it may learn that the
// customer does not exist; others are refused as for any customer that their token does not cover. For a customer that exists use
// Covers, since the token may name its UUID.
func (p Policy) CoversID(pr Principal, id int64) bool {
	return p.PlatformAdministrator(pr) || pr.names(customerKey{id: id})
}

// CoversUUID is like [Policy.CoversID], for a UUID.
func (p Policy) CoversUUID(pr Principal, id uuid.UUID) bool {
	return p.PlatformAdministrator(pr) || pr.names(customerKey{uuid: id})
}

// MayActAs reports whether the principal's issuer may speak for users of the customer c ([Rules.Scope]). If it may not speak for the
// customer of the principal's user, nothing may be recorded in that user's name.
func (p Policy) MayActAs(pr Principal, c store.Customer) bool {
	return pr.scope == nil || pr.scope[customerKey{id: c.ID}] || pr.scope[customerKey{uuid: c.UUID}]
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
// permission, or one of the authorities ROLE_COMPANY_ADMIN and ROLE_ADMIN, which include all permissions but [PermissionErase].
func (p Policy) Permits(pr Principal, perm Permission) bool {
	switch perm {
	case PermissionRead, PermissionWrite, PermissionCreate:
		return pr.hasPermission(perm) || pr.hasAuthority(roleCompanyAdmin) || pr.hasAuthority(roleAdmin)
	case PermissionHistory, PermissionWebhooks:
		return !pr.provisions && (pr.hasAuthority(roleCompanyAdmin) || pr.hasAuthority(roleAdmin))
	case PermissionProvisioning:
		// Otherwise a caller could do by a token of its own making what it may not do itself.
		return !pr.provisions && p.Manages(pr) && !slices.ContainsFunc(provisionerPermissions, func(needed string) bool {
			return !p.Permits(pr, Permission(needed))
		})
	case PermissionErase:
		return !pr.provisions && p.PlatformAdministrator(pr)
	}
	return false
}

// Rank returns the principal's rank: the highest rank of its authorities, where unknown ones have rank 0. If the token has no
// authorities claim, as Worth's tokens do not, and [MissingLegacy] applies, the rank is 2 if it has [PermissionWrite], since in Worth
// that permission marks a CRO.
func (p Policy) Rank(pr Principal) int {
	if pr.ranksByPermission && pr.hasPermission(PermissionWrite) {
		return rankManager
	}
	rank := 0
	for _, name := range pr.authorities {
		if role, ok := p.Roles.ByName(name); ok {
			rank = max(rank, role.Rank)
		}
	}
	return rank
}

// Manages reports whether the principal's rank is 2 or above. Such a caller may set a user's password without giving the current one
// (SEMANTICS.md, "Testinium's update: PUT").
func (p Policy) Manages(pr Principal) bool { return p.Rank(pr) >= rankManager }

// SeesAccessToken reports whether the principal may see the access token of a user with these roles: its rank is at least
// that of each role. A role that is not in the catalogue ranks above all others.
func (p Policy) SeesAccessToken(pr Principal, roles store.RoleSet) bool {
	known := p.Roles.In(roles)
	if len(known) != len(roles.IDs()) {
		return false
	}
	return p.Rank(pr) >= p.Roles.Rank(roles)
}

// CheckWrite returns a [*ForbiddenError] unless the principal's rank permits changing a user from before to after. It refuses
//
//   - any write, even one that changes nothing, to a user with a role of rank 2 or above that is above the principal's rank;
//   - to grant or to remove a role above the principal's rank;
//   - to grant or to remove a role of rank 0, such as ROLE_READ_ONLY, if the principal's rank is below 2. Other services define
//     what such a role means. It may be a restriction, which users must not be able to remove from themselves.
//
// A role that is not in the catalogue ranks above all others: it was added after the server started, and its rank is unknown. A nil
// before means that the user is being created, and a nil after that the user is being removed. CheckWrite checks neither the customer
// nor the permission; call [Policy.Covers] and [Policy.Permits] first.
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

// CheckCeiling returns a [*ForbiddenError] unless the principal's rank permits managing a provisioning token up to a role: that of the role
// must not be higher. A role that is not in the catalogue ranks above all others.
func (p Policy) CheckCeiling(pr Principal, name string) error {
	role, ok := p.Roles.ByName(name)
	if rank := p.Rank(pr); !ok || role.Rank > rank {
		return forbidden("rank %d may not manage a provisioning token up to %s", rank, describe(role.ID, role))
	}
	return nil
}

// describe returns a role's name and rank for the log. The zero value stands for an unknown role.
func describe(id int64, role store.Role) string {
	if role.ID == 0 {
		return fmt.Sprintf("role %d, which is unknown", id)
	}
	return fmt.Sprintf("%s, of rank %d", role.Name, role.Rank)
}

func forbidden(reason string, args ...any) error {
	return &ForbiddenError{Reason: fmt.Sprintf(reason, args...)}
}
