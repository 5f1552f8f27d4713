package cli

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

const (
	// logDelay is how long a line may be buffered, so that it is written together with others.
	logDelay = 10 * time.Millisecond
	// logBuffer is the size of the buffer in bytes: as many as Linux writes to a pipe atomically (PIPE_BUF), so that the lines of
	// several programs that share a pipe are not interleaved.
	logBuffer = 4096
)

// bufferedLines is a writer that buffers the lines of a log for a moment, since a system call for each line takes more CPU than
// formatting it. If the program crashes or is killed, the buffered lines are lost.
type bufferedLines struct {
	out io.Writer

	mu    sync.Mutex
	lines []byte
	due   *time.Timer // nil until the first line is buffered
}

func newBufferedLines(out io.Writer) *bufferedLines {
	return &bufferedLines{out: out, lines: make([]byte, 0, logBuffer)}
}

// Write writes or buffers a whole line. An error of writing a buffered line later is ignored.
func (h *bufferedLines) Write(line []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.lines)+len(line) > logBuffer {
		h.release()
	}
	if len(line) > logBuffer {
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

// Flush writes the buffered lines.
func (h *bufferedLines) Flush() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.release()
}

// release is Flush for callers that have locked the mutex.
func (h *bufferedLines) release() {
	if len(h.lines) > 0 {
		_, _ = h.out.Write(h.lines)
		h.lines = h.lines[:0]
	}
}

// flushWarnings is a handler that writes a warning at once, with all lines that are buffered.
type flushWarnings struct {
	slog.Handler
	held *bufferedLines
}

func (p flushWarnings) Handle(ctx context.Context, line slog.Record) error {
	err := p.Handler.Handle(ctx, line)
	if line.Level >= slog.LevelWarn {
		p.held.Flush()
	}
	return err
}

func (p flushWarnings) WithAttrs(all []slog.Attr) slog.Handler {
	return flushWarnings{p.Handler.WithAttrs(all), p.held}
}

func (p flushWarnings) WithGroup(name string) slog.Handler {
	return flushWarnings{p.Handler.WithGroup(name), p.held}
}
