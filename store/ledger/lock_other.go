//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package ledger

import (
	"context"
	"os"
	"sync"
)

var appending sync.Mutex

// lock waits until no other goroutine of this program has a lock. Other programs must not use the file meanwhile.
func lock(context.Context, *os.File) (unlock func() error, err error) {
	appending.Lock()
	return func() error {
		appending.Unlock()
		return nil
	}, nil
}
