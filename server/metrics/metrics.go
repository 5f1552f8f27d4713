// Package metrics defines the server's Prometheus metrics. Each [Metrics] has a registry of its own, so that a process can have
// several servers. What the server counts as it happens is in metrics.go, what is read when Prometheus scrapes in sources.go;
// `make docs` lists them in the guide.
//
// The package has the names of all series, and reads the state of the store and of the verifier. It knows no HTTP framework and
// no dialect. A client cannot choose the value of a label: values are dialects, operations, statuses and kinds, a few of each.
package metrics

import (
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

// Metrics are the metrics of a server. The methods of a nil *Metrics do nothing.
type Metrics struct {
	registry *prometheus.Registry

	requests   *prometheus.HistogramVec
	inFlight   prometheus.Gauge
	panics     prometheus.Counter
	truncated  prometheus.Counter
	refusals   *prometheus.CounterVec
	tokens     *prometheus.CounterVec
	statements *prometheus.HistogramVec
	retries    *prometheus.CounterVec
	replays    *prometheus.CounterVec
	dryRuns    *prometheus.CounterVec
	merges     *prometheus.CounterVec
	conflicts  *prometheus.CounterVec
}

// New returns metrics that include build_info with the arguments, and those of the Go runtime and the process.
func New(version, commit, goVersion string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: histogram("http_request_duration_seconds", "A histogram of requests, from their header to the end of the answer.",
			[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}, "dialect", "operation", "status"),
		statements: histogram("db_statement_duration_seconds", "A histogram of database statements, without the wait for a connection.",
			[]float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}, "kind", "outcome"),
		inFlight:  gauge("http_requests_in_flight", "Requests in flight."),
		panics:    counter("http_panics_total", "Requests that ended in a panic, which is a bug of the server."),
		truncated: counter("http_responses_truncated_total", "Responses that ended early, after their header was sent."),
		refusals:  counters("http_refusals_total", "Requests that were refused, by kind of error.", "dialect", "kind"),
		tokens:    counters("tokens_total", "Tokens of requests, by outcome: good, or what was wrong with them.", "outcome"),
		replays:   counters("idempotency_replays_total", "Requests with an Idempotency-Key that were given the answer to an earlier one.", "dialect", "operation"),
		dryRuns:   counters("dry_runs_total", "Requests below /dry-run, which wrote nothing; the other series of requests count them, too.", "dialect", "operation"),
		merges:    counters("merges_total", "Updates with a stale If-Match that were merged with what was written meanwhile, as Prefer: merge=untouched asks.", "dialect", "operation"),
		conflicts: counters("conflicts_total", "Fields, by the names of the model, for which an update with a stale If-Match was refused: a concurrent write had given them another value.", "field"),
		retries:   counters("db_update_retries_total", "Attempts to update a user that were retried or given up, by reason: conflict (another writer was first), stale (the cached user was not current), needs_lock (the update takes an administrator away), rolled_back (by the database), given_up (the last attempt).", "reason"),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: "build_info", Help: "Always 1; the labels identify the program."},
		[]string{"version", "commit", "go_version"})
	build.WithLabelValues(version, commit, goVersion).Set(1)
	m.registry.MustRegister(
		m.requests, m.inFlight, m.panics, m.truncated, m.refusals, m.tokens, m.statements, m.retries, m.replays, m.dryRuns, m.merges, m.conflicts, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	// Start each counter at 0: a rate misses the increase from absent to 1.
	for _, why := range []store.Retry{store.RetryConflict, store.RetryStale, store.RetryNeedsLock, store.RetryRolledBack, store.RetryGivenUp} {
		m.retries.WithLabelValues(string(why))
	}
	return m
}

// histogram returns a histogram with native buckets, and with classic ones for scrapers without support for these.
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

// Handler serves the metrics in the format that the request accepts.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry, EnableOpenMetrics: true})
}

// Request describes a request that was answered.
type Request struct {
	Dialect, Operation string // "" if no operation matches
	Status             int
	Took               time.Duration
	Refusal            string          // the kind of the error, or ""
	Truncated          bool            // the response ended early
	Replayed           bool            // the response is that of an earlier request with the same idempotency key
	DryRun             bool            // nothing was written
	Merged             bool            // the update was merged with what was written meanwhile
	Conflicts          []store.Field   // for which the update was refused
	Token              auth.TokenFault // the token's fault, or ""
	TokenGood          bool
	TraceID            string // if the trace is sampled, else ""
}

// Begin counts a request as in flight until End.
func (m *Metrics) Begin() {
	if m != nil {
		m.inFlight.Inc()
	}
}

// End counts a request for which Begin was called as answered.
func (m *Metrics) End(r Request) {
	if m == nil {
		return
	}
	m.inFlight.Dec()
	observe(m.requests.WithLabelValues(r.Dialect, r.Operation, strconv.Itoa(r.Status)), r.Took, r.TraceID)
	if r.Refusal != "" {
		m.refusals.WithLabelValues(r.Dialect, r.Refusal).Inc()
	}
	switch {
	case r.TokenGood:
		m.tokens.WithLabelValues("good").Inc()
	case r.Token != "":
		m.tokens.WithLabelValues(string(r.Token)).Inc()
	}
	if r.Replayed {
		m.replays.WithLabelValues(r.Dialect, r.Operation).Inc()
	}
	if r.Truncated {
		m.truncated.Inc()
	}
	if r.DryRun {
		m.dryRuns.WithLabelValues(r.Dialect, r.Operation).Inc()
		return // it has neither merged nor refused an update
	}
	if r.Merged {
		m.merges.WithLabelValues(r.Dialect, r.Operation).Inc()
	}
	for _, f := range r.Conflicts {
		m.conflicts.WithLabelValues(string(f)).Inc()
	}
}

// observe adds a duration, with its trace as the exemplar.
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

// Statement records the duration of a statement of the store.
func (m *Metrics) Statement(s store.Statement) {
	if m != nil {
		m.statements.WithLabelValues(string(s.Kind), s.Outcome()).Observe(s.Took.Seconds())
	}
}

// Retry counts an update that the store retries or gives up, by reason.
func (m *Metrics) Retry(why store.Retry) {
	if m != nil {
		m.retries.WithLabelValues(string(why)).Inc()
	}
}
