package apierror_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/gen/directoryclient"
	"github.com/dragoman-id/dragoman/gen/testiniumclient"
	"github.com/dragoman-id/dragoman/gen/worthclient"
	"github.com/dragoman-id/dragoman/server/apierror"
)

// response is what every response of a generated client has.
type response interface{ Err() error }

// operations are all operations of all clients, by the client's name and the operation's.
func operations(t *testing.T, url string) map[string]func(context.Context) (response, error) {
	t.Helper()
	worth, err := worthclient.NewClientWithResponses(url)
	if err != nil {
		t.Fatal(err)
	}
	testinium, err := testiniumclient.NewClientWithResponses(url)
	if err != nil {
		t.Fatal(err)
	}
	directory, err := directoryclient.NewClientWithResponses(url)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]func(context.Context) (response, error){
		"worth create": func(c context.Context) (response, error) {
			return worth.CreateCustomerUserWithResponse(c, "1", nil, worthclient.NewUser{})
		},
		"worth get":      func(c context.Context) (response, error) { return worth.GetCustomerUserWithResponse(c, "1", "2", nil) },
		"worth list":     func(c context.Context) (response, error) { return worth.ListCustomerUsersWithResponse(c, "1", nil) },
		"worth subroles": func(c context.Context) (response, error) { return worth.ListCustomerSubrolesWithResponse(c, "1", nil) },
		"worth update": func(c context.Context) (response, error) {
			return worth.UpdateCustomerUserWithResponse(c, "1", "2", nil, worthclient.UserPatch{})
		},
		"testinium get":  func(c context.Context) (response, error) { return testinium.GetUserWithResponse(c, 1, 2, nil) },
		"testinium list": func(c context.Context) (response, error) { return testinium.ListUsersWithResponse(c, 1, nil) },
		"testinium put": func(c context.Context) (response, error) {
			return testinium.UpdateUserWithResponse(c, 1, 2, nil, testiniumclient.UserUpdate{})
		},
		"directory user":  func(c context.Context) (response, error) { return directory.ListUserHistoryWithResponse(c, 1, 2, nil) },
		"directory users": func(c context.Context) (response, error) { return directory.ListChangesWithResponse(c, nil) },
	}
}

// each calls every operation of a server that always gives the same answer, and then check with the error of the response.
func each(t *testing.T, status int, header map[string]string, body string, check func(t *testing.T, name string, err error)) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		if _, err := w.Write([]byte(body)); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
			t.Error(err)
		}
	}))
	t.Cleanup(s.Close)
	for name, call := range operations(t, s.URL) {
		r, err := call(t.Context())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		check(t, name, r.Err())
	}
}

func TestAnswersOfAProxy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		header map[string]string
		want   apierror.Error
	}{
		{502, map[string]string{"Content-Type": "text/html"}, apierror.Error{Status: 502}},
		{503, map[string]string{"Content-Type": "text/html", "Retry-After": "7"}, apierror.Error{Status: 503, RetryAfter: 7 * time.Second}},
		{429, map[string]string{"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT", "Date": "Sun, 06 Nov 1994 08:48:37 GMT"},
			apierror.Error{Status: 429, RetryAfter: time.Minute}},
		{404, map[string]string{"Content-Type": "text/plain", "X-Request-Id": "edge-1"}, apierror.Error{Status: 404, RequestID: "edge-1"}},
		{503, map[string]string{"Content-Type": "application/json", "Retry-After": "7"}, apierror.Error{Status: 503, RetryAfter: 7 * time.Second}},
		// A page to log in to a network.
		{200, map[string]string{"Content-Type": "text/html"}, apierror.Error{Status: 200}},
	} {
		body := "<html><body>Sorry</body></html>"
		if c.header["Content-Type"] == "application/json" {
			body = `{"status":{"code":503},"error":{"code":503},"message":["no healthy upstream"],"title":503}`
		}
		each(t, c.status, c.header, body, func(t *testing.T, name string, err error) {
			var e *apierror.Error
			if !errors.As(err, &e) {
				t.Errorf("%s: %d gives %v", name, c.status, err)
			} else if e.Status != c.want.Status || e.Code != "" || e.Message != "" || e.Fields != nil || e.RequestID != c.want.RequestID || e.RetryAfter != c.want.RetryAfter {
				t.Errorf("%s: %+v, want %+v", name, *e, c.want)
			}
		})
	}
}

func TestNotModifiedIsNoError(t *testing.T) {
	t.Parallel()
	writes := map[string]bool{"worth create": true, "worth update": true, "testinium put": true}
	each(t, http.StatusNotModified, nil, "", func(t *testing.T, name string, err error) {
		if writes[name] != (apierror.Status(err) == http.StatusNotModified) || writes[name] != (err != nil) {
			t.Errorf("%s: %v", name, err)
		}
	})
}

func TestSuccessIsNoError(t *testing.T) {
	t.Parallel()
	each(t, http.StatusOK, map[string]string{"Content-Type": "application/json"}, "null", func(t *testing.T, name string, err error) {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
}

// TestErrorOfEachDialect answers each client with an error of its dialect.
func TestErrorOfEachDialect(t *testing.T) {
	t.Parallel()
	for dialect, c := range map[string]struct{ contentType, body, code, message string }{
		"worth": {"application/json", `{"status":"fail","message":"email must be an e-mail address","errorCode":"INVALID",
			"data":{"errorName":"ValidationMiddlewareError","errors":[{"field":"email","message":"email must be an e-mail address"}]}}`,
			"INVALID", "email must be an e-mail address"},
		"testinium": {"application/json", `{"timestamp":1,"status":400,"error":"Bad Request","message":"INVALID_REQUEST","description":"The request was malformed.",
			"path":"/","errors":[{"field":"email","message":"email must be an e-mail address"}]}`,
			"INVALID_REQUEST", "The request was malformed."},
		"directory": {"application/problem+json", `{"type":"about:blank","title":"Bad Request","status":400,"detail":"The request is not what the document asks.",
			"errors":[{"field":"email","message":"email must be an e-mail address"}]}`,
			"", "The request is not what the document asks."},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", c.contentType)
			w.Header().Set("X-Request-Id", "r1")
			w.WriteHeader(http.StatusBadRequest)
			if _, err := w.Write([]byte(c.body)); err != nil {
				t.Error(err)
			}
		}))
		t.Cleanup(s.Close)
		n := 0
		for name, call := range operations(t, s.URL) {
			if name[:len(dialect)] != dialect {
				continue
			}
			n++
			r, err := call(t.Context())
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			var e *apierror.Error
			if !errors.As(r.Err(), &e) || e.Status != 400 || e.Code != c.code || e.Message != c.message || e.RequestID != "r1" ||
				!maps.Equal(e.Fields, map[string]string{"email": "email must be an e-mail address"}) {
				t.Errorf("%s: %+v", name, r.Err())
			}
		}
		if n == 0 {
			t.Errorf("%s has no operation", dialect)
		}
	}
}
