package auth_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/dragoman-id/dragoman/server/auth"
)

func TestAuthorizationHeader(t *testing.T) {
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{{Secret: secret}}})
	token := signed(t, payload())
	tests := []struct {
		name   string
		values []string
		ok     bool
	}{
		{"as documented", []string{"Bearer " + token}, true},
		{"lower case", []string{"bearer " + token}, true},
		{"upper case", []string{"BEARER " + token}, true},
		{"several spaces", []string{"Bearer   " + token}, true},
		{"empty", []string{""}, false},
		{"two", []string{"Bearer " + token, "Bearer " + token}, false},
		{"two, one empty", []string{"Bearer " + token, ""}, false},
		{"two in one", []string{"Bearer " + token + ", Bearer " + token}, false},
		{"Basic", []string{"Basic YWRhOmFkYQ=="}, false},
		{"Basic with a token", []string{"Basic " + token}, false},
		{"scheme alone", []string{"Bearer"}, false},
		{"scheme and a space", []string{"Bearer "}, false},
		{"no scheme", []string{token}, false},
		{"tab", []string{"Bearer\t" + token}, false},
		{"no space", []string{"Bearer" + token}, false},
		{"leading space", []string{" Bearer " + token}, false},
		{"trailing space", []string{"Bearer " + token + " "}, false},
		{"line break in the signature", []string{"Bearer " + token[:len(token)-1] + "\n" + token[len(token)-1:]}, false},
		{"padding", []string{"Bearer " + token + "="}, false},
		{"quoted", []string{`Bearer "` + token + `"`}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			pr, err := v.Verify(test.values)
			if test.ok {
				if err != nil || pr.Subject != "ada" {
					t.Fatalf("Verify = %q, %v", pr.Subject, err)
				}
				return
			}
			wantUnauthenticated(t, pr, err, token)
			if errors.Is(err, auth.ErrTokenMissing) {
				t.Errorf("a header that is there is reported as missing")
			}
		})
	}

	for _, none := range [][]string{nil, {}} {
		pr, err := v.Verify(none)
		wantUnauthenticated(t, pr, err, token)
		if !errors.Is(err, auth.ErrTokenMissing) {
			t.Errorf("no header is not reported as missing but as %v", err)
		}
	}
}

