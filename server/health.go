package server

import (
	"context"
	"log/slog"
	"net/http"
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
}

// live says that the process runs and answers. It asks nobody else: what comes of a bad answer is a restart, and that mends
// no database.
func (h *health) live(c echo.Context) error { return c.String(http.StatusOK, "ok\n") }

// ready says whether requests should be sent here.
func (h *health) ready(c echo.Context) error {
	if why := h.unready(c.Request().Context()); why != "" {
		return c.String(http.StatusServiceUnavailable, why+"\n")
	}
	return c.String(http.StatusOK, "ok\n")
}

// unready gives why no requests should be sent here, or "".
func (h *health) unready(ctx context.Context) string {
	if h.draining.Load() {
		return "the server is stopping"
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if err := h.store.Ping(ctx); err != nil {
		h.log.Warn("not ready", "error", err)
		return "the database does not answer"
	}
	if err := h.verifier.Ready(); err != nil {
		h.log.Warn("not ready", "error", err)
		return "the keys to verify tokens with could not be read yet"
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
