package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/base64"
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
)

// subject is one thing to measure: a kind of request to a server.
type subject struct {
	name         string
	engine       string // what the figures are read beside: "postgres" or "sqlite"
	server       *process
	method, path string
	body         string
	statement    string // for pgbench, in the place of all of the above
}

// figures are what one run of a subject gave. Those that a subject does not have are 0.
type figures struct {
	perSecond float64
	p50, p99  time.Duration
	cpu       time.Duration // of the server, a request
	memory    int64         // of the server at its peak, in bytes
	errors    int
}

// result is all the runs of a subject at a number of connections.
type result struct {
	subject     subject
	connections int
	runs        []figures
}

// bench is everything that runs while it is measured.
type bench struct {
	*runCommand
	folder   string
	schema   string
	database string // the URL of the schema
	token    string
	subjects []subject
	stop     []func()
	startup  time.Duration // of the program on a SQLite database that is there, until it is ready
	idle     int64         // its resident memory then, in bytes
}

//go:embed load.lua
var loadScript []byte

const (
	patchBody = `{"first_name":"Ada {n}","mobile":"+44 20 7946 0000"}`
	putBody   = `{"name":"Ada {n}","surname":"Lovelace","username":"user{id}","email":"user{id}@example.com","enabled":true,` +
		`"accountNonExpired":true,"accountNonLocked":true,"credentialNonExpired":true,"authorities":[{"name":"ROLE_USER"}]}`
	worthUsers     = "/auth/api/v1/customers/" + customerUUID + "/users"
	testiniumUsers = "/account/api/v1/customers/1/users"
	customerUUID   = "00000000-0000-4000-8000-000000000000"
)

// newBench fills a directory on each engine and starts every server.
func newBench(ctx context.Context, c *runCommand) (b *bench, err error) {
	b = &bench{runCommand: c, schema: "bench_" + strings.ToLower(rand.Text())}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if b.folder, err = os.MkdirTemp("", "dragoman-bench-"); err != nil {
		return nil, err
	}
	if err := os.WriteFile(b.file("load.lua"), loadScript, 0o600); err != nil {
		return nil, err
	}
	if err := b.makeSchema(ctx); err != nil {
		return nil, err
	}
	keys := []string{"DRAGOMAN_SECRET_KEY=" + key(32), "DRAGOMAN_JWT_SECRET=" + key(48)}
	token, err := b.output(ctx, keys, "token", "--customer", customerUUID, "--customer", "1", "--authority", "ROLE_COMPANY_ADMIN", "--expires", "24h")
	if err != nil {
		return nil, err
	}
	b.token = strings.TrimSpace(token)
	floor, err := b.startFloor(ctx)
	if err != nil {
		return nil, err
	}
	b.add("pgbench UPDATE", "postgres", subject{statement: `\set id random(1, ` + strconv.Itoa(c.Users) + `)
\set n random(1, 1000000000)
UPDATE users SET first_name = 'Ada ' || :n::text, first_name_fold = 'ada ' || :n::text, mobile = '+44 20 7946 0000', updated_at = :n, version = version + 1 WHERE customer_id = 1 AND id = :id
`})
	b.add("floor PATCH", "postgres", subject{server: floor, method: "PATCH", path: "/users/{uuid}", body: patchBody})
	b.add("floor GET", "postgres", subject{server: floor, method: "GET", path: "/users/{uuid}"})
	for _, engine := range []string{"postgres", "sqlite"} {
		database := b.database
		if engine == "sqlite" {
			database = "sqlite:" + b.file("dragoman.db")
		}
		server, err := b.startProgram(ctx, engine, append(keys, "DRAGOMAN_DATABASE="+database))
		if err != nil {
			return nil, err
		}
		b.add("PATCH", engine, subject{server: server, method: "PATCH", path: worthUsers + "/{uuid}", body: patchBody})
		b.add("PUT", engine, subject{server: server, method: "PUT", path: testiniumUsers + "/{id}", body: putBody})
		b.add("GET", engine, subject{server: server, method: "GET", path: worthUsers + "/{uuid}"})
		b.add("list", engine, subject{server: server, method: "GET", path: worthUsers + "?page=1"})
	}
	return b, nil
}

