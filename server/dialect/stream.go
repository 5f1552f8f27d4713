package dialect

import (
	"context"
	"errors"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// ErrTruncated reports that a response failed after it had begun. The connection is then closed, so that the client does not
// mistake the part for the whole.
var ErrTruncated = errors.New("response truncated")

// begin sets the call's context. It is canceled with the cause context.DeadlineExceeded when the call makes no progress for
// idleTimeout; 0 means no limit. The caller must call end.
func (c *Call) begin(ctx context.Context, idleTimeout time.Duration) {
	if idleTimeout <= 0 {
		c.Context = ctx
		return
	}
	c.idleTimeout = idleTimeout
	c.Context, c.cancel = context.WithCancelCause(ctx)
	c.idleTimer = time.AfterFunc(idleTimeout, c.expire)
}

func (c *Call) expire() { c.cancel(context.DeadlineExceeded) }

// suspend stops the idle timer while the body arrives, for which the connection has a deadline of its own.
func (c *Call) suspend() {
	if c.idleTimer != nil {
		c.idleTimer.Stop()
	}
}

// resume restarts the idle timer.
func (c *Call) resume() {
	if c.idleTimer != nil {
		c.idleTimer.Reset(c.idleTimeout)
	}
}

func (c *Call) end() {
	if c.flight != nil {
		c.flight.end(c.caller, c.bytes)
	}
	if c.idleTimer != nil {
		c.idleTimer.Stop()
		c.cancel(nil)
	}
}

// Progress restarts the call's idle timer and the connection's write deadline. It is called before each part of a long response
// is written.
func (c *Call) Progress() {
	if c.idleTimer != nil {
		c.idleTimer.Reset(c.idleTimeout)
		// An error means that the connection does not support deadlines, and so has none to extend.
		_ = http.NewResponseController(c.response).SetWriteDeadline(time.Now().Add(c.idleTimeout))
	}
}

// SlashOptional returns a router for e that also serves GET requests for a collection whose path ends in a slash.
func SlashOptional(e *echo.Echo) *Router { return &Router{e} }

// Router is an Echo whose GET method also adds a route with a trailing slash.
type Router struct{ *echo.Echo }

// GET adds a route. Unless its path ends in a parameter, it also adds one with a trailing slash.
func (r *Router) GET(name string, h echo.HandlerFunc, m ...echo.MiddlewareFunc) *echo.Route {
	if !strings.HasPrefix(path.Base(name), ":") {
		r.Echo.GET(name+"/", h, m...)
	}
	return r.Echo.GET(name, h, m...)
}
