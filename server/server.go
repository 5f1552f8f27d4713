// Package server is the HTTP server. It opens the directory, mounts the dialects, and adds to every request what all dialects
// share: a request id, a log line, metrics, traces, limits, security headers, and recovery from panics. It also serves health
// checks and the admin listener. It has the list of dialects, and does not know their operations.
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
	"github.com/dragoman-id/dragoman/server/provisioning"
	"github.com/dragoman-id/dragoman/server/scim"
	"github.com/dragoman-id/dragoman/server/testinium"
	"github.com/dragoman-id/dragoman/server/tracing"
	"github.com/dragoman-id/dragoman/server/webhook"
	"github.com/dragoman-id/dragoman/server/worth"
	"github.com/dragoman-id/dragoman/store"
	"github.com/labstack/echo/v4"
)

// Dialect is a dialect that a server can serve: its description, and the function that mounts it.
type Dialect struct {
	description.API
	Mount func(*echo.Echo, *dialect.Service) (*dialect.Dialect, error)
}

// dialects lists all dialects. A new dialect is a package and a line here.
var dialects = []Dialect{
	{worth.Description, worth.Mount},
	{testinium.Description, testinium.Mount},
	{scim.Description, scim.Mount},
	{directory.Description, directory.Mount},
}

// Dialects returns all dialects.
func Dialects() []Dialect { return slices.Clone(dialects) }

// Descriptions returns the descriptions of dialects.
func Descriptions(dialects []Dialect) []description.API {
	var all []description.API
	for _, d := range dialects {
		all = append(all, d.API)
	}
	return all
}

// Config configures a server. A timeout of 0 means none.
type Config struct {
	Listen   string // host:port; port 0 takes a free one
	Database string // sqlite:PATH or postgres://...
	// DatabaseRead is the URL of a Postgres standby of Database, from which lists, searches, histories and the feed are read while it is
	// at most ReadLag behind. Empty: there is none.
	DatabaseRead string
	ReadLag      time.Duration
	// DatabaseWait is how long New waits for a database that is not available yet.
	DatabaseWait time.Duration
	// DatabaseConnections is how many connections to PostgreSQL there are at most; nil means store.DefaultConnections.
	DatabaseConnections *int
	// NoMigrate leaves migrations to `dragoman migrate`, for which New waits as for the database.
	NoMigrate bool
	// RememberedUsers is the size of the cache of users, as in [store.Config]; nil means store.DefaultRememberedUsers.
	RememberedUsers *int
	// IdempotencyRetention is how long answers to requests with an Idempotency-Key are kept, as in [store.Config]; nil means
	// store.DefaultIdempotencyRetention.
	IdempotencyRetention *time.Duration
	// HistoryRetention is how old entries of the history must be for their personal values to be erased; zero: none are.
	HistoryRetention store.Age
	// ErasureLedger is the file that lists erased users, as in [store.Config]. A directory that has personal data of one is not served.
	ErasureLedger string
	SecretKey     []byte // 32 bytes; encrypts what is secret at rest
	// OldSecretKeys are earlier values of SecretKey. They decrypt what they encrypted.
	OldSecretKeys [][]byte
	Auth          auth.Config
	Timeouts      Timeouts
	Limits        Limits
	TLS           TLS
	Docs          bool             // serve the explorer, under /docs
	CORS          []string         // origins whose scripts may call the server, such as https://app.example.com
	Mock          *Mock            // nil: not a mock
	Passwords     *auth.Passwords  // nil: auth.NewPasswords()
	Now           func() time.Time // nil: time.Now
	Log           *slog.Logger     // nil: slog.Default()
	Webhooks      Webhooks
	Admin         Admin
	Tracing       *tracing.Tracing // nil: no traces. The caller closes it, after the server.
	Build         Build            // shown in the log and in metrics
	Dialects      []Dialect        // nil: Dialects()
}

// Timeouts bound how long a client, the database and a shutdown may take.
type Timeouts struct {
	ReadHeader time.Duration // reading a request's header
	Read       time.Duration // reading a whole request
	Write      time.Duration // writing a whole response
	Idle       time.Duration // between two requests on a connection
	Request    time.Duration // handling a request; then the status is 503
	Drain      time.Duration // from /readyz answering 503 to closing the listener
	Shutdown   time.Duration // waiting for requests in flight at shutdown
}

// maxHeader is the maximum size of a request's header in bytes; net/http adds 4 KiB. The longest token has 16 KiB,
// or up to 48 KiB if so configured.
const maxHeader = 64 << 10

