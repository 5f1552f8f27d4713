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

// watch logs, measures and traces requests and database statements.
type watch struct {
	log     *slog.Logger
	actors  actors
	metrics *metrics.Metrics // nil: no metrics
	tracing *tracing.Tracing // nil: no traces
	engine  string           // of the database
	trusted []netip.Prefix   // the proxies whose trace context is used

	stopping func() bool // reports whether the server is shutting down, and may close connections itself; nil: never
}

func newWatch(c Config) *watch {
	w := &watch{log: c.Log, actors: newActors(c.SecretKey), tracing: c.Tracing, engine: store.EngineOf(c.Database), trusted: c.Limits.TrustedProxies}
	if c.Admin.Listen != "" {
		w.metrics = metrics.New(c.Build.Version, c.Build.Commit, c.Build.Go)
	}
	return w
}

// observer returns the store's observer. It observes statements only if something records them.
func (w *watch) observer() store.Observer {
	o := store.Observer{Retry: w.retry, Warn: func(message string) { w.log.Warn("database", "warning", message) }}
	if w.metrics != nil || w.tracing != nil || w.log.Enabled(context.Background(), slog.LevelDebug) {
		o.Statement = w.statement
	}
	return o
}

func (w *watch) retry(ctx context.Context, why store.Retry) {
	w.metrics.Retry(why)
	w.tracing.Retry(ctx, why)
}

// statement measures, traces and, at the level debug, logs a statement.
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

// observe measures, traces and logs each request.
func (w *watch) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		client := c.Request().Context() // net/http cancels it when the connection is closed
		w.metrics.Begin()
		span := w.begin(c)
		err := next(c)
		if err != nil {
			// Rendered here, so that the status is known below.
			c.Error(err)
		}
		w.request(c, span, w.outcomeOf(c, client, err), time.Since(start))
		if errors.Is(err, dialect.ErrTruncated) {
			panic(http.ErrAbortHandler)
		}
		return nil
	}
}

// begin starts the span of a request. It returns nil without tracing, and for health checks.
func (w *watch) begin(c echo.Context) trace.Span {
	if w.tracing == nil || isHealth(c.Path()) {
		return nil
	}
	ctx, span := w.tracing.Begin(c.Request(), methodOf(c.Request()), c.Path(), w.trusts(c.Request()))
	c.SetRequest(c.Request().WithContext(ctx))
	return span
}

// trusts reports whether the peer of r is a trusted proxy.
func (w *watch) trusts(r *http.Request) bool {
	peer, ok := parsePeer(r.RemoteAddr)
	return ok && slices.ContainsFunc(w.trusted, func(p netip.Prefix) bool { return p.Contains(peer) })
}

// outcome is how a request ended.
type outcome struct {
	status  int    // that was sent, or statusClientGone
	refusal string // the kind of err, or ""
	err     error
}

// The status and the kind of requests whose client closed the connection before the response. The status is nginx's. It is used
// in logs and metrics, and never sent.
const (
	statusClientGone  = 499
	refusalClientGone = "client_gone"
)

// outcomeOf returns the outcome of a request. Client is the request's context without the request timeout: it is done if the
// connection was closed. That does not count as a client that is gone if the server may have closed the connection, because it is
// shutting down or because the client did not read the response in time.
func (w *watch) outcomeOf(c echo.Context, client context.Context, err error) outcome {
	switch {
	case err == nil:
		return outcome{status: c.Response().Status}
	case client.Err() != nil && !(w.stopping != nil && w.stopping()) && !errors.Is(err, os.ErrDeadlineExceeded) &&
		(errors.Is(err, context.Canceled) || errors.Is(err, dialect.ErrTruncated)):
		return outcome{statusClientGone, refusalClientGone, err}
	case errors.Is(err, dialect.ErrClientGone):
		return outcome{statusClientGone, refusalClientGone, err}
	}
	return outcome{c.Response().Status, dialect.RefusalOf(err), err}
}

