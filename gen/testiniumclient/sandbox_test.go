package testiniumclient_test

import (
	"context"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"

	"github.com/dragoman-id/dragoman/gen/testiniumclient"
	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/mock"
)

// sandbox starts a server with an invented directory, and gives the URL of its API and a token. What stands in front of it may
// play the network.
func sandbox(front ...func(http.Handler) http.Handler) (url, token string, stop func()) {
	m, err := mock.New(context.Background(), server.Config{Log: slog.New(slog.DiscardHandler)}, mock.DefaultSeed)
	if err != nil {
		log.Fatal(err)
	}
	if token, err = mock.Token(); err != nil {
		log.Fatal(err)
	}
	var h http.Handler = m
	for _, f := range front {
		h = f(h)
	}
	s := httptest.NewServer(h)
	return s.URL + "/account/api/v1", token, func() {
		s.Close()
		if err := m.Close(); err != nil {
			log.Fatal(err)
		}
	}
}

// refusing refuses the first n requests with a 503 that asks for a second's patience.
func refusing(n int32) func(http.Handler) http.Handler {
	var refused atomic.Int32
	return func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if refused.Add(1) <= n {
				r.Header.Set("Prefer", "code=503")
			}
			h.ServeHTTP(w, r)
		})
	}
}

// bearer puts a token that never changes on every request.
func bearer(token string) testiniumclient.RequestEditorFn {
	return func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
}
