package dialect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/agnivade/levenshtein"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/provisioning"
	"github.com/dragoman-id/dragoman/store"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
)

// maxBody is the maximum size of a request's body in bytes.
const maxBody = 256 << 10

// The headers that the stages read and write in every dialect. A document declares those that an operation supports.
const (
	headerIfMatch           = "If-Match"
	headerIfNoneMatch       = "If-None-Match"
	headerETag              = "ETag"
	headerAcceptPatch       = "Accept-Patch" // RFC 5789
	headerAcceptEncoding    = "Accept-Encoding"
	headerPrefer            = "Prefer"
	headerPreferenceApplied = "Preference-Applied"
	handlingStrict          = "handling=strict"
)

// maxQueryParameters is the maximum number of parameters in a query, including repeated ones. Every operation has fewer than
// half as many.
const maxQueryParameters = 64

// operation is one operation of a document, ready to be served.
type operation struct {
	dialect    *Dialect
	id         string
	permission auth.Permission
	check      Check // nil if the schema states all constraints
	parameters []parameter
	repeatable bool               // it takes an idempotency key
	writes     bool               // it may change something; see [description.API.Writes]
	replaces   bool               // the method is PUT
	takesQuery bool               // it has query parameters; an operation without any ignores the query
	body       *openapi3.Schema   // nil if the operation has no body
	shown      []*openapi3.Schema // the dialect's UserSchemas
	statuses   []int              // the documented statuses, ascending
	// acceptHeader is the header in which a 415 response lists the supported media types.
	acceptHeader string
	versioned    bool // the resource has an entity tag, which the handler compares with the preconditions
	cacheable    bool // its response has the header CacheControl
}

// parameter is a parameter of an operation and the schema that its values must match.
type parameter struct {
	*openapi3.Parameter
	schema *openapi3.Schema
}

func newOperation(d *Dialect, method string, item *openapi3.PathItem, o *openapi3.Operation, permission auth.Permission) (*operation, error) {
	op := &operation{dialect: d, id: o.OperationID, permission: permission, check: d.Checks[o.OperationID], acceptHeader: echo.HeaderAccept, replaces: method == http.MethodPut}
	if method == http.MethodPatch {
		op.acceptHeader = headerAcceptPatch
	}
	op.repeatable = takesIdempotencyKey(method) && d.Writes(method, o.OperationID)
	for _, p := range slices.Concat(item.Parameters, o.Parameters) {
		op.parameters = append(op.parameters, parameter{p.Value, parameterSchema(p.Value)})
		op.takesQuery = op.takesQuery || isQuery(p.Value)
	}
	for status := range o.Responses.Map() {
		if code, err := strconv.Atoi(status); err == nil {
			op.statuses = append(op.statuses, code)
		}
	}
	slices.Sort(op.statuses)
	op.versioned = description.IsVersioned(method, item, o)
	op.cacheable = description.DocumentsHeader(o, echo.HeaderCacheControl)
	if o.RequestBody != nil {
		op.body = o.RequestBody.Value.Content.Get("application/json").Schema.Value
		for _, name := range d.UserSchemas {
			op.shown = append(op.shown, d.Document.Components.Schemas[name].Value)
		}
	}
	return op, op.checkBounds()
}

// parameterSchema returns the schema that a parameter's values are validated against. It omits the maximum of parameters in the
// path and in headers, so that an id beyond it gets the same response as any other id that does not exist.
func parameterSchema(p *openapi3.Parameter) *openapi3.Schema {
	schema := *p.Schema.Value
	if !isQuery(p) {
		schema.Max = nil
	}
	return &schema
}

