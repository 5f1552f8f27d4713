package auth_test

import (
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/dragoman-id/dragoman/server/auth"
)

// providerRules are rules that set everything, for tokens as of providerPayload.
func providerRules() auth.Rules {
	return auth.Rules{
		Issuer: "https://sso.example.com/realms/acme", Audiences: []string{"other", "dragoman"}, AudienceClaim: "client_id", TokenType: auth.TokenAccess,
		Required:               []auth.Condition{{Claim: "use", Value: "access"}, {Claim: "/ext/ver", Value: "2"}, {Claim: "tid", AnyValue: true}},
		UserID:                 "/ext/uid",
		Customers:              auth.Claim{Name: "organization", Form: auth.FormKeys, Map: []auth.Mapping{{Theirs: "acme", Ours: "3393"}}},
		Permissions:            auth.Claim{Name: "scope", Form: auth.FormWords, Map: []auth.Mapping{{Theirs: "dragoman/read", Ours: "customer_user:read"}, {Theirs: "dragoman/read", Ours: "customer_user:write"}}},
		Authorities:            auth.Claim{Name: "/realm/roles", Form: auth.FormKeysByCustomer, Map: []auth.Mapping{{Theirs: "boss", Ours: "ROLE_ADMIN"}}},
		MissingClaims:          auth.MissingEmpty,
		PlatformAdministrators: &auth.Condition{Claim: "/ext/platform", Value: "true"},
	}
}

const providerPayload = `"iss":"https://sso.example.com/realms/acme","client_id":"dragoman","use":"access","tid":"t","organization":{"acme":{"id":"1"}},` +
	`"scope":"openid dragoman/read","realm":{"roles":{"boss":{"acme":"acme.example"}}}`

const providerExt = `"ext":{"ver":2,"uid":"94520740-d63c-4e02-85ca-c4e138801e73","platform":true}`

// accessToken returns a token of the type at+jwt with these members.
func accessToken(t testing.TB, members ...string) string {
	t.Helper()
	return forge(t, jwt.SigningMethodHS256, secret, `{"alg":"HS256","typ":"at+jwt"}`, payload(members...))
}

// rights are what a caller may do, for comparison.
type rights struct {
	rank                         int
	sandbox, elsewhere, platform bool
	read, write, create, history bool
	provisioning                 bool
	seesAccessTokens             bool
}

func rightsOf(p auth.Policy, pr auth.Principal) rights {
	return rights{
		rank: p.Rank(pr), sandbox: p.Covers(pr, sandbox), elsewhere: p.Covers(pr, elsewhere), platform: p.PlatformAdministrator(pr),
		read: p.Permits(pr, auth.PermissionRead), write: p.Permits(pr, auth.PermissionWrite), create: p.Permits(pr, auth.PermissionCreate),
		history: p.Permits(pr, auth.PermissionHistory), provisioning: p.Permits(pr, auth.PermissionProvisioning), seesAccessTokens: p.SeesAccessToken(pr, 2),
	}
}

func TestRulesOfProvider(t *testing.T) {
	t.Parallel()
	p := policy(t)
	v := newVerifier(t, only(auth.Issuer{Secret: secret, Rules: providerRules()}))
	pr, err := v.Verify([]string{"Bearer " + accessToken(t, providerPayload, providerExt)})
	if err != nil {
		t.Fatal(err)
	}
	want := rights{rank: 3, sandbox: true, elsewhere: true, platform: true, read: true, write: true, create: true, history: true, provisioning: true, seesAccessTokens: true}
	if got := rightsOf(p, pr); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if id, ok := pr.UserID(); !ok || id != ada {
		t.Errorf("the user is %v", id)
	}
	pr, err = v.Verify([]string{"Bearer " + accessToken(t, strings.Replace(providerPayload, "boss", "clerk", 1), strings.Replace(providerExt, "true", "false", 1))})
	if want := (rights{sandbox: true, read: true, write: true}); err != nil || rightsOf(p, pr) != want {
		t.Errorf("got %+v, %v, want %+v: a role without a mapping is dropped, and its claim is present", rightsOf(p, pr), err, want)
	}
}

