package server

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/metrics"
	"github.com/dragoman-id/dragoman/server/tracing"
	"github.com/dragoman-id/dragoman/store"
	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/trace"
)

// watch is what looks at each request and each statement: it logs and measures.
type watch struct {
	log     *slog.Logger
	actors  *actors
	metrics *metrics.Metrics // nil: nothing is measured
	tracing *tracing.Tracing // nil: nothing is traced
	engine  string           // of the database
	trusted []netip.Prefix   // the peers whose trace context is taken

	stopping func() bool // the server is about to stop, and may close connections itself; nil: it never does
}

func newWatch(c Config) *watch {
	w := &watch{log: c.Log, actors: newActors(c.SecretKey), tracing: c.Tracing, engine: store.EngineOf(c.Database), trusted: c.Limits.TrustedProxies}
	if c.Admin.Listen != "" {
		w.metrics = metrics.New(c.Build.Version, c.Build.Commit, c.Build.Go)
	}
	return w
}

// observer is what the store tells. Its statements are looked at only if that may be of use to somebody.
func (w *watch) observer() store.Observer {
	o := store.Observer{Retry: w.retry}
	if w.metrics != nil || w.tracing != nil || w.log.Enabled(context.Background(), slog.LevelDebug) {
		o.Statement = w.statement
	}
	return o
}

func (w *watch) retry(ctx context.Context, why store.Retry) {
	w.metrics.Retry(ctx, why)
	w.tracing.Retry(ctx, why)
}

// statement measures and traces a statement, and writes a line about it if the log has its lowest level.
func (w *watch) statement(ctx context.Context, s store.Statement) {
	w.metrics.Statement(s)
	w.tracing.Statement(ctx, w.engine, s)
	if !w.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	w.log.LogAttrs(ctx, slog.LevelDebug, "statement",
		slog.String("request_id", store.OriginFrom(ctx).RequestID),
		slog.String("kind", string(s.Kind)),
		slog.String("outcome", s.Outcome()),
		slog.Float64("duration_ms", milliseconds(s.Took)),
		slog.String("sql", s.Text),
	)
}

// observe measures and traces each request, and writes one line about it.
func (w *watch) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		client := c.Request().Context() // net/http cancels it when the connection is closed
		w.metrics.Begin()
		span := w.begin(c)
		err := next(c)
		if err != nil {
			// Rendered here, so that what is told is the status that the client saw.
			c.Error(err)
		}
		w.request(c, span, w.endOf(c, client, err), time.Since(start))
		if errors.Is(err, dialect.ErrBrokenOff) {
			panic(http.ErrAbortHandler)
		}
		return nil
	}
}

// begin begins the span of a request, and gives nil if it is to have none. Those who ask how the server is, again and again, are
// of no interest.
func (w *watch) begin(c echo.Context) trace.Span {
	if w.tracing == nil || isHealth(c.Path()) {
		return nil
	}
	ctx, span := w.tracing.Begin(c.Request(), methodOf(c.Request()), c.Path(), w.trusts(c.Request()))
	c.SetRequest(c.Request().WithContext(ctx))
	return span
}

// trusts reports whether the peer of r is a proxy that is trusted.
func (w *watch) trusts(r *http.Request) bool {
	peer, ok := parsePeer(r.RemoteAddr)
	return ok && slices.ContainsFunc(w.trusted, func(p netip.Prefix) bool { return p.Contains(peer) })
}

// end is how a request ended, as it is told.
type end struct {
	status  int    // what the client saw; statusClientGone if it was not there any more
	refusal string // the kind of err, or ""
	err     error  // why it was not served
}

// A client that did not wait for its answer is no fault of the server's. The status is nginx's for that; nobody is sent it.
const (
	statusClientGone  = 499
	refusalClientGone = "client_gone"
)

// endOf says how a request ended whose client's context is the one of before its time was limited. While the server stops,
// nobody is taken to have gone, since it may have closed the connection itself; nor is a reader who stands still.
func (w *watch) endOf(c echo.Context, client context.Context, err error) end {
	switch {
	case err == nil:
		return end{status: c.Response().Status}
	case client.Err() != nil && !(w.stopping != nil && w.stopping()) && !errors.Is(err, os.ErrDeadlineExceeded) &&
		(errors.Is(err, context.Canceled) || errors.Is(err, dialect.ErrBrokenOff)):
		return end{statusClientGone, refusalClientGone, err}
	case errors.Is(err, dialect.ErrClientGone):
		return end{statusClientGone, refusalClientGone, err}
	}
	return end{c.Response().Status, dialect.RefusalOf(err), err}
}

