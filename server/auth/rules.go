package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/dragoman-id/dragoman/store"
)

// TokenType says which values of the header typ a token may have (RFC 8725, section 3.11). They are compared ignoring case.
type TokenType string

// The token types.
const (
	TokenAny    TokenType = "any"    // JWT, at+jwt, application/at+jwt, or no typ; never that of another kind of token, such as logout+jwt
	TokenAccess TokenType = "access" // at+jwt or application/at+jwt, the types of an access token (RFC 9068, section 4)
)

// MissingClaims says what it means if a token lacks a claim.
type MissingClaims string

// The meanings of a missing claim. Without a customers claim a token is for no customer, in either case.
const (
	MissingEmpty  MissingClaims = "empty"  // a missing claim is an empty one: without an authorities claim the rank is 0
	MissingLegacy MissingClaims = "legacy" // without an authorities claim, PermissionWrite has rank 2, as in Worth's own tokens
)

// Rules are the complete rules by which the tokens of one issuer are read. A token that violates one of them is refused. The zero
// value accepts every issuer and audience, and reads claims by their default names, as Worth's own tokens have them.
type Rules struct {
	// Issuer must be the iss of every token. It is compared exactly, also a final slash. Empty means that it is not checked.
	Issuer string

	// Audiences are the values of which a token's aud must contain one. Empty means that it is not checked.
	Audiences []string

	// AudienceClaim is the claim that has the audience instead of aud, which Audiences must not be empty for. It must be a string.
	// A token that has aud too is refused. It is a name or a JSON Pointer, as Claim.Name is. Empty means aud.
	AudienceClaim string

	TokenType TokenType // empty means TokenAny

	Required []Condition // all must hold

	// UserID is the place of the caller's user id, a UUID; a name or a JSON Pointer, as Claim.Name is. If it is set, a token
	// without the claim is rejected. Empty means "custom:id", which a token may lack.
	UserID string

	Customers   Claim // the customers that the token is for, UUIDs or ids; by default "customer_id"
	Permissions Claim // the caller's permissions; by default "permissions"
	Authorities Claim // the caller's roles; by default "authorities"

	// MissingClaims is MissingLegacy by default as long as UserID, Customers, Permissions and Authorities have their zero values
	// and there is one issuer, and MissingEmpty otherwise. MissingLegacy is then invalid, because the claim of a mistyped name is
	// missing.
	MissingClaims MissingClaims

	// PlatformAdministrators is a condition that makes a caller with ROLE_ADMIN an administrator of the platform, besides
	// AllCustomers. AllCustomers only counts as the string that is the whole customers claim, if Customers has a literal name, no Form
	// and no Map. Nil means none.
	PlatformAdministrators *Condition

	// Scope limits for whom the issuer may speak. Nil means no limit.
	Scope *Scope
}

// Scope limits for whom an issuer may speak, whatever its tokens contain.
type Scope struct {
	// Customers are the only customers that its tokens can cover, by UUID or id. Others are dropped. A token that names a customer by
	// its UUID does not cover one that is listed by its id, nor the reverse. AllCustomers alone means any. Otherwise a token whose user
	// belongs to a customer that is listed by neither may not write; see Policy.MayActAs.
	Customers []string
	Platform  bool // whether its tokens may describe administrators of the platform
}

// Problems returns all errors in the rules, or nil. Their texts name the settings by their flags.
func (r Rules) Problems() []error {
	_, problems := r.compile(false)
	return problems
}

// Missing returns what a missing claim means under these rules, if they are valid. several is whether there are other issuers too.
func (r Rules) Missing(several bool) MissingClaims {
	switch {
	case r.MissingClaims != "":
		return r.MissingClaims
	case several || r.readsOtherClaims():
		return MissingEmpty
	}
	return MissingLegacy
}

// readsOtherClaims reports whether a claim is read otherwise than by default.
func (r Rules) readsOtherClaims() bool {
	return r.UserID != "" || r.Customers.isSet() || r.Permissions.isSet() || r.Authorities.isSet()
}

