// Package shadow is a proxy in front of a vendor, the source. It sends each request to a second server too, the target, and reports how
// the answers differ. Clients get the source's answers unchanged. They never wait for the target, and cannot tell whether it is up.
//
// Requests go to the target after the source has answered, from a bounded queue by a bounded number of workers. Requests that do not fit
// into the queue are counted and not compared. Reads are sent unchanged, except for conditional and Range headers, which are left out
// because they refer to the source's versions. Writes are sent as dry runs, below /dry-run, so that nothing is written twice.
//
// The package knows neither the store nor the server's handlers.
package shadow

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/moving/difference"
	"github.com/dragoman-id/dragoman/server/moving/source"
)

// Config says what to serve and what to compare.
type Config struct {
	Dialect        description.API
	Source, Target *url.URL // of the APIs, with their base paths
	// Tokens are for the target; nil: it gets that of each request.
	Tokens *source.Tokens
	// Transport sends requests; nil: http.DefaultTransport.
	Transport *http.Transport
	Rules     difference.Comparison
	Sample    float64 // the part of the requests that are compared, from 0 to 1
	Workers   int
	Queue     int
	// MaxBody is how much is kept of a body. A longer one is not compared.
	MaxBody int64
	// MaxMemory is how much is kept of all bodies that wait to be compared, and of their headers. Requests that need more are not.
	MaxMemory int64
	Timeout   time.Duration // of a request to the target
	// ShowValues shows values in reports. Otherwise there is an HMAC of each, by a random key of the run.
	ShowValues bool
	Log        *slog.Logger
}

// large is the size of two bodies together from which on they are compared one after the other, as their members need several times as
// much memory.
const large = 1 << 20

// Shadow is the proxy. It is safe for concurrent use. Close ends its workers.
type Shadow struct {
	c          Config
	proxy      *httputil.ReverseProxy
	target     *http.Client
	operations []operation
	key        []byte // of the HMACs
	base       string // of the dialect's paths
	// Whether requests are sent to a proxy.
	sourceProxied, targetProxied bool

	jobs      chan *call
	memory    memory
	comparing sync.Mutex // large bodies
	done      sync.WaitGroup
	stop      context.CancelFunc
	writes    writes
	report    counters
}

// operation is an operation of the dialect, with its path below the base path.
type operation struct {
	id       string
	method   string
	segments []string
}

// New starts a shadow.
func New(c Config) (*Shadow, error) {
	operations, err := c.Dialect.Operations()
	if err != nil {
		return nil, err
	}
	document, err := c.Dialect.Spec()
	if err != nil {
		return nil, fmt.Errorf("read the document of %s: %w", c.Dialect.Name, err)
	}
	transport := c.Transport
	if transport == nil {
		transport = http.DefaultTransport.(*http.Transport)
	}
	source := transport.Clone()
	source.DisableCompression = true // answers pass as they are
	source.MaxIdleConns, source.MaxIdleConnsPerHost = 256, 256
	target := transport.Clone()
	target.MaxIdleConnsPerHost = c.Workers
	ctx, stop := context.WithCancel(context.Background())
	s := &Shadow{
		c: c, key: make([]byte, 32), jobs: make(chan *call, c.Queue), stop: stop, base: description.BasePath(document),
		sourceProxied: isProxied(source, c.Source), targetProxied: isProxied(target, c.Target),
		target: &http.Client{Transport: target, Timeout: c.Timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		writes: writes{users: map[string]int{}},
		report: counters{operations: map[string]*counter{}},
	}
	s.memory.left.Store(c.MaxMemory)
	rand.Read(s.key)
	for _, o := range operations {
		s.operations = append(s.operations, operation{o.OperationID, o.Method, segments(strings.TrimPrefix(o.Path, s.base))})
	}
	s.proxy = &httputil.ReverseProxy{
		Rewrite: s.rewrite, ModifyResponse: s.answered, Transport: source, FlushInterval: -1,
		ErrorLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelWarn),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			c.Log.Warn("the source did not answer", "method", r.Method, "error", err)
			exchangeOf(r).closeUnlessRead(w.Header())
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	for range c.Workers {
		s.done.Go(func() {
			for j := range s.jobs {
				s.judge(ctx, j)
				j.release()
			}
		})
	}
	return s, nil
}

// Server returns a server of HTTP that serves the shadow.
func (s *Shadow) Server() *http.Server {
	return &http.Server{
		Handler: s, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		DisableGeneralOptionsHandler: true, // OPTIONS * is the source's to answer
		ErrorLog:                     slog.NewLogLogger(s.c.Log.Handler(), slog.LevelWarn),
	}
}

// Close compares what is queued for as long as ctx lasts and ends the workers. No request may be served any more.
func (s *Shadow) Close(ctx context.Context) {
	close(s.jobs)
	defer context.AfterFunc(ctx, s.stop)()
	s.done.Wait()
	s.stop()
}

func segments(path string) []string { return strings.Split(strings.Trim(path, "/"), "/") }

// rewrite sends a request to the source as the client sent it.
func (s *Shadow) rewrite(r *httputil.ProxyRequest) {
	r.Out.URL.Scheme, r.Out.URL.Host = s.c.Source.Scheme, s.c.Source.Host
	writtenIn(r.In.RequestURI).set(r.Out.URL, s.sourceProxied)
	r.Out.Host = s.c.Source.Host
	r.Out.Trailer = r.In.Trailer // which has the values once the body was read
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values, ok := r.In.Header[name]; ok {
			r.Out.Header[name] = values
		}
	}
}

