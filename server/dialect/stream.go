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

// ErrBrokenOff is an answer that could not be finished after it had begun. The connection is then broken off, so that the
// client does not take the part for the whole.
var ErrBrokenOff = errors.New("answer broken off")

// begin gives the call its context, which is done, by context.DeadlineExceeded, when the work on it stands still for longer than
// limit; 0 is for ever. Whoever calls it calls end in the end.
func (c *Call) begin(ctx context.Context, limit time.Duration) {
	if limit <= 0 {
		c.Context = ctx
		return
	}
	c.limit = limit
	c.Context, c.cancel = context.WithCancelCause(ctx)
	c.overdue = time.AfterFunc(limit, c.expire)
}

func (c *Call) expire() { c.cancel(context.DeadlineExceeded) }

// suspend stops the clock of the work on the call while its body arrives, for which the connection has a time limit.
func (c *Call) suspend() {
	if c.overdue != nil {
		c.overdue.Stop()
	}
}

// resume starts the clock anew.
func (c *Call) resume() {
	if c.overdue != nil {
		c.overdue.Reset(c.limit)
	}
}

func (c *Call) end() {
	if c.flight != nil {
		c.flight.end(c.caller, c.bytes)
	}
	if c.overdue != nil {
		c.overdue.Stop()
		c.cancel(nil)
	}
}

// Progress says that the next part of a long answer is about to be written: the request's time limit, and the
// connection's for writing, start anew.
func (c *Call) Progress() {
	if c.overdue != nil {
		c.overdue.Reset(c.limit)
		// A writer that knows no deadlines has none that could run out.
		_ = http.NewResponseController(c.answer).SetWriteDeadline(time.Now().Add(c.limit))
	}
}

// SlashOptional returns e as a router that serves the GET of a collection with a slash at the end of its path too.
func SlashOptional(e *echo.Echo) *Router { return &Router{e} }

// Router is an Echo with SlashOptional's rule.
type Router struct{ *echo.Echo }

// GET adds a route, and another with a slash at its end unless the path ends in a parameter.
func (r *Router) GET(name string, h echo.HandlerFunc, m ...echo.MiddlewareFunc) *echo.Route {
	if !strings.HasPrefix(path.Base(name), ":") {
		r.Echo.GET(name+"/", h, m...)
	}
	return r.Echo.GET(name, h, m...)
}
