package server_test

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/servertest"
)

// TestPreconditions on every method that reads or writes a user, in each vendor's dialect and in SCIM (RFC 9110, sections 13.1 and 13.2). The user
// is at version 1, and TAG is its tag.
func TestPreconditions(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for _, u := range []struct{ path, nobody, method, body string }{
			{worthAda, worthUser("94520740-d63c-4e02-85ca-c4e138801e74"), http.MethodPatch, `{"last_name":"King"}`},
			{testiniumAda, "/account/api/v1/customers/3393/users/1", http.MethodPut, putOfAda},
			{scimAda, scimUser("94520740-d63c-4e02-85ca-c4e138801e74"), http.MethodPut, putOfScim},
			{scimAda, scimUser("94520740-d63c-4e02-85ca-c4e138801e74"), http.MethodPatch, patchOfScim(`{"op":"Replace","path":"name.familyName","value":"King"}`)},
		} {
			ask := func(method, body string, header http.Header) servertest.Answer {
				return s.Ask(servertest.Manager(), servertest.Request{Method: method, Path: u.path, Body: body, Header: header})
			}
			get := func() servertest.Answer { return ask(http.MethodGet, "", nil) }
			for _, c := range []struct {
				match, none string // If-Match and If-None-Match, with TAG and OLD in them; "" for none
				read, write int
			}{
				{"", "", 200, 200},
				{`TAG`, "", 200, 200},
				{`*`, "", 200, 200},
				{`"999", TAG`, "", 200, 200},
				{`"999"`, "", 412, 412},
				{`OLD`, "", 412, 412},
				{`W/TAG`, "", 412, 412},
				{`"999", W/TAG`, "", 412, 412},
				{"", `TAG`, 304, 412},
				{"", `W/TAG`, 304, 412},
				{"", `*`, 304, 412},
				{"", `"999", TAG`, 304, 412},
				{"", `"999"`, 200, 200},
				{"", `OLD`, 200, 200},
				{`TAG`, `"999"`, 200, 200},
				{`TAG`, `TAG`, 304, 412},
				{`*`, `*`, 304, 412},
				{`"999"`, `TAG`, 412, 412},
				{`"999"`, `"999"`, 412, 412},
				{`999`, "", 400, 400},
				{"", `999`, 400, 400},
				{`'1'`, `TAG`, 400, 400},
			} {
				before := get()
				tag := before.Header.Get("ETag")
				header := func() http.Header {
					h := http.Header{}
					for name, value := range map[string]string{"If-Match": c.match, "If-None-Match": c.none} {
						if value != "" {
							h.Set(name, strings.NewReplacer("TAG", tag, "OLD", `"0"`).Replace(value))
						}
					}
					return h
				}
				if a := ask(http.MethodGet, "", header()); a.Status != c.read {
					t.Errorf("GET with If-Match: %s, If-None-Match: %s: %d %s, want %d", c.match, c.none, a.Status, a.Body, c.read)
				} else if a.Status == http.StatusNotModified && (a.Header.Get("ETag") != tag || a.Body != "") {
					t.Errorf("a 304 with the ETag %s and %d bytes", a.Header.Get("ETag"), len(a.Body))
				}
				if a := ask(http.MethodHead, "", header()); a.Status != c.read || a.Body != "" {
					t.Errorf("HEAD with If-Match: %s, If-None-Match: %s: %d, want %d", c.match, c.none, a.Status, c.read)
				}
				a := ask(u.method, u.body, header())
				if a.Status != c.write {
					t.Errorf("%s with If-Match: %s, If-None-Match: %s: %d %s, want %d", u.method, c.match, c.none, a.Status, a.Body, c.write)
				}
				if a.Status != http.StatusOK && get().Header.Get("ETag") != tag {
					t.Errorf("%s with If-Match: %s, If-None-Match: %s has written", u.method, c.match, c.none)
				}
			}
			// What would fail without them fails as it does without them (section 13.2.1), and a date is no precondition where
			// there is no Last-Modified.
			for _, c := range []struct {
				method, path string
				header       http.Header
				status       int
			}{
				{http.MethodGet, u.nobody, http.Header{"If-Match": {"*"}}, 404},
				{http.MethodGet, u.nobody, http.Header{"If-None-Match": {"*"}}, 404},
				{u.method, u.nobody, http.Header{"If-None-Match": {"*"}}, 404},
				{http.MethodGet, u.path, http.Header{"If-Match": {`"9"`}, "Authorization": {"Bearer x"}}, 401},
				{u.method, u.path, http.Header{"If-None-Match": {"*"}, "Content-Type": {"text/plain"}}, 415},
				{http.MethodGet, u.path, http.Header{"If-Modified-Since": {"Fri, 01 Jan 2100 00:00:00 GMT"}}, 200},
				{http.MethodGet, u.path, http.Header{"If-Unmodified-Since": {"Thu, 01 Jan 1970 00:00:00 GMT"}}, 200},
				{u.method, u.path, http.Header{"If-Unmodified-Since": {"Thu, 01 Jan 1970 00:00:00 GMT"}}, 200},
			} {
				a := s.Ask(servertest.Manager(), servertest.Request{Method: c.method, Path: c.path, Body: unlessRead(c.method, u.body), Header: c.header})
				if a.Status != c.status {
					t.Errorf("%s %s with %v: %d %s, want %d", c.method, c.path, c.header, a.Status, a.Body, c.status)
				}
			}
		}
	})
}

func unlessRead(method, body string) string {
	if method == http.MethodGet {
		return ""
	}
	return body
}

