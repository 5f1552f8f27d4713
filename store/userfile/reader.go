package userfile

import (
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/dragoman-id/dragoman/store"
)

// Reader reads the users of a file one by one.
type Reader struct {
	lines  *lines
	format interface {
		next() (store.ImportRow, error)
	}
}

// NewReader reads a file of this format from r. The catalogue is that of the store the users are for.
func NewReader(r io.Reader, f Format, roles *store.Catalogue) *Reader {
	l := newLines(r)
	if f == NDJSON {
		return &Reader{l, &ndjsonReader{lines: l, roles: roles, decoder: new(jsontext.Decoder)}}
	}
	return &Reader{l, &csvReader{lines: l, roles: roles}}
}

// Next returns the next user, with the number of the line where it stands, or io.EOF.
//
// A *LineError says what is wrong with the form of a line: Next can then be called again for the line after it. If the row
// that comes with it has a Line, it is what could be read, so that the rest of it can still be checked. Next does not check whether the
// model allows the user. Any other error is that of reading.
func (r *Reader) Next() (store.ImportRow, error) { return r.format.next() }
