package cli

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/settings"
	"github.com/dragoman-id/dragoman/store"
	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// The tokens below have the shapes that each provider documents, with invented values. "ISSUER" stands for the test's provider.

type object = map[string]any

// providerTest is a provider, the flags with which a reader of the guide configures it, and its tokens.
type providerTest struct {
	idp    string
	issuer string   // the path of the issuer
	flags  []string // besides --idp and --issuer
	header object   // besides alg and kid
	// jwk are members of every published key, besides those of the key itself.
	jwk object
	// ahead is whether the next key is published before it signs.
	ahead bool

	user, machine object // payloads without exp and iat
	idToken       object // members of the user's ID token that differ; nil for one that is absent
	cases         []tokenCase
}

// tokenCase is a token that differs from the user's, or the machine's, and what the caller may do.
type tokenCase struct {
	name    string
	machine bool
	members object // members that differ; nil for one that is absent
	header  object
	flags   []string
	want    callerRights
	fault   auth.TokenFault // if the token is refused
}

// callerRights are what a caller may do in the customer of the tests.
type callerRights struct {
	covers, read, write bool
	rank                int
}

var (
	asAdministrator = callerRights{covers: true, read: true, write: true, rank: 2}
	asReader        = callerRights{covers: true, read: true}
	asWriter        = callerRights{covers: true, read: true, write: true}
	asMember        = callerRights{covers: true} // of the customer, without roles
)

// ownCustomer is the customer of the tests, and ownUUID its UUID.
var ownCustomer = store.Customer{ID: 3393, UUID: uuid.MustParse(ownUUID)}

const ownUUID = "2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1"

// absent removes a member.
var absent any