// rules are Rules whose places and maps are parsed.
type rules struct {
	Rules
	audience                            place
	required                            []condition
	userID                              place
	customers, permissions, authorities *claimReader
	qualifies                           bool // whether the issuer is a part of the subject
	legacy                              bool // whether MissingLegacy applies
	platform                            *condition
	scope                               map[customerKey]bool // nil: every customer
	reads                               map[string]bool      // the names of the claims that are read
	times                               *jwt.Validator       // for exp, nbf and iat
}

// compile parses the rules. several is whether there are other issuers too.
func (r Rules) compile(several bool) (*rules, []error) {
	b := rulesBuilder{rules: &rules{Rules: r, reads: map[string]bool{}}}
	for _, name := range []string{"exp", "nbf", "iat", "iss", "aud", "sub", "cnf"} {
		b.rules.reads[name] = true
	}
	b.audience()
	for _, c := range r.Required {
		b.required = append(b.required, b.condition(c, "--require"))
	}
	b.userID = b.place(r.UserID, "custom:id", "--claim-user-id")
	b.customers = b.claim(r.Customers, "customer_id", "customers")
	b.permissions = b.claim(r.Permissions, "permissions", "permissions")
	b.authorities = b.claim(r.Authorities, "authorities", "authorities")
	if r.PlatformAdministrators != nil {
		c := b.condition(*r.PlatformAdministrators, "--platform-administrators")
		if c.anyValue {
			b.add("the condition for administrators of the platform has no value: write --platform-administrators=CLAIM=VALUE")
		}
		b.platform = &c
	}
	b.missing(several)
	b.limit()
	return b.rules, b.problems
}

// rulesBuilder collects what is wrong with rules while it parses them.
type rulesBuilder struct {
	*rules
	problems []error
}

func (b *rulesBuilder) add(format string, args ...any) {
	b.problems = append(b.problems, fmt.Errorf(format, args...))
}

func (b *rulesBuilder) audience() {
	if slices.Contains(b.Audiences, "") {
		b.add("an audience is empty: see --audience")
	}
	if b.AudienceClaim != "" {
		if len(b.Audiences) == 0 {
			b.add("--audience-claim needs --audience, the values that the claim may have")
		}
		b.rules.audience = b.place(b.AudienceClaim, "", "--audience-claim")
		switch b.rules.audience.steps[0] {
		case "aud":
			b.add("--audience-claim is for tokens without aud, where another claim names the audience: leave --audience-claim out")
		case "iss":
			b.add("--audience-claim cannot be iss, which is the same in every token of the issuer, whomever it is for: name the claim with the client, such as client_id")
		}
	}
	if b.TokenType != "" && b.TokenType != TokenAny && b.TokenType != TokenAccess {
		b.add("the type of tokens %q is unknown: set --token-type to any or access", b.TokenType)
	}
}

// place parses the place that a setting names, or its default.
func (b *rulesBuilder) place(text, standard, setting string) place {
	if text == "" {
		text = standard
	}
	p, err := parsePlace(text)
	if err != nil {
		b.add("%s: %w", setting, err)
		return place{text, []string{text}}
	}
	b.reads[p.steps[0]] = true
	return p
}

func (b *rulesBuilder) condition(c Condition, setting string) condition {
	switch {
	case c.Claim == "":
		b.add("%s: a condition has no claim", setting)
	case c.Value == "" && !c.AnyValue:
		// It is probably that of an unset variable. Providers issue an empty claim to users without a value.
		b.add("%s: the value of %s is empty, which a claim without a value may be too: write CLAIM=VALUE", setting, c.Claim)
	}
	return condition{b.place(c.Claim, "", setting), c.Value, c.AnyValue}
}

// shapes describe what a claim must be, by its form.
var shapes = map[Form]string{
	FormList:           "a string or an array of strings",
	FormWords:          "a string of words",
	FormKeys:           "an object",
	FormKeysByCustomer: "an object of objects",
}

