package compare

import "hash/maphash"

// ids are the ids of a list of users in its order, each once. A million UUIDs take about 70 MB.
type ids struct {
	text []byte // the ids, one after the other
	ends []int  // where each ends in text
	seed maphash.Seed
	// seen has a hash of each. Of a million ids two have the same in one of 37 million comparisons; the second is then left out.
	seen map[uint64]struct{}
}

func newIDs() *ids { return &ids{seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}} }

func (x *ids) add(id string) {
	hash := maphash.String(x.seed, id)
	if _, again := x.seen[hash]; again {
		return
	}
	x.seen[hash] = struct{}{}
	x.text = append(x.text, id...)
	x.ends = append(x.ends, len(x.text))
}

func (x *ids) len() int { return len(x.ends) }

func (x *ids) at(i int) string {
	begin := 0
	if i > 0 {
		begin = x.ends[i-1]
	}
	return string(x.text[begin:x.ends[i]])
}
