// Package ledger keeps a list of erased users in a file outside the database, so that they can be erased again after the database was
// restored from a backup. A line is the UUID of a user and a time, and nothing else. The package knows neither the model nor the database.
package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Entry is a line of a ledger.
type Entry struct {
	UUID uuid.UUID
	At   time.Time // when the user's erasure began
}

// Ledger is a ledger's file, which need not exist yet. Several programs, on several machines, may use it at once, as long as its file
// system has locks for files.
type Ledger struct{ path string }

// At returns the ledger at path.
func At(path string) *Ledger { return &Ledger{path} }

// Path returns the path of the file.
func (l *Ledger) Path() string { return l.path }

// timeLayout is RFC 3339 with milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// lineBytes is the length of a line: a UUID, a space, a time in UTC, and a line feed.
const lineBytes = 36 + 1 + 24 + 1

// Append adds entries, and returns when they are on disk. It creates the file, readable by its owner only, if there is none. The error is
// [ErrDamaged], and the file is left as it is, if something other than entries is in it.
func (l *Ledger) Append(ctx context.Context, added ...Entry) (err error) {
	created, f, err := l.open()
	if err != nil {
		return fmt.Errorf("erasure ledger: %w", err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = fmt.Errorf("erasure ledger %s: %w", l.path, err)
		}
	}()
	unlock, err := lock(ctx, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	text, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	if _, err := entries(text); err != nil {
		return err
	}
	end := int64(len(text))
	var lines []byte
	rest := text[end-end%lineBytes:]
	if _, ok := unterminated(rest); ok {
		lines = append(lines, '\n')
	} else {
		// What remains of an entry that was not written completely belongs to an erasure that did not take place.
		end -= int64(len(rest))
	}
	if err := f.Truncate(end); err != nil {
		return err
	}
	for _, e := range added {
		lines = fmt.Appendf(lines, "%s %s\n", e.UUID, e.At.UTC().Format(timeLayout))
	}
	if _, err := f.WriteAt(lines, end); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if created {
		return syncDirectory(filepath.Dir(l.path))
	}
	return nil
}

func (l *Ledger) open() (created bool, f *os.File, err error) {
	if err := l.checkRegular(); err != nil {
		return false, nil, err
	}
	f, err = os.OpenFile(l.path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = os.OpenFile(l.path, os.O_RDWR|os.O_CREATE, 0o600)
		return true, f, err
	}
	return false, f, err
}

// checkRegular returns an error if there is something that is not a regular file: opening a pipe would wait for its other end.
func (l *Ledger) checkRegular() error {
	if info, err := os.Stat(l.path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file: name another path", l.path)
	}
	return nil
}

func syncDirectory(path string) error {
	directory, err := os.Open(path) // #nosec G304 -- that of a file that the operator names
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}

// CheckWritable returns an error unless Append could write to the file. It creates the file if there is none.
func (l *Ledger) CheckWritable() error {
	_, f, err := l.open()
	if err != nil {
		return fmt.Errorf("erasure ledger: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("erasure ledger: %w", err)
	}
	_, err = l.Entries()
	return err
}

// ErrDamaged reports that a file is not a ledger, or was altered.
var ErrDamaged = errors.New("it is no erasure ledger, or was altered: name another file, or put a good copy in its place")

// Entries returns all entries, in their order; none if there is no file. It ignores the remains of an entry that was not written
// completely. The error is [ErrDamaged] if something else is in the file.
func (l *Ledger) Entries() ([]Entry, error) {
	if err := l.checkRegular(); err != nil {
		return nil, fmt.Errorf("erasure ledger: %w", err)
	}
	text, err := os.ReadFile(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("erasure ledger: %w", err)
	}
	all, err := entries(text)
	if err != nil {
		return nil, fmt.Errorf("erasure ledger %s, %w", l.path, err)
	}
	return all, nil
}

func entries(text []byte) (all []Entry, err error) {
	number := 1
	for ; len(text) >= lineBytes; number++ {
		line := text[:lineBytes]
		text = text[lineBytes:]
		if bytes.Equal(line, unwritten) {
			continue
		}
		e, err := parse(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		all = append(all, e)
	}
	if e, ok := unterminated(text); ok {
		return append(all, e), nil
	}
	if len(bytes.Trim(text, "\x000123456789abcdef-:.TZ ")) > 0 {
		return nil, fmt.Errorf("line %d: %w", number, ErrDamaged)
	}
	return all, nil
}

// unterminated returns the entry that the rest of a file is, if only its line feed is missing, as an editor or a copy may have left it.
func unterminated(rest []byte) (e Entry, ok bool) {
	if len(rest) != lineBytes-1 {
		return Entry{}, false
	}
	e, err := parse(append(slices.Clip(rest), '\n'))
	return e, err == nil
}

// unwritten is what some file systems leave of a line that was not yet on disk when the machine failed.
var unwritten = make([]byte, lineBytes)

func parse(line []byte) (Entry, error) {
	id, at, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
	var e Entry
	var err error
	if e.UUID, err = uuid.ParseBytes(id); err != nil || len(id) != 36 {
		return Entry{}, ErrDamaged
	}
	if e.At, err = time.Parse(timeLayout, string(at)); err != nil || line[len(line)-1] != '\n' {
		return Entry{}, ErrDamaged
	}
	return e, nil
}
