package server_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/servertest"
)

// longBody is the body of requests that are answered before it was read: more than the buffers between two sockets hold.
const longBody = 5 << 20

// early is a request that is answered early.
type early struct {
	name   string
	head   string // its header's lines
	path   string
	status int
}

func earlyRequests(t *testing.T) []early {
	bearer := "Authorization: Bearer " + token(t, servertest.Manager()) + "\r\n"
	stranger := servertest.Manager()
	stranger.Customers = []string{"3394"}
	foreign := "Authorization: Bearer " + token(t, stranger) + "\r\n"
	return []early{
		{name: "too large", head: bearer, path: worthAda, status: 413},
		{name: "no token", path: worthAda, status: 401},
		{name: "another's customer", head: foreign, path: worthAda, status: 403},
		{name: "another media type", head: bearer + "Content-Type: text/plain\r\n", path: worthAda, status: 415},
		{name: "compressed", head: bearer + "Content-Encoding: gzip\r\n", path: worthAda, status: 415},
		{name: "no such path", head: bearer, path: "/auth/api/v1/nowhere", status: 404},
		{name: "no dialect", path: "/nowhere", status: 404},
		{name: "no such method", path: "/livez", status: 405},
		{name: "too many requests", path: worthAda, status: http.StatusTooManyRequests},
	}
}

// TestEarlyAnswerReachesClient: a client that writes its whole request before it reads anything gets the answer, over plain
// connections and TLS, whether the body has a length or comes in chunks.
func TestEarlyAnswerReachesClient(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %v", secure), func(t *testing.T) {
			t.Parallel()
			c := server.Config{Timeouts: server.Timeouts{Read: waitLimit}}
			if secure {
				c.TLS = certify(t).files
			}
			limited := c
			limited.Limits.Address = dialect.Rate{PerSecond: 0.001, Burst: 1}
			all, none := serve(t, c), serve(t, limited)
			connect(t, none, secure).writeRequest(t, early{path: worthAda}, false, 0).expect(t, http.StatusUnauthorized)
			for _, chunked := range []bool{false, true} {
				for _, e := range earlyRequests(t) {
					t.Run(fmt.Sprintf("%s, chunked %v", e.name, chunked), func(t *testing.T) {
						t.Parallel()
						address := all
						if e.status == http.StatusTooManyRequests {
							address = none
						}
						connect(t, address, secure).writeRequest(t, e, chunked, longBody).expect(t, e.status)
					})
				}
			}
		})
	}
}

// client is a connection that writes first and reads later.
type client struct{ net.Conn }

func connect(t *testing.T, address string, secure bool) client {
	t.Helper()
	c := dial(t, address)
	// So that most of a long body cannot wait in the kernel.
	if err := c.(*net.TCPConn).SetWriteBuffer(16 << 10); err != nil {
		t.Fatal(err)
	}
	if secure {
		return client{tls.Client(c, &tls.Config{InsecureSkipVerify: true})} // #nosec G402 -- the test's own server
	}
	return client{c}
}

// writeRequest writes all of a request with a body of this length.
func (c client) writeRequest(t *testing.T, e early, chunked bool, length int) client {
	t.Helper()
	out := bufio.NewWriterSize(c, 64<<10)
	fmt.Fprintf(out, "PATCH %s HTTP/1.1\r\nHost: localhost\r\n%s", e.path, e.head)
	part := strings.Repeat(" ", 64<<10)
	if chunked {
		fmt.Fprint(out, "Transfer-Encoding: chunked\r\n\r\n")
		for left := length; left > 0; left -= len(part) {
			fmt.Fprintf(out, "%x\r\n%s\r\n", len(part), part)
		}
		fmt.Fprint(out, "0\r\n\r\n")
	} else {
		fmt.Fprintf(out, "Content-Length: %d\r\n\r\n", length)
		for left := length; left > 0; left -= len(part) {
			fmt.Fprint(out, part)
		}
	}
	if err := out.Flush(); err != nil {
		t.Fatalf("write the request: %v", err)
	}
	return c
}

func (c client) expect(t *testing.T, status int) {
	t.Helper()
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("read the answer: %v", err)
	}
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != status {
		t.Errorf("status %d, want %d, and %d bytes, %v", answer.StatusCode, status, len(body), err)
	}
}

// TestEarlyAnswerWaitsForNoBody: a refusal does not wait until the body of its request has come, and the connection is closed after
// it.
func TestEarlyAnswerWaitsForNoBody(t *testing.T) {
	t.Parallel()
	address := serve(t, server.Config{Timeouts: server.Timeouts{Read: waitLimit}})
	for _, framing := range []string{"Content-Length: 100\r\n\r\n{", "Content-Length: 200000\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n9\r\n{"} {
		for _, e := range earlyRequests(t) {
			if e.status == http.StatusTooManyRequests || e.status == http.StatusRequestEntityTooLarge {
				continue
			}
			t.Run(e.name, func(t *testing.T) {
				t.Parallel()
				c := dial(t, address)
				say(t, c, "PATCH %s HTTP/1.1\r\nHost: localhost\r\n%s%s", e.path, e.head, framing)
				if err := c.SetReadDeadline(time.Now().Add(waitLimit / 2)); err != nil {
					t.Fatal(err)
				}
				answer, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer answer.Body.Close()
				if answer.StatusCode != e.status || !answer.Close {
					t.Errorf("status %d, want %d; closes: %v", answer.StatusCode, e.status, answer.Close)
				}
			})
		}
	}
}

