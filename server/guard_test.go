package server_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/mock"
	"github.com/dragoman-id/dragoman/server/servertest"
)

// asked is a request as a browser or a program sends it.
type asked struct {
	host   string
	header map[string]string
}

func (a asked) to(t *testing.T, h http.Handler, method, path, local string) (status int, text string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	r.Host = a.host
	for name, value := range a.header {
		r.Header.Set(name, value)
	}
	address, err := net.ResolveTCPAddr("tcp", local)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(address))))
	return w.Code, w.Body.String()
}

// guarded are requests to a listener of the address 10.1.2.3 and the further name metrics.example.com, and whether they are
// answered.
var guarded = map[string]struct {
	asked
	refused int
}{
	"localhost":           {asked{"localhost:9090", nil}, 0},
	"localhost, any port": {asked{"LOCALHOST.", nil}, 0},
	"below localhost":     {asked{"admin.localhost:9090", nil}, 0},
	"127.0.0.1":           {asked{"127.0.0.1:9090", nil}, 0},
	"127.8.9.10":          {asked{"127.8.9.10", nil}, 0},
	"::1":                 {asked{"[::1]:9090", nil}, 0},
	"its own address":     {asked{"10.1.2.3:9090", nil}, 0},
	"a name it was told":  {asked{"Metrics.Example.com:80", nil}, 0},
	"no host":             {asked{"", nil}, 0},
	"another name":        {asked{"evil.example:9090", nil}, 421},
	"localhost below":     {asked{"localhost.evil.example", nil}, 421},
	"another address":     {asked{"10.1.2.4:9090", nil}, 421},
	"any address":         {asked{"0.0.0.0:9090", nil}, 421},
	"its own page":        {asked{"localhost:9090", map[string]string{"Origin": "http://localhost:9090", "Sec-Fetch-Site": "same-origin"}}, 0},
	"typed in":            {asked{"localhost:9090", map[string]string{"Sec-Fetch-Site": "none"}}, 0},
	"its own link":        {asked{"10.1.2.3:9090", map[string]string{"Referer": "http://10.1.2.3:9090/debug/pprof/"}}, 0},
	"another site":        {asked{"localhost:9090", map[string]string{"Sec-Fetch-Site": "cross-site"}}, 403},
	"the same site":       {asked{"localhost:9090", map[string]string{"Sec-Fetch-Site": "same-site"}}, 403},
	"another port":        {asked{"localhost:9090", map[string]string{"Origin": "http://localhost:3000"}}, 403},
	"another scheme":      {asked{"localhost:9090", map[string]string{"Origin": "https://localhost:9090"}}, 403},
	"another origin":      {asked{"127.0.0.1:9090", map[string]string{"Origin": "https://evil.example"}}, 403},
	"a sandboxed page":    {asked{"localhost:9090", map[string]string{"Origin": "null"}}, 403},
	"another's link":      {asked{"10.1.2.3:9090", map[string]string{"Referer": "http://evil.example/"}}, 403},
	"rebound":             {asked{"evil.example", map[string]string{"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}}, 421},
}

// TestAdminListenerRefusesForeignPages on every path, whether it changes anything or not.
func TestAdminListenerRefusesForeignPages(t *testing.T) {
	t.Parallel()
	c := admin()
	c.Admin.Hosts, c.Admin.Profiles = []string{"metrics.example.com"}, true
	s := servertest.StartWith(t, c)
	for name, g := range guarded {
		for _, path := range []string{"/metrics", "/livez", "/readyz", "/log-level", "/debug/pprof/", "/debug/pprof/profile?seconds=1", "/nowhere"} {
			if g.refused == 0 && strings.Contains(path, "profile") {
				continue
			}
			status, text := g.to(t, s.Admin, http.MethodGet, path, "10.1.2.3:9090")
			if g.refused == 0 && (status == http.StatusMisdirectedRequest || status == http.StatusForbidden) || g.refused != 0 && status != g.refused {
				t.Errorf("%s: GET %s is answered %d %q, want %d", name, path, status, text, g.refused)
			}
			if status == http.StatusMisdirectedRequest && !strings.Contains(text, "--admin-host") {
				t.Errorf("%s: %q does not say what to do", name, text)
			}
		}
		if status, _ := g.to(t, s.Admin, http.MethodPut, "/log-level", "10.1.2.3:9090"); g.refused != 0 && status != g.refused {
			t.Errorf("%s: PUT /log-level is answered %d", name, status)
		}
	}
	// A browser says nothing of the site to a host that it does not trust. It gets no profile there.
	untold := asked{"10.1.2.3:9090", map[string]string{"User-Agent": "Mozilla/5.0 (X11; Linux x86_64)"}}
	if status, text := untold.to(t, s.Admin, http.MethodGet, "/debug/pprof/profile?seconds=1", "10.1.2.3:9090"); status != http.StatusForbidden {
		t.Errorf("a browser that does not say which site asks: %d %.80q", status, text)
	}
	if status, _ := untold.to(t, s.Admin, http.MethodGet, "/metrics", "10.1.2.3:9090"); status != http.StatusOK {
		t.Errorf("a browser that asks for metrics: %d", status)
	}
}

// TestMockResetRefusesForeignPages: a page whose origin is allowed may reset a mock, as may any program.
func TestMockResetRefusesForeignPages(t *testing.T) {
	t.Parallel()
	m, err := mock.New(t.Context(), server.Config{
		Log: slog.New(slog.DiscardHandler), CORS: []string{"http://localhost:5173/"}, Admin: server.Admin{Hosts: []string{"metrics.example.com"}},
	}, mock.DefaultSeed)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for name, g := range guarded {
		want := g.refused
		if want == 0 {
			want = http.StatusNoContent
		}
		if status, text := g.to(t, m, http.MethodPost, "/mock/reset", "10.1.2.3:9090"); status != want {
			t.Errorf("%s: %d %q, want %d", name, status, text, want)
		}
	}
	allowed := asked{"localhost:8080", map[string]string{"Origin": "http://localhost:5173", "Sec-Fetch-Site": "same-site"}}
	if status, text := allowed.to(t, m, http.MethodPost, "/mock/reset", "127.0.0.1:8080"); status != http.StatusNoContent {
		t.Errorf("a page of an allowed origin: %d %q", status, text)
	}
	allowed.host = "evil.example"
	if status, text := allowed.to(t, m, http.MethodPost, "/mock/reset", "127.0.0.1:8080"); status != http.StatusMisdirectedRequest || !strings.Contains(text, "--admin-host") {
		t.Errorf("by another name: %d %q", status, text)
	}
}

func TestInvalidAdminHosts(t *testing.T) {
	t.Parallel()
	for host, good := range map[string]bool{
		"metrics.example.com": true, "10.1.2.3": true, "::1": true, "dragoman": true,
		"": false, "http://metrics.example.com": false, "metrics.example.com:9090": false, "*.example.com": false, "a b": false,
	} {
		told := false
		for _, problem := range (server.Config{Admin: server.Admin{Hosts: []string{host}}}).Problems() {
			told = told || strings.Contains(problem.Error(), "--admin-host")
		}
		if told == good {
			t.Errorf("%q is refused: %v", host, told)
		}
	}
}