// TestRulesRefuse checks each rule with a token that violates it alone.
func TestRulesRefuse(t *testing.T) {
	t.Parallel()
	v := newVerifier(t, only(auth.Issuer{Secret: secret, Rules: providerRules()}))
	for name, test := range map[string]struct {
		old, new string // within the payload
		fault    auth.TokenFault
		says     string
	}{
		"another issuer":                  {"realms/acme", "realms/canary", auth.FaultIssuer, "another issuer"},
		"issuer with a slash":             {"realms/acme", "realms/acme/", auth.FaultIssuer, "final slash"},
		"no issuer":                       {`"iss":`, `"isr":`, auth.FaultClaims, "no iss"},
		"another audience":                {`"client_id":"dragoman"`, `"client_id":"canary"`, auth.FaultAudience, "another audience"},
		"no audience":                     {`"client_id"`, `"client"`, auth.FaultClaims, "no audience"},
		"audience a list":                 {`"client_id":"dragoman"`, `"client_id":["dragoman"]`, auth.FaultClaims, "client_id is not a string"},
		"aud too":                         {`"use"`, `"aud":"dragoman","use"`, auth.FaultAudience, "--audience-claim"},
		"required value":                  {`"access"`, `"id"`, auth.FaultClaims, "claim use"},
		"required claim null":             {`"tid":"t"`, `"tid":null`, auth.FaultClaims, "claim tid"},
		"required claim absent":           {`"tid"`, `"tids"`, auth.FaultClaims, "claim tid"},
		"required number":                 {`"ver":2`, `"ver":2.0`, auth.FaultClaims, "claim /ext/ver"},
		"a step that is no object":        {`"ext":{`, `"ext":1,"ex":{`, auth.FaultClaims, "/ext/ver leads through"},
		"user id no UUID":                 {`"uid":"9`, `"uid":"canary9`, auth.FaultClaims, "/ext/uid is not a UUID"},
		"keys as a list":                  {`{"acme":{"id":"1"}}`, `["acme"]`, auth.FaultClaims, "organization is not an object"},
		"words as a list":                 {`"openid dragoman/read"`, `["openid"]`, auth.FaultClaims, "scope is not a string of words"},
		"a role without customers":        {`{"boss":{"acme":"acme.example"}}`, `{"boss":true}`, auth.FaultClaims, "/realm/roles is not an object of objects"},
		"roles as a list":                 {`{"boss":{"acme":"acme.example"}}`, `["boss"]`, auth.FaultClaims, "/realm/roles is not an object of objects"},
		"cnf":                             {`"use"`, `"cnf":{"jkt":"canary"},"use"`, auth.FaultClaims, "bound to a key"},
		"cnf null":                        {`"use"`, `"cnf":null,"use"`, auth.FaultClaims, "bound to a key"},
		"_claim_names of permissions":     {`"use"`, `"_claim_names":{"scope":"canary"},"use"`, auth.FaultClaims, "claim scope but refers"},
		"_claim_names of a pointer":       {`"use"`, `"_claim_names":{"realm":"canary"},"use"`, auth.FaultClaims, "claim realm but refers"},
		"_claim_names of a required one":  {`"use"`, `"_claim_names":{"tid":"canary"},"use"`, auth.FaultClaims, "claim tid but refers"},
		"_claim_names of administrators":  {`"use"`, `"_claim_names":{"ext":"canary"},"use"`, auth.FaultClaims, "claim ext but refers"},
		"_claim_names of the user":        {`"use"`, `"_claim_names":{"sub":"canary"},"use"`, auth.FaultClaims, "claim sub but refers"},
		"_claim_names of the audience":    {`"use"`, `"_claim_names":{"client_id":"canary"},"use"`, auth.FaultClaims, "claim client_id but refers"},
		"_claim_names of another shape":   {`"use"`, `"_claim_names":["scope"],"use"`, auth.FaultClaims, "_claim_names is not an object"},
		"platform administrators through": {`"ver":2,`, `"ver":2,"platfor":1,`, "", ""}, // a valid token
		"_claim_names of another":         {`"use"`, `"_claim_names":{"groups":"src1"},"use"`, "", ""},
	} {
		text := payload(providerPayload, providerExt)
		if !strings.Contains(text, test.old) {
			t.Errorf("%s: the payload has no %s", name, test.old)
		}
		token := forge(t, jwt.SigningMethodHS256, secret, `{"alg":"HS256","typ":"at+jwt"}`, strings.Replace(text, test.old, test.new, 1))
		pr, err := v.Verify([]string{"Bearer " + token})
		if test.fault == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		wantUnauthenticated(t, pr, err, token)
		if auth.FaultOf(err) != test.fault || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %s, %v, want %s, %q", name, auth.FaultOf(err), err, test.fault, test.says)
		}
	}
}

