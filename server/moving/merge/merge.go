// Package merge makes one file of users from two, that of Worth's users and that of Testinium's, as `dragoman pull` writes them. People
// who are in both become one user with the ids of both.
package merge

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

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
	Roles  *store.Catalogue
	// Report is called for every person.
	Report func(Person) error
}

// Person is a person of the merged file.
type Person struct {
	Worth          string          `json:"worth,omitempty"`     // the UUID; empty: the person is not there
	Testinium      int64           `json:"testinium,omitempty"` // the id; 0: the person is not there
	By             string          `json:"by,omitempty"`        // how the two were matched
	Contradictions []Contradiction `json:"contradictions,omitempty"`
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
}

// BadInput says what is wrong with a file.
type BadInput struct {
	File   string
	Line   int64 // 0: the whole file
	Reason string
}

func (e *BadInput) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Reason
	}
	return fmt.Sprintf("%s, line %d: %s", e.File, e.Line, e.Reason)
}

// place is where a line of Testinium's file is.
type place struct {
	offset, id int64
	length     int32
	used       bool
}

// run is a merge in progress. It keeps 12 bytes of a hash of each e-mail of Testinium's file in memory, and where its line is.
type run struct {
	Merge
	file    *os.File
	places  []place
	byEmail map[[12]byte]int32 // an index of places
	byID    map[int64]int32    // of those that the mapping names
	result  Result
	out     io.Writer
	// unmapped are the people of the mapping who were not met.
	unmapped map[string]int64
}

// Run merges the two files into out. It writes nothing that must not be imported: if Result.Open is not 0, out is not to be used.
// The error is a *BadInput if a file or the mapping is not good.
func (m Merge) Run(out io.Writer) (result Result, err error) {
	r := &run{Merge: m, out: out, byEmail: map[[12]byte]int32{}, byID: map[int64]int32{}, unmapped: map[string]int64{}}
	for _, id := range m.Mapping {
		r.byID[id] = -1
	}
	for u, id := range m.Mapping {
		r.unmapped[u] = id
	}
	if r.file, err = os.Open(m.Testinium); err != nil {
		return result, &BadInput{m.Testinium, 0, err.Error()}
	}
	defer func() { err = errors.Join(err, r.file.Close()) }()
	if err := lines(m.Testinium, r.file, r.index); err != nil {
		return result, err
	}
	for id, at := range r.byID {
		if at < 0 {
			return result, &BadInput{m.Testinium, 0, fmt.Sprintf("it has no user %d, whom the mapping names", id)}
		}
	}
	worth, err := os.Open(m.Worth)
	if err != nil {
		return result, &BadInput{m.Worth, 0, err.Error()}
	}
	defer func() { err = errors.Join(err, worth.Close()) }()
	if err := lines(m.Worth, worth, r.worth); err != nil {
		return result, err
	}
	for u := range r.unmapped {
		return result, &BadInput{m.Worth, 0, fmt.Sprintf("it has no user %s, whom the mapping names", u)}
	}
	for i := range r.places {
		if r.places[i].used {
			continue
		}
		r.result.Testinium++
		columns, err := r.read(&r.places[i])
		if err != nil {
			return result, err
		}
		if err := r.write(Person{Testinium: r.places[i].id}, columns); err != nil {
			return result, err
		}
	}
	return r.result, nil
}

// line is a line of a file.
type line struct {
	offset  int64
	length  int32 // with the line break
	columns map[string]any
}

// maxLine is the maximum size of a line.
const maxLine = 64 << 10

// lines calls f with every line of a file.
func lines(name string, file io.Reader, f func(line) error) error {
	r := bufio.NewReaderSize(file, maxLine)
	offset := int64(0)
	for number := int64(1); ; number++ {
		text, err := r.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return &BadInput{name, number, fmt.Sprintf("is longer than %d KiB: is this the file of 'dragoman pull'?", maxLine>>10)}
		case err != nil && !errors.Is(err, io.EOF):
			return &BadInput{name, 0, err.Error()}
		case len(text) == 0:
			return nil
		}
		l := line{offset: offset, length: int32(len(text))} // #nosec G115 -- at most maxLine
		offset += int64(len(text))
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		if l.columns, err = decode(text); err != nil {
			return &BadInput{name, number, err.Error()}
		}
		if err := f(l); err != nil {
			var bad *BadInput
			if errors.As(err, &bad) && bad.Line == 0 && bad.File == "" {
				bad.File, bad.Line = name, number
			}
			return err
		}
	}
}

var fileColumns = store.FileColumns()

