// Package shadow is a proxy in front of a vendor that asks a second server, the target, the same questions and reports where the answers
// differ. Clients get the vendor's answers as they are. They never wait for the target, and do not notice whether it is there.
//
// The target is asked after the source has answered, by a bounded number of workers from a bounded queue: what does not fit is not
// compared, and counted. Reads are asked as they are. Writes are asked as dry runs, below /dry-run, so that nothing is written twice.
package shadow

import (
	"bytes"
	"compress/gzip"
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
)

// Config says what to serve and what to compare.
type Config struct {
	Dialect        description.API
	Source, Target *url.URL // of the APIs, with their base paths
	// Token returns the token for the target, another one if it has refused one; nil: that of each request.
	Token func(ctx context.Context, refused string) (string, error)
	// Transport sends requests; nil: http.DefaultTransport.
	Transport *http.Transport
	Rules     difference.Comparison
	Sample    float64 // the part of the requests that are compared, from 0 to 1
	Workers   int
	Queue     int
	// MaxBody is how much is kept of a body. A longer one is not compared.
	MaxBody int64
	Timeout time.Duration // of a request to the target
	// ShowValues shows values in reports. Otherwise there is an HMAC of each, by a random key of the run.
	ShowValues bool
	Log        *slog.Logger
}

// maxQueued bounds the bodies that wait to be compared.
const maxQueued = 64 << 20

// Shadow is the proxy. It is safe for concurrent use. Close ends its workers.
type Shadow struct {
	c          Config
	proxy      *httputil.ReverseProxy
	target     *http.Client
	operations []operation
	key        []byte // of the HMACs
	jobs       chan *call
	queued     atomic.Int64 // bytes
	done       sync.WaitGroup
	stop       context.CancelFunc
	writes     writes
	report     counters
}

// operation is one of the dialect's, by its path below the base path.
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
	base := description.BasePath(document)
	transport := c.Transport
	if transport == nil {
		transport = http.DefaultTransport.(*http.Transport)
	}
	source := transport.Clone()
	source.DisableCompression = true // answers pass as they are
	source.MaxIdleConnsPerHost = 256
	target := transport.Clone()
	target.MaxIdleConnsPerHost = c.Workers
	ctx, stop := context.WithCancel(context.Background())
	s := &Shadow{
		c: c, key: make([]byte, 32), jobs: make(chan *call, c.Queue), stop: stop,
		target: &http.Client{Transport: target, Timeout: c.Timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		writes: writes{users: map[string]int{}},
		report: counters{operations: map[string]*counter{}},
	}
	rand.Read(s.key)
	for _, o := range operations {
		s.operations = append(s.operations, operation{o.OperationID, o.Method, segments(strings.TrimPrefix(o.Path, base))})
	}
	s.proxy = &httputil.ReverseProxy{
		Rewrite: s.rewrite, ModifyResponse: s.answered, Transport: source, FlushInterval: -1,
		ErrorLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelWarn),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			c.Log.Warn("the source did not answer", "method", r.Method, "error", err)
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	for range c.Workers {
		s.done.Go(func() {
			for j := range s.jobs {
				s.queued.Add(-j.size())
				s.judge(ctx, j)
			}
		})
	}
	return s, nil
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
	r.Out.URL.RawQuery = r.In.URL.RawQuery // of which httputil drops what it cannot parse
	r.Out.Host = s.c.Source.Host
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values, ok := r.In.Header[name]; ok {
			r.Out.Header[name] = values
		}
	}
}

// call is a request of a client, and the source's answer.
type call struct {
	operation, method string
	rest, query       string // of the URL, below the base path
	user              string // the id in the path; empty: it is about all
	header            http.Header
	body              recorder
	began             time.Time

	source difference.Answer
	answer recorder
	took   time.Duration
	whole  bool // the client got all of the answer
}

func (c *call) size() int64 { return int64(c.body.b.Len() + c.answer.b.Len()) }

func (c *call) writes() bool { return !description.IsSafe(c.method) }

// refused reports whether the source refused the request, and so did nothing.
func (c *call) refused() bool { return c.source.Status >= 400 && c.source.Status < 500 }

// failed reports whether the source gave no answer of its API: it failed, or wants to be asked later.
func (c *call) failed() bool {
	return c.source.Status >= 500 || c.source.Status == http.StatusTooManyRequests || c.source.Status == http.StatusRequestTimeout
}

type callKey struct{}

