package dialect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is the maximum depth to which a body's objects and arrays may be nested.
const maxDepth = 32

// defaultMaxValues is the maximum number of values in a body, including objects and arrays, unless a dialect has another. A value of two
// bytes of text takes far more memory when it is decoded. The largest useful body of most operations has about 350 values.
const defaultMaxValues = 1024

// bodyReader reads one body after another and reuses its buffers.
type bodyReader struct {
	text    bytes.Buffer
	decoder jsontext.Decoder
	values  jsonDecoder
}

var bodyReaders = sync.Pool{New: func() any { return &bodyReader{} }}

// maxKept is the capacity above which a text buffer is not reused. Most bodies are far smaller.
const maxKept = 16 << 10

// readJSON reads r to its end and decodes it; see decode. The result does not share memory with the reused buffers.
func readJSON(r io.Reader, maxValues int) (any, error) {
	b := bodyReaders.Get().(*bodyReader)
	defer func() {
		if b.text.Cap() <= maxKept {
			bodyReaders.Put(b)
		}
	}()
	b.text.Reset()
	var tooLarge *http.MaxBytesError
	var limited *RateLimitedError
	switch _, err := b.text.ReadFrom(r); {
	case errors.As(err, &limited), errors.Is(err, errTooManyBytes):
		return nil, err
	case errors.As(err, &tooLarge):
		return nil, errContentTooLarge
	case err != nil:
		return nil, &readError{err}
	}
	b.decoder.Reset(&b.text)
	b.values = jsonDecoder{Decoder: &b.decoder, maxValues: maxValues}
	return b.values.decode()
}

// readError reports that a body could not be read to its end.
type readError struct{ cause error }

func (e *readError) Error() string { return "read body: " + e.cause.Error() }

func (e *readError) Unwrap() error { return e.cause }

// explainRead classifies a readError: the client was too slow, closed the connection, or sent malformed HTTP, such as a chunk
// without a length. It returns other errors unchanged.
func explainRead(ctx context.Context, err error) error {
	var unread *readError
	var network *net.OpError
	switch {
	case !errors.As(err, &unread):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: it took too long", errBodyIncomplete)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &network), ctx.Err() != nil:
		// The network's error is omitted because it contains the client's address.
		return fmt.Errorf("%w: %w", errBodyIncomplete, ErrClientGone)
	}
	return invalidBody("the body could not be read to its end")
}

// decode decodes a JSON value, for both validation and the handler. It returns objects as map[string]any, arrays as []any, integers
// as int64 and all other numbers as float64. Member names are case-sensitive. It returns an *InvalidError for a repeated member,
// invalid UTF-8, a lone surrogate, U+0000 in text, nesting beyond maxDepth, more than maxValues values, and text after the value.
// Where possible the error names the member. (SEMANTICS.md, "JSON"; RFC 8259 leaves each of these open.)
func (d *jsonDecoder) decode() (any, error) {
	value, err := d.value()
	if err != nil {
		return nil, d.explain(err)
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, invalidBody("the body must end after its JSON value")
	}
	return value, nil
}

type jsonDecoder struct {
	*jsontext.Decoder
	maxValues int
	values    int // the number of values read
}

var (
	errTooDeep = errors.New("nested too deep")
	errNUL     = errors.New("text contains U+0000")
	errTooMany = errors.New("too many values")
)

func (d *jsonDecoder) value() (any, error) {
	if d.values++; d.values > d.maxValues {
		return nil, errTooMany
	}
	token, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	switch token.Kind() {
	case '{':
		return d.object()
	case '[':
		return d.array()
	case '"':
		return text(token)
	case '0':
		return number(token.String()), nil
	case 't', 'f':
		return token.Bool(), nil
	default:
		return nil, nil
	}
}

func (d *jsonDecoder) object() (any, error) {
	if d.StackDepth() > maxDepth {
		return nil, errTooDeep
	}
	members := map[string]any{}
	for d.PeekKind() != '}' {
		token, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		name, err := text(token)
		if err != nil {
			return nil, err
		}
		if members[name], err = d.value(); err != nil {
			return nil, err
		}
	}
	_, err := d.ReadToken()
	return members, err
}

func (d *jsonDecoder) array() (any, error) {
	if d.StackDepth() > maxDepth {
		return nil, errTooDeep
	}
	items := []any{}
	for d.PeekKind() != ']' {
		item, err := d.value()
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	_, err := d.ReadToken()
	return items, err
}

func text(token jsontext.Token) (string, error) {
	s := token.String()
	// Postgres cannot store U+0000, so it is refused on both engines.
	if strings.IndexByte(s, 0) >= 0 {
		return "", errNUL
	}
	return s, nil
}

// number returns an int64 if the literal's value is an integer within its range, including 6860.0 and 6.86e3. Otherwise it returns
// a float64 that is not an integer. Its value may differ from the literal's: no document has a member for such numbers, and
// validation only has to refuse them.
func number(literal string) any {
	if n, ok := integer(literal); ok {
		return n
	}
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil || f == math.Trunc(f) {
		return 0.5
	}
	return f
}

// integer parses literal as an exact integer. It works on the decimal digits, since a float64 would round large integers.
func integer(literal string) (int64, bool) {
	unsigned := strings.TrimPrefix(literal, "-")
	mantissa, power := unsigned, "0"
	if i := strings.IndexAny(unsigned, "eE"); i >= 0 {
		mantissa, power = unsigned[:i], unsigned[i+1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	all := whole + fraction
	significant := strings.TrimRight(all, "0")
	if significant == "" {
		return 0, true
	}
	exponent, err := strconv.ParseInt(power, 10, 32)
	zeros := int(exponent) + len(all) - len(significant) - len(fraction)
	// An int64 has at most 19 digits.
	if err != nil || zeros < 0 || zeros > 18 {
		return 0, false
	}
	n, err := strconv.ParseInt(literal[:len(literal)-len(unsigned)]+significant+strings.Repeat("0", zeros), 10, 64)
	return n, err == nil
}

// explain returns an *InvalidError that describes a decoding error and its place, without quoting the body.
func (d *jsonDecoder) explain(err error) error {
	field := memberPath(d.StackPointer())
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		if errors.As(err, &syntax) {
			field = memberPath(syntax.JSONPointer)
		}
		return &InvalidError{Fields: []FieldError{{Field: field, Message: field + " is repeated"}}}
	case errors.Is(err, errNUL):
		return &InvalidError{Fields: []FieldError{{Field: field, Message: subject(field) + " must not contain U+0000"}}}
	case errors.Is(err, errTooDeep):
		return invalidBody(fmt.Sprintf("the body must not be nested deeper than %d", maxDepth))
	case errors.Is(err, errTooMany):
		return invalidBody(fmt.Sprintf("the body must have at most %d values", d.maxValues))
	case errors.Is(err, io.EOF) && d.InputOffset() == 0:
		return invalidBody("the body is required")
	default:
		return invalidBody(fmt.Sprintf("the body is not valid JSON, at byte %d", d.InputOffset()))
	}
}

func invalidBody(message string) error {
	return &InvalidError{Fields: []FieldError{{Message: message}}}
}

func memberPath(p jsontext.Pointer) string {
	return join("", slices.Collect(p.Tokens())...)
}

// writeJSON writes v as JSON. It encodes the responses for which there is no generated encoder.
func writeJSON(w io.Writer, v any) error {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	return nil
}
