package auth

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	leeway        = 30 * time.Second // the tolerated difference between the issuer's clock and this one
	maxTokenBytes = 8 << 10
)

// ClaimNames are the names of the claims that are not registered by RFC 7519. An empty name means the default.
type ClaimNames struct {
	UserID      string // the caller's user id; "custom:id" by default
	Customers   string // the customers that the token is for; "customer_id" by default
	Permissions string // the caller's permissions; "permissions" by default
	Authorities string // the caller's roles; "authorities" by default
}

func (n ClaimNames) withDefaults() ClaimNames {
	for _, name := range []struct {
		name     *string
		standard string
	}{
		{&n.UserID, "custom:id"},
		{&n.Customers, "customer_id"},
		{&n.Permissions, "permissions"},
		{&n.Authorities, "authorities"},
	} {
		if *name.name == "" {
			*name.name = name.standard
		}
	}
	return n
}

// Config configures a [Verifier]. It needs a secret, a public key or a key set; a secret can be combined with one of the others.
type Config struct {
	// Secret is the key of HS256 tokens: at least 32 raw bytes, which are not decoded. Empty means none.
	Secret []byte

	// PublicKeyPEM is a PEM file with one PUBLIC KEY (PKIX), RSA PUBLIC KEY (PKCS #1) or CERTIFICATE, of which only the key is
	// used. An RSA key of at least 2048 bits verifies RS256, an ECDSA key on P-256 verifies ES256, and an Ed25519 key verifies
	// EdDSA. Nil means none; an empty file is invalid.
	PublicKeyPEM []byte

	// JWKSURL is the location of the issuer's JWK Set (RFC 7517): an https URL, a file URL or a path. An http URL is only permitted
	// for a loopback address (127.0.0.0/8, ::1 or localhost). Empty means none.
	//
	// The set may contain the same kinds of keys as PublicKeyPEM, and each is used only for its own algorithm. If a key has the
	// members use, key_ops or alg, they must permit this. Symmetric and private keys are ignored. A token's kid names the key. A
	// token without a kid is verified with the set's only key for its algorithm, and refused if there are several. The set is
	// fetched without following redirects, within 10 seconds, and must not exceed 1 MiB.
	//
	// The set is read in the background: at the start, every JWKSRefresh, and for a token with an unknown kid. The last of these
	// happens at most once a minute, and requests wait for it for at most 2 seconds. A read that returns no usable key counts as
	// failed. After a failed read the keys remain active, and the set is read again within 30 seconds. A key is dropped if two
	// consecutive successful reads do not return it, or if its kid names another key. A file must be valid at the start. A URL need
	// not be reachable then; see ErrKeysUnavailable.
	JWKSURL string

	// JWKSRefresh is the interval between reads, at least a second. A withdrawn key may verify tokens for twice as long. 0 means
	// DefaultJWKSRefresh.
	JWKSRefresh time.Duration

	// JWKSMaxAge is how long a key verifies tokens after the last successful read that returned it. It must not be less than
	// JWKSRefresh. 0 means DefaultJWKSMaxAge.
	JWKSMaxAge time.Duration

	// Issuer must be the iss of every token, and Audience must be among its aud. Both are required with a public key or a key set,
	// since its owner may sign tokens for other services. An empty value is not checked.
	Issuer, Audience string

	Claims ClaimNames

	// Now returns the time with which tokens' exp, nbf and iat are compared. Nil means time.Now.
	Now func() time.Time

	// Transport wraps the transport that fetches the key set, for example for tracing. Nil means no wrapper.
	Transport func(http.RoundTripper) http.RoundTripper

	// Log gets a line when the key set is first read, changes, cannot be read, or loses keys. Nil means slog.Default().
	Log *slog.Logger
}

// Verifier verifies bearer tokens. It is safe for concurrent use. Call Close to release its resources.
type Verifier struct {
	keys      map[string]any // the configured keys, by the only algorithm that each verifies
	set       *keySource     // the key set, for keyMethods; nil if there is none
	names     ClaimNames
	parser    *jwt.Parser
	validator *jwt.Validator
	now       func() time.Time // also the validator's clock

	cache *tokenCache
}

// ErrNoKey is the problem that [Config.Problems] returns for a configuration without a key.
var ErrNoKey = errors.New("there is neither a secret nor a public key nor a JWKS URL to verify tokens with")