var providerTests = []providerTest{
	{
		idp: "keycloak", issuer: "/realms/acme", flags: []string{"--audience=dragoman", "--map-customers=acme=" + ownUUID},
		header: object{"typ": "JWT"}, jwk: object{"alg": "RS256", "use": "sig"},
		user: object{
			"iss": "ISSUER", "sub": "7f1c2a58-07a5-4b1b-9d0c-9f2b3c6d1e11", "typ": "Bearer", "azp": "spa", "sid": "Rr", "aud": []string{"dragoman", "account"},
			"realm_access":    object{"roles": []string{"offline_access"}},
			"resource_access": object{"dragoman": object{"roles": []string{"ROLE_COMPANY_ADMIN"}}, "account": object{"roles": []string{"view-profile"}}},
			"scope":           "openid email organization", "organization": []string{"acme"}, "preferred_username": "grace",
		},
		machine: object{
			"iss": "ISSUER", "sub": "e41e5f84-7926-4d25-95d2-421aebb0500a", "typ": "Bearer", "azp": "job", "client_id": "job", "aud": "dragoman",
			"resource_access": object{"dragoman": object{"roles": []string{"customer_user:read"}}},
			"scope":           "organization", "organization": []string{"acme"}, "preferred_username": "service-account-job",
		},
		idToken: object{"typ": "ID", "aud": "spa", "at_hash": "pqk", "resource_access": absent},
		cases: []tokenCase{
			{name: "an ID token for this audience", members: object{"typ": "ID"}, fault: auth.FaultClaims},
			{name: "a refresh token", members: object{"typ": "Refresh"}, fault: auth.FaultClaims},
			{name: "without roles", members: object{"resource_access": absent}, want: asMember},
			{name: "with roles of another client", members: object{"resource_access": object{"spa": object{"roles": []string{"ROLE_ADMIN"}}}}, want: asMember},
			{name: "with roles of the realm", members: object{"resource_access": absent, "realm_access": object{"roles": []string{"ROLE_ADMIN"}}}, want: asMember},
			{name: "without the scope organization", members: object{"organization": absent}, want: callerRights{read: true, write: true, rank: 2}},
			{name: "a foreign organization", members: object{"organization": []string{"globex"}}, want: callerRights{read: true, write: true, rank: 2}},
			{name: "an organization in other letters", members: object{"organization": []string{"ACME"}}, want: callerRights{read: true, write: true, rank: 2}},
			{name: "an organization named by its id here", members: object{"organization": []string{ownUUID}}, want: callerRights{read: true, write: true, rank: 2}},
			{name: "all organizations", members: object{"organization": "*"}, want: callerRights{read: true, write: true, rank: 2}},
			{name: "organizations with ids", members: object{"organization": object{"acme": object{"id": "42"}}}, fault: auth.FaultClaims},
			{name: "organizations with ids, as configured", members: object{"organization": object{"acme": object{"id": "42"}}}, flags: []string{"--customers-form=keys"}, want: asAdministrator},
			{name: "as at+jwt", header: object{"typ": "at+jwt"}, want: asAdministrator},
			{name: "a logout token", header: object{"typ": "logout+jwt"}, fault: auth.FaultType},
			{name: "aud is account alone", members: object{"aud": "account"}, fault: auth.FaultAudience},
			{name: "without sub, which the scope basic has", members: object{"sub": absent}, fault: auth.FaultClaims},
			{name: "another realm", members: object{"iss": "ISSUER2"}, fault: auth.FaultIssuer},
			{name: "a client with a writer's role", machine: true, members: object{"resource_access": object{"dragoman": object{"roles": []string{"customer_user:write", "customer_user:read"}}}}, want: asWriter},
			{name: "a client without roles", machine: true, members: object{"resource_access": absent}, want: asMember},
			{name: "another condition", members: object{"typ": "ID"}, flags: []string{"--require=azp=spa"}, fault: auth.FaultClaims},
		},
	},
	{
		idp: "entra", issuer: "/72aa0d83-624a-4ebf-a683-1b9b45548610/v2.0",
		flags:  []string{"--audience=1c0f6c5d-3a2f-4d5e-9a57-0c3a6c1d2b10", "--map-customers=72aa0d83-624a-4ebf-a683-1b9b45548610=" + ownUUID},
		header: object{"typ": "JWT"}, jwk: object{"use": "sig", "issuer": "https://login.microsoftonline.com/72aa0d83-624a-4ebf-a683-1b9b45548610/v2.0", "x5t": "nOo3"}, ahead: true,
		user: object{
			"ver": "2.0", "iss": "ISSUER", "aud": "1c0f6c5d-3a2f-4d5e-9a57-0c3a6c1d2b10", "azp": "9b1e0d0c-8b0a-4f0b-b8a5-3d2c1b0a9f88", "azpacr": "0",
			"tid": "72aa0d83-624a-4ebf-a683-1b9b45548610", "oid": "5d2e1f30-0a9b-4c8d-8e7f-6a5b4c3d2e1f", "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
			"scp": "access_as_user", "roles": []string{"ROLE_COMPANY_ADMIN", "customer_user:read"}, "rh": "0.A", "uti": "aa", "name": "Grace",
		},
		machine: object{
			"ver": "2.0", "iss": "ISSUER", "aud": "1c0f6c5d-3a2f-4d5e-9a57-0c3a6c1d2b10", "azp": "0aa1b2c3-0d0e-4f0a-8b1c-2d3e4f5a6b7c", "azpacr": "1",
			"tid": "72aa0d83-624a-4ebf-a683-1b9b45548610", "oid": "a0b1c2d3-e4f5-4a6b-8c7d-9e8f7a6b5c4d", "sub": "a0b1c2d3-e4f5-4a6b-8c7d-9e8f7a6b5c4d", "idtyp": "app",
			"roles": []string{"customer_user:read"},
		},
		// The SPA and the API may be one registration, and then the audience is the same.
		idToken: object{"azp": absent, "azpacr": absent, "scp": absent, "nonce": "n", "preferred_username": "grace@example.com"},
		cases: []tokenCase{
			{name: "without roles", members: object{"roles": absent}, want: asMember},
			{name: "a client without roles", machine: true, members: object{"roles": absent}, want: asMember},
			{name: "too many groups, which are not read", members: object{"_claim_names": object{"groups": "src1"}, "_claim_sources": object{"src1": object{"endpoint": "https://graph.example.com"}}}, want: asAdministrator},
			{
				name: "too many groups, which are read", members: object{"_claim_names": object{"groups": "src1"}},
				flags: []string{"--claim-authorities=groups", "--map-authorities=0f1e2d3c-4b5a-4968-8776-655443322110=ROLE_COMPANY_ADMIN"}, fault: auth.FaultClaims,
			},
			{name: "a group", members: object{"groups": []string{"0f1e2d3c-4b5a-4968-8776-655443322110"}}, flags: []string{"--claim-authorities=groups", "--map-authorities=0f1e2d3c-4b5a-4968-8776-655443322110=ROLE_COMPANY_ADMIN"}, want: asAdministrator},
			{name: "groups as a URL of the implicit flow", members: object{"hasgroups": "true"}, flags: []string{"--claim-authorities=groups", "--map-authorities=0f1e2d3c-4b5a-4968-8776-655443322110=ROLE_COMPANY_ADMIN"}, want: asReader},
			{name: "for another API", members: object{"aud": "00000003-0000-0000-c000-000000000000"}, fault: auth.FaultAudience},
			{name: "of version 1", members: object{"ver": "1.0", "appid": "9b1e", "azp": absent}, fault: auth.FaultClaims},
			{name: "another tenant's issuer", members: object{"iss": "ISSUER2"}, fault: auth.FaultIssuer},
			{name: "another tenant", members: object{"tid": "9188040d-6c67-4c5b-b112-36a304b66dad"}, want: callerRights{read: true, write: true, rank: 2}},
			{name: "the issuer's template", members: object{"iss": "https://login.microsoftonline.com/{tenantid}/v2.0"}, fault: auth.FaultIssuer},
			{name: "without tid", members: object{"tid": absent}, want: callerRights{read: true, write: true, rank: 2}},
		},
	},
	{
		idp: "auth0", issuer: "/", flags: []string{"--audience=https://dragoman.example.com", "--map-customers=org_9a=" + ownUUID},
		header: object{"typ": "JWT"}, jwk: object{"alg": "RS256", "use": "sig", "x5t": "NjV"}, ahead: true,
		user: object{
			"iss": "ISSUER", "sub": "auth0|64f0c1", "aud": []string{"https://dragoman.example.com", "https://acme.eu.auth0.com/userinfo"}, "azp": "Zk3m",
			"scope": "openid profile", "permissions": []string{"customer_user:read", "ROLE_COMPANY_ADMIN"}, "org_id": "org_9a",
		},
		machine: object{
			"iss": "ISSUER", "sub": "Zk3m@clients", "aud": "https://dragoman.example.com", "azp": "Zk3m", "gty": "client-credentials",
			"scope": "customer_user:read", "permissions": []string{"customer_user:read"}, "org_id": "org_9a",
		},
		idToken: object{"aud": "Zk3m", "azp": absent, "scope": absent, "permissions": absent, "nonce": "n"},
		cases: []tokenCase{
			{name: "without permissions", members: object{"permissions": []string{}}, want: asMember},
			{name: "without RBAC", members: object{"permissions": absent}, want: asMember},
			{name: "a scope that is no permission", members: object{"permissions": absent, "scope": "customer_user:write"}, want: asMember},
			{name: "a client without permissions", machine: true, members: object{"permissions": []string{}}, want: asMember},
			{name: "a client without an organization", machine: true, members: object{"org_id": absent}, want: callerRights{read: true}},
			{name: "roles of an Action", members: object{"permissions": absent, "https://dragoman.example.com/roles": []string{"ROLE_COMPANY_ADMIN"}}, flags: []string{"--claim-authorities=https://dragoman.example.com/roles"}, want: asAdministrator},
			{name: "the RFC 9068 profile", header: object{"typ": "at+jwt"}, members: object{"azp": absent, "client_id": "Zk3m", "jti": "j"}, flags: []string{"--token-type=access"}, want: asAdministrator},
			{name: "the other profile", flags: []string{"--token-type=access"}, fault: auth.FaultType},
			{name: "for the userinfo endpoint alone", members: object{"aud": "https://acme.eu.auth0.com/userinfo"}, fault: auth.FaultAudience},
			{name: "an issuer without its slash", members: object{"iss": "ISSUER-"}, fault: auth.FaultIssuer},
			{name: "a foreign organization", members: object{"org_id": "org_00"}, want: callerRights{read: true, write: true, rank: 2}},
			{name: "an organization's name", members: object{"org_id": absent, "org_name": "org_9a"}, want: callerRights{read: true, write: true, rank: 2}},
		},
	},
	{
		idp: "cognito", issuer: "/eu-west-1_Ab", flags: []string{"--audience=57cbishk4j24pabc1234567890,4j24pabc123456789057cbishk"},
		jwk: object{"alg": "RS256", "use": "sig"}, ahead: true,
		user: object{
			"iss": "ISSUER", "sub": "b1d20c4a-4a1c-4ac2-8c50-7d8c4a7b1e22", "client_id": "57cbishk4j24pabc1234567890", "token_use": "access", "origin_jti": "o", "jti": "j", "version": 2,
			"scope": "openid dragoman/customer_user:read", "cognito:groups": []string{"ROLE_COMPANY_ADMIN"}, "username": "grace", "customer_id": ownUUID,
		},
		machine: object{
			"iss": "ISSUER", "sub": "4j24pabc123456789057cbishk", "client_id": "4j24pabc123456789057cbishk", "token_use": "access", "jti": "j", "version": 2,
			"scope": "dragoman/customer_user:read", "customer_id": ownUUID,
		},
		idToken: object{"token_use": "id", "aud": "57cbishk4j24pabc1234567890", "client_id": absent, "scope": absent, "cognito:username": "grace", "at_hash": "a"},
		cases: []tokenCase{
			{name: "an ID token with a client_id", members: object{"token_use": "id"}, fault: auth.FaultClaims},
			{name: "without groups", members: object{"cognito:groups": absent}, want: asReader},
			{name: "without groups and scopes", members: object{"cognito:groups": absent, "scope": "aws.cognito.signin.user.admin"}, want: asMember},
			{
				name: "permissions of the user's groups", members: object{"cognito:groups": []string{"readers"}, "scope": "dragoman/customer_user:write"},
				flags: []string{"--claim-permissions=cognito:groups", "--permissions-form=list", "--map-permissions=readers=customer_user:read,writers=customer_user:write"}, want: asReader,
			},
			{name: "a client without scopes", machine: true, members: object{"scope": ""}, want: asMember},
			{name: "a client that writes", machine: true, members: object{"scope": "dragoman/customer_user:read dragoman/customer_user:write"}, want: asWriter},
			{name: "a scope of another resource server", machine: true, members: object{"scope": "other/customer_user:read customer_user:read"}, want: asMember},
			{name: "without the trigger", members: object{"customer_id": absent}, want: callerRights{read: true, write: true, rank: 2}},
			{name: "another app client", members: object{"client_id": "other"}, fault: auth.FaultAudience},
			{name: "with a resource's aud", members: object{"aud": "https://dragoman.example.com"}, fault: auth.FaultAudience},
			{name: "another pool", members: object{"iss": "ISSUER2"}, fault: auth.FaultIssuer},
			{name: "a foreign customer", members: object{"customer_id": "3394"}, want: callerRights{read: true, write: true, rank: 2}},
		},
	},
	{
		idp: "okta", issuer: "/oauth2/aus1", flags: []string{"--audience=api://dragoman", "--map-authorities=dragoman-admins=ROLE_COMPANY_ADMIN"},
		jwk: object{"alg": "RS256", "use": "sig"}, ahead: true,
		user: object{
			"ver": 1, "jti": "AT.x", "iss": "ISSUER", "aud": "api://dragoman", "cid": "0oa1", "uid": "00u1", "scp": []string{"openid", "customer_user:read"},
			"sub": "grace@example.com", "groups": []string{"Everyone", "dragoman-admins"}, "auth_time": 1, "customer_id": ownUUID,
		},
		machine: object{
			"ver": 1, "jti": "AT.y", "iss": "ISSUER", "aud": "api://dragoman", "cid": "0oa2", "scp": []string{"customer_user:read"}, "sub": "0oa2", "customer_id": ownUUID,
		},
		idToken: object{"aud": "0oa1", "cid": absent, "uid": absent, "scp": absent, "idp": "00o1", "amr": []string{"pwd"}, "at_hash": "a"},
		cases: []tokenCase{
			{name: "an ID token for this audience", members: object{"cid": absent}, fault: auth.FaultClaims},
			{name: "without groups", members: object{"groups": absent}, want: asReader},
			{name: "without groups and scopes", members: object{"groups": absent, "scp": []string{"openid"}}, want: asMember},
			{name: "a role that is not mapped", members: object{"groups": []string{"ROLE_ADMIN"}}, want: asReader},
			{
				name: "permissions of the user's groups", members: object{"groups": []string{"dragoman-readers"}, "scp": []string{"customer_user:write"}},
				flags: []string{"--claim-permissions=groups", "--map-permissions=dragoman-readers=customer_user:read"}, want: asReader,
			},
			{name: "a client that writes", machine: true, members: object{"scp": []string{"customer_user:read", "customer_user:write"}}, want: asWriter},
			{name: "a client without scopes", machine: true, members: object{"scp": []string{}}, want: asMember},
			{name: "without the claim of customers", members: object{"customer_id": absent}, want: callerRights{read: true, write: true, rank: 2}},
			{name: "a foreign customer", members: object{"customer_id": "3394"}, want: callerRights{read: true, write: true, rank: 2}},
			{name: "for another API", members: object{"aud": "api://default"}, fault: auth.FaultAudience},
			{name: "of the organization's server", members: object{"iss": "ORIGIN"}, fault: auth.FaultIssuer},
		},
	},
	{
		idp: "zitadel", issuer: "", flags: []string{"--audience=2888", "--map-customers=2801=" + ownUUID},
		header: object{"typ": "JWT"}, jwk: object{"alg": "RS256", "use": "sig"},
		user: object{
			"iss": "ISSUER", "sub": "2891", "aud": []string{"2890@acme", "2888"}, "client_id": "2890@acme", "jti": "V2_1",
			"urn:zitadel:iam:org:project:2888:roles": object{"ROLE_COMPANY_ADMIN": object{"2801": "acme.example"}},
			"urn:zitadel:iam:user:resourceowner:id":  "2801",
		},
		machine: object{
			"iss": "ISSUER", "sub": "2899", "aud": "2888", "client_id": "job", "jti": "V2_2",
			"urn:zitadel:iam:org:project:2888:roles": object{"customer_user:read": object{"2801": "acme.example"}},
			"urn:zitadel:iam:user:resourceowner:id":  "2801",
		},
		// The audience of an ID token has the project too, and the roles if the project asserts them.
		idToken: object{"jti": absent, "azp": "2890@acme", "amr": []string{"pwd"}, "at_hash": "a"},
		cases: []tokenCase{
			{name: "without roles", members: object{"urn:zitadel:iam:org:project:2888:roles": absent}, want: asMember},
			{name: "a client without roles", machine: true, members: object{"urn:zitadel:iam:org:project:2888:roles": absent}, want: asMember},
			{name: "a client that writes", machine: true, members: object{"urn:zitadel:iam:org:project:2888:roles": object{"customer_user:read": object{"2801": "a"}, "customer_user:write": object{"2801": "a"}}}, want: asWriter},
			{name: "a role in another organization", members: object{"urn:zitadel:iam:org:project:2888:roles": object{"ROLE_COMPANY_ADMIN": object{"2802": "globex.example"}}}, want: asMember},
			{name: "a role in both", members: object{"urn:zitadel:iam:org:project:2888:roles": object{"ROLE_COMPANY_ADMIN": object{"2802": "g", "2801": "a"}}}, want: asAdministrator},
			{name: "without the scope resourceowner", members: object{"urn:zitadel:iam:user:resourceowner:id": absent}, want: callerRights{}},
			{name: "a foreign organization", members: object{"urn:zitadel:iam:user:resourceowner:id": "2802"}, want: callerRights{}},
			{name: "an organization whose id is a customer's here", members: object{"urn:zitadel:iam:user:resourceowner:id": "3393", "urn:zitadel:iam:org:project:2888:roles": object{"ROLE_COMPANY_ADMIN": object{"3393": "x"}}}, want: callerRights{read: true, write: true, rank: 2}},
			{name: "roles of another project", members: object{"urn:zitadel:iam:org:project:2888:roles": absent, "urn:zitadel:iam:org:project:2777:roles": object{"ROLE_ADMIN": object{"2801": "a"}}}, want: asMember},
			{name: "for another project", members: object{"aud": []string{"2890@acme", "2777"}}, fault: auth.FaultAudience},
			{name: "another instance", members: object{"iss": "https://globex.zitadel.cloud"}, fault: auth.FaultIssuer},
		},
	},
}

