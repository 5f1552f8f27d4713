package dialect

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// ErrBrokenOff is an answer that could not be finished after it had begun. The connection is then broken off, so that the
// client does not take the part for the whole.
var ErrBrokenOff = errors.New("answer broken off")

// TimeLimit ends the work on a request when it stands still for too long. It is the context of that work, which makes one object of
// both.
type TimeLimit struct {
	context.Context
	cancel context.CancelCauseFunc
	after  time.Duration
	timer  *time.Timer
}

type timeLimitKey struct{}

// Value gives the limit itself to who has its key.
func (l *TimeLimit) Value(key any) any {
	if key == (timeLimitKey{}) {
		return l
	}
	return l.Context.Value(key)
}

func (l *TimeLimit) expire() { l.cancel(context.DeadlineExceeded) }

func (l *TimeLimit) stop() {
	l.timer.Stop()
	l.cancel(nil)
}

// LimitTime gives a context that is done, by context.DeadlineExceeded, when work takes longer than after; a long answer
// starts the time anew with each part of it. Whoever calls it calls stop in the end.
func LimitTime(ctx context.Context, after time.Duration) (limited context.Context, stop func()) {
	l := &TimeLimit{after: after}
	l.Context, l.cancel = context.WithCancelCause(ctx)
	l.timer = time.AfterFunc(after, l.expire)
	return l, l.stop
}

// Progress says that the next part of a long answer is about to be written: the request's time limit, and the
// connection's for writing, start anew.
func (c *Call) Progress() {
	if c.limit != nil {
		c.limit.timer.Reset(c.limit.after)
		// A writer that knows no deadlines has none that could run out.
		_ = http.NewResponseController(c.answer).SetWriteDeadline(time.Now().Add(c.limit.after))
	}
}

func (c *Call) watchProgress(ctx context.Context, w http.ResponseWriter) {
	c.limit, _ = ctx.Value(timeLimitKey{}).(*TimeLimit)
	c.answer = w
}

// SlashOptional is e as a router that serves a GET whose path ends in a slash without it too.
func SlashOptional(e *echo.Echo) *Router { return &Router{e} }

// Router is an Echo with SlashOptional's rule.
type Router struct{ *echo.Echo }

// GET adds a route, and another without the path's last slash.
func (r *Router) GET(path string, h echo.HandlerFunc, m ...echo.MiddlewareFunc) *echo.Route {
	if bare := strings.TrimSuffix(path, "/"); bare != path {
		r.Echo.GET(bare, h, m...)
	}
	return r.Echo.GET(path, h, m...)
}
