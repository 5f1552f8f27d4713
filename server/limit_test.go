package server_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// standstill is a clock that does not move.
func standstill() func() time.Time {
	now := time.Now()
	return func() time.Time { return now }
}

func TestHealthIsNotLimited(t *testing.T) {
	t.Parallel()
	s := servertest.StartWith(t, server.Config{
		Now:    standstill(),
		Limits: server.Limits{Address: dialect.Rate{PerSecond: 0.1, Burst: 1}},
	})
	elsewhere := servertest.Request{Method: http.MethodGet, Path: "/elsewhere"}
	s.Send(elsewhere).Expect(t, http.StatusNotFound, "Not Found")
	refused := s.Send(elsewhere)
	refused.Expect(t, http.StatusTooManyRequests, "Too Many Requests")
	refused.ExpectHeader(t, "Retry-After", "10")
	for range 5 {
		for _, path := range []string{"/livez", "/readyz"} {
			s.Send(servertest.Request{Method: http.MethodGet, Path: path}).Expect(t, http.StatusOK, "ok")
		}
	}
}

// TestFeedIsLimited: the server's own dialect says it as a problem, and a script of another origin may read for how long.
func TestFeedIsLimited(t *testing.T) {
	t.Parallel()
	s := servertest.StartWith(t, server.Config{
		Now:    standstill(),
		CORS:   []string{origin},
		Limits: server.Limits{Principal: dialect.Rate{PerSecond: 1, Burst: 1}},
	})
	feed := servertest.Request{Method: http.MethodGet, Path: "/directory/v1/changes", Header: http.Header{"Origin": {origin}}}
	if a := s.Ask(servertest.Manager(), feed); a.Status != http.StatusOK {
		t.Fatalf("the first request is answered %d %s", a.Status, a.Body)
	}
	refused := s.Ask(servertest.Manager(), feed)
	refused.Expect(t, http.StatusTooManyRequests, `{"type":"about:blank","title":"Too Many Requests","status":429,`+
		`"detail":"The caller, or its address, has sent more requests than it may.","errors":[]}`)
	refused.ExpectHeader(t, "Content-Type", "application/problem+json")
	refused.ExpectHeader(t, "Retry-After", "1")
	refused.ExpectHeader(t, "Access-Control-Allow-Origin", origin)
}

func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		trusted []netip.Prefix
		want    int
	}{
		{"trusted", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, http.StatusNotFound},
		{"not trusted", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, http.StatusTooManyRequests},
		{"none", nil, http.StatusTooManyRequests},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := servertest.StartWith(t, server.Config{
				Now:    standstill(),
				Limits: server.Limits{Address: dialect.Rate{PerSecond: 1, Burst: 1}, TrustedProxies: c.trusted},
			})
			of := func(client string) servertest.Request {
				return servertest.Request{Method: http.MethodGet, Path: "/elsewhere", Header: http.Header{"X-Forwarded-For": {client}}}
			}
			s.Send(of("198.51.100.1")).Expect(t, http.StatusNotFound, "Not Found")
			if a := s.Send(of("198.51.100.2")); a.Status != c.want {
				t.Errorf("another client of the proxy's is answered %d, want %d", a.Status, c.want)
			}
			s.Send(of("198.51.100.1")).Expect(t, http.StatusTooManyRequests, "Too Many Requests")
		})
	}
}

func TestInvalidRates(t *testing.T) {
	t.Parallel()
	for _, limits := range []server.Limits{
		{Address: dialect.Rate{PerSecond: 1}},
		{Address: dialect.Rate{Burst: 1}},
		{Principal: dialect.Rate{PerSecond: -1, Burst: 1}},
	} {
		_, err := server.New(t.Context(), server.Config{
			Database:  "sqlite:" + t.TempDir() + "/dragoman.db",
			SecretKey: storetest.Key,
			Auth:      auth.Config{Issuers: []auth.Issuer{{Secret: servertest.Secret}}},
			Limits:    limits,
		})
		if err == nil || !strings.Contains(err.Error(), "requests a second") {
			t.Errorf("a server with %+v: %v", limits, err)
		}
	}
}
