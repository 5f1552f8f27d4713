package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"weak"

	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store/engine"
)

func step1(text string, arguments ...any) engine.Step {
	return engine.Step{Statements: []engine.SQL{{Text: text, Arguments: arguments}}}
}

// insert is a step that adds n, and then a copy of it.
func insert(n, copied int) engine.Step {
	return engine.Step{Statements: []engine.SQL{
		{Text: "INSERT INTO numbers VALUES (?)", Arguments: []any{n}},
		{Text: "INSERT INTO copies (n) SELECT ?", Arguments: []any{copied}},
	}}
}

// together is a database whose writing connection is taken, so that steps wait for each other and form one batch.
type together struct {
	*Database
	t     *testing.T
	taken *sql.Conn
	all   sync.WaitGroup
}

func newTogether(t *testing.T) *together {
	t.Helper()
	d := &together{Database: openNew(t), t: t}
	var err error
	if d.taken, err = d.pools.Write.Conn(t.Context()); err != nil {
		t.Fatal(err)
	}
	waits := d.pools.Write.Stats().WaitCount
	// The first waits for the connection, and the others for the first.
	d.all.Go(func() {
		if _, err := d.Run(context.Background(), step1("INSERT INTO numbers VALUES (0)")); err != nil {
			t.Error(err)
		}
	})
	await(func() bool { return d.pools.Write.Stats().WaitCount > waits })
	return d
}

// release releases the connection once so many steps wait, and returns when all have ended.
func (d *together) release(waiting int) {
	d.t.Helper()
	await(func() bool { return d.queue.Waiting() == waiting })
	if err := d.taken.Close(); err != nil {
		d.t.Error(err)
	}
	d.all.Wait()
}

// TestStepFailsAlone checks that each step of a batch is all or nothing by itself, whatever becomes of the others.
func TestStepFailsAlone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		steps   []engine.Step
		want    []error
		changed []int64
		numbers string
		copies  string
	}{
		{
			"first statement", []engine.Step{insert(1, 1), insert(0, 2), insert(3, 3)},
			[]error{nil, gorm.ErrDuplicatedKey, nil}, []int64{1, 0, 1}, "0,1,3", "1,3",
		},
		{
			"second statement", []engine.Step{insert(1, 1), insert(2, 1), insert(3, 3)},
			[]error{nil, gorm.ErrDuplicatedKey, nil}, []int64{1, 0, 1}, "0,1,3", "1,3",
		},
		{
			"nothing changed",
			[]engine.Step{insert(1, 1), {Statements: append(step1("UPDATE numbers SET n = 9 WHERE n = 8").Statements, insert(1, 2).Statements[1])}},
			[]error{nil, nil}, []int64{1, 0}, "0,1", "1",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := newTogether(t)
			for i, s := range c.steps {
				d.all.Go(func() {
					changed, err := d.Run(context.Background(), s)
					if !errors.Is(err, c.want[i]) || changed != c.changed[i] {
						t.Errorf("step %d: %d changed, %v, want %d, %v", i, changed, err, c.changed[i], c.want[i])
					}
				})
				await(func() bool { return d.queue.Waiting() == i+1 }) // one after the other
			}
			d.release(len(c.steps))
			if n, copies := d.list(t, "numbers"), d.list(t, "copies"); n != c.numbers || copies != c.copies {
				t.Errorf("there are %s and %s, want %s and %s", n, copies, c.numbers, c.copies)
			}
		})
	}
}

// TestAbandonedStepIsNotRun checks that a step whose caller gave up before it began leaves the queue.
func TestAbandonedStepIsNotRun(t *testing.T) {
	t.Parallel()
	d := newTogether(t)
	ctx, giveUp := context.WithCancel(context.Background())
	d.all.Go(func() {
		if _, err := d.Run(context.Background(), insert(2, 2)); err != nil {
			t.Error(err)
		}
	})
	gone := make(chan error)
	d.all.Go(func() {
		_, err := d.Run(ctx, insert(1, 1))
		gone <- err
	})
	await(func() bool { return d.queue.Waiting() == 2 })
	giveUp()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	d.release(1)
	if got := d.list(t, "numbers"); got != "0,2" {
		t.Errorf("written are %s", got)
	}
}

