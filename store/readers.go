package store

import (
	"context"
	"fmt"

	"github.com/dragoman-id/dragoman/store/semaphore"
)

// maxReadersWaiting is how many readers may wait, of one customer and of all; one more is ErrBusy.
var maxReadersWaiting = semaphore.Bounds{Tenant: 256, All: 4096}

// noTenant stands for all who read where it does not matter whose users they read.
const noTenant = 0

// newReaders returns a semaphore for so many readers at a time, which is fair between customers. Of those who wait for a
// connection database/sql picks one at random, and the unlucky wait several times as long as most.
func newReaders(n int) *semaphore.Semaphore { return semaphore.New(n, maxReadersWaiting) }

// acquireReader waits for a slot in the name of a customer, and returns what gives it back.
func acquireReader(ctx context.Context, readers *semaphore.Semaphore, customerID int64) (release func(), err error) {
	if err := readers.Acquire(ctx, customerID); err != nil {
		return nil, fmt.Errorf("waiting for other readers: %w", err)
	}
	return readers.Release, nil
}

// addReaders adds to the state of a pool how those who ask over it waited for a slot.
func (p *Pool) addReaders(readers *semaphore.Semaphore) {
	stats := readers.Stats()
	p.Waited += stats.Waits
	p.WaitedFor += stats.WaitedFor
}