// claim parses a claim; kind is customers, permissions or authorities.
func (b *rulesBuilder) claim(c Claim, standard, kind string) *claimReader {
	r := &claimReader{place: b.place(c.Name, standard, "--claim-"+kind), form: c.Form, formed: c.Form != "", integers: kind == "customers"}
	if r.form == "" {
		r.form = FormList
	}
	switch {
	case shapes[r.form] == "":
		b.add("the form %q is unknown: set --%s-form to list, words, keys or keys-by-customer", c.Form, kind)
	case r.form == FormKeysByCustomer && kind == "customers":
		b.add("--customers-form cannot be keys-by-customer, which needs the customers to begin with")
	}
	r.shape = shapes[r.form]
	for _, m := range c.Map {
		if r.meanings == nil {
			r.meanings = map[string][]string{}
		}
		if err := checkMapping(m, kind); err != nil {
			b.add("--map-%s: %w", kind, err)
		}
		if !slices.Contains(r.meanings[m.Theirs], m.Ours) {
			r.meanings[m.Theirs] = append(r.meanings[m.Theirs], m.Ours)
		}
	}
	if kind == "customers" && r.form == FormList {
		r.shape = "a UUID, an integer above 0, or an array of them"
		if r.isPlain() {
			r.shape += `, or "*"`
		}
	}
	return r
}

// checkMapping returns an error for a mapping that can only be a mistake. Config.CheckRoles checks the names of roles.
func checkMapping(m Mapping, kind string) error {
	_, isCustomer := parseCustomer(m.Ours)
	isPermission := slices.Contains([]Permission{PermissionRead, PermissionWrite, PermissionCreate}, Permission(m.Ours))
	switch {
	case m.Theirs == "" || m.Ours == "":
		return errors.New("a mapping lacks a side: write THEIRS=OURS")
	case strings.Contains(m.Theirs, AllCustomers) && kind == "customers":
		return fmt.Errorf("%q is compared exactly, and %s is no pattern: map each customer", m.Theirs, AllCustomers)
	case kind == "customers" && m.Ours == AllCustomers:
		return fmt.Errorf("%q cannot mean all customers: administrators of the platform are named by --platform-administrators", m.Theirs)
	case kind == "customers" && !isCustomer:
		return fmt.Errorf("%q is neither a customer's UUID nor its id, an integer above 0", m.Ours)
	case kind == "permissions" && !isPermission:
		return fmt.Errorf("%q is no permission: it is %s, %s or %s", m.Ours, PermissionRead, PermissionWrite, PermissionCreate)
	}
	return nil
}

// missing decides what a missing claim means.
func (b *rulesBuilder) missing(several bool) {
	risky := several || b.readsOtherClaims()
	b.legacy = b.Missing(several) == MissingLegacy && !risky
	switch b.MissingClaims {
	case "", MissingEmpty:
	case MissingLegacy:
		if risky {
			b.add("--missing-claims=legacy cannot be combined with other names, forms or maps of claims (--claim-..., --...-form, --map-..., --idp) or several issuers, because a claim that is misspelled is missing: leave it out")
		}
	default:
		b.add("--missing-claims %q is unknown: set it to empty or legacy", b.MissingClaims)
	}
}

// limit parses the scope.
func (b *rulesBuilder) limit() {
	if b.Scope == nil {
		return
	}
	if slices.Equal(b.Scope.Customers, []string{AllCustomers}) {
		return
	}
	if len(b.Scope.Customers) == 0 {
		b.add("customers: the issuer may speak for no customer: list those that it may speak for, or write \"*\" for all")
	}
	b.scope = map[customerKey]bool{}
	for _, text := range b.Scope.Customers {
		key, ok := parseCustomer(text)
		if !ok {
			b.add("customers: %q is neither a customer's UUID nor its id, an integer above 0", text)
		}
		b.scope[key] = true
	}
}

