package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// TestErasedPersonIsNowhere plants texts wherever a directory may have something of a person, erases the person, and looks for them in all
// that is stored and told.
func TestErasedPersonIsNowhere(t *testing.T) {
	t.Parallel()
	for name, erase := range map[string]func(p *person){
		"by the API": func(p *person) {
			p.ask(http.StatusOK, platform(), http.MethodDelete, fmt.Sprintf("/dry-run/directory/v1/customers/3393/users/%d/personal-data", p.id), "")
			p.ask(http.StatusOK, platform(), http.MethodDelete, fmt.Sprintf("/directory/v1/customers/3393/users/%d/personal-data?reason=case+4711", p.id), "")
		},
		"by a command": func(p *person) {
			p.command("erase", "--user", p.uuid)
			p.command("erase", "--user", p.uuid, "--reason", "case 4711", "--yes")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.EachURL(t, func(t *testing.T, url string) {
				p := newPerson(t, url)
				p.live()
				p.remember()
				if found := p.in(storetest.Stored(t, url)); len(found) < 15 {
					t.Fatalf("only %d texts are stored: %q", len(found), found)
				}
				told := len(p.heard)
				erase(p)
				for _, h := range p.heard[told:] {
					p.lacks(h.where, h.text)
				}
				// As a server does in the background.
				if _, err := p.Store.IndexUsers(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := p.Store.Purge(t.Context()); err != nil {
					t.Fatal(err)
				}
				p.lacks("the database", string(storetest.Stored(t, url)))
				p.lacks("the log", p.log.String())
				p.look()
			})
		})
	}
}

// platform is the claims of the platform's administrator.
func platform() auth.Claims {
	claims := servertest.Administrator()
	claims.Customers = []string{auth.AllCustomers}
	return claims
}

// person is somebody who is to be erased, in a directory that is served.
type person struct {
	*operator
	url   string
	log   servertest.Log
	texts []string // that are the person's alone
	id    int64
	uuid  string
	name  [3]string                  // the first name, the username and the e-mail at present
	asked []func() servertest.Answer // the requests, each under a key of its own
	heard []told
}

// told is an answer, or what a command has printed.
type told struct{ where, text string }

