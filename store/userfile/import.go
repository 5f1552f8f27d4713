package userfile

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"math"
	"slices"

	"github.com/dragoman-id/dragoman/store"
)

// MaxRefused is the maximum number of bad lines that an import reports. Further ones are only counted.
const MaxRefused = 1000

// Import adds the users of a file to the directory.
//
// It reads the file twice: first to check every line and then, if none is bad, to write. It holds up to 500 lines in memory at a time,
// and, to find duplicates among more than a hundred thousand lines, about 100 bytes for each in a temporary file.
type Import struct {
	Store  *store.Store
	Format Format
	// DryRun means that the file is checked and nothing is written.
	DryRun bool
	// Batch is the maximum number of users in a transaction. 0 means that one transaction writes all users.
	Batch int
	// Refused is called for each of the first MaxRefused bad lines, in ascending order, once all are checked.
	Refused func(*LineError)
	// Progress is called periodically with the number of bytes read so far, and the total of both passes over the file.
	Progress func(done, total int64)
}

// RefusedError reports that a file has bad lines. Nothing was written.
type RefusedError struct {
	Lines int64
}

func (e *RefusedError) Error() string {
	if e.Lines == 1 {
		return "1 line is bad: nothing was imported"
	}
	if e.Lines > MaxRefused {
		return fmt.Sprintf("%d lines are bad, the first %d are named: nothing was imported", e.Lines, MaxRefused)
	}
	return fmt.Sprintf("%d lines are bad: nothing was imported", e.Lines)
}

// StoppedError reports that an import began to write and failed. Only users up to the lines that it names can be in the directory.
type StoppedError struct {
	Users   int64 // the number of users that were imported
	Through int64 // the line of the last of them; 0 if there is none
	// MaybeThrough is the line of the last user that may have been imported, or 0. It is set if the connection was lost before the
	// commit of the users after Through was confirmed.
	MaybeThrough int64
	Err          error // the cause; a *store.ImportError for a conflict with another writer
}

func (e *StoppedError) Error() string {
	in := "nothing was imported"
	if e.Through > 0 {
		in = fmt.Sprintf("lines up to %d were imported (%s), later lines were not", e.Through, counted(int(e.Users), "user"))
	}
	if e.MaybeThrough > 0 {
		in = fmt.Sprintf("lines up to %d were imported (%s), lines up to %d may have been, later lines were not",
			e.Through, counted(int(e.Users), "user"), e.MaybeThrough)
	}
	if conflict := (*store.ImportError)(nil); errors.As(e.Err, &conflict) {
		// Import.Refused has been called with the line's problems.
		return fmt.Sprintf("%s: line %d has become bad", in, conflict.Rows[0].Line)
	}
	if errors.Is(e.Err, context.Canceled) {
		return in + ": interrupted"
	}
	return fmt.Sprintf("%s: %v", in, e.Err)
}

// Unwrap returns the cause.
func (e *StoppedError) Unwrap() error { return e.Err }

// errChanged reports that the second pass over a file read other content than the first.
var errChanged = errors.New("the file was changed while it was read")

// linesPerStep is the maximum number of lines that are checked or written in one step.
const linesPerStep = 500

// Run imports the source and returns how many users it contains. It returns a *RefusedError if lines are bad, and a *StoppedError
// if writing failed. After any other error, of reading or checking, nothing was written.
func (i Import) Run(ctx context.Context, source *Source) (users int64, err error) {
	into, err := i.Store.NewImport(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, into.Close()) }()
	first := i.startPass(source, 0)
	users, err = i.check(ctx, into, first)
	if err != nil || i.DryRun {
		return users, err
	}
	return users, i.write(ctx, into, i.startPass(source, source.size), first.sum.Sum(nil))
}

// pass is one of the two passes over the source.
type pass struct {
	source *Source
	rows   *Reader
	sum    hash.Hash
	before int64 // the number of bytes that the previous pass read
	i      *Import
}

func (i *Import) startPass(source *Source, before int64) *pass {
	r := &pass{source: source, sum: sha256.New(), before: before, i: i}
	file := io.TeeReader(io.NewSectionReader(source.file, 0, source.size), r.sum)
	r.rows = NewReader(file, i.Format, i.Store.Catalogue())
	return r
}

// next returns the rows of at most most further lines, and the errors of malformed lines, which may also have a row. Both are empty
// at the end of the file.
func (r *pass) next(ctx context.Context, most int) (rows []store.ImportRow, bad []*LineError, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	for n := 0; n < most; n++ {
		row, err := r.rows.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if line := (*LineError)(nil); errors.As(err, &line) {
			bad = append(bad, line)
		} else if err != nil {
			return nil, nil, err
		}
		if row.Line > 0 {
			rows = append(rows, row)
		}
	}
	return rows, bad, nil
}

// progress reports the bytes read to Import.Progress.
func (r *pass) progress() {
	if r.i.Progress == nil {
		return
	}
	total := r.source.size
	if !r.i.DryRun {
		total *= 2
	}
	r.i.Progress(r.before+r.rows.lines.read, total)
}

// check reads every line and returns how many users there are.
func (i *Import) check(ctx context.Context, into *store.Import, from *pass) (users int64, err error) {
	var bad badLines
	for {
		rows, malformed, err := from.next(ctx, linesPerStep)
		if err != nil {
			return 0, err
		}
		if len(rows)+len(malformed) == 0 {
			break
		}
		users += int64(len(rows))
		wrong, err := into.Check(ctx, rows)
		if err != nil {
			return 0, err
		}
		for _, line := range merge(rows, malformed, wrong) {
			bad.add(line)
		}
		from.progress()
	}
	if err := into.Repeated(bad.addRepeated); err != nil {
		return 0, err
	}
	if bad.count > 0 {
		i.refuse(bad.first())
		return 0, &RefusedError{bad.count}
	}
	return users, nil
}

