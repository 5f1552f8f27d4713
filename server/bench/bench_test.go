package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/docs/generated"
)

const (
	wrkOutput = `Running 3s test @ http://127.0.0.1:41357
  2 threads and 16 connections
BENCH {"requests":14567,"microseconds":3000000,"p50":1200,"p99":4500,"errors":2}
  14567 requests in 3.00s, 3.30MB read
`
	pgbenchOutput = `pgbench (15.18 (Debian 15.18-0+deb12u1))
transaction type: pgbench.sql
number of transactions actually processed: 36000
number of failed transactions: 3 (0.008%)
latency average = 1.259 ms
initial connection time = 18.034 ms
tps = 12708.123456 (without initial connection time)
`
)

func TestReadsWhatWrkTells(t *testing.T) {
	t.Parallel()
	l, err := parseWrk([]byte(wrkOutput))
	if err != nil {
		t.Fatal(err)
	}
	if l.requests != 14567 || int(l.perSecond) != 4855 || l.p50 != 1200*time.Microsecond || l.p99 != 4500*time.Microsecond || l.errors != 2 {
		t.Errorf("read %+v", l)
	}
	if _, err := parseWrk([]byte(strings.ReplaceAll(wrkOutput, "14567", "0"))); !errors.Is(err, errNoAnswer) {
		t.Errorf("without an answer: %v", err)
	}
	for _, bad := range []string{"", "unable to connect", "BENCH {"} {
		if l, err := parseWrk([]byte(bad)); err == nil {
			t.Errorf("%q was read as %+v", bad, l)
		}
	}
}

func TestReadsWhatPGBenchTells(t *testing.T) {
	t.Parallel()
	l, err := parsePGBench(pgbenchOutput)
	if err != nil {
		t.Fatal(err)
	}
	if l.requests != 36000 || int(l.perSecond) != 12708 || l.errors != 3 {
		t.Errorf("read %+v", l)
	}
	for _, bad := range []string{"", "tps = many", strings.ReplaceAll(pgbenchOutput, "36000", "0")} {
		if l, err := parsePGBench(bad); err == nil {
			t.Errorf("%q was read as %+v", bad, l)
		}
	}
}

