package main

import (
	"fmt"
	"io"
	"time"
)

// target is a bound on a figure, and the measured figure.
type target struct {
	what, wanted, got string
	met               bool
}

func writeTargets(w io.Writer, all []target) error {
	t := newTable(w, "target", "wanted", "measured", "met")
	for _, x := range all {
		met := "**no**"
		if x.met {
			met = "yes"
		}
		t.row(x.what, x.wanted, x.got, met)
	}
	return t.flush()
}

func atLeast(what string, wanted, got float64) target {
	return target{what, fmt.Sprintf("at least %.2f", wanted), fmt.Sprintf("%.2f", got), got >= wanted}
}

func atMost(what string, wanted, got float64) target {
	return target{what, fmt.Sprintf("at most %.2f", wanted), fmt.Sprintf("%.2f", got), got <= wanted}
}

func under(what string, wanted, got float64, shown func(float64) string) target {
	return target{what, "under " + shown(wanted), shown(got), got < wanted}
}

func bytesShown(n float64) string   { return megabytes(int64(n)) }
func timeShown(n float64) string    { return short(time.Duration(n)) }
func decimalShown(n float64) string { return fmt.Sprintf("%.1f", n) }

// targets returns the targets whose figures the run measured.
func (f *runFindings) targets() []target {
	all := append(f.floorTargets(), f.latencyTargets()...)
	all = append(all, f.memoryTargets()...)
	errors := 0
	for _, r := range f.results {
		errors += r.median().errors
	}
	return append(all, target{"requests that failed, in all", "0", fmt.Sprint(errors), errors == 0})
}

// floorTargets compare throughput and processor time with the floor of the same run.
func (f *runFindings) floorTargets() (all []target) {
	const connections = 16
	for _, engine := range []string{"postgres", "sqlite"} {
		for _, method := range []string{"PATCH", "PUT", "GET"} {
			ours, floor := f.results.find(engine, method, connections), f.results.find("postgres", floorOf[method], connections)
			if ours == nil || floor == nil {
				continue
			}
			name := label(subject{engine: engine, name: method}) + ", 16 connections: "
			all = append(all,
				atLeast(name+"throughput, of the floor's", 0.8, ours.perSecond/floor.perSecond),
				atMost(name+"CPU of the server a request, of the floor's", 1.8, float64(ours.cpu)/float64(floor.cpu)))
		}
	}
	return all
}

// latencyTargets check that a lone writer does not wait for a batch to fill, and that p99 is not far above p50.
func (f *runFindings) latencyTargets() (all []target) {
	lone, commit := f.results.find("sqlite", "PATCH", 1), f.results.find("sqlite", "commit by hand", 1)
	if lone != nil && commit != nil {
		what := fmt.Sprintf("SQLite PATCH, a lone writer: p50 (%s) above that of a commit by hand (%s)", short(lone.p50), short(commit.p50))
		all = append(all, under(what, float64(time.Millisecond), float64(lone.p50-commit.p50), timeShown))
	}
	const connections = 64
	for _, r := range f.results {
		if m := r.median(); r.connections == connections && !r.subject.floor {
			what := fmt.Sprintf("%s, %d connections: p99 (%s), of p50 (%s)", label(r.subject), connections, short(m.p99), short(m.p50))
			all = append(all, under(what, 5, float64(m.p99)/float64(m.p50), decimalShown))
		}
	}
	return all
}

// memoryTargets check the program's memory and its time to readiness.
func (f *runFindings) memoryTargets() (all []target) {
	if f.start != 0 {
		all = append(all,
			under(fmt.Sprintf("from the start to ready, on an existing SQLite database, median of %d", starts), float64(100*time.Millisecond), float64(f.start), timeShown),
			under("resident memory, idle after the start", 40e6, float64(f.idle), bytesShown))
	}
	if f.idleAfter != 0 {
		all = append(all, under(fmt.Sprintf("resident memory, idle %s after the last load, the most of any server", afterLoad), 60e6, float64(f.idleAfter), bytesShown))
	}
	const connections = 256
	var most int64
	var where string
	for _, r := range f.results {
		if m := r.median(); r.connections == connections && !r.subject.floor && m.memory > most {
			most, where = m.memory, label(r.subject)
		}
	}
	if most != 0 {
		all = append(all, under(fmt.Sprintf("resident memory at its peak, %d connections, the most (%s)", connections, where), 100e6, float64(most), bytesShown))
	}
	return all
}