// checkRoles returns an error for each mapping of Authorities onto a role that the catalogue does not have.
func (r Rules) checkRoles(c *store.Catalogue) (problems []error) {
	for _, m := range r.Authorities.Map {
		if _, ok := c.ByName(m.Ours); !ok {
			problems = append(problems, fmt.Errorf("--map-authorities: there is no role %q: map onto a role of the directory, such as %s", m.Ours, roleCompanyAdmin))
		}
	}
	return problems
}

// evaluation is a token while rules are applied to it. Its signature is valid.
type evaluation struct {
	header    map[string]any
	claims    *claims
	principal Principal

	customers, permissions, authorities listed

	all      bool     // whether the customers claim is AllCustomers
	platform []string // the claims that make a caller with ROLE_ADMIN an administrator of the platform, if the issuer may name any
}

// step is one rule: what it is about, the flags that configure it, and how it is applied. apply stores what it finds in the evaluation,
// and returns an ErrUnauthenticated if the token violates the rule. A step uses what the steps before it have stored, and nothing
// if they returned an error. read describes what the step reads, for Explain, and is told whether apply returned an error.
type step struct {
	name     string
	settings []string
	apply    func(*rules, *evaluation) error
	read     func(r *rules, t *evaluation, refused bool) []string
}

// steps are all rules in the order in which they are applied. The validity period is the last, so that only a token without another
// fault is reported as expired.
var steps = []step{
	{"registered claims", nil, func(_ *rules, t *evaluation) error { return t.claims.readRegistered() }, (*rules).describeNothing},
	{"issuer", []string{"issuer"}, (*rules).checkIssuer, (*rules).describeIssuer},
	{"audience", []string{"audience", "audience-claim"}, (*rules).checkAudience, (*rules).describeAudience},
	{"type", []string{"token-type"}, (*rules).checkType, (*rules).describeNothing},
	{"binding", nil, (*rules).checkBinding, (*rules).describeNothing},
	{"claims elsewhere", nil, (*rules).checkClaimNames, (*rules).describeNothing},
	{"required claims", []string{"require"}, (*rules).checkRequired, (*rules).describeRequired},
	{"subject", nil, (*rules).readSubject, (*rules).describeSubject},
	{"user", []string{"claim-user-id"}, (*rules).readUserID, (*rules).describeUserID},
	{"customers", []string{"claim-customers", "customers-form", "map-customers"}, (*rules).readCustomers, (*rules).describeCustomers},
	{"permissions", []string{"claim-permissions", "permissions-form", "map-permissions"}, (*rules).readPermissions, (*rules).describePermissions},
	{"authorities", []string{"claim-authorities", "authorities-form", "map-authorities", "missing-claims"}, (*rules).readAuthorities, (*rules).describeAuthorities},
	{"administration of the platform", []string{"platform-administrators"}, (*rules).readPlatform, (*rules).describePlatform},
	{"validity", nil, (*rules).checkTimes, (*rules).describeTimes},
}

// apply applies the rules in order, up to the first that the token violates.
func (r *rules) apply(t *evaluation) error {
	for _, s := range steps {
		if err := s.apply(r, t); err != nil {
			return err
		}
	}
	return nil
}

func (r *rules) checkIssuer(t *evaluation) error {
	switch iss := t.claims.Issuer; {
	case r.Issuer == "" || iss == r.Issuer:
		return nil
	case iss == "":
		return unauthenticated(FaultClaims, "the token has no iss, which must be that of --issuer")
	case strings.TrimSuffix(iss, "/") == strings.TrimSuffix(r.Issuer, "/"):
		return unauthenticated(FaultIssuer, "the token's iss differs from --issuer in the final slash: set --issuer to exactly what tokens have")
	}
	return unauthenticated(FaultIssuer, "the token is from another issuer")
}

