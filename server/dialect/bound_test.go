package dialect_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/servertest"
)

func TestAnAnswerListsOnlySoManyErrors(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	body := `{"name":"a","surname":"b","username":"c","email":"c@example.com","enabled":true,"accountNonExpired":true,` +
		`"accountNonLocked":true,"credentialNonExpired":true,"authorities":[` + strings.Repeat(`{},`, 249) + `{}]}`
	a := s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodPut, Path: "/account/api/v1/customers/3393/users/6860", Body: body})
	var answer struct {
		Errors []struct{ Field, Message string }
	}
	a.Decode(t, &answer)
	if n := len(answer.Errors); a.Status != http.StatusBadRequest || n != 101 {
		t.Fatalf("%d with %d errors", a.Status, n)
	}
	if last := answer.Errors[100]; last.Field != "" || last.Message != "and 150 more errors" {
		t.Errorf("the last is %+v", last)
	}
}
