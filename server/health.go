package server

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/store"
	"github.com/labstack/echo/v4"
)

// The paths that those ask who look after the server. They are not limited.
const (
	livePath  = "/livez"
	readyPath = "/readyz"
)

func isHealth(path string) bool { return path == livePath || path == readyPath }

// pingTimeout is how long the database may take to show a sign of life before the server is not ready. It is less than what
// CheckReady waits, so that who asks is told why.
const pingTimeout = 2 * time.Second

// health knows how the server is.
type health struct {
	store    *store.Store
	verifier *auth.Verifier
	log      *slog.Logger
	draining atomic.Bool // the server is about to stop
	database ping
}

// pingEvery is how often the database is asked for a sign of life at most, however many ask whether the server is ready.
const pingEvery = time.Second

// ping asks the database for a sign of life, once for all who ask meanwhile, and remembers the answer for pingEvery.
type ping struct {
	mu      sync.Mutex
	asking  chan struct{} // closed when the database has answered; nil if it is not being asked
	answer  error
	expires time.Time // of the answer
}

// ask returns the error of the last ping, or of a new one if that was too long ago. It returns ctx's if ctx is done before.
// The ping itself does not end with ctx, as others may wait for it.
func (p *ping) ask(ctx context.Context, database func(context.Context) error) error {
	p.mu.Lock()
	if time.Now().Before(p.expires) {
		defer p.mu.Unlock()
		return p.answer
	}
	if p.asking == nil {
		p.asking = make(chan struct{})
		go p.renew(context.WithoutCancel(ctx), database)
	}
	asking := p.asking
	p.mu.Unlock()
	select {
	case <-asking:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.answer
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *ping) renew(ctx context.Context, database func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	err := database(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer, p.expires = err, time.Now().Add(pingEvery)
	close(p.asking)
	p.asking = nil
}

// live says that the process runs and answers. It asks nobody else: what comes of a bad answer is a restart, and that mends
// no database.
func (h *health) live(c echo.Context) error {
	sayOK(c.Response(), c.Request())
	return nil
}

// ready says whether requests should be sent here.
func (h *health) ready(c echo.Context) error {
	if why := h.unready(c.Request().Context()); why != "" {
		return c.String(http.StatusServiceUnavailable, why+"\n")
	}
	sayOK(c.Response(), c.Request())
	return nil
}

// sayOK answers that all is well, unless a precondition of the request is false (RFC 9110, section 13.2.1).
func sayOK(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(echo.HeaderContentType, "text/plain; charset=utf-8")
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader("ok\n"))
}

// unready gives why no requests should be sent here, or "".
func (h *health) unready(ctx context.Context) string {
	if h.draining.Load() {
		return "the server is stopping"
	}
	if err := h.database.ask(ctx, h.store.Ping); err != nil {
		h.log.Warn("not ready", "error", err)
		return "the database does not answer"
	}
	if err := h.verifier.Ready(); err != nil {
		h.log.Warn("not ready", "error", err)
		return "there are no keys to verify tokens with"
	}
	return ""
}

// endConnections has the clients of a server that is about to stop make a new connection for their next request, which goes
// elsewhere then. A connection that is idle is left alone meanwhile: a request may be on its way.
func (h *health) endConnections(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if h.draining.Load() {
			c.Response().Header().Set(echo.HeaderConnection, "close")
		}
		return next(c)
	}
}
