package server_test

import (
	"context"
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
		s, err := server.New(context.Background(), server.Config{
			Database:  url,
			SecretKey: storetest.Key,
			Auth:      auth.Config{Secret: servertest.Secret},
			Passwords: auth.NewCheapPasswords(),
			Log:       slog.New(slog.NewJSONHandler(io.Discard, nil)),
			Timeouts:  server.Timeouts{Request: 10 * time.Second},
		})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			if err := s.Close(); err != nil {
				b.Error(err)
			}
		})
		storetest.Directory(b, s.Store())
		for _, r := range benchRequests {
			b.Run(r.name, func(b *testing.B) { r.run(b, s) })
		}
	})
}

// benchRequest is a request whose body is another one each time, so that a write always changes something.
type benchRequest struct {
	name, method, path string
	body               func(n int) string
}

var benchRequests = []benchRequest{
	{"patch", http.MethodPatch, worthUser(servertest.AdaUUID.String()),
		func(n int) string { return fmt.Sprintf(`{"first_name":"Ada %d","mobile":"+44 20 7946 0000"}`, n) }},
	{"put", http.MethodPut, "/account/api/v1/customers/3393/users/6860", func(n int) string {
		return fmt.Sprintf(`{"name":"Ada %d","surname":"Lovelace","username":"adalovelace","email":"ada.lovelace@example.com","enabled":true,`+
			`"accountNonExpired":true,"accountNonLocked":true,"credentialNonExpired":true,"authorities":[{"name":"ROLE_USER"}]}`, n)
	}},
	{"get worth", http.MethodGet, worthUser(servertest.AdaUUID.String()), nil},
	{"get testinium", http.MethodGet, "/account/api/v1/customers/3393/users/6860", nil},
	{"list", http.MethodGet, "/auth/api/v1/customers/" + servertest.SandboxUUID.String() + "/users", nil},
}

func worthUser(id string) string {
	return "/auth/api/v1/customers/" + servertest.SandboxUUID.String() + "/users/" + id
}

func (r benchRequest) run(b *testing.B, s *server.Server) {
	token, err := auth.Sign(servertest.Secret, servertest.Manager(), time.Now())
	if err != nil {
		b.Fatal(err)
	}
	header := http.Header{
		"Authorization":      {"Bearer " + token},
		"Current-Company-Id": {"5251"},
		"Content-Type":       {"application/json"},
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		var body io.Reader = http.NoBody
		if r.body != nil {
			body = strings.NewReader(r.body(n))
		}
		request := httptest.NewRequest(r.method, r.path, body)
		request.Header = header.Clone()
		answer := httptest.NewRecorder()
		s.ServeHTTP(answer, request)
		if answer.Code != http.StatusOK {
			b.Fatalf("%d %s", answer.Code, answer.Body)
		}
	}
}