// checkBounds returns an error if the document declares an array in the body, or a string in the query, without a maximum length.
func (op *operation) checkBounds() error {
	if op.body != nil {
		if path, found := unboundedArray(op.body, "", maxDepth); found {
			return fmt.Errorf("mount %s: the body of %s has no maxItems for %s", op.dialect.Name, op.id, subject(path))
		}
	}
	for _, p := range op.parameters {
		if s := p.Schema.Value; isQuery(p.Parameter) && s.Type.Is("string") && s.MaxLength == nil && s.Enum == nil && s.Format == "" && s.Pattern == "" {
			return fmt.Errorf("mount %s: the query parameter %s of %s has no maxLength", op.dialect.Name, p.Name, op.id)
		}
	}
	return nil
}

// serve returns middleware that takes a request through the stages. If several of them would refuse it, the first one does
// (SEMANTICS.md, "Who may do what").
func (op *operation) serve(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		call := &Call{dialect: op.dialect, operation: op.id, replaces: op.replaces, request: c.Request(), response: c.Response(), contentUnwanted: c.Request().Method == http.MethodHead,
			dryRun: IsDryRun(c.Path())}
		call.origin = store.Origin{Dialect: op.dialect.Name, Operation: op.id, RequestID: c.Response().Header().Get(echo.HeaderXRequestID)}
		call.begin(c.Request().Context(), op.dialect.service.RequestTimeout)
		defer call.end()
		c.SetRequest(c.Request().WithContext(call))
		if op.dialect.service.Mock {
			if err := op.applyMockPreferences(c, call); err != nil {
				return err
			}
		}
		parameters, err := op.admit(c, call)
		if err != nil {
			return err
		}
		var body any
		if op.body != nil {
			if body, err = op.readBody(c, call); err != nil {
				return err
			}
		}
		if call.repeatable == nil {
			return op.perform(c, call, parameters, body, next)
		}
		return op.serveOnce(c, call, func() error { return op.perform(c, call, parameters, body, next) })
	}
}

// perform validates the body and calls next, the handler.
func (op *operation) perform(c echo.Context, call *Call, parameters Parameters, body any, next echo.HandlerFunc) error {
	if op.body != nil {
		if err := op.checkBody(c, call, parameters, body); err != nil {
			return err
		}
	}
	c.Response().Before(func() {
		// The generated code sets the document's media type, without a charset.
		h := c.Response().Header()
		if h.Get(echo.HeaderContentType) == echo.MIMEApplicationJSON {
			h[echo.HeaderContentType] = op.dialect.contentType
		}
		if call.merged {
			// Of a request with an idempotency key this becomes part of the recorded response.
			h.Set(headerPreferenceApplied, call.appliedPreferences())
		}
		if call.dryRun && op.writes && c.Response().Status < http.StatusMultipleChoices {
			// There is no new version. The server may have spelled the name as RFC 9110 does.
			h.Del(headerETag)
			delete(h, headerETag)
		}
	})
	if !op.versioned && call.isConditional() {
		return op.serveUnversioned(c, call, next)
	}
	return next(c)
}

// serveUnversioned evaluates the preconditions of a request for a resource without an entity tag, such as a list: If-Match is
// true only if it is *, and If-None-Match is true unless it is * (RFC 9110, section 13.1). If one is false, a request is answered
// with 304 or 412 only if it would succeed without the precondition (section 13.2.1). To find out, serveUnversioned calls next
// with a response that is discarded, for a write as a dry run.
func (op *operation) serveUnversioned(c echo.Context, call *Call, next echo.HandlerFunc) error {
	matches, isNew := call.ifMatch.allowUnversioned(), !call.ifNoneMatch.any
	if matches && isNew {
		return next(c)
	}
	dryRun := call.dryRun
	call.contentUnwanted, call.dryRun = true, dryRun || op.writes
	err := divert(c, &discarded{header: http.Header{}}, func() error { return next(c) })
	call.dryRun = dryRun
	if err != nil {
		return err
	}
	if method := c.Request().Method; !matches || method != http.MethodGet && method != http.MethodHead {
		return errPreconditionFailed
	}
	if op.cacheable {
		c.Response().Header().Set(echo.HeaderCacheControl, CacheControl)
	}
	return c.NoContent(http.StatusNotModified)
}

