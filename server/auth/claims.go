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

// maxNumericDate is the end of the year 9999 in seconds since 1970. A later exp, nbf or iat is probably in milliseconds by
// mistake; as an exp it would make a token that never expires.
const maxNumericDate = 253402300799

// claims are a token's payload. UnmarshalJSON splits it before the signature is verified; read interprets it afterwards.
type claims struct {
	jwt.RegisteredClaims

	members map[string]jsontext.Value
}

// UnmarshalJSON splits a JSON object into its members and interprets none of them. It refuses a member that is repeated, at
// any depth, and invalid Unicode.
//
// RFC 7519, section 4, lets a parser refuse a repeated claim or take the last one. Another parser of the same token, such as a
// gateway, may take the first, and the two would authorize different customers. golang-jwt's MapClaims take the last one, and
// with WithJSONNumber they also ignore what follows the object. The token's header is golang-jwt's to parse, and there the last
// one counts, as RFC 7515, section 4, allows: alg and kid only choose among trusted keys, and any crit is refused.
func (c *claims) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &c.members)
}

// read interprets the claims that this server uses, registered ones included, and returns the principal that they describe.
// Its error is about the first claim of a wrong type. It does not validate the registered claims.
func (c *claims) read(names ClaimNames) (Principal, error) {
	var p Principal
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
		{"sub", readText(&p.Subject), "a string"},
		{names.UserID, readUserID(&p.userID), "a UUID"},
		{names.Customers, readCustomers(&p), `a UUID, an integer above 0, an array of them, or "*"`},
		{names.Permissions, readTexts(&p.permissions), "a string or an array of strings"},
		{names.Authorities, readTexts(&p.authorities), "a string or an array of strings"},
	} {
		value, ok := c.members[claim.name]
		if ok && !claim.read(value) {
			return Principal{}, unauthenticated(FaultClaims, "the token's claim %s is not %s", claim.name, claim.shape)
		}
	}
	// The subject is stored, and Postgres refuses U+0000 in text.
	if p.Subject == "" || strings.ContainsRune(p.Subject, 0) {
		return Principal{}, unauthenticated(FaultClaims, "the token's sub is missing, empty or has U+0000")
	}
	c.Subject = p.Subject

	// An empty list differs from none: it grants no authority, and without the claim the rank follows from the permissions.
	_, p.namesAuthorities = c.members[names.Authorities]
	return p, nil
}

// The functions below return a parser that stores a claim's value and reports whether it has the right type. null never has.

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

// readCustomers returns a parser of the customer claim. AllCustomers is valid as the whole claim only, not within an array.
func readCustomers(into *Principal) func(jsontext.Value) bool {
	each := readEach(func(v jsontext.Value) bool {
		text := string(v)
		if v.Kind() != '0' && !readText(&text)(v) {
			return false
		}
		key, ok := parseCustomer(text)
		into.customers = append(into.customers, key)
		return ok
	})
	return func(v jsontext.Value) bool {
		var text string
		if readText(&text)(v) && text == AllCustomers {
			into.allCustomers = true
			return true
		}
		return each(v)
	}
}

// parseCustomer parses a customer's id in a token: a UUID, or a Long in decimal digits. The nil UUID and 0 are invalid, so that
// no token covers a customer whose fields were left empty by mistake.
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