func (b *bench) file(name string) string { return filepath.Join(b.folder, name) }

func key(bytes int) string {
	raw := make([]byte, bytes)
	_, _ = rand.Read(raw) // it never fails
	return base64.StdEncoding.EncodeToString(raw)
}

func (b *bench) add(name, engine string, s subject) {
	s.name, s.engine = name, engine
	if strings.Contains(engine+" "+name, b.Only) {
		b.subjects = append(b.subjects, s)
	}
}

func (b *bench) close() {
	for _, stop := range slices.Backward(b.stop) {
		stop()
	}
	_ = os.RemoveAll(b.folder)
}

func (b *bench) makeSchema(ctx context.Context) error {
	u, err := url.Parse(b.Postgres)
	if err != nil {
		return errors.New("the Postgres to measure on is no URL")
	}
	if err := execute(ctx, b.Postgres, "CREATE SCHEMA "+b.schema); err != nil {
		return err
	}
	b.stop = append(b.stop, func() { _ = execute(context.WithoutCancel(ctx), b.Postgres, "DROP SCHEMA "+b.schema+" CASCADE") })
	q := u.Query()
	q.Set("search_path", b.schema)
	u.RawQuery = q.Encode()
	b.database = u.String()
	return nil
}

func execute(ctx context.Context, database, statement string) error {
	c, err := pgx.Connect(ctx, database)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	_, err = c.Exec(ctx, statement)
	return errors.Join(err, c.Close(ctx))
}

// output runs the program and returns what it prints.
func (b *bench) output(ctx context.Context, environment []string, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, b.Program, arguments...) // #nosec G204 -- the operator names the program
	command.Env = append(os.Environ(), environment...)
	var failed bytes.Buffer
	command.Stderr = &failed
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", b.Program, arguments[0], err, failed.Bytes())
	}
	return string(out), nil
}

// startProgram fills the program's directory and serves it, with everything on that an operator has on.
func (b *bench) startProgram(ctx context.Context, engine string, environment []string) (*process, error) {
	_, err := b.output(ctx, environment, "customer", "add", "--name", "Bench", "--id", "1", "--uuid", customerUUID, "--company", "1=Bench")
	if err != nil {
		return nil, err
	}
	if err := b.writeUsers(); err != nil {
		return nil, err
	}
	if _, err := b.output(ctx, environment, "import", b.file("users.csv")); err != nil {
		return nil, err
	}
	if engine == "postgres" {
		if err := execute(ctx, b.database, "VACUUM ANALYZE users"); err != nil {
			return nil, err
		}
	}
	began := time.Now()
	server, err := start(ctx, b.file(engine+".log"), environment, b.Program, "serve", "--listen", "{address}", "--admin-listen", "127.0.0.1:0", "--log-format", "json",
		"--rate-limit-address", "1000000000", "--rate-limit-address-burst", "1000000000",
		"--rate-limit-principal", "1000000000", "--rate-limit-principal-burst", "1000000000")
	if err != nil {
		return nil, err
	}
	b.stop = append(b.stop, server.stop)
	if err := server.ready(); err != nil {
		return nil, err
	}
	if engine == "sqlite" {
		b.startup = time.Since(began)
		if b.idle, err = server.memory(); err != nil {
			return nil, err
		}
	}
	return server, nil
}

// writeUsers writes the file of users that is imported.
func (b *bench) writeUsers() error {
	var file bytes.Buffer
	file.WriteString("id,uuid,customer,first_name,last_name,username,email,roles,status\n")
	for n := 1; n <= b.Users; n++ {
		fmt.Fprintf(&file, "%d,00000000-0000-4000-8000-%012x,1,Ada,Lovelace,user%d,user%d@example.com,ROLE_USER,ACTIVE\n", n, n, n, n)
	}
	return os.WriteFile(b.file("users.csv"), file.Bytes(), 0o600)
}

// startFloor serves the floor, which is another run of this program.
func (b *bench) startFloor(ctx context.Context) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	floor, err := start(ctx, b.file("floor.log"), nil, self, "floor", "--listen", "{address}", "--postgres", b.database)
	if err != nil {
		return nil, err
	}
	b.stop = append(b.stop, floor.stop)
	return floor, nil
}