// divert calls fn while w takes the response.
func divert(c echo.Context, w http.ResponseWriter, fn func() error) error {
	response := c.Response()
	defer c.SetResponse(response) // also after a panic, which is answered
	c.SetResponse(echo.NewResponse(w, c.Echo()))
	return fn()
}

// discarded is a ResponseWriter that discards the response.
type discarded struct{ header http.Header }

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) WriteHeader(int)             {}
func (d *discarded) Write(p []byte) (int, error) { return len(p), nil }

// admit runs the stages before the body: it authenticates the caller, applies the limits, reads the parameters and authorizes
// the request.
func (op *operation) admit(c echo.Context, call *Call) (Parameters, error) {
	r := c.Request()
	principal, err := op.authenticate(r)
	if err != nil {
		return nil, err
	}
	call.Principal, call.origin.Subject = principal, principal.Subject
	if err := op.dialect.service.Limiter.Admit(principal.Subject, c.Response().Header()); err != nil {
		return nil, err
	}
	if flight := op.dialect.service.InFlight; flight != nil {
		if call.caller, err = flight.begin(principal.Subject); err != nil {
			return nil, err
		}
		call.flight = flight
	}
	parameters, wrong := op.readParameters(c)
	wrong = append(wrong, call.readPreferences(parameters)...)
	if op.repeatable {
		wrong = append(wrong, op.readIdempotencyKey(c, call, parameters)...)
	}
	if len(wrong) > 0 {
		return nil, &InvalidError{Fields: wrong}
	}
	if err := op.authorize(r.Context(), call, op.dialect.Tenant(parameters)); err != nil {
		return nil, err
	}
	if call.strict {
		c.Response().Header().Set(headerPreferenceApplied, handlingStrict)
	}
	return parameters, nil
}

// authenticate verifies the token of a request.
func (op *operation) authenticate(r *http.Request) (auth.Principal, error) {
	authorization := r.Header.Values(echo.HeaderAuthorization)
	if tokens := op.dialect.service.ProvisioningTokens; tokens != nil && op.dialect.AcceptsProvisioningTokens {
		if token, ok := auth.Bearer(authorization); ok && provisioning.Is(token) {
			return tokens.Verify(r.Context(), token)
		}
	}
	return op.dialect.service.Verifier.Verify(authorization)
}

// readParameters reads and validates every path, query and header parameter. It returns the valid ones, and what is wrong with
// the others. It joins the lines of a header that was sent in several (RFC 9110, section 5.3).
func (op *operation) readParameters(c echo.Context) (parameters Parameters, wrong []FieldError) {
	parameters = Parameters{}
	var query url.Values
	if op.takesQuery {
		var err error
		text := c.Request().URL.RawQuery
		if strings.Count(text, "&") >= maxQueryParameters {
			return nil, []FieldError{{Message: fmt.Sprintf("the query must have at most %d parameters", maxQueryParameters)}}
		}
		if query, err = url.ParseQuery(text); err != nil {
			wrong = append(wrong, FieldError{Message: "the query is not well formed"})
		}
	}
	for _, p := range op.parameters {
		raw, given, once := parameterText(c, query, p.Parameter)
		switch {
		case !given && p.Required:
			wrong = append(wrong, FieldError{Field: p.Name, Message: p.Name + " is required"})
			continue
		case !given:
			continue
		case !once && !isList(p.Parameter):
			wrong = append(wrong, FieldError{Field: p.Name, Message: p.Name + " must be given once"})
			continue
		}
		value, ok := parameterValue(p.Parameter, raw)
		if !ok {
			wrong = append(wrong, FieldError{Field: p.Name, Message: p.Name + " must be " + parameterType(p.Schema.Value)})
			continue
		}
		if invalid := validate(p.schema, value, p.Name); len(invalid) > 0 {
			wrong = append(wrong, invalid...)
			continue
		}
		parameters[p.Name] = value
	}
	if op.takesQuery && !op.dialect.IgnoresUnknownQuery {
		wrong = append(wrong, op.unknownQuery(query)...)
	}
	return parameters, wrong
}

