package main

import (
	"bytes"
	"context"
	"crypto/rand"
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

// measureFlags are what every measuring command is told.
type measureFlags struct {
	Program  string        `required:"" type:"existingfile" help:"The program to measure."`
	Postgres string        `env:"TEST_POSTGRES_DSN" help:"The URL of a Postgres to measure on; schemas are made and dropped."`
	PGBench  string        `name:"pgbench" placeholder:"FILE" help:"Where pgbench is, if it is neither on the PATH nor where Debian has it."`
	Folder   string        `type:"existingdir" placeholder:"FOLDER" help:"On which disk the SQLite database is to be, if not on that of temporary files."`
	Rounds   int           `default:"3" help:"How often each is measured; the median counts."`
	Duration time.Duration `default:"3s" help:"How long each time."`
	Only     string        `placeholder:"WORD" help:"Measure only what has this in its name, such as 'sqlite PATCH'."`
	Write    bool          `help:"Write the results into server/bench/RESULTS.md and server/docs/guide/performance.md of the working directory, too."`
}

// Validate refuses what nothing can be measured with.
func (f *measureFlags) Validate() error {
	switch {
	case f.Postgres == "":
		return errors.New("this needs a Postgres: set TEST_POSTGRES_DSN, or give --postgres")
	case f.Rounds < 1:
		return errors.New("--rounds must be at least 1")
	case f.Duration < time.Second || f.Duration%time.Second != 0:
		return errors.New("--duration must be whole seconds, as pgbench knows no others")
	case f.Write && f.Only != "":
		return errors.New("--write is for results of everything, without --only")
	}
	return nil
}

// bench is everything that runs while it is measured.
type bench struct {
	*measureFlags
	pgbenchAt string
	clients   int      // that pgbench may have at most
	machine   []string // lines that describe what is measured, and on what
	busiest   float64  // the largest share of the processors' time that other programs used, of 1; see watch
	cluster   *cluster // nil where the processes of Postgres cannot be seen
	folder    string
	secret    []byte // DRAGOMAN_SECRET_KEY
	keys      []string
	token     string
	subjects  []subject
	programs  []*process
	prewarm   string // a function of Postgres's; see findPrewarm
	runs      int    // of wrk, so far
	stop      []func()
}

//go:embed load.lua
var loadScript []byte

// The customer with all the users, and the one with a single user.
const (
	customerUUID  = "00000000-0000-4000-8000-000000000000"
	smallCustomer = "00000000-0000-4000-9000-000000000000"
)

// userUUID is the UUID of the user with this id, and what load.lua makes of it.
func userUUID(id int) string { return fmt.Sprintf(uuidFormat, id) }

const uuidFormat = "00000000-0000-4000-8000-%012x"

// newBench finds out what there is to measure with.
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
	_, _ = rand.Read(raw) // it never fails
	return raw
}

// add has a subject measured, unless --only names others.
func (b *bench) add(s subject) {
	if strings.Contains(s.engine+" "+s.name, b.Only) {
		b.subjects = append(b.subjects, s)
	}
}

func (b *bench) close() {
	for _, stop := range slices.Backward(b.stop) {
		stop()
	}
	if b.folder != "" {
		_ = os.RemoveAll(b.folder)
	}
}

// newSchema makes a schema of Postgres, which goes in the end, and returns a URL that leads into it.
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

// query runs a statement that gives one value.
func query(ctx context.Context, database, statement string, into any) error {
	c, err := pgx.Connect(ctx, database)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return errors.Join(c.QueryRow(ctx, statement).Scan(into), c.Close(ctx))
}

// engineOf says on which engine a database is, by its URL.
func engineOf(database string) string {
	if strings.HasPrefix(database, "sqlite:") {
		return "sqlite"
	}
	return "postgres"
}

// environment is what the program is given, for a database if it needs one.
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

// startProgram serves a directory, with everything on that an operator has on and what flags say, and returns when it is ready.
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

// startFloor serves the floor, which is another run of this program.
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

// floorSubjects are what is measured of a floor.
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
	starts = 7               // of which the median counts
	quiet  = 4 * time.Second // without a request, before a program that was only started is idle
	// afterLoad is how long after a load a program is idle: by then Go has collected its garbage and returned the memory, twice, and
	// the users that it remembered are forgotten.
	afterLoad = 5 * time.Minute
)

// measureStarts starts the program several times on a database that is there, and returns how long it took until it was ready, and how
// much memory it had resident a while later.
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

// idleAfterLoad returns the most memory that a program has resident some time after the last request.
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