// call is a request of a client, and the source's answer.
type call struct {
	operation, method string
	written           written
	rest              string // of its path, below the base path
	user              string // the id in the path; empty: it is about none
	header            http.Header
	body              recorder
	began             time.Time
	sampled           bool
	headers           int64 // the memory that is taken for them

	source difference.Answer
	answer recorder
	took   time.Duration
	whole  bool // the client got all of the answer
}

func (c *call) release() {
	c.body.memory.left.Add(c.headers)
	c.body.release()
	c.answer.release()
}

func (c *call) writes() bool { return !description.IsSafe(c.method) }

// refused reports whether the source refused the request, and so did nothing.
func (c *call) refused() bool { return c.source.Status >= 400 && c.source.Status < 500 }

// isFailure reports whether a status says that the server failed or that the request should be retried later.
func isFailure(status int) bool {
	return status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}

// conditional reports whether a conditional or Range header of the request has decided the source's answer.
func (c *call) conditional() bool {
	switch c.source.Status {
	case http.StatusNotModified, http.StatusPreconditionFailed, http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable:
		return slices.ContainsFunc(conditions, func(name string) bool { return c.header.Get(name) != "" })
	}
	return false
}

// exchange is a request and its answer.
type exchange struct {
	w    http.ResponseWriter
	body *sent
	call *call // nil: the request is not compared
}

type exchangeKey struct{}

func exchangeOf(r *http.Request) *exchange { return r.Context().Value(exchangeKey{}).(*exchange) }

// closeUnlessRead makes the server close the connection after an answer that comes before all of the request was read. What the client still
// sends must not be taken for its next request, and net/http panics where it reads that itself in full duplex.
func (e *exchange) closeUnlessRead(answer http.Header) {
	if e.body != nil && !e.body.read.Load() {
		answer.Set("Connection", "close")
	}
}

// sent is the body of a client's request. Closing it does not wait for the client, as net/http's own does: the server closes that.
type sent struct {
	io.ReadCloser
	read, closed atomic.Bool
}

func (b *sent) Read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		b.read.Store(true)
	}
	return n, err
}

func (b *sent) Close() error {
	b.closed.Store(true)
	return nil
}

