package auth

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alexedwards/argon2id"
)

// TestNoPasswordCostsAsMuch holds that what a user without a password is checked against costs what another's hash costs.
func TestNoPasswordCostsAsMuch(t *testing.T) {
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

// TestPasswordsWaitTheirTurn holds that no more are computed at once than there are slots, and that waiting ends with the
// context. Time is synctest's.
func TestPasswordsWaitTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewCheapPasswords()
		if got, want := cap(p.slots), runtime.GOMAXPROCS(0); got != want {
			t.Errorf("%d slots, want %d", got, want)
		}
		for range cap(p.slots) {
			p.slots <- struct{}{}
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
		<-p.slots
		if err := <-done; err != nil {
			t.Errorf("Hash after its turn: %v", err)
		}
		if got, want := len(p.slots), cap(p.slots)-1; got != want {
			t.Errorf("%d slots taken, want %d: one was not given back", got, want)
		}
	})
}
