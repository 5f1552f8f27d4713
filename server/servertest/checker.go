package servertest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/dragoman-id/dragoman/server/description"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// checker is a transport that fails the test when an answer is not what the document says: its status, its headers, its
// body. A header that the document does not name is a fault too. What HTTP itself answers where no operation is reached
// (404, 405, OPTIONS) must be as in every other service, with the document's error body. What answers an
// operation of a document that a vendor publishes must be what that says, too.
type checker struct {
	next      http.RoundTripper
	t         testing.TB
	documents []document
	vendors   []document
	// mock says that the server honours preferences that no document has: what it says of them is not looked at.
	mock bool
}

type document struct {
	prefix string
	spec   *openapi3.T
	router routers.Router
}

// routed is where the routers expect a document to be served.
const routed = "http://document.test"

// documentRouters has the functions that make a router of a document for [routed], once each, by document. To make one validates the
// document, which takes longer than many a test.
var documentRouters sync.Map

// newDocument returns a document for a server that serves it below prefix. It does not change shared, which other servers use.
func newDocument(shared *openapi3.T, prefix string) (document, error) {
	made, _ := documentRouters.LoadOrStore(shared, sync.OnceValues(func() (routers.Router, error) {
		spec := *shared
		spec.Servers = openapi3.Servers{{URL: routed}}
		return legacy.NewRouter(&spec)
	}))
	router, err := made.(func() (routers.Router, error))()
	if err != nil {
		return document{}, fmt.Errorf("route by the document: %w", err)
	}
	return document{prefix, shared, router}, nil
}

func newChecker(t testing.TB, url string, next http.RoundTripper, dialects []description.API) *checker {
	t.Helper()
	c := &checker{next: next, t: t}
	for _, dialect := range dialects {
		shared, err := dialect.Spec()
		if err != nil {
			t.Fatal(err)
		}
		for _, server := range shared.Servers {
			d, err := newDocument(shared, url+server.URL)
			if err != nil {
				t.Fatal(err)
			}
			c.documents = append(c.documents, d)
			vendor, ok, err := newVendor(dialect.Name, d.prefix)
			if err != nil {
				t.Fatal(err)
			}
			if ok {
				c.vendors = append(c.vendors, vendor)
			}
		}
	}
	return c
}

// with is c for another test to be told what it finds.
func (c *checker) with(t testing.TB) *checker {
	other := *c
	other.t = t
	return &other
}

func (c *checker) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	i := slices.IndexFunc(c.documents, func(d document) bool { return strings.HasPrefix(r.URL.String(), d.prefix) })
	if i < 0 {
		return answer, nil
	}
	if answer.Header.Get("X-Request-Id") == "" {
		c.t.Errorf("%s %s: the answer has no X-Request-Id", r.Method, r.URL.Path)
	}
	checked := *answer
	if c.mock {
		checked.Header = answer.Header.Clone()
		checked.Header.Del("Preference-Applied")
	}
	if err := c.documents[i].check(r, &checked, body); err != nil {
		c.t.Errorf("%s %s: the answer is not what the document says: %v\n%d %s", r.Method, r.URL.Path, err, answer.StatusCode, body)
	}
	for _, vendor := range c.vendors {
		if err := vendor.checkVendor(r, &checked, body); err != nil {
			c.t.Errorf("%s %s: the answer is not what the vendor's own document says: %v\n%d %s", r.Method, r.URL.Path, err, answer.StatusCode, body)
		}
	}
	return answer, nil
}

func (d document) check(r *http.Request, answer *http.Response, body []byte) error {
	route, parameters, err := d.route(r)
	if err != nil {
		return d.checkUnrouted(r, answer, body)
	}
	if err := checkNamed(route.Operation, answer); err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		return checkHead(body)
	}
	return validate(r, route, parameters, answer, body)
}

// checkHead checks the answer to a HEAD, which is that to a GET without its content.
func checkHead(body []byte) error {
	if len(body) > 0 {
		return fmt.Errorf("a HEAD is answered with %d bytes", len(body))
	}
	return nil
}

// validate holds an answer against what its operation documents.
func validate(r *http.Request, route *routers.Route, parameters map[string]string, answer *http.Response, body []byte) error {
	return openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: parameters, Route: route},
		Status:                 answer.StatusCode,
		Header:                 answer.Header,
		Body:                   io.NopCloser(bytes.NewReader(body)),
		Options:                &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
}

// route finds the operation that answers r: that of GET, if r is a HEAD. A collection is served with a slash at the end of its path too.
func (d document) route(r *http.Request) (*routers.Route, map[string]string, error) {
	if r.Method == http.MethodHead {
		r = r.Clone(r.Context())
		r.Method = http.MethodGet
	}
	route, parameters, err := d.findRoute(r)
	if err == nil || r.Method != http.MethodGet {
		return route, parameters, err
	}
	bare := r.Clone(r.Context())
	bare.URL.Path = strings.TrimSuffix(bare.URL.Path, "/")
	return d.findRoute(bare)
}

// findRoute calls FindRoute of the router, and returns routers.ErrPathNotFound if the path's last parameter is empty. The router of
// kin-openapi 0.152 finds a route for such a path.
func (d document) findRoute(r *http.Request) (*routers.Route, map[string]string, error) {
	path, ok := strings.CutPrefix(r.URL.String(), d.prefix)
	if !ok {
		return nil, nil, routers.ErrPathNotFound
	}
	below, err := url.Parse(routed + path)
	if err != nil {
		return nil, nil, err
	}
	route, parameters, err := d.router.FindRoute(&http.Request{Method: r.Method, URL: below})
	if err == nil && !strings.Contains(r.URL.Path, "//") && slices.Contains(slices.Collect(maps.Values(parameters)), "") {
		return nil, nil, routers.ErrPathNotFound
	}
	return route, parameters, err
}

// unnamed are the headers of any HTTP message, which a document need not name: HTTP's own, and those that are for
// browsers.
var unnamed = []string{
	"Content-Length", "Content-Type", "Date", "Transfer-Encoding", "Vary",
	"Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Content-Security-Policy", "Referrer-Policy",
	"Strict-Transport-Security", "X-Content-Type-Options", "X-Frame-Options",
}

func checkNamed(o *openapi3.Operation, answer *http.Response) error {
	response := o.Responses.Status(answer.StatusCode)
	if response == nil {
		return fmt.Errorf("the document has no status %d", answer.StatusCode)
	}
	for header, values := range answer.Header {
		if header == "Cache-Control" && slices.Equal(values, []string{"no-store"}) {
			continue
		}
		named := slices.ContainsFunc(slices.Collect(maps.Keys(response.Value.Headers)), func(name string) bool {
			return http.CanonicalHeaderKey(name) == header
		})
		if !named && !slices.Contains(unnamed, header) {
			return fmt.Errorf("the document names no header %s for status %d", header, answer.StatusCode)
		}
	}
	return nil
}

func (d document) checkUnrouted(r *http.Request, answer *http.Response, body []byte) error {
	switch {
	case answer.StatusCode == http.StatusNotFound:
	case answer.StatusCode == http.StatusMethodNotAllowed && answer.Header.Get("Allow") != "":
	case answer.StatusCode == http.StatusNoContent && r.Method == http.MethodOptions && answer.Header.Get("Allow") != "":
		return nil
	default:
		return errors.New("no operation has this path and method: the status must be 404, or 405 with Allow")
	}
	if r.Method == http.MethodHead {
		return nil
	}
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return err
	}
	return description.ErrorSchema(d.spec).VisitJSON(value, openapi3.MultiErrors())
}
