// Package compare asks two servers for the same users and reports how their answers differ. It only reads.
//
// It does not know the store or the vendors' fields: which differences count is decided by package difference.
package compare

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sync/errgroup"

	"github.com/dragoman-id/dragoman/server/junit"
	"github.com/dragoman-id/dragoman/server/moving/difference"
	"github.com/dragoman-id/dragoman/server/moving/source"
)

// Compare is a comparison of the users of one customer.
type Compare struct {
	Dialect   string // worth or testinium
	Operation string // the operationId of reading a user
	// Source is the vendor, Target the server that is to answer in its place.
	Source, Target *source.Client
	Rules          difference.Comparison
	PageSize       int64
	// Sample is how many users to compare, chosen at random; 0: all.
	Sample int
	// Workers is how many users are compared at a time.
	Workers  int
	Progress func(users, total int64)
	// Notice is called with what a person who waits should know. It may be nil.
	Notice func(string)
}

// maxUsers is how many users with differences a report names. Further ones are counted.
const maxUsers = 1000

// User is a user whose answers differ.
type User struct {
	ID          string                  `json:"id"`
	Differences []difference.Difference `json:"differences"`

	place int // among the ids
}

// Report is the result of a comparison.
type Report struct {
	Started time.Time     `json:"started"`
	Took    time.Duration `json:"-"`
	Listed  int64         `json:"listed"` // users of the source
	Equal   int64         `json:"equal"`
	Differ  int64         `json:"differ"`  // users with differences, those that are missing not among them
	Missing int64         `json:"missing"` // users whom the target does not have
	Gone    int64         `json:"gone"`    // users whom the source had when it was listed, and has no longer
	// Noise counts, by field, differences that were there once and not when both sides were asked again.
	Noise map[string]int64 `json:"noise"`
	// Fields counts the users who differ in a field.
	Fields map[string]int64 `json:"fields"`
	Users  []User           `json:"users"` // the first 1000, in the order of their ids

	gone []User
}

// Differences reports whether anything differs.
func (r Report) Differences() bool { return r.Differ+r.Missing > 0 }