// Problems returns all errors in the configuration, or nil. It reads a key set from a file, but does not fetch one from a server.
func (c Config) Problems() (problems []error) {
	add := func(err error) {
		if err != nil {
			problems = append(problems, err)
		}
	}
	if len(c.Secret) > 0 {
		add(checkSecret(c.Secret))
	}
	if c.PublicKeyPEM != nil {
		_, _, err := parsePublicKey(c.PublicKeyPEM)
		add(err)
		if c.Issuer == "" || c.Audience == "" {
			add(errors.New("a public key needs an issuer and an audience, --issuer and --audience, or any token that its owner signs for anyone would be accepted"))
		}
	}
	if c.JWKSURL != "" {
		problems = append(problems, c.keySetProblems()...)
	}
	if len(c.Secret) == 0 && c.PublicKeyPEM == nil && c.JWKSURL == "" {
		add(ErrNoKey)
	}
	return problems
}

// NewVerifier returns a verifier, or the first error of [Config.Problems].
func NewVerifier(c Config) (*Verifier, error) {
	if problems := c.Problems(); len(problems) > 0 {
		return nil, problems[0]
	}
	v := &Verifier{keys: map[string]any{}, names: c.Claims.withDefaults(), now: c.Now, cache: newTokenCache(maxCachedTokens)}
	if v.now == nil {
		v.now = time.Now
	}

	if len(c.Secret) > 0 {
		v.keys[jwt.SigningMethodHS256.Alg()] = bytes.Clone(c.Secret)
	}
	if c.PublicKeyPEM != nil {
		method, key, err := parsePublicKey(c.PublicKeyPEM)
		if err != nil {
			return nil, err
		}
		v.keys[method.Alg()] = key
	}

	algorithms := slices.Collect(maps.Keys(v.keys))
	if c.JWKSURL != "" {
		var err error
		if v.set, err = newKeySource(c); err != nil {
			return nil, err
		}
		for _, method := range keyMethods {
			algorithms = append(algorithms, method.Alg())
		}
	}
	v.parser = jwt.NewParser(
		jwt.WithValidMethods(algorithms),
		// Otherwise a signature would have several valid encodings.
		jwt.WithStrictDecoding(),
		// Verify reads and validates the claims after the signature.
		jwt.WithoutClaimsValidation(),
	)

	options := []jwt.ParserOption{jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(leeway), jwt.WithTimeFunc(v.now)}
	if c.Issuer != "" {
		options = append(options, jwt.WithIssuer(c.Issuer))
	}
	if c.Audience != "" {
		options = append(options, jwt.WithAudience(c.Audience))
	}
	v.validator = jwt.NewValidator(options...)
	return v, nil
}

// Close stops reading the key set. The verifier can still be used, with the keys that it has.
func (v *Verifier) Close() {
	if v.set != nil {
		v.set.close()
	}
}

// Ready returns ErrKeysUnavailable if a key set is configured and was never read or has no key left, and nil otherwise.
func (v *Verifier) Ready() error {
	if v.set != nil && v.set.current() == nil {
		return ErrKeysUnavailable
	}
	return nil
}

// keySetProblems returns all errors in the configuration of the key set.
func (c Config) keySetProblems() (problems []error) {
	if c.PublicKeyPEM != nil {
		problems = append(problems, errors.New("there is both a public key and a JWKS URL: set --jwt-public-key-file or --jwks-url, and put the key into the set if both are needed"))
	} else if c.Issuer == "" || c.Audience == "" {
		problems = append(problems, errors.New("a JWKS URL needs an issuer and an audience, --issuer and --audience, or any token that its owner signs for anyone would be accepted"))
	}
	if c.JWKSRefresh != 0 && c.JWKSRefresh < minJWKSRefresh {
		problems = append(problems, fmt.Errorf("the JWKS would be refreshed every %s, and the minimum is %s: set --jwks-refresh", c.JWKSRefresh, minJWKSRefresh))
	}
	if refresh, age := cmp.Or(c.JWKSRefresh, DefaultJWKSRefresh), cmp.Or(c.JWKSMaxAge, DefaultJWKSMaxAge); age < refresh {
		problems = append(problems, fmt.Errorf("keys of the JWKS would be dropped after %s and are refreshed only every %s: --jwks-max-age must not be less than --jwks-refresh", age, refresh))
	}
	read, isFile, err := keySetReader(c.JWKSURL, c.Transport)
	if err != nil {
		return append(problems, err)
	}
	if isFile {
		// Unlike a server, which may be down temporarily, a file must be readable at the start.
		content, err := read(context.Background())
		if err == nil {
			_, err = parseKeySet(content)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("the JWKS file cannot be used, see --jwks-url (DRAGOMAN_JWKS_URL): %w", err))
		}
	}
	return problems
}

