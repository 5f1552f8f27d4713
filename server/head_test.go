package server_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store/storetest"
)

const (
	usersOfWorth     = "/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users"
	usersOfTestinium = "/account/api/v1/customers/3393/users"
	tokensOfSandbox  = "/directory/v1/customers/3393/provisioning-tokens"
)

// got is an answer as it came over the wire.
type got struct {
	status int
	header http.Header
	body   string
}

// exchange sends a request on a connection of its own and returns what the server sends until it closes that.
func exchange(t *testing.T, address, method, target string, header http.Header) got {
	t.Helper()
	c := dial(t, address)
	var lines strings.Builder
	if err := header.Write(&lines); err != nil {
		t.Fatal(err)
	}
	say(t, c, "%s %s HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: one\r\nConnection: close\r\n%s\r\n", method, target, lines.String())
	reader := bufio.NewReader(c)
	answer, err := http.ReadResponse(reader, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	if beyond, _ := io.ReadAll(reader); len(beyond) > 0 {
		t.Errorf("%s %s: behind the answer come %d bytes: %.80q", method, target, len(beyond), beyond)
	}
	if n := answer.ContentLength; method != http.MethodHead && n >= 0 && n != int64(len(body)) {
		t.Errorf("%s %s: Content-Length %d, and %d bytes", method, target, n, len(body))
	}
	return got{answer.StatusCode, answer.Header, string(body)}
}

// expectSameHead fails the test unless a HEAD is answered as a GET is, without the content.
func expectSameHead(t *testing.T, address, target string, header http.Header) (status int) {
	t.Helper()
	get := exchange(t, address, http.MethodGet, target, header)
	head := exchange(t, address, http.MethodHead, target, header)
	if head.status != get.status || head.body != "" {
		t.Errorf("%s: HEAD is answered with %d and %d bytes, GET with %d", target, head.status, len(head.body), get.status)
	}
	for _, unlike := range []string{"Date"} {
		get.header.Del(unlike)
		head.header.Del(unlike)
	}
	for name := range get.header {
		if strings.Join(head.header[name], "|") != strings.Join(get.header[name], "|") {
			t.Errorf("%s: %s is %q of a HEAD, and %q of a GET", target, name, head.header[name], get.header[name])
		}
	}
	for name := range head.header {
		if _, ok := get.header[name]; !ok {
			t.Errorf("%s: %s is %q of a HEAD, and a GET has none", target, name, head.header[name])
		}
	}
	return get.status
}

// TestHeadMatchesGet on every route that there is, with and without a token.
func TestHeadMatchesGet(t *testing.T) {
	t.Parallel()
	c := admin()
	c.Docs = true
	address := serve(t, c)
	paths := append([]string{"/nowhere", "/auth/api/v1/nowhere", "/"}, openRoutes...)
	for _, p := range walk(t, storetest.Open(t, "sqlite:"+t.TempDir()+"/walk.db")) {
		if p.request.Method == http.MethodGet {
			paths = append(paths, p.request.Path)
		}
	}
	seen := map[int]bool{}
	for _, path := range paths {
		seen[expectSameHead(t, address, path, nil)] = true
		with := http.Header{"Authorization": {"Bearer " + token(t, servertest.Manager())}, "Current-Company-Id": {"5251"}}
		seen[expectSameHead(t, address, path, with)] = true
		for name, value := range map[string]string{"If-None-Match": "*", "If-Match": `"999"`} {
			conditional := with.Clone()
			conditional.Set(name, value)
			seen[expectSameHead(t, address, path, conditional)] = true
		}
	}
	seen[expectSameHead(t, address, "/account/api/v1/customers/3393/users/1", http.Header{
		"Authorization": {"Bearer " + token(t, servertest.Manager())}, "Current-Company-Id": {"5251"}})] = true
	for _, status := range []int{200, 304, 401, 404, 412} {
		if !seen[status] {
			t.Errorf("no request of the test's is answered with %d, only %v", status, seen)
		}
	}
}

// TestOptionsListsMethods: an OPTIONS needs no token, and says the methods of a path; so does a 405.
func TestOptionsListsMethods(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]server.Config{"without CORS": {}, "with CORS": {CORS: []string{origin}}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.Docs = true
			address := serve(t, c)
			for path, allow := range map[string]string{
				worthAda:                       "OPTIONS, GET, HEAD, PATCH",
				usersOfWorth:                   "OPTIONS, GET, HEAD, POST",
				usersOfWorth + "/":             "",
				testiniumAda:                   "OPTIONS, GET, HEAD, PUT",
				usersOfTestinium:               "OPTIONS, GET, HEAD",
				usersOfTestinium + "/":         "OPTIONS, GET, HEAD",
				"/livez":                       "OPTIONS, GET, HEAD",
				"/readyz":                      "OPTIONS, GET, HEAD",
				"/openapi":                     "OPTIONS, GET, HEAD",
				"/docs":                        "OPTIONS, GET, HEAD",
				"/elsewhere":                   "",
				"/directory/v1/changes":        "OPTIONS, GET, HEAD",
				tokensOfSandbox:                "OPTIONS, GET, HEAD, POST",
				"/.well-known/api-catalog":     "OPTIONS, GET, HEAD",
				"/auth/api/v1/elsewhere":       "",
				testiniumAda + "/x":            "",
				"/account/api/v1/customers/":   "",
				"/directory/v1/changes/9/more": "",
			} {
				a := exchange(t, address, http.MethodOptions, path, nil)
				if allow == "" {
					if a.status != http.StatusNotFound || a.header.Get("Allow") != "" || a.body == "" {
						t.Errorf("OPTIONS %s: %d, Allow: %s, %q, want 404", path, a.status, a.header.Get("Allow"), a.body)
					}
					continue
				}
				if a.status != http.StatusNoContent || a.header.Get("Allow") != allow || a.body != "" {
					t.Errorf("OPTIONS %s: %d, Allow: %s, %q, want 204 and %s", path, a.status, a.header.Get("Allow"), a.body, allow)
				}
				if a := exchange(t, address, http.MethodDelete, path, nil); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != allow {
					t.Errorf("DELETE %s: %d, Allow: %s, want 405 and %s", path, a.status, a.header.Get("Allow"), allow)
				}
			}
			a := exchange(t, address, http.MethodOptions, "*", nil)
			if want := "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"; a.status != http.StatusNoContent || a.header.Get("Allow") != want {
				t.Errorf("OPTIONS *: %d, Allow: %s, want 204 and %s", a.status, a.header.Get("Allow"), want)
			}
		})
	}
}