// allCases returns the cases of a provider, and those that all have.
func (p providerTest) allCases() []tokenCase {
	readOf := map[string]string{"auth0": "permissions", "cognito": "scope", "okta": "groups", "keycloak": "resource_access", "entra": "roles", "zitadel": "urn:zitadel:iam:org:project:2888:roles"}[p.idp]
	return append([]tokenCase{
		{name: "a user", want: asAdministrator},
		{name: "a machine", machine: true, want: asReader},
		{name: "an ID token", members: p.idToken, fault: auth.TokenFault("any")},
		{name: "a claim that is elsewhere", members: object{"_claim_names": object{readOf: "src1"}}, fault: auth.FaultClaims},
		{name: "bound to a key", members: object{"cnf": object{"jkt": "k"}}, fault: auth.FaultClaims},
		{name: "another issuer", members: object{"iss": "https://id.example.com"}, fault: auth.FaultIssuer},
		{name: "no issuer", members: object{"iss": absent}, fault: auth.TokenFault("any")},
		{name: "no audience", members: object{"aud": absent, "client_id": absent}, fault: auth.TokenFault("any")},
		{name: "expired", members: object{"exp": time.Now().Add(-time.Hour).Unix()}, fault: auth.FaultExpired},
	}, p.cases...)
}

func TestPresets(t *testing.T) {
	t.Parallel()
	tested := map[string]bool{}
	for _, p := range providerTests {
		tested[p.idp] = true
		t.Run(p.idp, func(t *testing.T) {
			t.Parallel()
			provider := newProvider(t, p)
			verifiers := map[string]*auth.Verifier{}
			for _, c := range p.allCases() {
				key := strings.Join(c.flags, " ")
				if verifiers[key] == nil {
					verifiers[key] = provider.verifier(t, c.flags...)
				}
				provider.check(t, verifiers[key], c)
			}
		})
	}
	for name := range presets {
		if !tested[name] {
			t.Errorf("the preset %s has no test", name)
		}
	}
}

