package auth

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestConcurrentWrongPasswordsAreLimited checks that pending attempts count: at most ten are verified.
func TestConcurrentWrongPasswordsAreLimited(t *testing.T) {
	t.Parallel()
	p := NewCheapPasswords().Of(1)
	var refused atomic.Int64
	var all sync.WaitGroup
	now := time.Now()
	for range 50 {
		all.Go(func() {
			var tooMany *TooManyAttemptsError
			if _, err := p.VerifyCurrent(t.Context(), 7, now, "Wrong-horse", nil); errors.As(err, &tooMany) && tooMany.RetryAfter > 0 {
				refused.Add(1)
			}
		})
	}
	all.Wait()
	if wrong, unseen := p.Wrong(); wrong != 10 || unseen != 40 || refused.Load() != 40 {
		t.Errorf("%d were verified and wrong, %d were not verified, %d calls were refused", wrong, unseen, refused.Load())
	}
	if _, err := p.VerifyCurrent(t.Context(), 8, now, "Wrong-horse", nil); err != nil {
		t.Errorf("another user's: %v", err)
	}
	if _, err := p.VerifyCurrent(t.Context(), 7, now.Add(15*time.Minute), "Wrong-horse", nil); err != nil {
		t.Errorf("after 15 minutes: %v", err)
	}
}