func TestTokenType(t *testing.T) {
	t.Parallel()
	either := newVerifier(t, only(auth.Issuer{Secret: secret}))
	access := newVerifier(t, only(auth.Issuer{Secret: secret, Rules: auth.Rules{TokenType: auth.TokenAccess}}))
	for header, want := range map[string][2]bool{ // whether any and access accept it
		`{"alg":"HS256"}`:                                {true, false},
		`{"alg":"HS256","typ":"JWT"}`:                    {true, false},
		`{"alg":"HS256","typ":"jwt"}`:                    {true, false},
		`{"alg":"HS256","typ":"at+jwt"}`:                 {true, true},
		`{"alg":"HS256","typ":"AT+JWT"}`:                 {true, true},
		`{"alg":"HS256","typ":"application/at+jwt"}`:     {true, true},
		`{"alg":"HS256","typ":"application/jwt"}`:        {},
		`{"alg":"HS256","typ":"logout+jwt"}`:             {},
		`{"alg":"HS256","typ":"application/logout+jwt"}`: {},
		`{"alg":"HS256","typ":"id_token+jwt"}`:           {},
		`{"alg":"HS256","typ":"ID"}`:                     {},
		`{"alg":"HS256","typ":"dpop+jwt"}`:               {},
		`{"alg":"HS256","typ":"secevent+jwt"}`:           {},
		`{"alg":"HS256","typ":""}`:                       {},
		`{"alg":"HS256","typ":null}`:                     {},
		`{"alg":"HS256","typ":["at+jwt"]}`:               {},
	} {
		token := forge(t, jwt.SigningMethodHS256, secret, header, payload())
		for i, v := range []*auth.Verifier{either, access} {
			pr, err := v.Verify([]string{"Bearer " + token})
			if (err == nil) != want[i] {
				t.Errorf("%s, access %t: %v", header, i == 1, err)
			}
			if err != nil {
				wantUnauthenticated(t, pr, err, token)
				if auth.FaultOf(err) != auth.FaultType {
					t.Errorf("%s: fault %s", header, auth.FaultOf(err))
				}
			}
		}
	}
}

