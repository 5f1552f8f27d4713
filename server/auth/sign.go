package auth

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// Claims are the claims of a token that [Sign] makes. A nil list omits its claim.
type Claims struct {
	Subject     string     // sub; required
	UserID      *uuid.UUID // nil omits the claim
	Customers   []string   // UUIDs and Longs in decimal digits, which are written as numbers; or only AllCustomers
	Permissions []Permission
	Authorities []string

	Issuer, Audience string // empty omits the claim

	Expires time.Duration // the token's lifetime, at least one second; exp is truncated to seconds

	Names ClaimNames // must equal the verifier's Config.Claims
}

// Sign returns a token with these claims and now as its iat, signed with HS256. It is for `dragoman token` and for tests; in
// production the identity provider signs tokens. It returns an error for a claim or a secret that a [Verifier] would refuse.
func Sign(secret []byte, c Claims, now time.Time) (string, error) {
	if err := checkSecret(secret); err != nil {
		return "", err
	}
	if c.Subject == "" {
		return "", errors.New("the subject is empty: set --subject")
	}
	if c.Expires < time.Second {
		return "", fmt.Errorf("the token would expire after %s, and the minimum is a second: set --expires", c.Expires)
	}

	names := c.Names.withDefaults()
	members := jwt.MapClaims{
		"sub": c.Subject,
		"iat": now.Unix(),
		"exp": now.Add(c.Expires).Unix(),
	}
	if c.UserID != nil {
		members[names.UserID] = c.UserID.String()
	}
	if c.Customers != nil {
		customers, err := customersClaim(c.Customers)
		if err != nil {
			return "", err
		}
		members[names.Customers] = customers
	}
	if c.Permissions != nil {
		members[names.Permissions] = c.Permissions
	}
	if c.Authorities != nil {
		members[names.Authorities] = c.Authorities
	}
	if c.Issuer != "" {
		members["iss"] = c.Issuer
	}
	if c.Audience != "" {
		members["aud"] = c.Audience
	}

	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, members).SignedString(secret)
	if err != nil {
		return "", fmt.Errorf("signing the token: %w", err)
	}
	return token, nil
}

// customersClaim returns the value of the customer claim.
func customersClaim(names []string) (any, error) {
	if slices.Contains(names, AllCustomers) {
		if len(names) > 1 {
			return nil, fmt.Errorf("the customer %s stands for all customers, so give it alone", AllCustomers)
		}
		return AllCustomers, nil
	}
	customers := make([]any, len(names))
	for i, text := range names {
		key, ok := parseCustomer(text)
		switch {
		case !ok:
			return nil, fmt.Errorf("the customer %q is neither a UUID nor an integer above 0 nor %s for all", text, AllCustomers)
		case key.id != 0:
			customers[i] = key.id
		default:
			customers[i] = key.uuid.String()
		}
	}
	return customers, nil
}
