//go:build linux

package faulttest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The crash test repeatedly kills the program and Postgres while clients write in both dialects, and then checks that all
// acknowledged writes are in the directory. KILLS is the number of kills. SEED repeats the random delays of an earlier run.

const (
	killsVariable = "KILLS"
	seedVariable  = "SEED"
	fewKills      = 8
)

// crash is a run of the crash test.
type crash struct {
	binary   string
	env      []string
	dir      string
	postgres *cluster // nil: SQLite
	kills    int
	rng      *rand.Rand

	*ledger
	program *program
	names   atomic.Int64
	took    []time.Duration // from each kill to the first answer
}

func newCrash(t testing.TB, binary, database string, postgres *cluster, kills int) *crash {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s=%d", seedVariable, seed)
	c := &crash{
		binary: binary, env: append(environment(database), "DRAGOMAN_SHUTDOWN_TIMEOUT=5s"), dir: folder(t),
		postgres: postgres, kills: kills, rng: rand.New(rand.NewPCG(seed, 0)), ledger: newLedger(),
	}
	t.Cleanup(func() {
		if c.program != nil {
			c.program.kill()
		}
	})
	return c
}

// run kills the program and Postgres repeatedly, and returns the faults that it finds.
func (c *crash) run(ctx context.Context) error {
	if err := c.restart(); err != nil {
		return err
	}
	if err := c.populate(ctx); err != nil {
		return err
	}
	if c.postgres != nil {
		// A Postgres that loses writes on purpose must not lose the tables.
		if err := c.postgres.checkpoint(ctx); err != nil {
			return err
		}
	}
	for k := range c.kills {
		if err := c.once(ctx); err != nil {
			return fmt.Errorf("after kill %d: %w", k+1, err)
		}
	}
	return c.verifyAll(ctx, c.program.client)
}

// restart starts the program.
func (c *crash) restart() error {
	p, err := start(c.binary, c.dir, c.env, serve("--request-timeout=10s")...)
	if err != nil {
		return err
	}
	c.program = p
	return p.awaitListening()
}

// populate creates further users for the clients to update.
func (c *crash) populate(ctx context.Context) error {
	c.subjects = append(c.subjects, &subject{id: 6860, uuid: strings.TrimPrefix(worthAda, worthUsers+"/"), fields: map[string]any{}})
	var made []creation
	for range 5 {
		user, err := c.create(ctx, c.program.client)
		if err != nil {
			return err
		}
		made = append(made, user)
	}
	if err := c.follow(ctx, c.program.client); err != nil {
		return err
	}
	for _, user := range made {
		for _, row := range c.feed.seen {
			if row.RequestID == user.request {
				c.subjects = append(c.subjects, &subject{id: row.User, uuid: user.uuid, fields: map[string]any{}})
			}
		}
	}
	if len(c.subjects) != len(made)+1 {
		return errors.New("the feed lacks created users")
	}
	return nil
}

// once kills while clients write, restarts what was killed, and verifies the directory.
func (c *crash) once(ctx context.Context) error {
	first := make(chan struct{})
	client := c.program.client
	until, stop := context.WithCancel(ctx)
	clients := c.load(until, client, sync.OnceFunc(func() { close(first) }))
	defer clients.Wait()
	defer stop()
	select {
	case <-first:
	case <-time.After(waitLimit):
		return errors.New("no write is acknowledged")
	}
	time.Sleep(time.Duration(c.rng.Int64N(int64(60 * time.Millisecond)))) // kill at a random time
	c.kill()
	stop()
	clients.Wait()
	if err := errors.Join(clients.errs...); err != nil {
		return err
	}
	killed := time.Now()
	if err := c.revive(); err != nil {
		return err
	}
	err := poll(recovery, func() error {
		_, err := c.program.read(ctx, worthAda, nil)
		return err
	})
	if err != nil {
		return fmt.Errorf("no recovery: %w", err)
	}
	c.took = append(c.took, time.Since(killed))
	return c.verify(ctx, c.program.client)
}

// kill kills the program, Postgres, or both.
func (c *crash) kill() {
	victims := 0 // the program
	if c.postgres != nil {
		victims = c.rng.IntN(3)
	}
	if victims > 0 {
		c.postgres.kill()
	}
	if victims != 1 {
		c.program.kill()
	}
}

// revive restarts what was killed.
func (c *crash) revive() error {
	if c.postgres != nil && !c.postgres.runs() {
		if err := c.postgres.restart(); err != nil {
			return err
		}
	}
	select {
	case <-c.program.ended:
		return c.restart()
	default:
		return nil
	}
}