// TestAllCustomers checks that * counts as nothing but the string that is the whole plain claim, and only with ROLE_ADMIN.
func TestAllCustomers(t *testing.T) {
	t.Parallel()
	p := policy(t)
	platform := auth.Condition{Claim: "groups", Value: "operators"}
	const admin = `"authorities":"ROLE_ADMIN"`
	for _, test := range []struct {
		rules   auth.Rules
		members string
		want    bool
		refused bool
	}{
		{auth.Rules{}, admin + `,"customer_id":"*"`, true, false},
		{auth.Rules{Customers: auth.Claim{Name: "tenants"}}, admin + `,"tenants":"*"`, true, false},
		{auth.Rules{MissingClaims: auth.MissingEmpty}, admin + `,"customer_id":"*"`, true, false},
		{auth.Rules{}, `"authorities":"ROLE_COMPANY_ADMIN","customer_id":"*"`, false, false},
		{auth.Rules{}, admin + `,"customer_id":["*"]`, false, true},
		{auth.Rules{Customers: auth.Claim{Form: auth.FormList}}, admin + `,"customer_id":"*"`, false, true},
		{auth.Rules{Customers: auth.Claim{Form: auth.FormList}}, admin + `,"customer_id":["*"]`, false, true},
		{auth.Rules{Customers: auth.Claim{Name: "tenants", Form: auth.FormList}}, admin + `,"tenants":"*"`, false, true},
		{auth.Rules{Customers: auth.Claim{Form: auth.FormWords}}, admin + `,"customer_id":"*"`, false, true},
		{auth.Rules{Customers: auth.Claim{Form: auth.FormKeys}}, admin + `,"customer_id":{"*":{}}`, false, true},
		{auth.Rules{Customers: auth.Claim{Name: "/customer_id"}}, admin + `,"customer_id":"*"`, false, true},
		{auth.Rules{Customers: auth.Claim{Name: "/a/b"}}, admin + `,"a":{"b":"*"}`, false, true},
		{auth.Rules{Customers: auth.Claim{Map: []auth.Mapping{{Theirs: "a", Ours: "1"}}}}, admin + `,"customer_id":"*"`, false, false},
		{auth.Rules{Scope: &auth.Scope{Customers: []string{"*"}}}, admin + `,"customer_id":"*"`, false, false},
		{auth.Rules{Scope: &auth.Scope{Customers: []string{"*"}, Platform: true}}, admin + `,"customer_id":"*"`, true, false},
		{auth.Rules{PlatformAdministrators: &platform}, admin + `,"groups":["a","operators"]`, true, false},
		{auth.Rules{PlatformAdministrators: &platform}, admin + `,"groups":"operators"`, true, false},
		{auth.Rules{PlatformAdministrators: &platform}, admin + `,"groups":"operators a"`, false, false},
		{auth.Rules{PlatformAdministrators: &platform}, admin + `,"groups":{"operators":true}`, false, false},
		{auth.Rules{PlatformAdministrators: &platform}, admin + `,"groups":[["operators"]]`, false, false},
		{auth.Rules{PlatformAdministrators: &platform}, `"authorities":"ROLE_COMPANY_ADMIN","groups":"operators"`, false, false},
		{auth.Rules{PlatformAdministrators: &platform}, `"groups":"operators"`, false, false},
		{auth.Rules{PlatformAdministrators: &platform, Scope: &auth.Scope{Customers: []string{"*"}}}, admin + `,"groups":"operators"`, false, false},
	} {
		v := newVerifier(t, only(auth.Issuer{Secret: secret, Rules: test.rules}))
		pr, err := v.Verify([]string{"Bearer " + signed(t, payload(test.members))})
		if (err != nil) != test.refused {
			t.Errorf("%s with %+v: %v", test.members, test.rules, err)
		}
		if got := p.PlatformAdministrator(pr); got != test.want || p.Covers(pr, elsewhere) != test.want {
			t.Errorf("%s with %+v: platform administrator %t", test.members, test.rules, got)
		}
	}
}

// TestSubjects checks which subjects are accepted, and that those of several issuers may be as long.
func TestSubjects(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("a", 255)
	several := twoIssuers(t)
	several.Issuers[1] = auth.Issuer{Secret: secret, Rules: auth.Rules{Issuer: "other", Scope: &auth.Scope{Customers: []string{"*"}}}}
	alone, oneOfTwo := newVerifier(t, only(auth.Issuer{Secret: secret})), newVerifier(t, several)
	for subject, says := range map[string]string{
		"": "empty", `\u0000`: "U+0000", `a\u0000b`: "U+0000",
		"a": "", longest: "", `\u0061` + longest[1:]: "", "jo é": "",
		longest + "a": "more than 255 bytes", longest[1:] + "é": "more than 255 bytes", strings.Repeat("a", 8<<10): "more than 255 bytes",
	} {
		token := signed(t, payload(`"sub":"`+subject+`"`, `"iss":"worth"`, `"aud":"dragoman"`))
		for _, v := range []*auth.Verifier{alone, oneOfTwo} {
			pr, err := v.Verify([]string{"Bearer " + token})
			if says == "" {
				if err != nil {
					t.Errorf("%q: %v", subject, err)
				}
				continue
			}
			wantUnauthenticated(t, pr, err, token)
			if auth.FaultOf(err) != auth.FaultClaims || !strings.Contains(err.Error(), says) {
				t.Errorf("%q: %v, want %q", subject, err, says)
			}
		}
	}
}

