// Package auth authenticates callers and authorizes what they do.
//
// A [Verifier] verifies the bearer token in an Authorization header and returns a [Principal]: the token's subject, with the
// customers, permissions and authorities that the token names. A [Policy] alone decides what a principal may do; it implements
// the table "Who may do what" of SEMANTICS.md. [Passwords] hashes and verifies users' passwords, [PasswordProblem] checks the
// strength of a new one, and [Sign] creates tokens for development and tests.
//
// The package does not depend on an HTTP framework, status codes or dialects: it uses the store's terms, and its callers word the
// responses. It reads the configured key set (RFC 7517) and nothing else: its callers pass in customers, users and the catalogue
// of roles. Login, refresh and revocation of tokens are left to the identity provider.
//
// Use errors.Is to distinguish two kinds of errors: [ErrUnauthenticated] means that the caller is unknown, and [ErrForbidden] that
// the caller is known and not permitted. [ErrKeysUnavailable] is neither: no token can be verified at the moment. The texts of
// errors are for the log. They consist of fixed sentences, configured claim names, role names and ranks. No error of this package
// contains anything that a caller sent, nor any part of a token, a key or a password.
package auth

import (
	"errors"

	"github.com/google/uuid"
)

var (
	// ErrUnauthenticated matches every error of [Verifier.Verify] except ErrKeysUnavailable: the request has no valid token.
	ErrUnauthenticated = errors.New("unauthenticated")

	// ErrTokenMissing is the ErrUnauthenticated for a request without an Authorization header. An empty header or one of another
	// form is malformed instead.
	ErrTokenMissing = unauthenticated(FaultMissing, "there is no Authorization header")

	// ErrTokenExpired is the ErrUnauthenticated for a token that is expired and otherwise valid. Since its signature, issuer and
	// audience are valid, the response may say that it has expired.
	ErrTokenExpired = unauthenticated(FaultExpired, "the token has expired")

	// ErrKeysUnavailable is returned by [Verifier.Verify] if a key set is configured and has no usable key at the moment, because
	// it was never read or its keys are too old. It is not an ErrUnauthenticated: the same token may be accepted later.
	ErrKeysUnavailable = errors.New("the keys to verify tokens with are not available")

	// ErrForbidden matches every [ForbiddenError]: the caller is known and not permitted to do this.
	ErrForbidden = errors.New("forbidden")
)

// ForbiddenError is a refusal by the [Policy]. errors.Is matches it with [ErrForbidden].
type ForbiddenError struct {
	Reason string // the rule that was violated, for the log; not for clients, since it names roles and ranks
}

// Error returns "forbidden: " and the reason.
func (e *ForbiddenError) Error() string { return ErrForbidden.Error() + ": " + e.Reason }

// Unwrap returns [ErrForbidden].
func (e *ForbiddenError) Unwrap() error { return ErrForbidden }

// ParseUUID parses a UUID in its standard form, 36 characters of hexadecimal digits of either case and hyphens (RFC 9562,
// section 4), and reports whether s has this form. Unlike uuid.Parse it does not accept a urn:uuid: prefix, braces, or 32 bare
// digits, so that the same user or customer cannot be named in several ways.
func ParseUUID(s string) (uuid.UUID, bool) {
	if len(s) != 36 {
		return uuid.Nil, false
	}
	id, err := uuid.Parse(s)
	return id, err == nil
}