// ServeHTTP answers by the source.
func (s *Shadow) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Else net/http closes the request's body when the answer begins, and the transport, which may not have read the end yet, then
	// closes the connection to the source in the middle of the answer. It is HTTP/1 alone that has the setting and needs it.
	if err := http.NewResponseController(w).EnableFullDuplex(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		s.c.Log.Warn("answers to writes may be cut off", "error", err)
	}
	c := s.begin(r)
	if c == nil {
		s.proxy.ServeHTTP(w, r)
		return
	}
	r = r.WithContext(context.WithValue(r.Context(), callKey{}, c))
	if r.Body != nil && c.writes() {
		r.Body = &tee{r.Body, &c.body, nil}
	}
	defer s.end(c) // also when httputil panics as a connection breaks
	s.proxy.ServeHTTP(w, r)
}

// begin returns the call that a request is, or nil if it is none that is compared.
func (s *Shadow) begin(r *http.Request) *call {
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), s.c.Source.EscapedPath())
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
	c := &call{operation: id, method: r.Method, rest: rest, query: r.URL.RawQuery, user: user, header: r.Header.Clone(), began: time.Now()}
	c.body.max, c.answer.max = s.c.MaxBody, s.c.MaxBody
	s.report.of(id).requests.Add(1)
	if c.writes() {
		s.writes.begin(user)
	}
	return c
}