// clients are the clients of a round.
type clients struct {
	sync.WaitGroup
	mu   sync.Mutex
	errs []error
	down int // number of requests that failed with errDown
	why  error
}

func (c *clients) fail(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down++
	c.why = why
}

// load starts clients that send requests until ctx is done: two for each user, one in each dialect; one that creates users; and one
// that follows the feed. Faults that they find are in the result's errs.
func (c *crash) load(ctx context.Context, client client, acknowledged func()) *clients {
	all := &clients{}
	// Requests are not canceled: a canceled write could still be committed later.
	until, ctx := ctx, context.WithoutCancel(ctx)
	forever := func(step func() error) {
		all.Go(func() {
			for until.Err() == nil {
				switch err := step(); {
				case errors.Is(err, errDown):
					all.fail(err)
					select {
					case <-until.Done():
					case <-time.After(time.Millisecond):
					}
				case err != nil:
					all.mu.Lock()
					defer all.mu.Unlock()
					all.errs = append(all.errs, err)
					return
				}
			}
		})
	}
	for _, s := range c.subjects {
		for _, write := range []func(context.Context, *subject, string) request{c.patch, c.put} {
			forever(func() error {
				id := c.name("write")
				a, err := c.write(ctx, client, write(ctx, s, id), id)
				if err != nil {
					return err
				}
				acknowledged()
				return c.acknowledge(s, id, a.header.Get("ETag"))
			})
		}
	}
	forever(func() error {
		user, err := c.create(ctx, client)
		if err == nil {
			c.acknowledgeCreation(user)
		}
		return err
	})
	forever(func() error {
		c.feed.mu.Lock()
		defer c.feed.mu.Unlock()
		if _, err := c.feed.step(ctx, client); err != nil {
			return fmt.Errorf("%w: %w", errDown, err)
		}
		return nil
	})
	return all
}

// errDown means that there was no response, or a 503.
var errDown = errors.New("down")

// write sends a write with a request id.
func (c *crash) write(ctx context.Context, client client, r request, id string) (answer, error) {
	r.id = id
	a, err := client.send(ctx, r)
	if err != nil {
		return a, fmt.Errorf("%w: %w", errDown, err)
	}
	if a.status == http.StatusServiceUnavailable {
		return a, fmt.Errorf("%w: %s", errDown, a)
	}
	if a.status != http.StatusOK && a.status != http.StatusCreated {
		return a, fmt.Errorf("%s %s is answered %s", r.method, r.path, a)
	}
	return a, nil
}

// name returns a unique name.
func (c *crash) name(kind string) string { return fmt.Sprintf("%s-%d", kind, c.names.Add(1)) }

func (c *crash) patch(_ context.Context, s *subject, id string) request {
	c.attempt(id, s.id, map[string]any{"FirstName": id, "Mobile": "m-" + id})
	return request{method: http.MethodPatch, path: worthUsers + "/" + s.uuid, body: fmt.Sprintf(`{"first_name":%q,"mobile":"m-%s"}`, id, id)}
}

func (c *crash) put(_ context.Context, s *subject, id string) request {
	name := fmt.Sprintf("user-%d", s.id)
	c.attempt(id, s.id, map[string]any{"FirstName": id, "LastName": "l-" + id, "Username": name, "Status": "ACTIVE"})
	return request{method: http.MethodPut, path: testiniumUsers + strconv.FormatInt(s.id, 10), body: fmt.Sprintf(
		`{"name":%q,"surname":"l-%s","username":%q,"email":"%s@example.com","enabled":true,"accountNonExpired":true,`+
			`"accountNonLocked":true,"credentialNonExpired":true,"authorities":[{"name":"ROLE_USER"}]}`, id, id, name, name)}
}

// create creates a user. It does not record the acknowledgement in the ledger.
func (c *crash) create(ctx context.Context, client client) (creation, error) {
	id := c.name("create")
	email := id + "@example.com"
	c.attempt(id, 0, map[string]any{"FirstName": id, "Email": email})
	a, err := c.write(ctx, client, request{method: http.MethodPost, path: worthUsers, body: fmt.Sprintf(
		`{"first_name":%q,"last_name":"Made","email":%q,"mobile":"+1","subrole":{"id":"6351c76f-76a3-4950-9cc4-cc37cdc05ec2",`+
			`"code":"risk_analyst","label":"Risk Analyst"}}`, id, email)}, id)
	if err != nil {
		return creation{}, err
	}
	var made struct {
		Data struct {
			ID string `json:"user_id"`
		}
	}
	if err := json.Unmarshal([]byte(a.body), &made); err != nil {
		return creation{}, err
	}
	return creation{id, made.Data.ID}, nil
}

