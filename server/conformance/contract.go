package conformance

import (
	"bytes"
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

// aspect is one side of an answer that the document speaks of.
type aspect string

const (
	aspectStatus  aspect = "status"  // is it one that the operation has
	aspectType    aspect = "type"    // is the body what its Content-Type says
	aspectBody    aspect = "body"    // of an answer that is no error
	aspectError   aspect = "error"   // the body of an error, in what the vendor documents of it
	aspectWhole   aspect = "whole"   // the body of an error, in what Dragoman's document says
	aspectHeaders aspect = "headers" // those that the document requires
	aspectFailure aspect = "failure" // the server's own
)

// fault is an answer that is not what the document says.
type fault struct {
	aspect   aspect
	exchange exchange
	expected string
	got      string
}

// contract is the dialect's document, to hold answers against.
type contract struct {
	operations map[string]*openapi3.Operation
	errors     *openapi3.Schema // of every error, where no operation was reached
	// vendorError gives what is wrong with an error by what the vendor documents of it; empty: nothing.
	vendorError func(x exchange, value any) string
}

func newContract(d *dialect) *contract {
	c := &contract{operations: map[string]*openapi3.Operation{}, errors: description.ErrorSchema(d.document), vendorError: d.vendorError}
	for _, o := range d.OperationsOf(d.document) {
		c.operations[o.OperationID] = o.Operation
	}
	return c
}

// check holds an answer against the document.
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
			schema = schemaOf(response.Value, schema)
		}
	}
	if x.request.method == http.MethodHead || x.status == http.StatusNotModified || x.status == http.StatusNoContent {
		return found
	}
	kind := aspectType
	if !documents(x) {
		kind = aspectWhole
	}
	if got := x.header.Get("Content-Type"); !isJSON(got) {
		add(kind, "Content-Type: application/json", "Content-Type: %s", got)
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

// documents tells whether the vendors say what an answer is: of their operations they do, and of a wrong method. What a gateway
// in front says, of a path that is none of theirs or of too many requests, only Dragoman does.
func documents(x exchange) bool {
	switch x.status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return false
	case http.StatusMethodNotAllowed:
		return true
	}
	return x.request.operation != ""
}

// isJSON tells whether a Content-Type is JSON's. JSON is UTF-8, and a charset that is there may not say anything else.
func isJSON(contentType string) bool {
	mediaType, parameters, err := mime.ParseMediaType(contentType)
	charset := strings.ToLower(parameters["charset"])
	return err == nil && mediaType == "application/json" && (charset == "" || charset == "utf-8" || charset == "utf8")
}

// unmarshalStrictly decodes JSON, and refuses what encoding/json overlooks: bytes that are no UTF-8, and a member that stands
// twice.
func unmarshalStrictly(body []byte, value *any) error {
	if _, err := jsontext.NewDecoder(bytes.NewReader(body)).ReadValue(); err != nil {
		return fmt.Errorf("decode JSON: %w", err)
	}
	if err := json.Unmarshal(body, value); err != nil {
		return fmt.Errorf("decode JSON: %w", err)
	}
	return nil
}

func schemaOf(response *openapi3.Response, otherwise *openapi3.Schema) *openapi3.Schema {
	media := response.Content.Get("application/json")
	if media == nil || media.Schema == nil {
		return otherwise
	}
	return media.Schema.Value
}

func checkHeaders(response *openapi3.Response, header http.Header, add func(aspect, string, string, ...any)) {
	for _, name := range slices.Sorted(maps.Keys(response.Headers)) {
		declared := response.Headers[name].Value
		values, present := header[http.CanonicalHeaderKey(name)]
		if !present {
			// These always come; the document leaves them optional for the sake of generated clients.
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

// invalid says what of a value is not as its schema has it, a sentence each.
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

// documentedTime tells whether a value is at fault for no more than being a time without a zone: see [readTime].
func documentedTime(err *openapi3.SchemaError) bool {
	text, _ := err.Value.(string)
	_, ok := readTime(text)
	return ok && err.SchemaField == "format" && err.Schema.Format == "date-time"
}

// distinct gives one fault of each kind: those that differ in no more than the request are alike.
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
