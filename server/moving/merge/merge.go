// Package merge makes one file of users from two files that `dragoman pull` wrote, one of Worth's users and one of Testinium's. People
// who are in both become one user with the ids of both. People whom an import of the file would refuse are reported and left out.
//
// The package works on files alone. It knows no API and sends no requests.
package merge

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/server/moving/screen"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/userfile"
)

// Vendor names one of the two files.
type Vendor string

// The vendors.
const (
	Worth     Vendor = "worth"
	Testinium Vendor = "testinium"
)

// Columns are the columns that both files have and that can contradict each other.
var Columns = []string{"first_name", "last_name", "email", "roles", "status", "created_at"}

// How two records were matched.
const (
	ByEmail   = "e-mail"
	ByMapping = "mapping"
)

// Merge is one merge.
type Merge struct {
	Worth, Testinium string // the names of the files, in NDJSON
	// Mapping has the ids at Testinium of people, by their UUIDs at Worth, for those whose e-mails differ.
	Mapping map[string]int64
	// Prefer says whose value of a column to take where they contradict each other.
	Prefer map[string]Vendor
	// Report is called for every person.
	Report func(Person) error
}

// Person is a person of the merged file.
type Person struct {
	Worth          string          `json:"worth,omitempty"`     // the UUID; empty: the person is not there
	Testinium      int64           `json:"testinium,omitempty"` // the id; 0: the person is not there
	By             string          `json:"by,omitempty"`        // how the two were matched
	Contradictions []Contradiction `json:"contradictions,omitempty"`
	// LeftOut says why the person is not in the file, with the lines; empty: the person is.
	LeftOut []string `json:"left_out,omitempty"`

	worthLine, testiniumLine int64 // of the files
}

// Contradiction is a column for which the two files have values that cannot both be shown.
type Contradiction struct {
	Column    string `json:"column"`
	Worth     any    `json:"worth"`
	Testinium any    `json:"testinium"`
	// Taken says whose value is written; empty: nobody has said.
	Taken Vendor `json:"taken,omitempty"`
}

// Result counts the people of a merge.
type Result struct {
	Both      int64 `json:"both"`
	ByMapping int64 `json:"by_mapping"` // of them
	Worth     int64 `json:"worth_only"`
	Testinium int64 `json:"testinium_only"`
	// Contradictions counts the people with contradictions, Open those of them for which Prefer does not say whose value to take.
	Contradictions int64 `json:"contradictions"`
	Open           int64 `json:"open"`
	LeftOut        int64 `json:"left_out"` // of all
}

// Written is how many people the file has.
func (r Result) Written() int64 { return r.Both + r.Worth + r.Testinium - r.LeftOut }

// place is where a line of Testinium's file is.
type place struct {
	offset, id   int64
	length, line int32
	used         bool
}

// run is a merge in progress. It keeps 12 bytes of a hash of each e-mail of Testinium's file in memory, and where its line is.
type run struct {
	Merge
	roles   *store.Catalogue
	file    *os.File
	places  []place
	byEmail map[[12]byte]int32 // an index of places
	byID    map[int64]int32    // of those that the mapping names
	result  Result
	// emit is called for each person.
	emit func(Person, map[string]any) error
	// unmapped are the people of the mapping who were not met.
	unmapped map[string]int64
}

// Run merges the two files into out. It writes nothing that must not be imported: if Result.Open is not 0, out is not to be used.
// The error is a *BadInput if a file or the mapping is not good.
func (m Merge) Run(ctx context.Context, out io.Writer) (result Result, err error) {
	r := &run{Merge: m, byEmail: map[[12]byte]int32{}, byID: map[int64]int32{}}
	for _, id := range m.Mapping {
		r.byID[id] = -1
	}
	if r.file, err = os.Open(m.Testinium); err != nil {
		return result, &BadInput{m.Testinium, 0, err.Error()}
	}
	defer func() { err = errors.Join(err, r.file.Close()) }()
	customer, err := r.customer()
	if err != nil {
		return result, err
	}
	for id, at := range r.byID {
		if at < 0 {
			return result, &BadInput{m.Testinium, 0, fmt.Sprintf("it has no user %d, whom the mapping names", id)}
		}
	}
	directory, err := screen.Directory(ctx, customer)
	if err != nil {
		return result, &BadInput{m.Worth + " and " + m.Testinium, 0, fmt.Sprintf("their customer cannot be imported: %v", err)}
	}
	defer func() { err = errors.Join(err, directory.Close()) }()
	r.roles = directory.Catalogue()
	bad, sum, err := r.screen(ctx, directory)
	if err != nil {
		return result, err
	}
	return r.write(out, bad, sum)
}