// report logs the results.
func (c *crash) report(t testing.TB) {
	var sum, most time.Duration
	for _, d := range c.took {
		sum, most = sum+d, max(most, d)
	}
	n := max(len(c.took), 1)
	t.Logf("%d kills; all %d acknowledged updates and %d acknowledged creations were found, and %d updates without acknowledgement; "+
		"the first response was %s after a kill, at most %s", len(c.took), c.written, c.creations, c.doubtful,
		(sum / time.Duration(n)).Round(time.Millisecond), most.Round(time.Millisecond))
}

// numberIn returns the number in a variable, or few if it is not set.
func numberIn(t testing.TB, variable string, few int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// kills returns the number of kills.
func kills(t testing.TB) int { return numberIn(t, killsVariable, fewKills) }

func TestCrashSQLite(t *testing.T) {
	t.Parallel()
	_, url := sqliteFile(t)
	c := newCrash(t, dragoman(t), url, nil, kills(t))
	if err := c.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.report(t)
}

func TestCrashPostgres(t *testing.T) {
	t.Parallel()
	p := running(t)
	if p.query(t, "SHOW fsync")[0] != "on" {
		t.Fatal("fsync is off in this Postgres")
	}
	c := newCrash(t, dragoman(t), p.url(), p, kills(t))
	if err := c.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.report(t)
}

// TestCrashTestFindsLostWrites runs the crash test on a Postgres and on a program that acknowledge writes before they are durable.
func TestCrashTestFindsLostWrites(t *testing.T) {
	t.Parallel()
	t.Run("Postgres", func(t *testing.T) {
		t.Parallel()
		p := running(t, "synchronous_commit=off", "wal_writer_delay=10s")
		c := newCrash(t, dragoman(t), p.url(), p, 20)
		expectLost(t, c.run(t.Context()))
	})
	t.Run("program", func(t *testing.T) {
		t.Parallel()
		overlay := overlayWith(t, earlyAcknowledgement)
		if os.Getenv(killsVariable) == "" {
			t.Skipf("%s is not set", killsVariable)
		}
		_, url := sqliteFile(t)
		c := newCrash(t, buildWith(t, "hasty", overlay), url, nil, 100)
		expectLost(t, c.run(t.Context()))
	})
}

func expectLost(t testing.TB, err error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "LOST") {
		t.Fatalf("the crash test does not find the lost writes: %v", err)
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	t.Logf("found: %s", line)
}

// edited is a change of a file of package store that makes a program faulty.
type edited struct{ file, before, after string }

// earlyAcknowledgement has SQLite's batches acknowledged before they are committed.
var earlyAcknowledgement = []edited{
	{"sqlite/batch.go", "\t\treturn tx.runAll(claimed)\n", "\t\terr := tx.runAll(claimed)\n\t\tfor _, j := range claimed {\n\t\t\tj.Acknowledge()\n\t\t}\n" +
		"\t\t<-time.After(2 * time.Millisecond)\n\t\treturn err\n"},
	{"sqlite/batch.go", "\t\"fmt\"\n", "\t\"fmt\"\n\t\"time\"\n"},
	{"engine/queue.go", "// action is", "func (j *Job[W]) Acknowledge() {\n\tclose(j.done)\n\tj.done = make(chan struct{})\n}\n\n// action is"},
}

// overlayWith returns a build overlay with these changes. It fails the test if the code is not what they were made for.
func overlayWith(t testing.TB, changes []edited) (overlay string) {
	t.Helper()
	dir := folder(t)
	replace := map[string]string{}
	for _, change := range changes {
		original, err := filepath.Abs("../../store/" + change.file)
		if err != nil {
			t.Fatal(err)
		}
		from := cmp.Or(replace[original], original)
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		code := string(text)
		if strings.Count(code, change.before) != 1 {
			t.Fatalf("store/%s must contain %q once: adapt this fault to the code", change.file, change.before)
		}
		replace[original] = filepath.Join(dir, filepath.Base(change.file))
		if err := os.WriteFile(replace[original], []byte(strings.Replace(code, change.before, change.after, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay = filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return overlay
}

// buildWith builds a program with an overlay.
func buildWith(t testing.TB, name, overlay string) string {
	t.Helper()
	path, err := build(name, "-overlay", overlay)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
