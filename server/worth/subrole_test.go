package worth_test

import (
	"testing"

	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

// The subroles' ids are fixed.
const (
	ownerID   = "e50822ad-98ce-4612-aec4-e2f6c3437b2a"
	croID     = "e0d4970f-0f4d-4a0d-aaa6-681a048cb656"
	analystID = "6351c76f-76a3-4950-9cc4-cc37cdc05ec2"
)

// userWith makes a user of the sandbox with these roles, and gives its path too.
func userWith(t *testing.T, s *servertest.Server, roles ...int64) (store.User, string) {
	t.Helper()
	u := s.CreateUser(t, store.User{
		FirstName: "Mary", LastName: "Somerville", Username: "mary", Email: "mary@example.com", Status: store.StatusActive,
		AccountNonExpired: true, AccountNonLocked: true, CredentialNonExpired: true, Roles: store.Roles(roles...),
	})
	return u, adaPath[:len(adaPath)-36] + u.UUID.String()
}

func TestPatchSubroleNamesARoleByIDOrCode(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for _, c := range []struct {
			subrole string
			has     []int64
			want    store.RoleSet
			changed string
		}{
			{`{"code":"risk_analyst"}`, nil, store.Roles(3), "subrole"},
			{`{"id":"` + analystID + `"}`, nil, store.Roles(3), "subrole"},
			{`{"id":"` + analystID + `","code":"risk_analyst","label":"Owner"}`, nil, store.Roles(3), "subrole"},
			{`{"id":"6351C76F-76A3-4950-9CC4-CC37CDC05EC2"}`, nil, store.Roles(3), "subrole"},
			// Those that it implies come with it, those without a subrole stay.
			{`{"code":"cro"}`, nil, store.Roles(2, 3), "subrole"},
			{`{"code":"cro"}`, []int64{3, 4, 12}, store.Roles(2, 3, 4, 12), "subrole"},
			{`{"code":"owner"}`, []int64{11}, store.Roles(1, 2, 3, 11), "subrole"},
			// The others that have a subrole go.
			{`{"code":"risk_analyst"}`, []int64{1, 2, 3, 5}, store.Roles(3, 5), "subrole"},
			{`{"code":"cro"}`, []int64{1}, store.Roles(2, 3), "subrole"},
			// The present one changes nothing, not even what it would imply.
			{`{"code":"cro"}`, []int64{2, 4}, store.Roles(2, 4), ""},
			{`{"id":"` + ownerID + `"}`, []int64{1}, store.Roles(1), ""},
			{`{"code":"cro"}`, []int64{2, 3}, store.Roles(2, 3), ""},
		} {
			t.Run(c.subrole, func(t *testing.T) {
				u, path := userWith(t, s, c.has...)
				a := sendPatch(s, servertest.Administrator(), path, `{"subrole":`+c.subrole+`}`)
				a.Expect(t, 200, patchSuccess)
				a.ExpectHeader(t, "Dragoman-Changed", c.changed)
				if got := s.FindUser(t, u.ID).Roles; got != c.want {
					t.Errorf("roles %v became %v, want %v", c.has, got.IDs(), c.want.IDs())
				}
			})
		}
	})
}

func TestPatchUnknownSubroleIsRefused(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		code := servertest.FieldError{"subrole.code", "subrole.code is not the code of a subrole"}
		id := servertest.FieldError{"subrole.id", "subrole.id is not the id of a subrole"}
		for subrole, want := range map[string][]servertest.FieldError{
			`{}`:                            {{"subrole", "subrole must have an id or a code"}},
			`{"label":"CRO"}`:               {{"subrole", "subrole must have an id or a code"}},
			`{"display_name":"CRO"}`:        {{"subrole", "subrole must have an id or a code"}},
			`{"code":""}`:                   {code},
			`{"code":"admin"}`:              {code},
			`{"code":"CRO"}`:                {code},
			`{"code":"ROLE_COMPANY_ADMIN"}`: {code},
			`{"id":""}`:                     {id},
			`{"id":"2"}`:                    {id},
			`{"id":"00000000-0000-0000-0000-000000000000"}`:              {id},
			`{"id":"urn:uuid:` + croID + `"}`:                            {id},
			`{"id":"{` + croID + `}"}`:                                   {id},
			`{"id":"94520740-d63c-4e02-85ca-c4e138801e73"}`:              {id},
			`{"id":"x","code":"y","label":"CRO"}`:                        {code, id},
			`{"id":"x","code":"cro"}`:                                    {id},
			`{"id":"` + croID + `","code":"y"}`:                          {code},
			`{"id":"` + croID + `","code":"risk_analyst"}`:               {{"subrole", "subrole.id and subrole.code must name the same subrole"}},
			`{"id":"` + croID + `","code":"risk_analyst","label":"CRO"}`: {{"subrole", "subrole.id and subrole.code must name the same subrole"}},
		} {
			t.Run(subrole, func(t *testing.T) {
				sendPatch(s, servertest.Manager(), adaPath, `{"subrole":`+subrole+`}`).Expect(t, 400, patchInvalid(want...))
			})
		}
	})
}
