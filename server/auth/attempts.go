package auth

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jellydator/ttlcache/v3"
)

// A user may have maxWrongPasswords wrong attempts within wrongPasswordWindow. The attempts of the maxTrackedUsers users with the
// most recent attempts are counted.
const (
	maxWrongPasswords   = 10
	wrongPasswordWindow = 15 * time.Minute
	maxTrackedUsers     = 1 << 16
)

// TooManyAttemptsError reports that a user's current password was not verified, because too many wrong ones had been tried.
type TooManyAttemptsError struct{ RetryAfter time.Duration } // greater than 0

func (e *TooManyAttemptsError) Error() string {
	return "too many wrong passwords were tried on the user"
}

// attempts counts each user's attempts with a wrong current password.
type attempts struct {
	wrong, refused atomic.Int64

	mu    sync.Mutex
	users *ttlcache.Cache[int64, *userAttempts]
}

type userAttempts struct {
	wrong   []time.Time // the times of wrong attempts, ascending
	pending int         // the number of attempts that are being verified
}

func newAttempts() *attempts {
	return &attempts{users: ttlcache.New(
		ttlcache.WithCapacity[int64, *userAttempts](maxTrackedUsers), ttlcache.WithTTL[int64, *userAttempts](2*wrongPasswordWindow),
	)}
}

// begin reserves an attempt, which counts as wrong until it ends. The caller must call end unless begin returns an error.
func (a *attempts) begin(user int64, at time.Time) (*userAttempts, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	item, _ := a.users.GetOrSetFunc(user, func() *userAttempts { return &userAttempts{} })
	u := item.Value()
	u.wrong = slices.DeleteFunc(u.wrong, func(then time.Time) bool { return at.Sub(then) >= wrongPasswordWindow })
	if len(u.wrong)+u.pending < maxWrongPasswords {
		u.pending++
		return u, nil
	}
	a.refused.Add(1)
	wait := time.Second // a pending attempt may succeed by then
	if len(u.wrong) == maxWrongPasswords {
		wait = max(wrongPasswordWindow-at.Sub(u.wrong[0]), 1)
	}
	return nil, &TooManyAttemptsError{wait}
}

// end records the outcome of an attempt that begin reserved.
func (a *attempts) end(u *userAttempts, wrong bool, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	u.pending--
	if wrong {
		a.wrong.Add(1)
		u.wrong = append(u.wrong, at)
	}
}

// VerifyCurrent is like Verify, for the current password of the user with this id. After ten wrong passwords within 15 minutes it
// returns a *TooManyAttemptsError without verifying the password. Each process counts separately.
func (p CustomerPasswords) VerifyCurrent(ctx context.Context, user int64, at time.Time, plain string, hash *string) (bool, error) {
	u, err := p.attempts.begin(user, at)
	if err != nil {
		return false, err
	}
	ok, err := p.Verify(ctx, plain, hash)
	p.attempts.end(u, err == nil && !ok, at)
	return ok, err
}

// Wrong returns how many current passwords were wrong, and how many were refused without verification after too many wrong ones.
func (p *Passwords) Wrong() (wrong, refused int64) {
	return p.attempts.wrong.Load(), p.attempts.refused.Load()
}
