package store_test

import (
	"slices"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

func TestCatalogueAsDocumented(t *testing.T) {
	t.Parallel()
	type row struct {
		id          int64
		name        string
		rank        int
		code, label string
		implies     store.RoleSet
	}
	want := []row{
		{1, "ROLE_ADMIN", 3, "owner", "Owner", store.Roles(2, 3)},
		{2, "ROLE_COMPANY_ADMIN", 2, "cro", "CRO", store.Roles(3)},
		{3, "ROLE_USER", 1, "risk_analyst", "Risk Analyst", 0},
		{4, "ROLE_RUN_TEST", 0, "", "", 0},
		{5, "ROLE_CHANGE_USER", 0, "", "", 0},
		{11, "ROLE_READ_ONLY", 0, "", "", 0},
		{12, "ROLE_REPORT", 0, "", "", 0},
	}
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := s.Catalogue()
		var got []row
		for _, r := range c.All() {
			g := row{r.ID, r.Name, r.Rank, "", "", r.Implies}
			if r.SubroleUUID != nil {
				g.code, g.label = *r.SubroleCode, *r.SubroleLabel
				if by, ok := c.BySubroleUUID(*r.SubroleUUID); !ok || by.ID != r.ID {
					t.Errorf("by %v: %+v", r.SubroleUUID, by)
				}
				if by, ok := c.BySubroleCode(g.code); !ok || by.ID != r.ID {
					t.Errorf("by %s: %+v", g.code, by)
				}
			}
			if by, ok := c.ByID(r.ID); !ok || by.Name != r.Name {
				t.Errorf("by %d: %+v", r.ID, by)
			}
			if by, ok := c.ByName(r.Name); !ok || by.ID != r.ID {
				t.Errorf("by %s: %+v", r.Name, by)
			}
			got = append(got, g)
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %+v", got)
		}
		if c.WithSubrole() != store.Roles(1, 2, 3) {
			t.Errorf("with subrole: %v", c.WithSubrole().IDs())
		}
		for _, q := range []struct {
			set     store.RoleSet
			rank    int
			subrole string
		}{
			{0, 0, ""}, {store.Roles(4, 12), 0, ""}, {store.Roles(3, 4), 1, "ROLE_USER"},
			{store.Roles(2, 3), 2, "ROLE_COMPANY_ADMIN"}, {store.Roles(1, 2, 3, 11), 3, "ROLE_ADMIN"},
		} {
			r, ok := c.Subrole(q.set)
			if c.Rank(q.set) != q.rank || r.Name != q.subrole || ok != (q.subrole != "") {
				t.Errorf("%v: rank %d, subrole %q", q.set.IDs(), c.Rank(q.set), r.Name)
			}
		}
		if in := c.In(store.Roles(12, 3, 6)); len(in) != 2 || in[0].ID != 3 || in[1].ID != 12 {
			t.Errorf("in: %+v", in)
		}
		if _, ok := c.BySubroleUUID(uuid.Nil); ok {
			t.Error("a role has no UUID")
		}
		if _, ok := c.BySubroleCode(""); ok {
			t.Error("a role has no code")
		}
	})
}

func TestRoleSetIsASet(t *testing.T) {
	t.Parallel()
	ids := rapid.SliceOfDistinct(rapid.Int64Range(1, 62), rapid.ID[int64])
	rapid.Check(t, func(t *rapid.T) {
		a, b := ids.Draw(t, "a"), ids.Draw(t, "b")
		s, u := store.Roles(a...), store.Roles(b...)
		if got := s.IDs(); !slices.Equal(got, slices.Sorted(slices.Values(a))) {
			t.Fatalf("ids %v", got)
		}
		for id := int64(-1); id <= 65; id++ {
			inA, inB := slices.Contains(a, id), slices.Contains(b, id)
			if s.Has(id) != inA || s.Union(u).Has(id) != (inA || inB) || s.Minus(u).Has(id) != (inA && !inB) {
				t.Fatalf("id %d", id)
			}
		}
		if s < 0 {
			t.Fatal("negative")
		}
	})
}
