// Package dialect is what every dialect does alike, whatever its vendor: it mounts a document's operations on the
// router, and takes each request through the same stages in the same order (token, path and headers, tenant and
// permission, body), so that a handler is only reached by a request it may answer; it runs a write under its
// preconditions; and it turns whatever error comes out into one problem that the dialect then puts in its own words.
//
// It knows Echo and OpenAPI. It knows no vendor: no path, member or sentence of an API stands here. Those are in the
// packages beside it, one a dialect.
package dialect

import (
	"cmp"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/store"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
)

// Service is what the dialects work with: the one directory behind them all, and who may do what in it.
type Service struct {
	Store     *store.Store
	Verifier  *auth.Verifier
	Policy    auth.Policy
	Passwords *auth.Passwords
	Limiter   *Limiter  // of the callers, by their tokens' subjects; nil: there is none
	InFlight  *InFlight // bounds what is in flight at once; nil: nothing does
	Log       *slog.Logger
	Now       func() time.Time
	// RequestTimeout is for how long the work on a request may stand still; 0 is for ever.
	RequestTimeout time.Duration
	Mock           bool // a request may ask, by Prefer, for an error and for a wait
}

// Dialect is one vendor's API: its document, and its words for what the stages find.
type Dialect struct {
	description.API
	// Document is the API's, as Mount has read it. Its first server's path is where the API is mounted.
	Document *openapi3.T
	// Permissions says which permission each operation needs, by operationId. An operation that is in the document and
	// not here cannot be mounted.
	Permissions map[string]auth.Permission
	// Tenant reads which customer, and in which company's name, a request is about.
	Tenant func(Parameters) Tenant
	// Checks hold a body against what the document can only say in words, by operationId. An operation without an entry
	// has nothing of the kind.
	Checks map[string]Check
	// UserSchemas are the names of the document's schemas by which answers show a user. Where a body has null for a member
	// that is in one of them and not in the body's own schema, that means the same as its absence: clients that send a
	// whole object back write null for what they do not set.
	UserSchemas []string
	// MediaTypes are read as JSON beside application/json and an absent Content-Type.
	MediaTypes []string
	// ContentType is what JSON answers say they are.
	ContentType string
	// ErrorContentType is what errors say they are; empty for the same.
	ErrorContentType string
	// FieldName is the dialect's name of a model's field, or "" where it has none.
	FieldName func(store.Field) string
	// TakenMessage is the sentence for an e-mail or a username that another user has.
	TakenMessage func(store.Field) string
	// Render gives the body of an error's answer. The operation is the operationId, or "" where no operation was found. The path
	// is the request's, cut to 256 characters. It is called again with fewer fields where the answer is too long.
	Render func(p Problem, operation, path string) any

	service     *Service
	operations  map[string]*operation
	tenants     *tenants
	contentType []string // ContentType as a header's value, which many answers share and nobody alters
}

// Tenant is the customer that a request is about, by the one of its two ids that the dialect uses. Its zero value is no
// customer at all.
type Tenant struct {
	ID      int64
	UUID    uuid.UUID
	Company *int64 // the company the caller acts in; nil in a dialect that has none
	// Many says that the request is about no one customer. Its handler shows what [Call.Scope] covers and no more.
	Many bool
}

func (t Tenant) key() store.CustomerKey {
	if t.UUID != uuid.Nil {
		return store.CustomerByUUID(t.UUID)
	}
	return store.CustomerByID(t.ID)
}

// coveredBy tells whether a token names the tenant, or all. It is asked where the directory has no such customer.
func (t Tenant) coveredBy(p auth.Policy, who auth.Principal) bool {
	if t.UUID != uuid.Nil {
		return p.CoversUUID(who, t.UUID)
	}
	return p.CoversID(who, t.ID)
}

// Parameters are a request's path and header parameters as the document types them: string or int64, by their names.
// An optional parameter that was not sent is absent.
type Parameters map[string]any

// Check gives what is wrong with the body of a call, by its members as sent. It must pass over members that are absent or of
// another type than the document says: those are told already.
type Check func(c *Call, p Parameters) []FieldError

// Mount checks that the dialect is whole, and gives the stages for each operation by its operationId, as generated
// registration takes them. It must be called before anything is served.
func (d *Dialect) Mount(s *Service) (map[string][]echo.MiddlewareFunc, error) {
	if err := d.read(); err != nil {
		return nil, fmt.Errorf("mount %s: %w", cmp.Or(d.Name, "a dialect without a name"), err)
	}
	d.service = s
	d.operations = map[string]*operation{}
	d.tenants = newTenants()
	d.contentType = []string{d.ContentType}
	stages := map[string][]echo.MiddlewareFunc{}
	for _, item := range d.Document.Paths.Map() {
		for method, o := range item.Operations() {
			op, err := newOperation(d, method, item, o, d.Permissions[o.OperationID])
			if err != nil {
				return nil, err
			}
			op.writes = !description.IsSafe(method)
			d.operations[o.OperationID] = op
			stages[o.OperationID] = []echo.MiddlewareFunc{op.serve}
		}
	}
	return stages, nil
}

// BasePath is where the dialect's paths begin.
func (d *Dialect) BasePath() string { return description.BasePath(d.Document) }

// Serves tells whether path is one of the dialect's own, so that its errors are in the dialect's words.
func (d *Dialect) Serves(path string) bool {
	return path == d.BasePath() || strings.HasPrefix(path, d.BasePath()+"/")
}
