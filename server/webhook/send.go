package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/dragoman-id/dragoman/server/apierror"
	"github.com/dragoman-id/dragoman/store"
)

const (
	// deliveryTimeout is how long an attempt may take, until the header of the response is there.
	deliveryTimeout = 15 * time.Second
	// drainTimeout is how long the body of a response is read after that, so that the connection can be used again.
	drainTimeout = time.Second
	// maxResponse is how much of a response's header is accepted, and how much of its body is read, in bytes.
	maxResponse = 64 << 10
)

// The answers to an attempt that are no status of HTTP.
const (
	answerOther       = "other"             // a status beyond 599
	answerTimeout     = "timeout"           // there was no response in time
	answerUnreachable = "unreachable"       // no connection, or it was lost
	answerUnresolved  = "unresolved"        // the name of the host has no address
	answerAddress     = "forbidden address" // the address is one that deliveries are not sent to
	answerTLS         = "untrusted"         // the certificate is not trusted, or TLS failed otherwise
	answerURL         = "forbidden URL"     // the URL is one that deliveries are not sent to
)

// outcome is what became of an attempt.
type outcome struct {
	answer     string        // a status, or one of those above
	status     int           // 0: there was no response
	retryAfter time.Duration // how long the receiver asks to wait
}

func (o outcome) ok() bool { return o.status >= 200 && o.status < 300 }

// newClient returns a client for deliveries. It follows no redirects, and knows neither cookies nor a proxy that is not configured.
func newClient(c Config) *http.Client {
	transport := &http.Transport{
		DialContext:            dialer{c.AllowNetworks, c.Resolver}.DialContext,
		TLSClientConfig:        c.TLS,
		TLSHandshakeTimeout:    dialTimeout,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: maxResponse,
		DisableCompression:     true,
	}
	if c.Proxy != nil {
		// The proxy judges the addresses; its own need not be public.
		transport.Proxy = http.ProxyURL(c.Proxy)
		transport.DialContext = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// send makes one attempt to deliver a body. Of the response it returns the status and Retry-After alone.
func (d *Deliverer) send(ctx context.Context, w *store.Webhook, secrets []store.WebhookSecret, id string, body []byte) outcome {
	if store.CheckWebhookURL(w.URL, d.c.AllowHTTP) != "" {
		return outcome{answer: answerURL}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timeout := time.AfterFunc(d.timeout, func() { cancel(context.DeadlineExceeded) })
	defer timeout.Stop()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return outcome{answer: answerURL}
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Dragoman")
	now := d.c.Now()
	sign(r.Header, id, now, body, secrets)
	response, err := d.client.Do(r)
	if err != nil {
		return outcome{answer: explain(ctx, err)}
	}
	timeout.Reset(drainTimeout)
	_, _ = io.CopyN(io.Discard, response.Body, maxResponse)
	_ = response.Body.Close()
	return outcome{strconv.Itoa(response.StatusCode), response.StatusCode, apierror.RetryAfter(response.Header, now)}
}

// explain returns the answer for the error of an attempt. It repeats nothing of the error, which may have parts of a response.
func explain(ctx context.Context, err error) string {
	var dns *net.DNSError
	var record tls.RecordHeaderError
	var verification *tls.CertificateVerificationError
	var alert tls.AlertError
	var network net.Error
	switch {
	case errors.Is(err, errAddress):
		return answerAddress
	case errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return answerTimeout
	case errors.As(err, &dns):
		return answerUnresolved
	case errors.As(err, &record), errors.As(err, &verification), errors.As(err, &alert), errors.As(err, new(x509.UnknownAuthorityError)):
		return answerTLS
	case errors.As(err, &network) && network.Timeout():
		return answerTimeout
	}
	return answerUnreachable
}