// TestEarlyAnswerReachesClientThatCloses: a client that asks for the connection to be closed, and writes for longer than the answer
// takes, gets the answer all the same.
func TestEarlyAnswerReachesClientThatCloses(t *testing.T) {
	t.Parallel()
	c := connect(t, serve(t, server.Config{}), false)
	say(t, c, "PATCH %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 200000\r\n\r\n", worthAda)
	in := bufio.NewReader(c)
	if _, err := in.Peek(1); err != nil { // the answer is there before the body
		t.Fatal(err)
	}
	say(t, c, "%s", strings.Repeat(" ", 200000))
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %d, %v", answer.StatusCode, err)
	}
}

// TestTimeoutReachesSlowClient: a client whose body takes too long, and that goes on writing, gets the 408.
func TestTimeoutReachesSlowClient(t *testing.T) {
	t.Parallel()
	c := dial(t, serve(t, server.Config{Timeouts: server.Timeouts{Read: stalled}}))
	say(t, c, patchAda+"Authorization: Bearer %s\r\nContent-Length: 1000\r\n\r\n", token(t, servertest.Manager()))
	in := bufio.NewReader(c)
	if _, err := in.Peek(1); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		say(t, c, " ")
	}
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusRequestTimeout {
		t.Errorf("status %d, %v", answer.StatusCode, err)
	}
}

// TestConnectionOutlivesEarlyAnswers: if the rest of a body comes soon, the next request of the connection is answered.
func TestConnectionOutlivesEarlyAnswers(t *testing.T) {
	t.Parallel()
	address := serve(t, server.Config{Timeouts: server.Timeouts{Read: waitLimit}})
	var all sync.WaitGroup
	for _, framing := range []string{"Content-Length: 12\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\nc\r\n{"} {
		for range 4 {
			c := dial(t, address)
			all.Go(func() {
				in := bufio.NewReader(c)
				for range 100 {
					fmt.Fprintf(c, "PATCH %s HTTP/1.1\r\nHost: localhost\r\n%s", worthAda, framing)
					rest := strings.Repeat(" ", 11)
					if strings.HasPrefix(framing, "Transfer") {
						rest += "\r\n0\r\n\r\n"
					}
					fmt.Fprint(c, rest)
					answer, err := http.ReadResponse(in, nil)
					if err != nil {
						t.Error(err)
						return
					}
					if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusUnauthorized || answer.Close {
						t.Errorf("status %d, closes: %v, %v", answer.StatusCode, answer.Close, err)
						return
					}
				}
			})
		}
	}
	all.Wait()
}

