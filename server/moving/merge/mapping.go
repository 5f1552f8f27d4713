package merge

import (
	"bufio"
	"os"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// ReadMapping reads a mapping. Each line has the UUID of a user at Worth and the id of the same user at Testinium, separated by white space
// or a comma. Empty lines and lines that begin with # are ignored. The error is a *BadInput.
func ReadMapping(name string) (map[string]int64, error) {
	f, err := os.Open(name) // #nosec G304 -- the operator names the file
	if err != nil {
		return nil, &BadInput{name, 0, err.Error()}
	}
	defer f.Close()
	mapping, ids := map[string]int64{}, map[int64]bool{}
	s := bufio.NewScanner(f)
	for number := int64(1); s.Scan(); number++ {
		text := strings.TrimSpace(s.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		words := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
		if len(words) != 2 {
			return nil, &BadInput{name, number, "must be a UUID of Worth's and an id of Testinium's"}
		}
		u, err := uuid.Parse(words[0])
		if err != nil {
			return nil, &BadInput{name, number, "must begin with a UUID of Worth's"}
		}
		id, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil || id < 1 {
			return nil, &BadInput{name, number, "must end with an id of Testinium's"}
		}
		if _, twice := mapping[u.String()]; twice || ids[id] {
			return nil, &BadInput{name, number, "names a user whom an earlier line names"}
		}
		mapping[u.String()], ids[id] = id, true
	}
	if err := s.Err(); err != nil {
		return nil, &BadInput{name, 0, err.Error()}
	}
	return mapping, nil
}