// Server serves a directory. The caller must call Close.
type Server struct {
	store    *store.Store
	verifier *auth.Verifier
	health   *health
	echo     *echo.Echo
	dialects []*dialect.Dialect
	tls      *tls.Config // nil: plain HTTP
	watch    *watch
	webhooks *webhook.Deliverer // nil: nothing is delivered
	c        Config
}

// New opens the directory, migrates it, and mounts the dialects. It does not listen.
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
		c.Log.Info("starting", "build", c.Build) // a mock calls New at each reset
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
	cert, err := c.TLS.load(c.Log)
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
		NoMigrate:       c.NoMigrate,
		RememberedUsers: c.RememberedUsers,
		SecretKey:       c.SecretKey,
		OldSecretKeys:   c.OldSecretKeys,
		Standby:         store.StandbyConfig{URL: c.DatabaseRead, MaxLag: c.ReadLag},
		Wait: store.Wait{For: c.DatabaseWait, Waiting: func(err error, pause time.Duration) {
			c.Log.Warn("waiting for the database", "error", err, "next_try_in", pause.Round(time.Millisecond).String())
		}},
		ErasureLedger:    c.ErasureLedger,
		HistoryRetention: c.HistoryRetention,
		Now:              c.Now,
		Observer:         w.observer(),
	}
	if c.IdempotencyRetention != nil {
		directory.IdempotencyRetention = *c.IdempotencyRetention
	}
	if c.DatabaseConnections != nil {
		directory.Connections = *c.DatabaseConnections
	}
	if c.Mock != nil {
		directory.Random = c.Mock.Random
	}
	s, err := store.Open(ctx, directory)
	if err != nil {
		verifier.Close()
		return nil, err
	}
	if err := errors.Join(c.Auth.CheckRoles(s.Catalogue()), checkErasures(ctx, s, c.Log), warnOfCollisions(ctx, s, c.Log)); err != nil {
		verifier.Close()
		return nil, errors.Join(err, s.Close())
	}
	h := &health{store: s, verifier: verifier, log: c.Log}
	w.stopping = h.draining.Load
	e, mounted, err := newEcho(c, &dialect.Service{
		Store:    s,
		Verifier: verifier,
		ProvisioningTokens: provisioning.NewVerifier(s, c.Now, func(err error) {
			c.Log.Warn("the last use of a provisioning token cannot be recorded", "error", err)
		}),
		Policy:         auth.Policy{Roles: s.Catalogue()},
		Passwords:      c.Passwords,
		Limiter:        principals,
		InFlight:       inFlight,
		Now:            c.Now,
		RequestTimeout: c.Timeouts.Request,

		AllowHTTPWebhooks: c.Webhooks.AllowHTTP,
		Mock:              c.Mock != nil,
	}, addresses, h, w)
	if err != nil {
		verifier.Close()
		return nil, errors.Join(err, s.Close())
	}
	webhooks := newDeliverer(c, s)
	w.metrics.Watch(metrics.Sources{
		Store: s, Webhooks: webhooks, Verifier: verifier, Passwords: c.Passwords, Draining: h.draining.Load, CertificateExpiry: cert.expiry(),
		RateLimited: map[string]func() int64{"address": addresses.Refused, "principal": principals.Refused, "in_flight": inFlight.Refused},
	})
	return &Server{webhooks: webhooks, store: s, verifier: verifier, health: h, echo: e, dialects: mounted, tls: cert.config(), watch: w, c: c}, nil
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { serveLingering(s.echo, w, r) }

// Store returns the directory.
func (s *Server) Store() *store.Store { return s.store }

// APIs yields the title and the base path of each dialect.
func (s *Server) APIs() iter.Seq2[string, string] {
	return func(yield func(name, path string) bool) {
		for _, d := range s.dialects {
			if !yield(d.Title, d.BasePath()) {
				return
			}
		}
	}
}

// Close stops background work and closes the directory.
func (s *Server) Close() error {
	s.verifier.Close()
	return s.store.Close()
}

// Listen listens on the configured address. For port 0 the listener's Addr has the port.
func (s *Server) Listen() (net.Listener, error) { return listen(publicAddress, s.c.Listen) }

// Serve serves requests on l until ctx is done. Then it shuts down: /readyz answers 503 during Timeouts.Drain, while requests
// are still served; l is closed; and requests in flight may finish within Timeouts.Shutdown. Serve returns nil after such a
// shutdown.
func (s *Server) Serve(ctx context.Context, l net.Listener) error { return s.ServeHandler(ctx, l, s) }

