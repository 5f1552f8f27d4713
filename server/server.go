// Package server is the HTTP server: it opens the directory, mounts the dialects, and stands around every request with
// what all of them share (request id, log line, recovery from a panic, time-outs, health). It knows which dialects there
// are and nothing of what they say.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/directory"
	"github.com/dragoman-id/dragoman/server/metrics"
	"github.com/dragoman-id/dragoman/server/testinium"
	"github.com/dragoman-id/dragoman/server/tracing"
	"github.com/dragoman-id/dragoman/server/worth"
	"github.com/dragoman-id/dragoman/store"
	"github.com/labstack/echo/v4"
)

// Dialect is a dialect that a server can speak: what is to be known of it, and how it is served.
type Dialect struct {
	description.API
	Mount func(*echo.Echo, *dialect.Service) (*dialect.Dialect, error)
}

// dialects are all that this server speaks. A new one is a package and a line here.
var dialects = []Dialect{
	{worth.Description, worth.Mount},
	{testinium.Description, testinium.Mount},
	{directory.Description, directory.Mount},
}

// Dialects gives all that this server speaks.
func Dialects() []Dialect { return slices.Clone(dialects) }

// Descriptions gives the descriptions of some dialects.
func Descriptions(dialects []Dialect) []description.API {
	var all []description.API
	for _, d := range dialects {
		all = append(all, d.API)
	}
	return all
}

// Config is what a server needs to know. The zero value of a time-out means none.
type Config struct {
	Listen   string // host:port; port 0 takes a free one
	Database string // sqlite:PATH or postgres://...
	// DatabaseWait is how long New waits for a database that is not there yet.
	DatabaseWait time.Duration
	// RememberedUsers is the size of the cache of users, as in [store.Config]; nil means store.DefaultRememberedUsers.
	RememberedUsers *int
	SecretKey       []byte // 32 bytes: seals access tokens and VCS passwords at rest
	// OldSecretKeys open what they have sealed before SecretKey took their place.
	OldSecretKeys [][]byte
	Auth          auth.Config
	Timeouts      Timeouts
	Limits        Limits
	TLS           TLS
	Docs          bool             // serve the explorer, under /docs
	CORS          []string         // the origins whose scripts may use the server, such as https://app.example.com
	Mock          *Mock            // nil: the server is none
	Passwords     *auth.Passwords  // nil: auth.NewPasswords()
	Now           func() time.Time // nil: time.Now
	Log           *slog.Logger     // nil: slog.Default()
	Admin         Admin
	Tracing       *tracing.Tracing // nil: nothing is traced. Whoever makes it closes it, after the server.
	Build         Build            // which program this is, for those who watch it
	Dialects      []Dialect        // nil: Dialects()
}

// Timeouts bound how long a client, the database and a shutdown may take.
type Timeouts struct {
	ReadHeader time.Duration // for a request's header
	Read       time.Duration // for a whole request
	Write      time.Duration // for a whole answer
	Idle       time.Duration // between two requests of one connection
	Request    time.Duration // for the work between them; then the answer is 503
	Drain      time.Duration // between saying that the server is not ready any more and taking no more connections
	Shutdown   time.Duration // for requests under way when the server is told to stop
}

// maxHeader is how many bytes the header of a request may have, give or take 4 KiB. The longest token is 8 KiB.
const maxHeader = 64 << 10

// Server is a directory that can be served. Close it when it is no longer.
type Server struct {
	store    *store.Store
	verifier *auth.Verifier
	health   *health
	echo     *echo.Echo
	dialects []*dialect.Dialect
	tls      *tls.Config // nil: plain HTTP
	watch    *watch
	c        Config
}

