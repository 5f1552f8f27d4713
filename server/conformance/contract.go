package conformance

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/dragoman-id/dragoman/server/description"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-json-experiment/json/jsontext"
)

// aspect is a part of an answer that the document defines.
type aspect string

const (
	aspectStatus  aspect = "status"  // whether the operation has it
	aspectType    aspect = "type"    // the body is JSON and its Content-Type says so
	aspectBody    aspect = "body"    // the body of a success
	aspectError   aspect = "error"   // the body of an error, as the vendor documents it
	aspectWhole   aspect = "whole"   // the body of an error, as Dragoman's document has it
	aspectHeaders aspect = "headers" // the headers that the document requires
	aspectFailure aspect = "failure" // the server failed
)

// fault is a difference between an answer and the document.
type fault struct {
	aspect   aspect
	exchange exchange
	expected string
	got      string
}

// contract is the dialect's document, against which answers are checked.
type contract struct {
	operations map[string]*openapi3.Operation
	errors     *openapi3.Schema // of an error outside of every operation
	media      []string         // the media types of answers
	// vendorError says how an error differs from what the vendor documents; empty: it does not.
	vendorError func(x exchange, value any) string
}

func newContract(d *dialect) *contract {
	c := &contract{operations: map[string]*openapi3.Operation{}, errors: description.ErrorSchema(d.document), vendorError: d.vendorError}
	for _, o := range d.OperationsOf(d.document) {
		c.operations[o.OperationID] = o.Operation
		for _, response := range o.Responses.Map() {
			c.media = slices.Compact(slices.Sorted(slices.Values(slices.AppendSeq(c.media, maps.Keys(response.Value.Content)))))
		}
	}
	return c
}

// check compares an answer with the document.
func (c *contract) check(x exchange) []fault {
	var found []fault
	add := func(a aspect, expected, format string, args ...any) {
		found = append(found, fault{aspect: a, exchange: x, expected: expected, got: fmt.Sprintf(format, args...)})
	}
	if x.status >= http.StatusInternalServerError && x.status != http.StatusServiceUnavailable {
		add(aspectFailure, "an answer", "%d", x.status)
	}
	schema := c.errors
	if operation := c.operations[x.request.operation]; operation != nil {
		response := operation.Responses.Status(x.status)
		if response == nil {
			statuses := slices.Sorted(maps.Keys(operation.Responses.Map()))
			add(aspectStatus, "a status that the document has for "+x.request.operation+": "+strings.Join(statuses, ", "), "%d", x.status)
		} else {
			checkHeaders(response.Value, x.header, add)
			schema = cmp.Or(description.JSONSchema(response.Value.Content), schema)
		}
	}
	if x.request.method == http.MethodHead || x.status == http.StatusNotModified || x.status == http.StatusNoContent {
		return found
	}
	kind := aspectType
	if !documents(x) {
		kind = aspectWhole
	}
	if got := x.header.Get("Content-Type"); !isJSON(got, c.media) {
		add(kind, "Content-Type: "+strings.Join(c.media, " or "), "Content-Type: %s", got)
	}
	var value any
	if err := unmarshalStrictly(x.body, &value); err != nil {
		add(kind, "a body that is JSON, with no member twice", "%v", err)
		return found
	}
	a := aspectBody
	if x.status >= http.StatusBadRequest {
		a = aspectWhole
		if wrong := c.vendorError(x, value); wrong != "" && documents(x) {
			add(aspectError, "an error as the vendor documents it", "%s", wrong)
		}
	}
	if schema == nil {
		return found
	}
	for _, wrong := range invalid(schema, value) {
		add(a, "a body as the document has it", "%s", wrong)
	}
	return found
}

// documents reports whether the vendor documents an answer: those of its operations and to a wrong method. Answers to unknown paths
// and to overload may come from a gateway, and only Dragoman defines them.
func documents(x exchange) bool {
	switch x.status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return false
	case http.StatusMethodNotAllowed:
		return true
	}
	return x.request.operation != ""
}

// isJSON reports whether a Content-Type is one of these media types. JSON is UTF-8, so another charset is wrong.
func isJSON(contentType string, media []string) bool {
	mediaType, parameters, err := mime.ParseMediaType(contentType)
	charset := strings.ToLower(parameters["charset"])
	return err == nil && slices.Contains(media, mediaType) && (charset == "" || charset == "utf-8" || charset == "utf8")
}

// unmarshalStrictly decodes JSON, and rejects invalid UTF-8 and repeated members, which encoding/json accepts.
func unmarshalStrictly(body []byte, value *any) error {
	if _, err := jsontext.NewDecoder(bytes.NewReader(body)).ReadValue(); err != nil {
		return fmt.Errorf("decode JSON: %w", err)
	}
	if err := json.Unmarshal(body, value); err != nil {
		return fmt.Errorf("decode JSON: %w", err)
	}
	return nil
}

func checkHeaders(response *openapi3.Response, header http.Header, add func(aspect, string, string, ...any)) {
	for _, name := range slices.Sorted(maps.Keys(response.Headers)) {
		declared := response.Headers[name].Value
		values, present := header[http.CanonicalHeaderKey(name)]
		if !present {
			// Always sent; optional in the document for the sake of generated clients.
			if declared.Required || name == "X-Request-Id" || name == "Dragoman-Changed" {
				add(aspectHeaders, "the header "+name, "no such header")
			}
			continue
		}
		if declared.Schema != nil && declared.Schema.Value.Type.Is("integer") {
			if _, err := strconv.Atoi(values[0]); err != nil {
				add(aspectHeaders, "the header "+name+", an integer", "%s: %s", name, values[0])
			}
		}
	}
}

// invalid lists the differences between a value and its schema, one sentence for each.
func invalid(schema *openapi3.Schema, value any) []string {
	err := schema.VisitJSON(value, openapi3.MultiErrors(), openapi3.EnableFormatValidation())
	if err == nil {
		return nil
	}
	var all []string
	var collect func(error)
	collect = func(err error) {
		switch err := err.(type) {
		case openapi3.MultiError:
			for _, e := range err {
				collect(e)
			}
		case *openapi3.SchemaError:
			if documentedTime(err) {
				return
			}
			at := strings.Join(err.JSONPointer(), ".")
			if at == "" {
				at = "the body"
			}
			all = append(all, at+": "+err.Reason)
		default:
			all = append(all, err.Error())
		}
	}
	collect(err)
	slices.Sort(all)
	return slices.Compact(all)
}

// documentedTime reports whether the only fault of a value is that it is a time without a zone; see [readTime].
func documentedTime(err *openapi3.SchemaError) bool {
	text, _ := err.Value.(string)
	_, ok := readTime(text)
	return ok && err.SchemaField == "format" && err.Schema.Format == "date-time"
}

// distinct returns the faults without those that differ only in the request.
func distinct(faults []fault) []fault {
	seen := map[string]bool{}
	var kept []fault
	for _, f := range faults {
		key := strings.Join([]string{f.exchange.request.operation, strconv.Itoa(f.exchange.status), f.expected, f.got}, "\x00")
		if !seen[key] {
			seen[key] = true
			kept = append(kept, f)
		}
	}
	return kept
}
