package server

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/store"
	"github.com/labstack/echo/v4"
	"golang.org/x/sync/singleflight"
)

// The paths of the health checks, which have no rate limits.
const (
	livePath  = "/livez"
	readyPath = "/readyz"
)

func isHealth(path string) bool { return path == livePath || path == readyPath }

// pingTimeout limits a ping of the database. It is shorter than readyTimeout, so that CheckReady gets the response.
const pingTimeout = 2 * time.Second

// health answers the health checks.
type health struct {
	store    *store.Store
	verifier *auth.Verifier
	log      *slog.Logger
	draining atomic.Bool // the server is shutting down
	database ping
}

// pingEvery is the minimum interval between two pings of the database, regardless of the number of health checks.
const pingEvery = time.Second

// ping pings the database. Concurrent callers share one ping, and its result is cached for pingEvery.
type ping struct {
	running singleflight.Group

	// Only the running ping uses these.
	result  error
	expires time.Time // of result
}

// ask returns the result of the last ping, or of a new one if that has expired. It returns ctx's error if ctx is done first.
// The ping does not end with ctx, since other callers may wait for it.
func (p *ping) ask(ctx context.Context, database func(context.Context) error) error {
	done := p.running.DoChan("", func() (any, error) { return nil, p.renew(context.WithoutCancel(ctx), database) })
	select {
	case renewed := <-done:
		return renewed.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// renew pings the database, unless the last result has not expired.
func (p *ping) renew(ctx context.Context, database func(context.Context) error) error {
	if time.Now().Before(p.expires) {
		return p.result
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	p.result = database(ctx)
	p.expires = time.Now().Add(pingEvery)
	return p.result
}

// live answers that the process runs. It does not check the database: an orchestrator restarts a process that is not live, and a
// restart does not repair a database.
func (h *health) live(c echo.Context) error {
	sayOK(c.Response(), c.Request())
	return nil
}

// ready answers whether a load balancer should send requests to this server.
func (h *health) ready(c echo.Context) error {
	if why := h.unready(c.Request().Context()); why != "" {
		return c.String(http.StatusServiceUnavailable, why+"\n")
	}
	sayOK(c.Response(), c.Request())
	return nil
}

// sayOK responds with 200, unless a precondition of the request is false (RFC 9110, section 13.2.1).
func sayOK(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(echo.HeaderContentType, "text/plain; charset=utf-8")
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader("ok\n"))
}

// unready returns why the server is not ready, or "".
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

// endConnections closes each connection after its next response while the server drains, so that clients reconnect, to another
// server. It leaves idle connections open, since a request may be on its way.
func (h *health) endConnections(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if h.draining.Load() {
			c.Response().Header().Set(echo.HeaderConnection, "close")
		}
		return next(c)
	}
}
