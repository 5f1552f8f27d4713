package directory

import (
	"encoding/json"
	"fmt"
)

const (
	// maxPageBytes is the maximum size of a page's body. Only a page with a single change may exceed it, and not by much, because
	// names have at most 255 characters and a subject fits into a token.
	maxPageBytes = 1 << 20

	// envelopeBytes is the maximum size of a body without its changes: {"changes":[],"next":-9223372036854775808} and a newline.
	envelopeBytes = 64

	// batchSize is how many changes are read at once. It is small so that few of them are discarded when a page reaches
	// maxPageBytes.
	batchSize = 50
)

// pageSource reads the changes of a page, of type F, and converts each to its form C in the response.
type pageSource[F, C any] struct {
	// read returns up to limit changes with positions greater than after. If it returns fewer, there are no more for now, and the
	// next page starts after the returned number or after the last change, whichever is higher.
	read     func(after int64, limit int) ([]F, int64, error)
	position func(F) int64 // ascending in the order of read
	show     func(F) C
}

// page returns up to limit changes with positions greater than after, and the position after which the next page starts. It returns
// as many as fit into maxPageBytes, but at least one if there is one.
func (s pageSource[F, C]) page(after int64, limit int) (shown []C, next int64, err error) {
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