// TestEarlyAnswerOverHTTP2: the answer comes while the body is still being sent.
func TestEarlyAnswerOverHTTP2(t *testing.T) {
	t.Parallel()
	address := serve(t, server.Config{TLS: certify(t).files})
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // #nosec G402 -- the test's own server
	t.Cleanup(transport.CloseIdleConnections)
	for _, e := range earlyRequests(t) {
		if e.status == http.StatusTooManyRequests {
			continue
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, "https://"+address+e.path, strings.NewReader(strings.Repeat(" ", longBody)))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(strings.TrimSpace(e.head), "\r\n") {
			if name, value, ok := strings.Cut(line, ": "); ok {
				r.Header.Set(name, value)
			}
		}
		answer, err := transport.RoundTrip(r)
		if err != nil {
			t.Errorf("%s: %v", e.name, err)
			continue
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if answer.ProtoMajor != 2 || answer.StatusCode != e.status {
			t.Errorf("%s: %s %d, want %d", e.name, answer.Proto, answer.StatusCode, e.status)
		}
	}
}

// TestExpectContinue: a client that waits for a 100 before it sends its body is given the refusal instead of one.
func TestExpectContinue(t *testing.T) {
	t.Parallel()
	address := serve(t, server.Config{})
	for _, e := range earlyRequests(t) {
		if e.status == http.StatusTooManyRequests {
			continue
		}
		c := dial(t, address)
		say(t, c, "PATCH %s HTTP/1.1\r\nHost: localhost\r\n%sExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", e.path, e.head, longBody)
		line, err := bufio.NewReader(c).ReadString('\n')
		if want := fmt.Sprintf("HTTP/1.1 %d ", e.status); err != nil || !strings.HasPrefix(line, want) {
			t.Errorf("%s: the first line is %q, %v, want %s", e.name, line, err, want)
		}
	}
}

// TestEndlessBodyIsCutOff: who sends without an end is read from for a while only.
func TestEndlessBodyIsCutOff(t *testing.T) {
	t.Parallel()
	c := dial(t, serve(t, server.Config{}))
	say(t, c, "PATCH /nowhere HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
	part := strings.Repeat("x", 1<<20)
	for sent := 0; ; sent++ {
		if _, err := fmt.Fprintf(c, "%x\r\n%s\r\n", len(part), part); err != nil {
			return
		}
		if sent > 256 {
			t.Fatalf("the server has read %d MiB", sent)
		}
	}
}

// TestUnsupportedMediaTypeListsSupported (RFC 9110, section 15.5.16; RFC 5789, section 2.2).
func TestUnsupportedMediaTypeListsSupported(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, c := range []struct{ method, path, sent, value, header, want string }{
		{http.MethodPatch, worthAda, "Content-Encoding", "gzip", "Accept-Encoding", "identity"},
		{http.MethodPost, usersOfWorth, "Content-Encoding", "br", "Accept-Encoding", "identity"},
		{http.MethodPut, testiniumAda, "Content-Encoding", "gzip, identity", "Accept-Encoding", "identity"},
		{http.MethodPatch, worthAda, "Content-Type", "text/plain", "Accept-Patch", "application/json"},
		{http.MethodPost, usersOfWorth, "Content-Type", "application/xml", "Accept", "application/json"},
		{http.MethodPut, testiniumAda, "Content-Type", "application/xml", "Accept", "application/json, application/x-www-form-urlencoded"},
	} {
		a := s.Ask(servertest.Manager(), servertest.Request{Method: c.method, Path: c.path, Body: "{}", Header: http.Header{c.sent: {c.value}}})
		if a.Status != http.StatusUnsupportedMediaType {
			t.Errorf("%s with %s: %s is answered %d", c.method, c.sent, c.value, a.Status)
		}
		a.ExpectHeader(t, c.header, c.want)
		for _, other := range []string{"Accept", "Accept-Patch", "Accept-Encoding"} {
			if other != c.header {
				a.ExpectHeader(t, other)
			}
		}
	}
}

// TestIncompleteBodyIsNoBadRequest: a body that comes too slowly is a 408, and a client that leaves while it sends is logged
// as gone. Neither is a 400 or the server's fault.
func TestIncompleteBodyIsNoBadRequest(t *testing.T) {
	t.Parallel()
	for _, framing := range []string{"Content-Length: 100\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n9\r\n{", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"} {
		t.Run(framing, func(t *testing.T) {
			t.Parallel()
			for name, status := range map[string]float64{"slow": http.StatusRequestTimeout, "half closed": 499} {
				var j journal
				c := server.Config{Timeouts: server.Timeouts{Read: waitLimit}, Log: j.log(nil)}
				if name == "slow" {
					c.Timeouts.Read = stalled
				}
				connection := dial(t, serve(t, c)).(*net.TCPConn)
				say(t, connection, patchAda+"Authorization: Bearer %s\r\n%s", token(t, servertest.Manager()), framing)
				if name == "half closed" {
					if err := connection.CloseWrite(); err != nil {
						t.Fatal(err)
					}
				}
				if text := rest(t, connection); !strings.HasPrefix(text, "HTTP/1.1 408") || !strings.Contains(text, `"errorCode":"REQUEST_TIMEOUT"`) {
					t.Errorf("%s: the answer is %q", name, text)
				}
				eventually(t, "the request is logged", func() bool { return len(j.lines(t, "request")) > 0 })
				for _, line := range j.lines(t, "request") {
					if line["status"] != status || line["level"] != "INFO" {
						t.Errorf("%s is logged as %v", name, line)
					}
				}
			}
		})
	}
}

// TestMalformedChunkIsBadRequest: what is no HTTP stays a 400.
func TestMalformedChunkIsBadRequest(t *testing.T) {
	t.Parallel()
	c := dial(t, serve(t, server.Config{}))
	say(t, c, patchAda+"Authorization: Bearer %s\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n", token(t, servertest.Manager()))
	if text := rest(t, c); !strings.HasPrefix(text, "HTTP/1.1 400") {
		t.Errorf("the answer is %q", text)
	}
}

const python = `
import http.client, sys
c = http.client.HTTPConnection(sys.argv[1], timeout=60)
c.request("PATCH", sys.argv[2], b" " * (5 << 20), {"Authorization": "Bearer " + sys.argv[3], "Content-Type": "application/json"})
print(c.getresponse().status)
`

// TestPythonReadsEarlyAnswer of a body that is too large.
func TestPythonReadsEarlyAnswer(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("python3"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("there is no python3")
	}
	out, err := exec.CommandContext(t.Context(), "python3", "-c", python, serve(t, server.Config{}), worthAda, token(t, servertest.Manager())).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "413" {
		t.Errorf("Python sees %v: %s", err, out)
	}
}
