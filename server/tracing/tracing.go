// Package tracing exports OpenTelemetry traces with a span for each request and each statement, as the standard OTEL_ variables
// configure it, and propagates W3C trace context. It is off if none of them is set, and then costs nothing.
//
// The package knows OpenTelemetry's semantic conventions and the store's statements. It knows no HTTP framework and no dialect. No
// attribute has a value that a client chose, a path, a parameter of a statement, or personal data.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/dragoman-id/dragoman/store"
)

// Tracing makes and exports spans. A nil *Tracing makes none.
type Tracing struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// w3c is the only propagator. OTEL_PROPAGATORS may turn it off.
var w3c propagation.TextMapPropagator = propagation.TraceContext{}

// FromEnvironment returns the tracing that the OTEL_ variables configure, or nil if it is off. It is on if
// OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set or OTEL_TRACES_EXPORTER is "otlp", unless
// OTEL_SDK_DISABLED is "true" or OTEL_TRACES_EXPORTER is "none". It logs and ignores invalid values, as OpenTelemetry's
// specification requires, and removes them from the process's environment. Errors of the export are logged too.
//
// A process has one handler of OpenTelemetry's errors, so that FromEnvironment must be called once, before anything else reads the
// variables. The caller must close the tracing.
func FromEnvironment(ctx context.Context, version string, log *slog.Logger) *Tracing {
	e := readEnvironment(log)
	if !e.isEnabled() {
		return nil
	}
	secrets := secretsOf()
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		log.Warn("traces could not be sent", "error", errorText(err, secrets))
	}))
	otel.SetLogger(logr.FromSlogHandler(diagnostics{log.Handler()}))
	exporter, err := e.newExporter(ctx)
	if err != nil {
		log.Warn("traces cannot be sent: there is no exporter", "error", errorText(err, secrets))
		return nil
	}
	about, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(semconv.ServiceName("dragoman"), semconv.ServiceVersion(version)),
		resource.WithFromEnv(), // last, as it has precedence
	)
	if err != nil {
		log.Warn("traces lack a part of their resource", "error", errorText(err, secrets))
	}
	if !e.propagates {
		w3c = propagation.NewCompositeTextMapPropagator()
	}
	return newTracing(sdk.WithBatcher(exporter), sdk.WithResource(about))
}

// errorText returns the text of an error of OpenTelemetry in one line, without the URL and the headers of the export.
func errorText(err error, secrets []string) string {
	text := err.Error()
	var sending *url.Error
	if errors.As(err, &sending) {
		text = sending.Err.Error()
	}
	for _, secret := range secrets {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return strings.ReplaceAll(text, "\n", " ")
}

// diagnostics handles the log of OpenTelemetry's SDK. It drops the attributes, which have values of variables, and lowers the level
// to warn for errors and to debug for the rest.
type diagnostics struct{ slog.Handler }

// Enabled implements slog.Handler.
func (d diagnostics) Enabled(ctx context.Context, level slog.Level) bool {
	return d.Handler.Enabled(ctx, diagnosticLevel(level))
}

// Handle implements slog.Handler.
func (d diagnostics) Handle(ctx context.Context, line slog.Record) error {
	return d.Handler.Handle(ctx, slog.NewRecord(line.Time, diagnosticLevel(line.Level), "opentelemetry: "+line.Message, 0))
}

// WithAttrs implements slog.Handler. It drops the attributes.
func (d diagnostics) WithAttrs([]slog.Attr) slog.Handler { return d }

// WithGroup implements slog.Handler. It drops the group.
func (d diagnostics) WithGroup(string) slog.Handler { return d }

func diagnosticLevel(level slog.Level) slog.Level {
	if level >= slog.LevelError {
		return slog.LevelWarn // the program continues
	}
	return slog.LevelDebug
}

func newTracing(options ...sdk.TracerProviderOption) *Tracing {
	provider := sdk.NewTracerProvider(options...)
	return &Tracing{provider: provider, tracer: provider.Tracer("github.com/dragoman-id/dragoman")}
}

func (e *environment) isEnabled() bool {
	switch {
	case e.disabled, e.exporter == "none":
		return false
	case e.exporter == "otlp":
		return true
	}
	return get("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// newExporter returns the exporter for the configured protocol. The exporter reads the other variables itself.
func (e *environment) newExporter(ctx context.Context) (sdk.SpanExporter, error) {
	if e.protocol == "grpc" {
		return otlptracegrpc.New(ctx)
	}
	return otlptracehttp.New(ctx)
}

// Close exports the remaining spans until ctx is done, and stops the tracing.
func (t *Tracing) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("send the last traces: %w", err)
	}
	return nil
}

// Begin starts the span of a request. If the peer is trusted, the span is a child of the span in the request's header, and is sampled
// if that is. Otherwise the span starts a trace of its own, which the server samples by itself, and only links to the one in the
// header. method is a standard method or "other", and route is the path with names in place of its parameters, or "".
func (t *Tracing) Begin(r *http.Request, method, route string, trusted bool) (context.Context, trace.Span) {
	name, attributes := method, append(make([]attribute.KeyValue, 0, 3), semconv.HTTPRequestMethodKey.String(method), semconv.URLScheme(scheme(r)))
	if method == "other" {
		name, attributes[0] = "HTTP", semconv.HTTPRequestMethodOther
	}
	if route != "" {
		name, attributes = name+" "+route, append(attributes, semconv.HTTPRoute(route))
	}
	ctx := w3c.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attributes...)}
	if !trusted {
		if caller := trace.SpanContextFromContext(ctx); caller.IsValid() {
			// Without its state, which is text of the caller.
			options = append(options, trace.WithLinks(trace.Link{SpanContext: caller.WithTraceState(trace.TraceState{})}))
		}
		ctx = r.Context()
	}
	return t.tracer.Start(ctx, name, options...)
}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// Answer describes the answer to a request.
type Answer struct {
	Status             int
	Dialect, Operation string // "" if no operation matches
	RequestID          string
	Refusal            string // the kind of the error, or ""
}

