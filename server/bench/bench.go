package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// measureFlags are the flags common to all measuring commands.
type measureFlags struct {
	Program  string        `required:"" type:"existingfile" help:"The program to measure."`
	Postgres string        `env:"TEST_POSTGRES_DSN" help:"The URL of a Postgres to measure on; the benchmark creates and drops schemas in it."`
	PGBench  string        `name:"pgbench" placeholder:"FILE" help:"The path of pgbench, if it is neither on the PATH nor where Debian installs it."`
	Folder   string        `type:"existingdir" placeholder:"FOLDER" help:"The folder for the SQLite database, if not the one for temporary files."`
	Rounds   int           `default:"3" help:"How often to measure each benchmark; the result is the median."`
	Duration time.Duration `default:"3s" help:"How long to measure in each round."`
	Only     string        `placeholder:"WORD" help:"Measure only benchmarks whose name contains this, such as 'sqlite PATCH'."`
	Write    bool          `help:"Also write the results to server/bench/RESULTS.md and server/docs/guide/performance.md in the working directory."`
}

// Validate rejects flags that no measurement is possible with.
func (f *measureFlags) Validate() error {
	switch {
	case f.Postgres == "":
		return errors.New("this needs a Postgres: set TEST_POSTGRES_DSN, or give --postgres")
	case f.Rounds < 1:
		return errors.New("--rounds must be at least 1")
	case f.Duration < time.Second || f.Duration%time.Second != 0:
		return errors.New("--duration must be whole seconds, as pgbench accepts no fractions")
	case f.Write && f.Only != "":
		return errors.New("--write requires results of all benchmarks, so it cannot be combined with --only")
	}
	return nil
}

// bench is the state of a run of the benchmark.
type bench struct {
	*measureFlags
	pgbenchAt string
	clients   int      // the maximum number of pgbench's clients
	machine   []string // lines that describe the program and the machine
	busiest   float64  // the largest fraction of the processors' time that other programs used; see watch
	cluster   *cluster // nil if the processes of Postgres are not visible
	folder    string
	secret    []byte // DRAGOMAN_SECRET_KEY
	keys      []string
	token     string
	subjects  []subject
	programs  []*process
	prewarm   string // the qualified name of the function pg_prewarm, or ""; see findPrewarm
	runs      int    // the number of wrk's runs so far
	stop      []func()
}

//go:embed load.lua
var loadScript []byte

// The customer that has all users but one, and the customer that has that one.
const (
	customerUUID  = "00000000-0000-4000-8000-000000000000"
	smallCustomer = "00000000-0000-4000-9000-000000000000"
)

// userUUID returns the UUID of the user with this id, as load.lua computes it, too.
func userUUID(id int) string { return fmt.Sprintf(uuidFormat, id) }

const uuidFormat = "00000000-0000-4000-8000-%012x"

// newBench finds the tools, describes the machine and prepares a bench.
func newBench(ctx context.Context, c *measureFlags) (*bench, error) {
	b := &bench{measureFlags: c}
	if err := b.prepare(ctx); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bench) prepare(ctx context.Context) (err error) {
	if b.pgbenchAt, err = findTools(b.PGBench); err != nil {
		return err
	}
	if b.folder, err = os.MkdirTemp(b.Folder, "dragoman-bench-"); err != nil {
		return err
	}
	if b.machine, b.cluster, err = b.describe(ctx); err != nil {
		return err
	}
	if err := os.WriteFile(b.file("load.lua"), loadScript, 0o600); err != nil {
		return err
	}
	b.secret = key(32)
	b.keys = []string{
		"DRAGOMAN_SECRET_KEY=" + base64.StdEncoding.EncodeToString(b.secret),
		"DRAGOMAN_JWT_SECRET=" + base64.StdEncoding.EncodeToString(key(48)),
	}
	token, err := b.output(ctx, "", "token", "--customer", customerUUID, "--customer", "1", "--customer", smallCustomer, "--customer", "2",
		"--authority", "ROLE_COMPANY_ADMIN", "--expires", "24h")
	b.token = strings.TrimSpace(token)
	return err
}

func (b *bench) file(name string) string { return filepath.Join(b.folder, name) }

func key(bytes int) []byte {
	raw := make([]byte, bytes)
	_, _ = rand.Read(raw) // never fails
	return raw
}

// add adds a subject to those to measure, unless --only excludes it.
func (b *bench) add(s subject) {
	if b.wants(s) {
		b.subjects = append(b.subjects, s)
	}
}

func (b *bench) wants(s subject) bool { return strings.Contains(s.engine+" "+s.name, b.Only) }

func (b *bench) close() {
	for _, stop := range slices.Backward(b.stop) {
		stop()
	}
	if b.folder != "" {
		_ = os.RemoveAll(b.folder)
	}
}

// newSchema creates a Postgres schema, which close drops, and returns a URL with it as the search_path.
func (b *bench) newSchema(ctx context.Context) (database string, err error) {
	u, err := url.Parse(b.Postgres)
	if err != nil || !strings.HasPrefix(u.Scheme, "postgres") {
		return "", errors.New("the Postgres to measure on is not given as a URL that begins with postgres://")
	}
	schema := "bench_" + strings.ToLower(rand.Text())
	if err := execute(ctx, b.Postgres, "CREATE SCHEMA "+schema); err != nil {
		return "", err
	}
	b.stop = append(b.stop, func() { _ = execute(context.WithoutCancel(ctx), b.Postgres, "DROP SCHEMA "+schema+" CASCADE") })
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String(), nil
}

