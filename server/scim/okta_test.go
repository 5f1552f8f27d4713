package scim_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/google/uuid"
)

const (
	mediaType  = "application/scim+json"
	listSchema = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
	failSchema = "urn:ietf:params:scim:api:messages:2.0:Error"
	userSchema = "urn:ietf:params:scim:schemas:core:2.0:User"
)

// TestOktaSpec sends the requests of Okta's public SPEC test for SCIM 2.0, in its order and with its headers, and checks what it checks.
func TestOktaSpec(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		okta := oktaClient{t, s, "Bearer " + s.Token(servertest.Manager())}

		page := okta.get("/Users?count=1&startIndex=1", http.StatusOK)
		page.isList()
		first := page.object("Resources").first()
		first.has("id", "name.familyName", "name.givenName", "userName", "active", "emails.0.value")
		id := first.text("id")

		shown := okta.get("/Users/"+id, http.StatusOK)
		shown.has("name.familyName", "name.givenName", "userName", "active", "emails.0.value")
		shown.equals("id", id)

		okta.find("nobody.at.all@example.com").equals("totalResults", 0.0)
		unknown := okta.get("/Users/"+uuid.NewString(), http.StatusNotFound)
		unknown.has("detail")
		unknown.schema(failSchema)

		name := "Katherine.Goble." + strings.ToLower(uuid.NewString()[:8]) + "@example.com"
		okta.find(name).equals("totalResults", 0.0)
		user := `{"schemas":["` + userSchema + `"],"userName":"` + name + `","name":{"givenName":"Katherine","familyName":"Goble"},` +
			`"emails":[{"primary":true,"value":"` + name + `","type":"work"}],"displayName":"Katherine Goble","active":true}`
		created := okta.post(user, http.StatusCreated)
		created.has("id")
		created.schema(userSchema)
		created.equals("active", true)
		created.equals("name.familyName", "Goble")
		created.equals("name.givenName", "Katherine")
		created.equals("userName", name)
		again := okta.get("/Users/"+created.text("id"), http.StatusOK)
		again.equals("userName", name)
		again.equals("name.familyName", "Goble")
		again.equals("name.givenName", "Katherine")
		okta.post(user, http.StatusConflict)
		okta.find(strings.ToUpper(name)).equals("totalResults", 1.0)

		began := time.Now()
		okta.get("/Groups", http.StatusOK)
		if took := time.Since(began); took > 600*time.Millisecond {
			t.Logf("the groups took %s; Okta allows 600 ms", took)
		}

		okta.authorization = "non-token"
		refused := okta.get("/Users?startIndex=1&count=100", http.StatusUnauthorized)
		refused.schema(failSchema)
		refused.equals("status", "401")
	})
}

// oktaClient sends requests as Okta's SPEC test does.
type oktaClient struct {
	t             *testing.T
	s             *servertest.Server
	authorization string
}

func (c oktaClient) get(path string, status int) document {
	c.t.Helper()
	return c.send(http.MethodGet, path, "", mediaType+"; charset=utf-8", status)
}

func (c oktaClient) post(body string, status int) document {
	c.t.Helper()
	return c.send(http.MethodPost, "/Users", body, "application/json", status)
}

func (c oktaClient) find(userName string) document {
	c.t.Helper()
	list := c.get("/Users?filter="+url.QueryEscape(`userName eq "`+userName+`"`), http.StatusOK)
	list.isList()
	return list
}

func (c oktaClient) send(method, path, body, contentType string, status int) document {
	c.t.Helper()
	answer := c.s.Send(servertest.Request{Method: method, Path: base(servertest.SandboxUUID) + path, Body: body, Header: http.Header{
		"Authorization": {c.authorization}, "Accept": {mediaType}, "Accept-Charset": {"utf-8"}, "Content-Type": {contentType}, "User-Agent": {"OKTA SCIM Integration"},
	}})
	if answer.Status != status {
		c.t.Fatalf("%s %s: %d, not %d: %s", method, path, answer.Status, status, answer.Body)
	}
	if !strings.HasPrefix(answer.Header.Get("Content-Type"), mediaType) {
		c.t.Errorf("%s %s: Content-Type %q", method, path, answer.Header.Get("Content-Type"))
	}
	var members any
	answer.Decode(c.t, &members)
	return document{c.t, members}
}

func base(customer uuid.UUID) string { return "/scim/v2/" + customer.String() }

// document is JSON whose members are named by paths such as emails.0.value.
type document struct {
	t     *testing.T
	value any
}

func (d document) object(path string) document {
	value := d.value
	for _, name := range strings.Split(path, ".") {
		switch at := value.(type) {
		case map[string]any:
			value = at[name]
		case []any:
			value = nil
			if name == "0" && len(at) > 0 {
				value = at[0]
			}
		default:
			value = nil
		}
	}
	return document{d.t, value}
}

func (d document) first() document { return d.object("0") }

func (d document) text(path string) string {
	text, _ := d.object(path).value.(string)
	return text
}

func (d document) has(paths ...string) {
	d.t.Helper()
	for _, path := range paths {
		if value := d.object(path).value; value == nil || value == "" {
			d.t.Errorf("%s is missing in %v", path, d.value)
		}
	}
}

func (d document) equals(path string, want any) {
	d.t.Helper()
	if value := d.object(path).value; value != want {
		d.t.Errorf("%s is %v, not %v", path, value, want)
	}
}

func (d document) schema(urn string) {
	d.t.Helper()
	if all, _ := d.object("schemas").value.([]any); !slices.Contains(all, any(urn)) {
		d.t.Errorf("schemas are %v, without %s", all, urn)
	}
}

func (d document) isList() {
	d.t.Helper()
	d.schema(listSchema)
	for _, name := range []string{"itemsPerPage", "startIndex", "totalResults"} {
		if _, ok := d.object(name).value.(float64); !ok {
			d.t.Errorf("%s is %v, not a number", name, d.object(name).value)
		}
	}
}
