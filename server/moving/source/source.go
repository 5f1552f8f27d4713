// Package source reads users from the API of a vendor, or of any server that speaks a vendor's dialect, with the generated clients. It
// spares the server: it limits its rate of requests, obeys Retry-After, and waits longer after each failure.
//
// It changes nothing at the source. It sends the token to the configured host only, and returns no secret that a response contains. It
// does not know what the users are read for.
package source

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/time/rate"

	"github.com/dragoman-id/dragoman/server/apierror"
)

// Config says what to read, and how.
type Config struct {
	URL      *url.URL // of the API, such as https://api.joinworth.com/auth/api/v1
	Setting  string   // that has the URL, for errors; empty: --source
	Customer string   // as the dialect writes it
	Company  string   // for a dialect that needs one

	Tokens    *Tokens
	Transport http.RoundTripper // nil: http.DefaultTransport
	// Rate is the maximum of requests per second. An answer 429 halves it.
	Rate float64
	// Timeout is how long the server may send nothing.
	Timeout time.Duration
	// RetryFor is how long a request is repeated that fails for a reason that may pass.
	RetryFor time.Duration
	// Pause is how long to wait after the first failure; 0: half a second. It grows with each further one.
	Pause time.Duration
	// Notice is called with what a person who waits should know. It may be nil.
	Notice func(string)
}

// Client sends requests to a source. It is safe for concurrent use.
type Client struct {
	c       Config
	http    *http.Client
	limiter *rate.Limiter
}

// maxAnswer is the maximum size of an answer that is read as a whole.
const maxAnswer = 32 << 20

// lowestRate is the rate below which answers 429 do not push.
const lowestRate = 0.1

// New returns a client of a source.
func New(c Config) *Client {
	if c.Notice == nil {
		c.Notice = func(string) {}
	}
	c.Setting = cmp.Or(c.Setting, "--source")
	return &Client{
		c:       c,
		http:    &http.Client{Transport: c.Transport, CheckRedirect: sameOrigin},
		limiter: rate.NewLimiter(rate.Limit(c.Rate), 1),
	}
}

// RestoreRate goes back to the configured rate after answers 429 have lowered it.
func (c *Client) RestoreRate() { c.limiter.SetLimit(rate.Limit(c.c.Rate)) }

// errRedirected refuses a redirection to another origin, which must not get the token.
var errRedirected = errors.New("the token was not sent there")

func sameOrigin(r *http.Request, via []*http.Request) error {
	first := via[0].URL
	if r.URL.Scheme != first.Scheme || r.URL.Host != first.Host {
		return fmt.Errorf("it redirects to %s://%s: %w", r.URL.Scheme, r.URL.Host, errRedirected)
	}
	if len(via) >= 5 {
		return errors.New("it redirects in a circle")
	}
	return nil
}

// Error says why a source could not be read.
type Error struct {
	Doing string // such as "page 3 of the users"
	Err   error
}

func (e *Error) Error() string { return "reading " + e.Doing + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// malformedError is an answer that is not what the API documents.
type malformedError struct{ error }

func (e malformedError) Unwrap() error { return e.error }

// maxMalformed is how often a malformed answer is taken in a row. A proxy's page passes; another API's stays.
const maxMalformed = 4

// MaxPasses is how often a list is read until two readings in a row agree.
const MaxPasses = 5

// ErrListChanges means that no two readings agreed.
var ErrListChanges = errors.New("the list of users changed whenever it was read")

// NoticeListChanged says that a list is read again.
const NoticeListChanged = "the list of users changed while it was read: reading it again"

// ListChanges returns an ErrListChanges with what to do. total is how many users the list says that there are.
func ListChanges(total, seen int64) error {
	return fmt.Errorf("%w, %d times: it says that there are %d users, and %d were seen: run it again when fewer people change users, or read faster by --page-size and --rate",
		ErrListChanges, MaxPasses, total, seen)
}

// request makes a request anew for each attempt.
type request func() (*http.Request, error)

// ask sends a request until read has accepted its answer. It repeats what may pass: broken connections, answers that are cut off,
// 408, 429 and 5xx; and once for each new token a 401.
func (c *Client) ask(ctx context.Context, doing string, build request, read func(*http.Response) error) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = cmp.Or(c.c.Pause, 500*time.Millisecond), 30*time.Second
	malformed := 0
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := c.once(ctx, build, read)
		if errors.As(err, new(malformedError)) {
			if malformed++; malformed >= maxMalformed {
				return struct{}{}, backoff.Permanent(err)
			}
		}
		return struct{}{}, c.judge(ctx, err)
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(c.c.RetryFor), backoff.WithNotify(func(err error, next time.Duration) {
		c.c.Notice(fmt.Sprintf("%v; trying again in %s", &Error{doing, err}, next.Round(100*time.Millisecond)))
	}))
	if err != nil {
		return &Error{doing, err}
	}
	return nil
}