func execute(ctx context.Context, database string, statements ...string) error {
	c, err := pgx.Connect(ctx, database)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	for _, s := range statements {
		_, execErr := c.Exec(ctx, s)
		err = errors.Join(err, execErr)
	}
	return errors.Join(err, c.Close(ctx))
}

// query runs a statement that returns a single value.
func query(ctx context.Context, database, statement string, into any) error {
	if file, ok := strings.CutPrefix(database, "sqlite:"); ok {
		db, err := sql.Open("sqlite", "file:"+file+"?mode=ro")
		if err != nil {
			return fmt.Errorf("open %s: %w", file, err)
		}
		return errors.Join(db.QueryRowContext(ctx, statement).Scan(into), db.Close())
	}
	c, err := pgx.Connect(ctx, database)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return errors.Join(c.QueryRow(ctx, statement).Scan(into), c.Close(ctx))
}

// engineOf returns the name of a database's engine, given its URL.
func engineOf(database string) string {
	if strings.HasPrefix(database, "sqlite:") {
		return "sqlite"
	}
	return "postgres"
}

// environment returns the environment variables for the program. A command that needs no database passes "".
func (b *bench) environment(database string) []string {
	if database == "" {
		return b.keys
	}
	return append(slices.Clone(b.keys), "DRAGOMAN_DATABASE="+database)
}

// output runs the program and returns what it prints.
func (b *bench) output(ctx context.Context, database string, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, b.Program, arguments...) // #nosec G204 -- the operator names the program
	command.Env = append(os.Environ(), b.environment(database)...)
	var failed bytes.Buffer
	command.Stderr = &failed
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", b.Program, arguments[0], err, failed.Bytes())
	}
	return string(out), nil
}

// startProgram starts the server on a database, configured as in production apart from flags, and returns when it is ready.
func (b *bench) startProgram(ctx context.Context, database string, flags ...string) (*process, error) {
	admin, err := freeAddress()
	if err != nil {
		return nil, err
	}
	arguments := append([]string{
		"serve", "--listen", "{address}", "--admin-listen", admin, "--admin-pprof", "--log-format", "json",
		"--rate-limit-address", "1000000000", "--rate-limit-address-burst", "1000000000",
		"--rate-limit-principal", "1000000000", "--rate-limit-principal-burst", "1000000000",
		"--max-in-flight", "1000000000",
	}, flags...)
	server, err := start(ctx, b.file(fmt.Sprintf("program%d.log", len(b.stop))), b.environment(database), b.Program, arguments...)
	if err != nil {
		return nil, err
	}
	server.admin = admin
	if err := server.ready(); err != nil {
		server.stop()
		return nil, err
	}
	b.stop = append(b.stop, server.stop)
	b.programs = append(b.programs, server)
	return server, nil
}

// startFloor starts the floor on a database, as another process of this program.
func (b *bench) startFloor(ctx context.Context, database string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	floor, err := start(ctx, b.file(fmt.Sprintf("floor%d.log", len(b.stop))), nil, self, "floor", "--listen", "{address}", "--postgres", database)
	if err != nil {
		return nil, err
	}
	b.stop = append(b.stop, floor.stop)
	return floor, nil
}

// floorSubjects returns the subjects to measure on a floor.
func floorSubjects(floor *process) []subject {
	all := []subject{
		{name: "floor PATCH", method: "PATCH", path: "/users/{uuid}", body: patchBody},
		{name: "floor PATCH" + batched, method: "PATCH", path: "/batched/{uuid}", body: patchBody},
		{name: "floor GET", method: "GET", path: "/users/{uuid}"},
	}
	for i := range all {
		all[i].engine, all[i].server, all[i].floor = "postgres", floor, true
	}
	return all
}

const (
	starts = 7               // the number of starts to take the median of
	quiet  = 4 * time.Second // how long after its start a program without requests counts as idle
	// afterLoad is how long after the last request a program counts as idle. By then Go has run two forced garbage collections and
	// returned the memory, and the cached users have expired.
	afterLoad = 5 * time.Minute
)

// measureStarts starts the program several times on an existing database. It returns the median time until the program was ready, and
// its resident memory once it was idle.
func (b *bench) measureStarts(ctx context.Context, database string) (took time.Duration, idle int64, err error) {
	var all []time.Duration
	for range starts {
		began := time.Now()
		server, err := b.startProgram(ctx, database)
		if err != nil {
			return 0, 0, err
		}
		all = append(all, time.Since(began))
		if len(all) == starts {
			if err := wait(ctx, quiet); err != nil {
				return 0, 0, err
			}
			idle, err = server.resident()
		}
		server.stop()
		b.stop, b.programs = b.stop[:len(b.stop)-1], b.programs[:len(b.programs)-1]
		if err != nil {
			return 0, 0, err
		}
	}
	slices.Sort(all)
	return all[len(all)/2], idle, nil
}

// idleAfterLoad waits until the programs are idle after the last request, and returns the largest resident memory of any of them.
func (b *bench) idleAfterLoad(ctx context.Context) (most int64, err error) {
	if err := wait(ctx, afterLoad); err != nil {
		return 0, err
	}
	for _, p := range b.programs {
		n, err := p.resident()
		if err != nil {
			return 0, err
		}
		most = max(most, n)
	}
	return most, nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
