package userfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/dragoman-id/dragoman/store"
)

// csvReader reads rows of a CSV file. It does not use encoding/csv, which converts a quoted CR LF to LF, and reads a field with an
// unclosed quote to the end of the file, whatever its size.
type csvReader struct {
	lines  *lines
	roles  *store.Catalogue
	header []int  // the column index of each field; nil before the header is read
	cell   []byte // the field being read
	ended  bool   // the rest of the file cannot be parsed
}

// next returns the next row, or io.EOF. With a *LineError it returns what could be read of the row.
func (c *csvReader) next() (store.ImportRow, error) {
	if c.ended {
		return store.ImportRow{}, io.EOF
	}
	if c.header == nil {
		if err := c.readHeader(); err != nil {
			c.ended = true
			return store.ImportRow{}, err
		}
	}
	line, cells, err := c.record()
	if err != nil {
		return store.ImportRow{}, err
	}
	if len(cells) != len(c.header) {
		return store.ImportRow{}, wholeLine(line, "has %s where the header has %d", counted(len(cells), "field"), len(c.header))
	}
	row, bad := newRow(line), &LineError{Line: line}
	for i, cell := range cells {
		column := columns[c.header[i]]
		if cell == "" {
			if column.Need == store.Filled {
				bad.Problems = append(bad.Problems, Problem{column.Name, isRequired})
			}
			continue
		}
		if wrong := set(&row, column, fromCSV(column, cell), c.roles); wrong != "" {
			bad.Problems = append(bad.Problems, Problem{column.Name, wrong})
		}
	}
	finish(&row)
	if bad.Problems != nil {
		return row, bad
	}
	return row, nil
}

func (c *csvReader) readHeader() error {
	line, names, err := c.record()
	if errors.Is(err, io.EOF) {
		return wholeLine(1, "must be a header, and the file is empty")
	}
	if err != nil {
		return err
	}
	bad, seen := &LineError{Line: line}, make(map[string]bool)
	for _, name := range names {
		column := findColumn(name)
		switch {
		case column < 0:
			bad.Problems = append(bad.Problems, Problem{"", fmt.Sprintf("has the unknown column %s", store.Excerpt(name))})
		case seen[name]:
			bad.Problems = append(bad.Problems, Problem{"", fmt.Sprintf("has the column %s more than once", name)})
		}
		seen[name] = true
		c.header = append(c.header, column)
	}
	for _, column := range columns {
		if column.Need != store.Optional && !seen[column.Name] {
			bad.Problems = append(bad.Problems, Problem{"", fmt.Sprintf("lacks the column %s", column.Name)})
		}
	}
	if len(names) == 1 && strings.ContainsAny(names[0], ";\t") {
		bad.Problems = []Problem{{"", "must separate the columns with commas"}}
	}
	if bad.Problems != nil {
		bad.Problems = append(bad.Problems, Problem{"", "as the header is wrong, nothing else was checked"})
		return bad
	}
	return nil
}

// record returns the fields of the next record and the line on which it begins. It skips empty lines. It returns a *LineError for a
// malformed record; the next record then begins on the line after the last one that was read.
func (c *csvReader) record() (line int64, cells []string, err error) {
	var rest []byte
	for len(bytes.Trim(rest, "\r\n")) == 0 {
		if rest, err = c.lines.next(); errors.Is(err, errTooLong) {
			return 0, nil, wholeLine(c.lines.number, "%s", tooLong)
		} else if err != nil {
			return 0, nil, err
		}
	}
	line = c.lines.number
	for left := maxRecord; ; {
		quoted := rest[0] == '"'
		c.cell = c.cell[:0]
		if quoted {
			if rest, err = c.quoted(line, rest[1:], &left); err != nil {
				return 0, nil, err
			}
		} else {
			end := bytes.IndexAny(rest, ",\r\n")
			if end < 0 {
				end = len(rest)
			}
			c.cell, rest = append(c.cell, rest[:end]...), rest[end:]
			if bytes.IndexByte(c.cell, '"') >= 0 {
				return 0, nil, wholeLine(line, "has a quote inside a field that does not begin with one")
			}
		}
		cells = append(cells, string(c.cell))
		switch {
		case len(rest) == 0 && !quoted && c.header != nil:
			// The rest of this field may be cut off.
			return 0, nil, wholeLine(line, "has no line break at its end: the file may be cut off")
		case len(rest) == 0, string(rest) == "\n", string(rest) == "\r\n", string(rest) == "\r":
			return line, cells, nil
		case rest[0] == ',':
			if rest = rest[1:]; len(rest) == 0 && c.header == nil {
				return line, append(cells, ""), nil
			} else if len(rest) == 0 {
				return 0, nil, wholeLine(line, "has no line break at its end: the file may be cut off")
			}
		case quoted:
			return 0, nil, wholeLine(line, "has text after a closing quote")
		default:
			return 0, nil, wholeLine(line, "has a carriage return outside of quotes")
		}
	}
}

var tooLong = fmt.Sprintf("is longer than %d bytes", maxRecord)

// quoted reads the rest of a field after its opening quote into c.cell. The field may span several lines. quoted returns the text
// after the closing quote on the same line. left is the number of bytes that further lines of the record may have.
func (c *csvReader) quoted(line int64, rest []byte, left *int) ([]byte, error) {
	for {
		end := bytes.IndexByte(rest, '"')
		if end >= 0 {
			c.cell, rest = append(c.cell, rest[:end]...), rest[end+1:]
			if len(rest) == 0 || rest[0] != '"' {
				return rest, nil
			}
			c.cell, rest = append(c.cell, '"'), rest[1:]
			continue
		}
		c.cell = append(c.cell, rest...)
		var err error
		rest, err = c.lines.next()
		*left -= len(rest)
		switch {
		case errors.Is(err, io.EOF):
			c.ended = true
			return nil, wholeLine(line, "has a quote that is not closed: the file may be cut off")
		case errors.Is(err, errTooLong), err == nil && *left < 0:
			c.ended = true
			return nil, wholeLine(line, "has a quote that is not closed within %d bytes; nothing after it was checked", maxRecord)
		case err != nil:
			return nil, err
		}
	}
}

// counted returns a number and a noun, in the plural unless the number is 1.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
