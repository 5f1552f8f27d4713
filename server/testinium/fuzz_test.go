package testinium_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/dragoman-id/dragoman/server/servertest"
)

// FuzzTestiniumBody sends a body to the update. Whatever it is, it is done or refused, in the document's words; and what is
// done can be read.
func FuzzTestiniumBody(f *testing.F) {
	const whole = `"name":"Ada","surname":"Lovelace","username":"adalovelace","email":"ada.lovelace@example.com","enabled":true,` +
		`"accountNonExpired":true,"accountNonLocked":true,"credentialNonExpired":true,"authorities":[{"entityId":2,"name":"ROLE_USER","checked":true}]`
	for _, seed := range []string{
		"{" + whole + "}", "{" + whole + `,"newPassword":"Correct-horse","password":null}`, "{" + whole + `,"vcsPassword":""}`,
		"{" + whole + `,"entityId":6860.0,"customer":3393,"createdDate":0,"accessToken":"x","companyName":[1]}`,
		"{" + whole + `,"entityId":9223372036854775808}`, "{" + whole + `,"password":"x"}`, "{" + whole + `,"unknown":{"a":[{}]}}`,
		`{"name":"","surname":"","username":"a b","email":"x","enabled":null,"accountNonExpired":1,"accountNonLocked":"true","credentialNonExpired":true,"authorities":[]}`,
		`{"authorities":[{"name":"ROLE_ADMIN"},{"name":"ROLE_ADMIN"},{},null,{"name":2}]}`, `{"authorities":{"name":"ROLE_USER"}}`,
		`{}`, `[]`, `null`, ``, `{`, `name=Ada&surname=Lovelace`, `{"name":"\u0000"}`, `{"name":"a","name":"b"}`, "{" + whole + "}{}",
	} {
		f.Add(seed)
	}
	shared := servertest.Start(f)
	f.Fuzz(func(t *testing.T, body string) {
		s := shared.With(t)
		const path = "/account/api/v1/customers/3393/users/6860"
		a := s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodPut, Path: path, Body: body})
		if !slices.Contains([]int{http.StatusOK, http.StatusBadRequest, http.StatusForbidden, http.StatusRequestEntityTooLarge}, a.Status) {
			t.Errorf("%q is answered %d %s", body, a.Status, a.Body)
		}
		if a.Status != http.StatusOK {
			return
		}
		if a := s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodGet, Path: path}); a.Status != http.StatusOK {
			t.Errorf("after %q the user is answered %d %s", body, a.Status, a.Body)
		}
	})
}
