package cli

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/settings"
)

// tokenFlags identify an issuer of tokens and the service that they are for.
type tokenFlags struct {
	JWTSecret string   `name:"jwt-secret" secret:"" placeholder:"TEXT" help:"The secret of HS256 tokens, at least 32 bytes, used as it is. Prefer the variable, since others on the machine can read a command line."`
	Issuer    string   `notempty:"" placeholder:"TEXT" help:"The iss claim that tokens must have, exactly. Without --jwt-secret, --jwt-public-key-file and --jwks-url it is the URL of an OpenID Connect or OAuth provider, whose keys are discovered; requires --audience. By default it is not checked."`
	Audience  []string `notempty:"" placeholder:"TEXT" help:"The aud claim that tokens must have; separate several by commas, of which one suffices. By default it is not checked."`
}

// keyFlags are the public keys of an issuer.
type keyFlags struct {
	JWTPublicKeyFile string        `name:"jwt-public-key-file" type:"existingfile" placeholder:"FILE" help:"A PEM file with the public key of RS256, ES256 or EdDSA tokens. Requires --issuer and --audience."`
	JWKSURL          string        `name:"jwks-url" placeholder:"URL" help:"The JSON Web Key Set with the keys of RS256, PS256, ES256 or EdDSA tokens: an https URL, or a file. It is refreshed while the server runs. Replaces --jwt-public-key-file and discovery; requires --issuer and --audience."`
	JWKSMaxAge       time.Duration `name:"jwks-max-age" default:"24h" help:"How long a key is used after the last read of the key set that contained it (${default})."`
	JWKSRefresh      time.Duration `name:"jwks-refresh" default:"5m" help:"How often the key set is refreshed (${default}). An unknown key is looked up sooner."`
}

// ruleFlags describe how tokens are read. Flags that say what a claim means have no default, since setting one decides the default of
// --missing-claims.
type ruleFlags struct {
	AudienceClaim          string   `notempty:"" placeholder:"CLAIM" help:"The claim with the audience, instead of aud: client_id for Cognito. It must be a string, and tokens with aud are then rejected. Requires --audience."`
	TokenType              string   `notempty:"" enum:"any,access" default:"any" placeholder:"TYPE" help:"The typ that a token's header must have: access for at+jwt, or any for none, JWT or at+jwt (${default})."`
	Require                []string `notempty:"" placeholder:"CLAIM=VALUE" help:"A claim that tokens must have, such as token_use=access: its value, or one of its list. Without =VALUE any value suffices. Separate several by commas."`
	ClaimUserID            string   `notempty:"" name:"claim-user-id" placeholder:"CLAIM" help:"The claim with the caller's own user UUID, which every token must then have. A name is literal; what begins with / is a JSON Pointer. By default custom:id, which a token may lack."`
	ClaimCustomers         string   `notempty:"" placeholder:"CLAIM" help:"The claim with the caller's customers: a name or a JSON Pointer. By default customer_id."`
	CustomersForm          string   `notempty:"" enum:"list,words,keys," default:"" placeholder:"FORM" help:"The form of that claim: list for a value or an array, words for one text with spaces, keys for the names in an object. By default list."`
	MapCustomers           []string `notempty:"" placeholder:"THEIRS=OURS" help:"A value of that claim, and the UUID or id of the customer that it means; separate several by commas. Values are compared exactly, and without a mapping they are dropped. By default they are UUIDs or ids."`
	ClaimPermissions       string   `notempty:"" placeholder:"CLAIM" help:"The claim with the caller's permissions: a name or a JSON Pointer. By default permissions."`
	PermissionsForm        string   `notempty:"" enum:"list,words,keys,keys-by-customer," default:"" placeholder:"FORM" help:"The form of that claim: as --customers-form, or keys-by-customer for an object of objects, whose names count if they hold every customer of the token. By default list."`
	MapPermissions         []string `notempty:"" placeholder:"THEIRS=OURS" help:"A value of that claim, and the permission that it means; as --map-customers."`
	ClaimAuthorities       string   `notempty:"" placeholder:"CLAIM" help:"The claim with the caller's roles: a name or a JSON Pointer. By default authorities."`
	AuthoritiesForm        string   `notempty:"" enum:"list,words,keys,keys-by-customer," default:"" placeholder:"FORM" help:"The form of that claim, as --permissions-form. By default list."`
	MapAuthorities         []string `notempty:"" placeholder:"THEIRS=OURS" help:"A value of that claim, and the role that it means; as --map-customers."`
	MissingClaims          string   `notempty:"" enum:"empty,legacy," default:"" placeholder:"MEANING" help:"What a missing claim means: empty for nothing, or legacy for Worth's own tokens, where customer_user:write without the roles' claim is rank 2. By default legacy, or empty as soon as one of the flags --claim-..., --...-form or --map-... is set."`
	PlatformAdministrators string   `notempty:"" placeholder:"CLAIM=VALUE" help:"The claim that makes a caller with ROLE_ADMIN an administrator of the platform, for all customers. By default only the customers' claim does, if it is exactly * and has no form, pointer or map."`
}

