// Package directory is the server's own dialect, for operations that neither vendor has. It serves the history of a user, the feed of all
// changes, the tokens of provisioning clients and the endpoints of webhooks, and erases personal data, with the model's field names, integer
// ids of users, customers and endpoints, and problem details (RFC 9457). It does not depend on any other dialect.
package directory

import (
	"cmp"
	"context"
	"net/http"

	"github.com/dragoman-id/dragoman/gen/directoryapi"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/store"
	"github.com/labstack/echo/v4"
)

// Mount registers the dialect's operations on e, under the base path of its document.
func Mount(e *echo.Echo, s *dialect.Service) (*dialect.Dialect, error) {
	d := &dialect.Dialect{
		API: Description,
		Permissions: map[string]auth.Permission{
			"createProvisioningToken": auth.PermissionProvisioning,
			"createWebhook":           auth.PermissionWebhooks,
			"deleteWebhook":           auth.PermissionWebhooks,
			"disableWebhook":          auth.PermissionWebhooks,
			"eraseUser":               auth.PermissionErase,
			"getWebhook":              auth.PermissionWebhooks,
			"listChanges":             auth.PermissionHistory,
			"listProvisioningTokens":  auth.PermissionProvisioning,
			"listUserHistory":         auth.PermissionHistory,
			"listWebhooks":            auth.PermissionWebhooks,
			"replayWebhook":           auth.PermissionWebhooks,
			"revokeProvisioningToken": auth.PermissionProvisioning,
			"rotateWebhookSecret":     auth.PermissionWebhooks,
		},
		Tenant:           tenant,
		Checks:           map[string]dialect.Check{"createProvisioningToken": checkNewToken(s.Store.Catalogue())},
		ContentType:      echo.MIMEApplicationJSON,
		ErrorContentType: "application/problem+json",
		FieldName:        func(f store.Field) string { return cmp.Or(fieldNames[f], string(f)) },
		TakenMessage:     func(f store.Field) string { return string(f) + " is already taken by another user" },
		Render:           render,
	}
	stages, err := d.Mount(s)
	if err != nil {
		return nil, err
	}
	h := directoryapi.NewStrictHandler(&handler{s.Store}, nil)
	directoryapi.RegisterHandlersWithOptions(e, h, directoryapi.RegisterHandlersOptions{BaseURL: d.BasePath(), OperationMiddlewares: stages})
	return d, nil
}

// tenant returns the customer whose id is in the path. A path without an id is for many customers.
func tenant(p dialect.Parameters) dialect.Tenant {
	id, ok := p["id"].(int64)
	return dialect.Tenant{ID: id, Many: !ok}
}

// fieldNames has the names of the fields that are members or parameters of a write. The history has the model's names.
var fieldNames = map[store.Field]string{
	store.FieldCustomer:     "id",
	store.FieldReason:       "reason",
	store.FieldTokenRole:    "role",
	store.FieldTokenNote:    "note",
	store.FieldTokenExpires: "expiresAt",
}

type handler struct{ store *store.Store }

// defaultLimit is the maximum number of changes in a response to a request without a limit.
const defaultLimit = 100

// ListUserHistory returns a page of the changes of one user.
func (h *handler) ListUserHistory(ctx context.Context, r directoryapi.ListUserHistoryRequestObject) (directoryapi.ListUserHistoryResponseObject, error) {
	call := dialect.CallFrom(ctx)
	key := store.UserByID(call.Customer.ID, r.UserID)
	source := pageSource[store.UserChange, directoryapi.Change]{
		read: func(after int64, limit int) ([]store.UserChange, int64, error) {
			found, err := h.store.UserHistory(ctx, key, after, limit)
			return found, after, err
		},
		position: func(c store.UserChange) int64 { return c.Version },
		show:     toAPIChange,
	}
	shown, next, err := source.page(orElse(r.Params.After, 0), int(orElse(r.Params.Limit, defaultLimit)))
	if err != nil {
		return nil, err
	}
	return directoryapi.ListUserHistory200JSONResponse{
		Body:    directoryapi.History{Changes: shown, Next: next},
		Headers: directoryapi.ListUserHistory200ResponseHeaders{CacheControl: dialect.CacheControl},
	}, nil
}

// ListChanges returns a page of the feed.
func (h *handler) ListChanges(ctx context.Context, r directoryapi.ListChangesRequestObject) (directoryapi.ListChangesResponseObject, error) {
	scope := dialect.CallFrom(ctx).Scope()
	source := pageSource[store.NumberedChange, directoryapi.NumberedChange]{
		read: func(after int64, limit int) ([]store.NumberedChange, int64, error) {
			return h.store.ListChanges(ctx, scope, after, limit)
		},
		position: func(c store.NumberedChange) int64 { return c.Number },
		show:     toAPINumberedChange,
	}
	shown, next, err := source.page(orElse(r.Params.After, 0), int(orElse(r.Params.Limit, defaultLimit)))
	if err != nil {
		return nil, err
	}
	return directoryapi.ListChanges200JSONResponse{
		Body:    directoryapi.ChangeFeed{Changes: shown, Next: next},
		Headers: directoryapi.ListChanges200ResponseHeaders{CacheControl: dialect.CacheControl},
	}, nil
}

