package auth

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jellydator/ttlcache/v3"
)

// How many wrong present passwords may be tried on one user within how long, and of how many users that is remembered: of
// those on whom one was tried last.
const (
	maxWrongPasswords = 10
	wrongPasswordsFor = 15 * time.Minute
	maxTriedUsers     = 1 << 16
)

// TooManyAttemptsError is a present password that was not looked at, as too many wrong ones were tried on the user.
type TooManyAttemptsError struct{ RetryAfter time.Duration } // more than 0

func (e *TooManyAttemptsError) Error() string {
	return "too many wrong passwords were tried on the user"
}

// attempts counts the wrong present passwords of each user.
type attempts struct {
	wrong, refused atomic.Int64

	mu    sync.Mutex
	users *ttlcache.Cache[int64, *tried]
}

type tried struct {
	wrong   []time.Time // when, ascending
	pending int         // how many are being checked
}

func newAttempts() *attempts {
	return &attempts{users: ttlcache.New(
		ttlcache.WithCapacity[int64, *tried](maxTriedUsers), ttlcache.WithTTL[int64, *tried](2*wrongPasswordsFor),
	)}
}

// begin counts an attempt as one that may turn out wrong. Whoever calls it calls end in the end, unless it gives an error.
func (a *attempts) begin(user int64, at time.Time) (*tried, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	item, _ := a.users.GetOrSetFunc(user, func() *tried { return &tried{} })
	u := item.Value()
	u.wrong = slices.DeleteFunc(u.wrong, func(then time.Time) bool { return at.Sub(then) >= wrongPasswordsFor })
	if len(u.wrong)+u.pending < maxWrongPasswords {
		u.pending++
		return u, nil
	}
	a.refused.Add(1)
	wait := time.Second // until one that is being checked may have turned out right
	if len(u.wrong) == maxWrongPasswords {
		wait = max(wrongPasswordsFor-at.Sub(u.wrong[0]), 1)
	}
	return nil, &TooManyAttemptsError{wait}
}

func (a *attempts) end(u *tried, wrong bool, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	u.pending--
	if wrong {
		a.wrong.Add(1)
		u.wrong = append(u.wrong, at)
	}
}

// Prove is Verify for the present password of the user with this id. Once ten wrong ones were tried within 15 minutes it
// looks at no more, and its error is a *TooManyAttemptsError. The count is this process's own.
func (p CustomerPasswords) Prove(ctx context.Context, user int64, at time.Time, plain string, hash *string) (bool, error) {
	u, err := p.attempts.begin(user, at)
	if err != nil {
		return false, err
	}
	ok, err := p.Verify(ctx, plain, hash)
	p.attempts.end(u, err == nil && !ok, at)
	return ok, err
}

// Wrong returns how many present passwords were wrong so far, and how many were not looked at for that reason.
func (p *Passwords) Wrong() (wrong, refused int64) {
	return p.attempts.wrong.Load(), p.attempts.refused.Load()
}
