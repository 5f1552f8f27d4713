package description

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// Operation is an operation of a document, with what is needed to call it.
type Operation struct {
	*openapi3.Operation
	Method, Path string // the path with the base path before it, and with {names} in it
	Parameters   []*openapi3.Parameter
	Item         *openapi3.PathItem
	Versioned    bool // what the path names has an entity tag
	api          API
}

// Operations gives all operations of the document, by their ids.
func (a API) Operations() ([]Operation, error) {
	document, err := a.Spec()
	if err != nil {
		return nil, fmt.Errorf("read the document of %s: %w", a.Name, err)
	}
	return a.OperationsOf(document), nil
}

// OperationsOf is Operations for a document that was read already.
func (a API) OperationsOf(document *openapi3.T) []Operation {
	var all []Operation
	for path, item := range document.Paths.Map() {
		for method, o := range item.Operations() {
			operation := Operation{Operation: o, Method: method, Path: BasePath(document) + path, Item: item, api: a}
			operation.Versioned = IsVersioned(method, item, o)
			for _, p := range slices.Concat(item.Parameters, o.Parameters) {
				operation.Parameters = append(operation.Parameters, p.Value)
			}
			all = append(all, operation)
		}
	}
	slices.SortFunc(all, func(x, y Operation) int { return cmp.Compare(x.OperationID, y.OperationID) })
	return all
}

// At gives the values at a member's path: none where an object on the way to them is null, each where an array is.
func At(value any, path string) []any {
	name, rest, more := strings.Cut(path, ".")
	bare, items := strings.CutSuffix(name, "[]")
	var found []any
	switch value := value.(type) {
	case map[string]any:
		if member, ok := value[bare]; ok {
			found = []any{member}
		}
	case []any:
		if bare == "" && items {
			found, items = value, false
		}
	}
	if items && len(found) == 1 {
		found, _ = found[0].([]any)
	}
	if !more {
		return found
	}
	var all []any
	for _, f := range found {
		all = append(all, At(f, rest)...)
	}
	return all
}

// Removed is no value that JSON has: [Set] takes a member away by it.
var Removed any = struct{ removed int }{}

// Set puts a value to the place that a path names, in the first item of an array, and makes what is not there on the way. It gives the
// member's path as an error tells it.
func Set(body map[string]any, path string, value any) string {
	name, rest, more := strings.Cut(path, ".")
	bare, items := strings.CutSuffix(name, "[]")
	switch {
	case !more && value == Removed:
		delete(body, bare)
	case !more:
		body[bare] = value
	case items:
		array, _ := body[bare].([]any)
		if len(array) == 0 {
			array = []any{map[string]any{}}
			body[bare] = array
		}
		return bare + ".0." + Set(array[0].(map[string]any), rest, value)
	default:
		object, _ := body[bare].(map[string]any)
		if object == nil {
			object = map[string]any{}
			body[bare] = object
		}
		return bare + "." + Set(object, rest, value)
	}
	return bare
}

// Success returns the status of an operation's success and what the document says of it, 0 and nil if it has none. An operation that has
// 204 beside 200 answers with a body only if a request asks for one.
func Success(o *openapi3.Operation) (status int, response *openapi3.Response) {
	for _, status := range []int{http.StatusNoContent, http.StatusOK, http.StatusCreated} {
		if documented := o.Responses.Status(status); documented != nil {
			return status, documented.Value
		}
	}
	return 0, nil
}

// Taken returns the status with which an operation refuses a value that another user has: 409 where the document has it, else 400.
func (o Operation) Taken() int {
	if o.Responses.Status(http.StatusConflict) != nil {
		return http.StatusConflict
	}
	return http.StatusBadRequest
}

// DocumentsHeader reports whether an operation, which may be nil, documents a header of its success.
func DocumentsHeader(o *openapi3.Operation, name string) bool {
	if o == nil {
		return false
	}
	_, success := Success(o)
	if success == nil {
		return false
	}
	for documented := range success.Headers {
		if strings.EqualFold(documented, name) {
			return true
		}
	}
	return false
}

// IsVersioned reports whether what an operation's path names has an entity tag: its GET gives it, or, where there is none, the operation
// itself. Of a POST it is the path that it is sent to, which is a list.
func IsVersioned(method string, item *openapi3.PathItem, o *openapi3.Operation) bool {
	if item.Get == nil && method != http.MethodPost {
		return DocumentsHeader(o, "ETag")
	}
	return DocumentsHeader(item.Get, "ETag")
}

// BasePath is where the paths of a document begin.
func BasePath(document *openapi3.T) string {
	u, err := url.Parse(document.Servers[0].URL)
	if err != nil {
		return document.Servers[0].URL
	}
	return u.Path
}

// BaseURL returns the URL of an API, without a slash at its end: that of a server, to which it adds the dialect's base path, or one with
// a path. The errors name the setting that has the URL.
func BaseURL(setting, server, basePath string) (*url.URL, error) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("the %s must be an http or https URL, such as https://staging.example.com", setting)
	}
	if u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("the %s must be a URL without user, query and fragment", setting)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	if u.Path == "" {
		u.Path = basePath
	}
	return u, nil
}

// IsSafe tells whether a method is one that changes nothing (RFC 9110, section 9.2.1).
func IsSafe(method string) bool {
	return slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace}, method)
}

// Writes tells whether an operation with this method may change something.
func (a API) Writes(method, operation string) bool {
	return !IsSafe(method) && !slices.Contains(a.Reads, operation)
}

// About gives the path and the headers that ask the operation about a subject. A parameter that the description cannot write
// is left out, which a test of all descriptions finds.
func (o Operation) About(s Subject) (path string, header http.Header) {
	path, header = o.Path, http.Header{}
	for _, p := range o.Parameters {
		write, ok := o.api.Parameters[p.Name]
		switch {
		case !ok:
		case p.In == openapi3.ParameterInPath:
			path = strings.ReplaceAll(path, "{"+p.Name+"}", url.PathEscape(write(s)))
		case p.In == openapi3.ParameterInHeader:
			header.Set(p.Name, write(s))
		}
	}
	return path, header
}

// JSONSchema gives the schema of what is JSON in a body, or nil.
func JSONSchema(content openapi3.Content) *openapi3.Schema {
	for _, name := range []string{"application/json", "application/problem+json", "application/scim+json"} {
		if media := content.Get(name); media != nil {
			return media.Schema.Value
		}
	}
	return nil
}

// PropertyAt gives the schema of a member of a body, nil if the document says nothing of it.
func PropertyAt(schema *openapi3.Schema, path string) *openapi3.Schema {
	name, rest, more := strings.Cut(path, ".")
	bare, items := strings.CutSuffix(name, "[]")
	property := schema.Properties[bare]
	for _, part := range schema.AllOf {
		if property == nil {
			property = part.Value.Properties[bare]
		}
	}
	if property == nil {
		return nil
	}
	schema = property.Value
	if items && schema.Items != nil {
		schema = schema.Items.Value
	}
	if !more {
		return schema
	}
	return PropertyAt(schema, rest)
}

// ErrorSchema gives the schema of every error of a document.
func ErrorSchema(document *openapi3.T) *openapi3.Schema {
	for _, item := range document.Paths.Map() {
		for _, o := range item.Operations() {
			if failed := o.Responses.Status(http.StatusInternalServerError); failed != nil {
				return JSONSchema(failed.Value.Content)
			}
		}
	}
	return nil
}