// refuse reports bad lines to Import.Refused.
func (i *Import) refuse(bad []*LineError) {
	for _, line := range bad {
		if i.Refused != nil {
			i.Refused(line)
		}
	}
}

// badLines collects bad lines. It counts all of them, and keeps the first MaxRefused.
type badLines struct {
	count  int64
	seen   []uint64 // a bit for each line
	kept   map[int64]*LineError
	beyond int64 // lines from this one on are not kept; 0 if all are
}

// line returns what is kept of a line, or nil if it is not to be kept. It counts the line.
func (b *badLines) line(number int64) *LineError {
	word, bit := number/64, uint64(1)<<(number%64)
	for int64(len(b.seen)) <= word {
		b.seen = append(b.seen, 0)
	}
	if b.seen[word]&bit == 0 {
		b.seen[word] |= bit
		b.count++
	}
	if b.beyond > 0 && number >= b.beyond {
		return nil
	}
	if b.kept == nil {
		b.kept = make(map[int64]*LineError)
	}
	if b.kept[number] == nil {
		b.kept[number] = &LineError{Line: number}
		if len(b.kept) > 2*MaxRefused {
			b.forgetLast()
		}
	}
	return b.kept[number] // nil if it was just forgotten
}

// forgetLast keeps no more than the first MaxRefused lines.
func (b *badLines) forgetLast() {
	lines := slices.Sorted(maps.Keys(b.kept))
	b.beyond = lines[MaxRefused]
	for _, number := range lines[MaxRefused:] {
		delete(b.kept, number)
	}
}

func (b *badLines) add(e *LineError) {
	if line := b.line(e.Line); line != nil {
		line.Problems = append(line.Problems, e.Problems...)
	}
}

func (b *badLines) addRepeated(r store.RepeatedValue) {
	line, column := b.line(r.Line), ColumnOf(r.Field)
	if line == nil || line.names(column) {
		return
	}
	if r.NamedByEmail && r.Field == store.FieldUsername && line.names("email") {
		return // the e-mail's problem is the same
	}
	if r.NamedByEmail && r.Field == store.FieldEmail {
		line.Problems = slices.DeleteFunc(line.Problems, func(p Problem) bool { return p.Column == "username" && p.Reason == r.Reason() })
	}
	line.Problems = append(line.Problems, Problem{column, r.Reason()})
}

// first returns the first MaxRefused lines.
func (b *badLines) first() []*LineError {
	lines := slices.Sorted(maps.Keys(b.kept))
	lines = lines[:min(len(lines), MaxRefused)]
	bad := make([]*LineError, len(lines))
	for i, number := range lines {
		bad[i] = b.kept[number]
	}
	return bad
}

// merge returns one list, sorted by line, of the malformed lines in bad and the rows in wrong, which the store refuses.
func merge(rows []store.ImportRow, bad []*LineError, wrong []store.RefusedRow) []*LineError {
	byLine := make(map[int64]*LineError)
	for _, line := range bad {
		byLine[line.Line] = line
	}
	sameName := make(map[int64]bool) // the lines whose username is the e-mail, usually by default
	for _, row := range rows {
		sameName[row.Line] = row.User.Username == row.User.Email
	}
	for _, row := range wrong {
		line := byLine[row.Line]
		if line == nil {
			line = &LineError{Line: row.Line}
			bad = append(bad, line)
		}
		var more []Problem
		for _, e := range row.Errors {
			if p := (Problem{ColumnOf(e.Field), e.Reason}); !line.names(p.Column) {
				more = append(more, p)
			}
		}
		line.Problems = append(line.Problems, more...)
		if sameName[row.Line] && line.names("email") {
			// The username has the same problem as the e-mail, which is already reported.
			line.Problems = slices.DeleteFunc(line.Problems, func(p Problem) bool { return p.Column == "username" && slices.Contains(more, p) })
		}
	}
	slices.SortFunc(bad, func(a, b *LineError) int { return cmp.Compare(a.Line, b.Line) })
	return bad
}

// names reports whether e contains a problem with the column.
func (e *LineError) names(column string) bool {
	return slices.ContainsFunc(e.Problems, func(p Problem) bool { return p.Column == column })
}

// write writes the rows of the second pass. It returns an error if the pass does not read the content with the checksum checked.
func (i *Import) write(ctx context.Context, into *store.Import, from *pass, checked []byte) error {
	most := i.Batch
	if most <= 0 {
		most = math.MaxInt
	}
	in := &StoppedError{}
	for ended := false; !ended; {
		var users int
		var last int64
		var latest []store.ImportRow
		complete := false
		err := into.Write(ctx, func() ([]store.ImportRow, error) {
			if users == most {
				complete = true
				return nil, io.EOF
			}
			rows, bad, err := from.next(ctx, min(linesPerStep, most-users))
			if err != nil {
				return nil, err
			}
			if len(rows) == 0 || len(bad) > 0 {
				if ended, complete = true, true; len(bad) > 0 || !bytes.Equal(from.sum.Sum(nil), checked) {
					return nil, errChanged
				}
				return nil, io.EOF
			}
			from.progress()
			users, last, latest = users+len(rows), rows[len(rows)-1].Line, rows
			return rows, nil
		})
		if err != nil {
			if complete && errors.Is(err, store.ErrUnavailable) {
				in.MaybeThrough = last
			}
			in.Err = err
			if conflict := (*store.ImportError)(nil); errors.As(err, &conflict) {
				i.refuse(merge(latest, nil, conflict.Rows))
			}
			return in
		}
		if users > 0 {
			in.Users, in.Through = in.Users+int64(users), last
		}
	}
	return nil
}
