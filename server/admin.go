package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"
)

// Admin configures the admin listener, for operators. It has no authentication: everybody who can connect may use it, except
// pages of other sites in an operator's browser. If Listen is empty there is no listener, and no metrics are recorded.
type Admin struct {
	// Listen is host:port; port 0 takes a free one.
	Listen string
	// Hosts are further names of this server, beside localhost and the host of Listen. Requests for other names are refused.
	Hosts []string
	// Profiles enables /debug/pprof/. A profile can use a processor for as long as the request says.
	Profiles bool
	// Level is the log's level, which /log-level changes. If it is nil there is no /log-level.
	Level *slog.LevelVar
}

// Admin returns the admin listener's handler: /metrics, /livez, /readyz, and, if configured, /log-level and /debug/pprof/.
func (s *Server) Admin() http.Handler {
	mux := http.NewServeMux()
	if s.watch.metrics != nil {
		mux.Handle("GET /metrics", s.watch.metrics.Handler())
	}
	mux.HandleFunc("GET "+livePath, sayOK)
	mux.HandleFunc("GET "+readyPath, func(w http.ResponseWriter, r *http.Request) {
		if why := s.health.unready(r.Context()); why != "" {
			say(w, http.StatusServiceUnavailable, why)
			return
		}
		sayOK(w, r)
	})
	if s.c.Admin.Level != nil {
		mux.HandleFunc("GET /log-level", s.showLevel)
		mux.HandleFunc("PUT /log-level", s.changeLevel)
	}
	if s.c.Admin.Profiles {
		mux.Handle("GET /debug/pprof/", profile(pprof.Index))
		mux.Handle("GET /debug/pprof/profile", profile(pprof.Profile))
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
		mux.Handle("GET /debug/pprof/trace", profile(pprof.Trace))
		// The command line may contain secrets.
		mux.Handle("GET /debug/pprof/cmdline", http.NotFoundHandler())
	}
	guarded := newGuard(s.c.Admin.Listen, s.c.Admin.Hosts, nil).wrap(answerOptions(mux))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveLingering(guarded, w, r) })
}

// profile serves take, and refuses browsers that do not say which site sent the request. A HEAD takes no profile.
func profile(take http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case isBrowserWithoutSite(r):
			say(w, http.StatusForbidden, "a browser that does not say which site asks gets no profile: use go tool pprof or curl, or ask for localhost")
		case r.Method == http.MethodHead:
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Header().Set("X-Content-Type-Options", "nosniff")
		default:
			take(w, r)
		}
	})
}

// answerOptions serves mux, and answers OPTIONS with the methods of the path. A 405 has the same Allow header.
func answerOptions(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern != "" && r.RequestURI != "*" {
			mux.ServeHTTP(w, r)
			return
		}
		allow := []string{http.MethodOptions}
		asked := r.Clone(r.Context())
		for _, asked.Method = range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut} {
			if _, pattern := mux.Handler(asked); pattern != "" || r.RequestURI == "*" {
				allow = append(allow, asked.Method)
			}
		}
		switch {
		case len(allow) == 1:
			say(w, http.StatusNotFound, "there is no such path")
		case r.Method == http.MethodOptions:
			w.Header().Set("Allow", strings.Join(allow, ", "))
			w.WriteHeader(http.StatusNoContent)
		default:
			w.Header().Set("Allow", strings.Join(allow, ", "))
			say(w, http.StatusMethodNotAllowed, "the path does not support this method")
		}
	})
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // an error means that the client is gone
}

func (s *Server) showLevel(w http.ResponseWriter, _ *http.Request) {
	say(w, http.StatusOK, strings.ToLower(s.c.Admin.Level.Level().String()))
}

// changeLevel sets the level of the log to the one in the request's body, and responds with it.
func (s *Server) changeLevel(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64))
	var level slog.Level
	if err != nil || !isLevel(strings.TrimSpace(string(text)), &level) {
		say(w, http.StatusBadRequest, "the body must be debug, info, warn or error")
		return
	}
	s.c.Admin.Level.Set(level)
	// Logged at the new level, which is always enabled.
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

// adminListener is a running admin listener.
type adminListener struct {
	server *http.Server
	served chan struct{}
}

// startAdmin starts the admin listener, or returns nil if none is configured.
func (s *Server) startAdmin() (*adminListener, error) {
	if s.c.Admin.Listen == "" {
		return nil, nil
	}
	l, err := listen(adminAddress, s.c.Admin.Listen)
	if err != nil {
		return nil, err
	}
	a := &adminListener{
		server: &http.Server{
			Handler:           s.Admin(),
			ReadHeaderTimeout: s.c.Timeouts.ReadHeader,
			IdleTimeout:       s.c.Timeouts.Idle,
			MaxHeaderBytes:    maxHeader,
			// net/http's own answer to OPTIONS * has no Allow.
			DisableGeneralOptionsHandler: true,
			ErrorLog:                     slog.NewLogLogger(s.c.Log.Handler(), slog.LevelWarn),
		},
		served: make(chan struct{}),
	}
	go func() {
		defer close(a.served)
		if err := a.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.c.Log.Error("the admin listener failed", "error", err)
		}
	}()
	s.c.Log.Info("admin listener started", "admin", l.Addr().String(), "profiles", s.c.Admin.Profiles)
	return a, nil
}

// stop stops the listener. Requests in flight may finish within a second.
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
