// Package screen finds the lines of a file of users that an import would refuse, so that the others can be imported without them.
// It knows no vendor, and asks the import's own check.
package screen

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/userfile"
)

// Directory opens a directory in memory that has nothing but a customer, to check users of it against the directory's rules.
func Directory(ctx context.Context, customer store.Customer) (*store.Store, error) {
	key := make([]byte, 32)
	rand.Read(key)
	s, err := store.Open(ctx, store.Config{URL: store.InMemory, SecretKey: key})
	if err != nil {
		return nil, err
	}
	if err := s.CreateCustomer(ctx, &customer); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Problem is what is wrong with a line.
type Problem struct {
	Reasons []string
	Like    []Likeness
}

// Likeness says that the value of a column is that of an earlier line, with which nothing is wrong.
type Likeness struct {
	Column string
	First  int64
}

// Verdicts say what is wrong with each line of a file, as [Lines] has found it, when the file is gone through once more.
type Verdicts struct {
	bad   map[int64]Problem
	names map[int64]string // of the lines that others are like
	line  int64
}

// NewVerdicts returns the verdicts on a file, before its first line.
func NewVerdicts(bad map[int64]Problem) *Verdicts {
	v := &Verdicts{bad: bad, names: map[int64]string{}}
	for _, p := range bad {
		for _, l := range p.Like {
			v.names[l.First] = ""
		}
	}
	return v
}

// Next returns what is wrong with the next line; nothing if it can be imported. name says whose line it is, to whoever has the same values.
func (v *Verdicts) Next(name func() string) []string {
	v.line++
	if _, isFirst := v.names[v.line]; isFirst {
		v.names[v.line] = name()
	}
	p := v.bad[v.line]
	reasons := slices.Clone(p.Reasons)
	for _, l := range p.Like {
		reasons = append(reasons, fmt.Sprintf("%s is also that of %s, who comes before", l.Column, v.names[l.First]))
	}
	return reasons
}

// linesPerStep is how many lines are checked at a time.
const linesPerStep = 500

// Lines returns what is wrong with the lines of a file in NDJSON, by their numbers from 1, if it is imported into a directory that has no
// user. All other lines together can be imported. Of lines that have a value in common that must be unique, the first stays that has no
// other problem.
func Lines(ctx context.Context, file io.Reader, s *store.Store) (bad map[int64]Problem, err error) {
	into, err := s.NewImport(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, into.Close()) }()
	bad = map[int64]Problem{}
	refuse := func(line int64, reason string) {
		p := bad[line]
		p.Reasons = append(p.Reasons, reason)
		bad[line] = p
	}
	reader := userfile.NewReader(file, userfile.NDJSON, s.Catalogue())
	for ended := false; !ended; {
		var rows []store.ImportRow
		for len(rows) < linesPerStep && !ended {
			row, err := reader.Next()
			var wrong *userfile.LineError
			switch {
			case errors.Is(err, io.EOF):
				ended = true
			case errors.As(err, &wrong):
				for _, w := range wrong.Problems {
					refuse(wrong.Line, w.Column+" "+w.Reason)
				}
			case err != nil:
				return nil, err
			default:
				rows = append(rows, row)
			}
		}
		refused, err := into.Check(ctx, rows)
		if err != nil {
			return nil, err
		}
		for _, row := range refused {
			byEmail := isField(row.Errors, store.FieldEmail) && slices.ContainsFunc(rows, func(r store.ImportRow) bool { return r.Line == row.Line && r.User.Username == r.User.Email })
			for _, e := range row.Errors {
				if e.Field != store.FieldUsername || !byEmail { // else the e-mail says the same
					refuse(row.Line, userfile.ColumnOf(e.Field)+" "+e.Reason)
				}
			}
		}
	}
	var shared sharedValues
	if err := into.Repeated(shared.add); err != nil {
		return nil, err
	}
	shared.assign(bad)
	return bad, nil
}

func isField(errs store.FieldErrors, f store.Field) bool {
	return slices.ContainsFunc(errs, func(e store.FieldError) bool { return e.Field == f })
}

// sharedValue is a value that several lines have, which must be unique.
type sharedValue struct {
	field store.Field
	first int64 // the first line that has it
}

// sharedValues are the values that several lines have.
type sharedValues struct {
	of    map[int64][]sharedValue // by line
	owner map[sharedValue]int64   // the line that keeps it; 0: none yet
	// byEmail are lines whose username is their e-mail.
	byEmail map[int64]bool
}

func (s *sharedValues) add(r store.RepeatedValue) {
	if s.of == nil {
		s.of, s.owner, s.byEmail = map[int64][]sharedValue{}, map[sharedValue]int64{}, map[int64]bool{}
	}
	v := sharedValue{r.Field, r.First}
	if _, known := s.owner[v]; !known {
		s.owner[v] = 0
		s.of[r.First] = append(s.of[r.First], v)
	}
	s.of[r.Line] = append(s.of[r.Line], v)
	s.byEmail[r.Line] = r.NamedByEmail
}

// assign gives each value to the first line that has no problem, and adds the others to bad.
func (s *sharedValues) assign(bad map[int64]Problem) {
	for _, line := range slices.Sorted(maps.Keys(s.of)) {
		if _, refused := bad[line]; refused {
			continue
		}
		var p Problem
		for _, v := range s.of[line] {
			if first := s.owner[v]; first > 0 {
				p.Like = append(p.Like, Likeness{userfile.ColumnOf(v.field), first})
			}
		}
		if len(p.Like) == 0 {
			for _, v := range s.of[line] {
				s.owner[v] = line
			}
			continue
		}
		slices.SortFunc(p.Like, func(a, b Likeness) int { return cmp.Compare(a.First, b.First) })
		bad[line] = s.told(line, p)
	}
}

// told leaves out a username that says the same as the e-mail.
func (s *sharedValues) told(line int64, p Problem) Problem {
	email := userfile.ColumnOf(store.FieldEmail)
	if s.byEmail[line] && slices.ContainsFunc(p.Like, func(l Likeness) bool { return l.Column == email }) {
		username := userfile.ColumnOf(store.FieldUsername)
		p.Like = slices.DeleteFunc(p.Like, func(l Likeness) bool { return l.Column == username })
	}
	return p
}
