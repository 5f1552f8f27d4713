package testinium_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

const (
	authorityUser    = `{"entityId":3,"name":"ROLE_USER","cleanName":null}`
	authorityRunTest = `{"entityId":4,"name":"ROLE_RUN_TEST","cleanName":null}`
	authorityReport  = `{"entityId":12,"name":"ROLE_REPORT","cleanName":null}`
)

func TestAuthoritiesByName(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for _, c := range []struct {
			authorities string
			want        store.RoleSet
			changed     string
			shown       []string
		}{
			{`[]`, 0, "authorities", nil},
			{`[]`, 0, "", nil},
			{`[{"name":"ROLE_REPORT"},{"name":"ROLE_USER"},{"name":"ROLE_RUN_TEST"}]`, store.Roles(3, 4, 12), "authorities", []string{authorityUser, authorityRunTest, authorityReport}},
			{`[{"name":"ROLE_RUN_TEST"},{"name":"ROLE_USER"},{"name":"ROLE_REPORT"},{"name":"ROLE_USER"}]`, store.Roles(3, 4, 12), "", []string{authorityUser, authorityRunTest, authorityReport}},
			// The ids are another service's, or nonsense: in this one 1 and 2 are administrators.
			{`[{"entityId":2,"name":"ROLE_USER"}]`, store.Roles(3), "authorities", []string{authorityUser}},
			{`[{"entityId":1,"name":"ROLE_USER"},{"entityId":99,"name":"ROLE_USER"},{"entityId":null,"name":"ROLE_USER"}]`, store.Roles(3), "", []string{authorityUser}},
			{`[{"name":"ROLE_USER","cleanName":"ROLE_ADMIN","checked":false,"disabled":null}]`, store.Roles(3), "", []string{authorityUser}},
		} {
			a := sendPut(s, servertest.Manager(), adaPath, nine([2]string{"authorities", c.authorities}))
			u := s.FindUser(t, servertest.Ada)
			if u.Roles != c.want {
				t.Errorf("%s: roles %v, want %v", c.authorities, u.Roles.IDs(), c.want.IDs())
			}
			a.Expect(t, 200, userObject(u, "["+strings.Join(c.shown, ",")+"]"))
			a.ExpectHeader(t, "Dragoman-Changed", c.changed)
			a.ExpectHeader(t, "Dragoman-Ignored")
		}
	})
}

func TestUnknownAuthorityIsRefused(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	notARole := func(i int, told string) servertest.FieldError {
		field := fmt.Sprintf("authorities.%d.name", i)
		return servertest.FieldError{field, field + " is not a role: " + told}
	}
	for authorities, want := range map[string][]servertest.FieldError{
		`[{"name":"ROLE_EMPEROR"}]`:                        {notARole(0, `"ROLE_EMPEROR"`)},
		`[{"name":""}]`:                                    {notARole(0, `""`)},
		`[{"name":"role_user"}]`:                           {notARole(0, `"role_user"`)},
		`[{"name":"ROLE USER"}]`:                           {notARole(0, `"ROLE USER"`)},
		`[{"name":" ROLE_USER"}]`:                          {notARole(0, `" ROLE_USER"`)},
		`[{"name":"USER"}]`:                                {notARole(0, `"USER"`)},
		`[{"name":"cro"}]`:                                 {notARole(0, `"cro"`)},
		`[{"name":"a\"b"}]`:                                {notARole(0, `"a\"b"`)},
		`[{"name":"` + strings.Repeat("é", 64) + `"}]`:     {notARole(0, `"`+strings.Repeat("é", 64)+`"`)},
		`[{"name":"` + strings.Repeat("é", 10000) + `"}]`:  {notARole(0, `"`+strings.Repeat("é", 64)+`..."`)},
		`[{"name":"ROLE_USER"},{"name":"X"},{"name":"Y"}]`: {notARole(1, `"X"`), notARole(2, `"Y"`)},
		`[{"entityId":3}]`:                                 {{"authorities.0.name", "authorities.0.name is required"}},
		`[{"entityId":3,"cleanName":"ROLE USER"},{"entityId":3,"Name":"ROLE_USER"}]`: {
			{"authorities.0.name", "authorities.0.name is required"}, {"authorities.1.name", "authorities.1.name is required"}},
		`[{}]`:                     {{"authorities.0.name", "authorities.0.name is required"}},
		`[{"name":null}]`:          {{"authorities.0.name", "authorities.0.name must not be null"}},
		`[{"name":3}]`:             {{"authorities.0.name", "authorities.0.name must be a string"}},
		`[null]`:                   {{"authorities.0", "authorities.0 must not be null"}},
		`["ROLE_USER"]`:            {{"authorities.0", "authorities.0 must be an object"}},
		`[3]`:                      {{"authorities.0", "authorities.0 must be an object"}},
		`[[{"name":"ROLE_USER"}]]`: {{"authorities.0", "authorities.0 must be an object"}},
	} {
		t.Run(authorities[:min(len(authorities), 40)], func(t *testing.T) {
			sendPut(s, servertest.Manager(), adaPath, nine([2]string{"authorities", authorities})).Expect(t, 400, putInvalid(want...))
		})
	}
	if u := s.FindUser(t, servertest.Ada); u.Version != 1 {
		t.Errorf("a refused request was written: %+v", u)
	}
}
