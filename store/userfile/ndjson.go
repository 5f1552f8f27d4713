package userfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/dragoman-id/dragoman/store"
)

// ndjsonReader reads rows of an NDJSON file.
type ndjsonReader struct {
	lines   *lines
	roles   *store.Catalogue
	decoder *jsontext.Decoder
}

// next returns the next row, or io.EOF. With a *LineError it returns what could be read of the row. It skips empty lines.
func (n *ndjsonReader) next() (store.ImportRow, error) {
	var line []byte
	for len(line) == 0 {
		var err error
		if line, err = n.lines.next(); errors.Is(err, errTooLong) {
			return store.ImportRow{}, wholeLine(n.lines.number, "%s", tooLong)
		} else if err != nil {
			return store.ImportRow{}, err
		}
		line = bytes.Trim(line, " \t\r\n")
	}
	row, bad := newRow(n.lines.number), &LineError{Line: n.lines.number}
	if !utf8.Valid(line) {
		return store.ImportRow{}, wholeLine(row.Line, "must be valid UTF-8")
	}
	n.decoder.Reset(bytes.NewReader(line))
	seen := make([]bool, len(columns))
	if reason := n.object(&row, bad, seen); reason != "" {
		return store.ImportRow{}, wholeLine(row.Line, "%s", reason)
	}
	for i, column := range columns {
		if column.Need != store.Optional && !seen[i] {
			bad.Problems = append(bad.Problems, Problem{column.Name, isRequired})
		}
	}
	finish(&row)
	if bad.Problems != nil {
		return row, bad
	}
	return row, nil
}

// object reads the object of a line into row. It adds the problems of single members to bad, and returns a problem of the whole line,
// or "". It sets seen for the columns that have a value.
func (n *ndjsonReader) object(row *store.ImportRow, bad *LineError, seen []bool) string {
	d := n.decoder
	if start, err := d.ReadToken(); err != nil {
		return n.explain(err)
	} else if start.Kind() != '{' {
		return "must be a JSON object"
	}
	for d.PeekKind() != '}' {
		token, err := d.ReadToken()
		if err != nil {
			return n.explain(err)
		}
		name := token.String()
		value, err := d.ReadValue()
		if err != nil {
			return n.explain(err)
		}
		i := findColumn(name)
		if i < 0 {
			bad.Problems = append(bad.Problems, Problem{"", fmt.Sprintf("has the unknown member %s", store.Excerpt(name))})
			continue
		}
		if value.Kind() == 'n' {
			continue
		}
		seen[i] = true
		if wrong := set(row, columns[i], fromJSON(value), n.roles); wrong != "" {
			bad.Problems = append(bad.Problems, Problem{name, wrong})
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return n.explain(err)
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return "must be one JSON object and nothing else"
	}
	return ""
}

// explain describes a syntax error as a predicate about the line.
func (n *ndjsonReader) explain(err error) string {
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return fmt.Sprintf("has the member %s more than once", store.Excerpt(syntax.JSONPointer.LastToken()))
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "is not a whole JSON object: the file may be cut off"
	}
	return fmt.Sprintf("is not valid JSON, at byte %d", n.decoder.InputOffset()+1)
}
