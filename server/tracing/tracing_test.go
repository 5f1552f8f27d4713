package tracing

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/dragoman-id/dragoman/store"
)

func traced() (*Tracing, *tracetest.SpanRecorder) {
	recorder := tracetest.NewSpanRecorder()
	return newTracing(sdk.WithSpanProcessor(recorder)), recorder
}

func TestTransportPropagatesContext(t *testing.T) {
	t.Parallel()
	var parent string
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { parent = r.Header.Get("Traceparent") }))
	defer s.Close()
	tracing, recorder := traced()
	client := http.Client{Transport: tracing.Transport(http.DefaultTransport)}
	answer, err := client.Get(s.URL + "/keys?secret=1")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	ended := recorder.Ended()
	if len(ended) != 1 || ended[0].SpanKind() != trace.SpanKindClient {
		t.Fatalf("spans %v", ended)
	}
	c := ended[0].SpanContext()
	if want := fmt.Sprintf("00-%s-%s-01", c.TraceID(), c.SpanID()); parent != want {
		t.Errorf("the server got %q, want %q", parent, want)
	}
	s.Close()
	if _, err := client.Get(s.URL); err == nil || len(recorder.Ended()) != 2 {
		t.Errorf("a stopped server: %v, %d spans", err, len(recorder.Ended()))
	}
	var none *Tracing
	if next := none.Transport(http.DefaultTransport); next != http.DefaultTransport {
		t.Error("a nil tracing wraps the transport")
	}
}

func TestStatementSpans(t *testing.T) {
	t.Parallel()
	tracing, recorder := traced()
	statement := store.Statement{Text: "SELECT 1", Kind: "select", Began: time.Now().Add(-time.Minute), Took: time.Second, Err: errors.New("no")}
	tracing.Statement(context.Background(), "sqlite", statement)
	if n := len(recorder.Started()); n != 0 {
		t.Errorf("%d spans", n)
	}
	r := httptest.NewRequest(http.MethodGet, "/path", nil)
	ctx, span := tracing.Begin(r, "GET", "/route", false)
	tracing.Statement(ctx, "sqlite", statement)
	tracing.Retry(ctx, store.RetryConflict)
	End(span, Answer{Status: 503, Refusal: "unavailable"})
	ended := recorder.Ended()
	if len(ended) != 2 || ended[0].Parent().SpanID() != ended[1].SpanContext().SpanID() || ended[0].EndTime().Sub(ended[0].StartTime()) != time.Second {
		t.Fatalf("spans %v", ended)
	}
	if events := ended[1].Events(); len(events) != 1 || events[0].Name != "retry" {
		t.Errorf("events %v", events)
	}
	var none *Tracing
	none.Statement(ctx, "sqlite", statement)
	none.Retry(ctx, store.RetryConflict)
	if err := none.Close(ctx); err != nil {
		t.Error(err)
	}
}

// TestUntrustedPeersAreLinked checks that only a trusted peer chooses the trace of a request and whether it is sampled.
func TestUntrustedPeersAreLinked(t *testing.T) {
	t.Parallel()
	const caller = "4bf92f3577b34da6a3ce929d0e0e4736"
	for flags, sampled := range map[string]bool{"00": false, "01": true} {
		for _, trusted := range []bool{false, true} {
			recorder := tracetest.NewSpanRecorder()
			// The default of OTEL_TRACES_SAMPLER.
			tracing := newTracing(sdk.WithSpanProcessor(recorder), sdk.WithSampler(sdk.ParentBased(sdk.AlwaysSample())))
			r := httptest.NewRequest(http.MethodGet, "/path", nil)
			r.Header.Set("Traceparent", "00-"+caller+"-00f067aa0ba902b7-"+flags)
			r.Header.Set("Tracestate", "vendor=secret")
			r.Header.Set("Baggage", "user=secret")
			_, span := tracing.Begin(r, "GET", "/route", trusted)
			span.End()
			c := span.SpanContext()
			if trusted {
				if c.TraceID().String() != caller || c.IsSampled() != sampled || c.TraceState().Get("vendor") != "secret" {
					t.Errorf("flags %s of a trusted peer: %v", flags, c)
				}
				continue
			}
			if c.TraceID().String() == caller || !c.IsSampled() || c.TraceState().Len() != 0 {
				t.Errorf("flags %s of an untrusted peer: %v", flags, c)
			}
			ended := recorder.Ended()
			if len(ended) != 1 || ended[0].Parent().IsValid() || len(ended[0].Links()) != 1 {
				t.Fatalf("flags %s of an untrusted peer: spans %v", flags, ended)
			}
			if link := ended[0].Links()[0].SpanContext; link.TraceID().String() != caller || link.TraceState().Len() != 0 {
				t.Errorf("flags %s of an untrusted peer: a link to %v", flags, link)
			}
		}
	}
	// An untrusted peer with a sampled trace, and a server that samples none.
	recorder := tracetest.NewSpanRecorder()
	tracing := newTracing(sdk.WithSpanProcessor(recorder), sdk.WithSampler(sdk.ParentBased(sdk.NeverSample())))
	r := httptest.NewRequest(http.MethodGet, "/path", nil)
	r.Header.Set("Traceparent", "00-"+caller+"-00f067aa0ba902b7-01")
	if _, span := tracing.Begin(r, "GET", "/route", false); span.SpanContext().IsSampled() {
		t.Error("an untrusted peer makes the server sample a trace")
	}
}