// TestFailedCommit checks that no step of a batch succeeds before the batch is committed.
func TestFailedCommit(t *testing.T) {
	t.Parallel()
	d := newTogether(t)
	for n := range 3 {
		d.all.Go(func() {
			if _, err := d.Run(context.Background(), step1("INSERT INTO deferred VALUES (?)", n+7)); err == nil {
				t.Errorf("step %d succeeds", n)
			}
		})
	}
	d.release(3)
	if got := d.list(t, "deferred"); got != "" {
		t.Errorf("written are %s", got)
	}
}

// TestAbandonedStepsAreFreed locks the file as another process would, gives every step up, and checks that nothing of them stays in
// memory while the file is still locked, not even of those of the batch that is about to begin.
func TestAbandonedStepsAreFreed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "d")
	d, other := open(t, path), open(t, path)
	tx, err := other.pools.Write.BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	first, giveUpFirst := context.WithCancel(context.Background())
	others, giveUp := context.WithCancel(context.Background())
	const steps = 600 // more than a batch takes
	var all sync.WaitGroup
	values := make([]weak.Pointer[[1 << 10]byte], steps)
	run := func(i int, ctx context.Context) {
		value := new([1 << 10]byte)
		values[i] = weak.Make(value)
		all.Go(func() {
			if _, err := d.Run(ctx, step1("SELECT ?", value[:])); !errors.Is(err, context.Canceled) {
				t.Errorf("given up: %v", err)
			}
		})
	}
	run(0, first)
	await(func() bool { return d.pools.Write.Stats().InUse == 1 })
	for i := range steps - 1 {
		run(i+1, others)
	}
	await(func() bool { return d.queue.Waiting() == steps-1 })
	giveUpFirst()
	await(func() bool { return d.queue.Waiting() == steps-1-maxBatch })
	giveUp()
	all.Wait()
	if n := d.queue.Waiting(); n != 0 {
		t.Errorf("%d steps wait after their callers gave up", n)
	}
	alive := func() (n int) {
		runtime.GC()
		for _, v := range values {
			if v.Value() != nil {
				n++
			}
		}
		return n
	}
	// The batch that was about to begin sees ten times a second whether anybody waits for it.
	for deadline := time.Now().Add(5 * time.Second); alive() > 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d abandoned steps stay in memory", alive(), steps)
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Run(context.Background(), insert(1, 1)); err != nil {
		t.Errorf("the next step: %v", err)
	}
}

// TestSlowCommit checks that a step without companions returns at its deadline although its commit does not, as on a disk that hangs, and
// that later steps are run once it has.
func TestSlowCommit(t *testing.T) {
	t.Parallel()
	var slow atomic.Bool
	disk := make(chan struct{})
	d := openObserved(t, filepath.Join(t.TempDir(), "d"), func(_ context.Context, s engine.Statement) {
		if s.Kind == engine.Commit && slow.Load() {
			<-disk
		}
	})
	slow.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	returned := make(chan error)
	go func() {
		_, err := d.Run(ctx, insert(1, 1))
		returned <- err
	}()
	select {
	case err := <-returned:
		if !errors.Is(err, engine.ErrUnavailable) {
			t.Errorf("at the deadline: %v", err)
		}
		close(disk)
	case <-time.After(5 * time.Second):
		t.Error("the step does not return at its deadline")
		close(disk)
		<-returned
	}
	if _, err := d.Run(t.Context(), insert(2, 2)); err != nil {
		t.Error(err)
	}
	if got := d.list(t, "numbers"); got != "1,2" {
		t.Errorf("written are %s", got)
	}
}

// TestPanicInTransaction checks that a panic of a step undoes its transaction, and that later steps find a connection.
func TestPanicInTransaction(t *testing.T) {
	t.Parallel()
	var panics atomic.Bool
	d := openObserved(t, filepath.Join(t.TempDir(), "d"), func(_ context.Context, s engine.Statement) {
		if s.Kind == engine.Insert && panics.CompareAndSwap(true, false) {
			panic("observer")
		}
	})
	panics.Store(true)
	func() {
		defer func() {
			if p, _ := recover().(string); !strings.HasPrefix(p, "observer") {
				t.Errorf("the panic is %q", p)
			}
		}()
		_, _ = d.Run(t.Context(), insert(1, 1))
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := d.Run(ctx, insert(2, 2)); err != nil {
		t.Errorf("after the panic: %v", err)
	}
	if got := d.list(t, "numbers"); got != "2" {
		t.Errorf("written are %s", got)
	}
}
