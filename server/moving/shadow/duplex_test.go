package shadow_test

import (
	"bufio"
	"fmt"
	"io"
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
