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

// maxNumericDate is the end of the year 9999 in seconds since 1970. A later exp, nbf or iat is milliseconds mistaken for
// seconds, and as an exp would make a token that never expires.
const maxNumericDate = 253402300799

// claims are a token's payload: parsed by UnmarshalJSON, before the signature is verified, and understood by read, after.
type claims struct {
	jwt.RegisteredClaims

	members map[string]jsontext.Value
}

// UnmarshalJSON takes the members of a JSON object apart and looks at none of them.
//
// RFC 7519, section 4, leaves it to the reader whether a claim named twice is refused or the last one holds. We refuse it: some
// other reader of the same token, a gateway say, may hold the first, and then two checks of one token are of two customers.
// (In the token's header, which golang-jwt reads, the last one holds, as RFC 7515, section 4, allows. Of it we use alg and
// kid, which only choose among the keys that are trusted, and crit, whose presence alone counts.) A member repeated at any depth and invalid
// Unicode are refused alike. This is also why the claims are not golang-jwt's MapClaims: those keep the last, and with numbers undamaged
// (WithJSONNumber) also ignore whatever follows the object.
func (c *claims) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &c.members)
}

// read understands the claims that this server uses, registered ones included, and returns the principal that they
// describe. The first one of a wrong shape is its error; whether the registered ones hold is not decided here.
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
	// Postgres takes no U+0000 in text, and the subject is to be written there.
	if p.Subject == "" || strings.ContainsRune(p.Subject, 0) {
		return Principal{}, unauthenticated(FaultClaims, "the token's sub is missing, empty or holds U+0000")
	}
	c.Subject = p.Subject

	// An empty list and no list are different things: the one names nothing, the other does not speak of it.
	_, p.namesAuthorities = c.members[names.Authorities]
	return p, nil
}

// The readers below store a claim's value and report whether it has the shape that they are for. JSON's null has none.

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

// readEach reads one value or an array of them.
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

// readDate reads a NumericDate: seconds since 1970, which may have a fraction (RFC 7519, section 2).
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

// readCustomers reads the customers of a token. AllCustomers counts as the whole claim only: as an element of an array, or with
// anything around it, it is malformed like any other text.
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

// parseCustomer reads a customer's name in a token: a UUID, or a Long in decimal digits. Neither the nil UUID nor 0 names a
// customer, so that a token can never cover a customer whose fields were left empty by mistake.
func parseCustomer(s string) (customerKey, bool) {
	if id, ok := ParseUUID(s); ok {
		return customerKey{uuid: id}, id != uuid.Nil
	}
	// ParseInt alone would take a sign.
	if strings.Trim(s, "0123456789") != "" {
		return customerKey{}, false
	}
	id, err := strconv.ParseInt(s, 10, 64)
	return customerKey{id: id}, err == nil && id > 0
}