// customer reads both files, indexes the users of Testinium's file, and returns the customer to whom the users of both files belong.
func (r *run) customer() (c store.Customer, err error) {
	c.Name = "the files'"
	if err := r.eachOfWorth(func(l line) error { return ofOneCustomer(&c, l) }); err != nil {
		return c, err
	}
	return c, lines(r.Merge.Testinium, r.file, func(l line) error {
		if err := ofOneCustomer(&c, l); err != nil {
			return err
		}
		return r.index(l)
	})
}

// ofOneCustomer sets whose user is on a line, by id or by UUID, and refuses another customer's than that of lines before.
func ofOneCustomer(c *store.Customer, l line) error {
	another := func(before any) error {
		return &BadInput{Reason: fmt.Sprintf("customer is %v, and that of a line before is %v: merge the users of one customer", l.columns["customer"], before)}
	}
	switch value := l.columns["customer"].(type) {
	case int64:
		if c.ID != 0 && c.ID != value {
			return another(c.ID)
		}
		c.ID = value
	case string:
		id, err := uuid.Parse(value)
		if err != nil {
			return &BadInput{Reason: "customer must be the id or the UUID of a customer"}
		}
		if c.UUID != uuid.Nil && c.UUID != id {
			return another(c.UUID)
		}
		c.UUID = id
	default:
		return &BadInput{Reason: "customer is required: is this a file of 'dragoman pull'?"}
	}
	return nil
}

