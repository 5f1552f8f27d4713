package scim

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/dragoman-id/dragoman/gen/scimapi"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/store"
)

// The values of scimType (RFC 7644, table 9, and RFC 9865).
const (
	invalidFilter = "invalidFilter"
	invalidPath   = "invalidPath"
	invalidSyntax = "invalidSyntax"
	invalidValue  = "invalidValue"
	mutability    = "mutability"
	noTarget      = "noTarget"
	tooMany       = "tooMany"
	uniqueness    = "uniqueness"

	expiredCursor = "expiredCursor"
	invalidCount  = "invalidCount"
	invalidCursor = "invalidCursor"
)

// sentences say what is wrong where no member is.
var sentences = map[dialect.Kind]string{
	dialect.Internal:             "The server failed.",
	dialect.Invalid:              "The request is malformed.",
	dialect.Refused:              "The request breaks a rule of the directory.",
	dialect.Unauthenticated:      "The token is missing or invalid.",
	dialect.TokenExpired:         "The token has expired.",
	dialect.Forbidden:            "The caller may not do this.",
	dialect.UserNotFound:         "There is no such resource.",
	dialect.RouteNotFound:        "There is no such path.",
	dialect.MethodNotAllowed:     "The path does not support this method.",
	dialect.RequestTimeout:       "The request body did not arrive in time, or not to its end.",
	dialect.PreconditionFailed:   "The present version is not one that the request's preconditions allow.",
	dialect.ContentTooLarge:      "The request body is too large.",
	dialect.UnsupportedMediaType: "The request body must be JSON.",
	dialect.KeyReused:            "The Idempotency-Key was sent with another request before.",
	dialect.RateLimited:          "Too many requests were made. Try again later.",
	dialect.Unavailable:          "The service cannot answer at the moment. Try again later.",
}

// render returns the body of an error (RFC 7644, section 3.12).
func render(p dialect.Problem, _, _ string) any {
	e := scimapi.Error{Schemas: []string{errorURN}, Status: strconv.Itoa(p.Status), Detail: sentences[p.Kind]}
	if kind := scimType(p); kind != "" {
		e.ScimType = &kind
	}
	if len(p.Fields) > 0 {
		e.Detail = strings.Join(dialect.Messages(p.Fields), "; ")
	}
	if len(p.Changes) > 0 {
		e.Schemas = append(e.Schemas, conflictURN)
		e.Conflict = &scimapi.ConflictReport{}
		for _, c := range p.Changes {
			change := scimapi.ConcurrentChange{Attribute: c.Field, State: string(c.State), Version: c.Version, Actor: c.Actor, Dialect: c.Dialect}
			if c.At != nil {
				change.At = new(c.At.Format(store.TimeLayout))
			}
			e.Conflict.Changes = append(e.Conflict.Changes, change)
		}
	}
	return e
}

// The members of a PATCH that have kinds of their own: what the form of an operation is, and its path.
var (
	operation     = regexp.MustCompile(`^Operations(\.\d+(\.op)?)?$`)
	operationPath = regexp.MustCompile(`^Operations\.\d+\.path$`)
)

// scimType returns the kind of an error that has one: 400 and 409.
func scimType(p dialect.Problem) string {
	switch {
	case p.Taken:
		return uniqueness
	case p.LastAdministrator:
		return mutability
	case p.Kind != dialect.Invalid && p.Kind != dialect.Refused:
		return ""
	}
	for _, f := range p.Fields {
		switch {
		case f.Code == dialect.TooManyItems && f.Field == "members":
			return tooMany
		case f.Code != "" && f.Code != dialect.TooManyItems:
			return f.Code
		case f.Field == "filter":
			return invalidFilter
		case f.Field == "" || strings.HasPrefix(f.Field, "schemas"):
			return invalidSyntax
		case operationPath.MatchString(f.Field):
			return invalidPath
		case operation.MatchString(f.Field):
			return invalidSyntax
		}
	}
	return invalidValue
}
