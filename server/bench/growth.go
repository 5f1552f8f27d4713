package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

type growthCommand struct {
	measureFlags
	Users   []int    `default:"10000,1000000" help:"How many users the directories have."`
	Engines []string `enum:"postgres,sqlite" default:"postgres,sqlite" help:"On which engines: ${enum}."`
}

// Help is the long text of --help.
func (*growthCommand) Help() string {
	return "Each size is a directory of its own on either engine, and all of them are measured in one run, in turn. Ten millions take " +
		"some 30 GB of disk, and twenty minutes to fill in."
}

// Validate refuses sizes that cannot be compared.
func (c *growthCommand) Validate() error {
	if len(c.Users) == 0 || slices.Min(c.Users) < 1000 {
		return errors.New("--users must be some numbers of at least 1000")
	}
	if c.Write && len(c.Engines) < 2 {
		return errors.New("--write is for results of both engines")
	}
	slices.Sort(c.Users)
	return c.measureFlags.Validate()
}

// The connections at which sizes are compared, and at which the customers are: the one of the small customer's users takes one write
// at a time.
const (
	sizesConnections = 16
	lone             = 1
)

// size is a directory and what is told of it.
type size struct {
	users    int
	engine   string
	database string // its URL
	filled   time.Duration
	bytes    int64 // of disk
}

// Run fills the directories and measures everything in turn.
func (c *growthCommand) Run(ctx context.Context) error {
	b, err := newBench(ctx, &c.measureFlags)
	if err != nil {
		return err
	}
	defer b.close()
	found := growthFindings{command: c}
	for i, users := range c.Users {
		for _, engine := range c.Engines {
			if i == 0 {
				if err := b.addReadFirst(ctx, engine, users); err != nil {
					return err
				}
			}
			s, err := b.fill(ctx, engine, users)
			if err != nil {
				return err
			}
			found.sizes = append(found.sizes, s)
			if err := b.addSize(ctx, s); err != nil {
				return err
			}
		}
	}
	if found.results, err = b.run(ctx, nil); err != nil {
		return err
	}
	found.machine = b.machine
	return b.publish(section{resultsFile, "growth", found.writeAll})
}

// newDirectory returns the URL of an empty directory, which goes in the end.
func (b *bench) newDirectory(ctx context.Context, engine string) (database string, err error) {
	if engine == "sqlite" {
		return "sqlite:" + b.file(fmt.Sprintf("growth%d.db", len(b.stop))), nil
	}
	if database, err = b.newSchema(ctx); err == nil && b.prewarm == "" {
		b.findPrewarm(ctx, database)
	}
	return database, err
}

// fill makes a directory of so many users and one of a small customer's.
func (b *bench) fill(ctx context.Context, engine string, users int) (s size, err error) {
	s = size{users: users, engine: engine}
	if s.database, err = b.newDirectory(ctx, engine); err != nil {
		return s, err
	}
	fmt.Fprintf(os.Stderr, "%s of %d users: fill it ", engine, users)
	began := time.Now()
	if err := b.importUsers(ctx, s.database, min(users, imported), users+1); err != nil {
		return s, err
	}
	if err := b.copyUsers(ctx, s.database, imported+1, users); err != nil {
		return s, err
	}
	s.filled = time.Since(began)
	fmt.Fprintln(os.Stderr, s.filled.Round(time.Second))
	s.bytes, err = sizeOf(ctx, s.database)
	return s, err
}

// addFloor has the floor measured, on a directory of its own: what it writes would be news to the program, which remembers users.
func (b *bench) addFloor(ctx context.Context, users int) error {
	directory, err := b.fill(ctx, "postgres", users)
	if err != nil {
		return err
	}
	floor, err := b.startFloor(ctx, directory.database)
	if err != nil {
		return err
	}
	for _, s := range floorSubjects(floor) {
		s.directory = directory.database
		b.addAt(sizesConnections, users, s)
	}
	return nil
}

// readFirst is what the updates of a program are called that remembers nobody.
const readFirst = ", user read first"