// request tells of a request that has ended.
func (w *watch) request(c echo.Context, span trace.Span, e end, took time.Duration) {
	s := dialect.SummaryOf(c)
	if span != nil {
		endSpan(c, span, s, e)
	}
	t := w.traceOf(c)
	w.measure(c, s, e, t, took)
	w.logRequest(c, s, e, t, took)
}

// traced is the trace that a request is in.
type traced struct {
	id   string // "" if there is none
	kept bool
}

func (w *watch) traceOf(c echo.Context) (t traced) {
	if w.tracing != nil {
		t.id, t.kept = tracing.TraceID(c.Request().Context())
	}
	return t
}

func endSpan(c echo.Context, span trace.Span, s dialect.Summary, e end) {
	tracing.End(span, tracing.Answer{
		Status: e.status, Dialect: s.Dialect, Operation: s.Operation,
		RequestID: c.Response().Header().Get(echo.HeaderXRequestID), Refusal: e.refusal,
	})
}

// none stands in metrics for a dialect and an operation that are none.
const none = "none"

func (w *watch) measure(c echo.Context, s dialect.Summary, e end, t traced, took time.Duration) {
	if w.metrics == nil {
		return
	}
	r := metrics.Request{
		Dialect:   cmp.Or(s.Dialect, none),
		Operation: cmp.Or(s.Operation, none),
		Status:    e.status,
		Took:      took,
		TokenGood: s.Principal.Subject != "",
	}
	if isHealth(c.Path()) {
		r.Operation = strings.TrimPrefix(c.Path(), "/")
	}
	if e.err != nil {
		r.Refusal = e.refusal
		r.Token = auth.FaultOf(e.err)
		r.BrokenOff = errors.Is(e.err, dialect.ErrBrokenOff) && e.status != statusClientGone
	}
	if t.kept {
		r.TraceID = t.id
	}
	w.metrics.End(r)
}

// logRequest writes the line. Of what a client sent it has the request id if that is sane, and ids that a good token and the
// directory vouch for: the route, not the path; the names of the changed fields, not their values.
func (w *watch) logRequest(c echo.Context, s dialect.Summary, e end, t traced, took time.Duration) {
	ctx := c.Request().Context()
	level := requestLevel(c, e)
	if !w.log.Enabled(ctx, level) {
		return
	}
	attributes := append(make([]slog.Attr, 0, 16),
		slog.String("request_id", c.Response().Header().Get(echo.HeaderXRequestID)),
		slog.String("method", methodOf(c.Request())),
		slog.String("route", c.Path()),
		slog.Int("status", e.status),
		slog.Float64("duration_ms", milliseconds(took)),
		slog.Int64("bytes", c.Response().Size),
	)
	for _, a := range []struct{ name, value string }{
		{"trace_id", t.id},
		{"dialect", s.Dialect}, {"operation", s.Operation}, {"actor", w.actors.name(s.Principal)}, {"changed", s.Changed},
	} {
		if a.value != "" {
			attributes = append(attributes, slog.String(a.name, a.value))
		}
	}
	if s.Customer != 0 {
		attributes = append(attributes, slog.Int64("customer", s.Customer))
	}
	if e.err != nil {
		attributes = append(attributes, slog.String("refusal", e.refusal))
		if why := reason(e.err); why != "" {
			attributes = append(attributes, slog.String("reason", why))
		}
		if level == slog.LevelError || e.status == statusClientGone {
			attributes = append(attributes, slog.String("error", e.err.Error()))
		}
	}
	// The logger itself would look for the line of this file first, which no log shows.
	line := slog.NewRecord(time.Now(), level, "request", 0)
	line.AddAttrs(attributes...)
	_ = w.log.Handler().Handle(ctx, line) // a logger passes over it too
}

// requestLevel is the level of a request's line: an error where the server is at fault, and only of interest to who looks for
// it where a balancer asked whether all is well, and it is.
func requestLevel(c echo.Context, e end) slog.Level {
	switch {
	case e.status == statusClientGone:
		return slog.LevelInfo
	case e.err != nil && (e.status >= http.StatusInternalServerError || errors.Is(e.err, dialect.ErrBrokenOff)):
		return slog.LevelError
	case isHealth(c.Path()) && e.status == http.StatusOK:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// reason is why who called was not believed, not allowed what they asked for, or asked too much. Its sentences are auth's, which quote nobody.
func reason(err error) string {
	var forbidden *auth.ForbiddenError
	var limited *dialect.RateLimitedError
	switch {
	case errors.As(err, &limited):
		return limited.Limit
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
