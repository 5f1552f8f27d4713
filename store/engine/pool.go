package engine

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/dragoman-id/dragoman/store/semaphore"
)

// PoolState is the state of a pool of connections.
type PoolState struct {
	// Use is what its connections are for: "find" for single rows, "read" for lists and searches, "write", or "read_write" where one
	// pool is for both.
	Use              string
	Max, InUse, Idle int           // connections: how many there may be, and how many there are
	Waited           int64         // how often something had to wait for a connection so far
	WaitedFor        time.Duration // how long it had to, in all
}

// StateOf returns the state of a pool whose use is limited by these semaphores.
func StateOf(use string, pool *sql.DB, readers ...*semaphore.Semaphore) PoolState {
	s := pool.Stats()
	state := PoolState{
		Use: use, Max: s.MaxOpenConnections, InUse: s.InUse, Idle: s.Idle, Waited: s.WaitCount, WaitedFor: s.WaitDuration,
	}
	for _, r := range readers {
		waits := r.Stats()
		state.Waited += waits.Waits
		state.WaitedFor += waits.WaitedFor
	}
	return state
}

// maxReadersWaiting is how many readers may wait, of one tenant and of all; one more is ErrBusy.
var maxReadersWaiting = semaphore.Bounds{Tenant: 256, All: 4096}

// NoTenant stands for all who read where it does not matter whose rows they read.
const NoTenant = 0

// NewReaders returns a semaphore for n readers at a time, which is fair between tenants. Of those who wait for a connection
// database/sql picks one at random, and the unlucky wait several times as long as most.
func NewReaders(n int) *semaphore.Semaphore { return semaphore.New(n, maxReadersWaiting) }

// AcquireReader waits for a slot in the name of a tenant, and returns what gives it back.
func AcquireReader(ctx context.Context, readers *semaphore.Semaphore, tenant int64) (release func(), err error) {
	if err := readers.Acquire(ctx, tenant); err != nil {
		return nil, fmt.Errorf("waiting for other readers: %w", err)
	}
	return readers.Release, nil
}
