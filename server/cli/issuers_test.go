package cli

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store/storetest"
)

const secretOfProvider = "a secret that the other issuer signs with"

const twoIssuers = `issuers:
  - issuer: worth
    audience: [dragoman]
    jwt-secret-file: worth-secret
    customers: ["*"]
    platform: true
  - issuer: https://sso.example.com/realms/acme
    audience: [dragoman, "a,b"]
    jwt-secret: ` + secretOfProvider + `
    claim-customers: organization
    map-customers: [acme=3393, other=3394]
    claim-authorities: /realm_access/roles
    customers: ["3393"]
`

// TestSeveralIssuersInFile runs a server with two issuers, and looks at what their callers may do.
func TestSeveralIssuersInFile(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{"c.yaml": twoIssuers, "worth-secret": secretOfTokens + "\n"})
	database := "sqlite:" + filepath.Join(dir, "users.db")
	storetest.Directory(t, storetest.Open(t, database))
	provider := auth.Rules{
		Issuer: "https://sso.example.com/realms/acme", Audiences: []string{"a,b"}, Authorities: auth.Claim{Name: "/realm_access/roles"},
		Customers: auth.Claim{Name: "organization", Map: []auth.Mapping{{Theirs: "acme", Ours: "3393"}, {Theirs: "other", Ours: "3394"}}},
	}
	token := func(secret string, rules auth.Rules, customer, role string) string {
		text, err := auth.Sign([]byte(secret), auth.Claims{Subject: "jo", Customers: []string{customer}, Authorities: []string{role}, Expires: time.Hour, Rules: rules}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + text
	}
	worth := auth.Rules{Issuer: "worth", Audiences: []string{"dragoman"}}
	args := []string{"serve", "--config=c.yaml", "--listen=127.0.0.1:0", "--database=" + database}
	said := serve(t, dir, []string{"DRAGOMAN_SECRET_KEY=" + keyOfNow}, args, func(address string) {
		for name, test := range map[string]struct {
			token  string
			status int
		}{
			"Worth's administrator":            {token(secretOfTokens, worth, "3393", "ROLE_COMPANY_ADMIN"), 200},
			"the platform's administrator":     {token(secretOfTokens, worth, "*", "ROLE_ADMIN"), 200},
			"the provider's administrator":     {token(secretOfProvider, provider, "3393", "ROLE_COMPANY_ADMIN"), 200},
			"its administrator of another":     {token(secretOfProvider, provider, "3394", "ROLE_COMPANY_ADMIN"), 403},
			"its token with the other secret":  {token(secretOfTokens, provider, "3393", "ROLE_COMPANY_ADMIN"), 401},
			"Worth's token with its secret":    {token(secretOfProvider, worth, "3393", "ROLE_COMPANY_ADMIN"), 401},
			"the provider's by Worth's claims": {token(secretOfProvider, auth.Rules{Issuer: provider.Issuer, Audiences: provider.Audiences}, "3393", "ROLE_COMPANY_ADMIN"), 403},
		} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/auth/api/v1/customers/"+servertest.SandboxUUID.String()+"/users/"+servertest.AdaUUID.String(), nil)
			if err != nil {
				t.Error(err)
				return
			}
			r.Header.Set("Authorization", test.token)
			a, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Error(err)
				continue
			}
			a.Body.Close()
			if a.StatusCode != test.status {
				t.Errorf("%s: %d, want %d", name, a.StatusCode, test.status)
			}
		}
	})
	if strings.Contains(said, secretOfProvider) {
		t.Error("the log has a secret")
	}
}

func TestConfigShowsIssuers(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{"c.yaml": twoIssuers, "worth-secret": secretOfTokens + "\n"})
	status, out, said := configured(t, dir, []string{"DRAGOMAN_SECRET_KEY=" + keyOfNow}, "", "config", usesFile, "--format=json")
	if status != 0 || strings.Contains(out+said, secretOfProvider) || strings.Contains(out+said, secretOfTokens) {
		t.Fatalf("status %d, %s, %s", status, out, said)
	}
	var shown map[string]struct {
		Value any
		From  string
	}
	if err := json.Unmarshal([]byte(out), &shown); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][2]string{
		"issuers[0].issuer": {"worth", "c.yaml:2"}, "issuers[0].jwt-secret": {"***", "c.yaml:4 (worth-secret)"}, "issuers[0].platform": {"true", "c.yaml:6"},
		"issuers[1].jwt-secret": {"***", "c.yaml:9"}, "issuers[1].claim-authorities": {"/realm_access/roles", "c.yaml:12"}, "issuers[1].jwks-refresh": {"5m", "default"},
	} {
		value := shown[name].Value
		if value == true {
			value = "true"
		}
		if value != want[0] || shown[name].From != want[1] {
			t.Errorf("%s is %+v, want %v", name, shown[name], want)
		}
	}
	if _, ok := shown["issuers[1].platform"]; ok {
		t.Error("a setting without a value is shown")
	}
}

