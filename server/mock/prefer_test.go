package mock_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/gen/directoryapi"
	"github.com/dragoman-id/dragoman/gen/testiniumapi"
	"github.com/dragoman-id/dragoman/gen/worthapi"
	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/mock"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/getkin/kin-openapi/openapi3"
)

// paths are paths of the sandbox for each path of the documents.
var paths = strings.NewReplacer(
	"{customerID}", "2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1", "{userID}", "94520740-d63c-4e02-85ca-c4e138801e73",
	"{id}", "3393", "{userId}", "6860", "{webhookId}", strconv.Itoa(servertest.Webhook), "{tokenId}", servertest.TokenID.String(),
)

// eachOperation calls f for every operation of every document.
func eachOperation(t *testing.T, f func(t *testing.T, method, path string, o *openapi3.Operation)) {
	t.Helper()
	for _, spec := range []func() (*openapi3.T, error){worthapi.GetSpec, testiniumapi.GetSpec, directoryapi.GetSpec} {
		d, err := spec()
		if err != nil {
			t.Fatal(err)
		}
		for path, item := range d.Paths.Map() {
			for method, o := range item.Operations() {
				t.Run(o.OperationID, func(t *testing.T) { f(t, method, d.Servers[0].URL+paths.Replace(path), o) })
			}
		}
	}
}

// TestPreferEveryDocumentedError chooses every documented error of every operation. The transport checks the answers against the
// documents.
func TestPreferEveryDocumentedError(t *testing.T) {
	t.Parallel()
	s := servertest.Mock(t, newMock(t, 1), mock.Secret)
	eachOperation(t, func(t *testing.T, method, path string, o *openapi3.Operation) {
		s := s.With(t)
		ask := func(prefer string) servertest.Answer {
			return s.Ask(servertest.Manager(), servertest.Request{Method: method, Path: path, Header: http.Header{"Prefer": {prefer}}})
		}
		errors := 0
		for status := range o.Responses.Map() {
			code, err := strconv.Atoi(status)
			if err != nil || code < http.StatusBadRequest {
				continue
			}
			errors++
			answer := ask("code=" + status)
			if answer.Status != code {
				t.Errorf("asked for %s the answer is %d %s", status, answer.Status, answer.Body)
			}
			answer.ExpectHeader(t, "Preference-Applied", "code="+status)
			if retry := answer.Header.Get("Retry-After"); (retry != "") != (code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable) {
				t.Errorf("the answer %s says Retry-After: %q", status, retry)
			}
		}
		if errors < 3 {
			t.Errorf("the document has only %d errors", errors)
		}
		for _, prefer := range []string{"code=418", "code=503x", "code=+503", "code=0503", "code=", "code", "delay=-1", "delay=1s", "delay=30001", "delay=99999999999999999999"} {
			answer := ask(prefer)
			if answer.Status != http.StatusBadRequest || !strings.Contains(answer.Body, `"field":"Prefer"`) {
				t.Errorf("Prefer: %s: %d %s", prefer, answer.Status, answer.Body)
			}
			answer.ExpectHeader(t, "Preference-Applied")
		}
	})
}

func TestPreferences(t *testing.T) {
	t.Parallel()
	s := servertest.Mock(t, newMock(t, 1), mock.Secret)
	for _, test := range []struct {
		prefer  []string
		status  int
		applied []string
	}{
		{[]string{"code=503"}, 503, []string{"code=503"}},
		{[]string{`CODE = "503"`}, 503, []string{"code=503"}},
		{[]string{"code=503;foo=bar, code=401"}, 503, []string{"code=503"}},
		{[]string{"respond-async", "code=503"}, 503, []string{"code=503"}},
		{[]string{`foo="a, code=503"`}, 200, nil},
		{[]string{`foo="\", code=503"`}, 200, nil},
		{[]string{"foo;code=503"}, 200, nil},
		{[]string{"handling=strict, delay=1, code=503"}, 503, []string{"delay=1, code=503"}},
		{[]string{"handling=strict, delay=1"}, 200, []string{"handling=strict, delay=1"}},
		{[]string{"delay=0"}, 200, nil},
		{[]string{"code=200"}, 200, []string{"code=200"}},
		{[]string{"code=400"}, 400, []string{"code=400"}},
	} {
		answer := s.Ask(servertest.Manager(), servertest.Request{
			Method: http.MethodPatch, Path: worthAda, Body: `{"first_name":"Augusta"}`,
			Header: http.Header{"Prefer": test.prefer, "Content-Type": {"application/json"}},
		})
		if answer.Status != test.status {
			t.Errorf("Prefer: %s: %d %s", test.prefer, answer.Status, answer.Body)
		}
		answer.ExpectHeader(t, "Preference-Applied", test.applied...)
	}
	// A success cannot be chosen.
	answer := s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodPatch, Path: worthAda, Body: `{}`, Header: http.Header{"Prefer": {"code=200"}}})
	if answer.Status != http.StatusBadRequest {
		t.Errorf("asked for 200 with a bad body: %d %s", answer.Status, answer.Body)
	}
	answer.ExpectHeader(t, "Preference-Applied")
}