// run measures every subject at every number of connections, round by round.
func (b *bench) run(ctx context.Context) ([]*result, error) {
	var all []*result
	for _, n := range b.Connections {
		for _, s := range b.subjects {
			all = append(all, &result{subject: s, connections: n})
		}
	}
	for round := range b.Rounds {
		for i, r := range all {
			fmt.Fprintf(os.Stderr, "\rround %d of %d, %d of %d", round+1, b.Rounds, i+1, len(all))
			f, err := b.measure(ctx, r.subject, r.connections)
			if err != nil {
				return nil, fmt.Errorf("%s %s, %d connections: %w", r.subject.engine, r.subject.name, r.connections, err)
			}
			r.runs = append(r.runs, f)
		}
	}
	fmt.Fprintln(os.Stderr)
	return all, nil
}

func (b *bench) measure(ctx context.Context, s subject, connections int) (figures, error) {
	if s.statement != "" {
		return b.pgbench(ctx, s, connections)
	}
	before, err := s.server.cpu()
	if err != nil {
		return figures{}, err
	}
	if err := s.server.resetMemory(); err != nil {
		return figures{}, err
	}
	f, requests, err := b.wrk(ctx, s, connections)
	if err != nil {
		return figures{}, err
	}
	after, err := s.server.cpu()
	if err != nil {
		return figures{}, err
	}
	f.cpu = (after - before) / time.Duration(max(requests, 1))
	f.memory, err = s.server.memory()
	return f, err
}

func (b *bench) wrk(ctx context.Context, s subject, connections int) (figures, int, error) {
	command := exec.CommandContext(ctx, "wrk", // #nosec G204 -- only numbers and our own paths
		"--threads", strconv.Itoa(min(connections, runtime.NumCPU())), "--connections", strconv.Itoa(connections),
		"--duration", b.Duration.String(), "--timeout", "20s", "--script", b.file("load.lua"), "http://"+s.server.address)
	command.Env = append(os.Environ(), "BENCH_METHOD="+s.method, "BENCH_PATH="+s.path, "BENCH_BODY="+s.body,
		"BENCH_TOKEN="+b.token, "BENCH_USERS="+strconv.Itoa(b.Users))
	out, err := command.CombinedOutput()
	if err != nil {
		return figures{}, 0, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		text, ok := strings.CutPrefix(lines.Text(), "BENCH ")
		if !ok {
			continue
		}
		var told struct{ Requests, Microseconds, P50, P99, Errors int }
		if err := json.Unmarshal([]byte(text), &told); err != nil {
			return figures{}, 0, fmt.Errorf("wrk: %w", err)
		}
		return figures{
			perSecond: float64(told.Requests) / (float64(told.Microseconds) / 1e6),
			p50:       time.Duration(told.P50) * time.Microsecond,
			p99:       time.Duration(told.P99) * time.Microsecond,
			errors:    told.Errors,
		}, told.Requests, nil
	}
	return figures{}, 0, fmt.Errorf("wrk told nothing:\n%s", out)
}

func (b *bench) pgbench(ctx context.Context, s subject, connections int) (figures, error) {
	script := b.file("pgbench.sql")
	if err := os.WriteFile(script, []byte(s.statement), 0o600); err != nil {
		return figures{}, err
	}
	command := exec.CommandContext(ctx, b.PGBench, "--no-vacuum", "--protocol", "prepared", "--file", script, // #nosec G204 -- as above
		"--client", strconv.Itoa(connections), "--jobs", strconv.Itoa(min(connections, runtime.NumCPU())),
		"--time", strconv.Itoa(max(1, int(b.Duration.Seconds()))), b.Postgres)
	// libpq knows no search_path in a URL.
	command.Env = append(os.Environ(), "PGOPTIONS=-c search_path="+b.schema)
	out, err := command.CombinedOutput()
	if err != nil {
		return figures{}, fmt.Errorf("pgbench: %w\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if rest, ok := strings.CutPrefix(line, "tps = "); ok {
			number, _, _ := strings.Cut(rest, " ")
			perSecond, err := strconv.ParseFloat(number, 64)
			return figures{perSecond: perSecond}, err
		}
	}
	return figures{}, fmt.Errorf("pgbench told nothing:\n%s", out)
}