// check verifies the token of a case, and compares what its caller may do.
func (p *identityProvider) check(t *testing.T, v *auth.Verifier, c tokenCase) {
	t.Helper()
	members := p.test.user
	if c.machine {
		members = p.test.machine
	}
	token := p.sign(t, c.header, members, c.members)
	pr, err := v.Verify([]string{"Bearer " + token})
	if explained := v.Explain(t.Context(), token, auth.Policy{Roles: roles(t)}).Err(); fmt.Sprint(explained) != fmt.Sprint(err) {
		t.Errorf("%s: explained with %v, and verified with %v", c.name, explained, err)
	}
	switch {
	case c.fault == "any" && err != nil:
		return
	case auth.FaultOf(err) != c.fault || c.fault == "" && err != nil:
		t.Errorf("%s: %v, want the fault %q", c.name, err, c.fault)
		return
	case c.fault != "":
		return
	}
	policy := auth.Policy{Roles: roles(t)}
	got := callerRights{
		covers: policy.Covers(pr, ownCustomer), read: policy.Permits(pr, auth.PermissionRead), write: policy.Permits(pr, auth.PermissionWrite), rank: policy.Rank(pr),
	}
	if got != c.want {
		t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
	}
	if policy.PlatformAdministrator(pr) {
		t.Errorf("%s: an administrator of the platform", c.name)
	}
}