func TestTokenForm(t *testing.T) {
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{{Secret: secret}}})
	good := signed(t, payload())
	parts := strings.Split(good, ".")
	hs256 := func(header, payload string) string {
		return forge(t, jwt.SigningMethodHS256, secret, header, payload)
	}
	for name, token := range map[string]string{
		"garbage":                  "canary",
		"no signature":             parts[0] + "." + parts[1],
		"empty signature":          parts[0] + "." + parts[1] + ".",
		"unsigned":                 segment(`{"alg":"none"}`) + "." + parts[1] + ".",
		"unsigned, with one":       segment(`{"alg":"none"}`) + "." + parts[1] + "." + parts[2],
		"four parts":               good + ".canary",
		"five parts, as JWE":       good + ".canary.canary",
		"another key":              forge(t, jwt.SigningMethodHS256, randomBytes(32), `{"alg":"HS256"}`, payload()),
		"another payload":          parts[0] + "." + segment(payload(`"customer_id":3393`)) + "." + parts[2],
		"another header":           segment(`{"alg":"HS256"}`) + "." + parts[1] + "." + parts[2],
		"HS384":                    forge(t, jwt.SigningMethodHS384, secret, `{"alg":"HS384"}`, payload()),
		"HS512":                    forge(t, jwt.SigningMethodHS512, secret, `{"alg":"HS512"}`, payload()),
		"alg in lower case":        hs256(`{"alg":"hs256"}`, payload()),
		"alg of another name":      hs256(`{"ALG":"HS256"}`, payload()),
		"alg unknown":              hs256(`{"alg":"canary"}`, payload()),
		"alg missing":              hs256(`{}`, payload()),
		"alg null":                 hs256(`{"alg":null}`, payload()),
		"alg a list":               hs256(`{"alg":["HS256"]}`, payload()),
		"alg twice, none last":     hs256(`{"alg":"HS256","alg":"none"}`, payload()),
		"header null":              hs256(`null`, payload()),
		"header a list":            hs256(`[]`, payload()),
		"header no JSON":           hs256(`{canary`, payload()),
		"header with more":         hs256(`{"alg":"HS256"} {}`, payload()),
		"crit":                     hs256(`{"alg":"HS256","crit":["exp"],"exp":1}`, payload()),
		"crit of nothing":          hs256(`{"alg":"HS256","crit":[]}`, payload()),
		"crit null":                hs256(`{"alg":"HS256","crit":null}`, payload()),
		"crit b64":                 hs256(`{"alg":"HS256","crit":["b64"],"b64":false}`, payload()),
		"claims null":              hs256(`{"alg":"HS256"}`, `null`),
		"claims a list":            hs256(`{"alg":"HS256"}`, `["canary"]`),
		"claims a string":          hs256(`{"alg":"HS256"}`, `"canary"`),
		"claims empty":             hs256(`{"alg":"HS256"}`, ``),
		"claims no JSON":           hs256(`{"alg":"HS256"}`, `{canary`),
		"claims with more":         hs256(`{"alg":"HS256"}`, payload()+` {}`),
		"claims in invalid UTF-8":  hs256(`{"alg":"HS256"}`, payload("\"canary\":\"\xff\"")),
		"claims, a lone surrogate": hs256(`{"alg":"HS256"}`, payload(`"canary":"\ud800"`)),
		"a claim twice":            hs256(`{"alg":"HS256"}`, payload(`"customer_id":3393`, `"customer_id":3394`)),
		"a claim twice, escaped":   hs256(`{"alg":"HS256"}`, payload(`"customer_id":3393`, `"customer\u005fid":3394`)),
		"a foreign claim twice":    hs256(`{"alg":"HS256"}`, payload(`"x":{"canary":1,"canary":1}`)),
		"too long":                 signed(t, payload(`"canary":"`+strings.Repeat("a", 16<<10)+`"`)),
	} {
		t.Run(name, func(t *testing.T) {
			pr, err := v.Verify([]string{"Bearer " + token})
			wantUnauthenticated(t, pr, err, token)
			if errors.Is(err, auth.ErrTokenExpired) || errors.Is(err, auth.ErrTokenMissing) {
				t.Errorf("reported as %v", err)
			}
		})
	}

	t.Run("the longest", func(t *testing.T) {
		longest, tooLong := "", ""
		for filler := 11000; tooLong == ""; filler++ {
			if token := signed(t, payload(`"x":"`+strings.Repeat("a", filler)+`"`)); len(token) <= 16<<10 {
				longest = token
			} else {
				tooLong = token
			}
		}
		if _, err := v.Verify([]string{"Bearer " + longest}); err != nil {
			t.Errorf("%d bytes: %v", len(longest), err)
		}
		pr, err := v.Verify([]string{"Bearer " + tooLong})
		wantUnauthenticated(t, pr, err, tooLong)
	})
	t.Run("unknown header members", func(t *testing.T) {
		token := hs256(`{"typ":"at+jwt","kid":"1","alg":"HS256","jku":"https://example.com"}`, payload())
		if _, err := v.Verify([]string{"Bearer " + token}); err != nil {
			t.Error(err)
		}
	})
}

