// Package metrics counts and times what the server does, in the form that Prometheus reads. Each [Metrics] has a registry of
// its own, so that many servers can live in one process.
//
// It knows the names of all series, and what the store and the verifier tell of themselves. It knows no HTTP framework and no
// dialect. No label has a value that a client chose: they are names of dialects, operations, statuses and kinds, of which
// there are a few each.
package metrics

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/store"
)

const namespace = "dragoman"

// Metrics are one server's. A nil *Metrics counts nothing, and that costs nothing.
type Metrics struct {
	registry *prometheus.Registry

	requests   series[requestLabels, prometheus.Observer]
	inFlight   prometheus.Gauge
	panics     prometheus.Counter
	brokenOff  prometheus.Counter
	refusals   *prometheus.CounterVec
	tokens     series[string, prometheus.Counter]
	statements series[statementLabels, prometheus.Observer]
	retries    *prometheus.CounterVec
}

type requestLabels struct {
	dialect, operation string
	status             int
}

type statementLabels struct {
	kind    store.StatementKind
	outcome string
}

// New gives metrics with the program's version, commit and version of Go, and the runtime's and the process's own.
func New(version, commit, goVersion string) *Metrics {
	requests := histogram("http_request_duration_seconds", "How long requests took, from their header to the end of the answer.",
		[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}, "dialect", "operation", "status")
	statements := histogram("db_statement_duration_seconds", "How long statements took in the database, the wait for a connection apart.",
		[]float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}, "kind", "outcome")
	tokens := counters("tokens_total", "How many tokens were looked at, by whether they were good and what was wrong with them.", "outcome")
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: newSeries(func(l requestLabels) prometheus.Observer {
			return requests.WithLabelValues(l.dialect, l.operation, statusName(l.status))
		}),
		statements: newSeries(func(l statementLabels) prometheus.Observer {
			return statements.WithLabelValues(string(l.kind), l.outcome)
		}),
		inFlight:  gauge("http_requests_in_flight", "How many requests are being served."),
		panics:    counter("http_panics_total", "How many requests ended in a panic, which is a fault of the server's."),
		brokenOff: counter("http_answers_broken_off_total", "How many answers could not be finished after they had begun."),
		refusals:  counters("http_refusals_total", "How many requests were refused, by what was wrong with them.", "dialect", "kind"),
		tokens:    newSeries(func(outcome string) prometheus.Counter { return tokens.WithLabelValues(outcome) }),
		retries:   counters("db_update_retries_total", "How many attempts to update a user came to nothing, by why.", "reason"),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: "build_info", Help: "Always 1; the labels say which program this is."},
		[]string{"version", "commit", "go_version"})
	build.WithLabelValues(version, commit, goVersion).Set(1)
	m.registry.MustRegister(
		requests, m.inFlight, m.panics, m.brokenOff, m.refusals, tokens, statements, m.retries, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	// What has not happened yet is 0 rather than absent: else its first time would be no increase.
	for _, why := range []store.Retry{store.RetryOvertaken, store.RetryOutdated, store.RetryMustHold, store.RetryUndone, store.RetryGivenUp} {
		m.retries.WithLabelValues(string(why))
	}
	return m
}

// histogram has native buckets, which are as fine as need be, and for who cannot read those these.
func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  100,
		NativeHistogramMinResetDuration: time.Hour,
	}, labels)
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help})
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

// Handler shows the metrics to a Prometheus that asks for them, in the form that it asks for.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry, EnableOpenMetrics: true})
}

// Request is a request that was answered.
type Request struct {
	Dialect, Operation string // "" where no operation was found for it
	Status             int
	Took               time.Duration
	Refusal            string          // the kind of error that it was answered with, or ""
	BrokenOff          bool            // the answer could not be finished
	Token              auth.TokenFault // what was wrong with its token
	TokenGood          bool
	TraceID            string // of its trace, if that is kept; or ""
}

// Begin counts a request as being served until Request is told of it.
func (m *Metrics) Begin() {
	if m != nil {
		m.inFlight.Inc()
	}
}

// End counts a request that began as answered.
func (m *Metrics) End(r Request) {
	if m == nil {
		return
	}
	m.inFlight.Dec()
	observe(m.requests.of(requestLabels{r.Dialect, r.Operation, r.Status}), r.Took, r.TraceID)
	if r.Refusal != "" {
		m.refusals.WithLabelValues(r.Dialect, r.Refusal).Inc()
	}
	switch {
	case r.TokenGood:
		m.tokens.of("good").Inc()
	case r.Token != "":
		m.tokens.of(string(r.Token)).Inc()
	}
	if r.BrokenOff {
		m.brokenOff.Inc()
	}
}

// statusNames are those that HTTP has, made once.
var statusNames = func() (names [600]string) {
	for status := range names {
		names[status] = strconv.Itoa(status)
	}
	return names
}()

func statusName(status int) string {
	if status < 0 || status >= len(statusNames) {
		return "other"
	}
	return statusNames[status]
}

// observe adds a duration, with the trace that it is of as its example.
func observe(o prometheus.Observer, took time.Duration, traceID string) {
	if e, ok := o.(prometheus.ExemplarObserver); ok && traceID != "" {
		e.ObserveWithExemplar(took.Seconds(), prometheus.Labels{"trace_id": traceID})
		return
	}
	o.Observe(took.Seconds())
}

// Panic counts a panic.
func (m *Metrics) Panic() {
	if m != nil {
		m.panics.Inc()
	}
}

// Statement counts and times a statement of the store's.
func (m *Metrics) Statement(s store.Statement) {
	if m != nil {
		m.statements.of(statementLabels{s.Kind, s.Outcome()}).Observe(s.Took.Seconds())
	}
}

// Retry counts an attempt of the store's that came to nothing.
func (m *Metrics) Retry(_ context.Context, why store.Retry) {
	if m != nil {
		m.retries.WithLabelValues(string(why)).Inc()
	}
}