// once sends a request, and repeats it with a new token after a 401.
func (c *Client) once(ctx context.Context, build request, read func(*http.Response) error) error {
	var sent error
	err := c.c.Tokens.Use(ctx, func(token string) bool {
		sent = c.send(ctx, token, build, read)
		var answered *apierror.Error
		return errors.As(sent, &answered) && answered.Status == http.StatusUnauthorized
	})
	if err != nil {
		return backoff.Permanent(err)
	}
	return sent
}

func (c *Client) send(ctx context.Context, token string, build request, read func(*http.Response) error) (err error) {
	if err := c.limiter.Wait(ctx); err != nil {
		return backoff.Permanent(err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r, err := build()
	if err != nil {
		return backoff.Permanent(err)
	}
	r = r.WithContext(ctx)
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Accept", "application/json")
	defer func() { err = withoutToken(err, token) }()
	silent := time.AfterFunc(c.c.Timeout, func() { cancel(fmt.Errorf("it sent nothing for %s, see --timeout", c.c.Timeout)) })
	defer silent.Stop()
	answer, err := c.http.Do(r)
	if err != nil {
		return withCause(ctx, err)
	}
	defer func() { err = errors.Join(err, answer.Body.Close()) }()
	if answer.StatusCode == http.StatusSwitchingProtocols { // whose body no context ends
		return malformedError{fmt.Errorf("it switches to another protocol: is %s the URL of the API?", c.c.Setting)}
	}
	answer.Body = &watched{answer.Body, silent, c.c.Timeout}
	if media, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type")); media == "text/html" {
		return c.htmlError(answer)
	}
	return withCause(ctx, read(answer))
}

// hiddenError is an error whose text had the token.
type hiddenError struct {
	error
	text string
}

func (e *hiddenError) Error() string { return e.text }
func (e *hiddenError) Unwrap() error { return e.error }

// withoutToken removes a token from the text of an error: a server may repeat it.
func withoutToken(err error, token string) error {
	hide := func(text string) string { return strings.ReplaceAll(text, token, "TOKEN") }
	var answered *apierror.Error
	if errors.As(err, &answered) {
		answered.Code, answered.Message, answered.RequestID = hide(answered.Code), hide(answered.Message), hide(answered.RequestID)
		fields := map[string]string{}
		for name, message := range answered.Fields {
			fields[hide(name)] = hide(message)
		}
		if len(fields) > 0 {
			answered.Fields = fields
		}
	}
	if err == nil || !strings.Contains(err.Error(), token) {
		return err
	}
	return &hiddenError{err, hide(err.Error())}
}

// htmlError is the error of an answer that is a page for people.
func (c *Client) htmlError(answer *http.Response) error {
	if answer.StatusCode >= http.StatusMultipleChoices {
		return apierror.New(answer)
	}
	return malformedError{fmt.Errorf("it answers %d with HTML in place of JSON: is %s the URL of the API?", answer.StatusCode, c.c.Setting)}
}

// withCause replaces the error of a request that was cancelled by the reason.
func withCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// watched resets a timer whenever there is something to read.
type watched struct {
	io.ReadCloser
	timer *time.Timer
	after time.Duration
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	w.timer.Reset(w.after)
	return n, err
}

// judge marks the errors that no repetition mends, and those that say when to repeat.
func (c *Client) judge(ctx context.Context, err error) error {
	var answered *apierror.Error
	var certificate *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return backoff.Permanent(context.Cause(ctx))
	case errors.As(err, new(*backoff.PermanentError)):
		return err
	case errors.As(err, &certificate), errors.As(err, &unknown), errors.As(err, &name):
		return backoff.Permanent(fmt.Errorf("the certificate of %s does not fit: %w: if you trust its authority, name it with --ca-cert", c.c.URL.Host, err))
	case errors.Is(err, errRedirected):
		return backoff.Permanent(fmt.Errorf("%w: if it has moved, change %s", err, c.c.Setting))
	case errors.As(err, &answered):
		return c.judgeAnswer(answered)
	}
	return err
}