// Run compares. The error says that the source or the target could not be read, or that there was nobody to compare.
func (c *Compare) Run(ctx context.Context) (Report, error) {
	r := Report{Started: time.Now(), Noise: map[string]int64{}, Fields: map[string]int64{}, Users: []User{}}
	c.Source.RestoreRate() // a watch compares for days
	c.Target.RestoreRate()
	ids, err := c.list(ctx)
	if err != nil {
		return r, fmt.Errorf("the source: %w", err)
	}
	if len(ids) == 0 {
		return r, errors.New("the source: the list of users is empty, so that nothing was compared")
	}
	r.Listed = int64(len(ids))
	if c.Sample > 0 && c.Sample < len(ids) {
		rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] }) // #nosec G404 -- which users are compared is no secret
		ids = sorted(ids[:c.Sample])
	}
	var mu sync.Mutex
	done := 0
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(max(1, c.Workers))
	for i, id := range ids {
		if working.Err() != nil {
			break
		}
		group.Go(func() error {
			u := User{ID: id.String(), place: i}
			found, noise, err := c.user(working, u.ID)
			if err != nil && !errors.Is(err, errGone) {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			done++
			if c.Progress != nil {
				c.Progress(int64(done), int64(len(ids)))
			}
			for _, d := range noise {
				r.Noise[d.Field]++
			}
			u.Differences = found
			r.count(u, err)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return r, err
	}
	if err := ctx.Err(); err != nil && done < len(ids) {
		return r, err
	}
	if r.Gone == int64(len(ids)) {
		return r, fmt.Errorf("the source: it lists users and has none of the %d that were asked for, so that nothing was compared", r.Gone)
	}
	if err := c.checkGone(ctx, &r); err != nil {
		return r, err
	}
	slices.SortFunc(r.Users, func(a, b User) int { return a.place - b.place })
	r.Took = time.Since(r.Started)
	return r, nil
}

func (r *Report) count(u User, err error) {
	switch {
	case err != nil:
		r.Gone++
		r.gone = append(r.gone, u)
		return
	case len(u.Differences) == 0:
		r.Equal++
		return
	case isMissing(u.Differences):
		r.Missing++
	default:
		r.Differ++
	}
	for _, d := range u.Differences {
		r.Fields[d.Field]++
	}
	if len(r.Users) < maxUsers {
		r.Users = append(r.Users, u)
	}
}

// missingUser is the field that says that the target does not have the user.
const missingUser = "user"

func isMissing(all []difference.Difference) bool {
	return len(all) == 1 && all[0].Field == missingUser && all[0].How == difference.Missing
}

// checkGone reads the list again if users were gone. Those who are still in it differ: they are listed and cannot be read.
func (c *Compare) checkGone(ctx context.Context, r *Report) error {
	if len(r.gone) == 0 {
		return nil
	}
	ids, _, err := c.pass(ctx)
	if err != nil {
		return fmt.Errorf("the source: %w", err)
	}
	ids = sorted(ids)
	for _, u := range r.gone {
		if _, listed := slices.BinarySearchFunc(ids, newID(u.ID), compareIDs); listed {
			r.Gone--
			u.Differences = []difference.Difference{{Field: missingUser, How: difference.Unreadable, Source: u.ID}}
			r.count(u, nil)
		}
	}
	return nil
}

// list returns the ids of the source's users, sorted. It reads the list until two passes in a row have found the same users: if one is removed
// and another one added while it is read, somebody moves to a page that had been read.
func (c *Compare) list(ctx context.Context) ([]id, error) {
	var before []id
	for n := 1; ; n++ {
		ids, total, err := c.pass(ctx)
		if err != nil {
			return nil, err
		}
		ids = sorted(ids)
		consistent := int64(len(ids)) == total
		switch {
		case n > 1 && consistent && slices.EqualFunc(ids, before, sameID):
			return ids, nil
		case n == source.MaxPasses:
			return nil, source.ListChanges(total, int64(len(ids)))
		case n > 1 || !consistent:
			c.notice(source.NoticeListChanged)
		}
		before = ids
	}
}

// pass reads the list once. It returns the ids of its records and how many there are to be.
func (c *Compare) pass(ctx context.Context) (ids []id, total int64, err error) {
	if c.Dialect == "testinium" {
		return c.listWhole(ctx)
	}
	return c.listPages(ctx)
}

// listWhole reads a list without pages. It returns the ids of its records and their number.
func (c *Compare) listWhole(ctx context.Context) (ids []id, total int64, err error) {
	err = c.Source.TestiniumUsers(ctx, func() error { ids = nil; return nil }, func(element jsontext.Value) error {
		var u struct {
			ID json.Number `json:"entityId"`
		}
		if json.Unmarshal(element, &u) != nil || u.ID == "" {
			return fmt.Errorf("record %d: entityId is missing or no number", len(ids)+1)
		}
		ids = append(ids, newID(u.ID.String()))
		return nil
	})
	return ids, int64(len(ids)), err
}

// listPages reads the pages of a list. It returns the ids of their records and the total of the last page.
func (c *Compare) listPages(ctx context.Context) (ids []id, total int64, err error) {
	var last json.RawMessage // the first record of the last page
	for number := int64(1); ; number++ {
		page, err := c.Source.WorthPage(ctx, number, c.PageSize)
		if err != nil {
			return nil, 0, err
		}
		for i, record := range page.Records {
			var u struct {
				ID string `json:"id"`
			}
			if json.Unmarshal(record, &u) != nil || u.ID == "" {
				return nil, 0, fmt.Errorf("page %d of the users, record %d: id is missing or no text", number, i+1)
			}
			ids = append(ids, newID(u.ID))
		}
		if number >= page.TotalPages || len(page.Records) == 0 || bytes.Equal(last, page.Records[0]) {
			return ids, page.TotalItems, nil // in the last case the number of the page is ignored
		}
		last = page.Records[0]
	}
}

func (c *Compare) notice(text string) {
	if c.Notice != nil {
		c.Notice(text)
	}
}

var errGone = errors.New("the source has the user no longer")

// user compares one user. If there is a difference, both sides are asked again, and only fields that differ then too are reported, whatever
// their values: some change with every answer.
func (c *Compare) user(ctx context.Context, id string) (found, noise []difference.Difference, err error) {
	found, err = c.once(ctx, id)
	if err != nil || len(found) == 0 {
		return nil, nil, err
	}
	again, err := c.once(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	stays := []difference.Difference{}
	for _, d := range found {
		if slices.ContainsFunc(again, func(e difference.Difference) bool { return e.Field == d.Field }) {
			stays = append(stays, d)
		} else {
			noise = append(noise, d)
		}
	}
	return stays, noise, nil
}

func (c *Compare) once(ctx context.Context, id string) ([]difference.Difference, error) {
	build := source.WorthUser(id)
	if c.Dialect == "testinium" {
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			return []difference.Difference{{Field: missingUser, How: difference.Missing, Source: id}}, nil // no id that the target can have
		}
		build = source.TestiniumUser(n)
	}
	there, err := c.Source.Get(ctx, build)
	if err != nil {
		return nil, fmt.Errorf("the source: %w", err)
	}
	if there.Status == http.StatusNotFound {
		return nil, errGone
	}
	here, err := c.Target.Get(ctx, build)
	if err != nil {
		return nil, fmt.Errorf("the target: %w", err)
	}
	if here.Status == http.StatusNotFound {
		return []difference.Difference{{Field: missingUser, How: difference.Missing, Source: id}}, nil
	}
	return c.Rules.Compare(c.Operation, difference.Answer(there), difference.Answer(here)), nil
}

// WriteText writes the report for people.
func (r Report) WriteText(w io.Writer) error {
	for _, u := range r.Users {
		for _, d := range u.Differences {
			if _, err := fmt.Fprintf(w, "%s: %s\n", u.ID, d); err != nil {
				return fmt.Errorf("write the report: %w", err)
			}
		}
	}
	if more := r.Differ + r.Missing - int64(len(r.Users)); more > 0 {
		fmt.Fprintf(w, "and %d more users\n", more)
	}
	for _, counts := range []struct {
		title string
		of    map[string]int64
	}{{"users who differ in", r.Fields}, {"differences that went away when asked again, in", r.Noise}} {
		for _, field := range slices.Sorted(maps.Keys(counts.of)) {
			fmt.Fprintf(w, "%s %s: %d\n", counts.title, field, counts.of[field])
		}
	}
	if r.Gone > 0 {
		fmt.Fprintf(w, "users whom the source lists and has no longer: %d\n", r.Gone)
	}
	_, err := fmt.Fprintf(w, "%d users, %d compared: %d equal, %d differ, %d missing\n", r.Listed, r.Equal+r.Differ+r.Missing, r.Equal, r.Differ, r.Missing)
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// WriteJSON writes the report as one JSON object.
func (r Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(struct {
		Report
		Seconds float64 `json:"seconds"`
	}{r, r.Took.Seconds()}); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// WriteJUnit writes the report in JUnit's XML. Each user who differs is a failed case; those who are equal are one case.
func (r Report) WriteJUnit(w io.Writer) error {
	const class = "dragoman.compare"
	s := junit.Suite{
		Name: "dragoman compare", Tests: len(r.Users) + 1, Failures: len(r.Users),
		Time: junit.Seconds(r.Took), Timestamp: junit.Timestamp(r.Started),
		Cases: []junit.Case{{ClassName: class, Name: fmt.Sprintf("%d users are equal", r.Equal)}},
	}
	for _, u := range r.Users {
		f := &junit.Detail{Message: fmt.Sprintf("%d differences", len(u.Differences))}
		for _, d := range u.Differences {
			f.Text += d.String() + "\n"
		}
		s.Cases = append(s.Cases, junit.Case{ClassName: class, Name: u.ID, Failure: f})
	}
	return junit.Write(w, s)
}