// ServeHandler is like Serve with another handler, such as one that wraps the server.
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
	defer s.startBackground()()
	defer s.startWebhooks(ctx)()
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
	// The caller's context is done. Requests in flight need another.
	return s.shutdown(context.WithoutCancel(ctx), h)
}

// startBackground numbers changes for the change feed, indexes users for searches, checks the standby, deletes expired idempotency
// records, settles erasures and erases old values from the history, in the background, until stop is called.
func (s *Server) startBackground() (stop func()) {
	if s.c.Mock != nil {
		return func() {} // its responses must not depend on time
	}
	ctx, cancel := context.WithCancel(context.Background())
	var background sync.WaitGroup
	for _, task := range []struct {
		keep          func(ctx context.Context, report func(error))
		failing, well string // what is logged
	}{
		{s.store.KeepNumbering, "changes cannot be numbered: the change feed has no new entries", "changes are numbered again"},
		{s.store.KeepIndexing, "users cannot be indexed: searches become slower", "users are indexed again"},
		{
			s.store.KeepStandby, "the standby of --database-read is not used: lists and searches are read from the primary",
			"the standby of --database-read is used again",
		},
		{s.store.KeepPruning, "expired idempotency records cannot be deleted: their table grows", "expired idempotency records are deleted again"},
		{
			s.store.KeepErasing, "erasures are not settled: what was written meanwhile of erased users, or SQLite's log, still has their data",
			"erasures are settled again",
		},
		{s.store.KeepRetention, "old values are not erased from the history", "old values are erased from the history again"},
	} {
		background.Go(func() {
			task.keep(ctx, func(err error) {
				if err != nil {
					s.c.Log.Warn(task.failing, "error", err)
					return
				}
				s.c.Log.Info(task.well)
			})
		})
	}
	return func() {
		cancel()
		background.Wait()
	}
}

// drain makes /readyz answer 503, and waits for Timeouts.Drain while requests are still served. It returns early with the error
// of failed, if serving ends.
func (s *Server) drain(failed <-chan error) error {
	s.health.draining.Store(true)
	if s.c.Timeouts.Drain <= 0 {
		return nil
	}
	s.c.Log.Info("draining: /readyz answers 503, requests are still served", "for", s.c.Timeouts.Drain.String())
	select {
	case err := <-failed:
		return err
	case <-time.After(s.c.Timeouts.Drain):
		return nil
	}
}

// shutdown closes the listener and waits for requests in flight.
func (s *Server) shutdown(ctx context.Context, h *http.Server) error {
	s.c.Log.Info("stopping: waiting for requests in flight", "within", s.c.Timeouts.Shutdown.String())
	ctx, cancel := context.WithTimeout(ctx, s.c.Timeouts.Shutdown)
	defer cancel()
	if err := h.Shutdown(ctx); err != nil {
		return fmt.Errorf("stop: %w", errors.Join(err, h.Close()))
	}
	s.c.Log.Info("stopped")
	return nil
}

// serve serves HTTP/1.1 and, over TLS, HTTP/2.
func (s *Server) serve(h *http.Server, l net.Listener) error {
	if s.tls == nil {
		return h.Serve(l)
	}
	return h.ServeTLS(l, "", "")
}

// maxCollisionsLogged is how many users a warning about collisions lists.
const maxCollisionsLogged = 100

// warnOfCollisions logs the ids of users who have the same username or e-mail.
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

// checkErasures refuses a database that has personal data of an erased user, and completes a ledger that lacks erasures of the database, which
// does not protect against backups.
func checkErasures(ctx context.Context, s *store.Store, log *slog.Logger) error {
	if err := s.CheckErasures(ctx); err != nil {
		return err
	}
	added, err := s.CompleteLedger(ctx)
	switch {
	case errors.Is(err, store.ErrNoLedger):
		log.Warn("users of the database were erased, but no erasure ledger is named: a backup that is restored could bring them back, " +
			"and nobody can be erased: set --erasure-ledger (DRAGOMAN_ERASURE_LEDGER)")
	case err != nil:
		return err
	case added > 0:
		log.Warn("the erasure ledger lacked erasures of the database, which were added: if another file is the ledger, name that in --erasure-ledger "+
			"(DRAGOMAN_ERASURE_LEDGER)", "ledger", s.LedgerPath(), "added", added)
	}
	return nil
}
