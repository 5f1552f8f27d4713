package auth

import (
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// Claims are what [Sign] puts into a token. A nil list leaves its claim out, which is not the same as an empty one: a token
// without the customer claim may be the platform administrator's, one with an empty list is for no customer at all.
type Claims struct {
	Subject     string     // sub; required
	UserID      *uuid.UUID // nil: no such claim
	Customers   []string   // each a UUID, or a Long in decimal digits, which is written as a number
	Permissions []Permission
	Authorities []string

	Issuer, Audience string // empty: no such claim

	Expires time.Duration // from now to exp, which is cut to whole seconds; at least one second

	Names ClaimNames // as the verifier's Config.Claims
}

// Sign returns a token with these claims, and now as its iat, signed with HS256: for `dragoman token` and for tests; in
// production the identity provider signs. The error says which claim or secret could not be verified again.
func Sign(secret []byte, c Claims, now time.Time) (string, error) {
	if err := checkSecret(secret); err != nil {
		return "", err
	}
	if c.Subject == "" {
		return "", errors.New("the subject is empty")
	}
	if c.Expires < time.Second {
		return "", fmt.Errorf("the token would expire after %s and must live for a second at least", c.Expires)
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
		customers := make([]any, len(c.Customers))
		for i, text := range c.Customers {
			key, ok := parseCustomer(text)
			if !ok {
				return "", fmt.Errorf("the customer %q is neither a UUID nor an integer above 0", text)
			}
			if key.id != 0 {
				customers[i] = key.id
			} else {
				customers[i] = key.uuid.String()
			}
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