// TestMissingClaims checks when a token without authorities and with the permission to write is a manager's.
func TestMissingClaims(t *testing.T) {
	t.Parallel()
	p := policy(t)
	for _, test := range []struct {
		rules auth.Rules
		rank  int
	}{
		{auth.Rules{}, 2},
		{auth.Rules{MissingClaims: auth.MissingLegacy}, 2},
		{auth.Rules{MissingClaims: auth.MissingLegacy, PlatformAdministrators: &auth.Condition{Claim: "a", Value: "b"}}, 2},
		{auth.Rules{MissingClaims: auth.MissingEmpty}, 0},
		{auth.Rules{UserID: "uid"}, 0},
		{auth.Rules{Customers: auth.Claim{Name: "tenants"}}, 0},
		{auth.Rules{Authorities: auth.Claim{Name: "authorities"}}, 0}, // set, if to the default
		{auth.Rules{Authorities: auth.Claim{Form: auth.FormList}}, 0},
		{auth.Rules{Customers: auth.Claim{Map: []auth.Mapping{{Theirs: "a", Ours: "1"}}}}, 0},
	} {
		v := newVerifier(t, only(auth.Issuer{Secret: secret, Rules: test.rules}))
		pr, err := v.Verify([]string{"Bearer " + signed(t, payload(`"permissions":"customer_user:write"`, `"uid":"`+ada.String()+`"`))})
		if err != nil || p.Rank(pr) != test.rank || p.PlatformAdministrator(pr) || p.MaySpanCustomers(pr) {
			t.Errorf("%+v: rank %d, want %d, %v", test.rules, p.Rank(pr), test.rank, err)
		}
	}
}