// find returns the operation of a path, and the user that the path names.
func (s *Shadow) find(method string, path []string) (id, user string) {
	for _, o := range s.operations {
		if o.method != method || len(o.segments) != len(path) {
			continue
		}
		user, ok := "", true
		for i, segment := range o.segments {
			switch {
			case strings.HasPrefix(segment, "{"):
				if i > 1 { // the first names the customer
					user = path[i]
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
	c, ok := answer.Request.Context().Value(callKey{}).(*call)
	if !ok || answer.StatusCode == http.StatusSwitchingProtocols {
		return nil
	}
	c.source.Status, c.source.Header = answer.StatusCode, answer.Header.Clone()
	answer.Body = &tee{answer.Body, &c.answer, func() { c.whole, c.took = true, time.Since(c.began) }}
	return nil
}

// end queues a call for comparison.
func (s *Shadow) end(c *call) {
	c.body.end()
	if c.writes() && c.refused() {
		s.writes.failed(c.user) // it has written nothing
	}
	n := s.report.of(c.operation)
	if !c.whole {
		n.unanswered.Add(1)
		return
	}
	n.source.add(c.took)
	if c.operation == s.c.Dialect.Create && c.source.Status < 300 {
		s.markCreated(c)
	}
	switch {
	case mathrand.Float64() >= s.c.Sample: // #nosec G404 -- nothing depends on it
		n.notSampled.Add(1)
	case c.body.over || c.answer.over:
		n.tooLarge.Add(1)
	case s.queued.Add(c.size()) > maxQueued:
		s.queued.Add(-c.size())
		n.dropped.Add(1)
	default:
		select {
		case s.jobs <- c:
		default:
			s.queued.Add(-c.size())
			n.dropped.Add(1)
		}
	}
}

// markCreated notes a user who was created at the source, whom the target does not have.
func (s *Shadow) markCreated(c *call) {
	var body any
	if json.Unmarshal(c.answer.b.Bytes(), &body) != nil {
		return
	}
	for _, path := range []string{"data.user_id", "id"} {
		for _, id := range description.At(body, path) {
			s.writes.begin(fmt.Sprint(id))
		}
	}
}

// writes are the users that the source was seen writing.
type writes struct {
	mu    sync.Mutex
	users map[string]int
	all   int  // how many writes there were
	full  bool // too many users to remember were written: any may be
}

// maxWritten bounds the users that are remembered.
const maxWritten = 1 << 20

func (w *writes) begin(user string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all++
	if len(w.users) >= maxWritten {
		w.full = true
		return
	}
	w.users[user]++
}

func (w *writes) failed(user string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all--
	if w.users[user]--; w.users[user] <= 0 {
		delete(w.users, user)
	}
}

// since reports whether the source was written in a way that a call may show, other than by the call itself.
func (w *writes) since(c *call) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	own := 0
	if c.writes() && !c.refused() {
		own = 1
	}
	if c.user == "" {
		return w.all > own
	}
	return w.full || w.users[c.user] > own
}

// dryRunPath is the prefix of the target's dry runs.
const dryRunPath = "/dry-run"

// judge asks the target and compares.
func (s *Shadow) judge(ctx context.Context, c *call) {
	n := s.report.of(c.operation)
	if s.writes.since(c) {
		n.writtenSince.Add(1)
		return
	}
	if c.failed() {
		n.unanswered.Add(1)
		return
	}
	began := time.Now()
	target, err := s.askAuthorized(ctx, c)
	if err != nil {
		n.unanswered.Add(1)
		n.fail(err)
		return
	}
	n.target.add(time.Since(began))
	if c.writes() && target.Header.Get("Dragoman-Dry-Run") == "" {
		n.noDryRun.Add(1)
		return
	}
	if c.source.Body, err = decoded(c.source.Header, c.answer.b.Bytes(), s.c.MaxBody); err != nil {
		n.tooLarge.Add(1)
		return
	}
	found := s.c.Rules.Compare(c.operation, c.source, target)
	if c.method == http.MethodHead {
		found = slices.DeleteFunc(found, func(d difference.Difference) bool { return d.Field == "body" })
	}
	switch {
	case s.writes.since(c), len(found) > 0 && s.newer(c, target):
		n.writtenSince.Add(1)
	case len(found) == 0:
		n.equal.Add(1)
	default:
		for i, d := range found {
			if d.Field != difference.Status { // which says nothing of anybody
				found[i].Source, found[i].Target = s.hide(d.Source), s.hide(d.Target)
			}
		}
		s.report.differ(c.operation, example{c.method + " " + s.c.Source.Path + c.rest, c.source.Status, found})
	}
}

// newer reports whether the source's answer says that the user was written after the target's copy was.
func (s *Shadow) newer(c *call, target difference.Answer) bool {
	body, ok := s.c.Dialect.Answer(c.operation)
	if !ok || c.operation != s.c.Dialect.Show {
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

// askAuthorized asks the target, and again with another token if one of its own is refused, as one that has expired.
func (s *Shadow) askAuthorized(ctx context.Context, c *call) (a difference.Answer, err error) {
	if s.c.Token == nil {
		return s.ask(ctx, c, c.header.Get("Authorization"))
	}
	for refused := ""; ; {
		token, err := s.c.Token(ctx, refused)
		if err != nil || token == refused {
			return a, err
		}
		a, err = s.ask(ctx, c, "Bearer "+token)
		if err != nil || a.Status != http.StatusUnauthorized {
			return a, err
		}
		refused = token
	}
}

// ask asks the target what the client asked the source.
func (s *Shadow) ask(ctx context.Context, c *call, authorization string) (a difference.Answer, err error) {
	u := *s.c.Target
	base := s.c.Target.EscapedPath()
	if c.writes() {
		document, err := s.c.Dialect.Spec()
		if err != nil {
			return a, err
		}
		dialect := description.BasePath(document)
		base = strings.TrimSuffix(base, dialect) + dryRunPath + dialect
	}
	if u.Path, err = url.PathUnescape(base + c.rest); err != nil {
		return a, err
	}
	u.RawPath, u.RawQuery = base+c.rest, c.query
	r, err := http.NewRequestWithContext(ctx, c.method, u.String(), bytes.NewReader(c.body.b.Bytes()))
	if err != nil {
		return a, err
	}
	if !c.writes() {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	r.Header = c.header.Clone()
	for _, name := range []string{"Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Accept-Encoding", "Content-Length", "Cookie"} {
		r.Header.Del(name)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	answer, err := s.target.Do(r)
	if err != nil {
		return a, err
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, s.c.MaxBody+1))
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return a, err
	}
	return difference.Answer{Status: answer.StatusCode, Header: answer.Header, Body: body}, nil
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

// decoded returns a body without its content coding.
func decoded(header http.Header, body []byte, most int64) ([]byte, error) {
	switch header.Get("Content-Encoding") {
	case "", "identity":
		return body, nil
	case "gzip":
		r, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		plain, err := io.ReadAll(io.LimitReader(r, most+1))
		if err == nil && int64(len(plain)) > most {
			err = errors.New("too long")
		}
		return plain, err
	}
	return nil, errors.New("another coding than gzip")
}

// recorder keeps what passes, up to a maximum.
type recorder struct {
	max int64

	mu    sync.Mutex // of all below, until end was called
	b     bytes.Buffer
	over  bool
	ended bool
}

// end ends recording. The transport may still read the body of a request that the source has answered early.
func (r *recorder) end() {
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
}

func (r *recorder) write(p []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over || r.ended {
		return
	}
	if int64(r.b.Len()+len(p)) > r.max {
		r.over = true
		r.b = bytes.Buffer{}
		return
	}
	r.b.Write(p)
}

// tee records what is read, and calls ended at the end.
type tee struct {
	io.ReadCloser
	to    *recorder
	ended func()
}

func (t *tee) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	t.to.write(p[:n])
	if errors.Is(err, io.EOF) && t.ended != nil {
		t.ended()
		t.ended = nil
	}
	return n, err
}
