// Package pull copies the users of a vendor's customer into a file that `dragoman import` takes, with the ids that the vendor gave them.
//
// The users read so far are kept in a journal beside the file, without secrets, so that an interrupted pull can be resumed. The journal
// contains the lines of the file, and between them lines that record the progress. The file is created once everything was read and
// checked. Users that the directory's rules do not allow are reported and left out.
//
// The package knows neither HTTP, which is left to package source, nor the database.
package pull

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/server/moving/screen"
	"github.com/dragoman-id/dragoman/server/moving/source"
	"github.com/dragoman-id/dragoman/store"
)

// Pull is one pull.
type Pull struct {
	Client   *source.Client
	Dialect  string // worth or testinium
	Source   string // the URL, to recognize the journal by
	Customer string // as the dialect writes it
	// PageSize is the number of users on a page, where there are pages.
	PageSize int64
	// Journal is the file with what was read so far. Resume continues with one that exists; without it one must not exist.
	Journal string
	Resume  bool
	// Refused is called for each user that the directory's rules do not allow, when everything was read.
	Refused func(Refused)
	// Progress is called with the number of users read, and of all as far as that is known; else -1.
	Progress func(users, total int64)
	// Notice is called with what a person who waits should know.
	Notice func(string)
}

// Refused is a user that cannot be imported.
type Refused struct {
	At     string // such as "page 3, record 7"
	User   string // the id at the source
	Reason string
}

func (r Refused) String() string { return fmt.Sprintf("%s, user %s: %s", r.At, r.User, r.Reason) }

// Result counts the users of a pull.
type Result struct{ Written, Refused int64 }

// The errors of a pull that its caller can mend.
var (
	ErrJournalExists = errors.New("an interrupted pull has left its journal")
	ErrOtherJournal  = errors.New("the journal is that of another pull")
)

// Run reads the users and writes the file by write, which is called once and is given a function that writes the file's content. The
// journal is removed at the end.
func (p *Pull) Run(ctx context.Context, write func(func(io.Writer) error) error) (result Result, err error) {
	roles, err := openScratch(ctx, p.Dialect, p.Customer)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, roles.Close()) }()
	j, err := p.open()
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	if err := p.read(ctx, j, roles.Catalogue()); err != nil {
		return result, err
	}
	j.seen = nil // a million are some 40 MB
	bad, err := j.check(ctx, roles)
	if err != nil {
		return result, err
	}
	err = write(func(w io.Writer) error {
		result, err = j.copy(ctx, w, bad, p.Refused)
		return err
	})
	if err != nil {
		return result, err
	}
	return result, j.remove()
}

// openScratch opens a directory in memory that has nothing but the customer.
func openScratch(ctx context.Context, dialect, customer string) (*store.Store, error) {
	row := store.Customer{Name: "the source's"}
	var err error
	if dialect == "worth" {
		row.UUID, err = uuid.Parse(customer)
	} else {
		row.ID, err = strconv.ParseInt(customer, 10, 64)
	}
	if err != nil {
		return nil, fmt.Errorf("%s writes a customer otherwise than %s: see --customer", dialect, store.Excerpt(customer))
	}
	s, err := screen.Directory(ctx, row)
	if err != nil {
		return nil, fmt.Errorf("checking --customer: %w", err)
	}
	return s, nil
}

// read reads the list until two passes in a row have found the same users. One is not enough: if a user is removed and another one added
// while it is read, the total stays, and somebody moves to a page that had been read. The error is source.ErrListChanges if no two agree.
func (p *Pull) read(ctx context.Context, j *journal, roles *store.Catalogue) error {
	pass := p.readPages
	if p.Dialect == "testinium" {
		pass = p.readList
	}
	for n := 0; !j.state.Done; n++ {
		if n == source.MaxPasses {
			return source.ListChanges(j.state.Total, j.people())
		}
		if err := pass(ctx, j, roles); err != nil {
			return err
		}
		differs := j.state.Whole || j.inPass != j.state.Total
		if err := j.endPass(); err != nil {
			return err
		}
		if differs && !j.state.Done {
			p.notice(source.NoticeListChanged)
		}
	}
	return nil
}