func TestForms(t *testing.T) {
	t.Parallel()
	roles := func(form auth.Form) auth.Rules {
		return auth.Rules{Authorities: auth.Claim{Form: form}, Permissions: auth.Claim{Form: form}}
	}
	p := policy(t)
	for _, test := range []struct {
		rules   auth.Rules
		members string
		rank    int
		read    bool
	}{
		{roles(auth.FormWords), `"authorities":"ROLE_USER  ROLE_X"`, 1, false},
		{roles(auth.FormWords), `"permissions":"a customer_user:read"`, 0, true},
		{roles(auth.FormWords), `"permissions":"a\tcustomer_user:read"`, 0, false}, // only spaces separate
		{roles(auth.FormWords), `"permissions":""`, 0, false},
		{roles(auth.FormKeys), `"authorities":{"ROLE_USER":null,"x":[1]}`, 1, false},
		{roles(auth.FormKeys), `"authorities":{}`, 0, false},
		{roles(auth.FormKeysByCustomer), `"customer_id":["1",2],"authorities":{"ROLE_USER":{"1":"","2":""},"ROLE_ADMIN":{"1":""}}`, 1, false},
		{roles(auth.FormKeysByCustomer), `"customer_id":[],"authorities":{"ROLE_USER":{"1":""}}`, 0, false},
		{roles(auth.FormKeysByCustomer), `"authorities":{"ROLE_USER":{"1":""}}`, 0, false},
		{roles(auth.FormKeysByCustomer), `"customer_id":"*","authorities":{"ROLE_ADMIN":{"1":""}}`, 0, false},
		{roles(auth.FormKeysByCustomer), `"customer_id":1,"permissions":{"customer_user:read":{"1":"","2":""}}`, 0, true},
		{auth.Rules{Authorities: auth.Claim{Name: "a.b/c"}}, `"a.b/c":"ROLE_USER"`, 1, false},
		{auth.Rules{Authorities: auth.Claim{Name: "a.b"}}, `"a":{"b":"ROLE_USER"}`, 0, false},
		{auth.Rules{Authorities: auth.Claim{Name: "/a~1b/~0/c"}}, `"a/b":{"~":{"c":"ROLE_USER"}}`, 1, false},
		{auth.Rules{Authorities: auth.Claim{Name: "/a~01"}}, `"a~1":"ROLE_USER"`, 1, false},
		{auth.Rules{Authorities: auth.Claim{Name: "/1/2/3/4/5/6/7/8"}}, `"1":{"2":{"3":{"4":{"5":{"6":{"7":{"8":"ROLE_USER"}}}}}}}`, 1, false},
		{auth.Rules{Authorities: auth.Claim{Name: "/a/b"}}, `"a":{"c":"ROLE_USER"}`, 0, false},
		{auth.Rules{Authorities: auth.Claim{Map: []auth.Mapping{{Theirs: "x=y", Ours: "ROLE_USER"}}}}, `"authorities":["x=y","ROLE_ADMIN"]`, 1, false},
		{auth.Rules{Authorities: auth.Claim{Map: []auth.Mapping{{Theirs: "x", Ours: "ROLE_USER"}}}}, `"authorities":["X","x "]`, 0, false},
		{auth.Rules{Customers: auth.Claim{Map: []auth.Mapping{{Theirs: "2801", Ours: "3393"}}}, Permissions: auth.Claim{Form: auth.FormKeysByCustomer}}, `"customer_id":2801,"permissions":{"customer_user:read":{"2801":""}}`, 0, true},
	} {
		v := newVerifier(t, only(auth.Issuer{Secret: secret, Rules: test.rules}))
		pr, err := v.Verify([]string{"Bearer " + signed(t, payload(test.members))})
		if err != nil || p.Rank(pr) != test.rank || p.Permits(pr, auth.PermissionRead) != test.read && test.rank < 2 {
			t.Errorf("%s with %+v: rank %d, read %t, %v", test.members, test.rules, p.Rank(pr), p.Permits(pr, auth.PermissionRead), err)
		}
	}
}

func TestMapsOfCustomers(t *testing.T) {
	t.Parallel()
	p := policy(t)
	for members, want := range map[string][2]bool{
		`"tid":"acme"`:                 {true, false},
		`"tid":["acme","both"]`:        {true, true},
		`"tid":3394`:                   {},
		`"tid":"3394"`:                 {},
		`"tid":["other"]`:              {},
		`"customer_id":3393`:           {},
		`"tid":"ACME"`:                 {},
		`"tid":"` + ada.String() + `"`: {},
	} {
		v := newVerifier(t, only(auth.Issuer{Secret: secret, Rules: auth.Rules{Customers: auth.Claim{Name: "tid", Map: []auth.Mapping{
			{Theirs: "acme", Ours: sandbox.UUID.String()}, {Theirs: "both", Ours: "3393"}, {Theirs: "both", Ours: "3394"},
		}}}}))
		pr, err := v.Verify([]string{"Bearer " + signed(t, payload(members))})
		if got := [2]bool{p.Covers(pr, sandbox), p.Covers(pr, elsewhere)}; err != nil || got != want {
			t.Errorf("%s: covers %v, want %v, %v", members, got, want, err)
		}
	}
}

