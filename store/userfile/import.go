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
	"math"
	"slices"

	"github.com/dragoman-id/dragoman/store"
)

// MaxRefused is how many bad lines an import reports; it counts the others.
const MaxRefused = 1000

// Import adds the users of a file to the directory.
//
// It reads the file twice: to check every line and, if none is bad, to write. In memory it has some hundred lines at a time and, to
// find duplicates, about 30 bytes for every id, UUID, username and e-mail.
type Import struct {
	Store  *store.Store
	Format Format
	// DryRun checks and does not write.
	DryRun bool
	// Batch is how many users go into one transaction; 0 means all of them.
	Batch int
	// Refused is called with the first MaxRefused bad lines, in their order.
	Refused func(*LineError)
	// Progress is called now and then with the bytes read so far, and the bytes to be read in both readings together.
	Progress func(done, total int64)
}

// RefusedError: the file has lines that are bad. Nothing was written.
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

// StoppedError: the import began to write and did not finish. Lines after those it names are not in the directory.
type StoppedError struct {
	Users   int64 // how many are in
	Through int64 // the line of the last of them; 0: none is in
	// MaybeThrough is the line of the last user that may be in: the connection was lost before the commit of those after Through was
	// confirmed. 0: there is none.
	MaybeThrough int64
	Err          error // why; a *store.ImportError if it conflicts with another writer
}

func (e *StoppedError) Error() string {
	in := "nothing was imported"
	if e.Through > 0 {
		in = fmt.Sprintf("lines up to %d are in (%s), those after it are not", e.Through, counted(int(e.Users), "user"))
	}
	if e.MaybeThrough > 0 {
		in = fmt.Sprintf("lines up to %d are in (%s), those up to %d may be, those after it are not",
			e.Through, counted(int(e.Users), "user"), e.MaybeThrough)
	}
	if conflict := (*store.ImportError)(nil); errors.As(e.Err, &conflict) {
		// Import.Refused was called with what is wrong with it.
		return fmt.Sprintf("%s: line %d has become bad", in, conflict.Rows[0].Line)
	}
	if errors.Is(e.Err, context.Canceled) {
		return in + ": interrupted"
	}
	return fmt.Sprintf("%s: %v", in, e.Err)
}

// Unwrap returns why.
func (e *StoppedError) Unwrap() error { return e.Err }

// errChanged: the second reading of a file differs from the first.
var errChanged = errors.New("the file was changed while it was read")

// readAtOnce is how many lines are checked, or stored, in one step.
const readAtOnce = 500

// Run imports the source and returns how many users it has. The error is a *RefusedError if lines are bad, a *StoppedError if
// writing was not completed, or what reading or checking failed with; then nothing was written either.
func (i Import) Run(ctx context.Context, source *Source) (users int64, err error) {
	into, err := i.Store.NewImport(ctx)
	if err != nil {
		return 0, err
	}
	first := i.read(source, 0)
	users, err = i.check(ctx, into, first)
	if err != nil || i.DryRun {
		return users, err
	}
	return users, i.write(ctx, into, i.read(source, source.size), first.sum.Sum(nil))
}

// reading is one of the two readings of the source.
type reading struct {
	source *Source
	rows   *Reader
	sum    hash.Hash
	before int64 // how many bytes the reading before has read
	i      *Import
}

func (i *Import) read(source *Source, before int64) *reading {
	r := &reading{source: source, sum: sha256.New(), before: before, i: i}
	file := io.TeeReader(io.NewSectionReader(source.file, 0, source.size), r.sum)
	r.rows = NewReader(file, i.Format, i.Store.Catalogue())
	return r
}

// next returns the rows of the next lines, at most this many, and the errors of those that are malformed, which may have a row as well.
// Both are empty at the end of the file.
func (r *reading) next(ctx context.Context, most int) (rows []store.ImportRow, bad []*LineError, err error) {
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

// progress calls Import.Progress.
func (r *reading) progress() {
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
func (i *Import) check(ctx context.Context, into *store.Import, from *reading) (users int64, err error) {
	var refused int64
	for {
		rows, bad, err := from.next(ctx, readAtOnce)
		if err != nil {
			return 0, err
		}
		if len(rows)+len(bad) == 0 {
			break
		}
		users += int64(len(rows))
		wrong, err := into.Check(ctx, rows)
		if err != nil {
			return 0, err
		}
		refused = i.refuse(refused, merge(rows, bad, wrong))
		from.progress()
	}
	if refused > 0 {
		return 0, &RefusedError{refused}
	}
	return users, nil
}

// refuse reports bad lines, after as many as were refused before, and returns how many there are now.
func (i *Import) refuse(before int64, bad []*LineError) int64 {
	for _, line := range bad {
		if before++; before <= MaxRefused && i.Refused != nil {
			i.Refused(line)
		}
	}
	return before
}

// merge makes one list, by line, of malformed lines and of rows that the store refuses.
func merge(rows []store.ImportRow, bad []*LineError, wrong []store.RefusedRow) []*LineError {
	byLine := make(map[int64]*LineError)
	for _, line := range bad {
		byLine[line.Line] = line
	}
	made := make(map[int64]bool) // the lines whose username was made of the e-mail
	for _, row := range rows {
		made[row.Line] = row.User.Username == row.User.Email
	}
	for _, row := range wrong {
		line := byLine[row.Line]
		if line == nil {
			line = &LineError{Line: row.Line}
			bad = append(bad, line)
		}
		var more []Problem
		for _, e := range row.Errors {
			if p := (Problem{columnOf(e.Field), e.Reason}); !line.names(p.Column) {
				more = append(more, p)
			}
		}
		line.Problems = append(line.Problems, more...)
		if made[row.Line] && line.names("email") {
			// It is wrong for the same reason as the e-mail.
			line.Problems = slices.DeleteFunc(line.Problems, func(p Problem) bool { return p.Column == "username" && slices.Contains(more, p) })
		}
	}
	slices.SortFunc(bad, func(a, b *LineError) int { return cmp.Compare(a.Line, b.Line) })
	return bad
}

// names reports whether there is a problem with the column already.
func (e *LineError) names(column string) bool {
	return slices.ContainsFunc(e.Problems, func(p Problem) bool { return p.Column == column })
}

// write stores the rows of a second reading, which must have the checksum of the checked one.
func (i *Import) write(ctx context.Context, into *store.Import, from *reading, checked []byte) error {
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
			rows, bad, err := from.next(ctx, min(readAtOnce, most-users))
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
				i.refuse(0, merge(latest, nil, conflict.Rows))
			}
			return in
		}
		if users > 0 {
			in.Users, in.Through = in.Users+int64(users), last
		}
	}
	return nil
}
