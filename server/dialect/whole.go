package dialect

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/dragoman-id/dragoman/server/description"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
)

// refusals are the statuses that any operation may be refused with, and those of one that writes.
var (
	refusals = []int{
		http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusPreconditionFailed,
		http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable,
	}
	refusalsOfWrites = []int{http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType}
)

// read reads the document, and says all that the dialect lacks to be served.
func (d *Dialect) read() error {
	lacks := &missing{}
	for part, there := range map[string]bool{
		"Name": d.Name != "", "Spec": d.Spec != nil, "Tenant": d.Tenant != nil, "FieldName": d.FieldName != nil,
		"TakenMessage": d.TakenMessage != nil, "Render": d.Render != nil, "ContentType": d.ContentType != "",
	} {
		if !there {
			lacks.say("the dialect has no %s", part)
		}
	}
	if d.Spec == nil {
		return lacks.err()
	}
	document, err := d.Spec()
	if err != nil {
		return fmt.Errorf("read the document: %w", err)
	}
	if len(document.Servers) == 0 {
		lacks.say("the document has no server, whose path is where the dialect is mounted")
	}
	d.Document = document
	for path, item := range document.Paths.Map() {
		for method, o := range item.Operations() {
			d.checkOperation(lacks, method, path, item, o)
		}
	}
	for _, name := range d.UserSchemas {
		if document.Components.Schemas[name] == nil {
			lacks.say("the document has no schema %s, which UserSchemas names", name)
		}
	}
	return lacks.err()
}

// checkOperation says what one operation lacks.
func (d *Dialect) checkOperation(lacks *missing, method, path string, item *openapi3.PathItem, o *openapi3.Operation) {
	name := fmt.Sprintf("%s %s (%s)", method, path, o.OperationID)
	if _, ok := d.Permissions[o.OperationID]; !ok {
		lacks.say("Permissions has none for %s", name)
	}
	writes := !description.IsSafe(method)
	statuses := refusals
	if writes {
		statuses = slices.Concat(refusals, refusalsOfWrites)
	}
	for _, status := range statuses {
		if o.Responses.Status(status) == nil {
			lacks.say("the document has no answer %d to %s", status, name)
		}
	}
	for status, response := range o.Responses.Map() {
		if response.Value.Headers[echo.HeaderXRequestID] == nil {
			lacks.say("the document has no header %s in the answer %s to %s", echo.HeaderXRequestID, status, name)
		}
	}
	if !writes {
		return
	}
	for _, header := range []string{headerIfMatch, headerIfNoneMatch} {
		if o.Parameters.GetByInAndName(openapi3.ParameterInHeader, header) == nil && item.Parameters.GetByInAndName(openapi3.ParameterInHeader, header) == nil {
			lacks.say("the document has no parameter %s of %s", header, name)
		}
	}
	for _, answer := range []struct {
		of   *openapi3.Operation
		what string
	}{{o, name}, {item.Get, "GET " + path + ", whose version " + name + " changes"}} {
		// What is created below a collection has an ETag of its own; the collection has none.
		if answer.of != nil && !(answer.of == item.Get && method == http.MethodPost) && !description.DocumentsHeader(answer.of, headerETag) {
			lacks.say("the document has no header %s in the answer 200 to %s", headerETag, answer.what)
		}
	}
	if item.Get == nil && method != http.MethodPost {
		lacks.say("the document has no GET %s, which gives the %s that %s is preconditioned by", path, headerETag, name)
	}
}

// missing collects what a dialect lacks.
type missing struct{ all map[string]bool }

func (m *missing) say(format string, args ...any) {
	if m.all == nil {
		m.all = map[string]bool{}
	}
	m.all[fmt.Sprintf(format, args...)] = true
}

// err names all of it, sorted; nil if the dialect is whole.
func (m *missing) err() error {
	var all []error
	for _, text := range slices.Sorted(maps.Keys(m.all)) {
		all = append(all, errors.New(text))
	}
	return errors.Join(all...)
}