// New opens the directory, migrates it, and mounts every dialect. It does not listen yet.
func New(ctx context.Context, c Config) (*Server, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Dialects == nil {
		c.Dialects = dialects
	}
	if c.Passwords == nil {
		c.Passwords = auth.NewPasswords()
	}
	if c.Mock == nil {
		c.Log.Info("starting", "build", c.Build) // a mock begins anew at each reset
	}
	principals, err := newLimiter(c, "principal", c.Limits.Principal)
	if err != nil {
		return nil, err
	}
	inFlight := dialect.NewInFlight(c.Limits.InFlight)
	addresses, err := newLimiter(c, "address", c.Limits.Address)
	if err != nil {
		return nil, err
	}
	own, err := c.TLS.load(c.Log)
	if err != nil {
		return nil, err
	}
	w := newWatch(c)
	if c.Auth.Now == nil {
		c.Auth.Now = c.Now
	}
	c.Auth.Log, c.Auth.Transport = c.Log, c.Tracing.Transport
	verifier, err := auth.NewVerifier(c.Auth)
	if err != nil {
		return nil, err
	}
	directory := store.Config{
		URL:             c.Database,
		RememberedUsers: c.RememberedUsers,
		SecretKey:       c.SecretKey,
		OldSecretKeys:   c.OldSecretKeys,
		Patience: store.Patience{For: c.DatabaseWait, Waiting: func(err error, pause time.Duration) {
			c.Log.Warn("waiting for the database", "error", err, "next_try_in", pause.Round(time.Millisecond).String())
		}},
		Now:      c.Now,
		Observer: w.observer(),
	}
	if c.Mock != nil {
		directory.Random = c.Mock.Random
	}
	s, err := store.Open(ctx, directory)
	if err != nil {
		verifier.Close()
		return nil, err
	}
	if err := warnOfCollisions(ctx, s, c.Log); err != nil {
		verifier.Close()
		return nil, errors.Join(err, s.Close())
	}
	h := &health{store: s, verifier: verifier, log: c.Log}
	w.stopping = h.draining.Load
	e, mounted, err := newEcho(c, &dialect.Service{
		Store:          s,
		Verifier:       verifier,
		Policy:         auth.Policy{Roles: s.Catalogue()},
		Passwords:      c.Passwords,
		Limiter:        principals,
		InFlight:       inFlight,
		Now:            c.Now,
		RequestTimeout: c.Timeouts.Request,
		Mock:           c.Mock != nil,
	}, addresses, h, w)
	if err != nil {
		verifier.Close()
		return nil, errors.Join(err, s.Close())
	}
	w.metrics.Watch(metrics.Sources{
		Store: s, Verifier: verifier, Passwords: c.Passwords, Draining: h.draining.Load, CertificateExpiry: own.expiry(),
		RateLimited: map[string]func() int64{"address": addresses.Refused, "principal": principals.Refused, "in_flight": inFlight.Refused},
	})
	return &Server{store: s, verifier: verifier, health: h, echo: e, dialects: mounted, tls: own.config(), watch: w, c: c}, nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { serveLingering(s.echo, w, r) }

// Store is the directory being served.
func (s *Server) Store() *store.Store { return s.store }

// APIs yields the names of the APIs that are served, as people read them, and where the paths of each begin.
func (s *Server) APIs() iter.Seq2[string, string] {
	return func(yield func(name, path string) bool) {
		for _, d := range s.dialects {
			if !yield(d.Title, d.BasePath()) {
				return
			}
		}
	}
}

// Close ends what the server does in the background and closes the directory.
func (s *Server) Close() error {
	s.verifier.Close()
	return s.store.Close()
}

// Listen takes the configured address. Port 0 takes a free one, which the listener tells.
func (s *Server) Listen() (net.Listener, error) { return listen(publicAddress, s.c.Listen) }

// Serve answers requests on l until ctx is done. Then it says for the time to drain that it is not ready, while it serves
// on; takes no more connections; and lets the requests under way finish within the shutdown's time-out. It gives nil after
// such an orderly end.
func (s *Server) Serve(ctx context.Context, l net.Listener) error { return s.ServeHandler(ctx, l, s) }

// ServeHandler is Serve with another handler in the server's place, such as one that stands before it.
func (s *Server) ServeHandler(ctx context.Context, l net.Listener, handler http.Handler) error {
	h := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: s.c.Timeouts.ReadHeader,
		ReadTimeout:       s.c.Timeouts.Read,
		WriteTimeout:      s.c.Timeouts.Write,
		IdleTimeout:       s.c.Timeouts.Idle,
		MaxHeaderBytes:    maxHeader,
		// net/http's own answer to OPTIONS * has no Allow.
		DisableGeneralOptionsHandler: true,
		TLSConfig:                    s.tls,
		ErrorLog:                     slog.NewLogLogger(s.c.Log.Handler(), slog.LevelWarn),
	}
	admin, err := s.startAdmin()
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer admin.stop()
	defer s.keepNumbering()()
	failed := make(chan error, 1)
	go func() { failed <- s.serve(h, l) }()
	s.c.Log.Info("listening", "address", l.Addr().String(), "tls", s.tls != nil)
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	if err := s.drain(failed); err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	// The caller's context is done; what is under way gets its own.
	return s.finish(context.WithoutCancel(ctx), h)
}