func TestRegisteredClaims(t *testing.T) {
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{{Secret: secret}}})
	const (
		valid = iota
		invalid
		expired
	)
	second, ms := time.Second, time.Millisecond
	for _, test := range []struct {
		members string
		want    int
	}{
		{`"exp":` + at(time.Hour), valid},
		{`"exp":` + at(0), valid},
		{`"exp":` + at(-29*second), valid},
		{`"exp":` + at(-30*second+500*ms), valid}, // a fraction counts
		{`"exp":` + at(-30*second), expired},
		{`"exp":` + at(-30*second-500*ms), expired},
		{`"exp":` + at(-time.Hour), expired},
		{`"exp":0`, expired},
		{`"exp":-0`, expired},
		{`"exp":1e3`, expired},
		{`"exp":4.1e9`, valid},
		{`"exp":253402300799`, valid},
		{`"exp":253402300800`, invalid},
		{`"exp":1773500966000`, invalid}, // milliseconds
		{`"exp":1e400`, invalid},
		{`"exp":-1`, invalid},
		{`"exp":"` + at(time.Hour) + `"`, invalid},
		{`"exp":null`, invalid},
		{`"exp":true`, invalid},
		{`"exp":[` + at(time.Hour) + `]`, invalid},
		{`"exp":{}`, invalid},

		{`"nbf":` + at(0), valid},
		{`"nbf":` + at(30*second), valid},
		{`"nbf":` + at(30*second+500*ms), invalid},
		{`"nbf":` + at(time.Hour), invalid},
		{`"nbf":null`, invalid},
		{`"nbf":"0"`, invalid},
		{`"iat":` + at(-time.Hour), valid},
		{`"iat":` + at(30*second), valid},
		{`"iat":` + at(31*second), invalid},
		{`"iat":null`, invalid},
		{`"iat":"0"`, invalid},

		{`"sub":"a"`, valid},
		{`"sub":"94520740-d63c-4e02-85ca-c4e138801e73"`, valid},
		{`"sub":""`, invalid},
		{`"sub":null`, invalid},
		{`"sub":1`, invalid},
		{`"sub":["ada"]`, invalid},
		{`"sub":"a\u0000b"`, invalid},

		// Not checked, as none is configured, but of the right type.
		{`"iss":"https://id.example.com","aud":["a","b"]`, valid},
		{`"iss":null`, invalid},
		{`"iss":1`, invalid},
		{`"aud":null`, invalid},
		{`"aud":[1]`, invalid},

		// Expired is not the only fault.
		{`"exp":0,"nbf":` + at(time.Hour), invalid},
		{`"exp":0,"sub":""`, invalid},
		{`"exp":0,"customer_id":null`, invalid},

		// Other claims are ignored, and names match exactly.
		{`"jti":null,"EXP":0,"Sub":1,"Customer_ID":null`, valid},
	} {
		t.Run(test.members, func(t *testing.T) {
			token := signed(t, payload(test.members))
			pr, err := v.Verify([]string{"Bearer " + token})
			if test.want == valid {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantUnauthenticated(t, pr, err, token)
			if errors.Is(err, auth.ErrTokenExpired) != (test.want == expired) {
				t.Errorf("error %v", err)
			}
		})
	}

	for name, payload := range map[string]string{
		"no exp": `{"sub":"ada"}`,
		"no sub": `{"exp":` + at(time.Hour) + `}`,
		"none":   `{}`,
	} {
		t.Run(name, func(t *testing.T) {
			token := signed(t, payload)
			pr, err := v.Verify([]string{"Bearer " + token})
			wantUnauthenticated(t, pr, err, token)
		})
	}
}

func TestIssuerAndAudience(t *testing.T) {
	both := newVerifier(t, only(auth.Issuer{Secret: secret, Rules: rulesFor("https://id.example.com", "dragoman")}))
	for members, ok := range map[string]bool{
		`"iss":"https://id.example.com","aud":"dragoman"`:           true,
		`"iss":"https://id.example.com","aud":["other","dragoman"]`: true,
		`"iss":"https://id.example.com/","aud":"dragoman"`:          false,
		`"iss":"https://canary.example.com","aud":"dragoman"`:       false,
		`"iss":"","aud":"dragoman"`:                                 false,
		`"iss":["https://id.example.com"],"aud":"dragoman"`:         false,
		`"aud":"dragoman"`:                                            false,
		`"iss":"https://id.example.com"`:                              false,
		`"iss":"https://id.example.com","aud":"canary"`:               false,
		`"iss":"https://id.example.com","aud":"Dragoman"`:             false,
		`"iss":"https://id.example.com","aud":""`:                     false,
		`"iss":"https://id.example.com","aud":[]`:                     false,
		`"iss":"https://id.example.com","aud":["canary"]`:             false,
		`"iss":"https://id.example.com","aud":["dragoman",1]`:         false,
		`"iss":"https://canary.example.com","aud":"canary","exp":0`:   false,
		`"iss":"https://id.example.com","aud":"canary","exp":0`:       false,
		`"iss":"https://id.example.com","exp":0`:                      false,
		`"iss":"https://canary.example.com","aud":"dragoman","exp":0`: false,
	} {
		token := signed(t, payload(members))
		pr, err := both.Verify([]string{"Bearer " + token})
		if ok {
			if err != nil {
				t.Errorf("%s: %v", members, err)
			}
			continue
		}
		wantUnauthenticated(t, pr, err, token)
		// Only a token without another fault is reported as expired.
		if errors.Is(err, auth.ErrTokenExpired) {
			t.Errorf("%s: reported as expired", members)
		}
	}

	issuer := newVerifier(t, only(auth.Issuer{Secret: secret, Rules: rulesFor("https://id.example.com", "")}))
	if _, err := issuer.Verify([]string{"Bearer " + signed(t, payload(`"iss":"https://id.example.com"`))}); err != nil {
		t.Errorf("issuer alone: %v", err)
	}
	audience := newVerifier(t, only(auth.Issuer{Secret: secret, Rules: rulesFor("", "dragoman")}))
	if _, err := audience.Verify([]string{"Bearer " + signed(t, payload(`"aud":"dragoman"`))}); err != nil {
		t.Errorf("audience alone: %v", err)
	}
}