// TestPresetRotation: a token of a new key is accepted as soon as the provider signs with it, and tokens of the previous one as long as
// it is published.
func TestPresetRotation(t *testing.T) {
	t.Parallel()
	for _, test := range providerTests {
		t.Run(test.idp, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t, test)
			v := p.verifier(t)
			p.check(t, v, tokenCase{name: "before", want: asAdministrator})
			asked := p.asked()
			first := p.signing
			p.rotate(t)
			p.check(t, v, tokenCase{name: "the new key", want: asAdministrator})
			if again := p.asked() - asked; test.ahead != (again == 0) {
				t.Errorf("the keys were read %d times for the new key, published ahead: %t", again, test.ahead)
			}
			p.signing = first
			p.check(t, v, tokenCase{name: "the previous key", want: asAdministrator})
		})
	}
}

// TestPresetNeeds: what a preset does not set is asked for at once, and each of its flags can be set otherwise.
func TestPresetNeeds(t *testing.T) {
	t.Parallel()
	for idp, want := range map[string]string{
		"keycloak": "--issuer (https://HOST/realms/REALM), --audience (the client that stands for this server), --map-customers (ALIAS=CUSTOMER for each organization)",
		"entra":    "--issuer (https://login.microsoftonline.com/TENANT/v2.0), --audience (the application (client) id of the API), --map-customers (TENANT=CUSTOMER)",
		"auth0":    "--issuer (https://TENANT.REGION.auth0.com/, with the slash), --audience (the identifier of the API), --map-customers (ORGANIZATION=CUSTOMER for each organization)",
		"cognito":  "--issuer (https://cognito-idp.REGION.amazonaws.com/POOL), --audience (the ids of the app clients)",
		"okta":     "--issuer (https://ORG.okta.com/oauth2/SERVER, a custom authorization server), --audience (the audience of that server, such as api://dragoman)",
		"zitadel":  "--issuer (https://INSTANCE), --audience (the id of the project), --map-customers (ORGANIZATION=CUSTOMER for each organization, by its id)",
	} {
		if got := problemsOf(t, "--idp="+idp); got != "--idp "+idp+" needs also "+want {
			t.Errorf("%s: %s", idp, got)
		}
	}
	for _, c := range []struct{ args, want string }{
		{"--audience=a --audience=b --map-customers=a=1", "--claim-permissions (/resource_access/AUDIENCE/roles, since there are several audiences), --claim-authorities (/resource_access/AUDIENCE/roles, since there are several audiences)"},
		{"--audience=a --claim-customers=customer_id", ""},
		{"--audience=a --claim-customers=organization", "--map-customers (ALIAS=CUSTOMER for each organization)"},
		{"--audience=a,b --map-customers=a=1 --claim-permissions=p --claim-authorities=a", ""},
	} {
		want := ""
		if c.want != "" {
			want = "--idp keycloak needs also " + c.want
		}
		args := append(strings.Fields(c.args), "--idp=keycloak", "--issuer=https://id.example.com")
		if got := problemsOf(t, args...); got != want {
			t.Errorf("%s: %q, want %q", c.args, got, want)
		}
	}
	status, _, said := dragoman(t, t.TempDir(), "x.y.z", "token", "explain", "--idp=okta")
	if !strings.HasPrefix(said, "dragoman: error: --idp okta needs also --issuer") || status != 80 {
		t.Errorf("explain ends with %d and says %s", status, said)
	}
}