// addReadFirst has updates measured of a program that remembers nobody, as one with many more users than it remembers remembers hardly any:
// what the latter's updates are compared with. They are on a directory of their own, as the floor's.
func (b *bench) addReadFirst(ctx context.Context, engine string, users int) error {
	directory, err := b.fill(ctx, engine, users)
	if err != nil {
		return err
	}
	server, err := b.startReadFirst(ctx, directory.database)
	if err != nil {
		return err
	}
	for _, s := range updates {
		s.engine, s.directory, s.server = engine, directory.database, server
		s.name += readFirst
		b.addAt(sizesConnections, users, s)
	}
	return nil
}

// startReadFirst serves a directory by a program that remembers nobody.
func (b *bench) startReadFirst(ctx context.Context, database string) (*process, error) {
	return b.startProgram(ctx, database, "--remembered-users", "0")
}

// addSize serves a directory and has it measured.
func (b *bench) addSize(ctx context.Context, directory size) error {
	engine, database, users := directory.engine, directory.database, directory.users
	server, err := b.startProgram(ctx, database)
	if err != nil {
		return err
	}
	reader, err := b.startReadFirst(ctx, database)
	if err != nil {
		return err
	}
	if engine == "postgres" {
		if err := b.addFloor(ctx, users); err != nil {
			return err
		}
	}
	const page = 20
	pages := (users + page - 1) / page
	for _, s := range append(slices.Clone(updates), get,
		subject{name: "first page", method: "GET", path: worthUsers + "?page=1"},
		subject{name: "middle page", method: "GET", path: worthUsers + "?page=" + strconv.Itoa(pages/2)},
		subject{name: "last page", method: "GET", path: worthUsers + "?page=" + strconv.Itoa(pages)},
	) {
		s.engine, s.directory, s.server = engine, database, server
		b.addAt(sizesConnections, users, s)
	}
	only := strconv.Itoa(users + 1)
	small := strings.NewReplacer(customerUUID, smallCustomer, "/customers/1/", "/customers/2/", "{uuid}", userUUID(users+1), "{id}", only)
	for _, s := range append(slices.Clone(updates), get, subject{name: "list of one", method: "GET", path: worthUsers + "?itemsPerPage=1"}) {
		s.engine, s.directory, s.server = engine, database, server
		large, name := s, s.name
		large.name = name + largeCustomers
		b.addAt(lone, users, large)
		s.name, s.path, s.body = name+smallCustomers, small.Replace(s.path), small.Replace(s.body)
		s.company = 2
		b.addAt(lone, users, s)
		if s.method != "GET" {
			// This user is one of no other subject's, so that the program that remembers is told no more than one piece of news a round.
			s.name, s.server = s.name+readFirst, reader
			b.addAt(lone, users, s)
		}
	}
	return nil
}

// Whose users a subject is of.
const (
	largeCustomers = ", customer of all"
	smallCustomers = ", customer of one"
)

func (b *bench) addAt(connections, users int, s subject) {
	s.users, s.only = users, connections
	b.add(s)
}

// growthFindings is what a run found out.
type growthFindings struct {
	command *growthCommand
	machine []string
	sizes   []size
	results results
}

func (f *growthFindings) at(s subject, users int) *figures {
	for _, r := range f.results {
		if r.subject.engine == s.engine && r.subject.name == s.name && r.subject.users == users {
			m := r.median()
			return &m
		}
	}
	return nil
}

// all is the processor time of a request, all of it but the load's.
func (f figures) all() time.Duration { return f.cpu + f.database }

func (f *growthFindings) writeAll(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "%s\n\n", strings.Join(f.machine, "\n")); err != nil {
		return err
	}
	t := newTable(w, "directory", "filled in", "on disk")
	for _, s := range f.sizes {
		t.row(fmt.Sprintf("%s, %d users", engineName(s.engine), s.users), s.filled.Round(time.Second).String(), fmt.Sprintf("%.0f MB", float64(s.bytes)/1e6))
	}
	if err := t.flush(); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "\nTime and CPU a request are beside those of the smallest directory.\n\n"); err != nil {
		return err
	}
	t = newTable(w, "connections", "what", "users", "requests/s", "p50", "p99", "CPU a request: server", "database", "time", "CPU", "errors")
	for _, r := range f.sorted() {
		m, least := r.median(), f.at(r.subject, f.command.Users[0])
		t.row(strconv.Itoa(r.connections), label(r.subject), strconv.Itoa(r.subject.users), number(m.perSecond), short(m.p50), short(m.p99),
			short(m.cpu), short(m.database), ratio(least.perSecond, m.perSecond), ratio(float64(m.all()), float64(least.all())), strconv.Itoa(m.errors))
	}
	if err := t.flush(); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "\nTargets, of this run:\n\n"); err != nil {
		return err
	}
	return writeTargets(w, f.targets())
}

