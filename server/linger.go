package server

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/labstack/echo/v4"
)

// An answer may come before the whole body of its request was read, such as a 401 or a 413. The rest of the body is then read and
// discarded for a while. A client that writes its whole request before it reads would else find its connection reset, and the
// answer lost.
const (
	lingerBytes   = 64 << 20
	lingerTime    = 10 * time.Second // in all
	lingerSilence = 3 * time.Second  // without a byte

	// lingerBefore is how long the answer waits for the rest of a body that may be shortBody bytes long, so that the connection
	// can be used again.
	lingerBefore = 500 * time.Millisecond
	shortBody    = 256 << 10
)

// serveLingering lets next answer r. In HTTP/2 a stream can end on its own, and the client is told to stop sending. In HTTP/1 an
// answer that comes before the end of the body says that the connection is closed, and the rest is read beside it. By itself
// net/http (1.26) reads up to 256 KiB before it sends the header, for as long as that takes; if the connection is to be closed
// it reads nothing.
func serveLingering(next http.Handler, w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 1 || r.ContentLength == 0 {
		next.ServeHTTP(w, r)
		return
	}
	l := &lingering{
		ResponseWriter: w,
		body:           r.Body,
		isShort:        r.ContentLength <= shortBody && r.Header.Get("Expect") == "", // to read is to ask for what is expected
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

// lingering is the body of a request and its answer: it knows whether the answer begins before the end of the body.
type lingering struct {
	http.ResponseWriter
	body    io.ReadCloser
	isShort bool
	ended   bool      // there is nothing more to read of the body
	rest    chan bool // gives once whether the rest of the body was read; nil until it is being read
}

func (l *lingering) Unwrap() http.ResponseWriter { return l.ResponseWriter }

func (l *lingering) Close() error { return l.body.Close() }

func (l *lingering) Read(p []byte) (int, error) {
	n, err := l.body.Read(p)
	if err != nil {
		l.ended = !errors.Is(err, os.ErrDeadlineExceeded) // who is slow may still be writing
	}
	return n, err
}

// WriteHeader begins the answer. Nobody reads the body after that but discard.
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

// discard reads the body to its end, within the bounds above.
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
			l.rest <- connection.SetReadDeadline(time.Time{}) == nil // net/http sets the next request's
			return
		}
		if err != nil {
			return
		}
		left -= n
	}
}
