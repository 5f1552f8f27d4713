package store

import (
	"fmt"
	"math/bits"

	"github.com/google/uuid"
)

// maxRoleID is the highest id a role can have: a RoleSet is kept in one signed 64-bit column, and bit 0 stays unused.
const maxRoleID = 62

// RoleSet is a set of roles: bit n stands for the role whose ID is n, from 1 to 62. Its zero value is the empty set,
// and sets are compared with ==.
type RoleSet int64

// Roles returns the set of the roles with these ids. It panics if an id is not between 1 and 62: ids come from the
// catalogue or from the program, never from a client.
func Roles(ids ...int64) RoleSet {
	var s RoleSet
	for _, id := range ids {
		if id < 1 || id > maxRoleID {
			panic(fmt.Sprintf("store: role id %d is not between 1 and %d", id, maxRoleID))
		}
		s |= 1 << id
	}
	return s
}

// Has reports whether the role with this id is in the set.
func (s RoleSet) Has(id int64) bool { return id >= 1 && id <= maxRoleID && s&(1<<id) != 0 }

// Union returns the roles that are in s, in t or in both.
func (s RoleSet) Union(t RoleSet) RoleSet { return s | t }

// Minus returns the roles that are in s and not in t.
func (s RoleSet) Minus(t RoleSet) RoleSet { return s &^ t }

// IDs returns the ids of the roles in the set, ascending.
func (s RoleSet) IDs() []int64 {
	rest := uint64(s) & (1<<(maxRoleID+1) - 2) // #nosec G115 -- a set of bits
	ids := make([]int64, 0, bits.OnesCount64(rest))
	for ; rest != 0; rest &= rest - 1 {
		ids = append(ids, int64(bits.TrailingZeros64(rest)))
	}
	return ids
}

// Role is one entry of the catalogue. A role may have a subrole, the name by which Worth's dialect knows it: then
// SubroleUUID, SubroleCode and SubroleLabel are all set, else all nil.
type Role struct {
	ID   int64
	Name string
	// Rank orders roles by power: 3 administers the platform, 2 a customer, 1 is a user, 0 adds a single ability.
	Rank         int
	SubroleUUID  *uuid.UUID
	SubroleCode  *string
	SubroleLabel *string
	// Implies are the roles that come with this one when it is granted as a subrole.
	Implies RoleSet
}

// Catalogue is the immutable list of all roles, the same for all customers, as it stood when the store was opened.
type Catalogue struct {
	roles       []Role
	known       RoleSet
	withSubrole RoleSet
	byID        map[int64]Role
	byName      map[string]Role
	byUUID      map[uuid.UUID]Role
	byCode      map[string]Role
}

// newCatalogue indexes roles, which must be in ascending order of their ids.
func newCatalogue(roles []Role) *Catalogue {
	c := &Catalogue{
		roles:  roles,
		byID:   make(map[int64]Role),
		byName: make(map[string]Role),
		byUUID: make(map[uuid.UUID]Role),
		byCode: make(map[string]Role),
	}
	for _, r := range roles {
		c.known = c.known.Union(Roles(r.ID))
		c.byID[r.ID] = r
		c.byName[r.Name] = r
		if r.SubroleUUID != nil {
			c.withSubrole = c.withSubrole.Union(Roles(r.ID))
			c.byUUID[*r.SubroleUUID] = r
			c.byCode[*r.SubroleCode] = r
		}
	}
	return c
}

// All returns every role, ascending by ID. The slice is the caller's.
func (c *Catalogue) All() []Role { return append([]Role(nil), c.roles...) }

// ByID returns the role with this id, and whether there is one.
func (c *Catalogue) ByID(id int64) (Role, bool) { r, ok := c.byID[id]; return r, ok }

// ByName returns the role with exactly this name, such as ROLE_USER, and whether there is one.
func (c *Catalogue) ByName(name string) (Role, bool) { r, ok := c.byName[name]; return r, ok }

// BySubroleUUID returns the role whose subrole has this UUID, and whether there is one.
func (c *Catalogue) BySubroleUUID(id uuid.UUID) (Role, bool) { r, ok := c.byUUID[id]; return r, ok }

// BySubroleCode returns the role whose subrole has exactly this code, and whether there is one.
func (c *Catalogue) BySubroleCode(code string) (Role, bool) { r, ok := c.byCode[code]; return r, ok }

// In returns the roles of the set, ascending by ID. Ids that the catalogue does not have are left out.
func (c *Catalogue) In(s RoleSet) []Role {
	var in []Role
	for _, r := range c.roles {
		if s.Has(r.ID) {
			in = append(in, r)
		}
	}
	return in
}

// Rank returns the highest rank in the set, 0 for the empty set.
func (c *Catalogue) Rank(s RoleSet) int {
	rank := 0
	for _, r := range c.roles {
		if s.Has(r.ID) {
			rank = max(rank, r.Rank)
		}
	}
	return rank
}

// Subrole returns the highest-ranked role of the set that has a subrole, and whether there is one. Of equal ranks the
// lowest ID is taken.
func (c *Catalogue) Subrole(s RoleSet) (Role, bool) {
	var best Role
	found := false
	for _, r := range c.roles {
		if s.Has(r.ID) && r.SubroleUUID != nil && (!found || r.Rank > best.Rank) {
			best, found = r, true
		}
	}
	return best, found
}

// WithSubrole returns the set of every role that has a subrole.
func (c *Catalogue) WithSubrole() RoleSet { return c.withSubrole }
