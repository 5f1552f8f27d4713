package merge

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/dragoman-id/dragoman/store"
)

// BadInput says what is wrong with a file.
type BadInput struct {
	File   string
	Line   int64 // 0: the whole file
	Reason string
}

func (e *BadInput) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Reason
	}
	return fmt.Sprintf("%s, line %d: %s", e.File, e.Line, e.Reason)
}

// line is a line of a file.
type line struct {
	number  int64
	offset  int64
	length  int32 // with the line break
	columns map[string]any
}

// maxLine is the maximum size of a line.
const maxLine = 64 << 10

// lines calls f with every line of a file.
func lines(name string, file io.Reader, f func(line) error) error {
	r := bufio.NewReaderSize(file, maxLine)
	offset := int64(0)
	for number := int64(1); ; number++ {
		text, err := r.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return &BadInput{name, number, fmt.Sprintf("is longer than %d KiB: is this the file of 'dragoman pull'?", maxLine>>10)}
		case err != nil && !errors.Is(err, io.EOF):
			return &BadInput{name, 0, err.Error()}
		case len(text) == 0:
			return nil
		}
		l := line{number: number, offset: offset, length: int32(len(text))} // #nosec G115 -- at most maxLine
		offset += int64(len(text))
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		if l.columns, err = decode(text); err != nil {
			return &BadInput{name, number, err.Error()}
		}
		if err := f(l); err != nil {
			var bad *BadInput
			if errors.As(err, &bad) && bad.Line == 0 && bad.File == "" {
				bad.File, bad.Line = name, number
			}
			return err
		}
	}
}

var fileColumns = store.FileColumns()

// decode reads a line. It leaves out columns that are null.
func decode(text []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var columns map[string]any
	if err := d.Decode(&columns); err != nil || columns == nil {
		return nil, errors.New("must be a JSON object, as 'dragoman pull' writes it")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("has more than one JSON object")
	}
	if !jsontext.Value(text).IsValid() {
		return nil, errors.New("has a member twice, or text that is not Unicode")
	}
	for name, value := range columns {
		if !slices.ContainsFunc(fileColumns, func(c store.FileColumn) bool { return c.Name == name }) {
			return nil, fmt.Errorf("has the unknown member %s", store.Excerpt(name))
		}
		switch v := value.(type) {
		case nil:
			delete(columns, name)
		case json.Number:
			n, err := strconv.ParseInt(v.String(), 10, 64)
			if err != nil {
				return nil, fmt.Errorf("%s must be an integer", name)
			}
			columns[name] = n
		case []any:
			texts := make([]string, len(v))
			for i := range v {
				var ok bool
				if texts[i], ok = v[i].(string); !ok {
					return nil, fmt.Errorf("%s must be an array of text", name)
				}
			}
			columns[name] = texts
		case map[string]any:
			return nil, fmt.Errorf("%s must not be an object", name)
		}
	}
	if email, ok := columns["email"].(string); !ok || email == "" {
		return nil, errors.New("email is required")
	}
	return columns, nil
}