// rules returns the rules that the flags describe, or settings.Problems.
func (f ruleFlags) rules(t tokenFlags) (auth.Rules, error) {
	var problems settings.Problems
	r := auth.Rules{
		Issuer: t.Issuer, Audiences: t.Audience, AudienceClaim: f.AudienceClaim, TokenType: auth.TokenType(f.TokenType),
		UserID:        f.ClaimUserID,
		Customers:     auth.Claim{Name: f.ClaimCustomers, Form: auth.Form(f.CustomersForm), Map: mappings("map-customers", f.MapCustomers, &problems)},
		Permissions:   auth.Claim{Name: f.ClaimPermissions, Form: auth.Form(f.PermissionsForm), Map: mappings("map-permissions", f.MapPermissions, &problems)},
		Authorities:   auth.Claim{Name: f.ClaimAuthorities, Form: auth.Form(f.AuthoritiesForm), Map: mappings("map-authorities", f.MapAuthorities, &problems)},
		MissingClaims: auth.MissingClaims(f.MissingClaims),
	}
	for _, text := range f.Require {
		c, err := auth.ParseCondition(text)
		if err != nil {
			problems.Add(fmt.Errorf("--require: %w", err))
			continue
		}
		r.Required = append(r.Required, c)
	}
	if f.PlatformAdministrators != "" {
		if c, err := auth.ParseCondition(f.PlatformAdministrators); err != nil {
			problems.Add(fmt.Errorf("--platform-administrators: %w", err))
		} else {
			r.PlatformAdministrators = &c
		}
	}
	return r, problems.Err()
}

// mappings parses the values of a flag, and adds what is wrong with them to problems.
func mappings(flag string, texts []string, problems *settings.Problems) (parsed []auth.Mapping) {
	for _, text := range texts {
		m, err := auth.ParseMapping(text)
		if err != nil {
			problems.Add(fmt.Errorf("--%s: %w", flag, err))
			continue
		}
		parsed = append(parsed, m)
	}
	return parsed
}

// missingClaimsFlag is the name of the flag of ruleFlags.MissingClaims.
const missingClaimsFlag = "missing-claims"

// missingClaims returns the setting --missing-claims as the other flags decide it, if it is not set.
func (f issuerFlags) missingClaims(prefix string, several bool) settings.Setting {
	rules, _ := f.rules(f.tokenFlags) // what is wrong with them is reported elsewhere
	s := settings.Setting{Name: prefix + missingClaimsFlag, Value: string(rules.Missing(several)), From: settings.FromDefault}
	if f.IDP != "" {
		s.From = "--idp " + f.IDP
	}
	return s
}

// tokenLimitFlag limits tokens of all issuers.
type tokenLimitFlag struct {
	MaxTokenBytes int `default:"16384" placeholder:"N" help:"The maximum size of a token in bytes, from 1024 to 49152 (${default}). A proxy in front of the server may allow less."`
}

// issuerFlags are all flags about an issuer: its keys and its rules.
type issuerFlags struct {
	presetFlag
	tokenFlags
	keyFlags
	ruleFlags

	generated bool // whether JWTSecret is that of --dev
}