// TestPreferredErrorChangesNothing checks that a write with a chosen error has no effect.
func TestPreferredErrorChangesNothing(t *testing.T) {
	t.Parallel()
	m := newMock(t, 1)
	answer := call{method: http.MethodPut, path: testiniumUsers + "6860", prefer: "code=503", body: putAda}.to(t, m)
	if answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the answer is %s", answer.Status)
	}
	if etag := one200(t, call{method: http.MethodGet, path: worthAda}.to(t, m)).Header[spelledETag][0]; etag != `"1"` {
		t.Errorf("the user is at version %s", etag)
	}
}

// TestDelayIsOutsideTimeLimits checks that a chosen delay does not count towards the time limit of a request.
func TestDelayIsOutsideTimeLimits(t *testing.T) {
	t.Parallel()
	const limit = 250 * time.Millisecond
	m := newMockWith(t, server.Config{
		Listen:   "127.0.0.1:0",
		Timeouts: server.Timeouts{Read: limit, Write: limit, Request: limit, Shutdown: 10 * time.Second},
	}, 1)
	url := serve(t, m)
	token, err := mock.Token()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(ctx context.Context, prefer string) (*http.Response, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+worthUsers, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Authorization": {"Bearer " + token}, "Prefer": {prefer}}
		return http.DefaultClient.Do(r)
	}
	start := time.Now()
	answer, err := ask(t.Context(), "delay=600")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if took := time.Since(start); took < 600*time.Millisecond || answer.StatusCode != http.StatusOK || answer.Header.Get("Preference-Applied") != "delay=600" {
		t.Errorf("after %s: %s, %s", took, answer.Status, answer.Header)
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		t.Error(err)
	}

	// The delay ends when the client disconnects.
	ctx, stop := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		answer, err := ask(ctx, "delay=30000")
		if err == nil {
			err = fmt.Errorf("%s: %w", answer.Status, answer.Body.Close())
		}
		gone <- err
	}()
	for m.Requests() == 0 {
		time.Sleep(time.Millisecond)
	}
	stop()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("the client that went away got %v", err)
	}
	for start = time.Now(); m.Requests() > 0; time.Sleep(time.Millisecond) {
		if time.Since(start) > 20*time.Second {
			t.Fatal("the request of a client that went away has not ended")
		}
	}
}

// serve starts a mock's listener and returns its URL.
func serve(t *testing.T, m *mock.Server) string {
	t.Helper()
	l, err := m.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- m.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

// TestServerIgnoresMockPreferences checks that a server without --mock has no chosen errors, delays and resets.
func TestServerIgnoresMockPreferences(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	eachOperation(t, func(t *testing.T, method, path string, _ *openapi3.Operation) {
		if method != http.MethodGet {
			path, method = worthAda, http.MethodPatch
		}
		claims := servertest.Manager()
		start := time.Now()
		answer := s.With(t).Ask(claims, servertest.Request{
			Method: method, Path: path, Body: `{"first_name":"Augusta"}`,
			Header: http.Header{"Prefer": {"code=503, delay=5000"}, "Content-Type": {"application/json"}},
		})
		if answer.Status != http.StatusOK || time.Since(start) > 5*time.Second {
			t.Errorf("%s after %s: %d %s", path, time.Since(start), answer.Status, answer.Body)
		}
		answer.ExpectHeader(t, "Preference-Applied")
	})
	if answer := s.Send(servertest.Request{Method: http.MethodPost, Path: "/mock/reset"}); answer.Status != http.StatusNotFound {
		t.Errorf("a reset is answered %d", answer.Status)
	}
}