// problemsOf returns what is wrong with the flags of serve, or "".
func problemsOf(t *testing.T, flags ...string) string {
	t.Helper()
	c := parsed(t, flags...)
	if _, err := c.Serve.config(); err != nil {
		return err.Error()
	}
	return ""
}

// parsed returns the command line of serve with these flags.
func parsed(t *testing.T, flags ...string) *commandLine {
	t.Helper()
	var c commandLine
	parser, err := newParser(&c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(append([]string{"serve", "--secret-key=" + keyOfNow}, flags...)); err != nil {
		t.Fatal(err)
	}
	return &c
}

// TestPresetInConfig: the configuration shows what the preset set, and what was set otherwise by each way.
func TestPresetInConfig(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{"c.yaml": "idp: keycloak\nclaim-authorities: /realm_access/roles\nrequire: [azp=spa]\n"})
	all := effective(t, dir, []string{"DRAGOMAN_SECRET_KEY=" + keyOfNow, "DRAGOMAN_CLAIM_CUSTOMERS=customer_id"}, usesFile, "--issuer=https://a/", "--audience=one/two~three")
	for name, want := range map[string]settings.Setting{
		"idp":               {Value: "keycloak", From: "c.yaml:1"},
		"claim-authorities": {Value: "/realm_access/roles", From: "c.yaml:2"},
		"claim-customers":   {Value: "customer_id", From: "DRAGOMAN_CLAIM_CUSTOMERS"},
		"claim-permissions": {Value: "/resource_access/one~1two~0three/roles", From: "--idp keycloak"},
		"require":           {Value: []any{"azp=spa", "typ=Bearer"}, From: "c.yaml:3, --idp keycloak"},
		"audience-claim":    {From: settings.FromNowhere},
		"missing-claims":    {Value: "empty", From: "--idp keycloak"},
	} {
		if got := all[name]; fmt.Sprint(got.Value) != fmt.Sprint(want.Value) || got.From != want.From {
			t.Errorf("%s is %v from %q, want %v from %q", name, got.Value, got.From, want.Value, want.From)
		}
	}
}

