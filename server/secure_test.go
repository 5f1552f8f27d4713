package server_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/servertest"
)

const (
	worthAda     = "/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users/94520740-d63c-4e02-85ca-c4e138801e73"
	testiniumAda = "/account/api/v1/customers/3393/users/6860"
)

// answers are one of each sort: successes of both dialects, refusals at every stage, and what is no dialect's.
func answers(t *testing.T, s *servertest.Server) map[string]servertest.Answer {
	t.Helper()
	manager := servertest.Manager()
	get := func(path string) servertest.Request { return servertest.Request{Method: http.MethodGet, Path: path} }
	all := map[string]servertest.Answer{
		"health":       s.Send(get("/livez")),
		"no path":      s.Send(get("/elsewhere")),
		"no token":     s.Send(get(worthAda)),
		"no operation": s.Ask(manager, get("/account/api/v1/elsewhere")),
		"no method":    s.Ask(manager, servertest.Request{Method: http.MethodDelete, Path: worthAda}),
		"no user":      s.Ask(manager, get("/account/api/v1/customers/3393/users/1")),
		"no body":      s.Ask(manager, servertest.Request{Method: http.MethodPatch, Path: worthAda}),
		"a foreigner":  s.Ask(manager, get("/account/api/v1/customers/3394/users/7001")),
		"subroles":     s.Ask(manager, get("/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/subroles")),
		"a user":       s.Ask(manager, get(worthAda)),
		"another":      s.Ask(manager, get(testiniumAda)),
		"a list":       s.Ask(manager, get("/account/api/v1/customers/3393/users/")),
		"a write":      s.Ask(manager, servertest.Request{Method: http.MethodPatch, Path: worthAda, Body: `{"first_name":"Augusta"}`}),
	}
	all["unchanged"] = s.Ask(manager, servertest.Request{
		Method: http.MethodGet, Path: testiniumAda, Header: http.Header{"If-None-Match": all["a write"].Header.Values("Etag")},
	})
	return all
}

func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	statuses := map[int]bool{}
	for name, a := range answers(t, s) {
		t.Run(name, func(t *testing.T) {
			statuses[a.Status] = true
			a.ExpectHeader(t, "X-Content-Type-Options", "nosniff")
			a.ExpectHeader(t, "X-Frame-Options", "DENY")
			a.ExpectHeader(t, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
			a.ExpectHeader(t, "Referrer-Policy", "no-referrer")
			a.ExpectHeader(t, "Strict-Transport-Security")
			for name := range a.Header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("the answer says %s, and no origin is allowed", name)
				}
			}
			want := "no-store"
			if slices.Contains([]string{"a user", "another", "a list", "a write", "unchanged"}, name) {
				want = "private, no-cache"
			}
			a.ExpectHeader(t, "Cache-Control", want)
		})
	}
	for _, want := range []int{200, 304, 400, 401, 403, 404, 405} {
		if !statuses[want] {
			t.Errorf("no answer of the test's has status %d, but %v", want, slices.Sorted(maps.Keys(statuses)))
		}
	}
}

const origin = "https://app.example.com"

// preflight asks as a browser does, without a token, whether a script of from may do what it is about to.
func preflight(from, path, method string) servertest.Request {
	return servertest.Request{Method: http.MethodOptions, Path: path, Header: http.Header{
		"Origin":                         {from},
		"Access-Control-Request-Method":  {method},
		"Access-Control-Request-Headers": {"authorization,content-type,if-match"},
	}}
}

func TestCORSAllowedOrigin(t *testing.T) {
	t.Parallel()
	s := servertest.StartWith(t, server.Config{CORS: []string{"http://localhost:3000", origin}})
	for path, method := range map[string]string{worthAda: http.MethodPatch, testiniumAda: http.MethodPut} {
		a := s.Send(preflight(origin, path, method))
		a.Expect(t, http.StatusNoContent, "")
		a.ExpectHeader(t, "Access-Control-Allow-Origin", origin)
		a.ExpectHeader(t, "Access-Control-Allow-Methods", "DELETE,GET,HEAD,PATCH,POST,PUT")
		a.ExpectHeader(t, "Access-Control-Allow-Headers", "Authorization,Content-Type,Idempotency-Key,If-Match,If-None-Match,Prefer,X-Request-Id,current-company-id,traceparent,tracestate")
		a.ExpectHeader(t, "Access-Control-Allow-Credentials")
		a.ExpectHeader(t, "Access-Control-Max-Age", "600")
		a.ExpectHeader(t, "Vary", "Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers")

		from := http.Header{"Origin": {origin}}
		for _, a := range []servertest.Answer{
			s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodGet, Path: path, Header: from}),
			s.Send(servertest.Request{Method: http.MethodGet, Path: path, Header: from}),
		} {
			a.ExpectHeader(t, "Access-Control-Allow-Origin", origin)
			a.ExpectHeader(t, "Vary", "Origin")
			exposed := strings.Split(a.Header.Get("Access-Control-Expose-Headers"), ",")
			for _, name := range []string{"ETag", "Dragoman-Changed", "Dragoman-Ignored", "Preference-Applied", "X-Request-Id", "Retry-After", "WWW-Authenticate"} {
				if !slices.Contains(exposed, name) {
					t.Errorf("%s is not exposed, only %q", name, exposed)
				}
			}
		}
	}
}

func TestCORSOtherOrigin(t *testing.T) {
	t.Parallel()
	s := servertest.StartWith(t, server.Config{CORS: []string{origin}})
	for _, from := range []string{
		"https://app.example.com.evil.example", "https://appXexample.com", "http://app.example.com", "https://app.example.com:8443",
		"https://sub.app.example.com", "https://APP.example.com", "null", "*",
	} {
		for _, a := range []servertest.Answer{
			s.Send(preflight(from, worthAda, http.MethodPatch)),
			s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodGet, Path: worthAda, Header: http.Header{"Origin": {from}}}),
		} {
			a.ExpectHeader(t, "Access-Control-Allow-Origin")
			a.ExpectHeader(t, "Access-Control-Expose-Headers")
		}
	}
	// Who sends no Origin is no browser's script, and is answered as ever; nor is every OPTIONS a preflight.
	if a := s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodGet, Path: worthAda}); a.Status != http.StatusOK {
		t.Errorf("a request without an Origin is answered %d", a.Status)
	}
	a := s.Send(servertest.Request{Method: http.MethodOptions, Path: worthAda})
	a.Expect(t, http.StatusNoContent, "")
	a.ExpectHeader(t, "Allow", "OPTIONS, GET, HEAD, PATCH")
	s.Send(servertest.Request{Method: http.MethodOptions, Path: "/elsewhere"}).Expect(t, http.StatusNotFound, "Not Found")
}
