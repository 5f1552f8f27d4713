package server

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/labstack/echo/v4"
)

// A response such as 401 or 413 can be sent before the body of its request was read. The server then reads and discards the rest
// of the body, within these limits. Otherwise a client that sends its whole request before it reads would get a connection reset
// instead of the response.
const (
	lingerBytes   = 64 << 20
	lingerTime    = 10 * time.Second // in all
	lingerSilence = 3 * time.Second  // without a byte

	// lingerBefore is how long a response waits for the rest of a body of at most shortBody bytes. If the body ends in time, the
	// connection can be reused.
	lingerBefore = 500 * time.Millisecond
	shortBody    = 256 << 10
)

// serveLingering serves r by next. In HTTP/1 a response that starts before the end of the body closes the connection, and the
// rest of the body is read concurrently. HTTP/2 needs none of this: it can end one stream, and tells the client to stop sending.
// By itself net/http (1.26) reads up to 256 KiB before it sends the header, without a time limit; if the connection will be
// closed it reads nothing.
func serveLingering(next http.Handler, w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 1 || r.ContentLength == 0 {
		next.ServeHTTP(w, r)
		return
	}
	l := &lingering{
		ResponseWriter: w,
		body:           r.Body,
		isShort:        r.ContentLength <= shortBody && r.Header.Get("Expect") == "", // a read would send 100 Continue
	}
	r.Body = l
	next.ServeHTTP(l, r)
	if l.rest == nil || l.ended {
		return
	}
	if http.NewResponseController(w).Flush() == nil {
		<-l.rest
	}
}

// lingering wraps the body of a request and its response, and detects a response that starts before the end of the body.
type lingering struct {
	http.ResponseWriter
	body    io.ReadCloser
	isShort bool
	ended   bool      // the body cannot be read further
	rest    chan bool // receives true if discard reached the end of the body; closed when discard ends; nil before it starts
}

func (l *lingering) Unwrap() http.ResponseWriter { return l.ResponseWriter }

func (l *lingering) Close() error { return l.body.Close() }

func (l *lingering) Read(p []byte) (int, error) {
	n, err := l.body.Read(p)
	if err != nil {
		l.ended = !errors.Is(err, os.ErrDeadlineExceeded) // a slow client may still be sending
	}
	return n, err
}

// WriteHeader starts the response. After it only discard reads the body.
func (l *lingering) WriteHeader(status int) {
	if l.ended || l.rest != nil || status < http.StatusOK {
		l.ResponseWriter.WriteHeader(status)
		return
	}
	l.rest = make(chan bool, 1)
	if l.isShort {
		go l.discard()
		select {
		case l.ended = <-l.rest:
		case <-time.After(lingerBefore):
		}
	}
	if !l.ended {
		l.Header().Set(echo.HeaderConnection, "close")
	}
	l.ResponseWriter.WriteHeader(status)
	if !l.isShort {
		go l.discard()
	}
}

// discard reads the body to its end, within the limits above.
func (l *lingering) discard() {
	defer close(l.rest)
	connection := http.NewResponseController(l.ResponseWriter)
	end := time.Now().Add(lingerTime)
	buffer := make([]byte, 4<<10)
	for left := lingerBytes; left > 0; {
		deadline := time.Now().Add(lingerSilence)
		if deadline.After(end) {
			deadline = end
		}
		if connection.SetReadDeadline(deadline) != nil {
			return
		}
		n, err := l.body.Read(buffer)
		if err == io.EOF {
			l.rest <- connection.SetReadDeadline(time.Time{}) == nil // net/http sets the deadline of the next request
			return
		}
		if err != nil {
			return
		}
		left -= n
	}
}
