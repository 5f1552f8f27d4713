package server

import (
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/labstack/echo/v4"
)

// observe writes one line a request. Of what a client sent it has the request id if that is sane, and ids that a good token and
// the directory vouch for: the route, not the path; the names of the changed fields, not their values.
func (f *front) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		err := next(c)
		if err != nil {
			// Rendered here, so that the line tells the status that the client saw.
			c.Error(err)
		}
		f.logRequest(c, err, time.Since(start))
		if errors.Is(err, dialect.ErrBrokenOff) {
			panic(http.ErrAbortHandler)
		}
		return nil
	}
}

// logRequest writes the line of a request that was answered, with err if that is why.
func (f *front) logRequest(c echo.Context, err error, took time.Duration) {
	ctx, status := c.Request().Context(), c.Response().Status
	level := requestLevel(c, err)
	if !f.Log.Enabled(ctx, level) {
		return
	}
	attributes := append(make([]slog.Attr, 0, 16),
		slog.String("request_id", c.Response().Header().Get(echo.HeaderXRequestID)),
		slog.String("method", methodOf(c.Request())),
		slog.String("route", c.Path()),
		slog.Int("status", status),
		slog.Float64("duration_ms", milliseconds(took)),
		slog.Int64("bytes", c.Response().Size),
	)
	s := dialect.SummaryOf(c)
	for _, a := range []struct{ name, value string }{
		{"dialect", s.Dialect}, {"operation", s.Operation}, {"actor", f.actors.name(s.Principal)}, {"changed", s.Changed},
	} {
		if a.value != "" {
			attributes = append(attributes, slog.String(a.name, a.value))
		}
	}
	if s.Customer != 0 {
		attributes = append(attributes, slog.Int64("customer", s.Customer))
	}
	if err != nil {
		attributes = append(attributes, slog.String("refusal", dialect.KindOf(err).String()))
		if why := reason(err); why != "" {
			attributes = append(attributes, slog.String("reason", why))
		}
		if level == slog.LevelError {
			attributes = append(attributes, slog.String("error", err.Error()))
		}
	}
	f.Log.LogAttrs(ctx, level, "request", attributes...)
}

// requestLevel is the level of a request's line: an error where the server is at fault, and only of interest to who looks for
// it where a balancer asked whether all is well, and it is.
func requestLevel(c echo.Context, err error) slog.Level {
	status := c.Response().Status
	switch {
	case err != nil && (status >= http.StatusInternalServerError || errors.Is(err, dialect.ErrBrokenOff)):
		return slog.LevelError
	case isHealth(c.Path()) && status == http.StatusOK:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// reason is why who called was not believed, or not allowed what they asked for. Its sentences are auth's, which quote nobody.
func reason(err error) string {
	var forbidden *auth.ForbiddenError
	switch {
	case errors.As(err, &forbidden):
		return forbidden.Reason
	case errors.Is(err, auth.ErrUnauthenticated), errors.Is(err, auth.ErrForbidden):
		return err.Error()
	}
	return ""
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// methods are those that a request's line names; any other is the client's own word.
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
	http.MethodConnect, http.MethodTrace,
}

func methodOf(r *http.Request) string {
	if slices.Contains(methods, r.Method) {
		return r.Method
	}
	return "other"
}
