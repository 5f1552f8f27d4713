package auth_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/store"
)

// policy returns the policy over the catalogue of an empty directory.
func policy(t testing.TB) auth.Policy {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + t.TempDir() + "/dragoman.db", SecretKey: randomBytes(32)})
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return auth.Policy{Roles: s.Catalogue()}
}

// ranks is the table "Roles" of SEMANTICS.md.
var ranks = map[string]int{
	"ROLE_ADMIN": 3, "ROLE_COMPANY_ADMIN": 2, "ROLE_USER": 1,
	"ROLE_RUN_TEST": 0, "ROLE_CHANGE_USER": 0, "ROLE_READ_ONLY": 0, "ROLE_REPORT": 0,
}

func roleNames() []string {
	names := make([]string, 0, len(ranks))
	for name := range ranks {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// user returns a user with these roles.
func user(t testing.TB, p auth.Policy, names ...string) *store.User {
	t.Helper()
	u := &store.User{ID: 6860, CustomerID: sandbox.ID}
	for _, name := range names {
		role, ok := p.Roles.ByName(name)
		if !ok {
			t.Fatalf("the catalogue has no %s", name)
		}
		u.Roles = u.Roles.Union(store.Roles(role.ID))
	}
	return u
}

func TestCovers(t *testing.T) {
	p := policy(t)
	sandboxUUID := `"` + sandbox.UUID.String() + `"`
	for _, test := range []struct {
		members              string
		sandbox, elsewhere   bool
		administersEverybody bool
	}{
		{members: `"x":1`},
		{members: `"customer_id":[]`},
		{members: `"customer_id":3393`, sandbox: true},
		{members: `"customer_id":"3393"`, sandbox: true},
		{members: `"customer_id":[3393]`, sandbox: true},
		{members: `"customer_id":` + sandboxUUID, sandbox: true},
		{members: `"customer_id":` + strings.ToUpper(sandboxUUID), sandbox: true},
		{members: `"customer_id":[3394,` + sandboxUUID + `]`, sandbox: true, elsewhere: true},
		{members: `"customer_id":33930`},
		{members: `"customer_id":"03393"`, sandbox: true},
		// A number beyond the precision of a float64 is exact.
		{members: `"customer_id":9007199254740993`},

		// Permissions and authorities do not widen the customers.
		{members: `"permissions":["customer_user:read","customer_user:write","customer_user:create"]`},
		{members: `"authorities":"ROLE_COMPANY_ADMIN"`},
		{members: `"authorities":["ROLE_COMPANY_ADMIN","ROLE_USER"],"customer_id":3393`, sandbox: true},
		{members: `"permissions":"ROLE_ADMIN"`},
		{members: `"authorities":"role_admin"`},

		{members: `"authorities":"ROLE_ADMIN","customer_id":"*"`, sandbox: true, elsewhere: true, administersEverybody: true},
		{members: `"authorities":["ROLE_USER","ROLE_ADMIN"],"customer_id":"\u002a"`, sandbox: true, elsewhere: true, administersEverybody: true},
		{members: `"authorities":"ROLE_ADMIN"`},
		{members: `"authorities":"ROLE_ADMIN","customers":"*","Customer_id":"*"`},
		{members: `"authorities":["ROLE_COMPANY_ADMIN","ROLE_USER"],"customer_id":"*"`},
		{members: `"permissions":["customer_user:write","ROLE_ADMIN"],"customer_id":"*"`},
		{members: `"customer_id":"*"`},
		{members: `"authorities":"ROLE_ADMIN","customer_id":3393`, sandbox: true},
		{members: `"authorities":"ROLE_ADMIN","customer_id":[]`},
	} {
		pr := principal(t, test.members)
		if got := p.Covers(pr, sandbox); got != test.sandbox {
			t.Errorf("%s: covers the sandbox %v", test.members, got)
		}
		if got := p.Covers(pr, elsewhere); got != test.elsewhere {
			t.Errorf("%s: covers elsewhere %v", test.members, got)
		}
		if got := p.PlatformAdministrator(pr); got != test.administersEverybody {
			t.Errorf("%s: platform administrator %v", test.members, got)
		}
		// Only the platform's administrator covers the zero customer.
		if got := p.Covers(pr, store.Customer{}); got != test.administersEverybody {
			t.Errorf("%s: covers the zero customer %v", test.members, got)
		}
	}
	if zero := (auth.Principal{}); p.Covers(zero, sandbox) || p.Covers(zero, store.Customer{}) || p.PlatformAdministrator(zero) {
		t.Error("the zero Principal has a customer")
	}
}

// TestCoversMissingCustomers checks that only a token that names a missing customer can tell it from a foreign one.
func TestCoversMissingCustomers(t *testing.T) {
	p := policy(t)
	missing := uuid.MustParse("f3b0c1de-2222-4444-8888-0123456789ab")
	for members, want := range map[string]bool{
		`"customer_id":3393`:                           false,
		`"customer_id":[3393,999]`:                     true,
		`"customer_id":["` + missing.String() + `"]`:   true,
		`"authorities":"ROLE_ADMIN"`:                   false,
		`"authorities":"ROLE_ADMIN","customer_id":"*"`: true,
		`"customer_id":"*"`:                            false,
		`"authorities":"ROLE_ADMIN","customer_id":1`:   false,
		`"authorities":"ROLE_COMPANY_ADMIN"`:           false,
	} {
		pr := principal(t, members)
		if got := p.CoversID(pr, 999) || p.CoversUUID(pr, missing); got != want {
			t.Errorf("%s: %v", members, got)
		}
		administrator := p.PlatformAdministrator(pr)
		if p.CoversID(pr, 0) != administrator || p.CoversUUID(pr, uuid.Nil) != administrator {
			t.Errorf("%s: covers what is no customer", members)
		}
	}
}

func TestPermits(t *testing.T) {
	p := policy(t)
	const read, write, create = auth.PermissionRead, auth.PermissionWrite, auth.PermissionCreate
	all := []auth.Permission{read, write, create}
	platform := append(all[:3:3], auth.PermissionErase)
	for members, want := range map[string][]auth.Permission{
		`"x":1`:                                  nil,
		`"permissions":[]`:                       nil,
		`"permissions":"customer_user:read"`:     {read},
		`"permissions":["customer_user:write"]`:  {write},
		`"permissions":["customer_user:create"]`: {create},
		`"permissions":["customer_user:read","customer_user:write"]`:                         {read, write},
		`"permissions":["customer_user:*","customer_user","*","CUSTOMER_USER:READ"]`:         nil,
		`"permissions":["customer_user:read customer_user:write"]`:                           nil,
		`"authorities":["customer_user:write"]`:                                              nil,
		`"authorities":["ROLE_USER","ROLE_CHANGE_USER","ROLE_READ_ONLY"],"customer_id":3393`: nil,
		`"authorities":["ROLE_USER"],"permissions":["customer_user:read"]`:                   {read},
		`"authorities":["ROLE_COMPANY_ADMIN"],"customer_id":3393`:                            all,
		`"authorities":["ROLE_ADMIN"],"customer_id":3393`:                                    all,
		`"authorities":["ROLE_ADMIN"]`:                                                       all,
		`"authorities":["ROLE_ADMIN"],"customer_id":"*"`:                                     platform,
		`"authorities":["ROLE_COMPANY_ADMIN"],"customer_id":"*"`:                             all,
		`"permissions":["erase"],"customer_id":"*"`:                                          nil,
		`"authorities":["Role_Admin"," ROLE_ADMIN"]`:                                         nil,
	} {
		pr := principal(t, members)
		for _, perm := range platform {
			if got := p.Permits(pr, perm); got != slices.Contains(want, perm) {
				t.Errorf("%s: permits %s %v", members, perm, got)
			}
		}
		for _, perm := range []auth.Permission{"", "customer_user:delete", "customer_user:*", "CUSTOMER_USER:READ"} {
			if p.Permits(pr, perm) {
				t.Errorf("%s: permits %q", members, perm)
			}
		}
		if p.Permits(auth.Principal{}, read) {
			t.Error("the zero Principal may read")
		}
	}
}

// TestProvisioning: who manages users, and may do all that a provisioning client may, manages tokens up to the own rank.
func TestProvisioning(t *testing.T) {
	p := policy(t)
	const worth = `"permissions":["customer_user:read","customer_user:write","customer_user:create"]`
	for members, ceilings := range map[string][]string{ // nil: it manages none
		`"x":1`: nil,
		`"permissions":["provisioning","history","*"]`:                                 nil,
		`"permissions":["customer_user:read","customer_user:write"]`:                   nil, // rank 2, and no token that it issued could create
		`"permissions":["customer_user:write","customer_user:create"]`:                 nil,
		`"permissions":["customer_user:read","customer_user:create"]`:                  nil,
		`"authorities":["ROLE_USER"],` + worth:                                         nil,
		`"authorities":[],` + worth:                                                    nil,
		worth:                                                                          {"ROLE_REPORT", "ROLE_USER", "ROLE_COMPANY_ADMIN"},
		`"authorities":["ROLE_COMPANY_ADMIN"]`:                                         {"ROLE_REPORT", "ROLE_USER", "ROLE_COMPANY_ADMIN"},
		`"authorities":["ROLE_ADMIN"],"customer_id":3393`:                              {"ROLE_REPORT", "ROLE_USER", "ROLE_COMPANY_ADMIN", "ROLE_ADMIN"},
		`"authorities":["ROLE_USER","ROLE_NOBODY_KNOWS"],"permissions":"provisioning"`: nil,
	} {
		pr := principal(t, members)
		if got := p.Permits(pr, auth.PermissionProvisioning); got != (ceilings != nil) {
			t.Errorf("%s: manages tokens: %t", members, got)
		}
		if ceilings == nil {
			continue
		}
		for _, role := range append(roleNames(), "ROLE_NOBODY_KNOWS", "") {
			if role == "ROLE_RUN_TEST" || role == "ROLE_CHANGE_USER" || role == "ROLE_READ_ONLY" {
				continue // of rank 0, as ROLE_REPORT is
			}
			err := p.CheckCeiling(pr, role)
			if (err == nil) != slices.Contains(ceilings, role) || err != nil && !errors.Is(err, auth.ErrForbidden) {
				t.Errorf("%s: a token up to %q: %v", members, role, err)
			}
		}
	}
	provisioner := auth.NewProvisioner(uuid.New(), auth.TokenHash{}, sandbox, "ROLE_ADMIN")
	if p.Permits(provisioner, auth.PermissionProvisioning) {
		t.Error("a provisioning client manages tokens")
	}
}

func TestRank(t *testing.T) {
	p := policy(t)
	for members, want := range map[string]int{
		`"x":1`:                                   0,
		`"permissions":["customer_user:write"]`:   2,
		`"permissions":"customer_user:write"`:     2,
		`"permissions":["customer_user:read"]`:    0,
		`"permissions":["customer_user:create"]`:  0,
		`"permissions":["ROLE_ADMIN"]`:            0,
		`"authorities":[]`:                        0,
		`"authorities":["ROLE_REPORT"]`:           0,
		`"authorities":["ROLE_USER"]`:             1,
		`"authorities":"ROLE_USER"`:               1,
		`"authorities":["ROLE_COMPANY_ADMIN"]`:    2,
		`"authorities":["ROLE_ADMIN"]`:            3,
		`"authorities":["ROLE_NOBODY_KNOWS"]`:     0,
		`"authorities":["role_admin","ADMIN",""]`: 0,
		`"authorities":["ROLE_USER","ROLE_ADMIN","ROLE_NOBODY_KNOWS","ROLE_COMPANY_ADMIN"]`: 3,
		`"authorities":["ROLE_ADMIN"],"customer_id":3393`:                                   3,

		// The claim decides if it is there, even if it is empty.
		`"authorities":[],"permissions":["customer_user:write"]`:                    0,
		`"authorities":["ROLE_USER"],"permissions":["customer_user:write"]`:         1,
		`"authorities":["ROLE_NOBODY_KNOWS"],"permissions":["customer_user:write"]`: 0,
	} {
		pr := principal(t, members)
		if got := p.Rank(pr); got != want {
			t.Errorf("%s: rank %d, want %d", members, got, want)
		}
		if got := p.Manages(pr); got != (want >= 2) {
			t.Errorf("%s: manages %v", members, got)
		}
	}
	for name, want := range ranks {
		if got := p.Rank(principal(t, `"authorities":"`+name+`"`)); got != want {
			t.Errorf("%s: rank %d, want %d", name, got, want)
		}
	}
	if p.Rank(auth.Principal{}) != 0 {
		t.Error("the zero Principal has a rank")
	}
}

func TestCheckWrite(t *testing.T) {
	p := policy(t)
	worth := `"permissions":["customer_user:write"]`
	for _, test := range []struct {
		name          string
		caller        string
		before, after []string
		refusal       string // a part of the reason; empty: allowed
	}{
		{"company administrator grants user", "ROLE_COMPANY_ADMIN", nil, []string{"ROLE_USER"}, ""},
		{"company administrator grants its own", "ROLE_COMPANY_ADMIN", []string{"ROLE_USER"}, []string{"ROLE_USER", "ROLE_COMPANY_ADMIN"}, ""},
		{"company administrator removes its own", "ROLE_COMPANY_ADMIN", []string{"ROLE_COMPANY_ADMIN"}, nil, ""},
		{"company administrator grants administrator", "ROLE_COMPANY_ADMIN", []string{"ROLE_USER"}, []string{"ROLE_USER", "ROLE_ADMIN"},
			"rank 2 may not grant or remove ROLE_ADMIN, of rank 3"},
		{"company administrator demotes an administrator", "ROLE_COMPANY_ADMIN", []string{"ROLE_ADMIN"}, nil,
			"rank 2 may not write to a user with ROLE_ADMIN, of rank 3"},
		{"company administrator renames an administrator", "ROLE_COMPANY_ADMIN", []string{"ROLE_ADMIN"}, []string{"ROLE_ADMIN"},
			"rank 2 may not write to a user with ROLE_ADMIN, of rank 3"},
		{"administrator does", "ROLE_ADMIN", []string{"ROLE_ADMIN", "ROLE_USER"}, []string{"ROLE_COMPANY_ADMIN"}, ""},

		{"user writes to a user", "ROLE_USER", []string{"ROLE_USER"}, []string{"ROLE_USER"}, ""},
		{"user grants its own", "ROLE_USER", nil, []string{"ROLE_USER"}, ""},
		{"user removes its own", "ROLE_USER", []string{"ROLE_USER"}, nil, ""},
		{"user grants company administrator", "ROLE_USER", []string{"ROLE_USER"}, []string{"ROLE_USER", "ROLE_COMPANY_ADMIN"},
			"rank 1 may not grant or remove ROLE_COMPANY_ADMIN, of rank 2"},
		{"user writes to a company administrator", "ROLE_USER", []string{"ROLE_COMPANY_ADMIN"}, []string{"ROLE_COMPANY_ADMIN"},
			"rank 1 may not write to a user with ROLE_COMPANY_ADMIN, of rank 2"},

		// A role of rank 1 above the caller's protects itself, but not the user.
		{"reporter writes to a user", "ROLE_REPORT", []string{"ROLE_USER"}, []string{"ROLE_USER"}, ""},
		{"reporter grants a reporter", "ROLE_REPORT", []string{"ROLE_USER"}, []string{"ROLE_USER", "ROLE_RUN_TEST"},
			"rank 0 may not grant or remove ROLE_RUN_TEST, of rank 0"},
		{"user removes read only", "ROLE_USER", []string{"ROLE_USER", "ROLE_READ_ONLY"}, []string{"ROLE_USER"},
			"rank 1 may not grant or remove ROLE_READ_ONLY, of rank 0"},
		{"user keeps read only", "ROLE_USER", []string{"ROLE_USER", "ROLE_READ_ONLY"}, []string{"ROLE_USER", "ROLE_READ_ONLY"}, ""},
		{"company administrator grants change user", "ROLE_COMPANY_ADMIN", []string{"ROLE_USER"}, []string{"ROLE_USER", "ROLE_CHANGE_USER"}, ""},
		{"Worth's token removes report", "", []string{"ROLE_REPORT"}, nil, ""},
		{"reporter removes user", "ROLE_REPORT", []string{"ROLE_USER"}, nil, "rank 0 may not grant or remove ROLE_USER, of rank 1"},
		{"reporter grants user", "ROLE_REPORT", nil, []string{"ROLE_USER"}, "rank 0 may not grant or remove ROLE_USER, of rank 1"},
		{"an unknown role", "ROLE_SUPER", []string{"ROLE_COMPANY_ADMIN"}, []string{"ROLE_COMPANY_ADMIN"}, "rank 0 may not write"},

		{"Worth's token grants CRO", "", []string{"ROLE_USER"}, []string{"ROLE_USER", "ROLE_COMPANY_ADMIN"}, ""},
		{"Worth's token grants owner", "", []string{"ROLE_USER"}, []string{"ROLE_ADMIN", "ROLE_COMPANY_ADMIN", "ROLE_USER"}, "rank 2 may not grant or remove ROLE_ADMIN"},
		{"Worth's token writes to an owner", "", []string{"ROLE_ADMIN"}, []string{"ROLE_ADMIN"}, "rank 2 may not write"},
	} {
		t.Run(test.name, func(t *testing.T) {
			caller := worth
			if test.caller != "" {
				caller = worth + `,"authorities":["` + test.caller + `"]`
			}
			before, after := user(t, p, test.before...), user(t, p, test.after...)
			err := p.CheckWrite(principal(t, caller), before, after)
			if test.refusal == "" {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			var forbidden *auth.ForbiddenError
			if !errors.Is(err, auth.ErrForbidden) || !errors.As(err, &forbidden) {
				t.Fatalf("error %v, want a ForbiddenError", err)
			}
			if !strings.Contains(forbidden.Reason, test.refusal) {
				t.Errorf("reason %q, want %q", forbidden.Reason, test.refusal)
			}
		})
	}

	t.Run("created and removed users", func(t *testing.T) {
		manager := principal(t, `"authorities":"ROLE_COMPANY_ADMIN"`)
		admin, plain := user(t, p, "ROLE_ADMIN"), user(t, p, "ROLE_USER")
		if err := p.CheckWrite(manager, nil, plain); err != nil {
			t.Errorf("create a user: %v", err)
		}
		if err := p.CheckWrite(manager, nil, admin); !errors.Is(err, auth.ErrForbidden) {
			t.Errorf("create an administrator: %v", err)
		}
		if err := p.CheckWrite(manager, plain, nil); err != nil {
			t.Errorf("remove a user: %v", err)
		}
		if err := p.CheckWrite(manager, admin, nil); !errors.Is(err, auth.ErrForbidden) {
			t.Errorf("remove an administrator: %v", err)
		}
	})

	t.Run("roles the catalogue does not have", func(t *testing.T) {
		administrator := principal(t, `"authorities":"ROLE_ADMIN"`)
		newer, plain := &store.User{Roles: store.Roles(40)}, user(t, p, "ROLE_USER")
		for _, write := range [][2]*store.User{{newer, newer}, {newer, plain}, {plain, newer}} {
			if err := p.CheckWrite(administrator, write[0], write[1]); !errors.Is(err, auth.ErrForbidden) {
				t.Errorf("%v to %v: %v", write[0].Roles.IDs(), write[1].Roles.IDs(), err)
			}
		}
	})
}

func TestSeesAccessToken(t *testing.T) {
	p := policy(t)
	for caller, rank := range ranks {
		pr := principal(t, `"authorities":"`+caller+`"`)
		if !p.SeesAccessToken(pr, 0) {
			t.Errorf("%s does not see the token of a user without roles", caller)
		}
		for role, level := range ranks {
			for _, roles := range [][]string{{role}, {"ROLE_REPORT", role}} {
				if got := p.SeesAccessToken(pr, user(t, p, roles...).Roles); got != (rank >= level) {
					t.Errorf("%s sees the token of %v: %v", caller, roles, got)
				}
			}
		}
		if p.SeesAccessToken(pr, store.Roles(3, 40)) {
			t.Errorf("%s sees the token of a user with an unknown role", caller)
		}
	}
	if p.SeesAccessToken(auth.Principal{}, store.Roles(3)) {
		t.Error("the zero Principal sees a user's token")
	}
}

// TestCheckWriteLaws checks, over all callers and changes of roles, that CheckWrite implements the table, and that a higher rank
// never permits less.
func TestCheckWriteLaws(t *testing.T) {
	p := policy(t)
	callers := map[int]auth.Principal{
		0: principal(t, `"authorities":[]`),
		1: principal(t, `"authorities":"ROLE_USER"`),
		2: principal(t, `"authorities":"ROLE_COMPANY_ADMIN"`),
		3: principal(t, `"authorities":"ROLE_ADMIN"`),
	}
	sets := rapid.SliceOfDistinct(rapid.SampledFrom(roleNames()), rapid.ID)
	rapid.Check(t, func(r *rapid.T) {
		before, after := sets.Draw(r, "before"), sets.Draw(r, "after")
		allowedBelow := false
		for rank := range 4 {
			want := true
			for name, level := range ranks {
				had, has := slices.Contains(before, name), slices.Contains(after, name)
				if level > rank && (had != has || had && level >= 2) || level == 0 && rank < 2 && had != has {
					want = false
				}
			}
			err := p.CheckWrite(callers[rank], user(t, p, before...), user(t, p, after...))
			if (err == nil) != want {
				r.Fatalf("rank %d: %v", rank, err)
			}
			if allowedBelow && err != nil {
				r.Fatalf("rank %d may not what rank %d may", rank, rank-1)
			}
			allowedBelow = err == nil
		}
		if !allowedBelow {
			r.Fatal("the highest rank is refused")
		}
	})
}