func TestReadsAndRemovesPGBenchsLogs(t *testing.T) {
	t.Parallel()
	prefix := filepath.Join(t.TempDir(), "pgbench")
	for name, content := range map[string]string{
		".4711":   "0 1 1000 0 1700000000 1\n0 2 3000 0 1700000000 2\n",
		".4711.1": "1 1 2000 0 1700000000 3\n1 2 failed 0 1700000000 4\n",
	} {
		if err := os.WriteFile(prefix+name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p50, p99, err := pgbenchLatencies(prefix)
	if err != nil || p50 != 2*time.Millisecond || p99 != 3*time.Millisecond {
		t.Errorf("p50 %s, p99 %s, %v", p50, p99, err)
	}
	if left, _ := logsOf(prefix); len(left) > 0 {
		t.Errorf("left are %q", left)
	}
}

func TestReadsTheStateOfAProcess(t *testing.T) {
	t.Parallel()
	self := process{command: &exec.Cmd{Process: &os.Process{Pid: os.Getpid()}}}
	resident, err := self.resident()
	if err != nil || resident < 1<<20 {
		t.Errorf("resident are %d bytes, %v", resident, err)
	}
	if most, err := self.memory(); err != nil || most < resident {
		t.Errorf("at most %d bytes, %v", most, err)
	}
	if _, err := self.cpu(); err != nil {
		t.Error(err)
	}
	// The processes that this one's parent started.
	if used, err := (&cluster{os.Getppid()}).cpu(); err != nil || used <= 0 {
		t.Errorf("they used %s, %v", used, err)
	}
}

// TestFindsTheFilesystem is not parallel, because it has a PATH of its own: df is not everywhere.
func TestFindsTheFilesystem(t *testing.T) {
	programs := t.TempDir()
	df := "#!/bin/sh\n[ \"$*\" = '--output=fstype /data' ] && printf 'Type\\next4\\n'\n"
	if err := os.WriteFile(filepath.Join(programs, "df"), []byte(df), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", programs)
	for path, want := range map[string]string{"/data": "ext4", "/none": ""} {
		if got := filesystemOf(path); got != want {
			t.Errorf("%s is on %q, want %q", path, got, want)
		}
	}
}

// TestSaysWhatIsMissing is not parallel, because it has a PATH of its own.
func TestSaysWhatIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := newBench(t.Context(), &measureFlags{PGBench: "/nowhere/pgbench"})
	if err == nil {
		t.Fatal("nothing is missing")
	}
	for _, want := range []string{"package wrk", "/nowhere/pgbench"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

// TestRefusesBusyMachine: results of a machine on which other programs ran are printed and not written.
func TestRefusesBusyMachine(t *testing.T) {
	t.Parallel()
	for busiest, want := range map[float64]string{0.1: "", 0.234: "other programs used 23% of the processors' time, 10% are allowed"} {
		b := bench{busiest: busiest}
		if err := b.checkQuiet(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", busiest, err, want)
		}
	}
	if used, all, err := processorTimes(); err != nil || used <= 0 || all <= used {
		t.Errorf("the processors were used %v ticks of %v, %v", used, all, err)
	}
}

func TestTakesTheMedian(t *testing.T) {
	t.Parallel()
	r := result{runs: []figures{
		{perSecond: 300, p50: 3, errors: 1, memory: 10}, {perSecond: 100, p50: 1, memory: 30}, {perSecond: 200, p50: 2, errors: 2, memory: 20},
	}}
	if got, want := r.median(), (figures{perSecond: 200, p50: 2, errors: 3, memory: 30}); got != want {
		t.Errorf("the median is %+v, want %+v", got, want)
	}
	r.runs = r.runs[:2]
	if got := r.median(); got.perSecond != 100 {
		t.Errorf("of two runs the quicker one counts: %+v", got)
	}
}

// made gives a result of one run.
func made(engine, name string, connections int, f figures) *result {
	return &result{subject: subject{engine: engine, name: name, floor: strings.HasPrefix(name, "floor") || name == "commit by hand"},
		connections: connections, runs: []figures{f}}
}

func good() runFindings {
	const us, ms = time.Microsecond, time.Millisecond
	return runFindings{
		machine: []string{"2026-11-24, a machine."}, start: 50 * ms, idle: 30e6, idleAfter: 59e6,
		results: results{
			made("sqlite", "commit by hand", 1, figures{p50: ms}),
			made("sqlite", "PATCH", 1, figures{p50: 1900 * us}),
			made("postgres", "floor PATCH", 16, figures{perSecond: 6000, cpu: 100 * us}),
			made("postgres", "floor GET", 16, figures{perSecond: 10000, cpu: 80 * us}),
			made("postgres", "floor PATCH, batched", 16, figures{perSecond: 12000, cpu: 50 * us}),
			made("postgres", "PATCH", 16, figures{perSecond: 4860, cpu: 150 * us}),
			made("postgres", "PUT", 16, figures{perSecond: 4800, cpu: 180 * us}),
			made("postgres", "GET", 16, figures{perSecond: 8000, cpu: 144 * us}),
			made("sqlite", "PATCH", 16, figures{perSecond: 4800, cpu: 180 * us}),
			made("sqlite", "PUT", 16, figures{perSecond: 4800, cpu: 180 * us}),
			made("sqlite", "GET", 16, figures{perSecond: 8000, cpu: 144 * us}),
			made("sqlite", "PATCH", 64, figures{p50: ms, p99: 4900 * us}),
			made("sqlite", "list", 256, figures{memory: 99e6}),
		},
	}
}

// TestTargetsAreMissedOneByOne plants a figure that misses each target.
func TestTargetsAreMissedOneByOne(t *testing.T) {
	t.Parallel()
	missed := func(f runFindings) (all []string) {
		for _, x := range f.targets() {
			if !x.met {
				all = append(all, x.what)
			}
		}
		return all
	}
	if f := good(); len(f.targets()) != 19 || len(missed(f)) > 0 {
		t.Fatalf("%d targets, missed are %q", len(f.targets()), missed(f))
	}
	run := func(engine, name string, connections int, spoil func(*figures)) func(*runFindings) {
		return func(f *runFindings) {
			i := slices.IndexFunc(f.results, func(r *result) bool {
				return r.subject.engine == engine && r.subject.name == name && r.connections == connections
			})
			spoil(&f.results[i].runs[0])
		}
	}
	for want, spoil := range map[string]func(*runFindings){
		"Postgres PATCH, 16 connections: throughput":     run("postgres", "PATCH", 16, func(f *figures) { f.perSecond = 4700 }),
		"Postgres PATCH, 16 connections: CPU":            run("postgres", "PATCH", 16, func(f *figures) { f.cpu = 181 * time.Microsecond }),
		"Postgres PUT, 16 connections: throughput":       run("postgres", "PUT", 16, func(f *figures) { f.perSecond = 4700 }),
		"Postgres GET, 16 connections: throughput":       run("postgres", "GET", 16, func(f *figures) { f.perSecond = 7900 }),
		"SQLite PUT, 16 connections: throughput":         run("sqlite", "PUT", 16, func(f *figures) { f.perSecond = 4700 }),
		"SQLite GET, 16 connections: CPU":                run("sqlite", "GET", 16, func(f *figures) { f.cpu = 145 * time.Microsecond }),
		"SQLite PATCH, a lone writer":                    run("sqlite", "PATCH", 1, func(f *figures) { f.p50 = 2 * time.Millisecond }),
		"SQLite PATCH, 64 connections: p99":              run("sqlite", "PATCH", 64, func(f *figures) { f.p99 = 5 * time.Millisecond }),
		"from the start to ready":                        func(f *runFindings) { f.start = 100 * time.Millisecond },
		"resident memory, idle after the start":          func(f *runFindings) { f.idle = 40e6 },
		"resident memory, idle 5m0s after the last load": func(f *runFindings) { f.idleAfter = 60e6 },
		"resident memory at its peak, 256 connections":   run("sqlite", "list", 256, func(f *figures) { f.memory = 100e6 }),
		"requests that failed, in all":                   run("postgres", "floor GET", 16, func(f *figures) { f.errors = 1 }),
	} {
		f := good()
		spoil(&f)
		if got := missed(f); len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("missed are %q, want %q", got, want)
		}
	}
}

func TestPrintsTables(t *testing.T) {
	t.Parallel()
	f := good()
	var all, quote strings.Builder
	if err := f.writeAll(&all); err != nil {
		t.Fatal(err)
	}
	if err := f.writeQuote(&quote); err != nil {
		t.Fatal(err)
	}
	plain := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	for _, want := range []string{
		"2026-11-24, a machine.",
		"| 16 | Postgres PATCH | 4860 | 0.81 | 0.41 | | | 150 us | 1.50 | | | | 0 |",
		"| Postgres GET, 16 connections: throughput, of the floor's | at least 0.80 | 0.80 | yes |",
	} {
		if !strings.Contains(plain(all.String()), want) {
			t.Errorf("there is no %q in\n%s", want, &all)
		}
	}
	if want := "| SQLite PATCH | 4800 | 0.80 | 0.40 | 180 us | 1.80 |"; !strings.Contains(plain(quote.String()), want) || strings.Contains(quote.String(), "list") {
		t.Errorf("there is no %q, or what is not at 16 connections, in\n%s", want, &quote)
	}
}

// TestGrowthTargets has a directory that costs as much more as a B-tree's depth does, and then a little more.
func TestGrowthTargets(t *testing.T) {
	t.Parallel()
	with := func(users int, r *result) *result {
		r.subject.users = users
		return r
	}
	find := func(perSecond float64, last, small time.Duration) map[string]bool {
		f := growthFindings{command: &growthCommand{Users: []int{10_000, 1_000_000}}, results: results{
			with(10_000, made("sqlite", "PATCH", 16, figures{perSecond: 1490, cpu: 100})),
			with(1_000_000, made("sqlite", "PATCH", 16, figures{perSecond: perSecond, cpu: 149})),
			with(10_000, made("sqlite", "first page", 16, figures{perSecond: 1000, p50: 100, cpu: 100})),
			with(1_000_000, made("sqlite", "first page", 16, figures{perSecond: 1000, p50: 100, cpu: 100})),
			with(10_000, made("sqlite", "last page", 16, figures{perSecond: 1000, p50: 100, cpu: 100})),
			with(1_000_000, made("sqlite", "last page", 16, figures{perSecond: 1000, p50: last, cpu: 100})),
			with(1_000_000, made("sqlite", "GET"+largeCustomers, 1, figures{p50: 100})),
			with(1_000_000, made("sqlite", "GET"+smallCustomers, 1, figures{p50: small})),
		}}
		met := map[string]bool{}
		for _, x := range f.targets() {
			met[x.what] = x.met
		}
		return met
	}
	const (
		time, last  = "SQLite PATCH, 1000000 users: time a request", "SQLite last page, 1000000 users: p50, of the first page's"
		small, more = "SQLite GET, customer of one, 1000000 users: p50, of the large customer's", "SQLite GET, 1000000 users: p50 of the large customer's, of the small one's"
	)
	met := find(1000, 150, 100)
	for name, ok := range met {
		if !ok {
			t.Errorf("%q is missed", name)
		}
	}
	for _, c := range []struct {
		missed string
		met    map[string]bool
	}{{time, find(990, 150, 100)}, {last, find(1000, 151, 100)}, {small, find(1000, 150, 126)}, {more, find(1000, 150, 60)}} {
		if ok, there := c.met[c.missed]; ok || !there {
			t.Errorf("%q is met: %t, is there: %t", c.missed, ok, there)
		}
	}
}

// TestGrowthBesideTheFloor has a floor that doubles: the program may do so, too, and grow by a quarter of that more.
func TestGrowthBesideTheFloor(t *testing.T) {
	t.Parallel()
	const least, most = 10_000, 1_000_000
	at := func(users int, name string, perSecond float64, cpu, database time.Duration) *result {
		r := made("postgres", name, 16, figures{perSecond: perSecond, cpu: cpu, database: database})
		r.subject.users, r.subject.floor = users, strings.HasPrefix(name, "floor ")
		return r
	}
	for _, c := range []struct {
		name           string
		perSecond      float64
		cpu            time.Duration
		longer, dearer bool // are met
	}{
		{"PUT", 2000, 250, true, true},
		{"PUT", 1999, 251, false, false},
		{"GET", 3334, 149, true, true}, // its floor does not grow at all: the depth counts
		{"GET", 3330, 151, false, false},
	} {
		f := growthFindings{command: &growthCommand{Users: []int{least, most}}, results: results{
			at(least, "floor PATCH", 6000, 60, 40), at(most, "floor PATCH", 3000, 100, 100),
			at(least, "floor GET", 6000, 60, 40), at(most, "floor GET", 6000, 60, 40),
			at(least, c.name, 5000, 60, 40), at(most, c.name, c.perSecond, c.cpu, 0),
		}}
		all := f.targets()
		if len(all) != 3 || all[0].met != c.longer || all[1].met != c.dearer {
			t.Errorf("%s with %v/s and %d: %+v", c.name, c.perSecond, c.cpu, all)
		}
	}
}

// TestGrowthIsOfTheSameWork has a program that remembers the users of the small directory: those it reads first are what a large one's
// are beside.
func TestGrowthIsOfTheSameWork(t *testing.T) {
	t.Parallel()
	const least, most = 10_000, 1_000_000
	at := func(users int, name string, perSecond float64, cpu time.Duration) *result {
		r := made("sqlite", name, 16, figures{perSecond: perSecond, cpu: cpu})
		r.subject.users = users
		return r
	}
	for _, c := range []struct {
		perSecond float64
		cpu       time.Duration
		met       bool
	}{{3050, 220, true}, {2950, 230, false}} {
		f := growthFindings{command: &growthCommand{Users: []int{least, most}}, results: results{
			at(least, "PATCH"+readFirst, 4500, 150), at(least, "PATCH", 6000, 100), at(most, "PATCH", c.perSecond, c.cpu),
			{subject: subject{engine: "sqlite", name: "PATCH" + largeCustomers, users: most}, connections: lone, runs: []figures{{p50: c.cpu}}},
			{subject: subject{engine: "sqlite", name: "PATCH" + smallCustomers, users: most}, connections: lone, runs: []figures{{p50: 100}}},
			{subject: subject{engine: "sqlite", name: "PATCH" + smallCustomers + readFirst, users: most}, connections: lone, runs: []figures{{p50: 150}}},
		}}
		all := f.targets()
		if len(all) != 5 || all[0].met != c.met || all[1].met != c.met || all[3].met != c.met ||
			all[0].what != "SQLite PATCH, 1000000 users: time a request, user read first" ||
			all[3].what != "SQLite PATCH, 1000000 users: p50 of the large customer's, of the small one's, user read first" {
			t.Errorf("with %v/s and %d: %+v", c.perSecond, c.cpu, all)
		}
	}
}

// TestResultsHaveSections: --write replaces them.
func TestResultsHaveSections(t *testing.T) {
	t.Parallel()
	for _, place := range [][2]string{{resultsFile, "bench"}, {resultsFile, "growth"}, {guideFile, "bench"}} {
		content, err := os.ReadFile("../../" + place[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := generated.Replace(string(content), place[1], ""); err != nil {
			t.Errorf("%s: %v", place[0], err)
		}
	}
}
