//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package ledger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// lockPeriod is how often a lock that another program has is asked for.
const lockPeriod = 10 * time.Millisecond

// lock waits for an exclusive lock of a file, which ends with unlock, or with the program.
func lock(ctx context.Context, f *os.File) (unlock func() error, err error) {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() error { return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, fmt.Errorf("locking: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("locking: %w", context.Cause(ctx))
		case <-time.After(lockPeriod):
		}
	}
}
