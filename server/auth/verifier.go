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
	leeway        = 30 * time.Second // how far the issuer's clock may be from ours, either way
	maxTokenBytes = 8 << 10
)

// ClaimNames are the names of the claims that are not registered by RFC 7519. An empty name means its default.
type ClaimNames struct {
	UserID      string // the caller's own user id; "custom:id"
	Customers   string // the customers the token is for; "customer_id"
	Permissions string // what it may do; "permissions"
	Authorities string // the roles of its holder; "authorities"
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

// Config is what a [Verifier] trusts. There must be a secret, a public key or a key set, or a secret beside one of the latter.
type Config struct {
	// Secret is the key of HS256 tokens as raw bytes, whatever they look like; at least 32 of them. Empty: there is none.
	Secret []byte

	// PublicKeyPEM is a PEM file with one PUBLIC KEY (PKIX), RSA PUBLIC KEY (PKCS #1) or CERTIFICATE, of which the key alone
	// is used. RSA of at least 2048 bits verifies RS256, ECDSA on P-256 ES256, Ed25519 EdDSA. Nil: there is none; an
	// empty file is a mistake.
	PublicKeyPEM []byte

	// JWKSURL is where the issuer's JWK Set (RFC 7517) is: an https URL, a file URL or a path; http for a loopback address
	// alone (127.0.0.0/8, ::1 or localhost). Empty: there is none.
	//
	// Of its keys those verify tokens that a public key file could hold, each its own algorithm alone, whose use, key_ops and
	// alg, where they have them, say so. A symmetric key never does, nor one that is published with its private half. A
	// token's kid names the key. A token without a kid is verified with the set's only key for its algorithm, and refused
	// where there are several. The set is fetched without redirects, 1 MiB at most, within 10 seconds.
	//
	// It is read at once and every JWKSRefresh, in the background, and when a token has a kid that is not in it: for that
	// once a minute at most, while requests wait no more than 2 seconds. A reading without any key that verifies tokens counts
	// as failed. After a failed reading the keys stay in force, and the set is read again within 30 seconds. A key that two
	// good readings in a row lack, or whose kid names another key, is dropped. A file has to be good at the start; for a server
	// that is not, see ErrKeysUnavailable.
	JWKSURL string

	// JWKSRefresh is the time between two readings; at least a second. A key that the issuer has withdrawn may verify tokens
	// for twice as long. 0 means DefaultJWKSRefresh.
	JWKSRefresh time.Duration

	// JWKSMaxAge is how long a key verifies tokens after the last good reading that had it; not less than JWKSRefresh. 0 means
	// DefaultJWKSMaxAge.
	JWKSMaxAge time.Duration

	// Issuer is the iss claim, and Audience one of the aud claims, that every token must have. Both are required with a
	// public key or a key set, whose owner may sign tokens for many services. Empty: not checked.
	Issuer, Audience string

	Claims ClaimNames

	// Now is the clock that tokens' times are held against; nil means time.Now.
	Now func() time.Time

	// Transport stands around what asks for a key set, such as to trace it; nil for nothing.
	Transport func(http.RoundTripper) http.RoundTripper

	// Log is told when a key set was read, and when it could not be; nil means slog.Default().
	Log *slog.Logger
}

// Verifier decides whether a bearer token can be trusted. It is safe for concurrent use. Close it when it is no longer
// needed.
type Verifier struct {
	keys      map[string]any // by algorithm: a key never verifies another algorithm than its own
	set       *keySource     // of keyMethods, unless nil
	names     ClaimNames
	parser    *jwt.Parser
	validator *jwt.Validator
	now       func() time.Time // the validator's clock

	remembered *remembered
}

// ErrNoKey is a configuration without anything to verify tokens with.
var ErrNoKey = errors.New("there is neither a secret nor a public key nor a JWKS URL to verify tokens with")

// Problems tells in a sentence each what of the configuration cannot be; nothing if it can. It reads a key set that is a file,
// and asks nobody for one that is not.
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

// NewVerifier returns a verifier of tokens, or the first of the configuration's Problems.
func NewVerifier(c Config) (*Verifier, error) {
	if problems := c.Problems(); len(problems) > 0 {
		return nil, problems[0]
	}
	v := &Verifier{keys: map[string]any{}, names: c.Claims.withDefaults(), now: c.Now, remembered: newRemembered(maxRemembered)}
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
		// Otherwise a signature has several spellings, all of which verify.
		jwt.WithStrictDecoding(),
		// Verify reads and validates the claims itself, once the signature is known to be good.
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

// Close ends what the verifier does in the background, reading a key set. It can verify tokens still, with the keys that it
// has.
func (v *Verifier) Close() {
	if v.set != nil {
		v.set.close()
	}
}

// Ready returns nil if the verifier has keys, and ErrKeysUnavailable if it waits for a key set still, or no key of it is left.
func (v *Verifier) Ready() error {
	if v.set != nil && v.set.current() == nil {
		return ErrKeysUnavailable
	}
	return nil
}

// keySetProblems tells what cannot be of the configuration's key set.
func (c Config) keySetProblems() (problems []error) {
	if c.PublicKeyPEM != nil {
		problems = append(problems, errors.New("there is both a public key and a JWKS URL: give one of them, --jwt-public-key-file or --jwks-url, the set can have the key"))
	} else if c.Issuer == "" || c.Audience == "" {
		problems = append(problems, errors.New("a JWKS URL needs an issuer and an audience, --issuer and --audience, or any token that its owner signs for anyone would be accepted"))
	}
	if c.JWKSRefresh != 0 && c.JWKSRefresh < minJWKSRefresh {
		problems = append(problems, fmt.Errorf("the JWKS would be read anew every %s, and the least is %s: set --jwks-refresh", c.JWKSRefresh, minJWKSRefresh))
	}
	if refresh, age := cmp.Or(c.JWKSRefresh, DefaultJWKSRefresh), cmp.Or(c.JWKSMaxAge, DefaultJWKSMaxAge); age < refresh {
		problems = append(problems, fmt.Errorf("keys of the JWKS would be dropped after %s and are read anew only every %s: --jwks-max-age must not be less than --jwks-refresh", age, refresh))
	}
	read, isFile, err := keySetReader(c.JWKSURL, c.Transport)
	if err != nil {
		return append(problems, err)
	}
	if isFile {
		// A server may be back in a moment; a file that is not there is a mistake.
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

// newKeySource starts to keep the configuration's key set.
func newKeySource(c Config) (*keySource, error) {
	read, _, err := keySetReader(c.JWKSURL, c.Transport)
	if err != nil {
		return nil, err
	}
	return startKeySource(read, cmp.Or(c.JWKSRefresh, DefaultJWKSRefresh), cmp.Or(c.JWKSMaxAge, DefaultJWKSMaxAge), cmp.Or(c.Log, slog.Default())), nil
}

// Verify returns the principal of the bearer token in an Authorization header, given all of the header's values as they were
// received. Every error is an [ErrUnauthenticated], or [ErrKeysUnavailable] for a token of the right form.
//
// There must be one value, of the scheme Bearer in any case (RFC 6750, section 2.1; RFC 9110, section 11.1), with a token of at
// most 8 KiB in JWS compact form (RFC 7515), signed with a configured key and that key's own algorithm, and without a "crit"
// header, since no extension is understood (RFC 7515, section 4.1.11). Its claims must have exp and a sub that is not empty; exp, nbf
// and iat hold now, give or take 30 seconds; iss and aud are the configured ones. A claim that this server reads and that has
// another shape than it should, null included, makes the whole token invalid, as does a claim named twice.
func (v *Verifier) Verify(authorization []string) (Principal, error) {
	token, err := bearerToken(authorization)
	if err != nil {
		return Principal{}, err
	}

	hash := TokenHash(sha256.Sum256([]byte(token)))
	if t := v.remembered.find(hash, v.keysInForce()); t != nil {
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
	c.members = nil // most of a token's memory, and read
	v.remembered.add(hash, newGoodToken(principal, c, by))
	return principal, nil
}

// keysInForce returns the keys of the key set; nil where there is none, or no key.
func (v *Verifier) keysInForce() *keysInForce {
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
	// encoding/base64 skips line breaks even when it is strict.
	if strings.ContainsAny(token, "\r\n") {
		return "", unauthenticated(FaultMalformed, "the token is malformed")
	}
	return token, nil
}

var errCritical = errors.New("the token has a crit header")

// key returns the key for a token whose algorithm is known to be one of v.keys or, if there is a key set, of keyMethods. If it is of
// the key set, by says so.
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

// refusal turns an error of golang-jwt into one of ours. It drops the text, which may quote the token.
func refusal(err error) error {
	switch {
	case errors.Is(err, ErrKeysUnavailable):
		return ErrKeysUnavailable
	case errors.Is(err, errUnknownKey):
		return unauthenticated(FaultUnknownKey, "the token's header names no key of the key set")
	case errors.Is(err, errCritical):
		return unauthenticated(FaultMalformed, "the token has a crit header, and no extension is understood")
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
	// Last, because a token may have several faults and this answer helps only where age is the only one.
	case errors.Is(err, jwt.ErrTokenExpired):
		return ErrTokenExpired
	}
	return unauthenticated(FaultClaims, "the token is invalid")
}

// unauthenticated returns an ErrUnauthenticated with a reason for the log.
func unauthenticated(fault TokenFault, reason string, args ...any) error {
	return &unauthenticatedError{fault, fmt.Sprintf(reason, args...)}
}