func (c *Client) judgeAnswer(e *apierror.Error) error {
	switch {
	case e.Status == http.StatusUnauthorized:
		return backoff.Permanent(fmt.Errorf("%w: the token is refused: %s", e, c.c.Tokens.remedy()))
	case e.Status == http.StatusForbidden:
		return backoff.Permanent(fmt.Errorf("%w: the token may not read the users of customer %s: is it another customer's?", e, c.c.Customer))
	case e.Status == http.StatusTooManyRequests:
		slower := max(c.limiter.Limit()/2, lowestRate)
		c.limiter.SetLimit(slower)
		c.c.Notice(fmt.Sprintf("%s asks for fewer requests: going on with %.4g a second", c.c.URL.Host, float64(slower)))
	case e.Status == http.StatusRequestTimeout, e.Status >= http.StatusInternalServerError, e.Status == http.StatusOK:
	default:
		return backoff.Permanent(e)
	}
	if e.RetryAfter > c.c.RetryFor {
		return backoff.Permanent(fmt.Errorf("%w: it asks to come again in %s, which is longer than --retry-for: run the command again then", e, e.RetryAfter))
	}
	if e.RetryAfter > 0 {
		return &waitError{e, &backoff.RetryAfterError{Duration: e.RetryAfter}}
	}
	return e
}

// IsRefused reports whether an error is that a token was refused, or may not read the users. No repetition mends it.
func IsRefused(err error) bool {
	var answered *apierror.Error
	return errors.As(err, &answered) && (answered.Status == http.StatusUnauthorized || answered.Status == http.StatusForbidden)
}

// waitError is an error with the time after which the source wants to be asked again.
type waitError struct {
	error
	after *backoff.RetryAfterError
}

func (e *waitError) Unwrap() []error { return []error{e.error, e.after} }

// readAll reads an answer as a whole.
func readAll(answer *http.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("the answer was cut off: %w", err)
	}
	if len(body) > maxAnswer {
		return nil, malformedError{fmt.Errorf("the answer is longer than %d MiB: set a lower --page-size if it is a page", maxAnswer>>20)}
	}
	return body, nil
}

// Answer is the answer to a request for one user, whatever its status.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Get reads one user and returns the answer, which may be an error that is about the user, such as 404.
func (c *Client) Get(ctx context.Context, build func(c Config) (*http.Request, error)) (Answer, error) {
	var a Answer
	err := c.ask(ctx, "a user", func() (*http.Request, error) { return build(c.c) }, func(answer *http.Response) error {
		switch status := answer.StatusCode; {
		case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusTooManyRequests,
			status == http.StatusRequestTimeout, status >= http.StatusInternalServerError:
			return apierror.New(answer)
		}
		body, err := readAll(answer)
		a = Answer{answer.StatusCode, answer.Header, body}
		return err
	})
	return a, err
}

// server returns the base URL as the generated clients take it.
func (c Config) server() string { return strings.TrimRight(c.URL.String(), "/") + "/" }