func TestInvalidRules(t *testing.T) {
	t.Parallel()
	roles := func(c auth.Claim) auth.Rules { return auth.Rules{Authorities: c} }
	customers := func(m auth.Mapping) auth.Rules {
		return auth.Rules{Customers: auth.Claim{Map: []auth.Mapping{m}}}
	}
	for _, test := range []struct {
		rules auth.Rules
		says  string
	}{
		{auth.Rules{AudienceClaim: "client_id"}, "--audience-claim needs --audience"},
		{auth.Rules{AudienceClaim: "aud", Audiences: []string{"a"}}, "leave --audience-claim out"},
		{auth.Rules{AudienceClaim: "/aud", Audiences: []string{"a"}}, "leave --audience-claim out"},
		{auth.Rules{AudienceClaim: "/aud/client", Audiences: []string{"a"}}, "leave --audience-claim out"},
		{auth.Rules{AudienceClaim: "iss", Audiences: []string{"a"}}, "the same in every token of the issuer"},
		{auth.Rules{Audiences: []string{""}}, "an audience is empty"},
		{auth.Rules{TokenType: "id"}, "--token-type to any or access"},
		{roles(auth.Claim{Name: "/"}), "empty step"},
		{roles(auth.Claim{Name: "/a//b"}), "empty step"},
		{roles(auth.Claim{Name: "/a/"}), "empty step"},
		{roles(auth.Claim{Name: "/a~2"}), "~0"},
		{roles(auth.Claim{Name: "/a~"}), "~0"},
		{roles(auth.Claim{Name: "/1/2/3/4/5/6/7/8/9"}), "more than 8 steps"},
		{roles(auth.Claim{Form: "object"}), "--authorities-form to list, words"},
		{auth.Rules{Customers: auth.Claim{Form: auth.FormKeysByCustomer}}, "--customers-form cannot be keys-by-customer"},
		{customers(auth.Mapping{Theirs: "acme", Ours: "*"}), "cannot mean all customers"},
		{customers(auth.Mapping{Theirs: "*", Ours: "3393"}), "no pattern"},
		{customers(auth.Mapping{Theirs: "acme", Ours: "x"}), `"x" is neither`},
		{customers(auth.Mapping{Theirs: "acme", Ours: "0"}), `"0" is neither`},
		{customers(auth.Mapping{Ours: "1"}), "lacks a side"},
		{auth.Rules{Permissions: auth.Claim{Map: []auth.Mapping{{Theirs: "a", Ours: "customer_user:delete"}}}}, "is no permission"},
		{auth.Rules{MissingClaims: "none"}, "empty or legacy"},
		{auth.Rules{MissingClaims: auth.MissingLegacy, UserID: "uid"}, "--missing-claims=legacy cannot"},
		{auth.Rules{MissingClaims: auth.MissingLegacy, Customers: auth.Claim{Name: "/a"}}, "--missing-claims=legacy cannot"},
		{auth.Rules{MissingClaims: auth.MissingLegacy, Permissions: auth.Claim{Form: auth.FormWords}}, "--missing-claims=legacy cannot"},
		{auth.Rules{MissingClaims: auth.MissingLegacy, Authorities: auth.Claim{Map: []auth.Mapping{{Theirs: "a", Ours: "ROLE_USER"}}}}, "--missing-claims=legacy cannot"},
		{auth.Rules{PlatformAdministrators: &auth.Condition{Claim: "a", AnyValue: true}}, "--platform-administrators=CLAIM=VALUE"},
		{auth.Rules{PlatformAdministrators: &auth.Condition{Claim: "a"}}, "--platform-administrators: the value of a is empty"},
		{auth.Rules{Required: []auth.Condition{{Value: "a"}}}, "has no claim"},
		{auth.Rules{Required: []auth.Condition{{Claim: "a"}}}, "--require: the value of a is empty"},
		{auth.Rules{Scope: &auth.Scope{}}, "speak for no customer"},
		{auth.Rules{Scope: &auth.Scope{Customers: []string{"*", "1"}}}, `"*" is neither`},
	} {
		c := only(auth.Issuer{Secret: secret, Rules: test.rules})
		if problems := c.Problems(); len(problems) != 1 || !strings.Contains(problems[0].Error(), test.says) {
			t.Errorf("%+v: %v, want %q", test.rules, problems, test.says)
		}
		if _, err := auth.NewVerifier(c); err == nil {
			t.Errorf("%+v: there is a verifier", test.rules)
		}
	}
	for _, text := range []string{"", "=", "a=", "=b", "a"} {
		if m, err := auth.ParseMapping(text); err == nil {
			t.Errorf("ParseMapping(%q) = %v", text, m)
		}
	}
	for _, text := range []string{"", "=b"} {
		if c, err := auth.ParseCondition(text); err == nil {
			t.Errorf("ParseCondition(%q) = %v", text, c)
		}
	}
	p := policy(t)
	mapped := only(auth.Issuer{Secret: secret, Rules: roles(auth.Claim{Map: []auth.Mapping{{Theirs: "a", Ours: "ROLE_USERS"}}})})
	if err := mapped.CheckRoles(p.Roles); err == nil || !strings.Contains(err.Error(), "ROLE_USERS") {
		t.Errorf("a mapping onto an unknown role: %v", err)
	}
}

