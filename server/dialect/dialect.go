// Package dialect implements what all dialects have in common. A dialect is one vendor's API, described by an OpenAPI document.
//
// The package returns middleware for each operation of a document. The middleware takes every request through the same stages
// in the same order: token, path and headers, customer and permission, body. A handler therefore only gets requests that it may
// serve. The package also evaluates the preconditions of writes, and classifies each error as a [Problem], which the dialect
// renders in its own words.
//
// It depends on Echo and OpenAPI, and on no vendor: the paths, members and messages of an API are in that dialect's package.
package dialect

import (
	"cmp"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/provisioning"
	"github.com/dragoman-id/dragoman/store"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
)

// Service holds what all dialects share: the directory, and the rules about who may do what in it.
type Service struct {
	Store    *store.Store
	Verifier *auth.Verifier
	// ProvisioningTokens verifies the tokens of provisioning clients, for dialects that accept them. Nil means that none does.
	ProvisioningTokens *provisioning.Verifier
	Policy             auth.Policy
	Passwords          *auth.Passwords
	Limiter            *Limiter  // limits the rate of each caller, by the token's subject; nil means no limit
	InFlight           *InFlight // limits concurrent requests and their bodies; nil means no limit
	Log                *slog.Logger
	Now                func() time.Time
	// RequestTimeout is how long a request may go without progress; 0 means no limit.
	RequestTimeout time.Duration
	// AllowHTTPWebhooks permits endpoints of webhooks without TLS.
	AllowHTTPWebhooks bool
	Mock              bool // a request may ask for an error or a delay in its Prefer header
}

// Dialect is one vendor's API: its document, and its wording of errors.
type Dialect struct {
	description.API
	// Document is the API's document, which Mount sets. The API is mounted at the path of the document's first server.
	Document *openapi3.T
	// Permissions maps each operationId to the permission that the operation requires. Mount returns an error if an operation
	// of the document is missing.
	Permissions map[string]auth.Permission
	// Tenant returns the customer, and the company if the dialect has companies, that a request is about.
	Tenant func(Parameters) Tenant
	// AcceptsProvisioningTokens says that provisioning clients use the dialect, so that their tokens are accepted besides JWTs. In other
	// dialects they are 401.
	AcceptsProvisioningTokens bool
	// Checks maps an operationId to a check of what the document states only in prose. An operation may have none.
	Checks map[string]Check
	// UserSchemas names the document's schemas that describe a user in responses. Clients that send a whole object back write
	// null for members that they do not set. A null in a body is therefore treated as absent if one of these schemas has the
	// member and the body's own schema does not.
	UserSchemas []string
	// MediaTypes are accepted for JSON bodies besides application/json and an absent Content-Type.
	MediaTypes []string
	// ContentType is the Content-Type of JSON responses.
	ContentType string
	// ErrorContentType is the Content-Type of error responses. Empty means ContentType.
	ErrorContentType string
	// FieldName returns the dialect's name for a field of the model, or "" if it has none.
	FieldName func(store.Field) string
	// TakenMessage returns the message for an e-mail or a username that another user has.
	TakenMessage func(store.Field) string
	// TakenStatus is the status of a request that is refused only because of values that another user has. 0 means 400.
	TakenStatus int
	// Hides reports whether a user is not found by the dialect's requests. Nil means that none is hidden. The store's lists and
	// FindUser do not know of it.
	Hides func(*store.User) bool
	// IgnoresUnknownQuery makes the dialect ignore query parameters that the document does not name, which are otherwise an error.
	IgnoresUnknownQuery bool
	// MaxValues is the maximum number of JSON values in a body. 0 means 1024.
	MaxValues int
	// Render returns the body of an error response. operation is the operationId, or "" if the request matched none. path is the
	// request's path, truncated to 256 characters. If the body is too long, Render is called again with fewer fields.
	Render func(p Problem, operation, path string) any

	service     *Service
	operations  map[string]*operation
	tenants     *tenants
	underWay    *underWay
	contentType []string // ContentType as a header value; shared by responses, which must not modify it
}

// Tenant identifies the customer that a request is about, by ID or UUID, whichever the dialect uses. Its zero value identifies
// no customer.
type Tenant struct {
	ID      int64
	UUID    uuid.UUID
	Company *int64 // the company the caller acts in; nil in a dialect that has none
	// Many means that the request is not about a single customer. Its handler must return only what [Call.Scope] covers.
	Many bool
}

func (t Tenant) key() store.CustomerKey {
	if t.UUID != uuid.Nil {
		return store.CustomerByUUID(t.UUID)
	}
	return store.CustomerByID(t.ID)
}

// coveredBy reports whether the principal's token covers the tenant. It is for a customer that the directory does not have.
func (t Tenant) coveredBy(p auth.Policy, principal auth.Principal) bool {
	if t.UUID != uuid.Nil {
		return p.CoversUUID(principal, t.UUID)
	}
	return p.CoversID(principal, t.ID)
}

// Parameters maps the names of a request's path, query and header parameters to their values, which have the types that the
// document declares: int64, bool or string. An optional parameter that was not sent is absent.
type Parameters map[string]any

// Check returns what is wrong with the members of a call's body. It must skip members that are absent or have another type
// than the document declares, since the schema's validation reports them.
type Check func(c *Call, p Parameters) []FieldError

// Mount reads the dialect's document, checks that the dialect is complete, and returns the middleware of each operation by
// operationId, as the generated registration functions take it. It must be called before requests are served.
func (d *Dialect) Mount(s *Service) (map[string][]echo.MiddlewareFunc, error) {
	if err := d.loadDocument(); err != nil {
		return nil, fmt.Errorf("mount %s: %w", cmp.Or(d.Name, "a dialect without a name"), err)
	}
	d.service = s
	d.operations = map[string]*operation{}
	d.tenants = newTenants()
	d.underWay = newUnderWay()
	d.contentType = []string{d.ContentType}
	stages := map[string][]echo.MiddlewareFunc{}
	for _, item := range d.Document.Paths.Map() {
		for method, o := range item.Operations() {
			op, err := newOperation(d, method, item, o, d.Permissions[o.OperationID])
			if err != nil {
				return nil, err
			}
			op.writes = d.Writes(method, o.OperationID)
			d.operations[o.OperationID] = op
			stages[o.OperationID] = []echo.MiddlewareFunc{op.serve}
		}
	}
	return stages, nil
}

// BasePath returns the prefix of the dialect's paths.
func (d *Dialect) BasePath() string { return description.BasePath(d.Document) }

// Serves reports whether path belongs to the dialect, which then renders its errors.
func (d *Dialect) Serves(path string) bool {
	if IsDryRun(path) {
		path = strings.TrimPrefix(path, DryRunPath)
	}
	return path == d.BasePath() || strings.HasPrefix(path, d.BasePath()+"/")
}
