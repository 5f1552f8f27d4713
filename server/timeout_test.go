package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// serve runs a server as the program does, with its time-outs, and gives its address.
func serve(t *testing.T, c server.Config) string {
	t.Helper()
	c.Listen = "127.0.0.1:0"
	c.Database = "sqlite:" + t.TempDir() + "/dragoman.db"
	c.SecretKey = storetest.Key
	c.Auth.Issuers = []auth.Issuer{{Secret: servertest.Secret}}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Timeouts.Shutdown = time.Minute
	s, err := server.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	storetest.Directory(t, s.Store())
	l, err := s.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-served, s.Close()); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// stalled is the servers' timeout, and waitLimit how long the tests wait before they fail.
const (
	stalled   = 500 * time.Millisecond
	waitLimit = 30 * time.Second
)

// dial connects to a server under test, for bytes that no HTTP client sends.
func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(waitLimit)); err != nil {
		t.Fatal(err)
	}
	return c
}

func say(t *testing.T, c net.Conn, format string, args ...any) {
	t.Helper()
	if _, err := fmt.Fprintf(c, format, args...); err != nil {
		t.Fatal(err)
	}
}

// rest reads c until the server closes it, and fails the test if it does not.
func rest(t *testing.T, c net.Conn) string {
	t.Helper()
	text, err := io.ReadAll(c)
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		t.Fatalf("the server does not end the connection; so far it said %q", text)
	}
	return string(text)
}

const patchAda = "PATCH /auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users/94520740-d63c-4e02-85ca-c4e138801e73 HTTP/1.1\r\nHost: localhost\r\n"

func token(t *testing.T, c auth.Claims) string {
	t.Helper()
	text, err := auth.Sign(servertest.Secret, c, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestHeaderTimeout(t *testing.T) {
	t.Parallel()
	c := dial(t, serve(t, server.Config{Timeouts: server.Timeouts{ReadHeader: stalled}}))
	say(t, c, patchAda+"X-Slow: l")
	if text := rest(t, c); strings.HasPrefix(text, "HTTP/1.1 2") {
		t.Errorf("the server answers half a header with %q", text)
	}
}

func TestBodyTimeout(t *testing.T) {
	t.Parallel()
	c := dial(t, serve(t, server.Config{Timeouts: server.Timeouts{Read: stalled}}))
	say(t, c, patchAda+"Authorization: Bearer %s\r\nContent-Length: 100\r\n\r\n{", token(t, servertest.Manager()))
	if text := rest(t, c); !strings.HasPrefix(text, "HTTP/1.1 408") {
		t.Errorf("the server answers half a body with %q", text)
	}
}

func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	c := dial(t, serve(t, server.Config{Timeouts: server.Timeouts{Idle: stalled}}))
	say(t, c, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if text := rest(t, c); !strings.HasPrefix(text, "HTTP/1.1 200") || strings.Contains(text, "Connection: close") {
		t.Errorf("before it was idle, the connection said %q", text)
	}
}

// TestWriteTimeout asks for more than the buffers between the server and a client hold.
func TestWriteTimeout(t *testing.T) {
	t.Parallel()
	c := dial(t, serve(t, server.Config{Docs: true, Timeouts: server.Timeouts{Write: stalled}}))
	request := strings.Repeat("GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n", 100)
	for {
		// The server stops reading when it cannot write, and ends the connection when it could not for long enough.
		if _, err := io.WriteString(c, request); err != nil {
			var network net.Error
			if errors.As(err, &network) && network.Timeout() {
				t.Error("the server does not end a connection that nobody reads")
			}
			return
		}
	}
}

func TestHeaderSize(t *testing.T) {
	t.Parallel()
	address := serve(t, server.Config{})
	for kib, want := range map[int]string{60: "HTTP/1.1 401", 100: "HTTP/1.1 431"} {
		c := dial(t, address)
		go io.WriteString(c, patchAda+"X-Long: "+strings.Repeat("l", kib<<10)+"\r\nConnection: close\r\n\r\n") // may be refused halfway
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, want) {
			t.Errorf("a header of %d KiB is answered %q, %v; want %s", kib, line, err, want)
		}
	}
}

// TestHashQueueTimeout: where passwords are all that the server computes, a further one is refused in time.
func TestHashQueueTimeout(t *testing.T) {
	t.Parallel()
	s := servertest.StartWith(t, server.Config{Passwords: auth.NewBusyPasswords(), Timeouts: server.Timeouts{Request: stalled}})
	a := s.Ask(servertest.Manager(), servertest.Request{
		Method: http.MethodPut,
		Path:   "/account/api/v1/customers/3393/users/6860",
		Body: `{"name":"Augusta","surname":"Lovelace","username":"adalovelace","email":"ada.lovelace@example.com","enabled":true,
			"accountNonExpired":true,"accountNonLocked":true,"credentialNonExpired":true,"authorities":[{"name":"ROLE_USER"}],
			"newPassword":"Correct-horse"}`,
	})
	a.Expect(t, http.StatusServiceUnavailable, servertest.TestiniumError(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE",
		"The service cannot answer at the moment. Try again later.", "/account/api/v1/customers/3393/users/6860"))
	a.ExpectHeader(t, "Retry-After", "1")
	if u := s.FindUser(t, servertest.Ada); u.FirstName != "Ada" || u.PasswordHash != nil {
		t.Errorf("the refused request was written: %+v", u)
	}
}
