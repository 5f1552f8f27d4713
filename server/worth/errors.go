package worth

import (
	"net/http"
	"strings"

	"github.com/dragoman-id/dragoman/gen/worthapi"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/store"
)

// words are the code, name and message of one kind of error. If Worth's update page and its error guide differ, the page takes
// precedence. If neither documents the kind, the words are our own in the same style.
type words struct{ code, name, message string }

var wordsOf = map[dialect.Kind]words{
	dialect.Internal:             {"ERR_INTERNAL_SERVER", "InternalServerError", "Internal Server Error"},
	dialect.Invalid:              {"INVALID", "ValidationMiddlewareError", ""},
	dialect.Refused:              {"INVALID", "CustomersApiError", ""},
	dialect.Unauthenticated:      {"ERR_UNAUTHORIZED", "AuthenticationMiddlewareError", "Unauthorized"},
	dialect.TokenExpired:         {"ERR_UNAUTHORIZED", "TokenExpiredError", "Unauthorized"},
	dialect.Forbidden:            {"ERR_FORBIDDEN", "AccessMiddlewareError", "Forbidden"},
	dialect.UserNotFound:         {"INVALID", "CustomersApiError", "Customer user does not exist"},
	dialect.RouteNotFound:        {"NOT_FOUND", "RouteNotFoundError", "Not Found"},
	dialect.MethodNotAllowed:     {"NOT_ALLOWED", "MethodNotAllowedError", "Method Not Allowed"},
	dialect.RequestTimeout:       {"REQUEST_TIMEOUT", "RequestTimeoutError", "Request Timeout"},
	dialect.PreconditionFailed:   {"PRECONDITION_FAILED", "PreconditionFailedError", "Precondition Failed"},
	dialect.ContentTooLarge:      {"CONTENT_TOO_LARGE", "ContentTooLargeError", "Content Too Large"},
	dialect.UnsupportedMediaType: {"UNSUPPORTED_MEDIA_TYPE", "UnsupportedMediaTypeError", "Unsupported Media Type"},
	dialect.KeyReused:            {"IDEMPOTENCY_KEY_REUSED", "IdempotencyKeyReusedError", "Idempotency-Key was sent with another request before"},
	dialect.RateLimited:          {"TOO_MANY_REQUESTS", "TooManyRequestsError", "Too Many Requests"},
	dialect.Unavailable:          {"SERVICE_UNAVAILABLE", "ServiceUnavailableError", "Service Unavailable"},
}

// render returns the body of an error: an envelope that matches both forms that Worth documents.
func render(p dialect.Problem, operation, _ string) any {
	w := wordsOf[p.Kind]
	if p.Kind == dialect.UserNotFound && operation == "getCustomerUser" {
		w = words{"NOT_FOUND", "CustomersApiError", "Customer user Not Found"}
	}
	e := worthapi.Error{
		Status:    "fail",
		Message:   w.message,
		ErrorCode: w.code,
		Data:      worthapi.ErrorData{ErrorName: w.name, Errors: []worthapi.FieldError{}},
	}
	if p.Status >= http.StatusInternalServerError {
		e.Status = "error"
	}
	for _, f := range p.Fields {
		e.Data.Errors = append(e.Data.Errors, worthapi.FieldError{Field: f.Field, Message: f.Message})
	}
	for _, c := range p.Changes {
		change := worthapi.ConcurrentChange{Field: c.Field, State: string(c.State), Version: c.Version, Actor: c.Actor, Dialect: c.Dialect}
		if c.At != nil {
			change.At = new(c.At.Format(store.TimeLayout))
		}
		e.Data.Changes = append(e.Data.Changes, change)
	}
	if len(p.Fields) > 0 {
		e.Message = strings.Join(dialect.Messages(p.Fields), ", ")
	}
	return e
}