// isList reports whether a parameter is a header whose lines may be joined to a list, as all headers of type string are.
func isList(p *openapi3.Parameter) bool {
	return p.In == openapi3.ParameterInHeader && p.Schema.Value.Type.Is("string")
}

func parameterText(c echo.Context, query url.Values, p *openapi3.Parameter) (text string, given, once bool) {
	r := c.Request()
	switch p.In {
	case openapi3.ParameterInPath:
		text = c.Param(p.Name)
		if r.URL.RawPath != "" {
			// Echo routes by the escaped path if there is one, and leaves the parameters escaped.
			if unescaped, err := url.PathUnescape(text); err == nil {
				text = unescaped
			}
		}
		return text, text != "", true
	case openapi3.ParameterInQuery:
		values := query[p.Name]
		return query.Get(p.Name), len(values) > 0, len(values) == 1
	default:
		lines := r.Header.Values(p.Name)
		text = strings.Join(lines, ", ")
		if len(lines) > 1 {
			r.Header.Set(p.Name, text)
		}
		return text, len(lines) > 0, len(lines) <= 1
	}
}

func parameterValue(p *openapi3.Parameter, raw string) (any, bool) {
	switch schema := p.Schema.Value; {
	case schema.Type.Is("integer"):
		n, err := strconv.ParseInt(raw, 10, 64)
		// ParseInt alone would accept a plus sign.
		return n, err == nil && !strings.HasPrefix(raw, "+")
	case schema.Type.Is("boolean"):
		return raw == "true", raw == "true" || raw == "false"
	default:
		// Text from the query becomes an argument of a database query, which may not accept every byte.
		return raw, !isQuery(p) || utf8.ValidString(raw) && strings.IndexByte(raw, 0) < 0
	}
}

// parameterType describes the values that parameterValue accepts.
func parameterType(schema *openapi3.Schema) string {
	if schema.Type.Is("string") && schema.Format == "" {
		return "valid UTF-8 without U+0000"
	}
	return typeName(schema)
}

func isQuery(p *openapi3.Parameter) bool { return p.In == openapi3.ParameterInQuery }

// unknownQuery returns an error for each query parameter that the operation does not have. It suggests the most similar one.
func (op *operation) unknownQuery(query url.Values) []FieldError {
	var wrong []FieldError
	for _, name := range slices.Sorted(maps.Keys(query)) {
		named := func(p parameter) bool { return isQuery(p.Parameter) && p.Name == name }
		if slices.ContainsFunc(op.parameters, named) {
			continue
		}
		field := join("", Excerpt(name))
		wrong = append(wrong, FieldError{Field: field, Message: fmt.Sprintf("%s is not a parameter, the nearest is %s", field, op.nearestQuery(name))})
	}
	return wrong
}

func (op *operation) nearestQuery(name string) string {
	nearest, least := "", math.MaxInt
	for _, p := range op.parameters {
		if distance := levenshtein.ComputeDistance(Excerpt(name), p.Name); isQuery(p.Parameter) && distance < least {
			nearest, least = p.Name, distance
		}
	}
	return nearest
}

// authorize returns an error unless the principal may call the operation for the tenant. The error and the work are the same
// for a customer that the token does not cover and for one that does not exist.
func (op *operation) authorize(ctx context.Context, call *Call, tenant Tenant) error {
	call.many = tenant.Many
	switch {
	case !tenant.Many:
		if err := op.authorizeTenant(ctx, call, tenant); err != nil {
			return err
		}
	case !op.dialect.service.Policy.MaySpanCustomers(call.Principal):
		return fmt.Errorf("%w: the token is for no customer", auth.ErrForbidden)
	}
	if !op.dialect.service.Policy.Permits(call.Principal, op.permission) {
		return fmt.Errorf("%w: the token lacks %s", auth.ErrForbidden, op.permission)
	}
	if op.writes {
		return call.checkStanding(ctx)
	}
	return nil
}

