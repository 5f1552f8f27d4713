package server_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// BenchmarkWatching is what it costs to watch a request that does next to nothing: one without a token.
func BenchmarkWatching(b *testing.B) {
	for _, c := range []struct {
		name  string
		admin server.Admin
	}{{"log", server.Admin{}}, {"log and metrics", server.Admin{Listen: "127.0.0.1:0"}}} {
		b.Run(c.name, func(b *testing.B) {
			s, err := server.New(context.Background(), server.Config{
				Database: "sqlite:" + b.TempDir() + "/dragoman.db", SecretKey: storetest.Key, Auth: auth.Config{Issuers: []auth.Issuer{{Secret: servertest.Secret}}},
				Log: slog.New(slog.NewJSONHandler(io.Discard, nil)), Admin: c.admin,
			})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			request := httptest.NewRequest(http.MethodGet, worthAda, nil)
			b.ReportAllocs()
			for b.Loop() {
				s.ServeHTTP(httptest.NewRecorder(), request)
			}
		})
	}
}
