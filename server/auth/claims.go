package auth

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// maxNumericDate is the end of the year 9999 in seconds since 1970. A greater exp, nbf or iat is probably in milliseconds by
// mistake. With such an exp a token would practically never expire.
const maxNumericDate = 253402300799

// claims are a token's payload. UnmarshalJSON splits it before the signature is verified; rules interpret it
// afterwards.
type claims struct {
	jwt.RegisteredClaims

	members map[string]jsontext.Value
}

// UnmarshalJSON splits a JSON object into its members without interpreting them. It rejects repeated members, at any depth, and
// invalid Unicode.
//
// RFC 7519, section 4, lets a parser reject a repeated claim or use the last one. Another parser of the same token, such as that of a
// gateway, may use the first one, and so authorize another customer. golang-jwt's MapClaims use the last one, and with
// WithJSONNumber they also ignore text after the object. golang-jwt parses the token's header and uses the last of repeated
// members there, as RFC 7515, section 4, allows. This is safe: alg and kid only choose among trusted keys, and a token with any
// crit is rejected.
func (c *claims) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &c.members)
}

// unverifiedIssuer returns the iss claim, or "" if there is none or it is not a string.
func (c *claims) unverifiedIssuer() (iss string) {
	if value, ok := c.members["iss"]; !ok || !readText(&iss)(value) {
		return ""
	}
	return iss
}

// readRegistered interprets the registered claims (RFC 7519, section 4.1) that this server uses. It returns an error for the first
// of a wrong type, and does not validate them otherwise.
func (c *claims) readRegistered() error {
	for _, claim := range []struct {
		name  string
		read  func(jsontext.Value) bool
		shape string
	}{
		{"exp", readDate(&c.ExpiresAt), "a number of seconds since 1970"},
		{"nbf", readDate(&c.NotBefore), "a number of seconds since 1970"},
		{"iat", readDate(&c.IssuedAt), "a number of seconds since 1970"},
		{"iss", readText(&c.Issuer), "a string"},
		{"aud", readTexts((*[]string)(&c.Audience)), "a string or an array of strings"},
		{"sub", readText(&c.Subject), "a string"},
	} {
		if value, ok := c.members[claim.name]; ok && !claim.read(value) {
			return unauthenticated(FaultClaims, "the token's claim %s is not %s", claim.name, claim.shape)
		}
	}
	return nil
}

// Each function below returns a parser that stores a claim's value and reports whether it has the right type. null has none of the types.

func readText(into *string) func(jsontext.Value) bool {
	return func(v jsontext.Value) bool {
		return v.Kind() == '"' && json.Unmarshal(v, into) == nil
	}
}

func readTexts(into *[]string) func(jsontext.Value) bool {
	return readEach(func(v jsontext.Value) bool {
		var s string
		if !readText(&s)(v) {
			return false
		}
		*into = append(*into, s)
		return true
	})
}

// readEach returns a parser of one value or an array of them.
func readEach(read func(jsontext.Value) bool) func(jsontext.Value) bool {
	return func(v jsontext.Value) bool {
		if v.Kind() != '[' {
			return read(v)
		}
		var elements []jsontext.Value
		if json.Unmarshal(v, &elements) != nil {
			return false
		}
		for _, element := range elements {
			if !read(element) {
				return false
			}
		}
		return true
	}
}

// readDate returns a parser of a NumericDate: seconds since 1970, with or without a fraction (RFC 7519, section 2).
func readDate(into **jwt.NumericDate) func(jsontext.Value) bool {
	return func(v jsontext.Value) bool {
		if v.Kind() != '0' {
			return false
		}
		seconds, err := strconv.ParseFloat(string(v), 64)
		if err != nil || seconds < 0 || seconds > maxNumericDate {
			return false
		}
		whole, fraction := math.Modf(seconds)
		*into = &jwt.NumericDate{Time: time.Unix(int64(whole), int64(fraction*1e9))}
		return true
	}
}

func readUserID(into *uuid.UUID) func(jsontext.Value) bool {
	return func(v jsontext.Value) bool {
		var s string
		if !readText(&s)(v) {
			return false
		}
		id, ok := ParseUUID(s)
		*into = id
		return ok && id != uuid.Nil
	}
}

// parseCustomer parses a customer's id in a token: a UUID, or a Long in decimal digits. The nil UUID and 0 are invalid, so that no
// token can cover a store.Customer whose id fields are zero by mistake.
func parseCustomer(s string) (customerKey, bool) {
	if id, ok := ParseUUID(s); ok {
		return customerKey{uuid: id}, id != uuid.Nil
	}
	// ParseInt alone accepts a sign.
	if strings.Trim(s, "0123456789") != "" {
		return customerKey{}, false
	}
	id, err := strconv.ParseInt(s, 10, 64)
	return customerKey{id: id}, err == nil && id > 0
}
