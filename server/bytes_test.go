package server_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/servertest"
)

// TestAnswerBytes checks what a JSON decoder does not see: <, > and & are escaped, and each answer ends with one newline.
func TestAnswerBytes(t *testing.T) {
	t.Parallel()
	const (
		ada     = usersOfWorth + "/94520740-d63c-4e02-85ca-c4e138801e73"
		escaped = `"A\u003cd\u003ea \u0026 Co"`
	)
	s := servertest.Start(t)
	ask := func(method, path, body string) servertest.Answer {
		return s.Ask(servertest.Manager(), servertest.Request{Method: method, Path: path, Body: body, Header: http.Header{"Current-Company-Id": {"5251"}}})
	}
	a := ask(http.MethodPatch, ada, `{"first_name":"A<d>a & Co"}`)
	if want := `{"status":"success","message":"User details updated successfully"}` + "\n"; a.Body != want {
		t.Errorf("PATCH: %d %q, want %q", a.Status, a.Body, want)
	}
	one := ask(http.MethodGet, usersOfTestinium+"/6860", "")
	put := ask(http.MethodPut, usersOfTestinium+"/6860", one.Body)
	if put.Body != one.Body {
		t.Errorf("PUT of what GET shows: %q, want %q", put.Body, one.Body)
	}
	for _, path := range []string{ada, usersOfWorth, usersOfTestinium, usersOfTestinium + "/6860"} {
		a := ask(http.MethodGet, path, "")
		if a.Status != http.StatusOK || !strings.Contains(a.Body, escaped) || !strings.HasSuffix(a.Body, "}\n") && !strings.HasSuffix(a.Body, "]\n") {
			t.Errorf("GET %s: %d %q", path, a.Status, a.Body)
		}
	}
}
