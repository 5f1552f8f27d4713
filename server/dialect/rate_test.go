package dialect_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/servertest"
)

// stopped is a clock that stands until a test moves it. It may be asked by a server meanwhile.
type stopped struct {
	start  time.Time
	passed atomic.Int64
}

func stop() *stopped { return &stopped{start: time.Now()} }

func (c *stopped) now() time.Time { return c.start.Add(time.Duration(c.passed.Load())) }

func (c *stopped) pass(d time.Duration) { c.passed.Add(int64(d)) }

// isLimited fails the test unless the answer is a 429 with this Retry-After.
func isLimited(t *testing.T, f surface, a servertest.Answer, retryAfter string) {
	t.Helper()
	f.refuses(t, a, dialect.RateLimited)
	a.ExpectHeader(t, "Retry-After", retryAfter)
	a.ExpectHeader(t, "Cache-Control", "no-store")
	a.ExpectHeader(t, "Etag")
}

func TestEachPrincipalHasARate(t *testing.T) {
	t.Parallel()
	for _, f := range surfaces {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			clock := stop()
			s := servertest.StartWith(t, server.Config{
				Now:    clock.now,
				Limits: server.Limits{Principal: dialect.Rate{PerSecond: 0.4, Burst: 2}},
			})
			r := f.request(s)
			f.accepts(t, s.Send(r))
			f.accepts(t, s.Send(r))
			changing := r
			changing.Body = f.body(member{f.text, `"Augusta"`})
			isLimited(t, f, s.Send(changing), "3")
			untouched(t, s)

			other := servertest.Manager()
			other.Subject = "another"
			f.accepts(t, s.Send(f.requestBy(s, other)))

			// The caller is who the token says, whichever token it is and wherever it is about to go.
			again := servertest.Manager()
			again.Expires = 30 * time.Minute
			isLimited(t, f, s.Send(f.requestBy(s, again)), "3")
			again.Customers = []string{"3394"}
			isLimited(t, f, s.Send(f.requestBy(s, again)), "3")

			clock.pass(1499 * time.Millisecond)
			isLimited(t, f, s.Send(r), "2")
			clock.pass(1001 * time.Millisecond)
			f.accepts(t, s.Send(r))
			isLimited(t, f, s.Send(r), "3")
		})
	}
}

// TestNobodyElsesTokenCounts: who cannot sign a token cannot use up a principal's rate.
func TestNobodyElsesTokenCounts(t *testing.T) {
	t.Parallel()
	for _, f := range surfaces {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			s := servertest.StartWith(t, server.Config{
				Now:    stop().now,
				Limits: server.Limits{Principal: dialect.Rate{PerSecond: 1, Burst: 1}},
			})
			r := f.request(s)
			forged := r
			forged.Header = r.Header.Clone()
			forged.Header.Set("Authorization", r.Header.Get("Authorization")+"x")
			for range 5 {
				f.refuses(t, s.Send(forged), dialect.Unauthenticated)
			}
			f.accepts(t, s.Send(r))
		})
	}
}

// TestAddressLimitPrecedesToken: guessing tokens is as bounded as everything else.
func TestAddressLimitPrecedesToken(t *testing.T) {
	t.Parallel()
	for _, f := range surfaces {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			clock := stop()
			s := servertest.StartWith(t, server.Config{
				Now:    clock.now,
				Limits: server.Limits{Address: dialect.Rate{PerSecond: 1, Burst: 2}},
			})
			r := f.request(s)
			guess := r
			guess.Header = r.Header.Clone()
			guess.Header.Set("Authorization", "Bearer guess")
			f.refuses(t, s.Send(guess), dialect.Unauthenticated)
			f.refuses(t, s.Send(guess), dialect.Unauthenticated)
			isLimited(t, f, s.Send(guess), "1")
			isLimited(t, f, s.Send(r), "1")
			clock.pass(time.Second)
			f.accepts(t, s.Send(r))
		})
	}
}

// TestEveryOperationDeclaresItsLimit: a client that reads the document knows that it may have to wait, and where it is told
// for how long.
func TestEveryOperationDeclaresItsLimit(t *testing.T) {
	t.Parallel()
	for _, d := range allDocuments(t) {
		for path, item := range d.Paths.Map() {
			for method, o := range item.Operations() {
				answer := o.Responses.Status(http.StatusTooManyRequests)
				if answer == nil {
					t.Errorf("%s: %s %s declares no 429", d.Info.Title, method, path)
					continue
				}
				if h := answer.Value.Headers["Retry-After"]; h == nil || !h.Value.Required {
					t.Errorf("%s: the 429 of %s %s declares no Retry-After", d.Info.Title, method, path)
				}
			}
		}
	}
}
