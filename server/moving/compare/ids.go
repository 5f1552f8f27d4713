package compare

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// id is the id of a user. There may be a million, so one that is a number or a UUID takes 24 bytes.
type id struct {
	key  [16]byte // the UUID, or eight zeros and the number; empty if there is a text
	text *string  // of an id that is neither; else nil
}

func newID(text string) (x id) {
	if n, err := strconv.ParseUint(text, 10, 64); err == nil && strconv.FormatUint(n, 10) == text {
		binary.BigEndian.PutUint64(x.key[8:], n)
		return x
	}
	if u, err := uuid.Parse(text); err == nil && !isNumber(u) && u.String() == text {
		return id{key: u}
	}
	odd := text // which alone is to be on the heap
	return id{text: &odd}
}

func isNumber(key [16]byte) bool { return [8]byte(key[:8]) == [8]byte{} }

// String returns the text that the id was made of.
func (x id) String() string {
	switch {
	case x.text != nil:
		return *x.text
	case isNumber(x.key):
		return strconv.FormatUint(binary.BigEndian.Uint64(x.key[8:]), 10)
	}
	return uuid.UUID(x.key).String()
}

func compareIDs(a, b id) int {
	switch {
	case a.text == nil && b.text == nil:
		return bytes.Compare(a.key[:], b.key[:])
	case a.text == nil:
		return -1
	case b.text == nil:
		return 1
	}
	return strings.Compare(*a.text, *b.text)
}

func sameID(a, b id) bool { return compareIDs(a, b) == 0 }

// sorted returns the ids in their order, each once.
func sorted(ids []id) []id {
	slices.SortFunc(ids, compareIDs)
	return slices.CompactFunc(ids, sameID)
}
