package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"
)

// Finding is what one rule finds in a token.
type Finding struct {
	Rule     string   // what the rule is about, such as "audience"
	Settings []string // the flags that configure it, without their dashes
	Read     []string // what it reads from the token, a sentence each; values of the token are quoted
	Refusal  error    // why it refuses the token: an [ErrUnauthenticated] or [ErrKeysUnavailable]; nil if it does not
}

// Explanation is how a [Verifier] reads a token. It contains values of claims, and neither the token nor its signature.
type Explanation struct {
	Findings []Finding // in the order in which the rules are applied

	// Warnings say what is probably a mistake although no rule refuses the token, a sentence each. There are none for a refused token.
	Warnings []string

	// Principal is the caller that the token describes. It does not count if a rule refuses the token.
	Principal Principal
}

// Err returns the error that [Verifier.Verify] returns for the token, or nil if it accepts the token.
func (e Explanation) Err() error {
	for _, f := range e.Findings {
		if f.Refusal != nil {
			return f.Refusal
		}
	}
	return nil
}

// Explain applies the rules that [Verifier.Verify] applies to a token in JWS compact form, and returns what each finds. Where Verify
// stops at the first rule that refuses the token, Explain continues with the others, also if the signature is invalid or no key is
// available to check it. It stops where nothing can be read: if the token is malformed, or its issuer is not configured. If the issuer
// has no keys yet, Explain waits until a read in progress has ended or ctx is done, longer than Verify, which answers requests. p is
// the policy that will decide about the principal.
func (v *Verifier) Explain(ctx context.Context, token string, p Policy) Explanation {
	form := Finding{Rule: "form"}
	if token, form.Refusal = bearerToken([]string{"Bearer " + token}, v.longest); form.Refusal != nil {
		return Explanation{Findings: []Finding{form}}
	}
	s, err := v.checkSignature(token)
	if errors.Is(err, ErrKeysUnavailable) {
		if s, parseErr := v.parse(token); parseErr == nil {
			s.issuer.set.waitForRead(ctx)
		}
		s, err = v.checkSignature(token)
	}
	if err != nil {
		if s, form.Refusal = v.parse(token); form.Refusal != nil {
			return Explanation{Findings: []Finding{form}}
		}
	}
	form.Read = []string{describeHeader(s.header)}
	signature := Finding{Rule: "signature", Settings: []string{"issuer", "jwks-url", "jwt-public-key-file", "jwt-secret"}, Refusal: err}
	e := Explanation{Findings: []Finding{form, signature}}
	if s.issuer == nil {
		return e
	}
	t := evaluation{header: s.header, claims: &s.claims}
	for _, step := range steps {
		err := step.apply(s.issuer.rules, &t)
		e.Findings = append(e.Findings, Finding{Rule: step.name, Settings: step.settings, Read: step.read(s.issuer.rules, &t, err != nil), Refusal: err})
	}
	e.Principal = t.principal
	if err := e.Err(); err == nil || errors.Is(err, ErrKeysUnavailable) {
		e.Warnings = s.issuer.warnings(&t, p)
	}
	return e
}

// warnings returns the Explanation.Warnings of a token to which all rules were applied.
func (r *rules) warnings(t *evaluation, p Policy) (all []string) {
	for _, claim := range t.platform {
		switch {
		case !r.mayNamePlatform():
			all = append(all, claim+" makes no administrator of the platform, because the issuer may not name any: only an item of issuers with platform: true may")
		case !t.principal.hasAuthority(roleAdmin):
			all = append(all, claim+" makes no administrator of the platform without the role "+roleAdmin+": see --claim-authorities and --map-authorities")
		}
	}
	if !p.MaySpanCustomers(t.principal) {
		all = append(all, "the token is for no customer, so that every request is answered 403: see --claim-customers, --customers-form and --map-customers, and customers in an item of issuers")
	}
	if len(p.Describe(t.principal).Permissions) == 0 {
		all = append(all, "the caller has no permission, so that every request is answered 403: see --claim-permissions, --claim-authorities and their maps and forms")
	}
	for _, err := range r.checkRoles(p.Roles) {
		all = append(all, err.Error()+"; a server whose directory lacks the role does not start")
	}
	return all
}

// parse parses a token without verifying its signature. The issuer is nil if it is not configured.
func (v *Verifier) parse(token string) (s signed, err error) {
	parsed, _, err := v.parser.ParseUnverified(token, &s.claims)
	if err != nil && !errors.Is(err, jwt.ErrTokenUnverifiable) { // as for an unknown algorithm
		return signed{}, refusal(err)
	}
	s.header, s.issuer = parsed.Header, v.issuerOf(&s.claims)
	return s, nil
}

// describeHeader describes the members of a header that decide how the token is read.
func describeHeader(header map[string]any) string {
	var members []string
	for _, name := range []string{"alg", "kid", "typ"} {
		switch value := header[name].(type) {
		case nil:
			members = append(members, name+" is absent")
		case string:
			members = append(members, name+" is "+strconv.Quote(value))
		default:
			members = append(members, name+" is not a string")
		}
	}
	return strings.Join(members, ", ")
}

// describe describes the value at a place.
func (p place) describe(members map[string]jsontext.Value) string {
	value, ok, err := p.find(members)
	if err != nil || !ok {
		return p.text + " is absent"
	}
	var text string
	if readText(&text)(value) {
		return p.text + " is " + strconv.Quote(text)
	}
	return p.text + " is " + strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, string(value))
}

// The functions below describe what the step of the same name reads, for [step.read].

func (r *rules) describeNothing(*evaluation, bool) []string { return nil }

