//go:build linux

package faulttest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The repeat test has clients send each write several times under one Idempotency-Key, through a proxy that cuts connections at random,
// while the program, Postgres and the connections between them fail. Then each write must be in the history once, and all answers to
// it must have been the same. REPEATS is the number of writes on each engine.

const (
	repeatsVariable = "REPEATS"
	fewRepeats      = 240
)

// answersPerWrite is how often each write is sent until it is answered.
const answersPerWrite = 3

// repeat is a run of the repeat test.
type repeat struct {
	*crash
	writes  int
	front   *proxy // between the clients and the program
	back    *proxy // between the program and Postgres; nil: SQLite
	address string // the program's, the same after each restart

	taken     atomic.Int64 // writes that were begun
	sent, cut atomic.Int64 // requests, and those without an answer
	replays   atomic.Int64
	refused   atomic.Int64 // answers 503
	mu        sync.Mutex
	versions  map[string]int64 // each user's number of changes, by UUID
	made      int
}

func newRepeat(t testing.TB, binary, database string, postgres *cluster, back *proxy) *repeat {
	t.Helper()
	return &repeat{crash: newCrash(t, binary, database, postgres, 0), writes: numberIn(t, repeatsVariable, fewRepeats), back: back, versions: map[string]int64{}}
}

// restart starts the program, at the address that it had before.
func (r *repeat) restart() error {
	arguments := serve("--request-timeout=5s")
	if r.address != "" {
		arguments = append(arguments, "--listen="+r.address)
	}
	p, err := start(r.binary, r.dir, r.env, arguments...)
	if err != nil {
		return err
	}
	r.program = p
	err = p.awaitListening()
	r.address = p.address
	return err
}

// chance returns a judge that cuts a share of what passes, before it or instead of its answer.
func chance(rng *rand.Rand, before, after float64) func(*link, []byte) verdict {
	return func(*link, []byte) verdict { // the proxy calls it under its mutex
		switch x := rng.Float64(); {
		case x < before:
			return cutBefore
		case x < before+after:
			return cutAfter
		}
		return pass
	}
}

// run repeats writes while things fail, and returns what is wrong with the answers and with the directory.
func (r *repeat) run(t testing.TB) error {
	t.Helper()
	if err := r.restart(); err != nil {
		return err
	}
	r.front = newProxy(t, r.address)
	through := newClient("http://" + r.front.address)
	defer through.close()
	const writers = 12
	var users []string
	for range writers {
		made, err := r.create(t.Context(), r.program.client)
		if err != nil {
			return err
		}
		users = append(users, made.uuid)
	}
	front, back := rand.New(rand.NewPCG(r.rng.Uint64(), 0)), rand.New(rand.NewPCG(r.rng.Uint64(), 0))
	r.front.set(func(p *proxy) { p.judge = chance(front, 0.05, 0.2) })
	if r.back != nil {
		r.back.set(func(p *proxy) { p.judge = chance(back, 0.001, 0.002) })
	}
	var all sync.WaitGroup
	errs := make([]error, writers)
	for i, user := range users {
		all.Go(func() { errs[i] = r.write(t.Context(), through, user) })
	}
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	kills, err := r.killUntil(done)
	<-done
	r.front.pass()
	if r.back != nil {
		r.back.pass()
	}
	if err := errors.Join(append(errs, err)...); err != nil {
		return err
	}
	if err := poll(recovery, r.program.succeeds(t, request{method: http.MethodGet, path: worthAda})); err != nil {
		return err
	}
	t.Logf("%d writes: %d requests, %d without an answer, %d answered 503, %d answers repeated; %d kills", r.writes, r.sent.Load(), r.cut.Load(),
		r.refused.Load(), r.replays.Load(), kills)
	if r.replays.Load() < int64(r.writes) || r.cut.Load() == 0 {
		return errors.New("too little was repeated or cut for a test")
	}
	return r.check(t, users)
}

// killUntil kills the program and Postgres until done: ten times, or for each hundred writes if there are more.
func (r *repeat) killUntil(done <-chan struct{}) (kills int, err error) {
	every := int64(min(r.writes/10, 100))
	for next := every; ; {
		select {
		case <-done:
			return kills, nil
		case <-time.After(5 * time.Millisecond):
		}
		if r.taken.Load() < next {
			continue
		}
		next += every
		r.kill()
		kills++
		if r.postgres != nil && !r.postgres.runs() {
			if err := r.postgres.restart(); err != nil {
				return kills, err
			}
		}
		select {
		case <-r.program.ended:
			if err := r.restart(); err != nil {
				return kills, err
			}
		default:
		}
	}
}

