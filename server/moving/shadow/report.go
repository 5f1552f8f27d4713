package shadow

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/url"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/dragoman-id/dragoman/server/moving/difference"
)

// counters count what happens, by operation.
type counters struct {
	other      atomic.Int64
	mu         sync.Mutex
	operations map[string]*counter
}

// maxExamples is how many examples of differences a report has of an operation.
const maxExamples = 10

type counter struct {
	requests, equal, writtenSince, apart, conditional, notSampled, tooLarge, noMemory, dropped, unanswered, noDryRun atomic.Int64
	source, target                                                                                                   latencies

	mu        sync.Mutex
	differ    int64
	fields    map[string]int64
	encodings map[string]int64
	examples  []example
	failure   string
}

// example is a request whose answers differ.
type example struct {
	Request     string                  `json:"request"` // without the query
	Status      int                     `json:"status"`  // the source's
	Differences []difference.Difference `json:"differences"`
	More        int                     `json:"more,omitempty"` // how many differences there are beside those
}

// maxDifferences is how many differences an example has.
const maxDifferences = 50

// element is an element of an array in the name of a field.
var element = regexp.MustCompile(`\[[^]]*\]`)

func (c *counters) of(operation string) *counter {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.operations[operation]
	if n == nil {
		n = &counter{fields: map[string]int64{}, encodings: map[string]int64{}}
		c.operations[operation] = n
	}
	return n
}

// differ counts a request whose answers differ. In a list, all elements have the same fields, as there may be many.
func (c *counters) differ(operation string, list bool, e example) {
	fields := map[string]bool{}
	for _, d := range e.Differences {
		if list {
			d.Field = element.ReplaceAllString(d.Field, "[]")
		}
		fields[d.Field] = true
	}
	if more := len(e.Differences) - maxDifferences; more > 0 {
		e.Differences, e.More = slices.Clone(e.Differences[:maxDifferences]), more
	}
	n := c.of(operation)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.differ++
	for field := range fields {
		n.fields[field]++
	}
	if len(n.examples) < maxExamples {
		n.examples = append(n.examples, e)
	}
}

// leaveOut counts a request that is not compared because of an error.
func (c *counter) leaveOut(err error) {
	var encoding *encodingError
	switch {
	case errors.Is(err, errTooLong):
		c.tooLarge.Add(1)
	case errors.Is(err, errNoMemory):
		c.noMemory.Add(1)
	case errors.As(err, &encoding):
		c.mu.Lock()
		defer c.mu.Unlock()
		c.encodings[encoding.coding]++
	default:
		c.unanswered.Add(1)
		c.fail(err)
	}
}

// fail notes why the target did not answer, without the URL, which may have personal data in its query.
func (c *counter) fail(err error) {
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failure = err.Error()
}

// latencies is a histogram of times, each class a fiftieth wider than the one before.
type latencies struct {
	mu      sync.Mutex
	classes [1200]int64
	n       int64
}

const (
	classWidth = 1.02
	shortest   = float64(time.Microsecond)
)

func (l *latencies) add(d time.Duration) {
	i := int(math.Log(max(float64(d), shortest)/shortest) / math.Log(classWidth))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.classes[min(i, len(l.classes)-1)]++
	l.n++
}

// quantile returns the upper bound of the class that has the quantile, and 0 if there are no times.
func (l *latencies) quantile(q float64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := int64(math.Ceil(q * float64(l.n)))
	for i, n := range l.classes {
		if left -= n; left <= 0 && l.n > 0 {
			return time.Duration(shortest * math.Pow(classWidth, float64(i+1)))
		}
	}
	return 0
}

// Report is what a shadow has seen so far.
type Report struct {
	Operations []Operation `json:"operations"`
	// Other counts requests that are no operation of the dialect, such as sign-ins. They were served by the source, and nothing else.
	Other int64 `json:"other"`
}

// Operation is what was seen of an operation.
type Operation struct {
	Name     string `json:"operation"`
	Requests int64  `json:"requests"`
	Equal    int64  `json:"equal"`
	Differ   int64  `json:"differ"`
	// WrittenSince counts requests about what the source was seen writing since the copy, which the target cannot know.
	WrittenSince int64 `json:"written_since"`
	// Apart counts pages of which no user is on that of the target, which may have another order.
	Apart int64 `json:"apart"`
	// Conditional counts answers by a version or a part that the client has from the source, such as 304 and 412.
	Conditional int64 `json:"conditional"`
	NotSampled  int64 `json:"not_sampled"`
	Dropped     int64 `json:"dropped"`   // the queue was full
	TooLarge    int64 `json:"too_large"` // a body was longer than Config.MaxBody
	NoMemory    int64 `json:"no_memory"` // bodies needed more than Config.MaxMemory
	// Encodings counts answers of the source in content codings that were not decoded.
	Encodings  map[string]int64 `json:"encodings"`
	Unanswered int64            `json:"unanswered"` // by the source, which may also have answered with 5xx, 429 or 408, or by the target
	// Failure is why the target did not answer the last time.
	Failure  string `json:"failure,omitempty"`
	NoDryRun int64  `json:"no_dry_run"` // the target does not know dry runs: nothing of it was compared
	Queued   int64  `json:"queued"`

	Fields   map[string]int64 `json:"fields"` // how many requests differed in each
	Examples []example        `json:"examples"`
	Source   Latency          `json:"source"`
	Target   Latency          `json:"target"`
}

