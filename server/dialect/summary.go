package dialect

import (
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/store"
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
	DryRun    bool           // nothing was written
	Replayed  bool           // the response is that of an earlier request with the same idempotency key
	Merged    bool           // the write was merged with those since the version in If-Match
	Conflicts []store.Field  // the fields for which If-Match was false and the write was not, or could not have been, merged
}

// SummaryOf returns the summary of a request. It is empty if the request matched no operation.
func SummaryOf(c echo.Context) Summary {
	call, ok := c.Request().Context().Value(callKey{}).(*Call)
	if !ok {
		return Summary{}
	}
	return Summary{
		Dialect: call.dialect.Name, Operation: call.operation,
		Principal: call.Principal, Customer: call.Customer.ID, Changed: call.changed, DryRun: call.dryRun, Replayed: call.replayed,
		Merged: call.merged, Conflicts: call.conflicts,
	}
}
