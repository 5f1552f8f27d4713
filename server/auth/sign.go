package auth

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// Claims are the claims of a token that [Sign] makes. A nil list omits its claim.
type Claims struct {
	Subject     string     // sub; required
	UserID      *uuid.UUID // nil omits the claim
	Customers   []string   // UUIDs and Longs in decimal digits, which are written as numbers; or only AllCustomers
	Permissions []Permission
	Authorities []string

	Issuer, Audience string // empty means those of Rules; if Rules has none, the claims are omitted

	Others map[string]any // further claims, which no rule reads

	Expires time.Duration // the token's lifetime, at least one second; exp is truncated to seconds

	Rules Rules // those of the verifier, which decide where and how claims are written
}

// Sign returns a token with these claims and now as its iat, signed with HS256. It is for `dragoman token` and for tests; in
// production the identity provider signs tokens. It returns an error for a claim or a secret that a [Verifier] with the same rules
// would refuse, and for what a token cannot express under these rules.
func Sign(secret []byte, c Claims, now time.Time) (string, error) {
	if err := checkSecret(secret); err != nil {
		return "", err
	}
	if c.Subject == "" {
		return "", errors.New("the subject is empty: set --subject")
	}
	if err := checkSubject(c.Subject); err != nil {
		return "", fmt.Errorf("--subject: %w", err)
	}
	if c.Expires < time.Second {
		return "", fmt.Errorf("the token would expire after %s, and the minimum is a second: set --expires", c.Expires)
	}
	rules, problems := c.Rules.compile(false)
	if len(problems) > 0 {
		return "", problems[0]
	}

	w := writer{rules: rules, members: map[string]any{}}
	maps.Copy(w.members, c.Others)
	w.members["sub"], w.members["iat"], w.members["exp"] = c.Subject, now.Unix(), now.Add(c.Expires).Unix()
	if c.UserID != nil {
		w.put(rules.userID, c.UserID.String())
	}
	if c.Customers != nil {
		w.customers(c.Customers)
	}
	if c.Permissions != nil {
		var permissions []string
		for _, p := range c.Permissions {
			permissions = append(permissions, string(p))
		}
		w.claim(rules.permissions, permissions)
	}
	if c.Authorities != nil {
		w.claim(rules.authorities, c.Authorities)
	}
	w.registered(c)
	if w.all {
		w.require(*rules.platform)
	}
	for _, required := range rules.required {
		w.require(required)
	}
	if w.err != nil {
		return "", w.err
	}

	token := jwt.NewWithClaims(jwt.SigningMethodHS256, w.members)
	if rules.TokenType == TokenAccess {
		token.Header["typ"] = "at+jwt"
	}
	text, err := token.SignedString(secret)
	if err != nil {
		return "", fmt.Errorf("signing the token: %w", err)
	}
	return text, nil
}

// writer writes the claims of a token as rules read them. It keeps the first error.
type writer struct {
	*rules
	members jwt.MapClaims
	named   []string // the customers as the token names them
	all     bool     // whether the token is for all customers by the condition for administrators of the platform
	err     error
}

func (w *writer) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

// put writes a value. A value that is there already, such as that of another claim at the same place, is extended.
func (w *writer) put(p place, value any) {
	object := map[string]any(w.members)
	for _, step := range p.steps[:len(p.steps)-1] {
		next, ok := object[step].(map[string]any)
		if !ok && object[step] != nil {
			w.fail("the claim %s cannot be written beside another", p.text)
			return
		}
		if !ok {
			next = map[string]any{}
			object[step] = next
		}
		object = next
	}
	last := p.steps[len(p.steps)-1]
	switch before := object[last].(type) {
	case nil:
		object[last] = value
		return
	case []any:
		if more, ok := value.([]any); ok {
			object[last] = append(before, more...)
			return
		}
	case map[string]any:
		if more, ok := value.(map[string]any); ok {
			maps.Copy(before, more)
			return
		}
	case string:
		if more, ok := value.(string); ok && w.isWords(p) {
			object[last] = strings.TrimSpace(before + " " + more)
			return
		}
	}
	w.fail("the claim %s cannot be written beside another", p.text)
}