// readPages reads the rest of a list with pages.
func (p *Pull) readPages(ctx context.Context, j *journal, roles *store.Catalogue) error {
	for {
		number := j.state.Page + 1
		page, err := p.Client.WorthPage(ctx, number, p.PageSize)
		if err != nil {
			return err
		}
		before := j.inPass
		for i, record := range page.Records {
			person, err := source.WorthPerson(record, p.Customer, roles)
			if err := j.add(person, err, fmt.Sprintf("page %d, record %d", number, i+1)); err != nil {
				return err
			}
		}
		j.state.Page, j.state.Total = number, page.TotalItems
		p.progress(j.inPass, page.TotalItems)
		if number >= page.TotalPages || j.inPass == before { // without anybody new it would go on for ever where the number of the page is ignored
			return nil
		}
		if err := j.commit(); err != nil {
			return err
		}
	}
}

// readList reads a list without pages.
func (p *Pull) readList(ctx context.Context, j *journal, roles *store.Catalogue) error {
	customer, err := strconv.ParseInt(p.Customer, 10, 64)
	if err != nil {
		return err
	}
	n, begun := 0, false
	again := func() error {
		if begun { // and was cut off
			j.beginPass()
		}
		n, begun = 0, true
		return nil
	}
	err = p.Client.TestiniumUsers(ctx, again, func(element jsontext.Value) error {
		n++
		person, err := source.TestiniumPerson(element, customer, roles)
		if n%100 == 0 {
			p.progress(int64(n), -1)
		}
		return j.add(person, err, fmt.Sprintf("user %d of the list", n))
	})
	j.state.Total = int64(n)
	return err
}

func (p *Pull) progress(users, total int64) {
	if p.Progress != nil {
		p.Progress(users, total)
	}
}

func (p *Pull) notice(text string) {
	if p.Notice != nil {
		p.Notice(text)
	}
}

// check returns what is wrong with the users of the journal, by their numbers from 1.
func (j *journal) check(ctx context.Context, s *store.Store) (bad map[int64]screen.Problem, err error) {
	lines, err := j.users()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lines.Close()) }()
	return screen.Lines(ctx, lines, s)
}

// copy writes the users of the journal that nothing is wrong with.
func (j *journal) copy(ctx context.Context, w io.Writer, bad map[int64]screen.Problem, report func(Refused)) (result Result, err error) {
	verdicts := screen.NewVerdicts(bad)
	if report == nil {
		report = func(Refused) {}
	}
	err = j.each(func(e entry) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if e.refused != nil {
			result.Refused++
			report(*e.refused)
			return nil
		}
		reasons := verdicts.Next(func() string { return "user " + e.key() })
		if len(reasons) == 0 {
			result.Written++
			_, err := w.Write(e.line)
			return err
		}
		result.Refused++
		for _, reason := range reasons {
			report(Refused{e.at, e.key(), reason})
		}
		return nil
	})
	return result, err
}

// key returns the source's id of a user.
func (e entry) key() string {
	if e.refused != nil {
		return e.refused.User
	}
	var ids struct {
		ID   json.Number `json:"id"`
		UUID string      `json:"uuid"`
	}
	if json.NewDecoder(bytes.NewReader(e.line)).Decode(&ids) == nil && ids.UUID != "" {
		return ids.UUID
	}
	return ids.ID.String()
}

// open opens the journal.
func (p *Pull) open() (*journal, error) {
	head := header{Version: 1, Dialect: p.Dialect, Source: p.Source, Customer: p.Customer, PageSize: p.PageSize}
	j, err := openJournal(p.Journal, head, p.Resume)
	if errors.Is(err, os.ErrExist) {
		return nil, ErrJournalExists
	}
	return j, err
}
