package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"
)

// Admin is the listener for those who look after the server. It asks nobody who they are: whoever reaches it may use it. Its zero
// value is none, and then nothing is measured either.
type Admin struct {
	// Listen is its host:port; port 0 takes a free one.
	Listen string
	// Profiles serves the profiles of net/http/pprof, of which one takes a processor for as long as it is asked to.
	Profiles bool
	// Level is the log's level, to be changed while the server runs; nil if it cannot be.
	Level *slog.LevelVar
}

// Admin gives what the admin listener serves: /metrics, /livez and /readyz, /log-level if there is one to change, and
// /debug/pprof/ if that is configured.
func (s *Server) Admin() http.Handler {
	mux := http.NewServeMux()
	if s.watch.metrics != nil {
		mux.Handle("GET /metrics", s.watch.metrics.Handler())
	}
	mux.HandleFunc("GET "+livePath, func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET "+readyPath, func(w http.ResponseWriter, r *http.Request) {
		if why := s.health.unready(r.Context()); why != "" {
			say(w, http.StatusServiceUnavailable, why)
			return
		}
		say(w, http.StatusOK, "ok")
	})
	if s.c.Admin.Level != nil {
		mux.HandleFunc("GET /log-level", s.showLevel)
		mux.HandleFunc("PUT /log-level", s.changeLevel)
	}
	if s.c.Admin.Profiles {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
		// The command line may hold secrets.
		mux.Handle("GET /debug/pprof/cmdline", http.NotFoundHandler())
	}
	// A page that an operator has open in a browser must not change anything here.
	return http.NewCrossOriginProtection().Handler(mux)
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // who asked may have gone
}

func (s *Server) showLevel(w http.ResponseWriter, _ *http.Request) {
	say(w, http.StatusOK, strings.ToLower(s.c.Admin.Level.Level().String()))
}

// changeLevel takes the name of a level, and says what the level then is.
func (s *Server) changeLevel(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64))
	var level slog.Level
	if err != nil || !isLevel(strings.TrimSpace(string(text)), &level) {
		say(w, http.StatusBadRequest, "the body must be debug, info, warn or error")
		return
	}
	s.c.Admin.Level.Set(level)
	// At the new level, so that it is in the log whichever that is.
	s.c.Log.Log(r.Context(), level, "log level changed", "to", strings.ToLower(level.String()))
	s.showLevel(w, r)
}

func isLevel(text string, level *slog.Level) bool {
	for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if strings.EqualFold(text, l.String()) {
			*level = l
			return true
		}
	}
	return false
}

// adminListener is an admin listener at work, or nil.
type adminListener struct {
	server *http.Server
	served chan struct{}
}

// startAdmin serves the admin listener, if there is to be one, until it is stopped.
func (s *Server) startAdmin() (*adminListener, error) {
	if s.c.Admin.Listen == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", s.c.Admin.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for the administrator: %w", err)
	}
	a := &adminListener{
		server: &http.Server{
			Handler:           s.Admin(),
			ReadHeaderTimeout: s.c.Timeouts.ReadHeader,
			IdleTimeout:       s.c.Timeouts.Idle,
			MaxHeaderBytes:    maxHeader,
			ErrorLog:          slog.NewLogLogger(s.c.Log.Handler(), slog.LevelWarn),
		},
		served: make(chan struct{}),
	}
	go func() {
		defer close(a.served)
		if err := a.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.c.Log.Error("the admin listener failed", "error", err)
		}
	}()
	s.c.Log.Info("listening for the administrator", "admin", l.Addr().String(), "profiles", s.c.Admin.Profiles)
	return a, nil
}

// stop lets who asks for the last metrics have them.
func (a *adminListener) stop() {
	if a == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := a.server.Shutdown(ctx); err != nil {
		_ = a.server.Close() // a profile may be under way
	}
	<-a.served
}
