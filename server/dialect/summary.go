package dialect

import (
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/labstack/echo/v4"
)

// Summary describes a request for logs, metrics and traces, as far as the stages and the handler have determined it. It contains
// nothing that the client sent but the principal, which comes from a verified token.
type Summary struct {
	Dialect   string         // the dialect's short name
	Operation string         // the operationId
	Principal auth.Principal // zero until the token is verified
	Customer  int64          // the customer's Long id; 0 if the directory has no such customer, or until the caller is authorized
	Changed   string         // the value of Dragoman-Changed, or ""
}

// SummaryOf returns the summary of a request. It is empty if the request matched no operation.
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

// String returns the kind's name in logs and metrics.
func (k Kind) String() string { return kindNames[k] }
