package dialect

import (
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/labstack/echo/v4"
)

// Summary is what the stages and the handler found out about a request so far, for those who watch the server. No word of the
// client's is in it but the principal's, which are the token's.
type Summary struct {
	Dialect   string         // the dialect's short name
	Operation string         // the operationId
	Principal auth.Principal // its subject is empty if the token was not good, or not looked at yet
	Customer  int64          // the customer's Long; 0 if it is none of the directory's, or not known to be the caller's
	Changed   string         // Dragoman-Changed of a write, or ""
}

// SummaryOf gives the summary of a request. It is empty for one that no operation was found for.
func SummaryOf(c echo.Context) Summary {
	call, ok := c.Request().Context().Value(callKey{}).(*Call)
	if !ok {
		return Summary{}
	}
	return Summary{
		Dialect: call.dialect.Name, Operation: call.operation,
		Principal: call.Principal, Customer: call.Customer.ID, Changed: call.changed,
	}
}

var kindNames = map[Kind]string{
	Internal:             "internal",
	Invalid:              "invalid",
	Refused:              "refused",
	Unauthenticated:      "unauthenticated",
	TokenExpired:         "token_expired",
	Forbidden:            "forbidden",
	UserNotFound:         "user_not_found",
	RouteNotFound:        "route_not_found",
	MethodNotAllowed:     "method_not_allowed",
	RequestTimeout:       "request_timeout",
	PreconditionFailed:   "precondition_failed",
	ContentTooLarge:      "content_too_large",
	UnsupportedMediaType: "unsupported_media_type",
	RateLimited:          "rate_limited",
	Unavailable:          "unavailable",
}

// String is the kind's name in logs and metrics.
func (k Kind) String() string { return kindNames[k] }