// TestSignByRules checks that a token that Sign makes by rules gives its caller what was asked for.
func TestSignByRules(t *testing.T) {
	t.Parallel()
	p := policy(t)
	provider := providerRules()
	provider.Required = append(provider.Required, auth.Condition{Claim: "/realm/kind", Value: "user"})
	sharing := auth.Rules{
		Permissions: auth.Claim{Name: "/resource/roles"}, Authorities: auth.Claim{Name: "/resource/roles"},
		PlatformAdministrators: &auth.Condition{Claim: "/resource/roles", Value: "operator"}, Required: []auth.Condition{{Claim: "/resource/roles", Value: "user"}},
	}
	for name, test := range map[string]struct {
		rules  auth.Rules
		claims auth.Claims
		want   rights
	}{
		"a provider": {provider, auth.Claims{Customers: []string{"3393"}, Permissions: []auth.Permission{auth.PermissionRead, auth.PermissionWrite}, Authorities: []string{"ROLE_ADMIN"}},
			rights{rank: 3, sandbox: true, read: true, write: true, create: true, history: true, provisioning: true, seesAccessTokens: true}},
		"one place for two": {sharing, auth.Claims{Customers: []string{"3393"}, Permissions: []auth.Permission{auth.PermissionRead}, Authorities: []string{"ROLE_USER"}},
			rights{rank: 1, sandbox: true, read: true}},
		"administrator of the platform": {sharing, auth.Claims{Customers: []string{"*"}, Authorities: []string{"ROLE_ADMIN"}},
			rights{rank: 3, sandbox: true, elsewhere: true, platform: true, read: true, write: true, create: true, history: true, provisioning: true, seesAccessTokens: true}},
	} {
		test.claims.Subject, test.claims.UserID, test.claims.Expires, test.claims.Rules = "ada", &ada, 3600e9, test.rules
		token, err := auth.Sign(secret, test.claims, now)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		pr, err := newVerifier(t, only(auth.Issuer{Secret: secret, Rules: test.rules})).Verify([]string{"Bearer " + token})
		if err != nil {
			t.Errorf("%s: %v in %s", name, err, claimsOf(t, token))
			continue
		}
		if got := rightsOf(p, pr); got != test.want || *pr.Actor() != ada {
			t.Errorf("%s: %+v, want %+v, by %s", name, got, test.want, claimsOf(t, token))
		}
	}
	for name, test := range map[string]struct {
		claims auth.Claims
		says   string
	}{
		"no mapping":         {auth.Claims{Customers: []string{"3394"}}, `"3394" alone: add a mapping`},
		"a mapping too wide": {auth.Claims{Permissions: []auth.Permission{auth.PermissionRead}}, "alone: add a mapping"},
	} {
		test.claims.Subject, test.claims.Expires, test.claims.Rules = "ada", 3600e9, provider
		if token, err := auth.Sign(secret, test.claims, now); err == nil || token != "" || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
