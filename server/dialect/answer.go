package dialect

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
)

// Answer is what an answer about users says in its headers. The hot operations give answers of their own in the place of the
// generated ones, which make every header's text by reflection, and their body as well.
type Answer struct {
	ETag string // "" for none
	// Written are the further headers of a write; nil for a read.
	Written *Written
}

// cacheControl is CacheControl as a header's value, which many answers share and nobody alters.
var cacheControl = []string{CacheControl}

// Send answers with 200, these headers, and the JSON that encode writes.
func (a Answer) Send(w http.ResponseWriter, encode func(*Encoder)) error {
	e := encoders.Get().(*Encoder)
	defer e.release()
	encode(e)
	h := w.Header()
	h[echo.HeaderContentType] = plainJSON
	h[echo.HeaderCacheControl] = cacheControl
	if a.ETag != "" {
		h[headerETag] = []string{a.ETag}
	}
	if a.Written != nil {
		h["Dragoman-Changed"] = []string{a.Written.Changed}
		if a.Written.Ignored != nil {
			h["Dragoman-Ignored"] = []string{*a.Written.Ignored}
		}
	}
	w.WriteHeader(http.StatusOK)
	if _, err := w.Write(append(e.text, '\n')); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

// Encoder writes JSON as encoding/json does, byte for byte, one value after another. The dialects' tests hold what they write with
// it against that package. The zero value is one that has written nothing.
type Encoder struct{ text []byte }

// maxEncoded is how much memory for an answer's text is kept for another: a page of users has that much.
const maxEncoded = 32 << 10

var encoders = sync.Pool{New: func() any { return &Encoder{} }}

func (e *Encoder) release() {
	if cap(e.text) <= maxEncoded {
		e.Reset()
		encoders.Put(e)
	}
}

// Bytes gives what is written, until something else is.
func (e *Encoder) Bytes() []byte { return e.text }

// Reset forgets what is written.
func (e *Encoder) Reset() { e.text = e.text[:0] }

// Open begins an object or an array, by its bracket.
func (e *Encoder) Open(bracket byte) { e.text = append(e.text, bracket) }

// Close ends an object or an array, by its bracket.
func (e *Encoder) Close(bracket byte) { e.text = append(e.text, bracket) }

// Item begins the next item of an array: its value is to follow.
func (e *Encoder) Item() *Encoder {
	if e.text[len(e.text)-1] != '[' {
		e.text = append(e.text, ',')
	}
	return e
}

// Member begins the next member of an object: its value is to follow. The name is one that needs no escapes.
func (e *Encoder) Member(name string) *Encoder {
	if e.text[len(e.text)-1] != '{' {
		e.text = append(e.text, ',')
	}
	e.text = append(e.text, '"')
	e.text = append(e.text, name...)
	e.text = append(e.text, '"', ':')
	return e
}

// JSON writes what is JSON already.
func (e *Encoder) JSON(text string) { e.text = append(e.text, text...) }

// Null writes null.
func (e *Encoder) Null() { e.JSON("null") }

// Bool writes true or false.
func (e *Encoder) Bool(b bool) { e.text = strconv.AppendBool(e.text, b) }

// Int writes an integer.
func (e *Encoder) Int(n int64) { e.text = strconv.AppendInt(e.text, n, 10) }

// IntOrNull writes an integer, or null.
func (e *Encoder) IntOrNull(n *int64) {
	if n == nil {
		e.Null()
		return
	}
	e.Int(*n)
}

// Text writes a string.
func (e *Encoder) Text(s string) {
	for i := range len(s) {
		if !isPlainByte(s[i]) {
			e.escape(s)
			return
		}
	}
	e.text = append(e.text, '"')
	e.text = append(e.text, s...)
	e.text = append(e.text, '"')
}

// isPlainByte tells whether encoding/json writes a byte as it is, whatever stands beside it.
func isPlainByte(c byte) bool {
	return ' ' <= c && c < utf8.RuneSelf && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
}

func (e *Encoder) escape(s string) {
	escaped, _ := json.Marshal(s) // no string is without its JSON
	e.text = append(e.text, escaped...)
}

// TextOrNull writes a string, or null.
func (e *Encoder) TextOrNull(s *string) {
	if s == nil {
		e.Null()
		return
	}
	e.Text(*s)
}

// UUID writes a UUID.
func (e *Encoder) UUID(id uuid.UUID) {
	e.text = append(e.text, '"')
	e.text = append(hex.AppendEncode(e.text, id[:4]), '-')
	e.text = append(hex.AppendEncode(e.text, id[4:6]), '-')
	e.text = append(hex.AppendEncode(e.text, id[6:8]), '-')
	e.text = append(hex.AppendEncode(e.text, id[8:10]), '-')
	e.text = append(hex.AppendEncode(e.text, id[10:]), '"')
}

// UUIDOrNull writes a UUID, or null.
func (e *Encoder) UUIDOrNull(id *uuid.UUID) {
	if id == nil {
		e.Null()
		return
	}
	e.UUID(*id)
}
