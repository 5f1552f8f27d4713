package testinium

import (
	"net/http"
	"time"

	"github.com/dragoman-id/dragoman/gen/testiniumapi"
	"github.com/dragoman-id/dragoman/server/dialect"
)

// words are the code and the description of one kind of error. They are the vendor's where it documents the kind, and otherwise our
// own in the same style.
type words struct{ code, description string }

var wordsOf = map[dialect.Kind]words{
	dialect.Internal:             {"INTERNAL_SERVER_ERROR", "An unexpected error occurred on the server side."},
	dialect.Invalid:              {"INVALID_REQUEST", "The request was malformed or contained errors."},
	dialect.Refused:              {"INVALID_REQUEST", "The request was malformed or contained errors."},
	dialect.Unauthenticated:      {"UNAUTHORIZED", "Missing or invalid authentication token."},
	dialect.TokenExpired:         {"UNAUTHORIZED", "Missing or invalid authentication token."},
	dialect.Forbidden:            {"ACCESS_DENIED", "The user lacks permission to update this information."},
	dialect.UserNotFound:         {"USER_NOT_FOUND", "No user was found for the specified `userId`."},
	dialect.RouteNotFound:        {"NOT_FOUND", "There is no such path."},
	dialect.MethodNotAllowed:     {"METHOD_NOT_ALLOWED", "The path does not support this method."},
	dialect.RequestTimeout:       {"REQUEST_TIMEOUT", "The request body did not arrive in time, or not to its end."},
	dialect.PreconditionFailed:   {"PRECONDITION_FAILED", "The user's present version is not one that the request's preconditions allow."},
	dialect.ContentTooLarge:      {"PAYLOAD_TOO_LARGE", "The request body is too large."},
	dialect.UnsupportedMediaType: {"UNSUPPORTED_MEDIA_TYPE", "The request body must be JSON."},
	dialect.KeyReused:            {"IDEMPOTENCY_KEY_REUSED", "The Idempotency-Key was sent with another request before."},
	dialect.RateLimited:          {"TOO_MANY_REQUESTS", "Too many requests were made. Try again later."},
	dialect.Unavailable:          {"SERVICE_UNAVAILABLE", "The service cannot answer at the moment. Try again later."},
}

// renderer returns a function that makes the body of an error, in the form that clients of Spring services expect.
func renderer(now func() time.Time) func(p dialect.Problem, operation, path string) any {
	return func(p dialect.Problem, operation, path string) any {
		w := wordsOf[p.Kind]
		if p.Kind == dialect.Forbidden && operation == "getUser" {
			w = words{"UNAUTHORIZED_ACCESS", "The user lacks permission to see this information."}
		}
		e := testiniumapi.Error{
			Timestamp:   now().UnixMilli(),
			Status:      p.Status,
			Error:       http.StatusText(p.Status),
			Message:     w.code,
			Description: w.description,
			Path:        path,
			Errors:      []testiniumapi.FieldError{},
		}
		for _, f := range p.Fields {
			e.Errors = append(e.Errors, testiniumapi.FieldError{Field: f.Field, Message: f.Message})
		}
		for _, c := range p.Changes {
			change := testiniumapi.ConcurrentChange{Field: c.Field, State: string(c.State), Version: c.Version, Actor: c.Actor, Dialect: c.Dialect}
			if c.At != nil {
				change.At = new(c.At.UnixMilli())
			}
			e.Changes = append(e.Changes, change)
		}
		return e
	}
}
