package dialect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestExplainRead(t *testing.T) {
	t.Parallel()
	gone, leave := context.WithCancel(t.Context())
	leave()
	address := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 50000}
	for _, c := range []struct {
		name  string
		ctx   context.Context
		cause error
		kind  Kind
		gone  bool
	}{
		{"time-out", t.Context(), &net.OpError{Op: "read", Net: "tcp", Addr: address, Err: os.ErrDeadlineExceeded}, RequestTimeout, false},
		{"time-out of a stream", t.Context(), fmt.Errorf("%w", os.ErrDeadlineExceeded), RequestTimeout, false},
		{"reset", t.Context(), &net.OpError{Op: "read", Net: "tcp", Addr: address, Err: syscall.ECONNRESET}, RequestTimeout, true},
		{"truncated", t.Context(), io.ErrUnexpectedEOF, RequestTimeout, true},
		{"stream reset", gone, errors.New("stream error"), RequestTimeout, true},
		{"malformed chunk", t.Context(), errors.New("invalid byte in chunk length"), Invalid, false},
	} {
		err := explainRead(c.ctx, &readError{c.cause})
		if kindOf(err) != c.kind || errors.Is(err, ErrClientGone) != c.gone {
			t.Errorf("%s: %v is %s, gone %v, want %s, %v", c.name, err, kindOf(err), errors.Is(err, ErrClientGone), c.kind, c.gone)
		}
	}
	if err := explainRead(gone, errContentTooLarge); err != errContentTooLarge {
		t.Errorf("another error becomes %v", err)
	}
}

// TestBodyTimeIsNotWorkTime: the clock of the work on a request stands still while its body arrives.
func TestBodyTimeIsNotWorkTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c Call
		c.begin(t.Context(), time.Second)
		defer c.end()
		time.Sleep(time.Second / 2)
		c.suspend()
		time.Sleep(time.Minute)
		c.resume()
		time.Sleep(time.Second / 2)
		synctest.Wait()
		if c.Err() != nil {
			t.Error("the work was ended while the body arrived")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !errors.Is(context.Cause(&c), context.DeadlineExceeded) {
			t.Errorf("work that takes too long ends with %v", context.Cause(&c))
		}
	})
}