// TestAdminListenerHeadAndOptions asks the admin listener the same.
func TestAdminListenerHeadAndOptions(t *testing.T) {
	t.Parallel()
	c := admin()
	c.Admin.Profiles = true
	listener := httptest.NewUnstartedServer(servertest.StartWith(t, c).Admin)
	listener.Config.DisableGeneralOptionsHandler = true
	listener.Start()
	t.Cleanup(listener.Close)
	address := listener.Listener.Addr().String()
	for path, allow := range map[string]string{
		"/livez": "OPTIONS, GET, HEAD", "/readyz": "OPTIONS, GET, HEAD", "/metrics": "OPTIONS, GET, HEAD",
		"/log-level": "OPTIONS, GET, HEAD, PUT", "/debug/pprof/symbol": "OPTIONS, GET, HEAD, POST",
		"/debug/pprof/profile": "OPTIONS, GET, HEAD", "*": "OPTIONS, GET, HEAD, POST, PUT",
	} {
		if a := exchange(t, address, http.MethodOptions, path, nil); a.status != http.StatusNoContent || a.header.Get("Allow") != allow {
			t.Errorf("OPTIONS %s: %d, Allow: %s, want 204 and %s", path, a.status, a.header.Get("Allow"), allow)
		}
		if path == "*" {
			continue
		}
		if a := exchange(t, address, http.MethodDelete, path, nil); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != allow {
			t.Errorf("DELETE %s: %d, Allow: %s, want 405 and %s", path, a.status, a.header.Get("Allow"), allow)
		}
	}
	for _, path := range []string{"/livez", "/readyz", "/log-level", "/nowhere"} {
		expectSameHead(t, address, path, nil)
	}
	// Without taking the 30 seconds of the profile, or sending what there is to measure.
	for _, path := range []string{"/metrics", "/debug/pprof/profile", "/debug/pprof/heap"} {
		if a := exchange(t, address, http.MethodHead, path, nil); a.status != http.StatusOK || a.body != "" {
			t.Errorf("HEAD %s: %d, %d bytes", path, a.status, len(a.body))
		}
	}
	if a := exchange(t, address, http.MethodOptions, "/nowhere", nil); a.status != http.StatusNotFound {
		t.Errorf("OPTIONS /nowhere: %d", a.status)
	}
}

// TestEveryGetRouteHasHead: whatever is mounted with a GET.
func TestEveryGetRouteHasHead(t *testing.T) {
	t.Parallel()
	s, err := server.New(context.Background(), server.Config{
		Database: "sqlite:" + t.TempDir() + "/dragoman.db", SecretKey: storetest.Key, Auth: auth.Config{Issuers: []auth.Issuer{{Secret: servertest.Secret}}},
		Log: slog.New(slog.DiscardHandler), Docs: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var gets, heads []string
	for _, r := range s.Routes() {
		switch r.Method {
		case http.MethodGet:
			gets = append(gets, r.Path)
		case http.MethodHead:
			heads = append(heads, r.Path)
		}
	}
	slices.Sort(gets)
	slices.Sort(heads)
	if len(gets) == 0 || !slices.Equal(gets, heads) {
		t.Errorf("there is a GET of %q, and a HEAD of %q", gets, heads)
	}
}