func TestClaimShapes(t *testing.T) {
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{{Secret: secret}}})
	const id = `"94520740-d63c-4e02-85ca-c4e138801e73"`
	for _, test := range []struct {
		name string
		ok   []string
		bad  []string
	}{
		{
			"custom:id",
			[]string{id, `"94520740-D63C-4E02-85CA-C4E138801E73"`},
			[]string{`null`, `""`, `1`, `true`, `{}`, `[` + id + `]`, `"ada"`, `"{94520740-d63c-4e02-85ca-c4e138801e73}"`,
				`"94520740d63c4e0285cac4e138801e73"`, `"urn:uuid:94520740-d63c-4e02-85ca-c4e138801e73"`,
				`"00000000-0000-0000-0000-000000000000"`},
		},
		{
			"customer_id",
			[]string{`3393`, `"3393"`, id, `[]`, `[3393]`, `["3393",3394,` + id + `]`, `9223372036854775807`, `"9223372036854775807"`,
				`9007199254740993`, `[3393,3393]`, `"*"`},
			[]string{`null`, `[null]`, `[3393,null]`, `[[3393]]`, `""`, `[""]`, `["*"]`, `["*","*"]`, `["*",3393]`, `[3393,"*"]`, `[["*"]]`, `"* "`, `" *"`, `"**"`, `"*,3393"`, `"all"`, `{"*":true}`, `true`, `{}`, `{"id":3393}`, `0`, `"0"`, `-1`, `"-1"`,
				`"+1"`, `" 3393"`, `"3393 "`, `"3393,3394"`, `33.5`, `3393.0`, `3.393e3`, `"0x10"`, `"1_000"`, `"٣"`,
				`9223372036854775808`, `"9223372036854775808"`, `"94520740d63c4e0285cac4e138801e73"`,
				`"urn:uuid:94520740-d63c-4e02-85ca-c4e138801e73"`, `"00000000-0000-0000-0000-000000000000"`},
		},
		{
			"permissions",
			[]string{`[]`, `"customer_user:read"`, `["customer_user:read","x"]`, `""`},
			[]string{`null`, `[null]`, `1`, `[1]`, `true`, `{}`, `[["customer_user:read"]]`, `{"customer_user:read":true}`},
		},
		{
			"authorities",
			[]string{`[]`, `"ROLE_ADMIN"`, `["ROLE_ADMIN","x"]`, `""`},
			[]string{`null`, `[null]`, `1`, `[1]`, `true`, `{}`, `[["ROLE_ADMIN"]]`, `[{"name":"ROLE_ADMIN"}]`},
		},
	} {
		for _, value := range test.ok {
			if _, err := v.Verify([]string{"Bearer " + signed(t, payload(`"`+test.name+`":`+value))}); err != nil {
				t.Errorf("%s %s: %v", test.name, value, err)
			}
		}
		for _, value := range test.bad {
			token := signed(t, payload(`"`+test.name+`":`+value))
			pr, err := v.Verify([]string{"Bearer " + token})
			if err == nil {
				t.Errorf("%s %s: accepted", test.name, value)
				continue
			}
			wantUnauthenticated(t, pr, err, token)
			if !strings.Contains(err.Error(), test.name) {
				t.Errorf("%s %s: error %v does not say which claim", test.name, value, err)
			}
		}
	}
}

func TestClaimNames(t *testing.T) {
	v := newVerifier(t, only(auth.Issuer{Secret: secret, Rules: auth.Rules{
		UserID: "uid", Customers: auth.Claim{Name: "https://example.com/tenants"}, Permissions: auth.Claim{Name: "scp"}, Authorities: auth.Claim{Name: "roles"},
	}}))
	token := signed(t, payload(`"uid":"`+ada.String()+`"`, `"https://example.com/tenants":3393`, `"scp":"customer_user:read"`,
		`"roles":"ROLE_USER"`, `"custom:id":null`, `"customer_id":null`, `"permissions":null`, `"authorities":null`))
	pr, err := v.Verify([]string{"Bearer " + token})
	if err != nil {
		t.Fatal(err)
	}
	p := policy(t)
	if a := pr.Actor(); a == nil || *a != ada || !p.Covers(pr, sandbox) || p.Covers(pr, elsewhere) ||
		!p.Permits(pr, auth.PermissionRead) || p.Rank(pr) != 1 {
		t.Errorf("the configured claims were not read: %+v", pr)
	}

	pr, err = v.Verify([]string{"Bearer " + signed(t, payload(`"uid":"`+ada.String()+`"`, `"customer_id":3393`, `"permissions":"customer_user:read"`))})
	if err != nil || p.Covers(pr, sandbox) || p.Permits(pr, auth.PermissionRead) {
		t.Errorf("the default claims were read: %+v, %v", pr, err)
	}

	// Who would be nobody under a misspelled name is refused.
	token = signed(t, payload(`"custom:id":"`+ada.String()+`"`, `"https://example.com/tenants":3393`))
	pr, err = v.Verify([]string{"Bearer " + token})
	wantUnauthenticated(t, pr, err, token)
}