// issuerItem is an item of issuers in the configuration file.
type issuerItem struct {
	issuerFlags
	Customers []string `help:"The only customers that the issuer's tokens can be for, by UUID or id; * for any."`
	Platform  bool     `help:"Whether the issuer's tokens can be those of administrators of the platform."`
}

// issuer converts the item, or returns settings.Problems.
func (f issuerItem) issuer() (auth.Issuer, error) {
	issuer, err := f.issuerFlags.issuer()
	issuer.Scope = &auth.Scope{Customers: f.Customers, Platform: f.Platform}
	return issuer, err
}

// changed returns the names of the flags that differ from their defaults.
func (f issuerFlags) changed() ([]string, error) {
	var defaults, given struct{ issuerFlags }
	parser, err := kong.New(&defaults, kong.NoDefaultHelp(), kong.Bind(settings.New("")))
	if err != nil {
		return nil, err
	}
	if _, err := parser.Parse(nil); err != nil {
		return nil, err
	}
	other, err := kong.New(&given, kong.NoDefaultHelp())
	if err != nil {
		return nil, err
	}
	given.issuerFlags = f
	var names []string
	for i, flag := range parser.Model.Flags {
		if !reflect.DeepEqual(flag.Target.Interface(), other.Model.Flags[i].Target.Interface()) {
			names = append(names, "--"+flag.Name)
		}
	}
	return names, nil
}

// hasKey reports whether a key that verifies tokens is configured.
func (f issuerFlags) hasKey() bool {
	return f.JWTSecret != "" || f.JWTPublicKeyFile != "" || f.JWKSURL != ""
}

// discovers reports whether the keys are discovered: an issuer is named, and no key. With the secret of --dev, the issuer of its tokens
// may also be no URL, and have no keys.
func (f issuerFlags) discovers() bool {
	isURL := strings.HasPrefix(f.Issuer, "https://") || strings.HasPrefix(f.Issuer, "http://")
	return f.Issuer != "" && (!f.hasKey() || f.generated && isURL && len(f.Audience) > 0)
}

// issuer converts the flags, or returns settings.Problems.
func (f issuerFlags) issuer() (auth.Issuer, error) {
	if err := f.missing(); err != nil {
		return auth.Issuer{}, settings.Problems{err}
	}
	var problems settings.Problems
	rules, err := f.rules(f.tokenFlags)
	problems.Add(err)
	var publicKey []byte
	if f.JWTPublicKeyFile != "" {
		if publicKey, err = os.ReadFile(f.JWTPublicKeyFile); err != nil {
			problems.Add(fmt.Errorf("read the public key of --jwt-public-key-file (DRAGOMAN_JWT_PUBLIC_KEY_FILE): %w", err))
		}
	}
	return auth.Issuer{
		Secret: []byte(f.JWTSecret), PublicKeyPEM: publicKey,
		JWKSURL: f.JWKSURL, JWKSRefresh: f.JWKSRefresh, JWKSMaxAge: f.JWKSMaxAge,
		Discover: f.discovers(),
		Rules:    rules,
	}, problems.Err()
}

// all converts the flags, or the items of the configuration file if there are any, or returns settings.Problems.
func (f issuerFlags) all(items []issuerItem) ([]auth.Issuer, error) {
	if len(items) == 0 {
		issuer, err := f.issuer()
		return []auth.Issuer{issuer}, err
	}
	var problems settings.Problems
	changed, err := f.changed()
	problems.Add(err)
	if len(changed) > 0 {
		problems.Add(fmt.Errorf("with issuers in the configuration file, write %s into an item of it, and leave it out elsewhere", strings.Join(changed, ", ")))
	}
	var all []auth.Issuer
	for n, item := range items {
		issuer, err := item.issuer()
		var several settings.Problems
		several.Add(err)
		for _, problem := range several {
			problems.Add(fmt.Errorf("issuers[%d]: %w", n, problem))
		}
		all = append(all, issuer)
	}
	return all, problems.Err()
}
