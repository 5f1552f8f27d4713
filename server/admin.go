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

// Admin is the listener for those who look after the server. It asks nobody who they are: whoever reaches it may use it, but for
// pages of other sites, which may not make an operator's browser use it. Its zero value is none, and then nothing is measured
// either.
type Admin struct {
	// Listen is its host:port; port 0 takes a free one.
	Listen string
	// Hosts are names of the server's hosts beside loopback's and that of Listen. Requests for other names are refused.
	Hosts []string
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
		// The command line may hold secrets.
		mux.Handle("GET /debug/pprof/cmdline", http.NotFoundHandler())
	}
	guarded := newGuard(s.c.Admin.Listen, s.c.Admin.Hosts, nil).around(answerOptions(mux))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveLingering(guarded, w, r) })
}

// profile takes a profile, unless it is for a page that does not say whose it is, or for a HEAD, which asks for its header alone.
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

// answerOptions serves mux, and answers an OPTIONS with the methods that the path has. They are in the Allow of a 405, too.
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
