package directory

import (
	"encoding/json"
	"fmt"

	"github.com/dragoman-id/dragoman/store"
)

const (
	// maxPageBytes is the size of the body of a page at most. Only a page of a single change may have more: a change has names
	// of at most 255 characters and a subject that a token of 8 KiB had room for.
	maxPageBytes = 1 << 20

	// envelopeBytes is what a body has around its changes at most: {"changes":[],"next":-9223372036854775808} and a line's end.
	envelopeBytes = 64

	// batchSize is how many changes are read at once, so that a page which is cut has not read many in vain.
	batchSize = 50
)

// pageSource is where the changes of a page come from, and what an answer shows of each.
type pageSource[C any] struct {
	// read returns up to limit changes from the first above after. If it returns fewer, there are no more for now, and the
	// reader goes on after the number it returns or after the last change, whichever is higher.
	read     func(after int64, limit int) ([]store.UserChange, int64, error)
	position func(store.UserChange) int64 // ascending
	show     func(store.UserChange) C
}

// page returns up to limit changes above after, as many as maxPageBytes has room for but at least one if there is one, and the
// position to go on after. It returns no changes only where there are none.
func (s pageSource[C]) page(after int64, limit int) (shown []C, next int64, err error) {
	shown, next = []C{}, after
	for size := envelopeBytes; len(shown) < limit; {
		most := min(limit-len(shown), batchSize)
		batch, end, err := s.read(next, most)
		if err != nil {
			return nil, 0, err
		}
		for _, change := range batch {
			c := s.show(change)
			encoded, err := json.Marshal(c)
			if err != nil {
				return nil, 0, fmt.Errorf("encode a change: %w", err)
			}
			size += len(encoded) + len(",")
			if size > maxPageBytes && len(shown) > 0 {
				return shown, next, nil
			}
			shown, next = append(shown, c), s.position(change)
		}
		if len(batch) < most {
			return shown, max(next, end), nil
		}
	}
	return shown, next, nil
}
