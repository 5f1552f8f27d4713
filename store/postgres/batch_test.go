package postgres_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store/engine"
	"github.com/dragoman-id/dragoman/store/postgres"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// things is a schema for tests: rows with a name and a version, and a log of their changes.
var things = engine.Schema{
	Migrations: fstest.MapFS{"postgres/00001_things.sql": {Data: []byte(`-- +goose Up
CREATE TABLE things (id bigint PRIMARY KEY, name text NOT NULL, serial text UNIQUE, version bigint NOT NULL);
CREATE TABLE changes (id bigint, version bigint, name text, tags jsonb, PRIMARY KEY (id, version));`)}},
	Tables: []string{engine.VersionTable, "things"},
	Absent: errors.New("there are no things"),
}

// database is a Postgres with so many things, whose batches wait for those before them.
type database struct {
	*postgres.Database
	t     *testing.T
	all   sync.WaitGroup
	noted []string // the kinds of statements and how they ended
	mu    sync.Mutex
}

func open(t *testing.T, n int) *database {
	t.Helper()
	d := &database{t: t}
	var err error
	d.Database, err = postgres.Open(t.Context(), storetest.PostgresURL(t), engine.Options{Schema: things, Observe: func(_ context.Context, s engine.Statement) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.noted = append(d.noted, fmt.Sprintf("%s %s", s.Kind, s.Outcome()))
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := d.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.exec("INSERT INTO things SELECT n, 'new', 'serial' || n, 1 FROM generate_series(1, $1) n", n)
	d.WaitForStalled()
	return d
}

func (d *database) exec(statement string, arguments ...any) {
	d.t.Helper()
	if _, err := d.Pools().Write.Exec(statement, arguments...); err != nil {
		d.t.Fatal(err)
	}
}

// rename is a step that renames the thing of this version, and logs it.
func rename(id, version int, name string) engine.Step {
	return engine.Step{Key: int64(id), Statements: []engine.SQL{
		{Text: "UPDATE things SET name = ?, version = version + 1 WHERE id = ? AND version = ?", Arguments: []any{name, id, version}},
		{Text: "INSERT INTO changes (id, version, name, tags) SELECT ?, ?, ?, ?", Arguments: []any{id, version + 1, name, `["renamed"]`}},
	}}
}

func (d *database) rename(id, version int, name string) {
	d.t.Helper()
	if changed, err := d.Run(context.Background(), rename(id, version, name)); err != nil || changed != 1 {
		d.t.Errorf("thing %d: %d changed, %v", id, changed, err)
	}
}

// runTogether runs steps in one batch, and returns how many rows each changed, and its error, once wait is called.
func (d *database) runTogether(steps ...engine.Step) (wait func() (changed []int64, errs []error)) {
	d.t.Helper()
	changed, errs := make([]int64, len(steps)), make([]error, len(steps))
	release := d.HoldWrites()
	for i, s := range steps {
		d.all.Go(func() { changed[i], errs[i] = d.Run(context.Background(), s) })
		await(func() bool { return d.WritesWaiting() == i+1 })
	}
	release()
	return func() ([]int64, []error) {
		d.all.Wait()
		return changed, errs
	}
}

// renameAll are steps that rename the things 1 to n.
func renameAll(n int, name string) (steps []engine.Step) {
	for i := range n {
		steps = append(steps, rename(i+1, 1, name))
	}
	return steps
}

// await returns when done is true, which becomes so by itself.
func await(done func() bool) {
	for !done() {
		runtime.Gosched()
	}
}

// check checks how many transactions wrote how many things with a name, and that each is logged once.
func (d *database) check(name string, transactions, written int) {
	d.t.Helper()
	var t, n, logged int
	err := d.Pools().Write.QueryRow("SELECT count(DISTINCT things.xmin::text), count(*), count(changes.tags) FROM things LEFT JOIN changes USING (id, version, name) WHERE name = $1",
		name).Scan(&t, &n, &logged)
	if err != nil || t != transactions || n != written || logged != written {
		d.t.Errorf("%d transactions named %d things %q, and logged %d, %v; want %d and %d", t, n, name, logged, err, transactions, written)
	}
}

func TestStepsShareATransaction(t *testing.T) {
	t.Parallel()
	d := open(t, 20)
	changed, errs := d.runTogether(renameAll(20, "together")...)()
	if err := errors.Join(errs...); err != nil || slices.Min(changed) != 1 {
		t.Errorf("changed %v, %v", changed, err)
	}
	d.check("together", 1, 20)
}

// TestStepThatChangesNothing checks that the first statement alone decides, also about the statements after it, within a batch and alone.
func TestStepThatChangesNothing(t *testing.T) {
	t.Parallel()
	d := open(t, 3)
	changed, errs := d.runTogether(rename(1, 1, "a"), rename(1, 1, "b"), rename(2, 7, "c"), rename(3, 1, "a"))()
	if err := errors.Join(errs...); err != nil || !reflect.DeepEqual(changed, []int64{1, 0, 0, 1}) {
		t.Errorf("changed %v, %v", changed, err)
	}
	d.check("a", 1, 2)
	if changed, err := d.Run(t.Context(), rename(1, 1, "d")); err != nil || changed != 0 {
		t.Errorf("alone: changed %d, %v", changed, err)
	}
}

// TestUndoneBatch checks that what Postgres refuses fails its own step only.
func TestUndoneBatch(t *testing.T) {
	t.Parallel()
	d := open(t, 10)
	d.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one'; END $$`)
	d.exec(`CREATE TRIGGER refuse BEFORE UPDATE ON things FOR EACH ROW WHEN (OLD.id = 4) EXECUTE FUNCTION refuse()`)
	_, errs := d.runTogether(renameAll(10, "alone")...)()
	for i, err := range errs {
		if refused := err != nil && strings.Contains(err.Error(), "not this one"); refused != (i+1 == 4) || err != nil != refused {
			t.Errorf("thing %d: %v", i+1, err)
		}
	}
	d.check("alone", 9, 9)
}

// TestLockedRow checks that a row that another transaction has locked delays no other step for long.
func TestLockedRow(t *testing.T) {
	t.Parallel()
	d := open(t, 10)
	locker, err := d.Pools().Write.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := locker.Exec("SELECT FROM things WHERE id = 4 FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	wait := d.runTogether(renameAll(10, "free")...)
	for done := 0; done < 9; {
		if err := d.Pools().Find.QueryRow("SELECT count(*) FROM things WHERE name = 'free'").Scan(&done); err != nil {
			t.Fatal(err)
		}
	}
	if err := locker.Rollback(); err != nil {
		t.Fatal(err)
	}
	if _, errs := wait(); errors.Join(errs...) != nil {
		t.Error(errors.Join(errs...))
	}
	d.check("free", 10, 10)
}

// TestLostBatch checks that a batch whose connection is lost is not run again, since it may have been committed.
func TestLostBatch(t *testing.T) {
	t.Parallel()
	d := open(t, 4)
	d.exec(`CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$`)
	d.exec(`CREATE TRIGGER lose BEFORE UPDATE ON things FOR EACH ROW WHEN (OLD.id = 2) EXECUTE FUNCTION lose()`)
	_, errs := d.runTogether(renameAll(4, "lost")...)()
	for i, err := range errs {
		if !errors.Is(err, engine.ErrUnavailable) {
			t.Errorf("thing %d: %v", i+1, err)
		}
	}
	d.check("lost", 0, 0)
	d.rename(1, 1, "again")
}

// TestAloneStep checks that a step that is better alone does not wait for a batch.
func TestAloneStep(t *testing.T) {
	t.Parallel()
	d := open(t, 2)
	release := d.HoldWrites()
	step := engine.Step{Alone: true, Statements: []engine.SQL{{Text: "UPDATE things SET serial = ? WHERE id = ?", Arguments: []any{"serial9", 1}}}}
	if changed, err := d.Run(t.Context(), step); err != nil || changed != 1 {
		t.Errorf("changed %d, %v", changed, err)
	}
	step.Statements[0].Arguments = []any{"serial9", 2}
	if _, err := d.Run(t.Context(), step); !errors.Is(err, gorm.ErrDuplicatedKey) {
		t.Errorf("got %v", err)
	}
	release()
}

// TestAbandonedStep checks that a step whose caller gave up is not run, and that its batch is.
func TestAbandonedStep(t *testing.T) {
	t.Parallel()
	d := open(t, 3)
	ctx, giveUp := context.WithCancel(context.Background())
	gone := make(chan error)
	release := d.HoldWrites()
	go func() {
		_, err := d.Run(ctx, rename(1, 1, "kept"))
		gone <- err
	}()
	for id := 2; id <= 3; id++ {
		d.all.Go(func() { d.rename(id, 1, "kept") })
	}
	await(func() bool { return d.WritesWaiting() == 3 })
	giveUp()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	release()
	d.all.Wait()
	d.check("kept", 1, 2)
}

// TestAbandonedBatch checks that a batch for which no caller waits is not run, when there is a connection for it at last.
func TestAbandonedBatch(t *testing.T) {
	t.Parallel()
	d := open(t, 3)
	release := d.HoldWrites() // which takes a connection
	pool := d.Pools().Write
	var taken []interface{ Close() error }
	for range pool.Stats().MaxOpenConnections - 1 {
		conn, err := pool.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, conn)
	}
	ctx, cancel := context.WithCancel(context.Background())
	for id := 1; id <= 3; id++ {
		d.all.Go(func() {
			if _, err := d.Run(ctx, rename(id, 1, "late")); !errors.Is(err, context.Canceled) {
				t.Errorf("thing %d: %v", id, err)
			}
		})
	}
	await(func() bool { return d.WritesWaiting() == 3 })
	// Whoever asks now gets the connection that the queue's first job gives back, before the batch.
	waits := pool.Stats().WaitCount
	last := make(chan interface{ Close() error })
	go func() {
		conn, err := pool.Conn(context.Background())
		if err != nil {
			t.Error(err)
		}
		last <- conn
	}()
	await(func() bool { return pool.Stats().WaitCount > waits })
	release()
	taken = append(taken, <-last)
	await(func() bool { return d.WritesWaiting() == 0 && pool.Stats().WaitCount > waits+1 }) // the batch waits for a connection
	cancel()
	d.all.Wait()
	for _, conn := range taken {
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	d.rename(1, 1, "after")
	d.check("late", 0, 0)
}

// TestQueriesShareARoundTrip checks that each query of a batch finds its own row, or none.
func TestQueriesShareARoundTrip(t *testing.T) {
	t.Parallel()
	d := open(t, 7) // two queries each, which is less than a full batch
	release := d.HoldReads()
	for id := 1; id <= 7; id++ {
		d.all.Go(func() {
			var serial string
			if err := d.FindRow(context.Background(), []any{&serial}, engine.SQL{Text: "SELECT serial FROM things WHERE id = ?", Arguments: []any{id}}); err != nil || serial != fmt.Sprint("serial", id) {
				t.Errorf("thing %d: %s, %v", id, serial, err)
			}
		})
		d.all.Go(func() {
			err := d.FindRow(context.Background(), []any{new(string)}, engine.SQL{Text: "SELECT serial FROM things WHERE id = ?", Arguments: []any{-id}})
			if err == nil || !strings.Contains(err.Error(), "no rows") {
				t.Errorf("no thing: %v", err)
			}
		})
	}
	await(func() bool { return d.ReadsWaiting() == 14 })
	release()
	d.all.Wait()
}

// scanner calls itself with what it is given to store.
type scanner func()

// Scan is for the driver.
func (s scanner) Scan(any) error {
	s()
	return nil
}

// TestAbandonedQuery checks that the caller of a query may leave while its batch takes the results, which the race detector watches.
func TestAbandonedQuery(t *testing.T) {
	t.Parallel()
	d := open(t, 0)
	ctx, giveUp := context.WithCancel(context.Background())
	gone := make(chan struct{})
	release := d.HoldReads()
	d.all.Go(func() {
		defer close(gone)
		err := d.FindRow(ctx, []any{scanner(giveUp)}, engine.SQL{Text: "SELECT 1"})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("given up: %v", err)
		}
	})
	await(func() bool { return d.ReadsWaiting() == 1 })
	d.all.Go(func() {
		if err := d.FindRow(context.Background(), []any{scanner(func() { <-gone })}, engine.SQL{Text: "SELECT 1"}); err != nil {
			t.Error(err)
		}
	})
	await(func() bool { return d.ReadsWaiting() == 2 })
	release()
	d.all.Wait()
}

// TestFailedCommit checks that a step whose commit Postgres refuses fails, alone and in a batch, and no other of the batch.
func TestFailedCommit(t *testing.T) {
	t.Parallel()
	d := open(t, 4)
	d.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not committed'; END $$`)
	d.exec(`CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON things DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.id IN (1, 3)) EXECUTE FUNCTION refuse()`)
	refused := func(err error) bool { return err != nil && strings.Contains(err.Error(), "not committed") }
	if _, err := d.Run(t.Context(), rename(1, 1, "deferred")); !refused(err) {
		t.Errorf("alone: %v", err)
	}
	_, errs := d.runTogether(rename(2, 1, "deferred"), rename(3, 1, "deferred"), rename(4, 1, "deferred"))()
	if errs[0] != nil || !refused(errs[1]) || errs[2] != nil {
		t.Errorf("in a batch: %v", errs)
	}
	d.check("deferred", 2, 2)
}

// onceZero is an argument that is 0 the first time that it is sent, and then 1.
type onceZero struct{ sent *atomic.Bool }

// Value is for the driver.
func (o onceZero) Value() (driver.Value, error) {
	if o.sent.CompareAndSwap(false, true) {
		return int64(0), nil
	}
	return int64(1), nil
}

// TestLostQueries checks that a batch of queries whose connection is lost is sent again.
func TestLostQueries(t *testing.T) {
	t.Parallel()
	d := open(t, 0)
	var lost atomic.Bool
	release := d.HoldReads()
	for range 4 {
		d.all.Go(func() {
			var one int
			err := d.FindRow(context.Background(), []any{&one}, engine.SQL{
				Text:      "SELECT CASE WHEN ?::bigint = 0 THEN (SELECT pg_terminate_backend(pg_backend_pid())::int) ELSE 1 END",
				Arguments: []any{onceZero{&lost}},
			})
			if err != nil || one != 1 {
				t.Error(one, err)
			}
		})
	}
	await(func() bool { return d.ReadsWaiting() == 4 })
	release()
	d.all.Wait()
}

// TestBatchIsObserved checks that each statement of a batch is reported, once, and that every transaction begins and ends explicitly.
func TestBatchIsObserved(t *testing.T) {
	t.Parallel()
	d := open(t, 3)
	release := d.HoldWrites()
	d.noted = nil
	for id := 1; id <= 2; id++ {
		d.all.Go(func() { d.rename(id, 1, "seen") })
	}
	await(func() bool { return d.WritesWaiting() == 2 })
	release()
	d.all.Wait()
	d.rename(3, 1, "seen")
	d.mu.Lock()
	defer d.mu.Unlock()
	slices.Sort(d.noted)
	want := []string{
		"begin ok", "begin ok", "begin ok", "commit ok", "commit ok", "commit ok", "insert ok", "insert ok", "insert ok",
		"select ok", "update ok", "update ok", "update ok",
	}
	if !slices.Equal(d.noted, want) {
		t.Errorf("%q, want %q", d.noted, want)
	}
}

// TestStalledBatch checks that steps do not wait for a batch that does not end, and not again and again.
func TestStalledBatch(t *testing.T) {
	t.Parallel()
	d, err := postgres.Open(t.Context(), storetest.PostgresURL(t), engine.Options{Schema: things})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	release := d.HoldWrites()
	one := engine.Step{Statements: []engine.SQL{{Text: "SELECT 1"}}}
	began := time.Now()
	for range 8 {
		if _, err := d.Run(t.Context(), one); err != nil {
			t.Error(err)
		}
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("8 steps took %s", took)
	}
	release()
}
