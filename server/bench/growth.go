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
	Users   []int    `default:"10000,1000000" help:"The sizes of the directories, in users."`
	Engines []string `enum:"postgres,sqlite" default:"postgres,sqlite" help:"The engines to measure: ${enum}."`
}

// Help is the long text of --help.
func (*growthCommand) Help() string {
	return "Each size has its own directory on each engine. All are measured in one run, interleaved. Ten million users take some 30 GB of " +
		"disk and twenty minutes to fill."
}

// Validate rejects sizes that cannot be compared.
func (c *growthCommand) Validate() error {
	if len(c.Users) == 0 || slices.Min(c.Users) < 1000 {
		return errors.New("--users must be one or more numbers of at least 1000")
	}
	if c.Write && len(c.Engines) < 2 {
		return errors.New("--write requires results of both engines")
	}
	slices.Sort(c.Users)
	return c.measureFlags.Validate()
}

// The number of connections for comparing sizes, and for comparing customers. The latter is 1, because the small customer has a single
// user, whose writes run one at a time.
const (
	sizesConnections = 16
	lone             = 1
)

// size is a directory of some size and the figures about it.
type size struct {
	users    int
	engine   string
	database string // its URL
	filled   time.Duration
	bytes    int64 // on disk
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

// newDirectory returns the URL of an empty directory, which close removes.
func (b *bench) newDirectory(ctx context.Context, engine string) (database string, err error) {
	if engine == "sqlite" {
		return "sqlite:" + b.file(fmt.Sprintf("growth%d.db", len(b.stop))), nil
	}
	if database, err = b.newSchema(ctx); err == nil && b.prewarm == "" {
		b.findPrewarm(ctx, database)
	}
	return database, err
}

// fill makes a directory with the given number of users of the large customer and one user of the small customer.
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
	// It indexes the users for searches, which the server would do during the measurements.
	if _, err := b.output(ctx, s.database, "migrate"); err != nil {
		return s, err
	}
	if err := settle(ctx, s.database); err != nil {
		return s, err
	}
	fmt.Fprintln(os.Stderr, s.filled.Round(time.Second))
	s.bytes, err = sizeOf(ctx, s.database)
	return s, err
}

// addFloor adds the floor to the subjects, on a directory of its own, because its writes would make the program's cached users stale.
func (b *bench) addFloor(ctx context.Context, users int) error {
	if !slices.ContainsFunc(floorSubjects(nil), b.wants) {
		return nil
	}
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

// readFirst is the suffix of the names of updates measured on a program without a cache of users.
const readFirst = ", user read first"

// addReadFirst adds updates on a program without a cache of users. Updates of a large directory are compared with these, because a
// program with many more users than its cache holds finds hardly any of them in it. They have a directory of their own, as the
// floor has.
func (b *bench) addReadFirst(ctx context.Context, engine string, users int) error {
	if !slices.ContainsFunc(updates, func(s subject) bool { return b.wants(subject{engine: engine, name: s.name + readFirst}) }) {
		return nil
	}
	directory, err := b.fill(ctx, engine, users)
	if err != nil {
		return err
	}
	server, err := b.startReadFirst(ctx, directory.database)
	if err != nil {
		return err
	}
	if err := numbered(ctx, directory.database); err != nil {
		return err
	}
	for _, s := range updates {
		s.engine, s.directory, s.server = engine, directory.database, server
		s.name += readFirst
		b.addAt(sizesConnections, users, s)
	}
	return nil
}

// startReadFirst starts the program without a cache of users.
func (b *bench) startReadFirst(ctx context.Context, database string) (*process, error) {
	return b.startProgram(ctx, database, "--remembered-users", "0")
}

// numbered waits until a server has numbered the changes of the filled users for the feed, which it would do during the measurements.
func numbered(ctx context.Context, database string) error {
	for {
		var pending bool
		if err := query(ctx, database, "SELECT EXISTS (SELECT 1 FROM feed_pending)", &pending); err != nil {
			return fmt.Errorf("wait for the feed: %w", err)
		}
		if !pending {
			return settle(ctx, database)
		}
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// addSize starts the servers on a directory and adds the subjects to measure on it.
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
	if err := numbered(ctx, database); err != nil {
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
	for _, s := range searches {
		s.engine, s.directory, s.server = engine, database, server
		b.addAt(lone, users, s)
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
			// No other subject updates this user through both programs, so at most one cached user becomes stale a round.
			s.name, s.server = s.name+readFirst, reader
			b.addAt(lone, users, s)
		}
	}
	return nil
}

// searches are searches of the large customer. Of a million users, the second finds 300.
var searches = []subject{
	{name: "search, one user", method: "GET", path: worthUsers + "?search=user{id}@"},
	{name: "search, few users", method: "GET", path: worthUsers + "?search=4321"},
	{name: searchSlow + "no user, two characters", method: "GET", path: worthUsers + "?search=zz"},
	{name: searchSlow + "every user", method: "GET", path: worthUsers + "?search=example"},
}

// searchSlow begins the names of searches that scan all users of a customer.
const searchSlow = "search by a scan, "

// The suffixes of the names of subjects that compare the large customer with the small one.
const (
	largeCustomers = ", customer of all"
	smallCustomers = ", customer of one"
)

func (b *bench) addAt(connections, users int, s subject) {
	s.users, s.only = users, connections
	b.add(s)
}

// growthFindings is what a run measured.
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

// all returns the processor time of a request on the server and the database, without that of the load generator.
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
	if _, err := fmt.Fprintf(w, "\nTime and CPU a request are relative to the smallest directory.\n\n"); err != nil {
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

// sorted returns the results grouped by subject, in the order of the subjects.
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

// sameWork returns the figures that a large directory is compared with, and the suffix that marks them. An update of a large directory
// hardly ever finds its user in the cache, so it is compared with an update on a program without a cache, if that was measured.
func (f *growthFindings) sameWork(s subject, users int) (m *figures, how string) {
	if m = f.at(subject{engine: s.engine, name: s.name + readFirst}, users); m != nil {
		return m, readFirst
	}
	return f.at(s, users), ""
}

// growthTargets check that the cost of a request grows no more than that of a B-tree lookup: in proportion to the tree's depth, which
// is the logarithm of its size, or to the floor's cost, which is one statement on such a tree, plus a quarter for noise.
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

// targets check that no cost grows more than that of a B-tree lookup, that a page costs the same wherever it is in the list, and that a
// large customer does not slow down a small one.
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
		if strings.HasPrefix(r.subject.name, searchSlow) {
			all = append(all, under(name+"p50", float64(time.Second), float64(m.p50), timeShown))
		} else if strings.HasPrefix(r.subject.name, "search") {
			all = append(all, under(name+"p50", float64(20*time.Millisecond), float64(m.p50), timeShown),
				under(name+"p99", float64(50*time.Millisecond), float64(m.p99), timeShown))
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
