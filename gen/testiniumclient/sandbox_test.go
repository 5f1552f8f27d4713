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

// sandbox starts a server with an invented directory, and returns the URL of its API and a token. Each of front wraps the
// server's handler, to simulate what is between client and server.
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

// unavailable answers the first n requests with a 503 whose Retry-After is a second.
func unavailable(n int32) func(http.Handler) http.Handler {
	var count atomic.Int32
	return func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if count.Add(1) <= n {
				r.Header.Set("Prefer", "code=503")
			}
			h.ServeHTTP(w, r)
		})
	}
}

// cut executes the first n requests that get to it, and cuts the connection instead of answering.
func cut(n int32) func(http.Handler) http.Handler {
	var count atomic.Int32
	return func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Prefer") == "" && count.Add(1) <= n {
				h.ServeHTTP(httptest.NewRecorder(), r)
				panic(http.ErrAbortHandler)
			}
			h.ServeHTTP(w, r)
		})
	}
}

// proxy answers a request that has Prefer: proxy as a proxy does that cannot reach the server.
func proxy(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Prefer") != "proxy" {
			h.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		if _, err := w.Write([]byte("<html>502 Bad Gateway</html>")); err != nil {
			log.Print(err)
		}
	})
}

// bearer returns a request editor that sets a token that never changes.
func bearer(token string) testiniumclient.RequestEditorFn {
	return func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
}
