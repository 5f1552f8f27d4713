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

// NewReader returns a reader of a file in this format. roles is the catalogue of the store into which the users are imported.
func NewReader(r io.Reader, f Format, roles *store.Catalogue) *Reader {
	l := newLines(r)
	if f == NDJSON {
		return &Reader{l, &ndjsonReader{lines: l, roles: roles, decoder: new(jsontext.Decoder)}}
	}
	return &Reader{l, &csvReader{lines: l, roles: roles}}
}

// Next returns the next user and the number of its line, or io.EOF.
//
// It returns a *LineError for a malformed line. Next can then be called again for the following line. If the row that is returned
// with a *LineError has a Line, it contains what could be read, and can still be checked for further problems. Any other error is an
// error of reading. Next does not check whether the user is valid in the model.
func (r *Reader) Next() (store.ImportRow, error) { return r.format.next() }
