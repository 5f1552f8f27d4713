package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// subject is one thing to measure: a kind of request to a server, a script for pgbench, or a writer without a server.
type subject struct {
	engine, name string
	floor        bool // whether it is a baseline instead of the program
	only         int  // the number of connections to measure it with; 0: the run's numbers

	server             *process
	method, path, body string
	users              int // "{uuid}" and "{id}" in path and body are those of one of this many users
	company            int // current-company-id; 0: 1

	directory string // the database to read into the page cache before each run, if any

	database, statement string // a script for pgbench, and the database to run it on
	byHand              string // the SQLite file of a writer without a server
}

// figures are the results of one run of a subject. Those that a subject does not have are 0.
type figures struct {
	perSecond float64
	p50, p99  time.Duration
	// Processor time a request: of the server, of all processes of Postgres, and of the load generator.
	cpu, database, load time.Duration
	memory              int64 // peak resident memory of the server, in bytes
	errors              int
}

// run measures every subject at every number of connections, round by round.
func (b *bench) run(ctx context.Context, connections []int) (results, error) {
	var all results
	for _, s := range b.subjects {
		if s.only != 0 {
			all = append(all, &result{subject: s, connections: s.only})
		}
	}
	for _, n := range connections {
		for _, s := range b.subjects {
			if s.only == 0 {
				all = append(all, &result{subject: s, connections: n})
			}
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no benchmark has %q in its name", b.Only)
	}
	shown := term.IsTerminal(int(os.Stderr.Fd()))
	for round := range b.Rounds {
		if err := b.watch(ctx); err != nil {
			return nil, err
		}
		for i, r := range all {
			if shown {
				fmt.Fprintf(os.Stderr, "\rround %d of %d, %d of %d ", round+1, b.Rounds, i+1, len(all))
			}
			f, err := b.measure(ctx, r.subject, r.connections)
			if err != nil {
				return nil, fmt.Errorf("%s, %d connections: %w", label(r.subject), r.connections, err)
			}
			r.runs = append(r.runs, f)
		}
	}
	if shown {
		fmt.Fprintln(os.Stderr)
	}
	if err := b.watch(ctx); err != nil {
		return nil, err
	}
	b.machine = append(b.machine, b.describeBusy())
	return all, nil
}

func (b *bench) measure(ctx context.Context, s subject, connections int) (figures, error) {
	if s.byHand != "" {
		return commitByHand(ctx, s.byHand, b.Duration)
	}
	if s.directory != "" {
		if err := b.warm(ctx, s.directory); err != nil {
			return figures{}, err
		}
	}
	before, err := b.spent(s)
	if err != nil {
		return figures{}, err
	}
	var l load
	if s.statement != "" {
		l, err = b.pgbench(ctx, s, connections)
	} else {
		if err := s.server.resetMemory(); err != nil {
			return figures{}, err
		}
		l, err = b.wrk(ctx, s, connections, b.Duration)
		if errors.Is(err, errNoAnswer) {
			// Requests that take longer than a run are measured with a longer one.
			l, err = b.wrk(ctx, s, connections, b.Duration+answerTimeout)
		}
	}
	if err != nil {
		return figures{}, err
	}
	after, err := b.spent(s)
	if err != nil {
		return figures{}, err
	}
	requests := time.Duration(max(l.requests, 1))
	f := l.figures
	f.cpu, f.database, f.load = (after.server-before.server)/requests, (after.database-before.database)/requests, l.cpu/requests
	if s.server != nil {
		f.memory, err = s.server.memory()
	}
	return f, err
}

// processorTime is the total processor time of the server and of the database so far.
type processorTime struct{ server, database time.Duration }

func (b *bench) spent(s subject) (t processorTime, err error) {
	if s.server != nil {
		if t.server, err = s.server.cpu(); err != nil {
			return t, err
		}
	}
	if s.engine == "postgres" && b.cluster != nil {
		t.database, err = b.cluster.cpu()
	}
	return t, err
}

// load is what a load generator reports.
type load struct {
	figures
	requests int
	cpu      time.Duration // of the load generator
}

func cpuOf(command *exec.Cmd) time.Duration {
	return command.ProcessState.UserTime() + command.ProcessState.SystemTime()
}

// answerTimeout is wrk's timeout for a response. A run without any response is repeated with a duration longer by as much.
const answerTimeout = 60 * time.Second

// errNoAnswer: no request was answered during the run.
var errNoAnswer = errors.New("no answer")

func (b *bench) wrk(ctx context.Context, s subject, connections int, duration time.Duration) (load, error) {
	command := exec.CommandContext(ctx, "wrk", // #nosec G204 -- only numbers and our own paths
		"--threads", strconv.Itoa(min(connections, runtime.NumCPU())), "--connections", strconv.Itoa(connections),
		"--duration", wholeSeconds(duration), "--timeout", wholeSeconds(answerTimeout), "--script", b.file("load.lua"), "http://"+s.server.address)
	b.runs++
	command.Env = append(os.Environ(), "BENCH_RUN="+strconv.Itoa(b.runs), "BENCH_METHOD="+s.method, "BENCH_PATH="+s.path, "BENCH_BODY="+s.body,
		"BENCH_TOKEN="+b.token, "BENCH_USERS="+strconv.Itoa(s.users), "BENCH_COMPANY="+strconv.Itoa(max(s.company, 1)))
	out, err := command.CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	l, err := parseWrk(out)
	l.cpu = cpuOf(command)
	return l, err
}

// wholeSeconds formats a duration as wrk and pgbench expect it.
func wholeSeconds(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) }

