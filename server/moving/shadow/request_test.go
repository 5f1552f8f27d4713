package shadow_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/moving/shadow"
	"github.com/dragoman-id/dragoman/server/servertest"
)

// recordLines starts a source that answers each connection once, and returns its URL and the heads of the requests that it got.
func recordLines(t *testing.T, answer string) (base string, heads <-chan []string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	got := make(chan []string, 1)
	go func() {
		for {
			connection, err := l.Accept()
			if err != nil {
				return
			}
			head := []string{}
			for r := bufio.NewReader(connection); ; {
				line, err := r.ReadString('\n')
				if err != nil || line == "\r\n" {
					break
				}
				head = append(head, strings.TrimSuffix(line, "\r\n"))
			}
			_, _ = io.WriteString(connection, answer)
			_ = connection.Close()
			got <- head
		}
	}()
	return "http://" + l.Addr().String(), got
}

// raw sends a request as it is and returns the answer as it is.
func raw(t *testing.T, base, request string) string {
	t.Helper()
	connection, err := net.Dial("tcp", parse(t, base).Host)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	if _, err := io.WriteString(connection, request); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(connection)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// TestShadowSendsRequestsAsTheyAre: the source gets the target of each request line byte for byte, and the headers.
func TestShadowSendsRequestsAsTheyAre(t *testing.T) {
	t.Parallel()
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Odd: 1\r\nConnection: close\r\n\r\n{}"
	m := newMove(t, servertest.Start(t), 1)
	base, heads := recordLines(t, answer)
	f := m.shadow(t, "worth", func(c *shadow.Config) { c.Source, c.Sample = parse(t, base+"/auth/api/v1"), 0 })
	proxied := m.shadow(t, "worth", func(c *shadow.Config) {
		c.Sample = 0
		c.Source, c.Transport = parse(t, "http://vendor.example/auth/api/v1"), &http.Transport{Proxy: http.ProxyURL(parse(t, base))}
	})
	const user = "/auth/api/v1/customers/x/users/y"
	for _, target := range []string{
		user, "/", "//", "/a//b/", "//a/b?c", "/../x/./..", "/a%2Fb", "/a%2fb", "/a|b", "/a|b%2F^`{}\"<>\\", "/%41%7e", "/a;b=c", "/a:b@c", "/#x", "/é",
		"/a?", "/a??", "/a?b?c", "/a?x=%zz", "/a?x;y=1&&z=%2F|", "/a?x=#y", "/?", "/a?é=%C3%A9", user + "?", user + "/?a|b", user + "%2F", "/customers/..",
		"*", "/a+b%20c", "/http://elsewhere/x", "/a?u=http://elsewhere/x",
	} {
		method := http.MethodGet
		if target == "*" {
			method = http.MethodOptions
		}
		request := method + " " + target + " HTTP/1.1\r\nHost: vendor.example\r\nX-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\nAccept-Encoding: br, gzip;q=0.5\r\n" +
			"If-None-Match: \"v\"\r\nX-Twice: 1\r\nX-Twice: 2\r\nConnection: close\r\n\r\n"
		got := raw(t, f.url, request)
		if answer != got {
			t.Errorf("%s: the client got %q", target, got)
			continue
		}
		head := <-heads
		if want := method + " " + target + " HTTP/1.1"; head[0] != want {
			t.Errorf("the source got %q, not %q", head[0], want)
		}
		for _, want := range []string{
			"Host: " + strings.TrimPrefix(base, "http://"), "X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1", "Accept-Encoding: br, gzip;q=0.5",
			`If-None-Match: "v"`, "X-Twice: 1", "X-Twice: 2",
		} {
			if strings.Count("\n"+strings.Join(head, "\n")+"\n", "\n"+want+"\n") != 1 {
				t.Errorf("%s: of %q, the source got %q", target, want, head)
			}
		}
		if len(head) != 8 {
			t.Errorf("%s: the source got more: %q", target, head)
		}
		if target == "*" {
			continue
		}
		raw(t, proxied.url, request)
		if got, want := (<-heads)[0], "GET http://vendor.example"+target+" HTTP/1.1"; got != want {
			t.Errorf("a proxy got %q, not %q", got, want)
		}
	}
	raw(t, f.url, "GET http://vendor.example/a|b?c HTTP/1.1\r\nHost: vendor.example\r\nConnection: close\r\n\r\n")
	if head := <-heads; head[0] != "GET /a|b?c HTTP/1.1" {
		t.Errorf("the source got %q", head[0])
	}
	raw(t, f.url, "GET //a|b HTTP/1.1\r\nHost: vendor.example\r\nConnection: close\r\n\r\n")
	if head := <-heads; head[0] != "GET //a%7Cb HTTP/1.1" {
		t.Errorf("the source got %q", head[0])
	}
}

// TestShadowAsksTheTargetTheSame, and nowhere but below its base path, or for writes that below dry runs.
func TestShadowAsksTheTargetTheSame(t *testing.T) {
	t.Parallel()
	m := newMove(t, servertest.Start(t), 1)
	asked := make(chan *url.URL, 1)
	target := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		u := *r.URL
		u.Opaque = r.RequestURI
		asked <- &u
	}))
	t.Cleanup(target.Close)
	base, heads := recordLines(t, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
	f := m.shadow(t, "worth", func(c *shadow.Config) {
		c.Source, c.Target = parse(t, base+"/auth/api/v1"), parse(t, target.URL+"/behind/auth/api/v1")
	})
	send := func(method, path string) {
		raw(t, f.url, fmt.Sprintf("%s /auth/api/v1%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", method, path))
		<-heads
	}
	for _, path := range []string{"/customers/x/users/y", "/customers/x|/users/%79?", "/customers/x/users?a=%zz&b;c", "//customers/x/users/y", "/customers/x/users/"} {
		send(http.MethodGet, path)
		if got, want := (<-asked).Opaque, "/behind/auth/api/v1"+path; got != want {
			t.Errorf("the target was asked %q, not %q", got, want)
		}
	}
	send(http.MethodPatch, "/customers/x/users/y|?")
	if got, want := (<-asked).Opaque, "/behind/dry-run/auth/api/v1/customers/x/users/y|?"; got != want {
		t.Errorf("the target was asked %q, not %q", got, want)
	}
	for _, path := range []string{"/customers/../users/y", "/customers/x/users/..%2F..%2Fcustomers", "/customers/x/users/%2e%2E", "/customers/x/users/a%5Cb"} {
		send(http.MethodPatch, path)
	}
	if r := f.close(); r.Other != 4 {
		t.Errorf("%+v", r)
	}
}
