package cli

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/alecthomas/kong"
	"github.com/golang-jwt/jwt/v5"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/server/settings"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// provider is how an identity provider's tokens are read, and tokens of callers with various rights there.
type provider struct {
	name   string
	flags  []string
	typ    string
	claims jwt.MapClaims   // of all tokens
	tokens []jwt.MapClaims // what is in them besides
}

const sandboxID = "2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1"

// providers are configured by every flag that says what a token means. TestMisspelledSettings checks that.
var providers = []provider{
	{
		name: "keycloak",
		flags: []string{
			"--issuer=https://sso.example.com/realms/acme", "--audience=dragoman,other", "--require=typ=Bearer,azp", "--token-type=access",
			"--claim-authorities=/resource_access/dragoman/roles", "--claim-permissions=/resource_access/dragoman/roles",
			"--claim-customers=organization", "--customers-form=keys", "--map-customers=acme=" + sandboxID + ",other=3394",
			"--platform-administrators=/realm_access/roles=operator",
		},
		typ:    "at+jwt",
		claims: jwt.MapClaims{"iss": "https://sso.example.com/realms/acme", "aud": []string{"account", "dragoman"}, "typ": "Bearer", "azp": "spa"},
		tokens: []jwt.MapClaims{
			{},
			{"organization": jwt.MapClaims{"acme": jwt.MapClaims{}}, "resource_access": jwt.MapClaims{"dragoman": jwt.MapClaims{"roles": []string{"ROLE_ADMIN"}}}},
			{"organization": jwt.MapClaims{"acme": jwt.MapClaims{}}, "resource_access": jwt.MapClaims{"dragoman": jwt.MapClaims{"roles": []string{"customer_user:write"}}}},
			{"realm_access": jwt.MapClaims{"roles": []string{"operator"}}, "resource_access": jwt.MapClaims{"dragoman": jwt.MapClaims{"roles": []string{"ROLE_ADMIN"}}}},
			{"realm_access": jwt.MapClaims{"roles": []string{"operator"}}},
			{"organization": jwt.MapClaims{"other": jwt.MapClaims{}}, "resource_access": jwt.MapClaims{"dragoman": jwt.MapClaims{"roles": []string{"ROLE_COMPANY_ADMIN"}}}},
			{"typ": "ID", "organization": jwt.MapClaims{"acme": jwt.MapClaims{}}, "resource_access": jwt.MapClaims{"dragoman": jwt.MapClaims{"roles": []string{"ROLE_ADMIN"}}}},
		},
	},
	{
		name: "cognito",
		flags: []string{
			"--issuer=https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab", "--audience-claim=client_id", "--audience=57cb", "--require=token_use=access",
			"--claim-authorities=cognito:groups", "--map-authorities=admins=ROLE_ADMIN,viewers=ROLE_USER", "--claim-permissions=scope", "--permissions-form=words",
			"--map-permissions=dragoman/read=customer_user:read,dragoman/write=customer_user:write", "--claim-customers=/ext/customer", "--claim-user-id=username",
			"--missing-claims=empty",
		},
		claims: jwt.MapClaims{"iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab", "client_id": "57cb", "token_use": "access", "username": servertest.AdaUUID},
		tokens: []jwt.MapClaims{
			{"scope": "openid dragoman/write", "ext": jwt.MapClaims{"customer": 3393}},
			{"scope": "openid dragoman/write", "ext": jwt.MapClaims{"customer": 3393}, "cognito:groups": []string{"viewers"}},
			{"scope": "openid dragoman/read", "ext": jwt.MapClaims{"customer": 3393}, "cognito:groups": []string{"admins", "ROLE_ADMIN"}},
			{"scope": "customer_user:write", "customer_id": "*", "authorities": "ROLE_ADMIN"},
			{"cognito:groups": []string{"admins"}},
		},
	},
	{
		name: "zitadel",
		flags: []string{
			"--issuer=https://acme.zitadel.cloud", "--audience=2888", "--claim-authorities=urn:zitadel:iam:org:project:2888:roles", "--authorities-form=keys-by-customer",
			"--claim-customers=urn:zitadel:iam:user:resourceowner:id", "--map-customers=2801=3393,2802=3394",
		},
		claims: jwt.MapClaims{"iss": "https://acme.zitadel.cloud", "aud": []string{"2890", "2888"}},
		tokens: []jwt.MapClaims{
			{"urn:zitadel:iam:user:resourceowner:id": "2801", "urn:zitadel:iam:org:project:2888:roles": jwt.MapClaims{"ROLE_ADMIN": jwt.MapClaims{"2802": ""}}},
			{"urn:zitadel:iam:user:resourceowner:id": "2801", "urn:zitadel:iam:org:project:2888:roles": jwt.MapClaims{"ROLE_COMPANY_ADMIN": jwt.MapClaims{"2801": ""}}},
			{"urn:zitadel:iam:user:resourceowner:id": []string{"2801", "2802"}, "urn:zitadel:iam:org:project:2888:roles": jwt.MapClaims{"ROLE_ADMIN": jwt.MapClaims{"2801": ""}}},
			{"urn:zitadel:iam:org:project:2888:roles": jwt.MapClaims{"ROLE_ADMIN": jwt.MapClaims{"2802": ""}}, "permissions": "customer_user:write"},
			{"urn:zitadel:iam:user:resourceowner:id": "3393", "permissions": "customer_user:write"},
		},
	},
	{
		name:   "Worth's names",
		flags:  []string{"--issuer=worth", "--audience=dragoman", "--claim-user-id=custom:id", "--claim-customers=customer_id", "--claim-permissions=permissions", "--claim-authorities=authorities"},
		claims: jwt.MapClaims{"iss": "worth", "aud": "dragoman", "custom:id": servertest.AdaUUID},
		tokens: []jwt.MapClaims{
			{"customer_id": "*", "authorities": "ROLE_ADMIN"},
			{"customer_id": "*", "permissions": "customer_user:write"},
			{"authorities": "ROLE_ADMIN"},
			{"customer_id": 3393, "permissions": "customer_user:write"},
			{"customer_id": 3393, "permissions": "customer_user:write", "authorities": []string{}},
			{"customer_id": 3393, "authorities": "ROLE_USER", "permissions": "customer_user:write"},
		},
	},
}

