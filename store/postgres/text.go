package postgres

import (
	"strconv"
	"strings"
	"sync"
)

// maxTexts is how many texts are cached. A program has some dozens of statements.
const maxTexts = 256

// texts caches the text that Postgres is sent for each statement, by which pgx recognizes a statement that it has prepared.
type texts struct {
	mu   sync.RWMutex
	made map[string]string
}

// of returns the text for a statement with question marks.
func (t *texts) of(statement string) string {
	t.mu.RLock()
	text, found := t.made[statement]
	t.mu.RUnlock()
	if found {
		return text
	}
	text = numbered(statement)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.made == nil {
		t.made = map[string]string{}
	}
	if len(t.made) < maxTexts {
		t.made[statement] = text
	}
	return text
}

// numbered replaces the question marks of a statement by Postgres's parameters, the first by $1 and so on.
func numbered(text string) string {
	var b strings.Builder
	for i, part := range strings.Split(text, "?") {
		if i > 0 {
			b.WriteString("$" + strconv.Itoa(i))
		}
		b.WriteString(part)
	}
	return b.String()
}