// ServeHTTP answers by the source.
func (s *Shadow) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Else net/http closes the request's body when the answer begins, and the transport, which may not have read the end yet, then
	// closes the connection to the source in the middle of the answer. It is HTTP/1 alone that has the setting and needs it.
	if err := http.NewResponseController(w).EnableFullDuplex(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		s.c.Log.Warn("answers to writes may be cut off", "error", err)
	}
	c := s.begin(r)
	e := &exchange{w: w, call: c}
	r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, e))
	if r.Body != nil && r.Body != http.NoBody {
		e.body = &sent{ReadCloser: r.Body}
		r.Body = e.body
	}
	if c != nil {
		if e.body != nil && c.writes() && c.sampled {
			r.Body = &tee{e.body, &c.body, nil}
		}
		defer s.end(c) // also when httputil panics as a connection breaks
	}
	s.proxy.ServeHTTP(w, r)
}

// begin returns the call that a request is, or nil if it is none that is compared.
func (s *Shadow) begin(r *http.Request) *call {
	written := writtenIn(r.RequestURI)
	rest, ok := strings.CutPrefix(written.path, s.c.Source.EscapedPath())
	if !ok || rest != "" && rest[0] != '/' {
		s.report.other.Add(1)
		return nil
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	id, user := s.find(method, segments(rest))
	if id == "" {
		s.report.other.Add(1)
		return nil
	}
	c := &call{
		operation: id, method: r.Method, written: written, rest: rest, user: user, header: r.Header.Clone(), began: time.Now(),
		sampled: mathrand.Float64() < s.c.Sample, // #nosec G404 -- nothing depends on it
	}
	c.body = recorder{max: s.c.MaxBody, memory: &s.memory}
	c.answer = recorder{max: s.c.MaxBody, memory: &s.memory}
	s.report.of(id).requests.Add(1)
	if c.writes() {
		s.writes.begin(user)
	}
	return c
}

// find returns the operation of a path, and the user that the path names.
func (s *Shadow) find(method string, path []string) (id, user string) {
	for i, segment := range path {
		plain, err := url.PathUnescape(segment)
		if err != nil || plain == "." || plain == ".." || strings.ContainsAny(plain, `/\`) {
			return "", "" // a proxy in front of the target could make another path of it, also one outside of dry runs
		}
		path[i] = plain
	}
	for _, o := range s.operations {
		if o.method != method || len(o.segments) != len(path) {
			continue
		}
		user, ok := "", true
		for i, segment := range o.segments {
			switch {
			case strings.HasPrefix(segment, "{"):
				if i > 1 { // the first names the customer
					user = strings.ToLower(path[i]) // UUIDs have no case
				}
			case segment != path[i]:
				ok = false
			}
		}
		if ok {
			return o.id, user
		}
	}
	return "", ""
}

// answered notes the source's answer.
func (s *Shadow) answered(answer *http.Response) error {
	e := exchangeOf(answer.Request)
	e.closeUnlessRead(answer.Header)
	if answer.StatusCode == http.StatusSwitchingProtocols {
		return nil
	}
	e.w.Header()["Date"], e.w.Header()["Content-Type"] = nil, nil // net/http adds none to an answer without
	c := e.call
	if c == nil {
		return nil
	}
	c.source.Status, c.source.Header = answer.StatusCode, answer.Header.Clone()
	var to *recorder
	if c.sampled || c.operation == s.c.Dialect.Create {
		to = &c.answer
	}
	answer.Body = &tee{answer.Body, to, func() { c.whole, c.took = true, time.Since(c.began) }}
	return nil
}

// end queues a call for comparison.
func (s *Shadow) end(c *call) {
	c.body.end()
	if c.writes() && c.refused() {
		s.writes.failed(c.user) // it has written nothing
	}
	if !s.queue(c) {
		c.release()
	}
}

// queue reports whether a call is to be compared. It counts why it is not.
func (s *Shadow) queue(c *call) bool {
	n := s.report.of(c.operation)
	if !c.whole {
		n.unanswered.Add(1)
		return false
	}
	n.source.add(c.took)
	if c.operation == s.c.Dialect.Create && c.source.Status < 300 {
		s.markCreated(c)
	}
	if !c.sampled {
		n.notSampled.Add(1)
		return false
	}
	if err := cmp.Or(c.body.err, c.answer.err); err != nil {
		n.leaveOut(err)
		return false
	}
	headers := sizeOf(c.header, c.source.Header)
	if !s.memory.take(headers) {
		n.leaveOut(errNoMemory)
		return false
	}
	c.headers = headers
	select {
	case s.jobs <- c:
		return true
	default:
		n.dropped.Add(1)
		return false
	}
}

// judge asks the target and compares.
func (s *Shadow) judge(ctx context.Context, c *call) {
	n := s.report.of(c.operation)
	if s.writtenSince(c) {
		n.writtenSince.Add(1)
		return
	}
	if isFailure(c.source.Status) {
		n.unanswered.Add(1)
		return
	}
	if c.conditional() {
		n.conditional.Add(1)
		return
	}
	began := time.Now()
	target, err := s.askAuthorized(ctx, c)
	if err != nil {
		n.leaveOut(err)
		return
	}
	n.target.add(time.Since(began))
	if c.writes() && target.Header.Get("Dragoman-Dry-Run") == "" {
		if isFailure(target.Status) || target.Status == http.StatusUnauthorized {
			n.leaveOut(fmt.Errorf("it answers %d to a dry run", target.Status)) // or a proxy in front of it does
		} else {
			n.noDryRun.Add(1)
		}
		return
	}
	if c.answer.size+int64(len(target.Body)) > large {
		s.comparing.Lock()
		defer s.comparing.Unlock()
	}
	if c.source.Body, err = decode(c.source.Header, &c.answer); err != nil {
		n.leaveOut(err)
		return
	}
	found, some := s.c.Rules.CompareSome(c.operation, c.source, target)
	if c.method == http.MethodHead {
		found = slices.DeleteFunc(found, func(d difference.Difference) bool { return d.Field == "body" })
	}
	switch {
	case s.writtenSince(c), len(found) > 0 && s.mayBeOlder(c, target):
		n.writtenSince.Add(1)
	case len(found) == 0 && !some:
		n.apart.Add(1)
	case len(found) == 0:
		n.equal.Add(1)
	default:
		for i, d := range found {
			if d.Field != difference.Status { // which says nothing of anybody
				found[i].Source, found[i].Target = s.hide(d.Source), s.hide(d.Target)
			}
		}
		s.report.differ(c.operation, c.operation == s.c.Dialect.List, example{Request: c.method + " " + s.c.Source.Path + c.rest, Status: c.source.Status, Differences: found})
	}
}

// writtenSince reports whether another request has meanwhile written, at the source, what the call's answer shows.
func (s *Shadow) writtenSince(c *call) bool {
	return s.writes.since(c) || c.operation == s.c.Dialect.List && s.writes.others(c)
}

// mayBeOlder reports whether the target may answer differently because it lacks what the source was written since.
func (s *Shadow) mayBeOlder(c *call, target difference.Answer) bool {
	switch c.operation {
	case s.c.Dialect.Create: // it may depend on any user, as e-mails are unique
		return s.writes.others(c)
	case s.c.Dialect.Show:
		return target.Status == http.StatusNotFound && s.writes.mayHaveCreated() || s.newer(c, target)
	}
	return false
}

// newer reports whether the source's answer says that the user was written after the target's copy was.
func (s *Shadow) newer(c *call, target difference.Answer) bool {
	body, ok := s.c.Dialect.Answer(c.operation)
	if !ok {
		return false
	}
	member, ok := body.Member("UpdatedAt")
	if !ok {
		return false
	}
	at := func(text []byte) (t time.Time) {
		var v any
		if json.Unmarshal(text, &v) == nil {
			if values := description.At(v, member.Path); len(values) == 1 {
				t, _ = difference.Time(values[0])
			}
		}
		return t
	}
	x, y := at(c.source.Body), at(target.Body)
	if !y.IsZero() && x.After(y) {
		s.writes.begin(c.user)
		return true
	}
	return false
}

// hide returns the HMAC of a value, or the value if values are shown.
func (s *Shadow) hide(value string) string {
	if value == "" || s.c.ShowValues {
		return value
	}
	h := hmac.New(sha256.New, s.key)
	h.Write([]byte(value))
	return "hmac:" + hex.EncodeToString(h.Sum(nil)[:6])
}
