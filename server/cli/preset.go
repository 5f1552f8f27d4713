package cli

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/settings"
)

// preset is what the tokens of an identity provider have in common, whoever runs it: the values of flags that do not vary, and the
// flags that do.
type preset struct {
	sets map[string]string // values of flags
	// byAudience are values that contain the audience, in place of AUDIENCE. If there are several audiences, the flags are needed.
	byAudience map[string]string
	// require are conditions that hold for the provider's access tokens, and for none of its other tokens. They are added to those
	// that are configured.
	require []string
	needs   []need
}

// need is a flag without which a preset is not complete.
type need struct {
	flag string
	what string // what its value is
	// unless is a flag. If it is set to another value than that of the preset, this flag is not needed. "" means none.
	unless string
}

// presets are the presets by their names. server/docs/guide/identity-providers.md says where each claim comes from.
var presets = map[string]preset{
	"keycloak": {
		sets:    map[string]string{"claim-customers": "organization"},
		require: []string{"typ=Bearer"}, // ID, Refresh, Logout are others
		byAudience: map[string]string{
			"claim-permissions": "/resource_access/AUDIENCE/roles", "claim-authorities": "/resource_access/AUDIENCE/roles",
		},
		needs: []need{
			{"issuer", "https://HOST/realms/REALM", ""},
			{"audience", "the client that stands for this server", ""},
			{"map-customers", "ALIAS=CUSTOMER for each organization", "claim-customers"},
		},
	},
	"entra": {
		sets:    map[string]string{"claim-customers": "tid", "claim-permissions": "roles", "claim-authorities": "roles"},
		require: []string{"ver=2.0", "azp"}, // an ID token has no azp
		needs: []need{
			{"issuer", "https://login.microsoftonline.com/TENANT/v2.0", ""},
			{"audience", "the application (client) id of the API", ""},
			{"map-customers", "TENANT=CUSTOMER", "claim-customers"},
		},
	},
	"auth0": {
		sets: map[string]string{"claim-customers": "org_id", "claim-permissions": "permissions", "claim-authorities": "permissions"},
		needs: []need{
			{"issuer", "https://TENANT.REGION.auth0.com/, with the slash", ""},
			{"audience", "the identifier of the API", ""},
			{"map-customers", "ORGANIZATION=CUSTOMER for each organization", "claim-customers"},
		},
	},
	"cognito": {
		sets: map[string]string{
			"audience-claim": "client_id", "claim-customers": "customer_id", "claim-permissions": "scope", "permissions-form": "words",
			"map-permissions":   "dragoman/customer_user:read=customer_user:read,dragoman/customer_user:write=customer_user:write,dragoman/customer_user:create=customer_user:create",
			"claim-authorities": "cognito:groups",
		},
		require: []string{"token_use=access"},
		needs: []need{
			{"issuer", "https://cognito-idp.REGION.amazonaws.com/POOL", ""},
			{"audience", "the ids of the app clients", ""},
		},
	},
	"okta": {
		sets:    map[string]string{"claim-customers": "customer_id", "claim-permissions": "scp", "claim-authorities": "groups"},
		require: []string{"cid"}, // an ID token has none
		needs: []need{
			{"issuer", "https://ORG.okta.com/oauth2/SERVER, a custom authorization server", ""},
			{"audience", "the audience of that server, such as api://dragoman", ""},
		},
	},
	"zitadel": {
		sets: map[string]string{
			"claim-customers":  "urn:zitadel:iam:user:resourceowner:id",
			"permissions-form": string(auth.FormKeysByCustomer), "authorities-form": string(auth.FormKeysByCustomer),
		},
		require: []string{"jti"}, // an ID token has none
		byAudience: map[string]string{
			"claim-permissions": "urn:zitadel:iam:org:project:AUDIENCE:roles", "claim-authorities": "urn:zitadel:iam:org:project:AUDIENCE:roles",
		},
		needs: []need{
			{"issuer", "https://INSTANCE", ""},
			{"audience", "the id of the project", ""},
			{"map-customers", "ORGANIZATION=CUSTOMER for each organization, by its id", "claim-customers"},
		},
	},
}

// presetFlag selects a preset.
type presetFlag struct {
	IDP string `name:"idp" notempty:"" enum:"keycloak,entra,auth0,cognito,okta,zitadel," default:"" placeholder:"NAME" help:"The identity provider that issues tokens: keycloak, entra, auth0, cognito, okta or zitadel. It sets the flags about claims that are the same for everybody who uses it; 'dragoman config' shows them, and each can be set otherwise. By default none."`
}

// AfterApply sets the flags of the preset that are not set.
func (f *issuerFlags) AfterApply(k *kong.Context, r *settings.Resolver) error {
	p, from := presets[f.IDP], "--idp "+f.IDP
	for name, text := range p.sets {
		if err := r.SetDefault(k, name, text, from); err != nil {
			return err
		}
	}
	if len(f.Audience) == 1 {
		for name, text := range p.byAudience {
			if err := r.SetDefault(k, name, atAudience(text, f.Audience[0]), from); err != nil {
				return err
			}
		}
	}
	r.AddDefault(k, "require", from, p.require...)
	return nil
}

// atAudience replaces AUDIENCE in the name of a claim, or in a JSON Pointer, where some characters must be escaped.
func atAudience(text, audience string) string {
	if strings.HasPrefix(text, "/") {
		audience = strings.NewReplacer("~", "~0", "/", "~1").Replace(audience)
	}
	return strings.Replace(text, "AUDIENCE", audience, 1)
}

// missing returns an error that names all flags which the preset needs, or nil if they are set.
func (f *issuerFlags) missing() error {
	p := presets[f.IDP]
	set := map[string]string{
		"issuer": f.Issuer, "audience": strings.Join(f.Audience, ","), "claim-customers": f.ClaimCustomers, "map-customers": strings.Join(f.MapCustomers, ","),
		"claim-permissions": f.ClaimPermissions, "claim-authorities": f.ClaimAuthorities,
	}
	var missing []string
	for _, n := range p.needs {
		if set[n.flag] == "" && (n.unless == "" || set[n.unless] == p.sets[n.unless]) {
			missing = append(missing, fmt.Sprintf("--%s (%s)", n.flag, n.what))
		}
	}
	if len(f.Audience) > 1 {
		for _, name := range []string{"claim-permissions", "claim-authorities"} {
			if text := p.byAudience[name]; text != "" && set[name] == "" {
				missing = append(missing, fmt.Sprintf("--%s (%s, since there are several audiences)", name, text))
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("--idp %s needs also %s", f.IDP, strings.Join(missing, ", "))
}
