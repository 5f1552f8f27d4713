// Package tracing sends OpenTelemetry traces of what the server does, a span a request and a span a statement, to where the
// standard OTEL_ variables say, and takes and passes on W3C trace context. It is off, and costs nothing, where they say nothing.
//
// It knows OpenTelemetry's semantic conventions and what the store tells of a statement. It knows no HTTP framework and no
// dialect. No attribute has a value that a client chose, a path, a parameter of a statement, or anything of a person's.
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

// Tracing makes spans and sends them. A nil *Tracing makes none.
type Tracing struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// w3c is the only context that is taken and passed on. OTEL_PROPAGATORS may turn it off.
var w3c propagation.TextMapPropagator = propagation.TraceContext{}

// FromEnvironment gives the tracing that the OTEL_ variables ask for, or nil if they ask for none: it is on if
// OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set or OTEL_TRACES_EXPORTER is "otlp", and never if
// OTEL_SDK_DISABLED is "true" or OTEL_TRACES_EXPORTER is "none". A value that cannot be used is logged, without the value, and
// ignored, as OpenTelemetry's specification wants it; it is taken out of the process's environment. The log is also told when spans
// cannot be sent. As OpenTelemetry has one place for that in a process, this is to be called once in it, before anything else reads
// the variables. Who calls it closes what it gives.
func FromEnvironment(ctx context.Context, version string, log *slog.Logger) *Tracing {
	e := readEnvironment(log)
	if !e.isAskedFor() {
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
		resource.WithFromEnv(), // last, so that it is believed
	)
	if err != nil {
		log.Warn("traces lack a part of their resource", "error", errorText(err, secrets))
	}
	if !e.propagates {
		w3c = propagation.NewCompositeTextMapPropagator()
	}
	return newTracing(sdk.WithBatcher(exporter), sdk.WithResource(about))
}

// errorText is the text of an error of OpenTelemetry's in one line, without the URL and the headers that traces are sent with.
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

// diagnostics is where OpenTelemetry's SDK logs to. What it says comes without attributes, which hold values of variables, and, as it
// talks much, at the level of debug unless it is an error.
type diagnostics struct{ slog.Handler }

// Enabled reports whether a line is to be logged.
func (d diagnostics) Enabled(ctx context.Context, level slog.Level) bool {
	return d.Handler.Enabled(ctx, diagnosticLevel(level))
}

// Handle logs a line.
func (d diagnostics) Handle(ctx context.Context, line slog.Record) error {
	return d.Handler.Handle(ctx, slog.NewRecord(line.Time, diagnosticLevel(line.Level), "opentelemetry: "+line.Message, 0))
}

// WithAttrs leaves attributes out.
func (d diagnostics) WithAttrs([]slog.Attr) slog.Handler { return d }

// WithGroup leaves groups out.
func (d diagnostics) WithGroup(string) slog.Handler { return d }

func diagnosticLevel(level slog.Level) slog.Level {
	if level >= slog.LevelError {
		return slog.LevelWarn // the program goes on
	}
	return slog.LevelDebug
}

func newTracing(options ...sdk.TracerProviderOption) *Tracing {
	provider := sdk.NewTracerProvider(options...)
	return &Tracing{provider: provider, tracer: provider.Tracer("github.com/dragoman-id/dragoman")}
}

func (e *environment) isAskedFor() bool {
	switch {
	case e.disabled, e.exporter == "none":
		return false
	case e.exporter == "otlp":
		return true
	}
	return get("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// newExporter gives the exporter of the protocol that is asked for. Where it sends to, with which headers and certificates, it
// reads from the variables itself.
func (e *environment) newExporter(ctx context.Context) (sdk.SpanExporter, error) {
	if e.protocol == "grpc" {
		return otlptracegrpc.New(ctx)
	}
	return otlptracehttp.New(ctx)
}

// Close sends the spans that are not sent yet, for as long as ctx allows.
func (t *Tracing) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("send the last traces: %w", err)
	}
	return nil
}

// Begin begins the span of a request. If the peer is trusted the span is a child of the one that the request's header names,
// if it does, and kept if that is. Any other caller's context is only linked to: the trace is the server's own, which decides by
// itself whether to keep it. Method is one that HTTP has, or "other", and route is the path with names in place of its
// parameters, or "".
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
			// Without its state, which is text that the caller chose.
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

// Answer is what became of a request.
type Answer struct {
	Status             int
	Dialect, Operation string // "" where no operation was found
	RequestID          string
	Refusal            string // the kind of error that it was answered with, or ""
}

// End ends the span of a request. It counts as failed where the server is at fault.
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

// Statement makes the span of a statement that has ended, below that of the request it is for. One that is for none, and one
// whose request is not traced, has no span.
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

// Retry notes in a request's span why an attempt to update a user came to nothing.
func (t *Tracing) Retry(ctx context.Context, why store.Retry) {
	if t != nil {
		trace.SpanFromContext(ctx).AddEvent("retry", trace.WithAttributes(attribute.String("reason", string(why))))
	}
}

// TraceID gives the id of the trace that ctx is in, and whether the trace is kept; "" if it is in none.
func TraceID(ctx context.Context) (id string, kept bool) {
	c := trace.SpanContextFromContext(ctx)
	if !c.IsValid() {
		return "", false
	}
	return c.TraceID().String(), c.IsSampled()
}

// Transport gives next with a span around each request, whose context it passes on; a nil *Tracing gives next itself.
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

// RoundTrip asks (http.RoundTripper).
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
