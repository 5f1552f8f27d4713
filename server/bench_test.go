package server_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// BenchmarkRequest is one request through all of the server but the network: the token, the stages, the handler, the
// database with its history, the log line.
func BenchmarkRequest(b *testing.B) {
	storetest.BenchEachURL(b, func(b *testing.B, url string) {
		s := newBenchServer(b, url)
		for _, r := range benchRequests {
			b.Run(r.name, func(b *testing.B) {
				b.ReportAllocs()
				send := r.sender(b, s)
				for b.Loop() {
					send()
				}
			})
		}
	})
}

// newBenchServer gives a server with the sandbox, and with all on that an operator has on, but for the limits.
func newBenchServer(t testing.TB, database string) *server.Server {
	t.Helper()
	s, err := server.New(context.Background(), server.Config{
		Database:  database,
		SecretKey: storetest.Key,
		Auth:      auth.Config{Issuers: []auth.Issuer{{Secret: servertest.Secret}}},
		Passwords: auth.NewCheapPasswords(),
		Log:       slog.New(slog.NewJSONHandler(io.Discard, nil)),
		Timeouts:  server.Timeouts{Request: 10 * time.Second},
		Admin:     server.Admin{Listen: "127.0.0.1:0"}, // measures; nobody listens before it is served
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	storetest.Directory(t, s.Store())
	return s
}

// benchRequest is a request whose body is another one each time, so that a write always changes something.
type benchRequest struct {
	name, method, path string
	body               func(n int) string
	keyed              bool // under an Idempotency-Key, another one each time
}

var benchRequests = []benchRequest{
	{"patch", http.MethodPatch, worthUser(servertest.AdaUUID.String()),
		func(n int) string { return fmt.Sprintf(`{"first_name":"Ada %d","mobile":"+44 20 7946 0000"}`, n) }, false},
	{"put", http.MethodPut, "/account/api/v1/customers/3393/users/6860", func(n int) string {
		return fmt.Sprintf(`{"name":"Ada %d","surname":"Lovelace","username":"adalovelace","email":"ada.lovelace@example.com","enabled":true,`+
			`"accountNonExpired":true,"accountNonLocked":true,"credentialNonExpired":true,"authorities":[{"name":"ROLE_USER"}]}`, n)
	}, false},
	{"patch_keyed", http.MethodPatch, worthUser(servertest.AdaUUID.String()), func(n int) string { return fmt.Sprintf(`{"first_name":"Ada keyed %d"}`, n) }, true},
	{"get_worth", http.MethodGet, worthUser(servertest.AdaUUID.String()), nil, false},
	{"get_testinium", http.MethodGet, "/account/api/v1/customers/3393/users/6860", nil, false},
	{"list", http.MethodGet, "/auth/api/v1/customers/" + servertest.SandboxUUID.String() + "/users", nil, false},
}

func worthUser(id string) string {
	return "/auth/api/v1/customers/" + servertest.SandboxUUID.String() + "/users/" + id
}

// sender gives what sends the request once, and fails the test unless it is answered with 200.
func (r benchRequest) sender(t testing.TB, s *server.Server) (send func()) {
	t.Helper()
	token, err := auth.Sign(servertest.Secret, servertest.Manager(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{
		"Authorization":      {"Bearer " + token},
		"Current-Company-Id": {"5251"},
		"Content-Type":       {"application/json"},
	}
	n := 0
	return func() {
		n++
		var body io.Reader = http.NoBody
		if r.body != nil {
			body = strings.NewReader(r.body(n))
		}
		request := httptest.NewRequest(r.method, r.path, body)
		request.Header = header.Clone()
		if r.keyed {
			request.Header.Set("Idempotency-Key", rand.Text())
		}
		answer := httptest.NewRecorder()
		s.ServeHTTP(answer, request)
		if answer.Code != http.StatusOK {
			t.Fatalf("%d %s", answer.Code, answer.Body)
		}
	}
}