// TestMissingClaimsInConfig: the configuration shows what a claim that is missing means, whatever decides it.
func TestMissingClaimsInConfig(t *testing.T) {
	t.Parallel()
	item := func(more string) string {
		return "  - {customers: ['*'], jwt-secret: " + secretOfTokens + more + "}\n"
	}
	for _, c := range []struct {
		file  string
		flags string
		want  map[string]settings.Setting
	}{
		{"", "", map[string]settings.Setting{"missing-claims": {Value: "legacy", From: settings.FromDefault}}},
		{"", "--audience=a --require=a=b --platform-administrators=a=b", map[string]settings.Setting{"missing-claims": {Value: "legacy", From: settings.FromDefault}}},
		{"", "--missing-claims=empty", map[string]settings.Setting{"missing-claims": {Value: "empty", From: "--missing-claims"}}},
		{"", "--claim-user-id=uid", map[string]settings.Setting{"missing-claims": {Value: "empty", From: settings.FromDefault}}},
		{"", "--map-authorities=a=ROLE_USER", map[string]settings.Setting{"missing-claims": {Value: "empty", From: settings.FromDefault}}},
		{"", "--idp=cognito --issuer=https://a/ --audience=b", map[string]settings.Setting{"missing-claims": {Value: "empty", From: "--idp cognito"}}},
		{"issuers:\n" + item(", issuer: a"), "", map[string]settings.Setting{"issuers[0].missing-claims": {Value: "legacy", From: settings.FromDefault}, "missing-claims": {From: settings.FromNowhere}}},
		{"issuers:\n" + item(", issuer: a, claim-customers: b"), "", map[string]settings.Setting{"issuers[0].missing-claims": {Value: "empty", From: settings.FromDefault}}},
		{"issuers:\n" + item(", issuer: a") + item(", issuer: b, idp: okta, audience: [c]") + item(", issuer: c, missing-claims: empty"), "", map[string]settings.Setting{
			"issuers[0].missing-claims": {Value: "empty", From: settings.FromDefault}, "issuers[1].missing-claims": {Value: "empty", From: "--idp okta"},
			"issuers[2].missing-claims": {Value: "empty", From: "c.yaml:4"}, "missing-claims": {From: settings.FromNowhere},
		}},
	} {
		dir := writeFiles(t, map[string]string{"c.yaml": c.file})
		variables := []string{"DRAGOMAN_SECRET_KEY=" + keyOfNow}
		if c.file == "" {
			variables = append(variables, "DRAGOMAN_JWT_SECRET="+secretOfTokens)
		}
		all := effective(t, dir, variables, append(strings.Fields(c.flags), usesFile)...)
		for name, want := range c.want {
			if got := all[name]; got.Value != want.Value || got.From != want.From {
				t.Errorf("%s%s: %s is %v from %q, want %v from %q", c.file, c.flags, name, got.Value, got.From, want.Value, want.From)
			}
		}
	}
}

