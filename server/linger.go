package server

import (
	"io"
	"net/http"
	"time"
)

// After an answer that comes before the whole body was read, such as a 401 or a 413, the rest of the body is read and discarded
// for a while. A client that writes its whole request before it reads would else find its connection reset, and the answer lost.
const (
	lingerBytes   = 64 << 20
	lingerTime    = 10 * time.Second // in all
	lingerSilence = 3 * time.Second  // without a byte
)

// discardedByHTTP is how many bytes of a body net/http (1.26) discards by itself before it sends an answer.
const discardedByHTTP = 256 << 10

// serveLingering lets next answer r. In HTTP/1 it then reads on what next has left unread of a long body. In HTTP/2 a stream
// can end on its own, and the client is told to stop sending.
func serveLingering(next http.Handler, w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 1 || 0 <= r.ContentLength && r.ContentLength < discardedByHTTP {
		next.ServeHTTP(w, r)
		return
	}
	body := &watchedBody{ReadCloser: r.Body}
	watched := r.WithContext(r.Context())
	watched.Body = body
	next.ServeHTTP(w, watched)
	if body.ended {
		return
	}
	connection := http.NewResponseController(w)
	if connection.Flush() == nil {
		discard(body, connection)
	}
}

// discard reads body to its end, within the bounds above. If they are exceeded net/http closes the connection.
func discard(body io.Reader, connection *http.ResponseController) {
	end := time.Now().Add(lingerTime)
	buffer := make([]byte, 16<<10)
	for left := lingerBytes; left > 0; {
		deadline := time.Now().Add(lingerSilence)
		if deadline.After(end) {
			deadline = end
		}
		if connection.SetReadDeadline(deadline) != nil {
			return
		}
		n, err := body.Read(buffer)
		if err != nil {
			return
		}
		left -= n
	}
}

// watchedBody is a body that knows whether there is nothing more to read of it.
type watchedBody struct {
	io.ReadCloser
	ended bool
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.ended = true
	}
	return n, err
}
