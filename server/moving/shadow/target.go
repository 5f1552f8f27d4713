package shadow

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/dragoman-id/dragoman/server/moving/difference"
)

// written is the target of a request line, as it is written there. To parse and write it again could change it.
type written struct {
	path, query string
	hasQuery    bool // which may be empty
}

// writtenIn returns the target of a request line without a scheme and host.
func writtenIn(line string) (w written) {
	w.path, w.query, w.hasQuery = strings.Cut(line, "?")
	if _, rest, absolute := strings.Cut(w.path, "://"); absolute && !strings.HasPrefix(w.path, "/") {
		_, path, _ := strings.Cut(rest, "/")
		w.path = "/" + path
	}
	return w
}

// set makes u one whose request line has the target as it is written. Proxied is whether that line is for a proxy.
func (w written) set(u *url.URL, proxied bool) {
	u.RawQuery, u.ForceQuery = w.query, w.hasQuery
	switch {
	case proxied:
		u.Opaque = "//" + u.Host + w.path
	case !strings.HasPrefix(w.path, "//"):
		u.Opaque = w.path
	default: // which Opaque cannot express; net/url encodes what no path may have
		u.Opaque, u.RawPath = "", w.path
		u.Path, _ = url.PathUnescape(w.path) // the path was parsed before
	}
}

// isProxied reports whether requests to u are sent to a proxy that reads their URLs.
func isProxied(t *http.Transport, u *url.URL) bool {
	if t.Proxy == nil || u.Scheme != "http" {
		return false
	}
	proxy, err := t.Proxy(&http.Request{URL: u})
	return err == nil && proxy != nil && strings.HasPrefix(proxy.Scheme, "http")
}

// conditions are the headers that make an answer depend on a version that the client got from the source, or restrict it to a range.
var conditions = []string{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "Range"}

// notForTarget are the headers that are not sent to the target, besides conditions: those about the connection and the encoding, and
// cookies, which the vendor has set.
var notForTarget = []string{
	"Connection", "Proxy-Connection", "Proxy-Authorization", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect",
	"Accept-Encoding", "Content-Length", "Cookie",
}

// dryRunPath is the prefix of the target's dry runs.
const dryRunPath = "/dry-run"

// askAuthorized asks the target, and again with another token if one of its own is refused, as one that has expired.
func (s *Shadow) askAuthorized(ctx context.Context, c *call) (a difference.Answer, err error) {
	if s.c.Tokens == nil {
		return s.ask(ctx, c, c.header.Get("Authorization"))
	}
	noToken := s.c.Tokens.Use(ctx, func(token string) bool {
		a, err = s.ask(ctx, c, "Bearer "+token)
		return err == nil && a.Status == http.StatusUnauthorized
	})
	return a, cmp.Or(noToken, err)
}

// errSwitched is a target's answer that is none of HTTP.
var errSwitched = errors.New("it switches to another protocol")

// ask asks the target what the client asked the source.
func (s *Shadow) ask(ctx context.Context, c *call, authorization string) (a difference.Answer, err error) {
	u := *s.c.Target
	base := s.c.Target.EscapedPath()
	r := (&http.Request{Method: c.method, URL: &u, Header: c.header.Clone()}).WithContext(ctx)
	if c.writes() {
		base = strings.TrimSuffix(base, s.base) + dryRunPath + s.base
		r.Body, r.ContentLength = io.NopCloser(c.body.reader()), c.body.size
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(c.body.reader()), nil }
	}
	written{base + c.rest, c.written.query, c.written.hasQuery}.set(&u, s.targetProxied)
	for _, name := range slices.Concat(conditions, notForTarget) {
		r.Header.Del(name)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	answer, err := s.target.Do(r)
	if err != nil {
		return a, err
	}
	if answer.StatusCode == http.StatusSwitchingProtocols { // whose body no context ends
		return a, errors.Join(errSwitched, answer.Body.Close())
	}
	body := recorder{max: s.c.MaxBody, memory: &s.memory}
	defer body.release()
	_, err = io.Copy(&body, answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return a, err
	}
	return difference.Answer{Status: answer.StatusCode, Header: answer.Header, Body: body.bytes()}, nil
}