// EraseUser erases the personal data of a user.
func (h *handler) EraseUser(ctx context.Context, r directoryapi.EraseUserRequestObject) (directoryapi.EraseUserResponseObject, error) {
	call := dialect.CallFrom(ctx)
	done, written, err := call.EraseUser(ctx, store.UserByID(call.Customer.ID, r.UserID), orElse(r.Params.Reason, ""))
	if err != nil {
		return nil, err
	}
	return directoryapi.EraseUser200JSONResponse{
		Body:    toAPIErasure(done),
		Headers: directoryapi.EraseUser200ResponseHeaders{ETag: written.ETag, CacheControl: dialect.CacheControl, DragomanChanged: written.Changed},
	}, nil
}

func orElse[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

func toAPIErasure(e store.Erased) directoryapi.Erasure {
	erasure := directoryapi.Erasure{
		Customer: e.User.CustomerID,
		User:     e.User.ID,
		UUID:     e.User.UUID,
		Version:  e.User.Version,
		Fields:   []string{},
		Entries:  e.Changes,
		Subjects: e.Subjects,
		Answers:  e.Records,
	}
	for _, f := range e.Fields {
		erasure.Fields = append(erasure.Fields, string(f))
	}
	return erasure
}

func toAPIChange(c store.UserChange) directoryapi.Change {
	change := directoryapi.Change{
		Customer:  c.CustomerID,
		User:      c.UserID,
		Version:   c.Version,
		At:        toAPITime(c.At),
		Actor:     c.Actor,
		Subject:   c.Subject,
		Dialect:   c.Dialect,
		Operation: c.Operation,
		RequestID: c.RequestID,
		Fields:    []directoryapi.FieldChange{},
	}
	for _, f := range c.Fields {
		change.Fields = append(change.Fields, directoryapi.FieldChange{Field: string(f.Field), Old: f.Old, New: f.New})
	}
	return change
}

func toAPINumberedChange(c store.NumberedChange) directoryapi.NumberedChange {
	change := toAPIChange(c.UserChange)
	return directoryapi.NumberedChange{
		ID:        c.Number,
		Customer:  change.Customer,
		User:      change.User,
		Version:   change.Version,
		At:        change.At,
		Actor:     change.Actor,
		Subject:   change.Subject,
		Dialect:   change.Dialect,
		Operation: change.Operation,
		RequestID: change.RequestID,
		Fields:    change.Fields,
	}
}

// details has the detail member of a problem of each kind.
var details = map[dialect.Kind]string{
	dialect.Internal:             "An unexpected error occurred.",
	dialect.Invalid:              "The request is not what the document asks.",
	dialect.Refused:              "A rule of the directory is against the request.",
	dialect.Unauthenticated:      "The token is missing or cannot be believed.",
	dialect.TokenExpired:         "The token has expired.",
	dialect.Forbidden:            "The token does not allow this.",
	dialect.UserNotFound:         "The customer has no such user.",
	dialect.RouteNotFound:        "There is no such path.",
	dialect.MethodNotAllowed:     "The path does not support this method.",
	dialect.RequestTimeout:       "The body did not arrive in time, or not to its end.",
	dialect.PreconditionFailed:   "A precondition of the request is false.",
	dialect.ContentTooLarge:      "The body has more than 256 KiB.",
	dialect.UnsupportedMediaType: "The body is not declared as JSON, or it is encoded.",
	dialect.KeyReused:            "The Idempotency-Key is that of another request.",
	dialect.RateLimited:          "The caller, or its address, has sent more requests than it may.",
	dialect.Unavailable:          "The directory cannot answer at the moment.",
}

// notFound has the detail member of what is not found by operations that are not about users.
var notFound = map[string]string{
	"createProvisioningToken": "There is no such customer.",
	"deleteWebhook":           noWebhook,
	"disableWebhook":          noWebhook,
	"getWebhook":              noWebhook,
	"listProvisioningTokens":  "There is no such customer.",
	"replayWebhook":           noWebhook,
	"revokeProvisioningToken": "The customer has no such token.",
	"rotateWebhookSecret":     noWebhook,
}

const noWebhook = "The token's customers have no such endpoint."

func render(p dialect.Problem, operation, _ string) any {
	problem := directoryapi.Problem{
		Type:   "about:blank",
		Title:  http.StatusText(p.Status),
		Status: p.Status,
		Detail: details[p.Kind],
		Errors: []directoryapi.FieldError{},
	}
	if detail, ok := notFound[operation]; ok && p.Kind == dialect.UserNotFound {
		problem.Detail = detail
	}
	for _, f := range p.Fields {
		problem.Errors = append(problem.Errors, directoryapi.FieldError{Field: f.Field, Message: f.Message})
	}
	return problem
}