// rightsOf lists what the callers of a provider's tokens may do under the flags; nil if the flags are rejected.
func rightsOf(t *testing.T, p provider, f issuerFlags, roles auth.Policy, tokens []string) [][]string {
	t.Helper()
	issuer, err := f.issuer()
	if err != nil {
		return nil
	}
	config := auth.Config{Issuers: []auth.Issuer{issuer}, Log: slog.New(slog.DiscardHandler)}
	if config.CheckRoles(roles.Roles) != nil {
		return nil
	}
	v, err := auth.NewVerifier(config)
	if err != nil {
		return nil
	}
	defer v.Close()
	all := make([][]string, len(tokens))
	for i, token := range tokens {
		caller, err := v.Verify([]string{"Bearer " + token})
		if err != nil {
			continue
		}
		may := map[string]bool{
			"be read": true, "administer the platform": roles.PlatformAdministrator(caller), "span customers": roles.MaySpanCustomers(caller),
			"use the sandbox": roles.CoversID(caller, 3393) || roles.CoversUUID(caller, servertest.SandboxUUID), "use another customer": roles.CoversID(caller, 3394),
			"read": roles.Permits(caller, auth.PermissionRead), "write": roles.Permits(caller, auth.PermissionWrite), "create": roles.Permits(caller, auth.PermissionCreate),
			"see the history": roles.Permits(caller, auth.PermissionHistory), "erase": roles.Permits(caller, auth.PermissionErase),
		}
		// A caller who is no user cannot be an inactive one.
		_, isUser := caller.UserID()
		may["write as nobody"] = !isUser
		for rank := range roles.Rank(caller) {
			may[fmt.Sprintf("have rank %d", rank+1)] = true
		}
		for what, allowed := range may {
			if allowed {
				all[i] = append(all[i], what)
			}
		}
	}
	return all
}

