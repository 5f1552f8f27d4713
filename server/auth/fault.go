package auth

import "errors"

// TokenFault is the reason for an [ErrUnauthenticated], as a label for metrics. The reason in words is logged by server/observe.go.
type TokenFault string

// The reasons for which tokens are refused.
const (
	FaultMissing     TokenFault = "missing"       // there is no token
	FaultMalformed   TokenFault = "malformed"     // the token or the header is malformed
	FaultSignature   TokenFault = "signature"     // no configured key verifies it with that key's algorithm
	FaultUnknownKey  TokenFault = "unknown_key"   // the key set has no key with its kid
	FaultIssuer      TokenFault = "issuer"        // it is from another issuer
	FaultAudience    TokenFault = "audience"      // it is for another audience
	FaultNotYetValid TokenFault = "not_yet_valid" // its nbf or iat is in the future
	FaultExpired     TokenFault = "expired"       // its exp has passed
	FaultType        TokenFault = "type"          // its typ is not that of an access token
	FaultUnknown     TokenFault = "unknown"       // it is a provisioning token that was never issued, or was revoked
	FaultClaims      TokenFault = "claims"        // a claim is missing, has a wrong type, or is not what is required
)

// FaultOf returns the fault of an [ErrUnauthenticated] that [Verifier.Verify] returned, or "" for another error.
func FaultOf(err error) TokenFault {
	var refused *unauthenticatedError
	if errors.As(err, &refused) {
		return refused.fault
	}
	return ""
}

// unauthenticatedError is an ErrUnauthenticated with a fault for metrics and a reason for the log.
type unauthenticatedError struct {
	fault  TokenFault
	reason string
}

func (e *unauthenticatedError) Error() string { return ErrUnauthenticated.Error() + ": " + e.reason }

func (e *unauthenticatedError) Unwrap() error { return ErrUnauthenticated }
