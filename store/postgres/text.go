package postgres

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/dragoman-id/dragoman/store/engine"
)

// maxTexts is how many texts are cached. A program has some dozens of statements.
const maxTexts = 256

// texts combines the statements of a step into one statement for Postgres, and caches its text, by which pgx recognizes a statement
// that it has prepared.
type texts struct {
	mu   sync.RWMutex
	made map[string]string
}

func (t *texts) of(statements ...engine.SQL) string {
	var buffer [2048]byte // on the stack
	key := buffer[:0]
	for _, s := range statements {
		key = append(append(key, s.Text...), 0)
	}
	t.mu.RLock()
	text, found := t.made[string(key)]
	t.mu.RUnlock()
	if found {
		return text
	}
	text = compose(statements)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.made == nil {
		t.made = map[string]string{}
	}
	if len(t.made) < maxTexts {
		t.made[string(key)] = text
	}
	return text
}

// compose combines the statements of a step into one: those after the first insert a row for each row that the first changed. So a step
// is one round trip, and needs no explicit transaction.
func compose(statements []engine.SQL) string {
	last := len(statements) - 1
	if last == 0 {
		return numbered(statements[0].Text)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "WITH changed AS (%s RETURNING 1)", statements[0].Text)
	for i, s := range statements[1:last] {
		fmt.Fprintf(&b, ", inserted%d AS (%s FROM changed)", i, s.Text)
	}
	fmt.Fprintf(&b, " %s FROM changed", statements[last].Text)
	return numbered(b.String())
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
