package cli

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

const (
	// logDelay is how long a line of the log may be held back, to be written with others.
	logDelay = 10 * time.Millisecond
	// maxHeldLines is how many bytes of lines are held back at most: as many as Linux writes to a pipe in one piece (PIPE_BUF), so
	// that the lines of several programs that share one do not run into each other.
	maxHeldLines = 4096
)

// heldLines is a writer that holds the lines of a log back for a moment, since a busy server otherwise spends more time on
// writing its log than on making it. What is held is lost with a program that is killed, or crashes.
type heldLines struct {
	out io.Writer

	mu    sync.Mutex
	lines []byte
	due   *time.Timer // nil: nothing was ever held
}

func newHeldLines(out io.Writer) *heldLines {
	return &heldLines{out: out, lines: make([]byte, 0, maxHeldLines)}
}

// Write takes a whole line. Of one that is held nobody is told whether it could be written.
func (h *heldLines) Write(line []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.lines)+len(line) > maxHeldLines {
		h.release()
	}
	if len(line) > maxHeldLines {
		return h.out.Write(line)
	}
	switch {
	case len(h.lines) > 0:
	case h.due == nil:
		h.due = time.AfterFunc(logDelay, h.Flush)
	default:
		h.due.Reset(logDelay)
	}
	h.lines = append(h.lines, line...)
	return len(line), nil
}

// Flush writes what is held back.
func (h *heldLines) Flush() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.release()
}

// release is Flush for those who hold the mutex.
func (h *heldLines) release() {
	if len(h.lines) > 0 {
		_, _ = h.out.Write(h.lines)
		h.lines = h.lines[:0]
	}
}

// promptly is a handler that holds no warning back, nor what was held before it.
type promptly struct {
	slog.Handler
	held *heldLines
}

func (p promptly) Handle(ctx context.Context, line slog.Record) error {
	err := p.Handler.Handle(ctx, line)
	if line.Level >= slog.LevelWarn {
		p.held.Flush()
	}
	return err
}

func (p promptly) WithAttrs(all []slog.Attr) slog.Handler {
	return promptly{p.Handler.WithAttrs(all), p.held}
}

func (p promptly) WithGroup(name string) slog.Handler {
	return promptly{p.Handler.WithGroup(name), p.held}
}
