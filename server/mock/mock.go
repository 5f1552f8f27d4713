// Package mock is what `dragoman serve --mock` starts: the server itself over a directory in memory, to stand in for a
// vendor's where front ends and other programs are tested. It holds the sandbox that the store invents and nothing real.
//
// Two mocks of one seed give the same calls, made one after another, the same answers to the last byte: the clock begins at
// [Start], and goes on by a millisecond with each request that is not a read; ids and access tokens come from the seed. A
// request may ask for an error or for a wait by the header Prefer, and POST /mock/reset brings back the beginning.
//
// The package knows the sandbox's people. It knows no dialect: the answers are the server's own.
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

// DefaultSeed is the seed of a mock that is given none.
const DefaultSeed = 1

// Server is a running mock. It may serve many requests at once. Close it when it is no longer needed.
type Server struct {
	c     server.Config
	seed  uint64
	first *server.Server // knows where to listen, and how

	resetting sync.Mutex // held by who makes the next life
	mu        sync.Mutex
	now       *life // nil once closed
}

// New makes a mock. Of c counts what has to do with listening and with browsers, with time-outs and the log; its database,
// its keys and its limits are the mock's own.
func New(ctx context.Context, c server.Config, seed uint64) (*Server, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	m := &Server{c: own(c), seed: seed}
	begun, err := m.begin(ctx)
	if err != nil {
		return nil, err
	}
	m.now, m.first = begun, begun.server
	return m, nil
}

// Problems tells in a sentence each what of the configuration of a mock cannot be, as [server.Config.Problems] does.
func Problems(c server.Config) []error {
	c = own(c)
	c.Database = "sqlite:never.opened" // of a server in earnest none may be in memory
	return c.Problems()
}

// own gives a configuration with what is the mock's own in it.
func own(c server.Config) server.Config {
	c.Database = store.InMemory
	// Nothing that it seals outlives the process, or leaves it.
	sealing := sha256.Sum256([]byte("dragoman mock"))
	c.SecretKey, c.OldSecretKeys = sealing[:], nil
	// Tokens that others sign, and that expire, are held against the time that they know.
	c.Auth = auth.Config{Secret: []byte(Secret), Now: time.Now}
	// By a clock that stands still, no limit would ever be lifted. Prefer asks for a 429.
	c.Limits = server.Limits{TrustedProxies: c.Limits.TrustedProxies}
	c.TLS = server.TLS{}
	c.Timeouts.Drain = 0 // nobody balances mocks
	return c
}

// life is the mock from one reset to the next. What is done to one can never be seen in another.
type life struct {
	server   *server.Server
	clock    *clock
	requests int // those under way, and one for being the present life; guarded by Server.mu
}

// begin makes a life that nobody has touched.
func (m *Server) begin(ctx context.Context) (*life, error) {
	c, clock := m.c, newClock()
	c.Now = clock.read
	c.Mock = &server.Mock{
		Random:       newRandom(m.seed, "directory"),
		NewRequestID: m.newRequestIDs(),
		Reset:        m.reset,
	}
	s, err := server.New(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("start the mock: %w", err)
	}
	origin := store.Origin{Subject: "dragoman", Dialect: "cli", Operation: "serve --mock"}
	if err := s.Store().SeedSandbox(store.WithOrigin(ctx, origin)); err != nil {
		return nil, errors.Join(fmt.Errorf("fill the mock's directory: %w", err), s.Close())
	}
	return &life{server: s, clock: clock, requests: 1}, nil
}

// newRequestIDs gives what makes the ids of a life's requests. Those that call no API draw on a source of their own: health
// checks and a browser's preflights come as often as they like, and change nothing for the others.
func (m *Server) newRequestIDs() func(call bool) string {
	calls, others := newRandom(m.seed, "requests"), newRandom(m.seed, "other requests")
	return func(call bool) string {
		if call {
			return calls.uuid()
		}
		return others.uuid()
	}
}

// reset puts a new life in the present one's place. Requests under way finish in the life that they began in; those that
// begin once reset has returned see nothing of it.
func (m *Server) reset() error {
	m.resetting.Lock()
	defer m.resetting.Unlock()
	next, err := m.begin(context.Background())
	if err != nil {
		return err
	}
	m.mu.Lock()
	past := m.now
	if past == nil {
		m.mu.Unlock()
		return errors.Join(errClosed, next.server.Close())
	}
	m.now = next
	m.mu.Unlock()
	return m.leave(past)
}

var errClosed = errors.New("the mock is closed")

// enter counts a request to the present life. Who enters leaves.
func (m *Server) enter() (*life, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.now == nil {
		return nil, errClosed
	}
	m.now.requests++
	return m.now, nil
}

// leave takes a request from a life, and ends one that is past and has no more.
func (m *Server) leave(l *life) error {
	m.mu.Lock()
	l.requests--
	over := l.requests == 0
	m.mu.Unlock()
	if over {
		return l.server.Close()
	}
	return nil
}

// ServeHTTP answers one request.
func (m *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l, err := m.enter()
	if err != nil {
		http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
		return
	}
	defer func() {
		if err := m.leave(l); err != nil {
			m.c.Log.Error("end a life of the mock", "error", err)
		}
	}()
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		// A server numbers changes in the background, within a second; a mock's answers must not depend on time.
		if _, err := l.server.Store().NumberChanges(r.Context()); err != nil {
			m.c.Log.Warn("number the mock's changes", "error", err)
		}
	default:
		l.clock.tick()
	}
	// net/http's own would be the only part of an answer that differs from run to run.
	w.Header().Set("Date", l.clock.read().Format(http.TimeFormat))
	l.server.ServeHTTP(w, r)
}

// APIs yields what [server.Server.APIs] does.
func (m *Server) APIs() iter.Seq2[string, string] { return m.first.APIs() }

// Listen takes the configured address. Port 0 takes a free one, which the listener tells.
func (m *Server) Listen() (net.Listener, error) { return m.first.Listen() }

// Serve answers requests on l until ctx is done, then lets those under way finish within the shutdown's time-out. It
// gives nil after such an orderly end.
func (m *Server) Serve(ctx context.Context, l net.Listener) error {
	return m.first.ServeHandler(ctx, l, m)
}

// Close ends the mock, once the requests under way have ended. Requests that come later are refused.
func (m *Server) Close() error {
	m.mu.Lock()
	past := m.now
	m.now = nil
	m.mu.Unlock()
	if past == nil {
		return nil
	}
	return m.leave(past)
}
