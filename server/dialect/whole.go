package dialect

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/dragoman-id/dragoman/server/description"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
)

// The error statuses that every operation must document, and the additional ones of operations that write and take a body.
var (
	refusals = []int{
		http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusPreconditionFailed,
		http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable,
	}
	refusalsOfWrites = []int{http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType}
)

// loadDocument reads the dialect's document. It returns an error that lists everything that the dialect lacks.
func (d *Dialect) loadDocument() error {
	lacks := &missing{}
	for part, present := range map[string]bool{
		"Name": d.Name != "", "Spec": d.Spec != nil, "Tenant": d.Tenant != nil, "FieldName": d.FieldName != nil,
		"TakenMessage": d.TakenMessage != nil, "Render": d.Render != nil, "ContentType": d.ContentType != "",
	} {
		if !present {
			lacks.add("the dialect has no %s", part)
		}
	}
	if d.Spec == nil {
		return lacks.err()
	}
	document, err := d.Spec()
	if err != nil {
		return fmt.Errorf("read the document: %w", err)
	}
	switch {
	case len(document.Servers) == 0:
		lacks.add("the document has no server, whose path is where the dialect is mounted")
	case IsDryRun(description.BasePath(document)):
		lacks.add("the document's first server is below %s, where the dialect has its dry runs", DryRunPath)
	case !slices.ContainsFunc(document.Servers, func(s *openapi3.Server) bool { return s.URL == DryRunPath+description.BasePath(document) }):
		lacks.add("the document has no server %s, where its dry runs are served", DryRunPath+description.BasePath(document))
	}
	d.Document = document
	for path, item := range document.Paths.Map() {
		for method, o := range item.Operations() {
			d.checkOperation(lacks, method, path, item, o)
		}
	}
	for _, name := range d.UserSchemas {
		if document.Components.Schemas[name] == nil {
			lacks.add("the document has no schema %s, which UserSchemas names", name)
		}
	}
	return lacks.err()
}

// checkOperation adds to lacks what one operation lacks.
func (d *Dialect) checkOperation(lacks *missing, method, path string, item *openapi3.PathItem, o *openapi3.Operation) {
	name := fmt.Sprintf("%s %s (%s)", method, path, o.OperationID)
	if _, ok := d.Permissions[o.OperationID]; !ok {
		lacks.add("Permissions has none for %s", name)
	}
	writes := d.Writes(method, o.OperationID)
	statuses := refusals
	if writes && o.RequestBody != nil {
		statuses = slices.Concat(refusals, refusalsOfWrites)
	}
	for _, status := range statuses {
		if o.Responses.Status(status) == nil {
			lacks.add("the document has no answer %d to %s", status, name)
		}
	}
	for status, response := range o.Responses.Map() {
		for _, header := range []string{echo.HeaderXRequestID, headerDryRun} {
			if response.Value.Headers[header] == nil {
				lacks.add("the document has no header %s in the answer %s to %s", header, status, name)
			}
		}
	}
	if _, success := description.Success(o); takesIdempotencyKey(method) && writes && success != nil {
		d.checkRepeatable(lacks, name, item, o)
	}
	if !writes {
		return
	}
	for _, header := range []string{headerIfMatch, headerIfNoneMatch, headerPrefer} {
		if o.Parameters.GetByInAndName(openapi3.ParameterInHeader, header) == nil && item.Parameters.GetByInAndName(openapi3.ParameterInHeader, header) == nil {
			lacks.add("the document has no parameter %s of %s", header, name)
		}
	}
	for _, answer := range []struct {
		of   *openapi3.Operation
		what string
	}{{o, name}, {item.Get, "GET " + path + ", whose version " + name + " changes"}} {
		// The GET of a collection has no ETag: a POST to it returns that of the created resource.
		if answer.of != nil && !(answer.of == item.Get && method == http.MethodPost) && !d.isUnversioned(o.OperationID, answer.of == o) &&
			!description.DocumentsHeader(answer.of, headerETag) {
			lacks.add("the document has no header %s in the answer 200 to %s", headerETag, answer.what)
		}
	}
	if stale := o.Responses.Status(http.StatusPreconditionFailed); stale != nil && method != http.MethodPost && !slices.Contains(d.OtherWrites, o.OperationID) {
		headers := []string{headerETag}
		if o.RequestBody != nil {
			headers = append(headers, headerConflict) // between what the body asks and what was written meanwhile
		}
		for _, header := range headers {
			if stale.Value.Headers[header] == nil {
				lacks.add("the document has no header %s in the answer 412 to %s", header, name)
			}
		}
	}
	versionsItself := slices.Contains(d.Removals, o.OperationID) && description.DocumentsHeader(o, headerETag)
	if item.Get == nil && method != http.MethodPost && !versionsItself && !slices.Contains(d.OtherWrites, o.OperationID) {
		lacks.add("the document has no GET %s, which gives the %s that %s is preconditioned by", path, headerETag, name)
	}
}

// isUnversioned reports whether the success of an operation that writes need not have an entity tag: a removal leaves nothing that has a
// version, and what other writes change has none either.
func (d *Dialect) isUnversioned(operation string, own bool) bool {
	return slices.Contains(d.OtherWrites, operation) || own && slices.Contains(d.Removals, operation)
}

// checkRepeatable adds to lacks what an operation that takes an idempotency key lacks.
func (d *Dialect) checkRepeatable(lacks *missing, name string, item *openapi3.PathItem, o *openapi3.Operation) {
	const in = openapi3.ParameterInHeader
	if o.Parameters.GetByInAndName(in, headerIdempotencyKey) == nil && item.Parameters.GetByInAndName(in, headerIdempotencyKey) == nil {
		lacks.add("the document has no parameter %s of %s", headerIdempotencyKey, name)
	}
	if o.Responses.Status(http.StatusUnprocessableEntity) == nil {
		lacks.add("the document has no answer %d to %s", http.StatusUnprocessableEntity, name)
	}
	for status, response := range o.Responses.Map() {
		if strings.HasPrefix(status, "2") && response.Value.Headers[headerReplayed] == nil {
			lacks.add("the document has no header %s in the answer %s to %s", headerReplayed, status, name)
		}
	}
}

// missing lists sentences about what a dialect lacks.
type missing []string

func (m *missing) add(format string, args ...any) { *m = append(*m, fmt.Sprintf(format, args...)) }

// err returns all sentences as one error, sorted and each once, or nil if nothing is missing.
func (m missing) err() error {
	slices.Sort(m)
	var all []error
	for _, text := range slices.Compact(m) {
		all = append(all, errors.New(text))
	}
	return errors.Join(all...)
}
