package auth

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jellydator/ttlcache/v3"
)

// A user may have maxWrongPasswords wrong attempts within wrongPasswordsFor. The attempts of the maxTriedUsers users with the
// latest ones are counted.
const (
	maxWrongPasswords = 10
	wrongPasswordsFor = 15 * time.Minute
	maxTriedUsers     = 1 << 16
)

// TooManyAttemptsError refuses to verify a present password, because the user had too many wrong ones.
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
	wrong   []time.Time // times of wrong attempts, ascending
	pending int         // attempts whose verification has not ended
}

func newAttempts() *attempts {
	return &attempts{users: ttlcache.New(
		ttlcache.WithCapacity[int64, *tried](maxTriedUsers), ttlcache.WithTTL[int64, *tried](2*wrongPasswordsFor),
	)}
}

// begin reserves an attempt, which counts as wrong until it ends. The caller must call end unless begin returns an error.
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
	wait := time.Second // a pending attempt may turn out right by then
	if len(u.wrong) == maxWrongPasswords {
		wait = max(wrongPasswordsFor-at.Sub(u.wrong[0]), 1)
	}
	return nil, &TooManyAttemptsError{wait}
}

// end records the outcome of an attempt that begin reserved.
func (a *attempts) end(u *tried, wrong bool, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	u.pending--
	if wrong {
		a.wrong.Add(1)
		u.wrong = append(u.wrong, at)
	}
}

// Prove is Verify for the present password of the user with this id. After ten wrong ones within 15 minutes it verifies no
// more and returns a *TooManyAttemptsError. Each process counts for itself.
func (p CustomerPasswords) Prove(ctx context.Context, user int64, at time.Time, plain string, hash *string) (bool, error) {
	u, err := p.attempts.begin(user, at)
	if err != nil {
		return false, err
	}
	ok, err := p.Verify(ctx, plain, hash)
	p.attempts.end(u, err == nil && !ok, at)
	return ok, err
}

// Wrong returns the number of present passwords that were wrong, and of those that were refused unverified for that reason.
func (p *Passwords) Wrong() (wrong, refused int64) {
	return p.attempts.wrong.Load(), p.attempts.refused.Load()
}