// request records a request that has ended.
func (w *watch) request(c echo.Context, span trace.Span, o outcome, took time.Duration) {
	s := dialect.SummaryOf(c)
	if span != nil {
		tracing.End(span, tracing.Answer{
			Status: o.status, Dialect: s.Dialect, Operation: s.Operation,
			RequestID: c.Response().Header().Get(echo.HeaderXRequestID), Refusal: o.refusal,
		})
	}
	var t traced
	if w.tracing != nil {
		t.id, t.sampled = tracing.TraceID(c.Request().Context())
	}
	w.measure(c, s, o, t, took)
	w.logRequest(c, s, o, t, took)
}

// traced is the trace of a request.
type traced struct {
	id      string // "" if there is none
	sampled bool
}

// none is the label of requests without a dialect or an operation.
const none = "none"

func (w *watch) measure(c echo.Context, s dialect.Summary, o outcome, t traced, took time.Duration) {
	if w.metrics == nil {
		return
	}
	r := metrics.Request{
		Dialect:   cmp.Or(s.Dialect, none),
		Operation: cmp.Or(s.Operation, none),
		Status:    o.status,
		Took:      took,
		TokenGood: s.Principal.Subject != "",
	}
	if isHealth(c.Path()) {
		r.Operation = strings.TrimPrefix(c.Path(), "/")
	}
	if o.err != nil {
		r.Refusal = o.refusal
		r.Token = auth.FaultOf(o.err)
		r.Truncated = errors.Is(o.err, dialect.ErrTruncated) && o.status != statusClientGone
	}
	r.Replayed, r.DryRun, r.Merged, r.Conflicts = s.Replayed, s.DryRun, s.Merged, s.Conflicts
	if t.sampled {
		r.TraceID = t.id
	}
	w.metrics.End(r)
}

// logRequest logs a request. Of what the client sent, the line contains the request id if it is valid, and ids that a verified token
// or the directory contains. It has the route and not the path, and the names of changed fields and not their values.
func (w *watch) logRequest(c echo.Context, s dialect.Summary, o outcome, t traced, took time.Duration) {
	ctx := c.Request().Context()
	level := requestLevel(c, o)
	if !w.log.Enabled(ctx, level) {
		return
	}
	attributes := append(make([]slog.Attr, 0, 16),
		slog.String("request_id", c.Response().Header().Get(echo.HeaderXRequestID)),
		slog.String("method", methodOf(c.Request())),
		slog.String("route", c.Path()),
		slog.Int("status", o.status),
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
	for _, mark := range []struct {
		name string
		set  bool
	}{{"replayed", s.Replayed}, {"dry_run", s.DryRun}, {"merged", s.Merged}} {
		if mark.set {
			attributes = append(attributes, slog.Bool(mark.name, true))
		}
	}
	if o.err != nil {
		attributes = append(attributes, slog.String("refusal", o.refusal))
		if why := reason(o.err); why != "" {
			attributes = append(attributes, slog.String("reason", why))
		}
		if level == slog.LevelError || o.status == statusClientGone {
			attributes = append(attributes, slog.String("error", o.err.Error()))
		}
	}
	// Logger.LogAttrs would also look up the source line, which the log does not show.
	line := slog.NewRecord(time.Now(), level, "request", 0)
	line.AddAttrs(attributes...)
	_ = w.log.Handler().Handle(ctx, line) // Logger ignores the error, too
}

// requestLevel returns the level of a request's line: error for faults of the server, debug for successful health checks, else
// info.
func requestLevel(c echo.Context, o outcome) slog.Level {
	switch {
	case o.status == statusClientGone:
		return slog.LevelInfo
	case o.err != nil && (o.status >= http.StatusInternalServerError || errors.Is(o.err, dialect.ErrTruncated)):
		return slog.LevelError
	case isHealth(c.Path()) && o.status == http.StatusOK:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// reason returns why a request was not authenticated, was forbidden, or exceeded a limit, else "". It contains nothing that the
// client sent.
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

// methods are the methods that logs, traces and metrics contain. Others are "other", since the client chooses the text.
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
