package dialect_test

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

// logBook keeps what the server logs.
type logBook struct{ servertest.Log }

// about gives the lines that have this text.
func (l *logBook) about(text string) (lines []string) {
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, text) {
			lines = append(lines, line)
		}
	}
	return lines
}

// isSilent fails the test unless the answer is a 500 that tells nothing, and the log tells the cause, once.
func isSilent(t *testing.T, f surface, a servertest.Answer, log *logBook, cause string) {
	t.Helper()
	f.refuses(t, a, dialect.Internal)
	id := a.Header.Get("X-Request-Id")
	if lines := log.about("level=ERROR"); len(lines) != 1 || !strings.Contains(lines[0], cause) || !strings.Contains(lines[0], id) {
		t.Errorf("the log tells %q, want one line with %q and %q", lines, cause, id)
	}
}

func TestPanicIsASilent500(t *testing.T) {
	t.Parallel()
	for _, f := range surfaces {
		t.Run(f.name, func(t *testing.T) {
			var armed atomic.Bool
			var log logBook
			// A clock that breaks stands for any fault of the program's: each request asks it for the time.
			s := servertest.StartWith(t, server.Config{
				Log: slog.New(slog.NewTextHandler(&log, nil)),
				Now: func() time.Time {
					if armed.CompareAndSwap(true, false) {
						panic("the canary sang")
					}
					return time.Now()
				},
			})
			r := f.request(s)
			armed.Store(true)
			isSilent(t, f, s.Send(r), &log, "the canary sang")
			f.accepts(t, s.Send(r))
		})
	}
}

func TestDatabaseFaultIsASilent500(t *testing.T) {
	t.Parallel()
	for _, f := range surfaces {
		t.Run(f.name, func(t *testing.T) {
			servertest.Each(t, func(t *testing.T, s *servertest.Server) {
				if err := s.Store.Close(); err != nil {
					t.Fatal(err)
				}
				f.refuses(t, s.Send(f.request(s)), dialect.Internal)
			})
			var log logBook
			s := servertest.StartWith(t, server.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
			if err := s.Store.Close(); err != nil {
				t.Fatal(err)
			}
			isSilent(t, f, s.Send(f.request(s)), &log, "database is closed")
		})
	}
}

// TestBusyDatabaseIs503 lets another writer hold the user for as long as the request may take.
func TestBusyDatabaseIs503(t *testing.T) {
	t.Parallel()
	for _, f := range surfaces {
		t.Run(f.name, func(t *testing.T) {
			servertest.EachWith(t, server.Config{Timeouts: server.Timeouts{Request: 50 * time.Millisecond}}, func(t *testing.T, s *servertest.Server) {
				release := hold(t, s)
				r := f.request(s)
				r.Body = f.body(member{f.text, `"Augusta"`})
				a := s.Send(r)
				release()
				f.refuses(t, a, dialect.Unavailable)
				a.ExpectHeader(t, "Retry-After", "1")
				if u := s.FindUser(t, servertest.Ada); u.FirstName != "Held" {
					t.Errorf("the refused request was written: %+v", u)
				}
			})
		})
	}
}

// hold takes Ada from all other writers, and gives what lets her go. A writer holds a user once another was first, so
// there is one.
func hold(t *testing.T, s *servertest.Server) (release func()) {
	t.Helper()
	ada := store.UserByID(servertest.Sandbox, servertest.Ada)
	held, released, done := make(chan struct{}), make(chan struct{}), make(chan error)
	rename := func(name string) store.Change {
		return store.Change{Edit: func(u *store.User) error { u.FirstName = name; return nil }}
	}
	calls := 0
	go func() {
		_, _, err := s.Store.UpdateUser(context.Background(), ada, store.Change{Edit: func(u *store.User) error {
			if calls++; calls == 1 {
				_, _, err := s.Store.UpdateUser(context.Background(), ada, rename("First"))
				u.FirstName = "Second"
				return err
			}
			close(held)
			<-released
			u.FirstName = "Held"
			return nil
		}})
		done <- err
	}()
	select {
	case <-held:
	case err := <-done:
		t.Fatal(err)
	}
	return func() {
		close(released)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
