package shadow_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/moving/shadow"
	"github.com/dragoman-id/dragoman/server/servertest"
)

// TestShadowOfAnswersInParts: a client gets all of an answer to a write whose parts the source sends one after the other.
func TestShadowOfAnswersInParts(t *testing.T) {
	t.Parallel()
	const answer = `{"status":"success"}`
	vendor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
		w.WriteHeader(http.StatusOK)
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		select {
		case <-time.After(3 * time.Millisecond): // the client of the proxy gets the header meanwhile
		case <-r.Context().Done():
		}
		if _, err := io.WriteString(w, answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(vendor.Close)
	m := newMove(t, servertest.Start(t), 1)
	f := m.shadow(t, "worth", func(c *shadow.Config) { c.Source, c.Sample = parse(t, vendor.URL), 0 })
	connection, err := net.Dial("tcp", parse(t, f.url).Host)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	r := bufio.NewReader(connection)
	for n := range 500 {
		body := `{"first_name":"Q"}`
		for _, part := range []string{fmt.Sprintf("PATCH %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", f.user(0), len(body)), body} {
			if _, err := io.WriteString(connection, part); err != nil {
				t.Fatal(err)
			}
		}
		got, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(got.Body)
		if err != nil || string(text) != answer {
			t.Fatalf("answer %d is %q, %v", n, text, err)
		}
	}
}

// TestShadowOfEarlyAnswers: a source may refuse a write before it has read all of it.
func TestShadowOfEarlyAnswers(t *testing.T) {
	t.Parallel()
	vendor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	t.Cleanup(vendor.Close)
	m := newMove(t, servertest.Start(t), 1)
	f := m.shadow(t, "worth", func(c *shadow.Config) { c.Source = parse(t, vendor.URL) })
	body := strings.Repeat(" ", 200<<10) + "{}"
	for range 50 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, f.url+f.user(0), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := answer.Body.Close(); err != nil || answer.StatusCode != http.StatusForbidden {
			t.Errorf("%d, %v", answer.StatusCode, err)
		}
	}
	f.close()
}

// TestShadowOfAnswersBeforeTheBody: a client that gets an answer before it has sent the whole body is told that the connection ends, and the
// shadow neither waits for the rest nor takes it for a request.
func TestShadowOfAnswersBeforeTheBody(t *testing.T) {
	t.Parallel()
	m := newMove(t, servertest.Start(t), 1)
	for name, framing := range map[string]string{"length": "Content-Length: 2\r\n\r\n{}", "chunks": "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"} {
		base, heads := recordLines(t, "HTTP/1.1 413 Request Entity Too Large\r\n"+framing)
		var said servertest.Log
		f := m.shadow(t, "worth", func(c *shadow.Config) {
			c.Source, c.Sample, c.Log = parse(t, base+"/auth/api/v1"), 0, slog.New(slog.NewTextHandler(&said, nil))
		})
		connection, err := net.Dial("tcp", parse(t, f.url).Host)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = connection.Close() }()
		if _, err := io.WriteString(connection, "PATCH "+f.user(0)+" HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{\"first_na"); err != nil {
			t.Fatal(err)
		}
		<-heads
		got, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(got.Body); err != nil || string(text) != "{}" || got.StatusCode != http.StatusRequestEntityTooLarge || !got.Close {
			t.Errorf("%s: %d %q, %v, closes %v", name, got.StatusCode, text, err, got.Close)
		}
		// The rest, and another request, which a client must not send after that.
		_, _ = io.WriteString(connection, "me\":\"Q\"}GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		_, _ = io.Copy(io.Discard, connection)
		f.server.Close()
		if text := said.String(); strings.Contains(text, "panic") {
			t.Errorf("%s: the shadow said %s", name, text)
		}
	}
}

// TestShadowPassesTrailersAndEarlyHints: trailers of a request reach the source, and an answer 1xx adds nothing to the one after it.
func TestShadowPassesTrailersAndEarlyHints(t *testing.T) {
	t.Parallel()
	trailers := make(chan http.Header, 1)
	vendor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		trailers <- r.Trailer
		w.Header().Set("Link", "</x>")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header()["Date"] = nil
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(vendor.Close)
	m := newMove(t, servertest.Start(t), 1)
	f := m.shadow(t, "worth", func(c *shadow.Config) { c.Source = parse(t, vendor.URL+"/auth/api/v1") })
	got := raw(t, f.url, "PATCH "+f.user(0)+" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nConnection: close\r\n\r\n2\r\n{}\r\n0\r\nX-Sum: 7\r\n\r\n")
	if trailer := <-trailers; trailer.Get("X-Sum") != "7" {
		t.Errorf("the source got the trailer %v", trailer)
	}
	const want = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 204 No Content\r\nLink: </x>\r\nConnection: close\r\n\r\n"
	if got != want {
		t.Errorf("the client got %q, want %q", got, want)
	}
}

// TestShadowOfOddTargets: a target that switches protocols, or answers a dry run with a failure, is one that does not answer.
func TestShadowOfOddTargets(t *testing.T) {
	t.Parallel()
	m := newMove(t, servertest.Start(t), 1)
	for method, answer := range map[string]string{
		http.MethodGet: "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", http.MethodPatch: "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n",
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				connection, err := l.Accept()
				if err != nil {
					return
				}
				t.Cleanup(func() { _ = connection.Close() }) // it stays open until then
				go func() {
					r, err := http.ReadRequest(bufio.NewReader(connection))
					if err == nil {
						_, err = io.Copy(io.Discard, r.Body)
					}
					if err == nil {
						_, _ = io.WriteString(connection, answer)
					}
				}()
			}
		}()
		f := m.shadow(t, "worth", func(c *shadow.Config) { c.Target, c.Workers = parse(t, "http://"+l.Addr().String()+"/auth/api/v1"), 1 })
		f.do(t, method, f.url, f.user(0), `{"first_name":"Q"}`)
		f.close()
		for _, o := range f.shadow.Report().Operations {
			if o.Unanswered != 1 || o.NoDryRun != 0 {
				t.Errorf("%s: %+v", method, o)
			}
		}
	}
}