// Latency is in milliseconds.
type Latency struct {
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
}

func (l *latencies) latency() Latency {
	ms := func(q float64) float64 {
		return math.Round(float64(l.quantile(q))/float64(time.Millisecond)*1000) / 1000
	}
	return Latency{ms(0.5), ms(0.99)}
}

// Report returns what was seen so far.
func (s *Shadow) Report() Report {
	r := Report{Operations: []Operation{}, Other: s.report.other.Load()}
	s.report.mu.Lock()
	operations := maps.Clone(s.report.operations)
	s.report.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(operations)) {
		n := operations[name]
		n.mu.Lock()
		o := Operation{
			Name: name, Requests: n.requests.Load(), Equal: n.equal.Load(), Differ: n.differ, WrittenSince: n.writtenSince.Load(),
			Apart: n.apart.Load(), Conditional: n.conditional.Load(), NotSampled: n.notSampled.Load(), Dropped: n.dropped.Load(), TooLarge: n.tooLarge.Load(),
			NoMemory: n.noMemory.Load(), Encodings: maps.Clone(n.encodings), Unanswered: n.unanswered.Load(), NoDryRun: n.noDryRun.Load(), Fields: maps.Clone(n.fields), Examples: slices.Clone(n.examples), Failure: n.failure,
		}
		n.mu.Unlock()
		o.Queued = max(0, o.Requests-o.Equal-o.Differ-o.WrittenSince-o.leftOut())
		o.Source, o.Target = n.source.latency(), n.target.latency()
		r.Operations = append(r.Operations, o)
	}
	return r
}

// leftOut is how many requests are not compared for another reason than a write.
func (o Operation) leftOut() int64 {
	n := o.Apart + o.Conditional + o.NotSampled + o.Dropped + o.TooLarge + o.NoMemory + o.Unanswered + o.NoDryRun
	for _, of := range o.Encodings {
		n += of
	}
	return n
}

// Differ returns how many requests were answered differently.
func (r Report) Differ() (n int64) {
	for _, o := range r.Operations {
		n += o.Differ
	}
	return n
}

// Nothing reports whether there were requests to compare and none was, other than because of writes and the sample.
func (r Report) Nothing() bool {
	left := int64(0)
	for _, o := range r.Operations {
		if o.Equal+o.Differ > 0 {
			return false
		}
		left += o.leftOut() - o.NotSampled
	}
	return left > 0
}

// WriteText writes the report for people.
func (r Report) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "operation\trequests\tequal\tdiffer\twritten since\tnot compared\tsource p50\tp99\ttarget p50\tp99")
	for _, o := range r.Operations {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%.1fms\t%.1fms\t%.1fms\t%.1fms\n", o.Name, o.Requests, o.Equal, o.Differ, o.WrittenSince,
			o.leftOut()+o.Queued, o.Source.P50, o.Source.P99, o.Target.P50, o.Target.P99)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	for _, o := range r.Operations {
		for _, why := range o.reasons() {
			if why.n > 0 {
				fmt.Fprintf(w, "%s: %d not compared: %s\n", o.Name, why.n, why.text)
			}
		}
		for _, field := range slices.Sorted(maps.Keys(o.Fields)) {
			fmt.Fprintf(w, "%s: %d differ in %s\n", o.Name, o.Fields[field], field)
		}
		for _, e := range o.Examples {
			fmt.Fprintf(w, "%s, answered with %d:\n", e.Request, e.Status)
			for _, d := range e.Differences {
				fmt.Fprintf(w, "    %s\n", d)
			}
			if e.More > 0 {
				fmt.Fprintf(w, "    and %d more\n", e.More)
			}
		}
	}
	if _, err := fmt.Fprintf(w, "other requests: %d\n", r.Other); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// reason is why some requests are not compared.
type reason struct {
	n    int64
	text string
}

func (o Operation) reasons() []reason {
	all := []reason{
		{o.Apart, "no user is on both pages"}, {o.Conditional, "conditional, the source answered by what the client had from it"}, {o.NotSampled, "not in the --sample"},
		{o.Dropped, "the queue was full, see --queue and --workers"}, {o.TooLarge, "a body was longer than --max-body"},
		{o.NoMemory, "bodies needed more than --max-memory"}, {o.Unanswered, unanswered(o.Failure)},
		{o.NoDryRun, "the target does not know dry runs"}, {o.Queued, "still in the queue"},
	}
	for _, coding := range slices.Sorted(maps.Keys(o.Encodings)) {
		all = append(all, reason{o.Encodings[coding], "encoding " + coding})
	}
	return all
}

func unanswered(failure string) string {
	if failure == "" {
		return "the source or the target did not answer, or the client did not wait"
	}
	return "the source or the target did not answer, or the client did not wait; last error of the target: " + failure
}

// WriteJSON writes the report as one JSON object.
func (r Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
