package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/dragoman-id/dragoman/server/apierror"
)

// maxAnswer is the number of bytes of an answer that are read. A longer answer cannot be checked.
const maxAnswer = 32 << 20

// A request whose answer asks for a retry is sent at most maxTries times, unless the wait would exceed maxWait.
const (
	maxTries = 6
	maxWait  = 30 * time.Second
)

// client sends requests within the rate and the limit of the run, and checks every answer against the document.
type client struct {
	base     *url.URL // of the API, without a slash at its end
	basePath string   // the end of base's path, but for an API at the root
	http     *http.Client
	limiter  *rate.Limiter
	left     atomic.Int64 // how many requests may still be sent
	count    atomic.Int64
	lost     atomic.Int64 // updates without an answer, which may or may not have been done
	contract *contract
	secrets  []string // texts that no report may show

	mu     sync.Mutex
	faults []fault // in the order in which they were found
}

// request is a request to send.
type request struct {
	operation string // the operationId; empty if the document has no such operation
	method    string
	path      string // below the base, already escaped
	header    http.Header
	bearer    string // the Authorization header; empty: none
	body      string
	hasBody   bool
	streamed  bool // send the body in chunks, without a Content-Length
	dry       bool // send it to the API's dry runs
}

// with returns the request with a header set to these values, or without the header if there are none.
func (r request) with(name string, values ...string) request {
	r.header = r.header.Clone()
	if r.header == nil {
		r.header = http.Header{}
	}
	r.header.Del(name)
	for _, v := range values {
		r.header.Add(name, v)
	}
	return r
}

// by returns the request with another Authorization header, or without one if authorization is empty.
func (r request) by(authorization string) request {
	r.bearer = authorization
	return r
}

// exchange is a request and its answer.
type exchange struct {
	request request
	url     string
	status  int
	header  http.Header
	body    []byte
}

// errBudget means that the run has used up Config.MaxRequests.
var errBudget = errors.New("the limit of requests is reached, see --max-requests")

// unreachedError means that there was no answer.
type unreachedError struct{ error }

func (e unreachedError) Unwrap() error { return e.error }

// do sends a request, and retries it when the server asks for that; see [retryAfter].
func (c *client) do(ctx context.Context, r request) (exchange, error) {
	for try := 1; ; try++ {
		x, err := c.once(ctx, r)
		if err != nil {
			return x, err
		}
		wait, ok := retryAfter(x)
		if !ok || try == maxTries {
			return x, nil
		}
		if !sleep(ctx, wait) {
			return x, ctx.Err()
		}
	}
}

// sleep waits for d, and reports whether ctx lasted that long.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// retryAfter reports whether an answer asks for a retry, and after how long: 429 always does, 503 if it has a Retry-After.
func retryAfter(x exchange) (time.Duration, bool) {
	after := x.header.Get("Retry-After")
	if x.status != http.StatusTooManyRequests && (x.status != http.StatusServiceUnavailable || after == "") {
		return 0, false
	}
	wait := apierror.RetryAfter(x.header, time.Now())
	if after == "" {
		wait = time.Second
	}
	return wait, wait <= maxWait
}

func (c *client) once(ctx context.Context, r request) (exchange, error) {
	if c.left.Add(-1) < 0 {
		return exchange{request: r}, errBudget
	}
	if err := c.limiter.Wait(ctx); err != nil {
		return exchange{request: r}, fmt.Errorf("wait to send: %w", err)
	}
	x, err := c.send(ctx, r)
	if err != nil {
		return x, err
	}
	found := c.contract.check(x)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, found...)
	return x, nil
}

func (c *client) send(ctx context.Context, r request) (exchange, error) {
	x := exchange{request: r, url: c.base.String() + r.path}
	if r.dry {
		x.url = c.dryBase() + r.path
	}
	var body io.Reader
	if r.hasBody {
		body = strings.NewReader(r.body)
	}
	if r.streamed {
		body = struct{ io.Reader }{body} // hides the length from net/http
	}
	// A request that was sent is not cancelled: a write that continues on the server could otherwise arrive after the user was
	// restored.
	sent, err := http.NewRequestWithContext(context.WithoutCancel(ctx), r.method, x.url, body)
	if err != nil {
		return x, fmt.Errorf("make request: %w", err)
	}
	for name, values := range r.header {
		sent.Header[http.CanonicalHeaderKey(name)] = values
	}
	sent.Header.Set("User-Agent", "dragoman-check")
	sent.Header.Set("Accept", "application/json")
	if r.bearer != "" {
		sent.Header.Set("Authorization", r.bearer)
	}
	c.count.Add(1)
	answer, err := c.http.Do(sent)
	if err != nil {
		if r.hasBody {
			c.lost.Add(1)
		}
		return x, unreachedError{fmt.Errorf("send request: %w", err)}
	}
	defer answer.Body.Close()
	x.status, x.header = answer.StatusCode, answer.Header
	x.body, err = io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil {
		return x, unreachedError{fmt.Errorf("read answer: %w", err)}
	}
	if len(x.body) > maxAnswer {
		return x, fmt.Errorf("the answer has more than %d MiB", maxAnswer>>20)
	}
	return x, nil
}

func (c *client) sent() int { return int(c.count.Load()) }

// faultsOf returns the faults of one aspect.
func (c *client) faultsOf(a aspect) []fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []fault
	for _, f := range c.faults {
		if f.aspect == a {
			found = append(found, f)
		}
	}
	return found
}

// showRequest returns a request as a report shows it.
func (c *client) showRequest(x exchange) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", x.request.method, x.url)
	if x.request.bearer != "" {
		fmt.Fprintf(&b, "Authorization: %s\n", x.request.bearer)
	}
	writeHeader(&b, x.request.header)
	if x.request.hasBody {
		fmt.Fprintf(&b, "\n%s", excerpt([]byte(x.request.body)))
	}
	return c.redact(strings.TrimSuffix(b.String(), "\n"))
}

// showAnswer returns an answer as a report shows it.
func (c *client) showAnswer(x exchange) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s\n", x.status, http.StatusText(x.status))
	writeHeader(&b, x.header)
	if len(x.body) > 0 {
		fmt.Fprintf(&b, "\n%s", excerpt(x.body))
	}
	return c.redact(strings.TrimSuffix(b.String(), "\n"))
}