// newKeySource starts the source of the configured key set.
func newKeySource(c Config) (*keySource, error) {
	read, _, err := keySetReader(c.JWKSURL, c.Transport)
	if err != nil {
		return nil, err
	}
	return startKeySource(read, cmp.Or(c.JWKSRefresh, DefaultJWKSRefresh), cmp.Or(c.JWKSMaxAge, DefaultJWKSMaxAge), cmp.Or(c.Log, slog.Default())), nil
}

// Verify verifies the bearer token in an Authorization header and returns its principal. authorization contains all values of the
// header, as received. An error is either an [ErrUnauthenticated] or, for a well-formed token only, [ErrKeysUnavailable].
//
// There must be exactly one value, with the scheme Bearer in upper or lower case (RFC 6750, section 2.1; RFC 9110, section 11.1).
// The token must be in JWS compact form (RFC 7515), not exceed 8 KiB, be signed with a configured key and that key's algorithm, and
// have no crit header, since no extension is supported (RFC 7515, section 4.1.11). It must have exp, and a sub that is not empty.
// exp, nbf and iat must be valid now, with 30 seconds of leeway, and iss and aud must be as configured. The token must not repeat a
// claim, and the claims that this server reads must have the right types; null is refused.
func (v *Verifier) Verify(authorization []string) (Principal, error) {
	token, err := bearerToken(authorization)
	if err != nil {
		return Principal{}, err
	}

	hash := TokenHash(sha256.Sum256([]byte(token)))
	if t := v.cache.find(hash, v.activeKeys()); t != nil {
		if now := v.now(); !now.Before(t.from) && now.Before(t.until) {
			return t.principal, nil
		}
		if err := v.validator.Validate(&t.claims); err != nil {
			return Principal{}, refusal(err)
		}
		return t.principal, nil
	}

	var c claims
	var by signedBy
	if _, err := v.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) { return v.key(t, &by) }); err != nil {
		return Principal{}, refusal(err)
	}
	principal, err := c.read(v.names)
	if err != nil {
		return Principal{}, err
	}
	if err := v.validator.Validate(&c); err != nil {
		return Principal{}, refusal(err)
	}
	principal.Token = hash
	c.members = nil // no longer needed, and the largest part of the claims
	v.cache.add(hash, newCachedToken(principal, c, by))
	return principal, nil
}

// activeKeys returns the active keys of the key set, or nil if there is no set or no key.
func (v *Verifier) activeKeys() *activeKeys {
	if v.set == nil {
		return nil
	}
	return v.set.current()
}

// bearerToken returns the token of an Authorization header.
func bearerToken(authorization []string) (string, error) {
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
	if len(token) > maxTokenBytes {
		return "", unauthenticated(FaultMalformed, "the token is longer than %d bytes", maxTokenBytes)
	}
	// encoding/base64 ignores line breaks even in strict mode.
	if strings.ContainsAny(token, "\r\n") {
		return "", unauthenticated(FaultMalformed, "the token is malformed")
	}
	return token, nil
}

var errCritical = errors.New("the token has a crit header")

// key returns the key to verify a token with. The token's algorithm is in v.keys or, if there is a key set, in keyMethods. If the key
// is from the key set, key also sets by.
func (v *Verifier) key(t *jwt.Token, by *signedBy) (any, error) {
	if _, ok := t.Header["crit"]; ok {
		return nil, errCritical
	}
	algorithm := t.Method.Alg()
	if key, ok := v.keys[algorithm]; ok {
		return key, nil
	}
	value, hasKid := t.Header["kid"]
	kid, isText := value.(string)
	if hasKid && !isText {
		return nil, errUnknownKey
	}
	name := keyName{algorithm, kid}
	key, err := v.set.key(name, hasKid)
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
	case errors.Is(err, errCritical):
		return unauthenticated(FaultMalformed, "the token has a crit header, and no extension is supported")
	case errors.Is(err, jwt.ErrTokenMalformed):
		return unauthenticated(FaultMalformed, "the token is malformed")
	case errors.Is(err, jwt.ErrTokenUnverifiable), errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return unauthenticated(FaultSignature, "the token is not signed with a configured key and that key's algorithm")
	case errors.Is(err, jwt.ErrTokenInvalidIssuer):
		return unauthenticated(FaultIssuer, "the token is from another issuer")
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return unauthenticated(FaultAudience, "the token is for another audience")
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return unauthenticated(FaultClaims, "the token lacks its exp, or the iss or aud that is required")
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

// unauthenticated returns an ErrUnauthenticated with a reason for the log.
func unauthenticated(fault TokenFault, reason string, args ...any) error {
	return &unauthenticatedError{fault, fmt.Sprintf(reason, args...)}
}