// misspellings returns texts that differ from a text by one character, and it as a JSON Pointer.
func misspellings(text string) (wrong []string) {
	runes := []rune(text)
	for i, r := range runes {
		other := unicode.ToUpper(r)
		if other == r {
			other = unicode.ToLower(r)
		}
		wrong = append(wrong, string(runes[:i])+string(runes[i+1:]), string(runes[:i])+"x"+string(runes[i:]), string(runes[:i])+string(other)+string(runes[i+1:]))
	}
	return append(wrong, text+"x", text+"/", "/"+text)
}

// TestMisspelledSettings misspells each setting about tokens in turn, and checks that no caller gains anything by that: no
// customer, no permission, no rank, and no administration of the platform.
func TestMisspelledSettings(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, "sqlite:"+t.TempDir()+"/users.db")
	roles := auth.Policy{Roles: s.Catalogue()}
	var names []string
	misspelled := map[string]int{}
	for _, p := range providers {
		var flags struct{ issuerFlags }
		parser, err := kong.New(&flags, settings.New("serve").Options()...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse(append(p.flags, "--jwt-secret="+secretOfTokens)); err != nil {
			t.Fatal(err)
		}
		var tokens []string
		for _, claims := range p.tokens {
			tokens = append(tokens, p.token(t, claims))
		}
		right := rightsOf(t, p, flags.issuerFlags, roles, tokens)
		if right == nil || !slices.ContainsFunc(right, func(may []string) bool { return len(may) > 4 }) {
			t.Fatalf("%s: the settings are wrong: %v", p.name, right)
		}
		for _, flag := range parser.Model.Flags {
			if flag.Target.Kind() == reflect.Bool || slices.Contains([]string{"jwt-secret", "jwt-public-key-file", "jwks-url", "jwks-max-age", "jwks-refresh", "idp"}, flag.Name) {
				continue // not about what is in a token, or one of a few names
			}
			names = append(names, flag.Name)
			for _, text := range textsOf(flag.Target) {
				correct := *text
				if correct == "" || flag.Name == "token-type" && !slices.Contains(p.flags, "--token-type="+correct) {
					continue
				}
				for _, *text = range misspellings(correct) {
					misspelled[flag.Name]++
					for i, may := range rightsOf(t, p, flags.issuerFlags, roles, tokens) {
						for _, what := range may {
							if !slices.Contains(right[i], what) {
								t.Errorf("%s: with --%s=%s the caller of %v may %s", p.name, flag.Name, *text, p.tokens[i], what)
							}
						}
					}
				}
				*text = correct
			}
		}
	}
	for _, name := range names {
		if misspelled[name] == 0 {
			t.Errorf("no provider of this test sets --%s, so that it is not misspelled: add it to providers", name)
		}
	}
}

// token signs claims.
func (p provider) token(t *testing.T, claims jwt.MapClaims) string {
	t.Helper()
	all := jwt.MapClaims{"sub": "jo", "exp": time.Now().Add(time.Hour).Unix()}
	for _, more := range []jwt.MapClaims{p.claims, claims} {
		for name, value := range more {
			all[name] = value
		}
	}
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, all)
	if p.typ != "" {
		token.Header["typ"] = p.typ
	}
	text, err := token.SignedString([]byte(secretOfTokens))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// textsOf returns the texts in a flag's value.
func textsOf(v reflect.Value) (texts []*string) {
	if v.Kind() == reflect.String {
		return []*string{v.Addr().Interface().(*string)}
	}
	for i := range v.Len() {
		texts = append(texts, v.Index(i).Addr().Interface().(*string))
	}
	return texts
}

