package shadow

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// memory is what is left for bodies, of all requests together.
type memory struct{ left atomic.Int64 }

func (m *memory) take(n int64) bool {
	if m.left.Add(-n) >= 0 {
		return true
	}
	m.left.Add(n)
	return false
}

// Why a body is not kept.
var (
	errTooLong  = errors.New("the body is too long")
	errNoMemory = errors.New("bodies need too much memory")
)

// sizeOf returns about how many bytes headers take.
func sizeOf(headers ...http.Header) (n int64) {
	for _, header := range headers {
		for name, values := range header {
			for _, value := range values {
				n += int64(len(name) + len(value))
			}
		}
	}
	return n
}

// recorder keeps what is written to it, up to a maximum and as far as there is memory.
type recorder struct {
	max    int64
	memory *memory

	mu     sync.Mutex // of all below, until end was called
	chunks [][]byte
	size   int64
	err    error // why the body is not kept
	ended  bool
}

// chunkSize is up to what size bytes are kept in one slice.
const chunkSize = 32 << 10

// end ends recording. The transport may still read the body of a request that the source has answered early.
func (r *recorder) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
}

// release forgets what was kept.
func (r *recorder) release() {
	r.memory.left.Add(r.size)
	r.chunks, r.size = nil, 0
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended || r.err != nil {
		return len(p), r.err
	}
	n := int64(len(p))
	switch {
	case r.size+n > r.max:
		r.err = errTooLong
	case !r.memory.take(n):
		r.err = errNoMemory
	default:
		// Bytes that come one by one are kept together, as a slice of its own takes more than its bytes.
		if last := len(r.chunks) - 1; last >= 0 && len(r.chunks[last])+len(p) <= chunkSize {
			r.chunks[last] = append(r.chunks[last], p...)
		} else {
			r.chunks = append(r.chunks, bytes.Clone(p))
		}
		r.size += n
		return len(p), nil
	}
	r.release()
	return len(p), r.err
}

// reader reads what was kept.
func (r *recorder) reader() io.Reader {
	readers := make([]io.Reader, len(r.chunks))
	for i, chunk := range r.chunks {
		readers[i] = bytes.NewReader(chunk)
	}
	return io.MultiReader(readers...)
}

func (r *recorder) bytes() []byte { return bytes.Join(r.chunks, nil) }

// tee records what is read, unless there is no recorder, and calls ended at the end.
type tee struct {
	io.ReadCloser
	to    *recorder
	ended func()
}

func (t *tee) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if t.to != nil {
		_, _ = t.to.Write(p[:n]) // the recorder notes its error
	}
	if errors.Is(err, io.EOF) && t.ended != nil {
		t.ended()
		t.ended = nil
	}
	return n, err
}

// encodingError says that a body's content coding was not decoded.
type encodingError struct{ coding string }

func (e *encodingError) Error() string { return "encoding " + e.coding }

// named are the codings that a report names, beside those that are decoded. A source may invent others.
var named = []string{"br", "zstd", "compress"}

// decode returns a body without its content codings.
func decode(header http.Header, body *recorder) ([]byte, error) {
	decoded, last := body.reader(), ""
	for _, coding := range slices.Backward(strings.Split(strings.Join(header.Values("Content-Encoding"), ","), ",")) {
		coding = strings.ToLower(strings.TrimSpace(coding))
		if coding == "" || coding == "identity" || body.size == 0 {
			continue
		}
		var err error
		if decoded, err = decoder(coding, decoded); err != nil {
			return nil, err
		}
		last = coding
	}
	if last == "" {
		return body.bytes(), nil
	}
	plain := recorder{max: body.max, memory: body.memory}
	defer plain.release()
	if _, err := io.Copy(&plain, decoded); err != nil && plain.err == nil {
		return nil, &encodingError{last + " that is broken"}
	}
	return plain.bytes(), plain.err
}

func decoder(coding string, r io.Reader) (decoded io.Reader, err error) {
	switch coding {
	case "gzip", "x-gzip":
		decoded, err = gzip.NewReader(r)
	case "deflate":
		b := bufio.NewReader(r)
		head, _ := b.Peek(2)
		if len(head) < 2 || head[0]&0x0f != 8 || (int(head[0])<<8|int(head[1]))%31 != 0 {
			return flate.NewReader(b), nil // some servers leave out the zlib format's header
		}
		decoded, err = zlib.NewReader(b)
	default:
		if !slices.Contains(named, coding) {
			coding = "that is not known"
		}
		return nil, &encodingError{coding}
	}
	if err != nil {
		return nil, &encodingError{coding + " that is broken"}
	}
	return decoded, nil
}
