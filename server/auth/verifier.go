package auth

import (
	"bytes"
	"errors"
	"fmt"
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

// Config is what a [Verifier] trusts. There must be a secret, a public key, or both.
type Config struct {
	// Secret is the key of HS256 tokens as raw bytes, whatever they look like; at least 32 of them. Empty: there is none.
	Secret []byte

	// PublicKeyPEM is a PEM file with one PUBLIC KEY (PKIX), RSA PUBLIC KEY (PKCS #1) or CERTIFICATE, of which the key alone
	// is used. RSA of at least 2048 bits verifies RS256, ECDSA on P-256 ES256, Ed25519 EdDSA. Nil: there is none; an
	// empty file is a mistake.
	PublicKeyPEM []byte

	// Issuer is the iss claim, and Audience one of the aud claims, that every token must have. Both are required with a
	// public key, whose owner may sign tokens for many services. Empty: not checked.
	Issuer, Audience string

	Claims ClaimNames

	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Verifier decides whether a bearer token can be trusted. It is safe for concurrent use.
type Verifier struct {
	keys      map[string]any // by algorithm: a key never verifies another algorithm than its own
	names     ClaimNames
	parser    *jwt.Parser
	validator *jwt.Validator
}

// NewVerifier returns a verifier of tokens, or an error that says in one sentence what of the configuration cannot be.
func NewVerifier(c Config) (*Verifier, error) {
	v := &Verifier{keys: map[string]any{}, names: c.Claims.withDefaults()}

	if len(c.Secret) > 0 {
		if err := checkSecret(c.Secret); err != nil {
			return nil, err
		}
		v.keys[jwt.SigningMethodHS256.Alg()] = bytes.Clone(c.Secret)
	}
	if c.PublicKeyPEM != nil {
		method, key, err := parsePublicKey(c.PublicKeyPEM)
		if err != nil {
			return nil, err
		}
		if c.Issuer == "" || c.Audience == "" {
			return nil, errors.New("a public key needs an issuer and an audience, or any token that its owner signs for anyone would be accepted")
		}
		v.keys[method.Alg()] = key
	}
	if len(v.keys) == 0 {
		return nil, errors.New("there is neither a secret nor a public key to verify tokens with")
	}

	algorithms := make([]string, 0, len(v.keys))
	for algorithm := range v.keys {
		algorithms = append(algorithms, algorithm)
	}
	v.parser = jwt.NewParser(
		jwt.WithValidMethods(algorithms),
		// Otherwise a signature has several spellings, all of which verify.
		jwt.WithStrictDecoding(),
		// Verify reads and validates the claims itself, once the signature is known to be good.
		jwt.WithoutClaimsValidation(),
	)

	options := []jwt.ParserOption{jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(leeway)}
	if c.Now != nil {
		options = append(options, jwt.WithTimeFunc(c.Now))
	}
	if c.Issuer != "" {
		options = append(options, jwt.WithIssuer(c.Issuer))
	}
	if c.Audience != "" {
		options = append(options, jwt.WithAudience(c.Audience))
	}
	v.validator = jwt.NewValidator(options...)
	return v, nil
}

// Verify returns the principal of the bearer token in an Authorization header, given all of the header's values as they were
// received. Every error is an [ErrUnauthenticated].
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

	var c claims
	if _, err := v.parser.ParseWithClaims(token, &c, v.key); err != nil {
		return Principal{}, refusal(err)
	}
	principal, err := c.read(v.names)
	if err != nil {
		return Principal{}, err
	}
	if err := v.validator.Validate(&c); err != nil {
		return Principal{}, refusal(err)
	}
	return principal, nil
}

// bearerToken returns the token of an Authorization header.
func bearerToken(authorization []string) (string, error) {
	switch len(authorization) {
	case 0:
		return "", ErrTokenMissing
	case 1:
	default:
		return "", unauthenticated("there is more than one Authorization header")
	}

	scheme, token, _ := strings.Cut(authorization[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", unauthenticated("the Authorization header's scheme is not Bearer")
	}
	token = strings.TrimLeft(token, " ")
	if len(token) > maxTokenBytes {
		return "", unauthenticated("the token is longer than %d bytes", maxTokenBytes)
	}
	// encoding/base64 skips line breaks even when it is strict.
	if strings.ContainsAny(token, "\r\n") {
		return "", unauthenticated("the token is malformed")
	}
	return token, nil
}

var errCritical = errors.New("the token has a crit header")

// key returns the key for a token whose algorithm is known to be one of v.keys.
func (v *Verifier) key(t *jwt.Token) (any, error) {
	if _, ok := t.Header["crit"]; ok {
		return nil, errCritical
	}
	return v.keys[t.Method.Alg()], nil
}

// refusal turns an error of golang-jwt into one of ours. It drops the text, which may quote the token.
func refusal(err error) error {
	switch {
	case errors.Is(err, errCritical):
		return unauthenticated("the token has a crit header, and no extension is understood")
	case errors.Is(err, jwt.ErrTokenMalformed):
		return unauthenticated("the token is malformed")
	case errors.Is(err, jwt.ErrTokenUnverifiable), errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return unauthenticated("the token is not signed with a configured key and that key's algorithm")
	case errors.Is(err, jwt.ErrTokenInvalidIssuer):
		return unauthenticated("the token is from another issuer")
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return unauthenticated("the token is for another audience")
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return unauthenticated("the token lacks its exp, or the iss or aud that is required")
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return unauthenticated("the token is not valid yet (nbf)")
	case errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return unauthenticated("the token was issued in the future (iat)")
	// Last, because a token may have several faults and this answer helps only where age is the only one.
	case errors.Is(err, jwt.ErrTokenExpired):
		return ErrTokenExpired
	}
	return unauthenticated("the token is invalid")
}

// unauthenticated returns an ErrUnauthenticated with a reason for the log.
func unauthenticated(reason string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnauthenticated, fmt.Sprintf(reason, args...))
}
