package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/procfs"
)

// findTools returns the path of pgbench, given the one from --pgbench. The error lists everything that is missing.
func findTools(given string) (pgbench string, err error) {
	var missing []error
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		missing = append(missing, errors.New("this needs Linux, whose /proc has the processor time and memory of a process"))
	}
	if _, err := exec.LookPath("wrk"); err != nil {
		missing = append(missing, errors.New("wrk, which makes the load, is not on the PATH: in Debian it is the package wrk"))
	}
	if pgbench, err = findPGBench(given); err != nil {
		missing = append(missing, err)
	}
	return pgbench, errors.Join(missing...)
}

// findPGBench returns the path of pgbench. If it is not on the PATH, it takes the newest that Debian installed.
func findPGBench(given string) (string, error) {
	if given != "" {
		at, err := exec.LookPath(given)
		if err != nil {
			return "", fmt.Errorf("--pgbench: %w", err)
		}
		return at, nil
	}
	if at, err := exec.LookPath("pgbench"); err == nil && exec.Command(at, "--version").Run() == nil { // #nosec G204 -- found on the PATH
		return at, nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pgbench") // the pattern is valid
	if len(found) == 0 {
		return "", errors.New("pgbench is neither on the PATH nor in /usr/lib/postgresql: in Debian it is in the package postgresql; set --pgbench if it is elsewhere")
	}
	return slices.MaxFunc(found, func(a, b string) int { return cmp.Compare(majorOf(a), majorOf(b)) }), nil
}

// majorOf returns the version in a path such as /usr/lib/postgresql/15/bin/pgbench.
func majorOf(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	return n
}

// describe returns a few lines that describe the program, the databases and the machine.
func (b *bench) describe(ctx context.Context) (lines []string, c *cluster, err error) {
	program, err := b.describeProgram(ctx)
	if err != nil {
		return nil, nil, err
	}
	postgres, c, err := describePostgres(ctx, b.Postgres)
	if err != nil {
		return nil, nil, err
	}
	if b.clients, err = clientsAtMost(ctx, b.Postgres); err != nil {
		return nil, nil, err
	}
	machine, err := procfs.NewDefaultFS()
	if err != nil {
		return nil, nil, err
	}
	disk := filesystemOf(b.folder)
	if disk == "tmpfs" || disk == "ramfs" {
		return nil, nil, fmt.Errorf("%s is in memory (%s), where nothing is durable: set --folder to one on a disk", filepath.Dir(b.folder), disk)
	}
	return []string{
		fmt.Sprintf("%s, on one machine that the server, the database and the load share: %d processors (%s), %s of memory, %s.",
			time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), processor(), totalMemory(machine), kernel()),
		program + ". " + postgres + fmt.Sprintf(". SQLite: synchronous=FULL, on %s. The load is made by %s, and by %s, which has at most %d connections here.",
			cmp.Or(disk, "an unknown filesystem"), versionOf("wrk", "-v"), versionOf(b.pgbenchAt, "--version"), b.clients),
		fmt.Sprintf("Each figure is the median of %d rounds of %s; of an even number, the slower of the two in the middle.", b.Rounds, b.Duration),
	}, c, nil
}

func (b *bench) describeProgram(ctx context.Context) (string, error) {
	text, err := b.output(ctx, "", "version", "--format", "json")
	if err != nil {
		return "", err
	}
	var v struct{ Version, Commit, Go string }
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return "", fmt.Errorf("version of the program: %w", err)
	}
	commit, dirty, _ := strings.Cut(v.Commit, "-")
	if commit = commit[:min(12, len(commit))]; dirty != "" {
		commit += " with changes"
	}
	return fmt.Sprintf("Dragoman %s, commit %s, built with %s", cmp.Or(v.Version, "of no version"), cmp.Or(commit, "unknown"), cmp.Or(v.Go, "an unknown Go")), nil
}

const (
	settling = 2 * time.Second // how long watch waits for the machine to settle
	watched  = 2 * time.Second // how long watch samples its load
	maxBusy  = 0.1             // the fraction of the processors' time that other programs may use for results to be written
)

// watch samples how busy the machine is while nothing is measured, and stores the maximum in busiest.
func (b *bench) watch(ctx context.Context) error {
	if err := wait(ctx, settling); err != nil {
		return err
	}
	used, all, err := processorTimes()
	if err != nil {
		return err
	}
	if err := wait(ctx, watched); err != nil {
		return err
	}
	usedThen, allThen, err := processorTimes()
	if err != nil {
		return err
	}
	b.busiest = max(b.busiest, (usedThen-used)/(allThen-all))
	return nil
}