// decode reads a line. It leaves out columns that are null.
func decode(text []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var columns map[string]any
	if err := d.Decode(&columns); err != nil || columns == nil {
		return nil, errors.New("must be a JSON object, as 'dragoman pull' writes it")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("has more than one JSON object")
	}
	for name, value := range columns {
		if !slices.ContainsFunc(fileColumns, func(c store.FileColumn) bool { return c.Name == name }) {
			return nil, fmt.Errorf("has the unknown member %s", store.Excerpt(name))
		}
		switch v := value.(type) {
		case nil:
			delete(columns, name)
		case json.Number:
			n, err := strconv.ParseInt(v.String(), 10, 64)
			if err != nil {
				return nil, fmt.Errorf("%s must be an integer", name)
			}
			columns[name] = n
		case []any:
			texts := make([]string, len(v))
			for i := range v {
				var ok bool
				if texts[i], ok = v[i].(string); !ok {
					return nil, fmt.Errorf("%s must be an array of text", name)
				}
			}
			columns[name] = texts
		case map[string]any:
			return nil, fmt.Errorf("%s must not be an object", name)
		}
	}
	if email, ok := columns["email"].(string); !ok || email == "" {
		return nil, errors.New("email is required")
	}
	return columns, nil
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
	if _, named := r.byID[id]; named {
		r.byID[id] = at
	}
	r.places = append(r.places, place{offset: l.offset, id: id, length: l.length})
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
	p := Person{Worth: id.String()}
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
		return r.write(p, l.columns)
	}
	there := &r.places[at]
	if there.used {
		return &BadInput{Reason: fmt.Sprintf("user %d of Testinium is matched with two users of Worth, the second of whom is %s: correct the mapping", there.id, p.Worth)}
	}
	there.used = true
	p.Testinium = there.id
	r.result.Both++
	columns, err := r.read(there)
	if err != nil {
		return err
	}
	merged := r.merge(&p, l.columns, columns)
	return r.write(p, merged)
}

// merge returns the columns of a person who is in both files, and adds what contradicts.
func (r *run) merge(p *Person, worth, testinium map[string]any) map[string]any {
	merged := map[string]any{}
	for name, value := range testinium {
		merged[name] = value
	}
	for name, value := range worth {
		merged[name] = value
	}
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
		x, someX := r.Roles.Subrole(r.set(worth))
		y, someY := r.Roles.Subrole(r.set(testinium))
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
		if role, ok := r.Roles.ByName(name); ok {
			set = set.Union(store.Roles(role.ID))
		}
	}
	return set
}

// worthRoles returns Worth's roles, with those of Testinium that Worth cannot show.
func (r *run) worthRoles(worth, testinium any) []string {
	names := []string{}
	for _, role := range r.Roles.In(r.set(worth).Union(r.set(testinium).Minus(r.Roles.WithSubrole()))) {
		names = append(names, role.Name)
	}
	return names
}

func (r *run) write(p Person, columns map[string]any) error {
	if len(p.Contradictions) > 0 {
		r.result.Contradictions++
		if slices.ContainsFunc(p.Contradictions, func(c Contradiction) bool { return c.Taken == "" }) {
			r.result.Open++
		}
	}
	if r.Report != nil {
		if err := r.Report(p); err != nil {
			return err
		}
	}
	return userfile.WriteColumns(r.out, columns)
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
	return b.String()
}

func show(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprintf("%q", fmt.Sprint(value))
	}
	return string(text)
}

// ReadMapping reads a mapping: on each line a UUID of Worth's and an id of Testinium's, separated by white space or a comma. Empty lines
// and those that begin with # say nothing. The error is a *BadInput.
func ReadMapping(name string) (map[string]int64, error) {
	f, err := os.Open(name) // #nosec G304 -- the operator names the file
	if err != nil {
		return nil, &BadInput{name, 0, err.Error()}
	}
	defer f.Close()
	mapping, ids := map[string]int64{}, map[int64]bool{}
	s := bufio.NewScanner(f)
	for number := int64(1); s.Scan(); number++ {
		text := strings.TrimSpace(s.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		words := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
		if len(words) != 2 {
			return nil, &BadInput{name, number, "must be a UUID of Worth's and an id of Testinium's"}
		}
		u, err := uuid.Parse(words[0])
		if err != nil {
			return nil, &BadInput{name, number, "must begin with a UUID of Worth's"}
		}
		id, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil || id < 1 {
			return nil, &BadInput{name, number, "must end with an id of Testinium's"}
		}
		if _, twice := mapping[u.String()]; twice || ids[id] {
			return nil, &BadInput{name, number, "names a user whom an earlier line names"}
		}
		mapping[u.String()], ids[id] = id, true
	}
	if err := s.Err(); err != nil {
		return nil, &BadInput{name, 0, err.Error()}
	}
	return mapping, nil
}