// TestIssuersInFileByPreset checks a preset in an item, and that `dragoman token explain` reads the items.
func TestIssuersInFileByPreset(t *testing.T) {
	t.Parallel()
	text := twoIssuers + "  - idp: keycloak\n    issuer: https://sso.other.example.com/realms/other\n    audience: [dragoman]\n    map-customers: [other=3394]\n    customers: ['3394']\n    jwt-secret: " + secretOfProvider + "\n"
	dir := writeFiles(t, map[string]string{"c.yaml": text, "worth-secret": secretOfTokens + "\n"})
	variables := []string{"DRAGOMAN_SECRET_KEY=" + keyOfNow}
	shown := effective(t, dir, variables, usesFile)
	if s := shown["issuers[2].claim-authorities"]; s.Value != "/resource_access/dragoman/roles" || s.From != "--idp keycloak" {
		t.Errorf("the preset's claim is %+v", s)
	}
	rules := auth.Rules{Issuer: "https://sso.other.example.com/realms/other", Audiences: []string{"dragoman"}, Required: []auth.Condition{{Claim: "typ", Value: "Bearer"}},
		Customers: auth.Claim{Name: "organization", Map: []auth.Mapping{{Theirs: "other", Ours: "3394"}}}, Authorities: auth.Claim{Name: "/resource_access/dragoman/roles"}}
	token, err := auth.Sign([]byte(secretOfProvider), auth.Claims{Subject: "jo", Customers: []string{"3394"}, Authorities: []string{"ROLE_USER"}, Expires: time.Hour, Rules: rules}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	status, out, said := configured(t, dir, variables, token, "token", "explain", usesFile)
	if caller := words(out); status != 0 || !strings.Contains(caller, "customers 3394") || !strings.Contains(caller, "caller https://sso.other.example.com/realms/other jo") {
		t.Errorf("status %d, %s%s", status, out, said)
	}
}

func TestInvalidIssuersInFile(t *testing.T) {
	t.Parallel()
	const good = "issuers:\n  - {issuer: one, jwt-secret: " + secretOfTokens + ", customers: ['*']}\n"
	for text, want := range map[string]string{
		"issuers: worth": "c.yaml:1: issuers must be a list, each item of which has keys with values",
		"issuers: []":    "c.yaml:1: issuers must be a list, each item of which has keys with values",
		"issuers: [a]":   "c.yaml:1: each item of issuers must have keys with values, such as issuer: https://login.example.com",
		"issuers:\n  - isuer: a\n    audience: [1]\n    jwks-refresh: 5\n    issuer: a\n    issuer: b\n": "c.yaml:2: there is no key isuer, did you mean issuer?\n" +
			"c.yaml:3: audience must be text: put it in quotes\n" + `c.yaml:4: jwks-refresh must be a duration with its unit, such as 15s, not "5"` + "\nc.yaml:6: issuer is set a second time, after line 5",
		"issuers:\n  - token-type: id\n    jwt-secret-file: none\n    missing-claims: none\n    platform: 1\n": "c.yaml:2: token-type must be one of any, access, not \"id\"\nc.yaml:3: jwt-secret-file: open none: no such file or directory\n" +
			"c.yaml:4: missing-claims must be one of empty, legacy, not \"none\"\nc.yaml:5: platform must be true or false",
		"issuers:\n  - listen: a\n":                                                                                   "c.yaml:2: there is no key listen",
		good + "issuer: other\nclaim-customers: tenants\n":                                                            "with issuers in the configuration file, write --issuer, --claim-customers into an item of it, and leave it out elsewhere",
		"issuers:\n  - {issuer: one, jwt-secret: " + secretOfTokens + "}\n":                                           "customers: the issuer may speak for no customer: list those that it may speak for, or write \"*\" for all",
		good + "  - {issuer: two, customers: ['*'], map-customers: [acme]}\n":                                         `issuers[1]: --map-customers: "acme" is not THEIRS=OURS, such as acme=2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1` + "\nissuer 2, \"two\": an issuer whose keys are discovered needs an audience, --audience, or any token that it signs for anyone would be accepted\n" + `issuer 2, "two": the issuer of --issuer (DRAGOMAN_ISSUER), whose keys are to be discovered, must begin with https://, or set --jwks-url (DRAGOMAN_JWKS_URL)`,
		good + "  - {customers: ['*'], jwt-secret: " + secretOfTokens + "}\n":                                         `issuer 2, "": it needs its issuer, since there are several`,
		good + "  - {issuer: one, customers: ['3393'], jwt-secret: " + secretOfTokens + ", missing-claims: legacy}\n": `issuer 2, "one": --missing-claims=legacy cannot be combined with other names, forms or maps of claims (--claim-..., --...-form, --map-..., --idp) or several issuers, because a claim that is misspelled is missing: leave it out` + "\n" + `issuer 2, "one": another has the same issuer`,
	} {
		dir := writeFiles(t, map[string]string{"c.yaml": text})
		status, _, said := configured(t, dir, []string{"DRAGOMAN_SECRET_KEY=" + keyOfNow}, "", "config", usesFile)
		var lines []string
		for line := range strings.Lines(said) {
			lines = append(lines, strings.TrimPrefix(strings.TrimSpace(strings.ReplaceAll(line, dir+"/", "")), "dragoman: error: "))
		}
		if got := strings.Join(lines, "\n"); status != 80 || got != want {
			t.Errorf("%s\nis rejected with %d and\n%s\nwant\n%s", text, status, got, want)
		}
	}
	// Other commands ignore the list.
	dir := writeFiles(t, map[string]string{"c.yaml": "issuers: worth\ndatabase: sqlite:d.db\n"})
	if status, _, said := configured(t, dir, nil, "", "migrate", usesFile); status != 0 {
		t.Errorf("migrate reads issuers: %s", said)
	}
	if _, err := os.Stat(filepath.Join(dir, "d.db")); err != nil {
		t.Error(err)
	}
}

// TestListsOfIssuersInFile: an item of a list in YAML is one value, whatever characters it has.
func TestListsOfIssuersInFile(t *testing.T) {
	t.Parallel()
	const lists = `audience: ['a\,b', 'c,d', 'e\']`
	want := []any{`a\,b`, "c,d", `e\`}
	dir := writeFiles(t, map[string]string{"flags.yaml": "issuer: one\n" + lists + "\n", "items.yaml": "issuers:\n  - issuer: one\n    jwt-secret: " + secretOfTokens + "\n    customers: ['*']\n    " + lists + "\n"})
	for file, name := range map[string]string{"flags.yaml": "audience", "items.yaml": "issuers[0].audience"} {
		variables := []string{"DRAGOMAN_SECRET_KEY=" + keyOfNow}
		if name == "audience" {
			variables = append(variables, "DRAGOMAN_JWT_SECRET="+secretOfTokens)
		}
		if got := effective(t, dir, variables, "--config="+file)[name].Value; !reflect.DeepEqual(got, any(want)) {
			t.Errorf("%s: %v, want %v", file, got, want)
		}
	}
	for _, audience := range []string{"['']", "[a, '']", "['', a]", "[]", "''"} {
		for file, text := range map[string]string{
			"flags.yaml": "audience: " + audience + "\n",
			"items.yaml": "issuers:\n  - issuer: one\n    jwt-secret: " + secretOfTokens + "\n    customers: ['*']\n    audience: " + audience + "\n",
		} {
			dir := writeFiles(t, map[string]string{file: text})
			if status, _, said := configured(t, dir, []string{"DRAGOMAN_SECRET_KEY=" + keyOfNow}, "", "config", "--config="+file); status != 80 || !strings.Contains(said, "audience is empty") {
				t.Errorf("%s with audience: %s: status %d, %s", file, audience, status, said)
			}
		}
	}
}