// write makes writes of each kind, mostly of one user, until there are enough.
func (r *repeat) write(ctx context.Context, c client, user string) error {
	etag, version := "", int64(1)
	for {
		n := r.taken.Add(1)
		if n > int64(r.writes) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.versions[user] = version
			return nil
		}
		id := fmt.Sprintf("repeat-%d", n)
		q := request{method: http.MethodPatch, path: worthUsers + "/" + user, body: fmt.Sprintf(`{"first_name":%q}`, id), key: id}
		changes := int64(1)
		switch n % 5 {
		case 0:
			q.body, changes = `{"last_name":"Made"}`, 0 // as it is
		case 1:
			q.method, q.path = http.MethodPost, worthUsers
			q.body = fmt.Sprintf(`{"first_name":%q,"last_name":"Made","email":"%s@example.com","mobile":"+1",`+
				`"subrole":{"id":"6351c76f-76a3-4950-9cc4-cc37cdc05ec2","code":"risk_analyst","label":"Risk Analyst"}}`, id, id)
			changes = 0
			r.mu.Lock()
			r.made++
			r.mu.Unlock()
		case 2, 3:
			q.ifMatch = etag // "" at first
		}
		a, err := r.thrice(ctx, c, q)
		if err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
		if version += changes; q.method == http.MethodPatch {
			if etag = a.header.Get("ETag"); etag != fmt.Sprintf(`"%d"`, version) {
				return fmt.Errorf("%s: the ETag is %s, want version %d", id, etag, version)
			}
		}
	}
}

// thrice sends a write until it was answered several times, the first two attempts at once, and compares the answers.
func (r *repeat) thrice(ctx context.Context, c client, q request) (first answer, err error) {
	var answers []answer
	executed := 0
	for deadline := time.Now().Add(3 * waitLimit); len(answers) < answersPerWrite; {
		if time.Now().After(deadline) {
			return answer{}, errors.New("it is not answered")
		}
		some := make([]answer, 1)
		if len(answers) == 0 {
			some = make([]answer, 2)
		}
		errs := make([]error, len(some))
		var all sync.WaitGroup
		for i := range some {
			all.Go(func() { some[i], errs[i] = c.send(ctx, q) })
		}
		all.Wait()
		for i, a := range some {
			r.sent.Add(1)
			switch {
			case errs[i] != nil:
				r.cut.Add(1)
				time.Sleep(time.Millisecond) // the program may be dead
				continue
			case a.status == http.StatusServiceUnavailable:
				r.refused.Add(1)
				time.Sleep(20 * time.Millisecond)
				continue
			case a.status != http.StatusOK:
				return answer{}, fmt.Errorf("it is answered %s", a)
			}
			if a.header.Get("Idempotency-Replayed") == "true" {
				r.replays.Add(1)
			} else {
				executed++
			}
			answers = append(answers, a)
		}
	}
	for _, a := range answers {
		if a.body != answers[0].body || !maps.EqualFunc(lasting(a.header), lasting(answers[0].header), slices.Equal) {
			return answer{}, fmt.Errorf("it is answered\n%v %s\nand\n%v %s", answers[0].header, answers[0].body, a.header, a.body)
		}
	}
	if executed > 1 {
		return answer{}, fmt.Errorf("it is executed %d times", executed)
	}
	return answers[0], nil
}

// lasting returns the headers of an answer that are the same in its repetitions.
func lasting(h http.Header) http.Header {
	h = h.Clone()
	for _, name := range []string{"X-Request-Id", "Date", "Idempotency-Replayed", "Connection"} {
		h.Del(name)
	}
	return h
}

// check returns which writes are not in the history once, and other faults.
func (r *repeat) check(t testing.TB, users []string) error {
	t.Helper()
	var all []error
	for _, user := range users {
		a := r.program.expect(t, http.StatusOK, request{method: http.MethodGet, path: worthUsers + "/" + user})
		if want := fmt.Sprintf(`"%d"`, r.versions[user]); a.header.Get("ETag") != want {
			all = append(all, fmt.Errorf("user %s has the version %s after %s", user, a.header.Get("ETag"), want))
		}
	}
	want := map[string]int{}
	for n := 1; n <= r.writes; n++ {
		if n%5 != 0 {
			want[fmt.Sprintf("repeat-%d", n)] = 1
		}
	}
	got, err := r.recorded(t.Context(), len(want))
	all = append(all, err)
	for name := range want {
		if got[name] != 1 {
			all = append(all, fmt.Errorf("%s is %d times in the history", name, got[name]))
		}
	}
	if len(got) > len(want) {
		all = append(all, fmt.Errorf("%d writes are in the history, want %d", len(got), len(want)))
	}
	var listed struct {
		Data struct {
			Total string `json:"total_items"`
		}
	}
	decode(t, r.program.expect(t, http.StatusOK, request{method: http.MethodGet, path: worthUsers}).body, &listed)
	if total := strconv.Itoa(2 + len(users) + r.made); listed.Data.Total != total { // 2: the sandbox's
		all = append(all, fmt.Errorf("there are %s users, want %s", listed.Data.Total, total))
	}
	r.program.expectNoFault(t)
	return errors.Join(all...)
}

