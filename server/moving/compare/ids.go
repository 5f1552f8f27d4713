package compare

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"

	"github.com/google/uuid"
)

// id is the id of a user. There may be a million, so one that is a number or a UUID is not kept as text.
type id struct {
	number int64
	uuid   uuid.UUID
	text   string // of an id that is neither; else empty
}

func newID(text string) id {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && strconv.FormatInt(n, 10) == text {
		return id{number: n}
	}
	if u, err := uuid.Parse(text); err == nil && u != uuid.Nil && u.String() == text {
		return id{uuid: u}
	}
	return id{text: text}
}

// String returns the text that the id was made of.
func (x id) String() string {
	switch {
	case x.text != "":
		return x.text
	case x.uuid != uuid.Nil:
		return x.uuid.String()
	}
	return strconv.FormatInt(x.number, 10)
}

func compareIDs(a, b id) int {
	return cmp.Or(cmp.Compare(a.number, b.number), bytes.Compare(a.uuid[:], b.uuid[:]), cmp.Compare(a.text, b.text))
}

// sorted returns the ids in their order, each once.
func sorted(ids []id) []id {
	slices.SortFunc(ids, compareIDs)
	return slices.Compact(ids)
}
