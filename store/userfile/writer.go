package userfile

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/dragoman-id/dragoman/store"
)

// Writer writes users with all columns to a file. Call Flush after the last user.
type Writer struct {
	format interface {
		write(*store.User) error
		flush() error
	}
}

// NewWriter returns a writer of a file in this format. CSV begins with a header. roles is the catalogue of the users' store.
func NewWriter(w io.Writer, f Format, roles *store.Catalogue) *Writer {
	if f == NDJSON {
		buffered := bufio.NewWriter(w)
		return &Writer{&ndjsonWriter{w: buffered, encoder: jsontext.NewEncoder(buffered), roles: roles}}
	}
	return &Writer{&csvWriter{w: csv.NewWriter(w), roles: roles, cells: make([]string, len(columns)), escapeFormulas: f == Spreadsheet}}
}

// Write writes one user.
func (w *Writer) Write(u *store.User) error {
	if err := w.format.write(u); err != nil {
		return fmt.Errorf("writing users: %w", err)
	}
	return nil
}

// Flush writes any buffered data.
func (w *Writer) Flush() error {
	if err := w.format.flush(); err != nil {
		return fmt.Errorf("writing users: %w", err)
	}
	return nil
}

type csvWriter struct {
	w     *csv.Writer
	roles *store.Catalogue
	cells []string
	begun bool // the header was written

	escapeFormulas bool // the format is Spreadsheet
}

func (c *csvWriter) begin() error {
	if c.begun {
		return nil
	}
	c.begun = true
	for i, column := range columns {
		c.cells[i] = column.Name
	}
	return c.w.Write(c.cells)
}

func (c *csvWriter) write(u *store.User) error {
	if err := c.begin(); err != nil {
		return err
	}
	for i, column := range columns {
		switch v := column.Get(u, c.roles).(type) {
		case nil:
			c.cells[i] = ""
		case string:
			c.cells[i] = v
		case int64:
			c.cells[i] = strconv.FormatInt(v, 10)
		case bool:
			c.cells[i] = strconv.FormatBool(v)
		case []string:
			c.cells[i] = strings.Join(v, " ")
		}
		if c.escapeFormulas && isFormula(c.cells[i]) {
			c.cells[i] = "'" + c.cells[i]
		}
	}
	return c.w.Write(c.cells)
}

func (c *csvWriter) flush() error {
	if err := c.begin(); err != nil {
		return err
	}
	c.w.Flush()
	return c.w.Error()
}

// isFormula reports whether a spreadsheet may interpret a cell as a formula, or its first character as the end of the previous cell.
// Some programs ignore leading spaces and invisible characters, and treat full-width characters like their ASCII counterparts.
func isFormula(cell string) bool {
	if cell != "" && (unicode.IsControl(rune(cell[0])) || cell[0] == '\'') {
		return true
	}
	rest := strings.TrimLeftFunc(cell, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '"'
	})
	first, _ := utf8.DecodeRuneInString(rest)
	return strings.ContainsRune("=+-@|%\uff1d\uff0b\uff0d\uff20\u2212\ufe62\ufe63\ufe66\ufe6b", first) && rest != ""
}

type ndjsonWriter struct {
	w       *bufio.Writer
	encoder *jsontext.Encoder // writes each object on a line
	roles   *store.Catalogue
}

func (n *ndjsonWriter) write(u *store.User) error {
	if err := n.encoder.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for _, column := range columns {
		if err := n.encoder.WriteToken(jsontext.String(column.Name)); err != nil {
			return err
		}
		if err := json.MarshalEncode(n.encoder, column.Get(u, n.roles)); err != nil {
			return fmt.Errorf("%s of user %d: %w", column.Name, u.ID, err)
		}
	}
	return n.encoder.WriteToken(jsontext.EndObject)
}

func (n *ndjsonWriter) flush() error { return n.w.Flush() }

// WriteColumns writes a line of NDJSON with some columns alone, in the order of files. Values are strings, bools, int64 and []string;
// names that no column has are an error.
func WriteColumns(w io.Writer, values map[string]any) error {
	e, left := jsontext.NewEncoder(w), len(values)
	if err := e.WriteToken(jsontext.BeginObject); err != nil {
		return fmt.Errorf("writing users: %w", err)
	}
	for _, c := range columns {
		value, ok := values[c.Name]
		if !ok {
			continue
		}
		left--
		if err := e.WriteToken(jsontext.String(c.Name)); err != nil {
			return fmt.Errorf("writing users: %w", err)
		}
		if err := json.MarshalEncode(e, value); err != nil {
			return fmt.Errorf("writing users: %s: %w", c.Name, err)
		}
	}
	if left > 0 {
		return fmt.Errorf("writing users: %d of the values have no column", left)
	}
	if err := e.WriteToken(jsontext.EndObject); err != nil {
		return fmt.Errorf("writing users: %w", err)
	}
	return nil
}
