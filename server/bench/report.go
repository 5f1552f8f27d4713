package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// median gives the run in the middle, by throughput, with all errors.
func (r *result) median() figures {
	runs := slices.SortedFunc(slices.Values(r.runs), func(a, b figures) int { return cmp.Compare(a.perSecond, b.perSecond) })
	f := runs[len(runs)/2]
	f.errors = 0
	for _, run := range runs {
		f.errors += run.errors
	}
	return f
}

// beside is the floor that each kind of request is read beside.
var beside = map[string]string{"PATCH": "floor PATCH", "PUT": "floor PATCH", "GET": "floor GET"}

// report prints the results as a table of Markdown.
func report(w io.Writer, c *runCommand, results []*result) error {
	find := func(name string, connections int) *figures {
		for _, r := range results {
			if r.subject.name == name && r.connections == connections {
				f := r.median()
				return &f
			}
		}
		return nil
	}
	_, err := fmt.Fprintf(w, "%s, %s, %d processors, %s, %d users, %d rounds of %s, wrk on the same machine.\n\n",
		time.Now().UTC().Format(time.DateOnly), processor(), runtime.NumCPU(), runtime.Version(), c.Users, c.Rounds, c.Duration)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	fmt.Fprintln(t, "| connections\t| what\t| requests/s\t| of the floor\t| p50\t| p99\t| CPU a request\t| of the floor\t| peak memory\t| errors\t|")
	fmt.Fprintln(t, "|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|")
	for _, r := range results {
		f := r.median()
		throughput, cpu := "", ""
		if floor := find(beside[r.subject.name], r.connections); floor != nil {
			throughput = fmt.Sprintf("%.2f", f.perSecond/floor.perSecond)
			cpu = fmt.Sprintf("%.2f", float64(f.cpu)/float64(floor.cpu))
		}
		name := r.subject.name
		if !strings.Contains(name, " ") {
			name = r.subject.engine + " " + name
		}
		fmt.Fprintf(t, "| %d\t| %s\t| %.0f\t| %s\t| %s\t| %s\t| %s\t| %s\t| %s\t| %d\t|\n", r.connections, name, f.perSecond, throughput,
			short(f.p50), short(f.p99), short(f.cpu), cpu, mebibytes(f.memory), f.errors)
	}
	return t.Flush()
}

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

func mebibytes(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// processor is what Linux calls the machine's processor.
func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(info)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(name), ":"))
		}
	}
	return runtime.GOARCH
}
