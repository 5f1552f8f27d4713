// Package auth authenticates callers and authorizes what they do.
//
// A [Verifier] turns the values of an Authorization header into a [Principal]: the subject of a bearer token, with the
// customers, permissions and authorities that it names. A [Policy] alone decides what a principal may do; it implements the
// table "Who may do what" of SEMANTICS.md. [Passwords] hashes and verifies users' passwords, [PasswordProblem] checks the
// strength of a new one, and [Sign] makes tokens for development and tests.
//
// The package knows no HTTP framework, no status code and no dialect: callers use the store's terms and word the refusals
// themselves. It reads the key set (RFC 7517) that the configuration names and looks nothing else up: its callers pass in
// customers, users and the catalogue of roles. Login, refresh and revocation of tokens belong to the identity provider.
//
// errors.Is tells two kinds of refusal apart: [ErrUnauthenticated], the caller is not known, and [ErrForbidden], the caller is
// known and not permitted. [ErrKeysUnavailable] is neither: no token can be verified at the moment. Their texts are for the
// log. They consist of fixed sentences, configured claim names, role names and ranks, and never of what a caller sent. No
// error of this package contains any part of a token, a key or a password.
package auth

import (
	"errors"

	"github.com/google/uuid"
)

var (
	// ErrUnauthenticated matches every error of [Verifier.Verify] but ErrKeysUnavailable: the request has no valid token.
	ErrUnauthenticated = errors.New("unauthenticated")

	// ErrTokenMissing is the ErrUnauthenticated of a request without an Authorization header. A header of another form, an
	// empty one included, is malformed instead.
	ErrTokenMissing = unauthenticated(FaultMissing, "there is no Authorization header")

	// ErrTokenExpired is the ErrUnauthenticated of a token that is expired and otherwise valid: its signature, issuer and
	// audience are right, so the answer may say that it has expired.
	ErrTokenExpired = unauthenticated(FaultExpired, "the token has expired")

	// ErrKeysUnavailable is [Verifier.Verify]'s error if a key set is configured and has no usable key at the moment, because
	// it was never read or its keys are too old. It is not an ErrUnauthenticated: the same token may be valid later.
	ErrKeysUnavailable = errors.New("the keys to verify tokens with are not available")

	// ErrForbidden matches every [ForbiddenError]: the caller is known and may not do this.
	ErrForbidden = errors.New("forbidden")
)

// ForbiddenError is a refusal by the [Policy]. errors.Is matches it with [ErrForbidden].
type ForbiddenError struct {
	Reason string // which rule refused, for the log; it names roles and ranks, and is not for clients
}

// Error returns "forbidden: " and the reason.
func (e *ForbiddenError) Error() string { return ErrForbidden.Error() + ": " + e.Reason }

// Unwrap returns [ErrForbidden].
func (e *ForbiddenError) Unwrap() error { return ErrForbidden }

// ParseUUID parses a UUID in its standard form, 36 characters of hexadecimal digits of either case and hyphens (RFC 9562,
// section 4), and reports whether s has this form. uuid.Parse also takes urn:uuid: prefixes, braces and 32 bare digits, which would
// give one user or customer several names.
func ParseUUID(s string) (uuid.UUID, bool) {
	if len(s) != 36 {
		return uuid.Nil, false
	}
	id, err := uuid.Parse(s)
	return id, err == nil
}
