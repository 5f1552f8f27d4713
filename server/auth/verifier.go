package auth

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const leeway = 30 * time.Second // the tolerated difference between the issuer's clock and this one

// Verifier verifies bearer tokens. It is safe for concurrent use. Call Close to release its resources.
type Verifier struct {
	issuers map[string]*issuer // by iss, if there are several
	only    *issuer            // if there is one
	parser  *jwt.Parser
	longest int              // the maximum size of a token in bytes
	now     func() time.Time // also the clock of the rules

	cache *tokenCache
}

// issuer is an Issuer with its keys and rules parsed.
type issuer struct {
	*rules
	keys map[string]any // the configured keys, by the only algorithm that each verifies
	set  *keySource     // the key set, for keyMethods; nil if there is none
}

// NewVerifier returns a verifier, or the first error of [Config.Problems].
func NewVerifier(c Config) (*Verifier, error) {
	if problems := c.Problems(); len(problems) > 0 {
		return nil, problems[0]
	}
	v := &Verifier{issuers: map[string]*issuer{}, now: c.Now, longest: cmp.Or(c.MaxTokenBytes, DefaultMaxTokenBytes), cache: newTokenCache(maxCachedTokens)}
	if v.now == nil {
		v.now = time.Now
	}
	algorithms := map[string]bool{}
	for _, configured := range c.Issuers {
		i, err := v.newIssuer(configured, c)
		if err != nil {
			v.Close()
			return nil, err
		}
		v.issuers[i.Issuer] = i
		for name := range i.keys {
			algorithms[name] = true
		}
		if i.set == nil {
			continue
		}
		for _, method := range keyMethods {
			algorithms[method.Alg()] = true
		}
	}
	if len(c.Issuers) == 1 {
		v.only = v.issuers[c.Issuers[0].Rules.Issuer]
	}
	if algorithms[jwt.SigningMethodEdDSA.Alg()] {
		algorithms[ed25519Name] = true
	}
	v.parser = jwt.NewParser(
		jwt.WithValidMethods(slices.Collect(maps.Keys(algorithms))),
		// Otherwise a signature would have several valid encodings.
		jwt.WithStrictDecoding(),
		// Verify reads and validates the claims after the signature.
		jwt.WithoutClaimsValidation(),
	)
	return v, nil
}

// newIssuer parses the keys and rules of an issuer, and starts reading its key set.
func (v *Verifier) newIssuer(configured Issuer, c Config) (*issuer, error) {
	several := len(c.Issuers) > 1
	rules, problems := configured.compile(several)
	if len(problems) > 0 {
		return nil, problems[0]
	}
	rules.qualifies = several
	rules.times = jwt.NewValidator(jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(leeway), jwt.WithTimeFunc(v.now))
	i := &issuer{rules: rules, keys: map[string]any{}}
	if len(configured.Secret) > 0 {
		i.keys[jwt.SigningMethodHS256.Alg()] = bytes.Clone(configured.Secret)
	}
	if configured.PublicKeyPEM != nil {
		method, key, err := parsePublicKey(configured.PublicKeyPEM)
		if err != nil {
			return nil, err
		}
		i.keys[method.Alg()] = key
	}
	if configured.hasKeySet() {
		log := cmp.Or(c.Log, slog.Default())
		if several {
			log = log.With("issuer", configured.Rules.Issuer)
		}
		read, _, err := configured.keySetReader(c, log)
		if err != nil {
			return nil, err
		}
		i.set = startKeySource(read, cmp.Or(configured.JWKSRefresh, DefaultJWKSRefresh), cmp.Or(configured.JWKSMaxAge, DefaultJWKSMaxAge), log)
	}
	return i, nil
}

// Close stops reading the key sets. The verifier can still be used, with the keys that it has.
func (v *Verifier) Close() {
	for _, i := range v.issuers {
		if i.set != nil {
			i.set.close()
		}
	}
}

// Ready returns ErrKeysUnavailable if every issuer has a key set that was never read or has no key left, and nil otherwise.
func (v *Verifier) Ready() error {
	for _, i := range v.issuers {
		if i.set == nil || i.set.current() != nil {
			return nil
		}
	}
	return ErrKeysUnavailable
}

// Verify verifies the bearer token in an Authorization header and returns its principal. authorization contains all values of the
// header, as received. An error is either an [ErrUnauthenticated] or, for a well-formed token only, [ErrKeysUnavailable].
//
// There must be exactly one value, with the scheme Bearer in upper or lower case (RFC 6750, section 2.1; RFC 9110, section 11.1).
// The token must be in JWS compact form (RFC 7515), not exceed Config.MaxTokenBytes, be signed with a key of its issuer and that key's algorithm,
// and have no crit header, since no extension is supported (RFC 7515, section 4.1.11). It must have exp, and a sub that is not empty.
// exp, nbf and iat must be valid now, with 30 seconds of leeway. The token must not repeat a claim, and the claims that this server
// reads must have the right types; null is refused. [Rules] describe what else applies.
func (v *Verifier) Verify(authorization []string) (Principal, error) {
	token, err := bearerToken(authorization, v.longest)
	if err != nil {
		return Principal{}, err
	}

	hash := TokenHash(sha256.Sum256([]byte(token)))
	if t := v.cache.find(hash); t != nil {
		if now := v.now(); !now.Before(t.from) && now.Before(t.until) {
			return t.principal, nil
		}
		if err := t.issuer.times.Validate(&t.claims); err != nil {
			return Principal{}, timeRefusal(err)
		}
		return t.principal, nil
	}

	s, err := v.checkSignature(token)
	if err != nil {
		return Principal{}, err
	}
	t := evaluation{header: s.header, claims: &s.claims}
	if err := s.issuer.apply(&t); err != nil {
		return Principal{}, err
	}
	t.principal.Token = hash
	s.claims.members = nil // no longer needed, and the largest part of the claims
	v.cache.add(hash, newCachedToken(t.principal, s.issuer, s.claims, s.by))
	return t.principal, nil
}