// TestSettingClaimsEndsLegacy checks that a caller without roles, who is a manager by Worth's rules, is none as soon as a flag says what a
// claim means.
func TestSettingClaimsEndsLegacy(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, "sqlite:"+t.TempDir()+"/users.db")
	roles := auth.Policy{Roles: s.Catalogue()}
	p := provider{claims: jwt.MapClaims{"permissions": "customer_user:write", "customer_id": 3393}}
	tokens := []string{p.token(t, nil)}
	const rank = "have rank 2"
	if may := rightsOf(t, p, issuerFlags{tokenFlags: tokenFlags{JWTSecret: secretOfTokens}}, roles, tokens); may == nil || !slices.Contains(may[0], rank) {
		t.Errorf("without settings: %v", may)
	}
	for _, setting := range strings.Fields("--claim-user-id=custom:id --claim-customers=customer_id --claim-permissions=permissions --claim-authorities=authorities --claim-authorities=/authorities " +
		"--customers-form=list --permissions-form=list --authorities-form=list --map-customers=1=3393 --map-permissions=customer_user:write=customer_user:write --map-authorities=a=ROLE_USER") {
		var flags struct{ issuerFlags }
		parser, err := kong.New(&flags, settings.New("serve").Options()...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse([]string{"--jwt-secret=" + secretOfTokens, setting}); err != nil {
			t.Fatal(err)
		}
		may := rightsOf(t, p, flags.issuerFlags, roles, tokens)
		if may == nil || slices.Contains(may[0], rank) {
			t.Errorf("%s: %v", setting, may)
		}
		flags.MissingClaims = "legacy"
		if may := rightsOf(t, p, flags.issuerFlags, roles, tokens); may != nil {
			t.Errorf("%s is accepted beside --missing-claims=legacy", setting)
		}
	}
}

// TestEmptySettingsOfTokens gives each setting about what tokens must have an empty text. Left out, some of them permit more than any
// value does.
func TestEmptySettingsOfTokens(t *testing.T) {
	t.Parallel()
	var flags struct{ issuerFlags }
	parser, err := kong.New(&flags, settings.New("serve").Options()...)
	if err != nil {
		t.Fatal(err)
	}
	var names, arguments, variables []string
	var file, item strings.Builder
	for _, flag := range parser.Model.Flags {
		if flag.Target.Kind() == reflect.Bool || slices.Contains([]string{"jwt-secret", "jwt-public-key-file", "jwks-url", "jwks-max-age", "jwks-refresh"}, flag.Name) {
			continue // not about what is in a token, or without a default that permits more
		}
		names = append(names, flag.Name)
		arguments = append(arguments, "--"+flag.Name+"=")
		variables = append(variables, settings.Prefix+"_"+strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))+"=")
		fmt.Fprintf(&file, "%s: ''\n", flag.Name)
		fmt.Fprintf(&item, "    %s: ''\n", flag.Name)
	}
	for _, flag := range []string{"map-authorities", "require", "audience"} {
		if !slices.Contains(names, flag) {
			t.Fatalf("--%s is not tested", flag)
		}
	}
	refused := func(source string, want []string, variables []string, args ...string) {
		dir := t.TempDir()
		for name, content := range map[string]string{"empty.yaml": file.String(), "issuers.yaml": "issuers:\n  - customers: ['3393']\n" + item.String()} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		status, _, problems := configured(t, dir, variables, "", append([]string{"config"}, args...)...)
		if status == 0 {
			t.Errorf("%s: accepted", source)
		}
		for _, name := range want {
			if !strings.Contains(problems, name+" ") {
				t.Errorf("%s: nothing is said of %s: %s", source, name, problems)
			}
		}
	}
	refused("the file", names, nil, "--config=empty.yaml")
	refused("an item of issuers", names, nil, "--config=issuers.yaml")
	var called []string
	for _, v := range variables {
		called = append(called, strings.TrimSuffix(v, "="))
	}
	refused("variables", called, variables)
	for i, argument := range arguments {
		refused(argument, []string{"--" + names[i]}, nil, argument)
	}
}