// eachOfWorth calls f with every line of Worth's file.
func (r *run) eachOfWorth(f func(line) error) (err error) {
	file, err := os.Open(r.Merge.Worth)
	if err != nil {
		return &BadInput{r.Merge.Worth, 0, err.Error()}
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return lines(r.Merge.Worth, file, f)
}

// each calls f with every person, in the order of the merged file.
func (r *run) each(f func(Person, map[string]any) error) error {
	r.emit, r.result, r.unmapped = f, Result{}, maps.Clone(r.Mapping)
	for i := range r.places {
		r.places[i].used = false
	}
	if err := r.eachOfWorth(r.worth); err != nil {
		return err
	}
	for u := range r.unmapped {
		return &BadInput{r.Merge.Worth, 0, fmt.Sprintf("it has no user %s, whom the mapping names", u)}
	}
	for i := range r.places {
		there := &r.places[i]
		if there.used {
			continue
		}
		r.result.Testinium++
		columns, err := r.read(there)
		if err != nil {
			return err
		}
		if err := r.emit(Person{Testinium: there.id, testiniumLine: int64(there.line)}, columns); err != nil {
			return err
		}
	}
	return nil
}

// screen returns the people whom an import would refuse, by their numbers from 1, and a hash of all.
func (r *run) screen(ctx context.Context, directory *store.Store) (bad map[int64]screen.Problem, sum []byte, err error) {
	read, write := io.Pipe()
	hash, emitted := sha256.New(), make(chan error, 1)
	go func() {
		w := bufio.NewWriter(io.MultiWriter(write, hash))
		err := r.each(func(_ Person, columns map[string]any) error { return userfile.WriteColumns(w, columns) })
		if err == nil {
			err = w.Flush()
		}
		emitted <- err
		write.CloseWithError(err)
	}()
	bad, err = screen.Lines(ctx, read, directory)
	err = errors.Join(err, read.Close())
	if cause := <-emitted; cause != nil && !errors.Is(cause, io.ErrClosedPipe) {
		err = cause
	}
	return bad, hash.Sum(nil), err
}

// write reports every person, and writes those whom nothing is wrong with.
func (r *run) write(out io.Writer, bad map[int64]screen.Problem, sum []byte) (Result, error) {
	verdicts, hash := screen.NewVerdicts(bad), sha256.New()
	err := r.each(func(p Person, columns map[string]any) error {
		for _, reason := range verdicts.Next(p.name) {
			p.LeftOut = append(p.LeftOut, r.where(p)+": "+reason)
		}
		if r.count(p); r.Report != nil {
			if err := r.Report(p); err != nil {
				return err
			}
		}
		if len(p.LeftOut) > 0 {
			return userfile.WriteColumns(hash, columns)
		}
		return userfile.WriteColumns(io.MultiWriter(hash, out), columns)
	})
	if err == nil && !bytes.Equal(hash.Sum(nil), sum) {
		err = &BadInput{r.Merge.Worth + " or " + r.Merge.Testinium, 0, "it was changed while it was read"}
	}
	return r.result, err
}

func (r *run) count(p Person) {
	if len(p.LeftOut) > 0 {
		r.result.LeftOut++
	}
	if len(p.Contradictions) > 0 {
		r.result.Contradictions++
		if slices.ContainsFunc(p.Contradictions, func(c Contradiction) bool { return c.Taken == "" }) {
			r.result.Open++
		}
	}
}

// where names the lines of a person.
func (r *run) where(p Person) string {
	var lines []string
	if p.Worth != "" {
		lines = append(lines, fmt.Sprintf("%s, line %d", r.Merge.Worth, p.worthLine))
	}
	if p.Testinium != 0 {
		lines = append(lines, fmt.Sprintf("%s, line %d", r.Merge.Testinium, p.testiniumLine))
	}
	return strings.Join(lines, " and ")
}

// name is the id of a person.
func (p Person) name() string {
	if p.Worth != "" {
		return p.Worth
	}
	return strconv.FormatInt(p.Testinium, 10)
}

func emailKey(columns map[string]any) [12]byte {
	email, _ := columns["email"].(string)
	sum := sha256.Sum256([]byte(store.FoldEmail(email)))
	return [12]byte(sum[:12])
}

// index notes where a line of Testinium's file is.
func (r *run) index(l line) error {
	id, ok := l.columns["id"].(int64)
	if !ok {
		return &BadInput{Reason: "id is required: is this the file of 'dragoman pull testinium'?"}
	}
	key := emailKey(l.columns)
	if _, twice := r.byEmail[key]; twice {
		return &BadInput{Reason: "an earlier line has the same email"}
	}
	at := int32(len(r.places)) // #nosec G115 -- the disk holds fewer
	r.byEmail[key] = at
	if first, named := r.byID[id]; named && first < 0 {
		r.byID[id] = at
	}
	r.places = append(r.places, place{offset: l.offset, id: id, length: l.length, line: int32(l.number)}) // #nosec G115 -- as above
	return nil
}

// read reads a line of Testinium's file again.
func (r *run) read(p *place) (map[string]any, error) {
	text := make([]byte, p.length)
	if _, err := r.file.ReadAt(text, p.offset); err != nil {
		return nil, fmt.Errorf("reading %s again: %w", r.Merge.Testinium, err)
	}
	columns, err := decode(text)
	if err != nil || columns["id"] != p.id {
		return nil, &BadInput{r.Merge.Testinium, 0, "it was changed while it was read"}
	}
	return columns, nil
}

// worth writes a person of Worth's file.
func (r *run) worth(l line) error {
	text, _ := l.columns["uuid"].(string)
	id, err := uuid.Parse(text)
	if err != nil {
		return &BadInput{Reason: "uuid is required: is this the file of 'dragoman pull worth'?"}
	}
	p := Person{Worth: id.String(), worthLine: l.number}
	at, both := r.byEmail[emailKey(l.columns)]
	if both {
		p.By = ByEmail
	}
	if mapped, ok := r.unmapped[p.Worth]; ok {
		delete(r.unmapped, p.Worth)
		switch {
		case both && r.places[at].id != mapped:
			return &BadInput{Reason: fmt.Sprintf("the mapping says that %s is user %d, and the e-mail that it is user %d: correct one of them", p.Worth, mapped, r.places[at].id)}
		case !both:
			at, both, p.By = r.byID[mapped], true, ByMapping
			r.result.ByMapping++
		}
	}
	if !both {
		r.result.Worth++
		return r.emit(p, l.columns)
	}
	there := &r.places[at]
	if there.used {
		return &BadInput{Reason: fmt.Sprintf("user %d of Testinium is matched with two users of Worth, the second of whom is %s: correct the mapping", there.id, p.Worth)}
	}
	there.used = true
	p.Testinium, p.testiniumLine = there.id, int64(there.line)
	r.result.Both++
	columns, err := r.read(there)
	if err != nil {
		return err
	}
	merged := r.merge(&p, l.columns, columns)
	return r.emit(p, merged)
}

// merge returns the columns of a person who is in both files, and adds what contradicts.
func (r *run) merge(p *Person, worth, testinium map[string]any) map[string]any {
	merged := map[string]any{}
	maps.Copy(merged, testinium)
	maps.Copy(merged, worth)
	for _, name := range Columns {
		a, b := worth[name], testinium[name]
		taken, same := r.compare(name, a, b)
		if !same {
			c := Contradiction{Column: name, Worth: a, Testinium: b, Taken: r.Prefer[name]}
			p.Contradictions = append(p.Contradictions, c)
			taken = a
			if c.Taken == Testinium {
				taken = b
			}
			if name == "roles" && c.Taken == Worth {
				taken = r.worthRoles(a, b)
			}
		}
		if delete(merged, name); taken != nil {
			merged[name] = taken
		}
	}
	return merged
}

// compare returns the value of a column that shows in both dialects as it is there, and whether there is one.
func (r *run) compare(name string, worth, testinium any) (taken any, same bool) {
	switch name {
	case "status":
		active := string(store.StatusActive)
		return worth, (worth == active) == (testinium == active)
	case "roles":
		x, someX := r.roles.Subrole(r.set(worth))
		y, someY := r.roles.Subrole(r.set(testinium))
		return testinium, x.ID == y.ID && someX == someY
	case "created_at":
		x, errX := time.Parse(time.RFC3339, fmt.Sprint(worth))
		y, errY := time.Parse(time.RFC3339, fmt.Sprint(testinium))
		if worth == nil || testinium == nil {
			if worth == nil {
				worth = testinium
			}
			return worth, true
		}
		return worth, errX == nil && errY == nil && x.Equal(y)
	}
	return worth, worth == testinium
}

// set returns the roles with these names.
func (r *run) set(names any) (set store.RoleSet) {
	texts, _ := names.([]string)
	for _, name := range texts {
		if role, ok := r.roles.ByName(name); ok {
			set = set.Union(store.Roles(role.ID))
		}
	}
	return set
}

// worthRoles returns Worth's roles, with those of Testinium that Worth cannot show.
func (r *run) worthRoles(worth, testinium any) []string {
	names := []string{}
	for _, role := range r.roles.In(r.set(worth).Union(r.set(testinium).Minus(r.roles.WithSubrole()))) {
		names = append(names, role.Name)
	}
	return names
}

// String describes a person in a line, and each contradiction in a further one.
func (p Person) String() string {
	var b strings.Builder
	switch {
	case p.Testinium == 0:
		fmt.Fprintf(&b, "%s is only at Worth", p.Worth)
	case p.Worth == "":
		fmt.Fprintf(&b, "%d is only at Testinium", p.Testinium)
	default:
		fmt.Fprintf(&b, "%s is %d, by %s", p.Worth, p.Testinium, p.By)
	}
	for _, c := range p.Contradictions {
		fmt.Fprintf(&b, "\n    %s: worth has %s, testinium %s", c.Column, show(c.Worth), show(c.Testinium))
		if c.Taken == "" {
			fmt.Fprintf(&b, "; say whose to take by --prefer %s=worth or --prefer %s=testinium", c.Column, c.Column)
		} else {
			fmt.Fprintf(&b, "; %s's is taken", c.Taken)
		}
	}
	for _, reason := range p.LeftOut {
		fmt.Fprintf(&b, "\n    left out: %s", reason)
	}
	return b.String()
}

func show(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprintf("%q", fmt.Sprint(value))
	}
	return string(text)
}
