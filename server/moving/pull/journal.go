package pull

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"

	"github.com/dragoman-id/dragoman/server/moving/source"
	"github.com/dragoman-id/dragoman/store/userfile"
)

// header is the first line of a journal.
type header struct {
	Version  int    `json:"#pull"`
	Dialect  string `json:"dialect"`
	Source   string `json:"source"`
	Customer string `json:"customer"`
	PageSize int64  `json:"page_size"`
}

// state is how far the reading has come. Each line of it covers everything above.
type state struct {
	Pass  uint32 `json:"#pass"` // the number of the present reading of the list, from 0
	Page  int64  `json:"page"`  // of the present pass, the last page that was read
	Total int64  `json:"total"` // as the last page said; of a list without pages, the number of its elements
	// Whole says that a pass has come to the end of the list: the journal has the users of the last such pass, and those added since.
	Whole bool `json:"whole,omitempty"`
	// Changed says that the present pass has found a user whom the last whole one has not.
	Changed bool `json:"changed,omitempty"`
	Done    bool `json:"done"`
}

// position is the line above a user, and says where the source has it.
type position struct {
	At string `json:"#at"`
	// Key and Reason are those of a record that cannot be converted; else no user follows.
	Key    string `json:"user,omitempty"`
	Reason string `json:"refused,omitempty"`
}

// departure says that a user who was added above is no longer in the list.
type departure struct {
	Key []byte `json:"#gone"` // as [seenKey] makes it
}

// Meta lines begin so; users have no such member.
var meta = []byte(`{"#`)

// journal is an open journal. Of each user that it has, it keeps a hash of the id in memory, and nothing else.
type journal struct {
	name   string // empty: it has none, and cannot be resumed
	file   *os.File
	w      *bufio.Writer
	header int64 // the size of the header
	state  state
	seen   map[[16]byte]uint32 // every user that was seen, and the last pass in which that was
	gone   map[[16]byte]int    // how often a user was added and has gone
	inPass int64               // the number of users that were seen in the present pass
}

// openJournal creates a journal, or opens one to go on with it. Without a name it is a file that is removed when it is closed.
func openJournal(name string, head header, resume bool) (*journal, error) {
	first, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	first = append(first, '\n')
	j := &journal{name: name, seen: map[[16]byte]uint32{}, gone: map[[16]byte]int{}, header: int64(len(first))}
	if name == "" {
		if j.file, err = os.CreateTemp("", "dragoman-pull-*"); err != nil {
			return nil, fmt.Errorf("keeping what was read: %w", err)
		}
		if err := os.Remove(j.file.Name()); err != nil {
			j.name = j.file.Name() // the system does not let go of open files
		}
	} else {
		flags := os.O_RDWR | os.O_CREATE
		if !resume {
			flags |= os.O_EXCL
		}
		if j.file, err = os.OpenFile(name, flags, 0o600); err != nil { // #nosec G304 -- the operator names the file
			return nil, fmt.Errorf("opening the journal: %w", err)
		}
	}
	if err := j.recover(first); err != nil {
		return nil, errors.Join(err, j.file.Close())
	}
	return j, nil
}

// recover reads what an earlier pull has left and cuts off what no state covers.
func (j *journal) recover(first []byte) error {
	r := bufio.NewReader(j.file)
	line, err := r.ReadBytes('\n')
	switch {
	case errors.Is(err, io.EOF): // it is new, or was interrupted before it had begun
		if err := j.file.Truncate(0); err != nil {
			return fmt.Errorf("beginning the journal: %w", err)
		}
		if _, err := j.file.WriteAt(first, 0); err != nil {
			return fmt.Errorf("beginning the journal: %w", err)
		}
		return j.writeFrom(j.header)
	case err != nil:
		return fmt.Errorf("reading the journal: %w", err)
	case !bytes.Equal(line, first):
		return ErrOtherJournal
	}
	size, end := j.header, j.header
	var added, departed [][16]byte
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			j.inPass = j.people()
			if j.state.Pass > 0 && !j.state.Done {
				j.beginPass() // who was seen again in it is not written down
			}
			return j.writeFrom(end)
		}
		if err != nil {
			return fmt.Errorf("reading the journal: %w", err)
		}
		size += int64(len(line))
		var at position
		var gone departure
		var s state
		switch {
		case !bytes.HasPrefix(line, meta):
			added = append(added, seenKey(entry{line: line}.key()))
		case json.Unmarshal(line, &at) == nil && at.At != "":
			if at.Reason != "" {
				added = append(added, seenKey(at.Key))
			}
		case json.Unmarshal(line, &gone) == nil && len(gone.Key) == len([16]byte{}):
			departed = append(departed, [16]byte(gone.Key))
		case json.Unmarshal(line, &s) == nil:
			for _, key := range added {
				j.seen[key] = s.Pass
			}
			for _, key := range departed { // they stand behind all who were added
				delete(j.seen, key)
				j.gone[key]++
			}
			added, departed, end, j.state = added[:0], departed[:0], size, s
		}
	}
}

