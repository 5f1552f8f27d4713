package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dragoman-id/dragoman/server/docs/generated"
)

// result has all runs of a subject with one number of connections.
type result struct {
	subject     subject
	connections int
	runs        []figures
}

// median returns the run with the median throughput; of an even number of runs, the slower of the two in the middle. Its errors are the
// sum, and its memory is the maximum, over all runs.
func (r *result) median() figures {
	runs := slices.SortedFunc(slices.Values(r.runs), func(a, b figures) int { return cmp.Compare(a.perSecond, b.perSecond) })
	f := runs[(len(runs)-1)/2]
	f.errors = 0
	for _, run := range runs {
		f.errors += run.errors
		f.memory = max(f.memory, run.memory)
	}
	return f
}

type results []*result

// find returns the median of a subject with a number of connections, or nil if it was not measured.
func (all results) find(engine, name string, connections int) *figures {
	for _, r := range all {
		if r.subject.engine == engine && r.subject.name == name && r.connections == connections {
			f := r.median()
			return &f
		}
	}
	return nil
}

// floorOf has the name of the floor that each kind of request is compared with, on either engine.
var floorOf = map[string]string{"PATCH": "floor PATCH", "PUT": "floor PATCH", "GET": "floor GET"}

// batched is the suffix of the name of a floor that commits several requests in one transaction.
const batched = ", batched"

// besideFloor returns the ratios of a result to its floor: of the throughput, of the throughput to that of the batching floor, and of
// the processor time. A ratio that was not measured is "".
func (all results) besideFloor(r *result) (throughput, besideBatched, cpu string) {
	m, name := r.median(), floorOf[r.subject.name]
	if floor := all.find("postgres", name, r.connections); floor != nil {
		throughput, cpu = ratio(m.perSecond, floor.perSecond), ratio(float64(m.cpu), float64(floor.cpu))
	}
	if floor := all.find("postgres", name+batched, r.connections); floor != nil {
		besideBatched = ratio(m.perSecond, floor.perSecond)
	}
	return throughput, besideBatched, cpu
}

// write prints the results as a Markdown table.
func (all results) write(w io.Writer) error {
	t := newTable(w, "connections", "what", "requests/s", "of the floor", "of the batching floor", "p50", "p99", "CPU a request: server", "of the floor", "database", "load",
		"peak memory", "errors")
	for _, r := range all {
		m := r.median()
		throughput, besideBatched, cpu := all.besideFloor(r)
		t.row(strconv.Itoa(r.connections), label(r.subject), number(m.perSecond), throughput, besideBatched, short(m.p50), short(m.p99), short(m.cpu), cpu,
			short(m.database), short(m.load), megabytes(m.memory), strconv.Itoa(m.errors))
	}
	return t.flush()
}

// label returns the name of a subject in a table.
func label(s subject) string {
	if s.floor {
		return s.name
	}
	return engineName(s.engine) + " " + s.name
}

func engineName(engine string) string {
	return map[string]string{"postgres": "Postgres", "sqlite": "SQLite"}[engine]
}

func ratio(a, b float64) string {
	if a == 0 || b == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", a/b)
}

func number(n float64) string { return fmt.Sprintf("%.0f", n) }

func short(d time.Duration) string {
	switch {
	case d == 0:
		return ""
	case d < time.Millisecond:
		return fmt.Sprintf("%d us", d.Microseconds())
	default:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
}

func megabytes(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

// table is a Markdown table.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer, columns ...string) table {
	t := table{tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)}
	t.row(columns...)
	t.row(slices.Repeat([]string{"---"}, len(columns))...)
	return t
}

func (t table) row(cells ...string) {
	_, _ = fmt.Fprintf(t.w, "| %s\t|\n", strings.Join(cells, "\t| ")) // flush returns the error
}

func (t table) flush() error { return t.w.Flush() }

// The files that --write changes.
const (
	resultsFile = "server/bench/RESULTS.md"
	guideFile   = "server/docs/guide/performance.md"
)

// section is a part of a file, between two comments that name it.
type section struct {
	file, name string
	write      func(io.Writer) error
}

// publish prints the first section and, with --write, puts all of them into their files if the machine was quiet.
func (b *bench) publish(sections ...section) error {
	if err := sections[0].write(os.Stdout); err != nil {
		return fmt.Errorf("print the results: %w", err)
	}
	if !b.Write {
		return nil
	}
	if err := b.checkQuiet(); err != nil {
		return err
	}
	for _, s := range sections {
		var text strings.Builder
		if err := s.write(&text); err != nil {
			return err
		}
		content, err := os.ReadFile(s.file)
		if err != nil {
			return err
		}
		replaced, err := generated.Replace(string(content), s.name, text.String())
		if err != nil {
			return fmt.Errorf("%s: %w", s.file, err)
		}
		if err := os.WriteFile(s.file, []byte(replaced), 0o600); err != nil { // #nosec G703 -- the names are constants
			return err
		}
	}
	return nil
}