// signed is a token whose signature is valid.
type signed struct {
	issuer *issuer
	header map[string]any
	claims claims
	by     signedBy
}

// checkSignature parses a token, finds its issuer, and verifies its signature with the issuer's keys.
func (v *Verifier) checkSignature(token string) (signed, error) {
	var s signed
	parsed, err := v.parser.ParseWithClaims(token, &s.claims, func(t *jwt.Token) (any, error) {
		if s.issuer = v.issuerOf(&s.claims); s.issuer == nil {
			return nil, errUnknownIssuer
		}
		// A token of another issuer is refused anyhow. It must not use up the reads of the key set, which are limited.
		lookUp := s.issuer.Issuer == "" || s.issuer.Issuer == s.claims.unverifiedIssuer()
		return s.issuer.key(t, lookUp, &s.by)
	})
	if err != nil {
		return signed{}, refusal(err)
	}
	s.header = parsed.Header
	return s, nil
}

// issuerOf returns the issuer whose keys must verify the token, or nil if there is none. The claims are not verified yet.
func (v *Verifier) issuerOf(c *claims) *issuer {
	if v.only != nil {
		return v.only
	}
	return v.issuers[c.unverifiedIssuer()]
}

// activeKeys returns the active keys of the key set, or nil if there is no set or no key.
func (i *issuer) activeKeys() *activeKeys {
	if i.set == nil {
		return nil
	}
	return i.set.current()
}

// Bearer returns the token in an Authorization header, of which authorization contains all values as received, and whether the header has the
// form that [Verifier.Verify] requires. It is for tokens that are no JWTs.
func Bearer(authorization []string) (string, bool) {
	token, err := bearerToken(authorization, DefaultMaxTokenBytes)
	return token, err == nil
}

// bearerToken returns the token of an Authorization header, which must not exceed a size in bytes.
func bearerToken(authorization []string, longest int) (string, error) {
	switch len(authorization) {
	case 0:
		return "", ErrTokenMissing
	case 1:
	default:
		return "", unauthenticated(FaultMalformed, "there is more than one Authorization header")
	}

	scheme, token, _ := strings.Cut(authorization[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", unauthenticated(FaultMalformed, "the Authorization header's scheme is not Bearer")
	}
	token = strings.TrimLeft(token, " ")
	if len(token) > longest {
		return "", unauthenticated(FaultMalformed, "the token is longer than %d bytes: let the identity provider put less into it, such as roles instead of groups, or set --max-token-bytes", longest)
	}
	// encoding/base64 ignores line breaks even in strict mode.
	if strings.ContainsAny(token, "\r\n") {
		return "", unauthenticated(FaultMalformed, "the token is malformed")
	}
	return token, nil
}

var (
	errCritical      = errors.New("the token has a crit header")
	errUnknownIssuer = errors.New("the token is from an unknown issuer")
)

// key returns the key to verify a token with. lookUp is whether the key set may be read for a key that it lacks. If the key is from the
// key set, key also sets by.
func (i *issuer) key(t *jwt.Token, lookUp bool, by *signedBy) (any, error) {
	if _, ok := t.Header["crit"]; ok {
		return nil, errCritical
	}
	algorithm := algorithmOf(t.Method.Alg())
	if key, ok := i.keys[algorithm]; ok {
		return key, nil
	}
	if i.set == nil || !slices.ContainsFunc(keyMethods, func(m jwt.SigningMethod) bool { return m.Alg() == algorithm }) {
		return nil, jwt.ErrTokenSignatureInvalid
	}
	value, hasKid := t.Header["kid"]
	kid, isText := value.(string)
	if hasKid && !isText {
		return nil, errUnknownKey
	}
	name := keyName{algorithm, kid}
	key, err := i.set.key(name, hasKid, lookUp)
	if err != nil {
		return nil, err
	}
	*by = signedBy{key, name, hasKid}
	return key.public, nil
}

// refusal converts an error from golang-jwt. It omits the error's text, which may quote the token.
func refusal(err error) error {
	switch {
	case errors.Is(err, ErrKeysUnavailable):
		return ErrKeysUnavailable
	case errors.Is(err, errUnknownKey):
		return unauthenticated(FaultUnknownKey, "the token's header names no key of the key set")
	case errors.Is(err, errUnknownIssuer):
		return unauthenticated(FaultIssuer, "the token is from an issuer that is not configured")
	case errors.Is(err, errCritical):
		return unauthenticated(FaultMalformed, "the token has a crit header, and no extension is supported")
	case errors.Is(err, jwt.ErrTokenMalformed):
		return unauthenticated(FaultMalformed, "the token is malformed: it must be a signed JWT, and not opaque or encrypted")
	case errors.Is(err, jwt.ErrTokenUnverifiable), errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return unauthenticated(FaultSignature, "the token is not signed with a configured key and that key's algorithm")
	}
	return unauthenticated(FaultMalformed, "the token is invalid")
}

// unauthenticated returns an ErrUnauthenticated with a reason for the log.
func unauthenticated(fault TokenFault, reason string, args ...any) error {
	return &unauthenticatedError{fault, fmt.Sprintf(reason, args...)}
}