// identityProvider is an identity provider: a server of discovery documents and key sets.
type identityProvider struct {
	test    providerTest
	origin  string
	signing *signingKey

	mu        sync.Mutex
	published []*signingKey
	requests  int // of the key set
}

type signingKey struct {
	id  string
	key *rsa.PrivateKey
}

func newSigningKey(t *testing.T, id string) *signingKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return &signingKey{id, key}
}

// newProvider starts a provider. Those that publish keys ahead publish two: the one that signs, and the next, or Cognito's for ID tokens.
func newProvider(t *testing.T, test providerTest) *identityProvider {
	t.Helper()
	p := &identityProvider{test: test, signing: newSigningKey(t, "kid-1")}
	p.published = []*signingKey{p.signing}
	if test.ahead {
		p.published = append(p.published, newSigningKey(t, "kid-2"))
	}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.origin = server.URL
	return p
}

func (p *identityProvider) issuer() string { return p.origin + p.test.issuer }

// ServeHTTP serves the discovery document below the issuer, and the key set.
func (p *identityProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case strings.TrimSuffix(p.test.issuer, "/") + "/.well-known/openid-configuration":
		_ = json.NewEncoder(w).Encode(object{"issuer": p.issuer(), "jwks_uri": p.origin + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"}})
	case "/keys":
		p.requests++
		keys := []object{}
		for _, k := range p.published {
			keys = append(keys, p.jwk(k, p.test.jwk))
		}
		if p.test.idp == "keycloak" { // its set has the key that it decrypts with
			keys = append(keys, p.jwk(&signingKey{"enc", p.published[0].key}, object{"alg": "RSA-OAEP", "use": "enc"}))
		}
		_ = json.NewEncoder(w).Encode(object{"keys": keys})
	default:
		http.NotFound(w, r)
	}
}

// jwk returns a public key with further members.
func (*identityProvider) jwk(k *signingKey, members object) object {
	text, err := json.Marshal(jose.JSONWebKey{Key: k.key.Public(), KeyID: k.id})
	if err != nil {
		panic(err)
	}
	jwk := object{}
	if err := json.Unmarshal(text, &jwk); err != nil {
		panic(err)
	}
	maps.Copy(jwk, members)
	return jwk
}

func (p *identityProvider) asked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests
}

// rotate lets the next key sign.
func (p *identityProvider) rotate(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.test.ahead {
		p.published = append(p.published, newSigningKey(t, "kid-2"))
	}
	p.signing = p.published[1]
}

// sign signs a token whose payload differs in some members.
func (p *identityProvider) sign(t *testing.T, header, payload, changes object) string {
	t.Helper()
	claims := jwt.MapClaims{"exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix()}
	maps.Copy(claims, payload)
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	if iss, ok := claims["iss"].(string); ok {
		claims["iss"] = strings.NewReplacer("ISSUER-", strings.TrimSuffix(p.issuer(), "/"), "ISSUER", p.issuer(), "ORIGIN", p.origin).Replace(iss)
	}
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	token.Header = object{"alg": "RS256", "kid": p.signing.id}
	maps.Copy(token.Header, p.test.header)
	maps.Copy(token.Header, header)
	signed, err := token.SignedString(p.signing.key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// verifier returns a verifier that is configured as on the command line.
func (p *identityProvider) verifier(t *testing.T, flags ...string) *auth.Verifier {
	t.Helper()
	flags = slices.Concat([]string{"--idp=" + p.test.idp, "--issuer=" + p.issuer()}, p.test.flags, flags)
	issuer, err := parsed(t, flags...).Serve.issuer()
	if err != nil {
		t.Fatal(err)
	}
	v, err := auth.NewVerifier(auth.Config{Issuers: []auth.Issuer{issuer}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

// roles returns the roles of a new directory.
func roles(t *testing.T) *store.Catalogue {
	t.Helper()
	c, err := directoryRoles()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var directoryRoles = sync.OnceValues(func() (*store.Catalogue, error) { return initialRoles(context.Background()) })
