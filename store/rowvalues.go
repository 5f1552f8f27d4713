package store

import (
	"bufio"
	"bytes"
	"container/heap"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// rowValueBytes is the size of a rowValue: the index of the field in unique and 15 bytes of the value's SHA-256, of which nobody can make
// two that are equal; and the line, shifted by a bit that says that the row's username is its e-mail.
const rowValueBytes = 24

// rowValue says that a row has a unique value. Row values are ordered by value and line.
type rowValue [rowValueBytes]byte

// valuesInMemory is how many row values are kept in memory, 12 MB of them. Further ones are sorted and written to a file.
const valuesInMemory = 1 << 19

// rowValues finds unique values that come several times among any number of rows, in a bounded amount of memory: it sorts them outside of
// it. The zero value is empty.
type rowValues struct {
	memory []rowValue
	limit  int      // valuesInMemory if it is 0
	file   *os.File // of sorted runs; nil before the first
	runs   []int64  // their lengths in row values
}

func (c *rowValues) add(field int, value string, line int64, namedByEmail bool) error {
	sum := sha256.Sum256([]byte(value))
	var one rowValue
	one[0] = byte(field) // #nosec G115 -- an index of unique
	copy(one[1:16], sum[:])
	last := uint64(line) << 1 // #nosec G115 -- lines are counted from 1
	if namedByEmail {
		last |= 1
	}
	binary.BigEndian.PutUint64(one[16:], last)
	if c.limit == 0 {
		c.limit = valuesInMemory
	}
	if c.memory = append(c.memory, one); len(c.memory) < c.limit {
		return nil
	}
	return c.spill()
}

func (c *rowValues) sort() {
	slices.SortFunc(c.memory, func(a, b rowValue) int { return bytes.Compare(a[:], b[:]) })
}

// spill writes the row values in memory to the file, as a sorted run.
func (c *rowValues) spill() error {
	c.sort()
	if c.file == nil {
		f, err := os.CreateTemp("", "dragoman-*")
		if err != nil {
			return fmt.Errorf("comparing rows: %w", err)
		}
		c.file = f
	}
	w := bufio.NewWriter(c.file)
	for i := range c.memory {
		if _, err := w.Write(c.memory[i][:]); err != nil {
			return fmt.Errorf("comparing rows: %w", err)
		}
	}
	c.runs = append(c.runs, int64(len(c.memory)))
	c.memory = c.memory[:0]
	if err := w.Flush(); err != nil {
		return fmt.Errorf("comparing rows: %w", err)
	}
	return nil
}

// repeated calls found for each row value that an earlier line had first, and forgets all row values.
func (c *rowValues) repeated(found func(again, first rowValue)) (err error) {
	defer func() { err = errors.Join(err, c.close()) }()
	c.sort()
	merged := mergedRuns{{memory: c.memory}}
	start := int64(0)
	for _, n := range c.runs {
		section := io.NewSectionReader(c.file, start*rowValueBytes, n*rowValueBytes)
		merged = append(merged, &run{rest: bufio.NewReaderSize(section, 1<<15)})
		start += n
	}
	kept := merged[:0]
	for _, r := range merged {
		ok, err := r.next()
		if err != nil {
			return err
		}
		if ok {
			kept = append(kept, r)
		}
	}
	merged = kept
	heap.Init(&merged)
	var first rowValue // all zero, which is no row value: lines begin with 1
	for len(merged) > 0 {
		now := merged[0].now
		if bytes.Equal(now[:16], first[:16]) && first != (rowValue{}) {
			found(now, first)
		} else {
			first = now
		}
		ok, err := merged[0].next()
		switch {
		case err != nil:
			return err
		case ok:
			heap.Fix(&merged, 0)
		default:
			heap.Pop(&merged)
		}
	}
	return nil
}

// close removes the file, if there is one.
func (c *rowValues) close() error {
	f := c.file
	*c = rowValues{limit: c.limit}
	if f == nil {
		return nil
	}
	if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		return fmt.Errorf("comparing rows: %w", err)
	}
	return nil
}

// run is a sorted run of row values, in memory or in the file.
type run struct {
	memory []rowValue
	rest   *bufio.Reader // nil for a run in memory
	now    rowValue
}

// next moves now to the next rowValue, and reports whether there is one.
func (r *run) next() (bool, error) {
	if r.rest == nil {
		if len(r.memory) == 0 {
			return false, nil
		}
		r.now, r.memory = r.memory[0], r.memory[1:]
		return true, nil
	}
	_, err := io.ReadFull(r.rest, r.now[:])
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("comparing rows: %w", err)
	}
	return true, nil
}

// mergedRuns is a heap of runs by their present row values.
type mergedRuns []*run

func (m mergedRuns) Len() int           { return len(m) }
func (m mergedRuns) Less(i, j int) bool { return bytes.Compare(m[i].now[:], m[j].now[:]) < 0 }
func (m mergedRuns) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }

// Push is for package heap.
func (m *mergedRuns) Push(r any) { *m = append(*m, r.(*run)) }

// Pop is for package heap.
func (m *mergedRuns) Pop() any {
	last := len(*m) - 1
	r := (*m)[last]
	*m = (*m)[:last]
	return r
}

// line returns the line of the value's row, and whether the row's username is its e-mail.
func (c rowValue) line() (line int64, namedByEmail bool) {
	last := binary.BigEndian.Uint64(c[16:])
	return int64(last >> 1), last&1 == 1 // #nosec G115 -- it was an int64
}