// processorTimes returns the time that all processors have been in use since the machine started, and their total time, in seconds.
// Time stolen by the host of a virtual machine counts as used.
func processorTimes() (used, all float64, err error) {
	machine, err := procfs.NewDefaultFS()
	if err != nil {
		return 0, 0, fmt.Errorf("load of the machine: %w", err)
	}
	s, err := machine.Stat()
	if err != nil {
		return 0, 0, fmt.Errorf("load of the machine: %w", err)
	}
	t := s.CPUTotal
	used = t.User + t.Nice + t.System + t.IRQ + t.SoftIRQ + t.Steal // guests are in User
	return used, used + t.Idle + t.Iowait, nil
}

// describeBusy returns a sentence about how busy the machine was.
func (b *bench) describeBusy() string {
	return fmt.Sprintf("Before, between and after the rounds, other programs used at most %.0f%% of the processors' time.", 100*b.busiest)
}

// checkQuiet returns an error if other programs used more than maxBusy, which would distort the results.
func (b *bench) checkQuiet() error {
	if b.busiest <= maxBusy {
		return nil
	}
	return fmt.Errorf("nothing is written: other programs used %.0f%% of the processors' time, %.0f%% are allowed; stop them and measure again, or leave out --write",
		100*b.busiest, 100*maxBusy)
}

// postgresSettings are the settings that determine how durable and how fast a commit is.
var postgresSettings = []string{"fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "shared_buffers"}

func describePostgres(ctx context.Context, database string) (text string, c *cluster, err error) {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return "", nil, fmt.Errorf("the Postgres to measure on: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	var version string
	if err := conn.QueryRow(ctx, "SELECT current_setting('server_version')").Scan(&version); err != nil {
		return "", nil, fmt.Errorf("version of Postgres: %w", err)
	}
	version, _, _ = strings.Cut(version, " ")
	var settings []string
	for _, name := range postgresSettings {
		var value string
		if err := conn.QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&value); err != nil {
			return "", nil, fmt.Errorf("settings of Postgres: %w", err)
		}
		settings = append(settings, name+"="+value)
	}
	var pid int
	if err := conn.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		return "", nil, fmt.Errorf("process of Postgres: %w", err)
	}
	return "PostgreSQL " + version + ": " + strings.Join(settings, ", "), findCluster(pid), nil
}

// otherConnections is the number of connections to leave for the program, the floor and others while pgbench runs.
const otherConnections = 40

// clientsAtMost returns the number of connections that pgbench may open.
func clientsAtMost(ctx context.Context, database string) (n int, err error) {
	const free = "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
	if err := query(ctx, database, free, &n); err != nil {
		return 0, fmt.Errorf("the Postgres to measure on: %w", err)
	}
	if n -= otherConnections; n < 1 {
		return 0, fmt.Errorf("this Postgres allows too few connections: its max_connections must be above %d", otherConnections)
	}
	return n, nil
}

// withoutSchema splits a URL into one without the search_path, and the search_path.
func withoutSchema(database string) (rest, schema string) {
	u, err := url.Parse(database)
	if err != nil {
		return database, ""
	}
	q := u.Query()
	schema = q.Get("search_path")
	q.Del("search_path")
	u.RawQuery = q.Encode()
	return u.String(), schema
}

func logsOf(prefix string) ([]string, error) { return filepath.Glob(prefix + ".[0-9]*") }

// versionOf returns the first line of a program's version output, without copyright and build options.
func versionOf(program, flag string) string {
	out, _ := exec.Command(program, flag).CombinedOutput() // #nosec G204 -- wrk ends with 1 when it is asked
	line, _, _ := strings.Cut(string(out), "\n")
	line, _, _ = strings.Cut(line, " Copyright")
	line, _, _ = strings.Cut(line, " [")
	return cmp.Or(strings.TrimSpace(line), filepath.Base(program))
}

// processor returns Linux's name for the machine's processor.
func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func totalMemory(machine procfs.FS) string {
	memory, err := machine.Meminfo()
	if err != nil || memory.MemTotalBytes == nil {
		return "an unknown amount"
	}
	return fmt.Sprintf("%d GiB", (*memory.MemTotalBytes+1<<29)>>30)
}

func kernel() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	return "Linux " + strings.TrimSpace(string(release))
}

// filesystemOf returns the type of the filesystem that a folder is on, or "" if it is unknown.
func filesystemOf(folder string) string {
	out, err := exec.Command("df", "--output=fstype", folder).Output() // #nosec G204 -- an argument, and no shell
	if err != nil {
		return ""
	}
	_, kind, _ := strings.Cut(string(out), "\n") // below the title
	return strings.TrimSpace(kind)
}
