package dialect_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/servertest"
)

// stalled is a body of which first comes at once and the rest once it is released.
type stalled struct {
	first, rest io.Reader
	waiting     chan struct{} // closed when the server asks for the rest
	release     chan struct{}
}

func (b *stalled) Read(p []byte) (int, error) {
	if n, err := b.first.Read(p); n > 0 || err == nil {
		return n, nil
	}
	if b.waiting != nil {
		close(b.waiting)
		b.waiting = nil
	}
	<-b.release
	return b.rest.Read(p)
}

// stall sends a request whose body stalls after first, and returns once the server waits for the rest. Finish lets the rest
// come and returns the answer.
func stall(s *servertest.Server, f surface, who auth.Claims, first, rest string) (finish func() *httptest.ResponseRecorder) {
	waiting := make(chan struct{})
	body := &stalled{first: strings.NewReader(first), rest: strings.NewReader(rest), waiting: waiting, release: make(chan struct{})}
	r := httptest.NewRequest(f.method, f.ada(), body)
	r.ContentLength = int64(len(first) + len(rest))
	r.Header = f.requestBy(s, who).Header
	answer, done := httptest.NewRecorder(), make(chan struct{})
	go func() {
		defer close(done)
		s.Handler.ServeHTTP(answer, r)
	}()
	select {
	case <-waiting:
	case <-done:
	}
	return func() *httptest.ResponseRecorder {
		close(body.release)
		<-done
		return answer
	}
}

func TestRequestsInFlightAreBounded(t *testing.T) {
	t.Parallel()
	for _, f := range surfaces {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			s := servertest.StartWith(t, server.Config{Limits: server.Limits{InFlight: 2}})
			body := f.body()
			first := stall(s, f, servertest.Manager(), body[:5], body[5:])
			second := stall(s, f, servertest.Manager(), body[:5], body[5:])
			isLimited(t, f, s.Send(f.request(s)), "1")
			other := servertest.Manager()
			other.Subject = "another"
			f.accepts(t, s.Send(f.requestBy(s, other)))
			for _, finish := range []func() *httptest.ResponseRecorder{first, second} {
				if a := finish(); a.Code != http.StatusOK {
					t.Errorf("%d %s", a.Code, a.Body)
				}
				f.accepts(t, s.Send(f.request(s)))
			}
		})
	}
}

// TestBytesOfBodiesInFlightAreBounded: of each caller 8 MiB, of all 64 MiB; small bodies always pass.
func TestBytesOfBodiesInFlightAreBounded(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	f := surfaces[0]
	begin := `{"first_name":"` + strings.Repeat("a", 256<<10-20)
	var finish []func() *httptest.ResponseRecorder
	caller := servertest.Manager()
	for c := range 8 {
		caller.Subject = string(rune('a' + c))
		for range 32 {
			finish = append(finish, stall(s, f, caller, begin, `"}`))
		}
		a := stall(s, f, caller, begin, `"}`)()
		if c < 7 && (a.Code != http.StatusTooManyRequests || a.Header().Get("Retry-After") != "1") {
			t.Fatalf("caller %d: %d %.300s", c, a.Code, a.Body)
		}
	}
	caller.Subject = "yet another"
	for range 10 { // of all callers' the first 4 KiB did not count
		finish = append(finish, stall(s, f, caller, begin, `"}`))
	}
	a := finish[len(finish)-1]()
	finish = finish[:len(finish)-1]
	if a.Code != http.StatusServiceUnavailable || a.Header().Get("Retry-After") != "1" {
		t.Errorf("%d %.300s", a.Code, a.Body)
	}
	f.accepts(t, s.Send(f.requestBy(s, caller)))
	for _, f := range finish {
		f()
	}
	if a := stall(s, f, caller, begin, `"}`)(); a.Code != http.StatusBadRequest || !bytes.Contains(a.Body.Bytes(), []byte("at most 255 characters")) {
		t.Errorf("%d %.300s", a.Code, a.Body)
	}
}

// TestAnswersTellTheQuotas, of the address and of the caller, whatever they are.
func TestAnswersTellTheQuotas(t *testing.T) {
	t.Parallel()
	for _, f := range surfaces {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			s := servertest.StartWith(t, server.Config{Now: stop().now, Limits: server.Limits{
				Address: dialect.Rate{PerSecond: 5, Burst: 10}, Principal: dialect.Rate{PerSecond: 1, Burst: 2},
			}})
			tells := func(a servertest.Answer, status int, policy, left string) {
				t.Helper()
				if a.Status != status {
					t.Errorf("%d %s, want %d", a.Status, a.Body, status)
				}
				for name, want := range map[string]string{"RateLimit-Policy": policy, "RateLimit": left} {
					if got := strings.Join(a.Header.Values(name), ", "); got != want {
						t.Errorf("%s: %s, want %s", name, got, want)
					}
				}
			}
			r := f.request(s)
			const both = `"address";q=10;w=2, "principal";q=2;w=2`
			tells(s.Send(r), 200, both, `"address";r=9;t=1, "principal";r=1;t=1`)
			tells(s.Send(r), 200, both, `"address";r=8;t=1, "principal";r=0;t=1`)
			tells(s.Send(r), 429, both, `"address";r=7;t=1, "principal";r=0;t=1`)
			r.Header.Set("Authorization", "Bearer x")
			tells(s.Send(r), 401, `"address";q=10;w=2`, `"address";r=6;t=1`)
			tells(servertest.StartWith(t, server.Config{}).Send(r), 401, "", "")
		})
	}
}