// scimUser is the path of a user of the sandbox in SCIM.
func scimUser(id string) string {
	return "/scim/v2/" + servertest.SandboxUUID.String() + "/Users/" + id
}

var scimAda = scimUser(servertest.AdaUUID.String())

// putOfScim replaces Ada's names, e-mail, number and roles by SCIM, of which only the family name changes.
const putOfScim = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"adalovelace","name":{"givenName":"Ada","familyName":"King"},
	"emails":[{"value":"ada.lovelace@example.com"}],"active":true,"roles":[{"value":"ROLE_USER"}]}`

// TestPreconditionsOfLists: what has no entity tag exists, and matches no tag.
func TestPreconditionsOfLists(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		steps, created := walk(t, s.Store), 0
		for _, c := range []struct {
			match, none string
			read, write int
		}{
			{"*", "", 200, 200},
			{`"1"`, "", 412, 412},
			{"", "*", 304, 412},
			{"", `"1"`, 200, 200},
			{`"1"`, "*", 412, 412},
			{"*", "*", 304, 412},
			{"1", "", 400, 400},
			{"", "1", 400, 400},
		} {
			for _, p := range steps {
				if p.Versioned {
					continue
				}
				r := p.request
				r.Header = http.Header{}
				for name, value := range map[string]string{"If-Match": c.match, "If-None-Match": c.none} {
					if value != "" {
						r.Header.Set(name, value)
					}
				}
				if tenancyOf(p.Operation) == byThing {
					s.RestoreWebhook(t)
				}
				want := c.write
				success, _ := description.Success(p.Operation.Operation)
				if success == 0 {
					continue // it is always refused
				}
				if r.Method == http.MethodGet {
					want = c.read
				}
				if want == http.StatusOK {
					want = success
				}
				if p.RequestBody != nil {
					created++
					r.Body = servertest.Encode(t, p.dialect.Everything(p.OperationID, "created"+strconv.Itoa(created)))
				}
				a := s.Ask(servertest.Manager(), r)
				if a.Status != want {
					t.Errorf("%s with If-Match: %s, If-None-Match: %s: %d %s, want %d", p.name, c.match, c.none, a.Status, a.Body, want)
				}
				if a.Status == http.StatusNotModified && a.Body != "" {
					t.Errorf("%s: a 304 with %d bytes", p.name, len(a.Body))
				}
			}
		}
		// The history of nobody is not there, whatever the preconditions are.
		for _, header := range []string{"If-Match", "If-None-Match"} {
			r := servertest.Request{Method: http.MethodGet, Path: "/directory/v1/customers/3393/users/1/history", Header: http.Header{header: {"*"}}}
			if a := s.Ask(servertest.Manager(), r); a.Status != http.StatusNotFound {
				t.Errorf("the history of nobody with %s: *: %d", header, a.Status)
			}
		}
	})
}

// TestPreconditionsOutsideDialects: documents, pages and health checks evaluate them too; redirections and OPTIONS do not.
func TestPreconditionsOutsideDialects(t *testing.T) {
	t.Parallel()
	s := servertest.StartWith(t, server.Config{Docs: true})
	for _, c := range []struct {
		method, path, header, value string
		status                      int
	}{
		{http.MethodGet, "/openapi/worth.yaml", "If-Match", `"x"`, 412},
		{http.MethodGet, "/openapi/worth.yaml", "If-Match", "*", 200},
		{http.MethodHead, "/docs/worth", "If-None-Match", "*", 304},
		{http.MethodGet, "/openapi", "If-Match", `"x"`, 412},
		{http.MethodGet, "/livez", "If-Match", `"x"`, 412},
		{http.MethodGet, "/livez", "If-Match", "*", 200},
		{http.MethodHead, "/livez", "If-None-Match", "*", 304},
		{http.MethodGet, "/readyz", "If-Match", `"x"`, 412},
		{http.MethodGet, "/readyz", "If-None-Match", `"x"`, 200},
		{http.MethodOptions, "/livez", "If-Match", `"x"`, 204},
		{http.MethodGet, "/nowhere", "If-Match", `"x"`, 404},
	} {
		a := s.Send(servertest.Request{Method: c.method, Path: c.path, Header: http.Header{c.header: {c.value}}})
		if a.Status != c.status {
			t.Errorf("%s %s with %s: %s: %d, want %d", c.method, c.path, c.header, c.value, a.Status, c.status)
		}
	}
}

// TestPreconditionIsDecidedWithTheWrite: of many writers of one version only one writes, whichever header says so.
func TestPreconditionIsDecidedWithTheWrite(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for round := range 5 {
			tag := s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodGet, Path: worthAda}).Header.Get("ETag")
			var wrote, refused int
			var mu sync.Mutex
			var writers sync.WaitGroup
			for n := range 8 {
				writers.Go(func() {
					a := s.Ask(servertest.Manager(), servertest.Request{
						Method: http.MethodPatch, Path: worthAda, Body: `{"first_name":"Ada ` + string(rune('A'+round)) + string(rune('a'+n)) + `"}`,
						Header: http.Header{"If-Match": {tag}, "If-None-Match": {`"0"`}},
					})
					mu.Lock()
					defer mu.Unlock()
					switch a.Status {
					case http.StatusOK:
						wrote++
					case http.StatusPreconditionFailed:
						refused++
					default:
						t.Errorf("%d %s", a.Status, a.Body)
					}
				})
			}
			writers.Wait()
			if wrote != 1 || refused != 7 {
				t.Errorf("%d wrote, %d were refused", wrote, refused)
			}
		}
	})
}
