package cli

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/dragoman-id/dragoman/server/servertest"
)

// explain runs 'dragoman token explain' with a token on standard input, and checks that it does not print the token.
func explain(t *testing.T, token string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	status, stdout, stderr = dragoman(t, t.TempDir(), token+"\n", append([]string{"token", "explain"}, args...)...)
	for i, part := range strings.Split(strings.TrimPrefix(token, "Bearer "), ".") {
		if len(part) > 10 && strings.Contains(stdout+stderr, part) {
			t.Errorf("part %d of the token is printed: %s%s", i, stdout, stderr)
		}
	}
	return status, stdout, stderr
}

// words returns the lines of a table, with single spaces.
func words(table string) string {
	var lines []string
	for line := range strings.Lines(table) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(lines, "\n")
}

func TestExplain(t *testing.T) {
	t.Parallel()
	p := newProvider(t, providerTests[0])
	flags := append([]string{"--idp=keycloak", "--issuer=" + p.issuer()}, p.test.flags...)
	for _, c := range []struct {
		name    string
		token   string
		flags   []string
		status  int
		prints  []string
		noPrint string
	}{
		{
			name: "a user", token: p.sign(t, nil, p.test.user, nil),
			prints: []string{
				`form alg is "RS256", kid is "kid-1", typ is "JWT"`, "signature ok", `issuer iss is "` + p.issuer() + `"`, `audience aud is ["dragoman","account"]`,
				`required claims typ is "Bearer"`, `customers organization has "acme", which means ` + ownUUID,
				`permissions /resource_access/dragoman/roles has "ROLE_COMPANY_ADMIN"`, `authorities /resource_access/dragoman/roles has "ROLE_COMPANY_ADMIN"`,
				"result accepted", "caller 7f1c2a58-07a5-4b1b-9d0c-9f2b3c6d1e11", "customers " + ownUUID,
				"permissions customer_user:read, customer_user:write, customer_user:create, history", "roles ROLE_COMPANY_ADMIN", "rank 2",
			},
			noPrint: "REJECTED",
		},
		{name: "with its scheme", token: "Bearer " + p.sign(t, nil, p.test.user, nil), prints: []string{"result accepted"}},
		{
			name: "everything wrong", token: p.sign(t, object{"kid": "other", "typ": "ID"}, p.test.user, object{"aud": "account", "typ": "ID", "organization": []string{"globex"}, "resource_access": absent}),
			status: 1,
			prints: []string{
				"signature REJECTED: the token's header names no key of the key set", "REJECTED: the token is for another audience", "REJECTED: the token's claim typ is absent or not what --require says",
				`customers organization has "globex", which is dropped because no mapping names it`, "authorities /resource_access/dragoman/roles is absent",
				"result rejected: the token's header names no key of the key set", "customers none", "permissions none", "rank 0",
			},
		},
		{name: "a claim of another shape", token: p.sign(t, nil, p.test.user, object{"organization": object{"acme": object{"id": "1"}}}), status: 1,
			prints: []string{`customers organization is {"acme":{"id":"1"}}`, "--customers-form"}},
		{name: "malformed", token: "no token at all", status: 1, prints: []string{"form REJECTED: the token is malformed: it must be a signed JWT", "caller none"}},
		{name: "roles that hold elsewhere", token: p.sign(t, nil, p.test.user, object{"roles": object{"ROLE_ADMIN": object{"globex": "g"}}}),
			flags: []string{"--claim-authorities=roles", "--authorities-form=keys-by-customer"}, prints: []string{`authorities roles has "ROLE_ADMIN", which is dropped because it does not hold for every customer of the token`, "rank 0"}},
		{name: "controls in text", token: p.sign(t, nil, p.test.user, object{"sub": "a\x1b[31m\u202e", "organization": []string{"a\x1b[2J"}}), noPrint: "\x1b"},
	} {
		status, out, said := explain(t, c.token, append(flags, c.flags...)...)
		if status != c.status {
			t.Errorf("%s: status %d, want %d: %s", c.name, status, c.status, said)
		}
		for _, line := range c.prints {
			if !strings.Contains("\n"+words(out), line) {
				t.Errorf("%s: it does not print %q:\n%s", c.name, line, out)
			}
		}
		if c.noPrint != "" && strings.Contains(out+said, c.noPrint) {
			t.Errorf("%s: it prints %q:\n%q", c.name, c.noPrint, out)
		}
	}
}

func TestExplainJSON(t *testing.T) {
	t.Parallel()
	p := newProvider(t, providerTests[0])
	flags := append([]string{"--idp=keycloak", "--issuer=" + p.issuer(), "--format=json"}, p.test.flags...)
	status, out, said := explain(t, p.sign(t, nil, p.test.user, object{"aud": "account"}), flags...)
	var r tokenReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || status != 1 {
		t.Fatalf("status %d, %v: %s%s", status, err, out, said)
	}
	if r.Result != "rejected" || r.Reason != "the token is for another audience" || r.Caller.Rank != 2 || fmt.Sprint(r.Caller.Customers) != "["+ownUUID+"]" {
		t.Errorf("it prints %s", out)
	}
	found := map[string]ruleReport{}
	for _, rule := range r.Rules {
		found[rule.Rule] = rule
	}
	if a := found["audience"]; a.Result != "rejected" || fmt.Sprint(a.Settings) != "[--audience --audience-claim]" || fmt.Sprint(a.Read) != `[aud is "account"]` {
		t.Errorf("the audience is %+v", a)
	}
	if s := found["signature"]; s.Result != "accepted" {
		t.Errorf("the signature is %+v", s)
	}
}