// parseWrk reads the line that load.lua prints.
func parseWrk(out []byte) (load, error) {
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		text, ok := strings.CutPrefix(lines.Text(), "BENCH ")
		if !ok {
			continue
		}
		var report struct{ Requests, Microseconds, P50, P99, Errors int }
		if err := json.Unmarshal([]byte(text), &report); err != nil {
			return load{}, fmt.Errorf("wrk: %w", err)
		}
		if report.Requests == 0 || report.Microseconds == 0 {
			return load{}, fmt.Errorf("wrk: %w:\n%s", errNoAnswer, out)
		}
		return load{requests: report.Requests, figures: figures{
			perSecond: float64(report.Requests) / (float64(report.Microseconds) / 1e6),
			p50:       time.Duration(report.P50) * time.Microsecond,
			p99:       time.Duration(report.P99) * time.Microsecond,
			errors:    report.Errors,
		}}, nil
	}
	return load{}, fmt.Errorf("wrk printed no results:\n%s", out)
}

func (b *bench) pgbench(ctx context.Context, s subject, connections int) (load, error) {
	script := b.file("pgbench.sql")
	if err := os.WriteFile(script, []byte(s.statement), 0o600); err != nil {
		return load{}, err
	}
	target, schema := withoutSchema(s.database)
	connections = min(connections, b.clients)
	command := exec.CommandContext(ctx, b.pgbenchAt, "--no-vacuum", "--protocol", "prepared", "--file", script, // #nosec G204 -- as above
		"--client", strconv.Itoa(connections), "--jobs", strconv.Itoa(min(connections, runtime.NumCPU())),
		"--time", wholeSeconds(b.Duration), "--log", "--log-prefix", b.file("pgbench"), target)
	// libpq does not accept search_path in a URL.
	command.Env = append(os.Environ(), "PGOPTIONS=-c search_path="+schema)
	out, err := command.CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("pgbench: %w\n%s", err, out)
	}
	l, err := parsePGBench(string(out))
	if err != nil {
		return load{}, err
	}
	l.cpu = cpuOf(command)
	l.p50, l.p99, err = pgbenchLatencies(b.file("pgbench"))
	return l, err
}

func parsePGBench(out string) (l load, err error) {
	l.errors = -1
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "tps = "); ok {
			text, _, _ := strings.Cut(rest, " ")
			l.perSecond, err = strconv.ParseFloat(text, 64)
		} else if rest, ok := strings.CutPrefix(line, "number of transactions actually processed: "); ok {
			l.requests, err = strconv.Atoi(rest)
		} else if rest, ok := strings.CutPrefix(line, "number of failed transactions: "); ok {
			text, _, _ := strings.Cut(rest, " ")
			l.errors, err = strconv.Atoi(text)
		}
		if err != nil {
			return load{}, fmt.Errorf("pgbench: %w", err)
		}
	}
	// Before Postgres 15, pgbench does not count failed transactions but exits with an error.
	l.errors = max(l.errors, 0)
	if l.perSecond == 0 || l.requests == 0 {
		return load{}, fmt.Errorf("pgbench printed no results:\n%s", out)
	}
	return l, nil
}

