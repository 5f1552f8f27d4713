package shadow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/dragoman-id/dragoman/server/description"
)

// markCreated notes a user who was created at the source, whom the target does not have.
func (s *Shadow) markCreated(c *call) {
	text, err := decode(c.source.Header, &c.answer)
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var body any
	if err == nil && c.answer.err == nil && d.Decode(&body) == nil {
		for _, path := range []string{"data.user_id", "id"} {
			for _, id := range description.At(body, path) {
				s.writes.created(fmt.Sprint(id))
				return
			}
		}
	}
	s.writes.created("")
}

// writes are the users that the source was seen writing.
type writes struct {
	mu    sync.Mutex
	users map[string]int
	all   int // how many writes there were
	// full is whether too many users to remember were written, so that any may be, and unknown whether one was created whose id the answer
	// did not tell.
	full, unknown bool
}

// maxWritten bounds the users that are remembered.
const maxWritten = 1 << 20

func (w *writes) begin(user string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all++
	w.note(user)
}

func (w *writes) note(user string) {
	if len(w.users) >= maxWritten {
		w.full = true
		return
	}
	w.users[user]++
}

// created notes the user that a write has created; empty: the answer did not tell.
func (w *writes) created(user string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if user == "" {
		w.unknown = true
		return
	}
	w.note(strings.ToLower(user))
}

// mayHaveCreated reports whether a user whom the target does not have may have been created at the source.
func (w *writes) mayHaveCreated() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.unknown
}

func (w *writes) failed(user string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all--
	if w.users[user]--; w.users[user] <= 0 {
		delete(w.users, user)
	}
}

// since reports whether the user of a call was written, other than by the call itself.
func (w *writes) since(c *call) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return c.user != "" && (w.full || w.users[c.user] > c.own())
}

// others reports whether the source was written, other than by a call itself.
func (w *writes) others(c *call) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all > c.own()
}

// own is how many writes a call itself is.
func (c *call) own() int {
	if c.writes() && !c.refused() {
		return 1
	}
	return 0
}
