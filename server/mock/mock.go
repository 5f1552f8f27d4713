// Package mock is the server of `dragoman serve --mock`: the server itself with a directory in memory, in place of a vendor's, for
// tests of front ends and other programs. The directory has the store's sandbox of invented people.
//
// Two mocks with the same seed answer the same sequence of calls with the same bytes: the clock starts at [Start] and advances by a
// millisecond with each request that is not a read, and ids and access tokens follow from the seed. A request can choose an error or
// a delay by the header Prefer, and POST /mock/reset restores the first state.
//
// The package knows the sandbox's people. It knows no dialect: the server makes the answers.
package mock

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/store"
)

// DefaultSeed is the seed of a mock if none is chosen.
const DefaultSeed = 1

// Server is a running mock. It is safe for concurrent use. Close releases it.
type Server struct {
	c     server.Config
	seed  uint64
	first *server.Server // listens, also after a reset

	resetting sync.Mutex // serializes resets
	mu        sync.Mutex
	current   *instance // nil if the mock is closed
}

// New starts a mock. It uses the parts of c about listening, browsers, time-outs and the log, and replaces the database, the keys and
// the limits.
func New(ctx context.Context, c server.Config, seed uint64) (*Server, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	m := &Server{c: mockConfig(c), seed: seed}
	first, err := m.start(ctx)
	if err != nil {
		return nil, err
	}
	m.current, m.first = first, first.server
	return m, nil
}

// Problems returns what is wrong with the configuration of a mock, as [server.Config.Problems] does.
func Problems(c server.Config) []error {
	c = mockConfig(c)
	c.Database = "sqlite:never.opened" // Problems refuses a database in memory
	return c.Problems()
}

// mockConfig returns c with the mock's database, keys and limits.
func mockConfig(c server.Config) server.Config {
	c.Database = store.InMemory
	// A fixed key: what it seals stays in the process.
	sealing := sha256.Sum256([]byte("dragoman mock"))
	c.SecretKey, c.OldSecretKeys = sealing[:], nil
	// The expiry of tokens is compared with the real time, as their issuers know no other.
	c.Auth = auth.Config{Issuers: []auth.Issuer{{Secret: []byte(Secret)}}, Now: time.Now}
	// With the mock's clock a rate limit would never recover. Prefer can choose a 429.
	c.Limits = server.Limits{TrustedProxies: c.Limits.TrustedProxies}
	c.TLS = server.TLS{}
	c.Timeouts.Drain = 0 // no load balancer is in front of a mock
	return c
}

// instance is the server from one reset to the next. Instances share no data.
type instance struct {
	server   *server.Server
	clock    *clock
	requests int // those in flight, plus one for the current instance; guarded by Server.mu
}

// start returns a new instance in the first state.
func (m *Server) start(ctx context.Context) (*instance, error) {
	c, clock := m.c, newClock()
	c.Now = clock.read
	c.Mock = &server.Mock{
		Random:       newRandom(m.seed, "directory"),
		NewRequestID: m.newRequestIDs(),
		Reset:        m.reset,
	}
	var s *server.Server
	verifier, err := auth.NewVerifier(c.Auth)
	if err != nil {
		return nil, fmt.Errorf("start the mock: %w", err)
	}
	c.Mock.SignIn = signIn{func() *store.Store { return s.Store() }, verifier, clock.read}.routes()
	s, err = server.New(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("start the mock: %w", err)
	}
	origin := store.Origin{Subject: "dragoman", Dialect: "cli", Operation: "serve --mock"}
	if err := s.Store().SeedSandbox(store.WithOrigin(ctx, origin)); err != nil {
		return nil, errors.Join(fmt.Errorf("fill the mock's directory: %w", err), s.Close())
	}
	return &instance{server: s, clock: clock, requests: 1}, nil
}

// newRequestIDs returns a generator of ids for an instance's requests. Requests that call no API have a sequence of their own, so that
// health checks and preflights do not change the ids of calls.
func (m *Server) newRequestIDs() func(call bool) string {
	calls, others := newRandom(m.seed, "requests"), newRandom(m.seed, "other requests")
	return func(call bool) string {
		if call {
			return calls.uuid()
		}
		return others.uuid()
	}
}

// reset replaces the current instance. Requests in flight finish in their instance; requests after reset has returned use the new one.
func (m *Server) reset() error {
	m.resetting.Lock()
	defer m.resetting.Unlock()
	next, err := m.start(context.Background())
	if err != nil {
		return err
	}
	m.mu.Lock()
	old := m.current
	if old == nil {
		m.mu.Unlock()
		return errors.Join(errClosed, next.server.Close())
	}
	m.current = next
	m.mu.Unlock()
	return m.leave(old)
}

var errClosed = errors.New("the mock is closed")

// enter returns the current instance and counts a request to it. The caller must call leave.
func (m *Server) enter() (*instance, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.current == nil {
		return nil, errClosed
	}
	m.current.requests++
	return m.current, nil
}

// leave ends a request to an instance, and closes a replaced instance after its last request.
func (m *Server) leave(i *instance) error {
	m.mu.Lock()
	i.requests--
	last := i.requests == 0
	m.mu.Unlock()
	if last {
		return i.server.Close()
	}
	return nil
}

// ServeHTTP answers one request.
func (m *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i, err := m.enter()
	if err != nil {
		http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
		return
	}
	defer func() {
		if err := m.leave(i); err != nil {
			m.c.Log.Error("close a replaced instance of the mock", "error", err)
		}
	}()
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		// A server numbers changes in the background within a second. A mock's answers must not depend on the time.
		if _, err := i.server.Store().NumberChanges(r.Context()); err != nil {
			m.c.Log.Warn("number the mock's changes", "error", err)
		}
	default:
		i.clock.tick()
	}
	// net/http would set the real time, the only part of an answer that differs between runs.
	w.Header().Set("Date", i.clock.read().Format(http.TimeFormat))
	i.server.ServeHTTP(w, r)
}

// APIs is [server.Server.APIs].
func (m *Server) APIs() iter.Seq2[string, string] { return m.first.APIs() }

// Listen listens on the configured address. With port 0 it chooses a free port; see the listener's address.
func (m *Server) Listen() (net.Listener, error) { return m.first.Listen() }

// Serve serves requests on l until ctx is done, and then waits for requests in flight for the configured shutdown time. It returns nil
// after such a shutdown.
func (m *Server) Serve(ctx context.Context, l net.Listener) error {
	return m.first.ServeHandler(ctx, l, m)
}

// Close closes the mock after its requests in flight. It refuses later ones.
func (m *Server) Close() error {
	m.mu.Lock()
	old := m.current
	m.current = nil
	m.mu.Unlock()
	if old == nil {
		return nil
	}
	return m.leave(old)
}