// TestExplainWarns: what is accepted and most likely a mistake is told, in text and in JSON, and nothing of it where all is well.
func TestExplainWarns(t *testing.T) {
	t.Parallel()
	const (
		noCustomer   = "the token is for no customer, so that every request is answered 403"
		noPermission = "the caller has no permission, so that every request is answered 403"
		noPlatform   = "makes no administrator of the platform, because the issuer may not name any: only an item of issuers with platform: true may"
		noRole       = "makes no administrator of the platform without the role ROLE_ADMIN"
	)
	item := func(text string) map[string]string {
		return map[string]string{"c.yaml": "issuers:\n  - {issuer: a, jwt-secret: " + secretOfTokens + ", " + text + "}\n"}
	}
	for name, c := range map[string]struct {
		files  map[string]string
		flags  string
		claims jwt.MapClaims
		want   []string // a part of each warning
		reads  string   // is among what is read
	}{
		"nothing": {nil, "", jwt.MapClaims{"customer_id": 3393, "permissions": "customer_user:read"}, nil, `permissions has "customer_user:read"`},
		"* without platform": {item("customers: ['*']"), "", jwt.MapClaims{"customer_id": "*", "authorities": "ROLE_ADMIN"},
			[]string{`customer_id is "*", which ` + noPlatform, noCustomer}, `customer_id is "*", which stands for all customers`},
		"* without ROLE_ADMIN": {nil, "", jwt.MapClaims{"customer_id": "*", "authorities": "ROLE_COMPANY_ADMIN"},
			[]string{`customer_id is "*", which ` + noRole, noCustomer}, `customer_id is "*", which stands for all customers`},
		"an administrator of the platform": {item("customers: ['*'], platform: true"), "", jwt.MapClaims{"customer_id": "*", "authorities": "ROLE_ADMIN"}, nil, ""},
		"a condition without platform": {item("customers: ['3393'], platform-administrators: groups=operators"), "", jwt.MapClaims{"customer_id": 3393, "groups": []string{"operators"}, "authorities": "ROLE_ADMIN"},
			[]string{"groups, which is what --platform-administrators says, " + noPlatform}, `groups is ["operators"]`},
		"a condition without ROLE_ADMIN": {nil, "--platform-administrators=groups=operators", jwt.MapClaims{"customer_id": 3393, "groups": "operators", "permissions": "customer_user:read"},
			[]string{"groups, which is what --platform-administrators says, " + noRole}, ""},
		"a condition that does not hold": {item("customers: ['3393'], platform-administrators: groups=operators"), "", jwt.MapClaims{"customer_id": 3393, "groups": "o", "authorities": "ROLE_ADMIN"}, nil, ""},
		"no customers' claim":            {nil, "", jwt.MapClaims{"authorities": "ROLE_ADMIN"}, []string{noCustomer}, "customer_id is absent"},
		"no customers":                   {nil, "", jwt.MapClaims{"customer_id": []int{}, "authorities": "ROLE_ADMIN"}, []string{noCustomer}, "customer_id is empty"},
		"customers that are not mapped":  {nil, "--map-customers=acme=3393", jwt.MapClaims{"customer_id": "globex", "authorities": "ROLE_ADMIN"}, []string{noCustomer}, "which is dropped because no mapping names it"},
		"customers of another issuer": {item("customers: ['3393']"), "", jwt.MapClaims{"customer_id": 3394, "authorities": "ROLE_ADMIN"},
			[]string{noCustomer}, "3394 is dropped, because the issuer may not speak for that customer"},
		"no permission":                         {nil, "", jwt.MapClaims{"customer_id": 3393, "authorities": "ROLE_USER", "permissions": "openid"}, []string{noPermission}, ""},
		"nothing at all":                        {nil, "--missing-claims=empty", jwt.MapClaims{}, []string{noCustomer, noPermission}, ""},
		"a mapping onto an unknown role":        {nil, "--map-authorities=boss=ROLE_BOSS,clerk=ROLE_USER", jwt.MapClaims{"customer_id": 3393, "permissions": "customer_user:read"}, []string{`there is no role "ROLE_BOSS"`}, ""},
		"a user whose customer is not known":    {item("customers: ['3393']"), "", jwt.MapClaims{"customer_id": 3393, "authorities": "ROLE_ADMIN", "custom:id": servertest.AdaUUID}, nil, "a write is answered 403 if that is a user of a customer that the issuer may not speak for"},
		"a subject whose customer is not known": {item("customers: ['3393']"), "", jwt.MapClaims{"customer_id": 3393, "authorities": "ROLE_ADMIN", "sub": servertest.AdaUUID}, nil, "sub is the user's UUID instead"},
	} {
		p := provider{claims: jwt.MapClaims{"iss": "a"}}
		token := p.token(t, c.claims)
		args := append([]string{"token", "explain"}, strings.Fields(c.flags)...)
		var variables []string
		dir := writeFiles(t, c.files)
		if c.files != nil {
			args = append(args, usesFile)
		} else {
			variables = []string{"DRAGOMAN_JWT_SECRET=" + secretOfTokens}
		}
		status, out, said := configured(t, dir, variables, token, append(args, "--format=json")...)
		var r tokenReport
		if err := json.Unmarshal([]byte(out), &r); err != nil || status != 0 || r.Result != "accepted" {
			t.Errorf("%s: status %d, %v: %s%s", name, status, err, out, said)
			continue
		}
		if len(r.Warnings) != len(c.want) {
			t.Errorf("%s: the warnings are %q, want %q", name, r.Warnings, c.want)
			continue
		}
		_, text, _ := configured(t, dir, variables, token, args...)
		text = words(text)
		for i, want := range c.want {
			if !strings.Contains(r.Warnings[i], want) || !strings.Contains(text, "\nwarning "+r.Warnings[i]+"\n") {
				t.Errorf("%s: the warning is %q, want %q, in\n%s", name, r.Warnings[i], want, text)
			}
		}
		if strings.Contains(out, "null") || !strings.Contains(text, c.reads) || !strings.Contains(text, "\nresult accepted\n") {
			t.Errorf("%s: it prints %s\n%s\nwant %s", name, out, text, c.reads)
		}
	}
}

