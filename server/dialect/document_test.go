package dialect_test

import (
	"bufio"
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
	"github.com/dragoman-id/dragoman/server/description"
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
		switch permission := needed[o.OperationID]; permission {
		case auth.PermissionHistory, auth.PermissionProvisioning, auth.PermissionWebhooks:
		case auth.PermissionErase:
			want = "Needs the platform's administrator"
		default:
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
		success, _ := description.Success(o)
		for _, status := range []int{success, http.StatusBadRequest} {
			if status == 0 {
				continue // it is always refused
			}
			for media, content := range o.Responses.Status(status).Value.Content {
				if content.Example == nil {
					t.Errorf("%s: %d has no example of %s", o.OperationID, status, media)
				} else if err := content.Schema.Value.VisitJSON(content.Example, openapi3.VisitAsResponse()); err != nil {
					t.Errorf("%s: the example of %d does not fit: %v", o.OperationID, status, err)
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

// TestIDsHaveAMaximum: ids are below 2^53, and every schema of one says so. Ids are the parameters that the description writes,
// the members whose field is an id, and those with the names below, which no description has.
func TestIDsHaveAMaximum(t *testing.T) {
	t.Parallel()
	seen := 0
	check := func(where, name string, s *openapi3.Schema) {
		if !s.Type.Is("integer") {
			return
		}
		seen++
		if s.Max == nil || *s.Max != 1<<53-1 {
			t.Errorf("%s: the maximum of %s is not 2^53-1", where, name)
		}
	}
	for _, d := range server.Dialects() {
		named := map[string]bool{"id": true, "userId": true, "entityId": true, "customer": true}
		for _, b := range d.Bodies {
			for _, m := range b.Members {
				if m.Field == "ID" || strings.HasSuffix(m.Field, ".ID") || m.Field == "CustomerID" {
					path := strings.Split(m.Path, ".")
					named[path[len(path)-1]] = true
				}
			}
		}
		all, err := d.Operations()
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range all {
			for _, p := range o.Parameters {
				if d.Parameters[p.Name] != nil {
					check(o.OperationID, p.Name, p.Schema.Value)
				}
			}
		}
		document, err := d.Spec()
		if err != nil {
			t.Fatal(err)
		}
		for schema, s := range document.Components.Schemas {
			for name, property := range s.Value.Properties {
				if named[name] {
					check(d.Name+", "+schema, name, property.Value)
				}
			}
		}
	}
	if seen < 15 {
		t.Errorf("only %d ids were found", seen)
	}
}

// refusedRequest gives the request that a document's example of a 400 answers: an update of Ada's e-mail to one that is invalid.
func refusedRequest(t *testing.T, s *servertest.Server, d description.API) servertest.Request {
	t.Helper()
	if len(d.Updates) == 0 {
		if request, ok := refusedRequests[d.Name]; ok {
			return request
		}
		t.Fatalf("%s has no update: add a request that is refused to refusedRequests", d.Name)
	}
	o := servertest.Operation(t, d, d.Updates[0])
	table, _ := d.Request(o.OperationID)
	mail, ok := table.Member("Email")
	if !ok {
		t.Fatalf("%s: %s has no e-mail, which the example of a 400 must be about", d.Name, o.OperationID)
	}
	body := map[string]any{}
	if table.Whole() {
		_, shown := s.Show(t, d, servertest.Manager(), servertest.AdaSubject)
		body = servertest.Project(t, table, shown)
	}
	description.Set(body, mail.Path, "ada")
	path, header := o.About(servertest.AdaSubject)
	return servertest.Request{Method: o.Method, Path: path, Header: header, Body: table.Around(servertest.Encode(t, body))}
}

// refusedRequests are requests that are refused, of dialects without an update.
var refusedRequests = map[string]servertest.Request{
	"directory": {Method: http.MethodGet, Path: "/directory/v1/changes?after=x"},
}

// TestExampleOf400IsSent sends a request that each document's example of a 400 answers.
func TestExampleOf400IsSent(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, d := range server.Dialects() {
		t.Run(d.Name, func(t *testing.T) {
			document, err := d.Spec()
			if err != nil {
				t.Fatal(err)
			}
			refused := document.Components.Responses["BadRequest"]
			if refused == nil {
				t.Fatal("the document's components have no response BadRequest, with an example of it")
			}
			answer := s.Ask(servertest.Manager(), refusedRequest(t, s, d.API))
			if answer.Status != http.StatusBadRequest {
				t.Fatalf("the answer is %d %s, want a 400", answer.Status, answer.Body)
			}
			for media, content := range refused.Value.Content {
				var sent map[string]any
				answer.Decode(t, &sent)
				example := servertest.Copy(t, content.Example)
				for _, body := range []map[string]any{sent, example} {
					maps.DeleteFunc(body, func(name string, _ any) bool { return name == "timestamp" })
				}
				if !reflect.DeepEqual(sent, example) {
					t.Errorf("%s: sent is %s, the example is %s", media, answer.Body, servertest.Encode(t, example))
				}
			}
		})
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
		"GET /scim/v2/" + servertest.SandboxUUID.String() + "/Users/" + servertest.AdaUUID.String() + " HTTP/1.1\r\n",
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
