package auth

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alexedwards/argon2id"

	"github.com/dragoman-id/dragoman/store/semaphore"
)

// TestDummyHashParameters checks that the hash for users without a password is as expensive as any other.
func TestDummyHashParameters(t *testing.T) {
	for _, p := range []*Passwords{NewPasswords(), NewCheapPasswords()} {
		params, _, _, err := argon2id.DecodeHash(p.dummy)
		if err != nil {
			t.Fatal(err)
		}
		if *params != p.params {
			t.Errorf("the dummy is made with %+v, hashes with %+v", *params, p.params)
		}
		if err := checkHash(p.dummy); err != nil {
			t.Error(err)
		}
	}
}

// TestPasswordsWaitForSlots checks that at most as many computations run as there are slots, and that waiting ends with the
// context. It runs in a synctest bubble.
func TestPasswordsWaitForSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewCheapPasswords()
		if got, want := p.Load().Max, runtime.GOMAXPROCS(0); got != want {
			t.Errorf("%d slots, want %d", got, want)
		}
		for range p.Load().Max {
			if err := p.slots.Acquire(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.Hash(ctx, "Correct-horse"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Hash: %v", err)
		}
		if _, err := p.Verify(ctx, "Correct-horse", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Verify without a hash: %v", err)
		}

		done := make(chan error)
		go func() {
			_, err := p.Hash(t.Context(), "Correct-horse")
			done <- err
		}()
		synctest.Wait()
		select {
		case <-done:
			t.Error("computed without a slot")
		default:
		}
		p.slots.Release()
		if err := <-done; err != nil {
			t.Errorf("Hash with a free slot: %v", err)
		}
		if got, want := p.Load().Running, p.Load().Max-1; got != want {
			t.Errorf("%d slots taken, want %d: one was not given back", got, want)
		}
	})
}

// TestPasswordsAreFairBetweenCustomers checks that the password of another customer, queued behind 100 of one customer, is the
// second.
func TestPasswordsAreFairBetweenCustomers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewCheapPasswords()
		p.slots = semaphore.New(1, maxHashesWaiting)
		if err := p.slots.Acquire(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var first int64
		var all sync.WaitGroup
		start := func(customer int64, done func()) {
			all.Go(func() {
				if _, err := p.Of(customer).Verify(t.Context(), "Wrong-horse", nil); err != nil {
					t.Error(err)
				}
				done()
			})
			synctest.Wait()
		}
		for range 100 {
			start(1, func() {})
		}
		start(2, func() {
			mu.Lock()
			defer mu.Unlock()
			first = p.Computed()
		})
		p.slots.Release()
		all.Wait()
		// Others may have been computed in between.
		if first > 20 {
			t.Errorf("the other customer's was number %d", first)
		}
	})
}