// TestExplainJSONOfMalformed: lists are empty, and never null, also where nothing is read.
func TestExplainJSONOfMalformed(t *testing.T) {
	t.Parallel()
	status, out, said := explain(t, "x.y.z", "--jwt-secret="+secretOfTokens, "--format=json")
	if status != 1 || strings.Contains(out, "null") || !strings.Contains(out, `"warnings": []`) || !strings.Contains(out, `"unknown_authorities": []`) {
		t.Errorf("status %d, %s%s", status, out, said)
	}
}

// TestExplainWithoutKeys: the rules are explained all the same, and nothing is accepted.
func TestExplainWithoutKeys(t *testing.T) {
	t.Parallel()
	p := newProvider(t, providerTests[0])
	down := httptest.NewServer(nil)
	down.Close()
	flags := append([]string{"--idp=keycloak", "--issuer=" + p.issuer(), "--jwks-url=" + down.URL}, p.test.flags...)
	for name, c := range map[string]struct {
		members object
		result  string
	}{
		"good": {nil, "result unchecked: the keys to verify tokens with are not available"},
		"bad":  {object{"aud": "account"}, "result rejected: the token is for another audience"},
	} {
		status, out, said := explain(t, p.sign(t, nil, p.test.user, c.members), flags...)
		if !strings.Contains(words(out), c.result) || !strings.Contains(words(out), "UNCHECKED: the keys") || !strings.Contains(said, "token keys could not be read") || status != 1 {
			t.Errorf("%s: status %d:\n%s%s", name, status, out, said)
		}
	}
}

// TestExplainInput: a token comes from standard input alone, since others on the machine can read a command line.
func TestExplainInput(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if status, _, said := configured(t, dir, goodKeys, " \n", "token", "explain"); status != 2 || !strings.Contains(said, "standard input") {
		t.Errorf("without a token: status %d, %s", status, said)
	}
	token := strings.Repeat("eyJhbGciOiJIUzI1NiJ9.", 2) + "c2lnbmF0dXJl"
	if status, out, said := configured(t, dir, goodKeys, "", "token", "explain", token); status != 80 || strings.Contains(out+said, token) {
		t.Errorf("with an argument: status %d, %s%s", status, out, said)
	}
	// The form of a provisioning client's token can be told without keys, which only verify signatures.
	if status, out, said := configured(t, dir, nil, "drg_x", "token", "explain"); status != 1 || !strings.Contains(out, "checksum") {
		t.Errorf("a provisioning token without keys: status %d, %s%s", status, out, said)
	}
	if status, _, said := configured(t, dir, nil, token, "token", "explain"); status != 80 || !strings.Contains(said, "neither a secret") {
		t.Errorf("without keys: status %d, %s", status, said)
	}
	// Without a command `dragoman token` signs, and what it signs is explained with the same settings.
	for _, args := range [][]string{{"token"}, {"token", "sign"}} {
		status, signed, said := configured(t, dir, goodKeys, "", append(args, "--customer=3393", "--permission=customer_user:write")...)
		if status != 0 {
			t.Fatalf("%q: status %d, %s", args, status, said)
		}
		status, out, said := configured(t, dir, goodKeys, signed, "token", "explain")
		if status != 0 || !strings.Contains(words(out), "\ncustomers 3393\npermissions customer_user:read, customer_user:write") && !strings.Contains(words(out), "\ncustomers 3393\npermissions customer_user:write") || !strings.Contains(words(out), "rank 2") {
			t.Errorf("%q: status %d, %s%s", args, status, out, said)
		}
	}
}