func newPerson(t *testing.T, url string) *person {
	t.Helper()
	p := &person{url: url}
	list := t.TempDir() + "/erasures"
	p.operator = &operator{
		Server: servertest.StartWith(t, server.Config{
			Database: url, ErasureLedger: list, Log: slog.New(slog.NewJSONHandler(&p.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		}),
		t: t, dir: t.TempDir(),
		variables: []string{"DRAGOMAN_DATABASE=" + url, "DRAGOMAN_SECRET_KEY=" + base64.StdEncoding.EncodeToString(storetest.Key), "DRAGOMAN_ERASURE_LEDGER=" + list},
	}
	return p
}

// text returns a text that is nowhere else.
func (p *person) text(part string) string {
	text := "Canary" + part + strings.ReplaceAll(uuid.NewString(), "-", "")
	p.texts = append(p.texts, text)
	return text
}

// in returns the person's texts that are in another one, in whatever case.
func (p *person) in(text []byte) (found []string) {
	low := bytes.ToLower(text)
	for _, own := range p.texts {
		if bytes.Contains(low, []byte(strings.ToLower(own))) {
			found = append(found, own)
		}
	}
	return found
}

func (p *person) lacks(where, text string) {
	p.t.Helper()
	if found := p.in([]byte(text)); len(found) > 0 {
		p.t.Errorf("%s has %q", where, found)
	}
}

// ask sends a request under a key of its own, and returns the body of the answer.
func (p *person) ask(status int, who auth.Claims, method, path, body string) string {
	p.t.Helper()
	header := http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {fmt.Sprint("key", len(p.asked))}}
	ask := func() servertest.Answer {
		return p.Ask(who, servertest.Request{Method: method, Path: path, Body: body, Header: header})
	}
	p.asked = append(p.asked, ask)
	a := ask()
	if a.Status != status {
		p.t.Fatalf("%s %s is answered %d %s", method, path, a.Status, a.Body)
	}
	p.heard = append(p.heard, told{method + " " + path, a.Body})
	return a.Body
}

// command runs a command, which must succeed, and returns what it prints.
func (p *person) command(arguments ...string) string {
	p.t.Helper()
	status, out, said := configured(p.t, p.dir, p.variables, "", arguments...)
	if status != 0 {
		p.t.Fatalf("%q ends with %d and prints %s", arguments, status, said)
	}
	p.heard = append(p.heard, told{fmt.Sprintf("dragoman %q", arguments), out + said})
	return out
}

const (
	personsCustomer = "/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users"
	personsSCIM     = "/scim/v2/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/Users"
	personsTokens   = "/directory/v1/customers/3393/provisioning-tokens"
)

// live creates the person, lets every dialect write what there is to be written, and the person act.
func (p *person) live() {
	p.t.Helper()
	grace := servertest.Administrator()
	created := p.ask(http.StatusOK, grace, http.MethodPost, personsCustomer, fmt.Sprintf(`{"first_name":%q,"last_name":%q,"email":"%s@example.com","mobile":%q,`+
		`"subrole":{"id":"6351c76f-76a3-4950-9cc4-cc37cdc05ec2","code":"risk_analyst","label":"Risk Analyst"}}`, p.text("First"), p.text("Last"), p.text("mail"), p.text("Mobile")))
	var shown struct {
		Data struct {
			UserID string `json:"user_id"`
		}
	}
	if err := json.Unmarshal([]byte(created), &shown); err != nil {
		p.t.Fatal(err)
	}
	p.uuid = shown.Data.UserID
	key, err := p.Store.LocateUser(p.t.Context(), p.uuid)
	if err != nil {
		p.t.Fatal(err)
	}
	u, err := p.Store.FindUser(p.t.Context(), key)
	if err != nil {
		p.t.Fatal(err)
	}
	p.id = u.ID
	p.remember()
	p.name = [3]string{p.text("First"), p.text("user"), p.text("mail") + "@example.com"}
	p.ask(http.StatusOK, grace, http.MethodPut, fmt.Sprintf("/account/api/v1/customers/3393/users/%d", p.id), fmt.Sprintf(`{"name":%q,"surname":%q,"username":%q,"email":%q,`+
		`"enabled":true,"accountNonExpired":true,"accountNonLocked":true,"credentialNonExpired":true,"authorities":[{"name":"ROLE_COMPANY_ADMIN"}],"newPassword":%q,"vcsPassword":%q}`,
		p.name[0], p.text("Last"), p.name[1], p.name[2], p.text("Password")+"!", p.text("VCS")))
	p.remember()
	p.ask(http.StatusOK, grace, http.MethodPatch, personsSCIM+"/"+p.uuid, fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[`+
		`{"op":"replace","path":"displayName","value":%q},{"op":"replace","path":"externalId","value":%q}]}`, p.text("Display"), p.text("external")))
	p.ask(http.StatusOK, grace, http.MethodPatch, personsCustomer+"/"+p.uuid, fmt.Sprintf(`{"mobile":%q}`, p.text("Mobile")))
	if _, err := p.Store.IndexUsers(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	p.ask(http.StatusOK, grace, http.MethodGet, personsSCIM+"?filter=userName+eq+%22"+p.name[1]+"%22", "")

	herself := grace
	herself.Subject, herself.UserID, herself.Authorities = p.name[2], new(uuid.MustParse(p.uuid)), []string{"ROLE_COMPANY_ADMIN"}
	byUsername := herself
	byUsername.Subject, byUsername.UserID = p.name[1], nil
	for _, who := range []auth.Claims{herself, byUsername} {
		p.ask(http.StatusOK, who, http.MethodPatch, personsCustomer+"/"+servertest.AdaUUID.String(), fmt.Sprintf(`{"mobile":"%d"}`, len(p.asked)))
		p.ask(http.StatusCreated, who, http.MethodPost, personsTokens, fmt.Sprintf(`{"note":"%s, the tablet"}`, p.name[0]))
		p.ask(http.StatusCreated, who, http.MethodPost, "/directory/v1/webhooks", `{"url":"https://hooks.example.com/hers","customer":3393}`)
	}
	p.ask(http.StatusCreated, grace, http.MethodPost, personsTokens, fmt.Sprintf(`{"note":"for %s"}`, strings.ToUpper(p.name[2])))
	p.command("token", "create", "--scim", "--customer", "3393", "--note", "by "+p.name[1])
	p.command("legal-hold", "set", "--user", p.uuid)
	p.command("legal-hold", "lift", "--user", p.uuid)
	p.command("restore", "--user", p.uuid, "--version", "2")
	if _, err := p.Store.NumberChanges(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
}

// remember adds the secrets of the person, as they are stored at present.
func (p *person) remember() {
	p.t.Helper()
	u, err := p.Store.FindUser(p.t.Context(), store.UserByID(servertest.Sandbox, p.id))
	if err != nil {
		p.t.Fatal(err)
	}
	p.texts = append(p.texts, u.AccessToken, u.AccessTokenSealed)
	for _, secret := range []*string{u.PasswordHash, u.VCSPasswordSealed} {
		if secret != nil {
			p.texts = append(p.texts, *secret)
		}
	}
	p.texts = slices.Compact(p.texts)
}

// look asks every operation that reads, and every command, for what there is.
func (p *person) look() {
	p.t.Helper()
	p.heard = nil
	about := servertest.AdaSubject
	about.User, about.UserUUID = p.id, p.uuid
	for _, d := range servertest.Dialects() {
		operations, err := d.Operations()
		if err != nil {
			p.t.Fatal(err)
		}
		for _, o := range operations {
			if description.IsSafe(o.Method) {
				path, header := o.About(about)
				a := p.Ask(platform(), servertest.Request{Method: o.Method, Path: path, Header: header})
				p.lacks(o.OperationID, a.Body)
			}
		}
	}
	admin := httptest.NewRecorder()
	p.Admin.ServeHTTP(admin, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	p.lacks("the metrics", admin.Body.String())
	for _, arguments := range [][]string{
		{"export"}, {"export", "--format", "ndjson"}, {"export", "--user", p.uuid}, {"export", "--user", "6860"}, {"history", "--user", p.uuid, "--json"}, {"history", "--user", "6860"},
		{"token", "list"}, {"webhook", "list"}, {"collisions"},
	} {
		p.command(arguments...)
	}
	for _, h := range p.heard {
		p.lacks(h.where, h.text)
	}
	for n, ask := range p.asked {
		if a := ask(); a.Header.Get("Idempotency-Replayed") != "" {
			p.lacks(fmt.Sprintf("the answer to request %d, which is kept,", n), a.Body)
		}
	}
}