// writeFrom cuts the journal and goes on writing there.
func (j *journal) writeFrom(size int64) error {
	if err := j.file.Truncate(size); err != nil {
		return fmt.Errorf("cutting the journal: %w", err)
	}
	if _, err := j.file.Seek(size, io.SeekStart); err != nil {
		return fmt.Errorf("going on with the journal: %w", err)
	}
	j.w = bufio.NewWriterSize(j.file, 1<<16)
	return nil
}

// beginPass begins to read the list anew.
func (j *journal) beginPass() {
	j.state.Pass++
	j.state.Page, j.inPass = 0, 0
}

// endPass ends a pass at the end of the list. The reading is done if the pass has found the same users as the last whole one, and each once.
// Those who have gone since are marked.
func (j *journal) endPass() error {
	agrees := j.state.Whole && !j.state.Changed && j.inPass == j.state.Total
	for key, pass := range j.seen {
		if pass == j.state.Pass {
			continue
		}
		agrees = false
		delete(j.seen, key)
		j.gone[key]++
		if err := j.line(departure{key[:]}); err != nil {
			return fmt.Errorf("writing the journal: %w", err)
		}
	}
	j.state.Whole, j.state.Changed, j.state.Done = true, false, agrees
	if !agrees {
		j.beginPass()
	}
	return j.commit()
}

func seenKey(key string) [16]byte {
	sum := sha256.Sum256([]byte(key))
	return [16]byte(sum[:16])
}

// people returns the number of users that were seen, with those that cannot be converted.
func (j *journal) people() int64 { return int64(len(j.seen)) }

// add adds a user, or a record that could not be converted. It ignores one that was seen before.
func (j *journal) add(p source.Person, err error, at string) error {
	where := position{At: at}
	var wrong *source.DecodeError
	switch {
	case errors.As(err, &wrong):
		where.Key, where.Reason = wrong.Key, wrong.Reason
	case err != nil:
		return err
	default:
		where.Key = p.Key
	}
	key := seenKey(where.Key)
	pass, again := j.seen[key]
	if !again || pass != j.state.Pass {
		j.inPass++
	}
	j.seen[key] = j.state.Pass
	if again {
		return nil
	}
	j.state.Changed = j.state.Changed || j.state.Whole
	if where.Reason == "" {
		where.Key = ""
	}
	if err := j.line(where); err != nil || where.Reason != "" {
		return err
	}
	return userfile.WriteColumns(j.w, p.Columns)
}

func (j *journal) line(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = j.w.Write(append(text, '\n'))
	return err
}

// commit makes what was added durable.
func (j *journal) commit() error {
	if err := j.line(j.state); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	if err := errors.Join(j.w.Flush(), j.file.Sync()); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	return nil
}

func (j *journal) close() error { return j.file.Close() }

func (j *journal) remove() error {
	if j.name == "" {
		return nil
	}
	if err := os.Remove(j.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the journal: %w", err)
	}
	return nil
}

// entry is a user of a journal, or a record that could not be converted.
type entry struct {
	at      string
	line    []byte // of the file; valid for a moment
	refused *Refused
}

// each calls f with every entry of those who have not gone.
func (j *journal) each(f func(entry) error) error {
	gone := maps.Clone(j.gone)
	if _, err := j.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("reading the journal: %w", err)
	}
	at := ""
	for r := bufio.NewReaderSize(j.file, 1<<16); ; {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the journal: %w", err)
		}
		var e entry
		var where position
		switch {
		case !bytes.HasPrefix(line, meta):
			e = entry{at: at, line: line}
		case json.Unmarshal(line, &where) == nil && where.Reason != "":
			e.refused = &Refused{where.At, where.Key, where.Reason}
		default:
			at = where.At
			continue
		}
		if len(gone) > 0 {
			if key := seenKey(e.key()); gone[key] > 0 {
				gone[key]--
				continue
			}
		}
		if err := f(e); err != nil {
			return err
		}
	}
}

// users returns a reader of the lines of users.
func (j *journal) users() (io.ReadCloser, error) {
	r, w := io.Pipe()
	go func() {
		w.CloseWithError(j.each(func(e entry) error {
			if e.refused != nil {
				return nil
			}
			_, err := w.Write(e.line)
			return err
		}))
	}()
	return r, nil
}
