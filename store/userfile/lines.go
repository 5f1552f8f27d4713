package userfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxRecord is the maximum size of a record in bytes. A user's longest possible record has a third of it.
const maxRecord = 64 << 10

// errTooLong reports that a line is longer than maxRecord. The line was skipped.
var errTooLong = errors.New("line too long")

// lines reads the lines of a file.
type lines struct {
	r      *bufio.Reader
	number int64 // the number of the last line read, from 1
	read   int64 // the total size of the lines read, in bytes
}

func newLines(r io.Reader) *lines { return &lines{r: bufio.NewReaderSize(r, maxRecord)} }

var byteOrderMark = []byte("\ufeff")

// next returns the next line with its line break, which the last line may lack. The line is valid until the next call. The error is
// io.EOF, errTooLong, or an error of reading.
func (l *lines) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	l.read += int64(len(line))
	if len(line) > 0 || !errors.Is(err, io.EOF) {
		l.number++
	}
	if errors.Is(err, bufio.ErrBufferFull) {
		for errors.Is(err, bufio.ErrBufferFull) {
			line, err = l.r.ReadSlice('\n')
			l.read += int64(len(line))
		}
		if err == nil || errors.Is(err, io.EOF) {
			return nil, errTooLong
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading line %d: %w", l.number, err)
	}
	if len(line) == 0 {
		return nil, io.EOF
	}
	if l.number == 1 {
		line = bytes.TrimPrefix(line, byteOrderMark)
	}
	return line, nil
}