func (r *rules) describeIssuer(t *evaluation, _ bool) []string {
	return []string{place{"iss", []string{"iss"}}.describe(t.claims.members)}
}

func (r *rules) describeAudience(t *evaluation, _ bool) []string {
	lines := []string{place{"aud", []string{"aud"}}.describe(t.claims.members)}
	if r.AudienceClaim != "" {
		lines = append(lines, r.audience.describe(t.claims.members))
	}
	return lines
}

func (r *rules) describeRequired(t *evaluation, _ bool) (lines []string) {
	for _, c := range r.required {
		lines = append(lines, c.describe(t.claims.members))
	}
	return lines
}

func (r *rules) describeSubject(t *evaluation, _ bool) []string {
	return []string{place{"sub", []string{"sub"}}.describe(t.claims.members)}
}

func (r *rules) describeUserID(t *evaluation, refused bool) []string {
	lines := []string{r.userID.describe(t.claims.members)}
	if _, isUser := t.principal.UserID(); !isUser || refused {
		return lines
	}
	if _, ok, _ := r.userID.find(t.claims.members); !ok {
		lines = append(lines, "sub is the user's UUID instead")
	}
	if r.scope != nil {
		lines = append(lines, "a write is answered 403 if that is a user of a customer that the issuer may not speak for")
	}
	return lines
}

func (r *rules) describeCustomers(t *evaluation, refused bool) []string {
	if t.all {
		return []string{r.customers.describeAll() + ", which stands for all customers"}
	}
	lines := r.customers.describe(t.claims.members, t.customers, refused)
	for _, text := range t.customers.ours {
		if key, ok := parseCustomer(text); ok && r.scope != nil && !r.scope[key] {
			lines = append(lines, fmt.Sprintf("%s is dropped, because the issuer may not speak for that customer", text))
		}
	}
	return lines
}

func (r *rules) describePermissions(t *evaluation, refused bool) []string {
	return r.permissions.describe(t.claims.members, t.permissions, refused)
}

func (r *rules) describeAuthorities(t *evaluation, refused bool) []string {
	return r.authorities.describe(t.claims.members, t.authorities, refused)
}

func (r *rules) describePlatform(t *evaluation, _ bool) []string {
	if r.platform == nil {
		return nil
	}
	return []string{r.platform.describe(t.claims.members)}
}

func (r *rules) describeTimes(t *evaluation, _ bool) (lines []string) {
	for name, date := range map[string]*jwt.NumericDate{"exp": t.claims.ExpiresAt, "iat": t.claims.IssuedAt, "nbf": t.claims.NotBefore} {
		if date != nil {
			lines = append(lines, name+" is "+date.UTC().Format(time.RFC3339))
		}
	}
	slices.Sort(lines)
	return lines
}

// describeAll describes the claim if it is AllCustomers.
func (r *claimReader) describeAll() string { return r.text + " is " + strconv.Quote(AllCustomers) }

// describe describes the values of a claim and what they mean, or the whole claim if it is refused.
func (r *claimReader) describe(members map[string]jsontext.Value, l listed, refused bool) (lines []string) {
	switch {
	case refused || !l.present:
		return []string{r.place.describe(members)}
	case len(l.theirs)+len(l.excluded) == 0:
		return []string{r.text + " is empty"}
	}
	for _, theirs := range l.theirs {
		line := r.text + " has " + strconv.Quote(theirs)
		switch ours := r.meanings[theirs]; {
		case r.meanings != nil && len(ours) == 0:
			line += ", which is dropped because no mapping names it"
		case r.meanings != nil:
			line += ", which means " + strings.Join(ours, ", ")
		}
		lines = append(lines, line)
	}
	for _, theirs := range l.excluded {
		lines = append(lines, r.text+" has "+strconv.Quote(theirs)+", which is dropped because it does not hold for every customer of the token")
	}
	return lines
}

// Rights are what a [Policy] permits a principal, for display. No list is nil.
type Rights struct {
	Subject string `json:"subject"`
	User    string `json:"user,omitempty"` // the UUID of the caller's own user; "" if the token has none

	Customers             []string `json:"customers"`              // by UUID or id, as the token or a mapping names them
	PlatformAdministrator bool     `json:"platform_administrator"` // if so, the rights are for all customers

	Permissions        []Permission `json:"permissions"` // those of the token's roles too
	Authorities        []string     `json:"authorities"`
	UnknownAuthorities []string     `json:"unknown_authorities"` // those that are no roles of the directory, and have no effect
	Rank               int          `json:"rank"`
}

// Describe returns what the principal may do.
func (p Policy) Describe(pr Principal) Rights {
	r := Rights{
		Subject: pr.Subject, PlatformAdministrator: p.PlatformAdministrator(pr), Rank: p.Rank(pr),
		Customers: []string{}, Permissions: []Permission{}, Authorities: append([]string{}, pr.authorities...), UnknownAuthorities: []string{},
	}
	if id, ok := pr.UserID(); ok {
		r.User = id.String()
	}
	for _, c := range pr.customers {
		r.Customers = append(r.Customers, c.String())
	}
	for _, permission := range []Permission{PermissionRead, PermissionWrite, PermissionCreate, PermissionHistory, PermissionProvisioning, PermissionErase, PermissionWebhooks} {
		if p.Permits(pr, permission) {
			r.Permissions = append(r.Permissions, permission)
		}
	}
	for _, name := range pr.authorities {
		if _, ok := p.Roles.ByName(name); !ok {
			r.UnknownAuthorities = append(r.UnknownAuthorities, name)
		}
	}
	return r
}

// String returns the id as a token has it.
func (k customerKey) String() string {
	if k.id != 0 {
		return strconv.FormatInt(k.id, 10)
	}
	return k.uuid.String()
}