// keepNumbering numbers changes for the change feed in the background until end is called.
func (s *Server) keepNumbering() (end func()) {
	if s.c.Mock != nil {
		return func() {} // its answers must not depend on time
	}
	ctx, cancel := context.WithCancel(context.Background())
	var background sync.WaitGroup
	background.Go(func() {
		s.store.KeepNumbering(ctx, func(err error) {
			if err != nil {
				s.c.Log.Warn("changes cannot be numbered, the change feed stands still", "error", err)
				return
			}
			s.c.Log.Info("changes are numbered again")
		})
	})
	return func() {
		cancel()
		background.Wait()
	}
}

// drain says from now on that the server is not ready, and serves on for the time that it has for it; or gives the error for
// which it cannot.
func (s *Server) drain(failed <-chan error) error {
	s.health.draining.Store(true)
	if s.c.Timeouts.Drain <= 0 {
		return nil
	}
	s.c.Log.Info("not ready any more, serving on until balancers have noticed", "for", s.c.Timeouts.Drain.String())
	select {
	case err := <-failed:
		return err
	case <-time.After(s.c.Timeouts.Drain):
		return nil
	}
}

// finish takes no more connections and waits for the requests under way.
func (s *Server) finish(ctx context.Context, h *http.Server) error {
	s.c.Log.Info("stopping, requests under way may finish", "within", s.c.Timeouts.Shutdown.String())
	ctx, cancel := context.WithTimeout(ctx, s.c.Timeouts.Shutdown)
	defer cancel()
	if err := h.Shutdown(ctx); err != nil {
		return fmt.Errorf("stop: %w", errors.Join(err, h.Close()))
	}
	s.c.Log.Info("stopped")
	return nil
}

// serve speaks HTTP/1.1 and, over TLS, HTTP/2.
func (s *Server) serve(h *http.Server, l net.Listener) error {
	if s.tls == nil {
		return h.Serve(l)
	}
	return h.ServeTLS(l, "", "")
}

// maxCollisionsLogged is how many users a warning about collisions names.
const maxCollisionsLogged = 100

// warnOfCollisions logs once which users have the same username or e-mail, by their ids.
func warnOfCollisions(ctx context.Context, s *store.Store, log *slog.Logger) error {
	collisions, err := s.Collisions(ctx)
	if err != nil || len(collisions) == 0 {
		return err
	}
	var users []int64
	for _, c := range collisions {
		for _, u := range c.Users {
			users = append(users, u.ID)
		}
	}
	log.Warn("users have the same username or e-mail: see dragoman collisions",
		"collisions", len(collisions), "users", len(users), "ids", users[:min(len(users), maxCollisionsLogged)])
	return nil
}
