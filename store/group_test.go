package store_test

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"
	"weak"

	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

var errRefused = errors.New("refused")

// held is a group of writes to a table of numbers whose first write has begun and waits to be let go.
type held struct {
	t      *testing.T
	s      *store.Store
	letGo  chan struct{}
	writes sync.WaitGroup
}

func holdGroup(t *testing.T) *held {
	t.Helper()
	h := &held{t: t, s: storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "dragoman.db")), letGo: make(chan struct{})}
	_, write := h.s.Pools()
	// A deferred constraint is looked at when the transaction is committed.
	_, err := write.Exec(`CREATE TABLE numbers (n INTEGER PRIMARY KEY);
		CREATE TABLE deferred (n INTEGER REFERENCES numbers (n) DEFERRABLE INITIALLY DEFERRED)`)
	if err != nil {
		t.Fatal(err)
	}
	begun := make(chan struct{})
	h.writes.Go(func() {
		err := h.s.GroupWrite(context.Background(), func(context.Context, store.GroupTx) error {
			close(begun)
			<-h.letGo
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-begun
	return h
}

// write adds n in the next group and then returns, or panics with, what it is given.
func (h *held) write(ctx context.Context, n int, result any) error {
	return h.s.GroupWrite(ctx, func(ctx context.Context, exec store.GroupTx) error {
		if _, err := exec(ctx, "INSERT INTO numbers VALUES (?)", n); err != nil {
			return err
		}
		if err, ok := result.(error); ok {
			return err
		}
		if result != nil {
			panic(result)
		}
		return nil
	})
}

// await returns when so many wait. They come by themselves.
func await(waiting func() int, n int) {
	for waiting() < n {
		runtime.Gosched()
	}
}

// release lets the group go once this many writes wait for the next one, and returns when all are answered.
func (h *held) release(waiting int) {
	await(h.s.GroupWaiting, waiting)
	close(h.letGo)
	h.writes.Wait()
}

func (h *held) numbers() string {
	h.t.Helper()
	read, _ := h.s.Pools()
	var all string
	if err := read.QueryRow("SELECT coalesce(group_concat(n), '') FROM (SELECT n FROM numbers ORDER BY n)").Scan(&all); err != nil {
		h.t.Fatal(err)
	}
	return all
}

// TestAWriteOfAGroupFailsAlone holds that each write is all or nothing by itself, whatever becomes of the others.
func TestAWriteOfAGroupFailsAlone(t *testing.T) {
	t.Parallel()
	h := holdGroup(t)
	for n, want := range map[int]error{1: nil, 2: errRefused, 3: nil, 4: gorm.ErrDuplicatedKey, 5: nil} {
		h.writes.Go(func() {
			number := n
			if want == gorm.ErrDuplicatedKey {
				number = 1
			}
			var result any
			if want == errRefused {
				result = errRefused
			}
			err := h.write(context.Background(), number, result)
			// Of the two that write 1, the one that comes last is refused.
			if number != 1 && !errors.Is(err, want) || number == 1 && err != nil && !errors.Is(err, gorm.ErrDuplicatedKey) {
				t.Errorf("write %d: %v, want %v", n, err, want)
			}
		})
	}
	h.release(5)
	if got := h.numbers(); got != "1,3,5" {
		t.Errorf("written are %q", got)
	}
}

// TestAPanicOfAGroupIsItsOwn holds that a write that panics does so where it was asked for.
func TestAPanicOfAGroupIsItsOwn(t *testing.T) {
	t.Parallel()
	h := holdGroup(t)
	h.writes.Go(func() {
		defer func() {
			if p := recover(); p == nil {
				t.Error("no panic")
			}
		}()
		_ = h.write(context.Background(), 1, "canary")
	})
	h.writes.Go(func() {
		if err := h.write(context.Background(), 2, nil); err != nil {
			t.Error(err)
		}
	})
	h.release(2)
	if got := h.numbers(); got != "2" {
		t.Errorf("written are %q", got)
	}
}

// TestAWriteThatIsGivenUpIsNotDone holds that a write whose caller has gone before it began is not done.
func TestAWriteThatIsGivenUpIsNotDone(t *testing.T) {
	t.Parallel()
	h := holdGroup(t)
	ctx, giveUp := context.WithCancel(context.Background())
	h.writes.Go(func() {
		if err := h.write(context.Background(), 2, nil); err != nil {
			t.Error(err)
		}
	})
	gone := make(chan error)
	h.writes.Go(func() { gone <- h.write(ctx, 1, nil) })
	for h.s.GroupWaiting() < 2 {
		runtime.Gosched() // they come by themselves
	}
	giveUp()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	if n := h.s.GroupWaiting(); n != 1 {
		t.Errorf("%d wait, and one has given up", n)
	}
	h.release(1)
	if got := h.numbers(); got != "2" {
		t.Errorf("written are %q", got)
	}
}

// TestAGroupThatCannotBeCommittedIsNotDone holds that nobody is told that a write is done before it is.
func TestAGroupThatCannotBeCommittedIsNotDone(t *testing.T) {
	t.Parallel()
	h := holdGroup(t)
	for n := range 3 {
		h.writes.Go(func() {
			err := h.s.GroupWrite(context.Background(), func(ctx context.Context, exec store.GroupTx) error {
				_, err := exec(ctx, "INSERT INTO deferred VALUES (?)", n)
				return err
			})
			if err == nil {
				t.Errorf("write %d is told done", n)
			}
		})
	}
	h.release(3)
	read, _ := h.s.Pools()
	var n int
	if err := read.QueryRow("SELECT count(*) FROM deferred").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d rows, %v", n, err)
	}
}

// TestAbandonedWritesAreFreed holds the file as another process would, gives every write up, and checks that nothing of them stays in
// memory while the file is still held, not even of those that were about to begin.
func TestAbandonedWritesAreFreed(t *testing.T) {
	t.Parallel()
	url := "sqlite:" + filepath.Join(t.TempDir(), "dragoman.db")
	s, other := storetest.Open(t, url), storetest.Open(t, url)
	_, pool := other.Pools()
	tx, err := pool.BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, giveUp := context.WithCancel(context.Background())
	const writes = 600 // more than a group takes
	var all sync.WaitGroup
	values := make([]weak.Pointer[[1 << 10]byte], writes)
	for i := range values {
		value := new([1 << 10]byte)
		values[i] = weak.Make(value)
		all.Go(func() {
			err := s.GroupWrite(ctx, func(ctx context.Context, exec store.GroupTx) error {
				_, err := exec(ctx, "SELECT ?", value[:])
				return err
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("given up: %v", err)
			}
		})
	}
	await(func() int { return s.GroupWaiting() + store.MaxGroup }, writes)
	giveUp()
	all.Wait()
	if n := s.GroupWaiting(); n != 0 {
		t.Errorf("%d writes wait after their callers gave up", n)
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
	// The group that was about to begin looks whether it is still wanted ten times a second.
	for deadline := time.Now().Add(5 * time.Second); alive() > 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d abandoned writes stay in memory", alive(), writes)
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := s.GroupWrite(context.Background(), func(context.Context, store.GroupTx) error { return nil }); err != nil {
		t.Errorf("the next write: %v", err)
	}
}
