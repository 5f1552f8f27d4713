package dialect_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/getkin/kin-openapi/openapi3"
)

// allDocuments are those of all dialects that the server serves.
func allDocuments(t *testing.T) []*openapi3.T {
	t.Helper()
	return documentsOf(t, func(server.Dialect) bool { return true })
}

// TestOperationsNameTheirPermission reads the permission of each operation in its description.
func TestOperationsNameTheirPermission(t *testing.T) {
	t.Parallel()
	needed := permissions(t)
	eachOperation(t, func(_ *openapi3.T, _, _ string, o *openapi3.Operation) {
		want := "ROLE_COMPANY_ADMIN or ROLE_ADMIN"
		if permission := needed[o.OperationID]; permission != auth.PermissionHistory {
			want = fmt.Sprintf("Needs the permission `%s`, or %s", permission, want)
		}
		if !strings.Contains(o.Description, want) {
			t.Errorf("%s: the description does not say %q", o.OperationID, want)
		}
	})
}

// TestOperationsHaveExamples asks for an example of each success, which must fit its schema, and of each 400.
func TestOperationsHaveExamples(t *testing.T) {
	t.Parallel()
	eachOperation(t, func(_ *openapi3.T, _, _ string, o *openapi3.Operation) {
		for _, status := range []string{"200", "400"} {
			for media, content := range o.Responses.Value(status).Value.Content {
				if content.Example == nil {
					t.Errorf("%s: %s has no example of %s", o.OperationID, status, media)
				} else if err := content.Schema.Value.VisitJSON(content.Example, openapi3.VisitAsResponse()); err != nil {
					t.Errorf("%s: the example of %s does not fit: %v", o.OperationID, status, err)
				}
			}
		}
	})
}

func eachOperation(t *testing.T, f func(d *openapi3.T, method, path string, o *openapi3.Operation)) {
	t.Helper()
	for _, d := range allDocuments(t) {
		for path, item := range d.Paths.Map() {
			for method, o := range item.Operations() {
				f(d, method, path, o)
			}
		}
	}
}

// TestIDsHaveAMaximum: ids are below 2^53, and every schema of one says so.
func TestIDsHaveAMaximum(t *testing.T) {
	t.Parallel()
	seen := 0
	check := func(where, name string, s *openapi3.Schema) {
		if !slices.Contains([]string{"id", "userId", "entityId", "customer", "user", "current-company-id"}, name) || !s.Type.Is("integer") {
			return
		}
		seen++
		if s.Max == nil || *s.Max != 1<<53-1 {
			t.Errorf("%s: the maximum of %s is not 2^53-1", where, name)
		}
	}
	for _, d := range allDocuments(t) {
		for _, p := range d.Components.Parameters {
			check(d.Info.Title, p.Value.Name, p.Value.Schema.Value)
		}
		for schema, s := range d.Components.Schemas {
			for name, property := range s.Value.Properties {
				check(d.Info.Title+", "+schema, name, property.Value)
			}
		}
	}
	if seen < 15 {
		t.Errorf("only %d ids were found", seen)
	}
}

// TestExampleOf400IsSent sends a request that each document's example of a 400 answers.
func TestExampleOf400IsSent(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	requests := map[string]servertest.Request{
		"/auth/api/v1": {Method: http.MethodPatch, Path: "/auth/api/v1/customers/" + servertest.SandboxUUID.String() + "/users/" + servertest.AdaUUID.String(), Body: `{"email":"ada"}`},
		"/account/api/v1": {Method: http.MethodPut, Path: "/account/api/v1/customers/3393/users/6860", Header: http.Header{"Current-Company-Id": {"5251"}},
			Body: `{"name":"Ada","surname":"Lovelace","username":"ada","email":"ada","enabled":true,"accountNonExpired":true,"accountNonLocked":true,"credentialNonExpired":true,"authorities":[]}`},
		"/directory/v1": {Method: http.MethodGet, Path: "/directory/v1/changes?after=x"},
	}
	for _, d := range allDocuments(t) {
		base := d.Servers[0].URL
		answer := s.Ask(servertest.Manager(), requests[base])
		var sent map[string]any
		answer.Decode(t, &sent)
		for media, content := range d.Components.Responses["BadRequest"].Value.Content {
			text, err := json.Marshal(content.Example)
			if err != nil {
				t.Fatal(err)
			}
			var example map[string]any
			if err := json.Unmarshal(text, &example); err != nil {
				t.Fatal(err)
			}
			for _, body := range []map[string]any{sent, example} {
				maps.DeleteFunc(body, func(name string, _ any) bool { return name == "timestamp" })
			}
			if answer.Status != http.StatusBadRequest || !reflect.DeepEqual(sent, example) {
				t.Errorf("%s, %s: %d %s is sent, the example is %s", base, media, answer.Status, answer.Body, text)
			}
		}
	}
}

// TestETagIsSpelledAsDocumented reads the bytes of answers, since Go's client changes the case of names.
func TestETagIsSpelledAsDocumented(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	token := s.Token(servertest.Manager())
	for _, request := range []string{
		"GET /auth/api/v1/customers/" + servertest.SandboxUUID.String() + "/users/" + servertest.AdaUUID.String() + " HTTP/1.1\r\n",
		"GET /account/api/v1/customers/3393/users/6860 HTTP/1.1\r\nIf-None-Match: \"1\"\r\ncurrent-company-id: 5251\r\n",
		"GET /account/api/v1/customers/3393/users/6860 HTTP/1.1\r\ncurrent-company-id: 5251\r\n",
	} {
		connection, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		if _, err := fmt.Fprintf(connection, "%sHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", request, token); err != nil {
			t.Fatal(err)
		}
		var header []string
		for lines := bufio.NewScanner(connection); lines.Scan() && lines.Text() != ""; {
			header = append(header, lines.Text())
		}
		if !slices.Contains(header, `ETag: "1"`) {
			t.Errorf("%s is answered with %q", request, header)
		}
	}
}