// recorded returns how often each write is in the feed, once that has so many.
func (r *repeat) recorded(ctx context.Context, writes int) (times map[string]int, err error) {
	times = map[string]int{}
	next := int64(0)
	err = poll(waitLimit, func() error {
		var page struct {
			Changes []change
			Next    int64
		}
		if _, err := r.program.read(ctx, fmt.Sprintf("/directory/v1/changes?limit=1000&after=%d", next), &page); err != nil {
			return err
		}
		next = page.Next
		for _, row := range page.Changes {
			for _, field := range row.Fields {
				if name, ok := field.New.(string); ok && field.Field == "FirstName" && strings.HasPrefix(name, "repeat-") {
					times[name]++
				}
			}
		}
		if len(page.Changes) > 0 || len(times) < writes {
			return errNotYet
		}
		return nil
	})
	return times, err
}

func TestRepeatSQLite(t *testing.T) {
	t.Parallel()
	_, url := sqliteFile(t)
	if err := newRepeat(t, dragoman(t), url, nil, nil).run(t); err != nil {
		t.Fatal(err)
	}
}

func TestRepeatPostgres(t *testing.T) {
	t.Parallel()
	p := running(t)
	back := newProxy(t, fmt.Sprintf("127.0.0.1:%d", p.port))
	if err := newRepeat(t, dragoman(t), p.urlAt(back.address), p, back).run(t); err != nil {
		t.Fatal(err)
	}
}

// lateRecord has the record of a write stored after the write, in a transaction of its own.
var lateRecord = []edited{
	{"prepare.go", "\tchanged, err := p.run(ctx, step)\n", "\tlast := len(step.Statements) - 1\n\tlate := engine.Step{Statements: step.Statements[last:]}\n" +
		"\tif last > 0 {\n\t\tstep.Statements = step.Statements[:last]\n\t}\n\tchanged, err := p.run(ctx, step)\n" +
		"\tif err == nil && changed > 0 && last > 0 {\n\t\t<-time.After(2 * time.Millisecond)\n\t\t_, err = s.db.Run(ctx, late)\n\t}\n"},
	{"prepare.go", "\t\"slices\"\n", "\t\"slices\"\n\t\"time\"\n"},
}

// TestRepeatTestFindsLateRecords runs the repeat test on a program that stores the record after the write: a kill in between has the
// write executed again, or refused.
func TestRepeatTestFindsLateRecords(t *testing.T) {
	t.Parallel()
	overlay := overlayWith(t, lateRecord)
	if os.Getenv(repeatsVariable) == "" {
		t.Skipf("%s is not set", repeatsVariable)
	}
	_, url := sqliteFile(t)
	err := newRepeat(t, buildWith(t, "late", overlay), url, nil, nil).run(t)
	if err == nil {
		t.Fatal("the repeat test does not find writes whose records were lost")
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	t.Logf("found: %s", line)
}

// TestRepeatAfterCutAtCommit cuts the connection to Postgres before and after the commit of a write. The answer is a 503 in both cases, and
// the same request is executed the second time only in the first of them.
func TestRepeatAfterCutAtCommit(t *testing.T) {
	t.Parallel()
	c := running(t)
	for name, write := range map[string]request{"patch": writes[0], "put": writes[1], "post": writes[2]} {
		t.Run(name, func(t *testing.T) {
			c.query(t, "CREATE DATABASE repeat_"+name)
			way := newProxy(t, fmt.Sprintf("127.0.0.1:%d", c.port))
			p := serving(t, strings.Replace(c.urlAt(way.address), "/postgres?", "/repeat_"+name+"?", 1))
			before := p.look(t)
			r := write
			r.key = "before"
			if name != "post" {
				r.ifMatch = before.etag
			}
			cutOnce(t, p, way, cutBefore)
			p.expectUnavailable(t, answered, r)
			if a := p.expect(t, http.StatusOK, r); a.header.Get("Idempotency-Replayed") != "" {
				t.Errorf("it was not committed, and is answered %v", a.header)
			}
			r.key, r.body = "after", strings.NewReplacer("Augusta", "Ada Augusta", "King", "Byron", "mary@", "ada@").Replace(r.body)
			before = p.look(t)
			if name != "post" {
				r.ifMatch = before.etag
			}
			cutOnce(t, p, way, cutAfter)
			p.expectUnavailable(t, answered, r)
			first := p.expect(t, http.StatusOK, r)
			if first.header.Get("Idempotency-Replayed") != "true" {
				t.Errorf("it was committed, and is answered %v", first.header)
			}
			if after := p.look(t); name != "post" && (after.history != before.history+1 || first.header.Get("ETag") != after.etag) {
				t.Errorf("%+v became %+v", before, after)
			}
			p.expectNoFault(t)
		})
	}
}