func TestActor(t *testing.T) {
	grace := uuid.MustParse("0b6f8f7e-7a3b-4d59-9c6a-54c5e3c1b7aa")
	for _, test := range []struct {
		members string
		want    *uuid.UUID
	}{
		{`"sub":"ada"`, nil},
		{`"sub":"94520740d63c4e0285cac4e138801e73"`, nil},
		{`"sub":"00000000-0000-0000-0000-000000000000"`, nil},
		{`"sub":"` + grace.String() + `"`, &grace},
		{`"sub":"ada","custom:id":"` + ada.String() + `"`, &ada},
		{`"sub":"` + grace.String() + `","custom:id":"` + ada.String() + `"`, &ada},
	} {
		got := principal(t, test.members).Actor()
		if (got == nil) != (test.want == nil) || got != nil && *got != *test.want {
			t.Errorf("%s: actor %v, want %v", test.members, got, test.want)
		}
	}
	if (auth.Principal{}).Actor() != nil {
		t.Error("the zero Principal has an actor")
	}
}

// TestChangedTokenIsRefused checks that a token has one encoding: with any byte changed it is refused.
func TestChangedTokenIsRefused(t *testing.T) {
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{{Secret: secret}}})
	token := signed(t, payload(`"customer_id":3393`))
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.= \n"
	for i := range token {
		for _, c := range []byte(alphabet) {
			if token[i] == c {
				continue
			}
			changed := token[:i] + string(c) + token[i+1:]
			if _, err := v.Verify([]string{"Bearer " + changed}); !errors.Is(err, auth.ErrUnauthenticated) {
				t.Fatalf("byte %d as %q: %v", i, c, err)
			}
		}
	}
}

// TestAnySignedClaims checks that Verify does not panic for any payload that a trusted issuer signs, and that a principal has a
// subject and administers the platform only by the right claims.
func TestAnySignedClaims(t *testing.T) {
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{{Secret: secret}}})
	p := policy(t)
	scalars := rapid.SampledFrom([]any{
		nil, true, 0, 1, -1, 3393, 1.5, 1e300, now.Unix(), now.Add(time.Hour).Unix(), math.MaxInt64, "", "ada", "3393", ada.String(),
		"customer_user:write", "ROLE_ADMIN", "ROLE_COMPANY_ADMIN", "*", "* ",
	})
	values := rapid.OneOf(scalars, rapid.Map(rapid.SliceOfN(scalars, 0, 3), func(s []any) any { return s }),
		rapid.Map(rapid.MapOfN(rapid.StringN(0, 3, 3), scalars, 0, 2), func(m map[string]any) any { return m }))
	names := rapid.SampledFrom([]string{"exp", "nbf", "iat", "iss", "aud", "sub", "custom:id", "customer_id", "permissions", "authorities", "x"})
	rapid.Check(t, func(r *rapid.T) {
		claims := map[string]any{}
		if rapid.Bool().Draw(r, "valid") {
			claims["sub"], claims["exp"] = "ada", now.Add(time.Hour).Unix()
		}
		for name, value := range rapid.MapOfN(names, values, 0, 6).Draw(r, "claims") {
			claims[name] = value
		}
		text, err := json.Marshal(claims)
		if err != nil {
			r.Fatal(err)
		}
		pr, err := v.Verify([]string{"Bearer " + signed(t, string(text))})
		if err != nil {
			wantUnauthenticated(t, pr, err, "")
			return
		}
		_, hasExp := claims["exp"]
		if pr.Subject == "" || pr.Subject != claims["sub"] || !hasExp {
			r.Fatalf("%s accepted for %q", text, pr.Subject)
		}
		if p.PlatformAdministrator(pr) && (claims["customer_id"] != "*" || !strings.Contains(string(text), "ROLE_ADMIN")) {
			r.Fatalf("%s administers the platform", text)
		}
	})
}