// pgbenchLatencies reads and removes pgbench's logs. They have a line for each transaction, with its microseconds in the third field.
func pgbenchLatencies(prefix string) (p50, p99 time.Duration, err error) {
	logs, err := logsOf(prefix)
	if err != nil {
		return 0, 0, err
	}
	var all []time.Duration
	for _, name := range logs {
		content, err := os.ReadFile(name) // #nosec G304 -- the file is the benchmark's own
		if err != nil {
			return 0, 0, err
		}
		for line := range strings.Lines(string(content)) {
			fields := strings.Fields(line)
			if len(fields) < 3 {
				return 0, 0, fmt.Errorf("log of pgbench: %q", line)
			}
			us, err := strconv.Atoi(fields[2])
			if err != nil {
				continue // "failed" or "skipped"
			}
			all = append(all, time.Duration(us)*time.Microsecond)
		}
		if err := os.Remove(name); err != nil {
			return 0, 0, err
		}
	}
	p50, p99 = percentiles(all)
	return p50, p99, nil
}

func percentiles(all []time.Duration) (p50, p99 time.Duration) {
	if len(all) == 0 {
		return 0, 0
	}
	slices.Sort(all)
	return all[len(all)*50/100], all[len(all)*99/100]
}

// commitByHand measures a single durable write on this disk, made in this process: one statement on one row, and its commit.
func commitByHand(ctx context.Context, file string, d time.Duration) (f figures, err error) {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return figures{}, err
	}
	db.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, s := range []string{
		"CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, first_name TEXT NOT NULL)",
		"INSERT OR IGNORE INTO users (id, first_name) VALUES (1, 'Ada')",
	} {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return figures{}, fmt.Errorf("commit by hand: %w", err)
		}
	}
	update, err := db.PrepareContext(ctx, "UPDATE users SET first_name = ? WHERE id = 1")
	if err != nil {
		return figures{}, fmt.Errorf("commit by hand: %w", err)
	}
	var all []time.Duration
	began := time.Now()
	for time.Since(began) < d {
		before := time.Now()
		if _, err := update.ExecContext(ctx, "Ada "+strconv.Itoa(len(all))); err != nil {
			return figures{}, fmt.Errorf("commit by hand: %w", err)
		}
		all = append(all, time.Since(before))
	}
	f.perSecond = float64(len(all)) / time.Since(began).Seconds()
	f.p50, f.p99 = percentiles(all)
	return f, update.Close()
}

func median(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

// paced calls next in each lane, one call after the other, for a while: so many a second in all. due is when a call was to begin, which it may
// not have if the one before it took long.
func paced(ctx context.Context, lanes, perSecond int, d time.Duration, next func(lane int, due time.Time)) {
	var group sync.WaitGroup
	interval := time.Duration(lanes) * time.Second / time.Duration(perSecond)
	began := time.Now()
	for lane := range lanes {
		group.Go(func() {
			for due := began.Add(interval * time.Duration(lane) / time.Duration(lanes)); due.Sub(began) < d; due = due.Add(interval) {
				if wait(ctx, time.Until(due)) != nil {
					return
				}
				next(lane, due)
			}
		})
	}
	group.Wait()
}

// caller sends requests with a token.
type caller struct{ base, token, contentType string }

// send sends a request and returns the status and the body of the answer. If it is a success, into is read from it unless it is nil.
func (c caller) send(ctx context.Context, client *http.Client, method, path, body string, into any) (status int, content []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.Header.Set("Content-Type", c.contentType)
	answer, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, answer.Body.Close()) }()
	content, err = io.ReadAll(answer.Body)
	if err == nil && into != nil && answer.StatusCode < http.StatusMultipleChoices {
		err = json.Unmarshal(content, into)
	}
	return answer.StatusCode, content, err
}