// End ends the span of a request. The span has the status Error from 500 on.
func End(span trace.Span, a Answer) {
	defer span.End()
	if !span.IsRecording() {
		return
	}
	attributes := append(make([]attribute.KeyValue, 0, 5), semconv.HTTPResponseStatusCode(a.Status), attribute.String("dragoman.request_id", a.RequestID))
	if a.Operation != "" {
		attributes = append(attributes, attribute.String("dragoman.dialect", a.Dialect), attribute.String("dragoman.operation", a.Operation))
	}
	if a.Refusal != "" {
		attributes = append(attributes, semconv.ErrorTypeKey.String(a.Refusal))
	}
	span.SetAttributes(attributes...)
	if a.Status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, a.Refusal)
	}
}

// Statement makes the span of a statement that has ended, as a child of the span of its request. It makes none without a request, or
// if that is not sampled.
func (t *Tracing) Statement(ctx context.Context, engine string, s store.Statement) {
	if t == nil || !trace.SpanFromContext(ctx).IsRecording() {
		return
	}
	_, span := t.tracer.Start(ctx, strings.ToUpper(string(s.Kind)), trace.WithTimestamp(s.Began), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(systemName(engine), semconv.DBOperationName(strings.ToUpper(string(s.Kind))), semconv.DBQueryText(s.Text)))
	if s.Err != nil {
		span.SetAttributes(semconv.ErrorTypeKey.String(s.Outcome()))
		span.SetStatus(codes.Error, s.Outcome())
	}
	span.End(trace.WithTimestamp(s.Began.Add(s.Took)))
}

func systemName(engine string) attribute.KeyValue {
	if engine == "postgres" {
		return semconv.DBSystemNamePostgreSQL
	}
	return semconv.DBSystemNameSQLite
}

// Retry adds an event to a request's span: an update that the store retries or gives up, with the reason.
func (t *Tracing) Retry(ctx context.Context, why store.Retry) {
	if t != nil {
		trace.SpanFromContext(ctx).AddEvent("retry", trace.WithAttributes(attribute.String("reason", string(why))))
	}
}

// TraceID returns the id of the trace of ctx, or "" if there is none, and whether the trace is sampled.
func TraceID(ctx context.Context) (id string, sampled bool) {
	c := trace.SpanContextFromContext(ctx)
	if !c.IsValid() {
		return "", false
	}
	return c.TraceID().String(), c.IsSampled()
}

// Transport wraps next with a span for each request, and propagates its context. A nil *Tracing returns next.
func (t *Tracing) Transport(next http.RoundTripper) http.RoundTripper {
	if t == nil {
		return next
	}
	return &transport{t, next}
}

type transport struct {
	tracing *Tracing
	next    http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, span := t.tracing.tracer.Start(r.Context(), r.Method, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(semconv.HTTPRequestMethodKey.String(r.Method), semconv.ServerAddress(r.URL.Hostname())))
	defer span.End()
	r = r.Clone(ctx)
	w3c.Inject(ctx, propagation.HeaderCarrier(r.Header))
	answer, err := t.next.RoundTrip(r)
	if err != nil {
		span.SetStatus(codes.Error, "no answer")
		return nil, err
	}
	span.SetAttributes(semconv.HTTPResponseStatusCode(answer.StatusCode))
	return answer, nil
}