func (r *rules) checkAudience(t *evaluation) error {
	if len(r.Audiences) == 0 {
		return nil
	}
	audiences := []string(t.claims.Audience)
	if r.AudienceClaim != "" {
		if _, ok := t.claims.members["aud"]; ok {
			return unauthenticated(FaultAudience, "the token has aud too, so that %s is not its audience: see --audience-claim", r.audience.text)
		}
		value, ok, err := r.audience.find(t.claims.members)
		if err != nil {
			return err
		}
		var audience string
		if ok && !readText(&audience)(value) {
			return unauthenticated(FaultClaims, "the token's claim %s is not a string", r.audience.text)
		}
		audiences = []string{audience}
	}
	switch {
	case slices.ContainsFunc(audiences, func(a string) bool { return slices.Contains(r.Audiences, a) }):
		return nil
	case strings.Join(audiences, "") == "":
		return unauthenticated(FaultClaims, "the token has no audience, which must be among --audience")
	}
	return unauthenticated(FaultAudience, "the token is for another audience")
}

func (r *rules) checkType(t *evaluation) error {
	value, hasType := t.header["typ"]
	typ, _ := value.(string)
	isAccess := strings.EqualFold(typ, "at+jwt") || strings.EqualFold(typ, "application/at+jwt")
	switch {
	case isAccess:
		return nil
	case r.TokenType == TokenAccess:
		return unauthenticated(FaultType, "the token's typ is not at+jwt, which --token-type=access requires")
	case !hasType || strings.EqualFold(typ, "JWT"):
		return nil
	}
	return unauthenticated(FaultType, "the token's typ is neither JWT nor at+jwt: it is another kind of token than an access token")
}

// checkBinding refuses a token that only the holder of a key may use (RFC 7800), since nothing here checks that key.
func (r *rules) checkBinding(t *evaluation) error {
	if _, ok := t.claims.members["cnf"]; ok {
		return unauthenticated(FaultClaims, "the token is bound to a key (cnf), which this server does not check: let the identity provider issue plain bearer tokens for it, without DPoP or certificates")
	}
	return nil
}

// checkClaimNames refuses a token that refers to another place for a claim that is read (OpenID Connect Core 1.0, section 5.6.2).
func (r *rules) checkClaimNames(t *evaluation) error {
	value, ok := t.claims.members["_claim_names"]
	if !ok {
		return nil
	}
	elsewhere, ok := readObject(value)
	if !ok {
		return unauthenticated(FaultClaims, "the token's claim _claim_names is not an object")
	}
	for name := range elsewhere {
		if r.reads[name] {
			return unauthenticated(FaultClaims, "the token does not contain its claim %s but refers to another place for it (_claim_names), as providers do if a user has too many groups: let the identity provider issue roles or fewer groups", name)
		}
	}
	return nil
}

func (r *rules) checkRequired(t *evaluation) error {
	for _, c := range r.required {
		holds, err := c.holds(t.claims.members)
		if err != nil {
			return err
		}
		if !holds {
			return unauthenticated(FaultClaims, "the token's claim %s is absent or not what --require says", c.text)
		}
	}
	return nil
}

// maxSubjectBytes is the maximum length of sub: 255 ASCII characters (OpenID Connect Core 1.0, section 2).
const maxSubjectBytes = 255

// checkSubject returns an error unless a sub can be stored, as every change in the history has it. Postgres refuses U+0000 in text.
func checkSubject(subject string) error {
	switch {
	case subject == "" || strings.ContainsRune(subject, 0):
		return unauthenticated(FaultClaims, "the token's sub is missing, empty or has U+0000")
	case len(subject) > maxSubjectBytes:
		return unauthenticated(FaultClaims, "the token's sub has more than %d bytes: let the identity provider issue the user's id as sub", maxSubjectBytes)
	}
	return nil
}

// readSubject sets the principal's subject.
func (r *rules) readSubject(t *evaluation) error {
	if err := checkSubject(t.claims.Subject); err != nil {
		return err
	}
	t.principal.Issuer, t.principal.Name = t.claims.Issuer, t.claims.Subject
	t.principal.Subject = t.claims.Subject
	if r.qualifies {
		t.principal.Subject = t.claims.Issuer + " " + t.claims.Subject
	}
	return nil
}

