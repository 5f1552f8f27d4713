// Package auth says who calls and what they may do.
//
// A [Verifier] turns the values of an Authorization header into a [Principal]: who a bearer token speaks for, and which
// customers, permissions and authorities it names. A [Policy] is the only place that decides what a principal may do; it
// carries the table "Who may do what" of SEMANTICS.md. [Passwords] hashes and checks users' passwords, [PasswordProblem]
// says whether a new one is good enough, and [Sign] makes tokens for development and tests.
//
// The package knows no HTTP framework, no status code and no dialect: callers ask it in the store's terms and word the
// refusals themselves. It keeps nothing but the keys of a key set (RFC 7517), which it reads where the configuration says, and
// looks nothing else up; a customer, a user or a catalogue of roles is handed to it.
// Signing in, refreshing and revoking tokens are the identity provider's.
//
// Refusals are of two kinds, told apart by errors.Is: [ErrUnauthenticated] (who calls is not known) and [ErrForbidden] (it is
// known, and not allowed). [ErrKeysUnavailable] is neither: nothing can be said about the caller yet. Their texts are for the log. They are made of fixed sentences, configured claim names, role
// names and ranks, never of what a caller sent; and no error of this package holds any part of a token, a key or a password.
package auth

import (
	"errors"

	"github.com/google/uuid"
)

var (
	// ErrUnauthenticated is what every error of [Verifier.Verify] but ErrKeysUnavailable is: the request carries no token
	// that can be trusted.
	ErrUnauthenticated = errors.New("unauthenticated")

	// ErrTokenMissing is the ErrUnauthenticated of a request without any Authorization header. One that has the header in a
	// form that cannot be used, an empty one included, is not missing but malformed.
	ErrTokenMissing = unauthenticated(FaultMissing, "there is no Authorization header")

	// ErrTokenExpired is the ErrUnauthenticated of a token whose one fault is its age: its signature, issuer and audience
	// are right, so its holder may be told to sign in again.
	ErrTokenExpired = unauthenticated(FaultExpired, "the token has expired")

	// ErrKeysUnavailable is [Verifier.Verify]'s error where a key set is configured and could not be read even once, so that
	// nobody can tell whether the token is to be trusted. It is no ErrUnauthenticated: another token would fare no better,
	// and the same may be good later.
	ErrKeysUnavailable = errors.New("the keys to verify tokens with are not available")

	// ErrForbidden is what every [ForbiddenError] is: the caller is known and may not do this.
	ErrForbidden = errors.New("forbidden")
)

// ForbiddenError is a refusal by the [Policy]. It is an [ErrForbidden] to errors.Is.
type ForbiddenError struct {
	Reason string // which rule refused, for the log; it names roles and ranks, and is not for clients
}

// Error returns "forbidden: " and the reason.
func (e *ForbiddenError) Error() string { return ErrForbidden.Error() + ": " + e.Reason }

// Unwrap returns [ErrForbidden].
func (e *ForbiddenError) Unwrap() error { return ErrForbidden }

// ParseUUID reads a UUID in its one standard form, 36 characters of hexadecimal digits of either case and hyphens (RFC 9562,
// section 4), and reports whether s has it. uuid.Parse also takes urn:uuid: prefixes, braces and 32 bare digits, which would
// give one user or customer several names.
func ParseUUID(s string) (uuid.UUID, bool) {
	if len(s) != 36 {
		return uuid.Nil, false
	}
	id, err := uuid.Parse(s)
	return id, err == nil
}