func (w *writer) isWords(p place) bool {
	return slices.ContainsFunc([]*claimReader{w.rules.customers, w.permissions, w.authorities}, func(r *claimReader) bool {
		return r.form == FormWords && r.text == p.text
	})
}

// claim writes the values of a claim in its form.
func (w *writer) claim(r *claimReader, values []string) {
	theirs := make([]string, len(values))
	for i, value := range values {
		if theirs[i] = w.theirs(r, value, values); r.form == FormWords && strings.Contains(theirs[i], " ") {
			w.fail("the claim %s cannot have a value with a space", r.text)
		}
	}
	if r == w.rules.customers {
		w.named = theirs
	}
	switch r.form {
	case FormWords:
		w.put(r.place, strings.Join(theirs, " "))
	case FormKeys, FormKeysByCustomer:
		object := map[string]any{}
		for _, name := range theirs {
			holders := map[string]any{}
			if r.form == FormKeysByCustomer {
				for _, customer := range w.named {
					holders[customer] = ""
				}
			}
			object[name] = holders
		}
		w.put(r.place, object)
	default:
		list := make([]any, len(theirs))
		for i, text := range theirs {
			list[i] = text
			if key, ok := parseCustomer(text); ok && key.id != 0 && r == w.rules.customers {
				list[i] = key.id
			}
		}
		w.put(r.place, list)
	}
}

// theirs returns the provider's value that means one of ours, and nothing that is not among all.
func (w *writer) theirs(r *claimReader, ours string, all []string) string {
	if r.meanings == nil {
		return ours
	}
	for _, theirs := range slices.Sorted(maps.Keys(r.meanings)) {
		meanings := r.meanings[theirs]
		if slices.Contains(meanings, ours) && !slices.ContainsFunc(meanings, func(m string) bool { return !slices.Contains(all, m) }) {
			return theirs
		}
	}
	w.fail("no value of the claim %s means %q alone: add a mapping THEIRS=%s", r.text, ours, ours)
	return ""
}

// customers writes the customers claim.
func (w *writer) customers(names []string) {
	r := w.rules.customers
	if slices.Contains(names, AllCustomers) {
		switch {
		case len(names) > 1:
			w.fail("the customer %s stands for all customers, so give it alone", AllCustomers)
		case w.platform != nil:
			w.all = true
		case r.isPlain():
			w.put(r.place, AllCustomers)
		default:
			w.fail("a token for all customers needs --platform-administrators")
		}
		return
	}
	var normal []string
	for _, text := range names {
		key, ok := parseCustomer(text)
		switch {
		case !ok:
			w.fail("the customer %q is neither a UUID nor an integer above 0 nor %s for all", text, AllCustomers)
		case key.id != 0:
			normal = append(normal, fmt.Sprint(key.id))
		default:
			normal = append(normal, key.uuid.String())
		}
	}
	w.claim(r, normal)
}

// registered writes iss and the audience.
func (w *writer) registered(c Claims) {
	if c.Issuer == "" {
		c.Issuer = w.Issuer
	}
	if c.Issuer != "" {
		w.members["iss"] = c.Issuer
	}
	if c.Audience == "" && len(w.Audiences) > 0 {
		c.Audience = w.Audiences[0]
	}
	switch {
	case c.Audience == "":
	case w.AudienceClaim != "":
		w.put(w.audience, c.Audience)
	default:
		w.members["aud"] = c.Audience
	}
}

// require writes what a condition demands, unless it holds already.
func (w *writer) require(c condition) {
	text, err := json.Marshal(map[string]any(w.members))
	if err != nil {
		w.fail("writing the claims: %w", err)
		return
	}
	var members map[string]jsontext.Value
	if err := json.Unmarshal(text, &members); err != nil {
		w.fail("writing the claims: %w", err)
		return
	}
	if holds, err := c.holds(members); holds && err == nil {
		return
	}
	if c.anyValue {
		c.value = "true"
	}
	switch value, taken, err := c.find(members); {
	case !taken && err == nil:
		w.put(c.place, c.value)
	case err == nil && value.Kind() == '[':
		w.put(c.place, []any{c.value})
	default:
		w.fail("the claim %s is not what is required, and has another purpose", c.text)
	}
}
