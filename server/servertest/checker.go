package servertest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/gen/testiniumapi"
	"github.com/dragoman-id/dragoman/gen/worthapi"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// checker is a transport that fails the test when an answer is not what the document says: its status, its headers, its
// body. Statuses that HTTP itself gives where no operation is reached (404, 405) must have the document's error body.
type checker struct {
	next      http.RoundTripper
	t         testing.TB
	documents []document
}

type document struct {
	prefix string
	spec   *openapi3.T
	router routers.Router
}

func newChecker(t testing.TB, url string, next http.RoundTripper) *checker {
	t.Helper()
	c := &checker{next: next, t: t}
	for _, spec := range []func() (*openapi3.T, error){worthapi.GetSpec, testiniumapi.GetSpec} {
		d, err := spec()
		if err != nil {
			t.Fatal(err)
		}
		prefix := url + d.Servers[0].URL
		d.Servers = openapi3.Servers{{URL: prefix}}
		router, err := legacy.NewRouter(d)
		if err != nil {
			t.Fatal(err)
		}
		c.documents = append(c.documents, document{prefix, d, router})
	}
	return c
}

func (c *checker) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil {
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
	if err := c.documents[i].check(r, answer, body); err != nil {
		c.t.Errorf("%s %s: the answer is not what the document says: %v\n%d %s", r.Method, r.URL.Path, err, answer.StatusCode, body)
	}
	return answer, nil
}

func (d document) check(r *http.Request, answer *http.Response, body []byte) error {
	route, parameters, err := d.router.FindRoute(r)
	if err != nil {
		return d.checkUnrouted(answer, body)
	}
	return openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: parameters, Route: route},
		Status:                 answer.StatusCode,
		Header:                 answer.Header,
		Body:                   io.NopCloser(bytes.NewReader(body)),
		Options:                &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
}

var errUnrouted = errors.New("no operation has this path and method, so the status must be 404 or 405")

func (d document) checkUnrouted(answer *http.Response, body []byte) error {
	if answer.StatusCode != http.StatusNotFound && answer.StatusCode != http.StatusMethodNotAllowed {
		return errUnrouted
	}
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return err
	}
	return d.spec.Components.Schemas["Error"].Value.VisitJSON(value, openapi3.MultiErrors())
}