// readBody reads and decodes the body.
func (op *operation) readBody(c echo.Context, call *Call) (any, error) {
	r := c.Request()
	if err := op.checkMediaType(r.Header); err != nil {
		return nil, err
	}
	if r.ContentLength > maxBody {
		return nil, errContentTooLarge // before a client with Expect: 100-continue sends it
	}
	body := http.MaxBytesReader(c.Response(), r.Body, maxBody)
	if call.flight != nil && (r.ContentLength < 0 || r.ContentLength > freeBytes) {
		body = &bodyInFlight{ReadCloser: body, call: call}
	}
	var from io.Reader = body
	if call.repeatable != nil {
		from = io.TeeReader(body, call.repeatable.request)
	}
	call.suspend()
	value, err := readJSON(from, cmp.Or(op.dialect.MaxValues, defaultMaxValues))
	call.resume()
	if err != nil {
		return nil, explainRead(call, err)
	}
	return value, nil
}

// checkBody validates the decoded body, and replaces that of the request by a checkedBody.
func (op *operation) checkBody(c echo.Context, call *Call, parameters Parameters, value any) error {
	r := c.Request()
	wrong := trim(op.body, value, "")
	call.Body, _ = value.(map[string]any)
	dropNulls(call.Body, op.body, op.shown)
	call.unknown = unknownMembers(op.body, value, "")
	// If a member has two errors, that of the check comes first and is kept: it is more specific than that of the schema.
	if op.check != nil {
		wrong = append(wrong, op.check(call, parameters)...)
	}
	wrong = append(wrong, validate(op.body, value, "")...)
	if call.strict {
		wrong = append(wrong, ignoredErrors(call.unknown)...)
	}
	if len(wrong) > 0 {
		return &InvalidError{Fields: onePerField(wrong)}
	}
	r.Header[echo.HeaderContentType] = plainJSON
	r.Body = checkedBody{value}
	return nil
}

func (op *operation) checkMediaType(h http.Header) error {
	if encoding := strings.Join(h.Values(echo.HeaderContentEncoding), ", "); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return &mediaTypeError{fmt.Sprintf("its Content-Encoding is %q", Excerpt(encoding)), headerAcceptEncoding, "identity"}
	}
	// Several lines are as invalid as several media types in one line.
	contentType := strings.Join(h.Values(echo.HeaderContentType), ", ")
	if contentType == "" {
		return nil
	}
	if contentType == echo.MIMEApplicationJSON {
		return nil
	}
	// JSON has one encoding: a charset has no effect (RFC 8259, section 11).
	mediaType, _, err := mime.ParseMediaType(contentType)
	known := mediaType == echo.MIMEApplicationJSON || slices.Contains(op.dialect.MediaTypes, mediaType)
	if err != nil || !known {
		accepted := strings.Join(append([]string{echo.MIMEApplicationJSON}, op.dialect.MediaTypes...), ", ")
		return &mediaTypeError{fmt.Sprintf("its Content-Type is %q", Excerpt(contentType)), op.acceptHeader, accepted}
	}
	return nil
}

// checkedBody passes the decoded and validated value to oapi-codegen's strict handler (2.8), which calls ValidatedValue instead
// of decoding the body. Reading a checkedBody fails, so that the body is never decoded again by less strict rules.
type checkedBody struct{ value any }

func (b checkedBody) ValidatedValue() any      { return b.value }
func (b checkedBody) Read([]byte) (int, error) { return 0, errBodyTaken }
func (b checkedBody) Close() error             { return nil }

// plainJSON is the Content-Type header of a body that was read. Requests share it and must not modify it.
var plainJSON = []string{echo.MIMEApplicationJSON}

var errBodyTaken = errors.New("the body was already decoded")
