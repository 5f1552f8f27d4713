package cli

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// writes are the writes that a log came to.
type writes struct {
	mu  sync.Mutex
	all []string
}

func (w *writes) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, string(p))
	return len(p), nil
}

func (w *writes) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.all)
}

func bufferedLog(out *writes) (*slog.Logger, *bufferedLines) {
	held := newBufferedLines(out)
	return slog.New(flushWarnings{slog.NewTextHandler(held, nil), held}), held
}

func TestLogBuffers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out writes
		log, _ := bufferedLog(&out)
		for round := range 3 { // a timer that is set once only would leave the second
			for i := range 5 {
				log.Info("request", "number", i)
			}
			if out.count() != round {
				t.Fatalf("%d writes at once, want %d", out.count(), round)
			}
			time.Sleep(logDelay)
			synctest.Wait()
			if out.count() != round+1 || strings.Count(out.all[round], "\n") != 5 {
				t.Fatalf("wrote %q", out.all)
			}
		}
	})
}

func TestLogFlushesWarnings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out writes
		log, _ := bufferedLog(&out)
		log = log.With("with", 1).WithGroup("group")
		log.Info("first")
		log.Warn("second")
		if out.count() != 1 || !strings.Contains(out.all[0], "first with=1") || !strings.Contains(out.all[0], "second with=1") {
			t.Errorf("wrote %q", out.all)
		}
	})
}

// TestLogKeepsLines writes more than is held back, from several at once, and more in one line than is held at all.
func TestLogKeepsLines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out writes
		log, held := bufferedLog(&out)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for j := range 200 {
					log.Info("request", "id", fmt.Sprintf("%d-%d", i, j))
				}
			})
		}
		all.Wait()
		log.Info("long", "text", strings.Repeat("x", 2*logBuffer))
		held.Flush()
		seen := map[string]int{}
		for _, w := range out.all {
			if !strings.HasSuffix(w, "\n") || len(w) > logBuffer && strings.Count(w, "\n") > 1 {
				t.Fatalf("%q is no whole line, or more than a pipe takes in one piece", w)
			}
			for line := range bytes.Lines([]byte(w)) {
				_, rest, _ := strings.Cut(string(line), "msg=")
				seen[rest]++
			}
		}
		if len(seen) != 8*200+1 {
			t.Errorf("%d different lines", len(seen))
		}
		if out.count() > 40 {
			t.Errorf("%d writes", out.count())
		}
	})
}