func (r *rules) readUserID(t *evaluation) error {
	t.principal.scope = r.scope
	value, ok, err := r.userID.find(t.claims.members)
	if err != nil {
		return err
	}
	if ok && !readUserID(&t.principal.userID)(value) {
		return unauthenticated(FaultClaims, "the token's claim %s is not a UUID", r.userID.text)
	}
	if !ok && r.UserID != "" {
		// A misspelled name would otherwise let an inactive user write, since nobody would be looked up.
		return unauthenticated(FaultClaims, "the token has no claim %s, which --claim-user-id names: leave --claim-user-id out if some callers are no users", r.userID.text)
	}
	if !ok {
		t.principal.userID, _ = ParseUUID(t.claims.Subject)
	}
	return nil
}

func (r *rules) readCustomers(t *evaluation) (err error) {
	if r.customers.isPlain() {
		var text string
		if value, ok := t.claims.members[r.customers.text]; ok && readText(&text)(value) && text == AllCustomers {
			t.customers = listed{present: true, theirs: []string{text}}
			t.all = true
			r.namePlatform(t, r.customers.describeAll()+", which")
			return nil
		}
	}
	if t.customers, err = r.customers.read(t.claims.members, nil); err != nil {
		return err
	}
	for _, text := range t.customers.ours {
		key, ok := parseCustomer(text)
		switch {
		case !ok && text == AllCustomers:
			return unauthenticated(FaultClaims, "the token's claim %s has *, which counts only as the whole claim, and without a JSON Pointer, --customers-form and --map-customers: see --platform-administrators", r.customers.text)
		case !ok:
			return unauthenticated(FaultClaims, "the token's claim %s has a value that is neither a UUID nor an integer above 0: see --map-customers", r.customers.text)
		}
		if r.scope == nil || r.scope[key] {
			t.principal.customers = append(t.principal.customers, key)
		}
	}
	return nil
}

func (r *rules) readPermissions(t *evaluation) (err error) {
	t.permissions, err = r.permissions.read(t.claims.members, t.customers.theirs)
	t.principal.permissions = t.permissions.ours
	return err
}

// readAuthorities reads the authorities. An empty list differs from an absent claim: it grants no authority, whereas without the claim
// the rank of Worth's own tokens depends on the permissions.
func (r *rules) readAuthorities(t *evaluation) (err error) {
	t.authorities, err = r.authorities.read(t.claims.members, t.customers.theirs)
	t.principal.authorities = t.authorities.ours
	t.principal.ranksByPermission = r.legacy && err == nil && !t.authorities.present
	return err
}

func (r *rules) readPlatform(t *evaluation) error {
	if r.platform == nil {
		return nil
	}
	holds, err := r.platform.holds(t.claims.members)
	if holds {
		r.namePlatform(t, r.platform.text+", which is what --platform-administrators says,")
	}
	return err
}

// namePlatform makes the token one for all customers, if the issuer may issue such tokens. claim describes the claim that says so.
func (r *rules) namePlatform(t *evaluation, claim string) {
	t.platform = append(t.platform, claim)
	t.principal.allCustomers = t.principal.allCustomers || r.mayNamePlatform()
}

// mayNamePlatform reports whether the issuer's tokens may describe administrators of the platform.
func (r *rules) mayNamePlatform() bool { return r.Scope == nil || r.Scope.Platform }

func (r *rules) checkTimes(t *evaluation) error {
	if err := r.times.Validate(t.claims); err != nil {
		return timeRefusal(err)
	}
	return nil
}

// timeRefusal converts an error of the validator of exp, nbf and iat.
func timeRefusal(err error) error {
	switch {
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return unauthenticated(FaultClaims, "the token lacks its exp")
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return unauthenticated(FaultNotYetValid, "the token is not valid yet (nbf)")
	case errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return unauthenticated(FaultNotYetValid, "the token was issued in the future (iat)")
	// This case must be the last: ErrTokenExpired is only for tokens without another fault.
	case errors.Is(err, jwt.ErrTokenExpired):
		return ErrTokenExpired
	}
	return unauthenticated(FaultClaims, "the token is invalid")
}
