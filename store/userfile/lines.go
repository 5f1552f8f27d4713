package userfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxRecord is how many bytes a record of a file may have. The longest that a user can have is a third of it.
const maxRecord = 64 << 10

// errTooLong: a line has more than maxRecord bytes. It was read to its end.
var errTooLong = errors.New("line too long")

// lines reads the lines of a file.
type lines struct {
	r      *bufio.Reader
	number int64 // of the line that was read last, from 1
	read   int64 // how many bytes the lines so far have
}

func newLines(r io.Reader) *lines { return &lines{r: bufio.NewReaderSize(r, maxRecord)} }

var byteOrderMark = []byte("\ufeff")

// next returns the next line with its line break, which the last may lack. It is good until the next call. The error is
// io.EOF, errTooLong, or what reading failed with.
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