// sorted has the sizes of each subject below each other, in the order of the subjects.
func (f *growthFindings) sorted() results {
	place := map[string]int{}
	for _, r := range f.results {
		if name := r.subject.engine + r.subject.name; place[name] == 0 {
			place[name] = len(place) + 1
		}
	}
	return slices.SortedStableFunc(slices.Values(f.results), func(a, b *result) int {
		return place[a.subject.engine+a.subject.name] - place[b.subject.engine+b.subject.name]
	})
}

// sameWork returns the figures that those of a large directory are beside, and what sets them apart: an update there finds its user as good as
// never remembered, and is beside one that reads it first, if that was measured.
func (f *growthFindings) sameWork(s subject, users int) (m *figures, how string) {
	if m = f.at(subject{engine: s.engine, name: s.name + readFirst}, users); m != nil {
		return m, readFirst
	}
	return f.at(s, users), ""
}

// growthTargets hold that nothing grows more than a B-tree makes it: as its depth does, which is the logarithm of its size; or as the
// floor does, which is one statement on such a tree, and a quarter of that more, for the noise.
func (f *growthFindings) growthTargets(name string, s subject, now *figures) []target {
	least := f.command.Users[0]
	depth := math.Log(float64(s.users)) / math.Log(float64(least))
	before, how := f.sameWork(s, least)
	took, cpu, longer, dearer := name+"time a request"+how, name+"CPU a request"+how, depth, depth
	floor := subject{engine: s.engine, name: floorOf[s.name]}
	if from, to := f.at(floor, least), f.at(floor, s.users); from != nil && to != nil {
		const noise = 1.25
		floorLonger, floorDearer := from.perSecond/to.perSecond, float64(to.all())/float64(from.all())
		longer, dearer = max(depth, noise*floorLonger), max(depth, noise*floorDearer)
		took += fmt.Sprintf(" (the floor: %.2f)", floorLonger)
		cpu += fmt.Sprintf(" (the floor: %.2f)", floorDearer)
	}
	return []target{atMost(took, longer, before.perSecond/now.perSecond), atMost(cpu, dearer, float64(now.all())/float64(before.all()))}
}

// targets hold that nothing grows beyond a B-tree's growth; that a page costs the same wherever it is; and that a small customer pays
// nothing for a large one.
func (f *growthFindings) targets() (all []target) {
	least, errors := f.command.Users[0], 0
	for _, r := range f.results {
		m := r.median()
		errors += m.errors
		users := r.subject.users
		if users == least || r.subject.floor {
			continue
		}
		name := fmt.Sprintf("%s, %d users: ", label(r.subject), users)
		if r.connections == sizesConnections {
			all = append(all, f.growthTargets(name, r.subject, &m)...)
		}
		if strings.HasSuffix(r.subject.name, " page") && r.subject.name != "first page" {
			first := f.at(subject{engine: r.subject.engine, name: "first page"}, users)
			if first != nil {
				all = append(all, atMost(name+"p50, of the first page's", 1.5, float64(m.p50)/float64(first.p50)))
			}
		}
		if kind, ok := strings.CutSuffix(r.subject.name, smallCustomers); ok {
			large := f.at(subject{engine: r.subject.engine, name: kind + largeCustomers}, users)
			if large != nil {
				all = append(all, atMost(name+"p50, of the large customer's", 1.25, float64(m.p50)/float64(large.p50)))
				same, how := f.sameWork(r.subject, users)
				what := fmt.Sprintf("%s %s, %d users: p50 of the large customer's, of the small one's%s", engineName(r.subject.engine), kind, users, how)
				all = append(all, atMost(what, 1.5, float64(large.p50)/float64(same.p50)))
			}
		}
	}
	return append(all, target{"requests that failed, in all", "0", strconv.Itoa(errors), errors == 0})
}
