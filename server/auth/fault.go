package auth

import "errors"

// TokenFault says in a word why a token is an [ErrUnauthenticated], for those who count.
type TokenFault string

// The faults of tokens.
const (
	FaultMissing     TokenFault = "missing"       // there is none
	FaultMalformed   TokenFault = "malformed"     // it, or the header, is not of the right form
	FaultSignature   TokenFault = "signature"     // it is not signed with a configured key and that key's algorithm
	FaultUnknownKey  TokenFault = "unknown_key"   // the key set has no key of its kid
	FaultIssuer      TokenFault = "issuer"        // another issuer's
	FaultAudience    TokenFault = "audience"      // for another audience
	FaultNotYetValid TokenFault = "not_yet_valid" // its nbf or iat is in the future
	FaultExpired     TokenFault = "expired"       // its exp has passed
	FaultClaims      TokenFault = "claims"        // a claim is missing or has another shape than it should
)

// FaultOf gives the fault that an error of [Verifier.Verify] is about, or "" if it is about none.
func FaultOf(err error) TokenFault {
	var refused *unauthenticatedError
	if errors.As(err, &refused) {
		return refused.fault
	}
	return ""
}

// unauthenticatedError is an ErrUnauthenticated with its reason, which is for the log.
type unauthenticatedError struct {
	fault  TokenFault
	reason string
}

func (e *unauthenticatedError) Error() string { return ErrUnauthenticated.Error() + ": " + e.reason }

func (e *unauthenticatedError) Unwrap() error { return ErrUnauthenticated }
