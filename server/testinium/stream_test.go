package testinium_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dragoman-id/dragoman/gen/testiniumclient"
	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// The list that is read slowly: longer than two batches of the handler's, so that it is written in three.
const (
	batch  = 500
	length = 2*batch + 100
)

// stream is a list under way, over a connection that holds nothing itself: what the server has written the client has
// read. It lives in a bubble of package synctest, where time passes when everybody waits.
type stream struct {
	server *server.Server
	stop   context.CancelFunc // tells the server to stop
	log    *bytes.Buffer      // of errors; to be read when the answer is over
	body   *bufio.Reader
	read   bytes.Buffer // what was read of the body
}

const (
	requestTime  = 10 * time.Second
	shutdownTime = 20 * time.Second
)

// startStream asks a server of its own for the sandbox's users, of the database at url.
func startStream(t *testing.T, url string) *stream {
	t.Helper()
	s := &stream{log: &bytes.Buffer{}}
	var err error
	s.server, err = server.New(t.Context(), server.Config{
		Database:  url,
		SecretKey: storetest.Key,
		Auth:      auth.Config{Issuers: []auth.Issuer{{Secret: servertest.Secret}}},
		Timeouts:  server.Timeouts{Request: requestTime, Write: requestTime, Shutdown: shutdownTime},
		Log:       slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	s.stop = stop
	l := &pipes{connections: make(chan net.Conn), closed: make(chan struct{})}
	transport := &http.Transport{DialContext: l.dial}
	var serving sync.WaitGroup
	serving.Go(func() { s.server.Serve(ctx, l) })
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		stop()
		serving.Wait()
		s.server.Close() // of a store that a test has closed already
	})

	token, err := auth.Sign(servertest.Secret, servertest.Manager(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://dragoman"+listPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Authorization": {"Bearer " + token}, "Current-Company-Id": {"5251"}}
	answer, err := transport.RoundTrip(r.WithContext(context.WithoutCancel(ctx)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("status %d", answer.StatusCode)
	}
	s.body = bufio.NewReaderSize(io.TeeReader(answer.Body, &s.read), 512)
	return s
}

// pipes is a listener whose connections are in memory and hold nothing.
type pipes struct {
	connections chan net.Conn
	closed      chan struct{}
	once        sync.Once
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.connections <- server:
		return client, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.connections:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

// take reads the next user.
func (s *stream) take(t *testing.T) {
	t.Helper()
	if _, err := s.body.ReadString('}'); err != nil { // the first authority's end, or the user's
		t.Fatal(err)
	}
}

// rest reads to the end, waiting for pause before each part. The error is the connection's.
func (s *stream) rest(pause time.Duration) error {
	part := make([]byte, 512)
	for {
		time.Sleep(pause)
		_, err := s.body.Read(part)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// users gives all users that the list has shown.
func (s *stream) users(t *testing.T) []testiniumclient.User {
	t.Helper()
	var users []testiniumclient.User
	if err := json.Unmarshal(s.read.Bytes(), &users); err != nil {
		t.Fatal(err)
	}
	return users
}

// populated gives the URL of a database whose sandbox has this many users, for servers to be started on, and a store of it.
func populated(t *testing.T, url string, length int) *store.Store {
	t.Helper()
	s := storetest.Open(t, url)
	storetest.Directory(t, s)
	var creating sync.WaitGroup
	for worker := range 4 {
		creating.Go(func() {
			for i := worker; i < length-2; i += 4 {
				u := store.User{
					CustomerID: servertest.Sandbox, Status: store.StatusActive, Roles: store.Roles(3), FirstName: "as it was",
					Username: fmt.Sprint("user", i), Email: fmt.Sprintf("user%d@example.com", i),
				}
				if err := s.CreateUser(t.Context(), &u); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	creating.Wait()
	return s
}

func TestALongList(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s := populated(t, url, length)
		all, err := s.UsersAfter(t.Context(), servertest.Sandbox, 0, length)
		if err != nil || len(all) != length {
			t.Fatalf("%d users, %v", len(all), err)
		}
		// The law of each: what is done to a list of which the first user was read.
		t.Run("is read as it is written", func(t *testing.T) {
			late := store.User{CustomerID: servertest.Sandbox, Username: "late", Email: "late@example.com", Status: store.StatusActive}
			synctest.Test(t, func(t *testing.T) {
				list := startStream(t, url)
				list.take(t)
				for _, i := range []int{batch, length - 1} {
					_, _, err := list.server.Store().UpdateUser(t.Context(), store.UserByID(servertest.Sandbox, all[i].ID), store.Change{
						Edit: func(u *store.User) error { u.FirstName = "as it is by then"; return nil },
					})
					if err != nil {
						t.Fatal(err)
					}
				}
				if err := list.server.Store().CreateUser(t.Context(), &late); err != nil {
					t.Fatal(err)
				}
				if err := list.rest(0); err != nil {
					t.Fatal(err)
				}
				users := list.users(t)
				if len(users) != length+1 {
					t.Fatalf("%d users", len(users))
				}
				// Only the first batch was held when the client had read one user.
				if users[batch].Name != "as it is by then" || users[length-1].Name != "as it is by then" || users[length].EntityID != testiniumclient.UserID(late.ID) {
					t.Errorf("%q, %q, %d", users[batch].Name, users[length-1].Name, users[length].EntityID)
				}
				if !slices.IsSortedFunc(users, func(a, b testiniumclient.User) int { return int(a.EntityID - b.EntityID) }) {
					t.Error("the list is not in the order of ids")
				}
			})
		})
		t.Run("is given whole to a reader who is slower than a request may take, but reads on", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				list := startStream(t, url)
				if err := list.rest(requestTime / 10); err != nil {
					t.Fatal(err)
				}
				if n := len(list.users(t)); n < length {
					t.Errorf("%d users", n)
				}
				if took := time.Since(start); took < 10*requestTime {
					t.Errorf("the reader took %s only", took)
				}
			})
		})
		for name, interrupt := range map[string]func(t *testing.T, s *stream){
			"is truncated when the reader stands still":      func(*testing.T, *stream) { time.Sleep(requestTime + time.Second) },
			"is truncated when the directory cannot be read": func(_ *testing.T, s *stream) { s.server.Store().Close() },
			"is truncated when the server must stop": func(_ *testing.T, s *stream) {
				s.stop()
				time.Sleep(shutdownTime + time.Second)
			},
		} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					list := startStream(t, url)
					list.take(t)
					interrupt(t, list)
					if err := list.rest(0); err == nil {
						t.Errorf("the client was told of nothing, and was given %d bytes", list.read.Len())
					}
					if json.Valid(list.read.Bytes()) {
						t.Errorf("the client was given a whole array, of %d bytes", list.read.Len())
					}
					synctest.Wait()
					if !strings.Contains(list.log.String(), "response truncated") {
						t.Errorf("the log says %q", list.log)
					}
				})
			})
		}
	})
}
