package shadow_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/moving/compare"
	"github.com/dragoman-id/dragoman/server/moving/difference"
	"github.com/dragoman-id/dragoman/server/moving/merge"
	"github.com/dragoman-id/dragoman/server/moving/pull"
	"github.com/dragoman-id/dragoman/server/moving/shadow"
	"github.com/dragoman-id/dragoman/server/moving/source"
	"github.com/dragoman-id/dragoman/server/moving/vendortest"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store/userfile"
)

// users is how many users each vendor has: MOVING_USERS, by default few. Seven tenths of them are at both. The test is long if it is set.
func users(t testing.TB) (n int, long bool) {
	text := os.Getenv("MOVING_USERS")
	if text == "" {
		return 100, false
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n, true
}

// move is a customer of two vendors who moves to a server.
type move struct {
	server  *servertest.Server
	token   string
	vendors map[string]*vendortest.Vendor
	common  int // the number of a person whom both vendors have
	client  *http.Client
}

var dialects = []string{"worth", "testinium"}

// clients is how many clients a shadow has at a time, where they do not come at fixed times.
const clients = 8

// newMove pulls both vendors, merges, and imports into s.
func newMove(t *testing.T, s *servertest.Server, n int) *move {
	t.Helper()
	roles := s.Store.Catalogue()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	m := &move{server: s, token: s.Token(servertest.Manager()), vendors: map[string]*vendortest.Vendor{}, common: n/2 + 1, client: &http.Client{Transport: transport}}
	dir := t.TempDir()
	for i, dialect := range dialects {
		people := vendortest.People(i*n*3/10, n, roles)
		if i == 0 { // the first pages of Worth's list have the people whom both vendors have, as the server's
			people = append(people[n*3/10:], people[:n*3/10]...)
		}
		v := vendortest.New(t, dialect, roles, people)
		v.SetToken(m.token)
		m.vendors[dialect] = v
		p := pull.Pull{Client: m.reader(t, dialect, v.URL), Dialect: dialect, Source: v.URL, Customer: v.Customer(), PageSize: 100,
			Refused: func(r pull.Refused) { t.Errorf("refused: %s", r) }}
		result, err := p.Run(t.Context(), func(write func(io.Writer) error) error { return userfile.WriteFile(filepath.Join(dir, dialect), write) })
		if err != nil || result.Written != int64(n) {
			t.Fatalf("pull %s: %+v, %v", dialect, result, err)
		}
	}
	merged := filepath.Join(dir, "merged.ndjson")
	err := userfile.WriteFile(merged, func(w io.Writer) error {
		result, err := merge.Merge{Worth: filepath.Join(dir, "worth"), Testinium: filepath.Join(dir, "testinium")}.Run(t.Context(), w)
		if want := (merge.Result{Both: int64(n - n*3/10), Worth: int64(n * 3 / 10), Testinium: int64(n * 3 / 10)}); result != want {
			t.Errorf("merged %+v, want %+v", result, want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	file, err := userfile.OpenSource(t.Context(), merged)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	imported, err := userfile.Import{Store: s.Store, Format: userfile.NDJSON, Refused: func(e *userfile.LineError) { t.Error(e) }}.Run(t.Context(), file)
	if err != nil || imported != int64(n+n*3/10) {
		t.Fatalf("imported %d: %v", imported, err)
	}
	return m
}

func parse(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// reader reads from an API with the token that both sides take.
func (m *move) reader(t *testing.T, dialect, api string) *source.Client {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(m.token), 0o600); err != nil {
		t.Fatal(err)
	}
	customer := vendortest.CustomerUUID
	if dialect == "testinium" {
		customer = strconv.Itoa(vendortest.CustomerID)
	}
	return source.New(source.Config{URL: parse(t, api), Customer: customer, Company: strconv.Itoa(vendortest.CompanyID),
		Tokens: &source.Tokens{File: file}, Rate: 1e6, Timeout: time.Minute, RetryFor: time.Minute})
}

func describe(t *testing.T, dialect string) description.API {
	t.Helper()
	for _, d := range server.Descriptions(server.Dialects()) {
		if d.Name == dialect {
			return d
		}
	}
	t.Fatal("no such dialect")
	return description.API{}
}

// target is the URL of a dialect's API at the server.
func (m *move) target(t *testing.T, dialect string) *url.URL {
	t.Helper()
	document, err := describe(t, dialect).Spec()
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, m.server.URL+description.BasePath(document))
}

func (m *move) compare(t *testing.T, dialect string, ignore ...string) compare.Report {
	t.Helper()
	c := compare.Compare{Dialect: dialect, Operation: describe(t, dialect).Show, Source: m.reader(t, dialect, m.vendors[dialect].URL),
		Target: m.reader(t, dialect, m.target(t, dialect).String()), Rules: difference.New(dialect, ignore), PageSize: 50, Workers: 4}
	r, err := c.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// front is a shadow, and a client of it.
type front struct {
	m       *move
	dialect string
	url     string
	shadow  *shadow.Shadow
	server  *httptest.Server
	end     func() shadow.Report // of a shadow that is a process; nil: it is in this one
}

func (m *move) shadow(t *testing.T, dialect string, edit func(*shadow.Config)) *front {
	t.Helper()
	c := shadow.Config{Dialect: describe(t, dialect), Source: parse(t, m.vendors[dialect].URL), Target: m.target(t, dialect), Rules: difference.New(dialect, nil),
		Sample: 1, Workers: 8, Queue: 1000, MaxBody: 16 << 20, MaxMemory: 256 << 20, Timeout: 10 * time.Second, ShowValues: true, Log: slog.New(slog.DiscardHandler)}
	if edit != nil {
		edit(&c)
	}
	s, err := shadow.New(c)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewUnstartedServer(nil)
	h.Config = s.Server()
	h.Start()
	t.Cleanup(h.Close)
	return &front{m: m, dialect: dialect, url: h.URL + parse(t, m.vendors[dialect].URL).Path, shadow: s, server: h}
}

// process starts a shadow as dragoman shadow, with its defaults.
func (m *move) process(t *testing.T, dialect string) *front {
	t.Helper()
	dir := t.TempDir()
	program, report := filepath.Join(dir, "dragoman"), filepath.Join(dir, "report.json")
	if err := servertest.BuildProgram(program); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(program, "shadow", "--listen", "127.0.0.1:0", "--dialect", dialect, "--source", m.vendors[dialect].URL, "--target", m.target(t, dialect).String(), "--json", report)
	c.Dir, c.Env = dir, []string{"HOME=" + dir}
	stderr, err := c.StderrPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	said := bufio.NewReader(stderr)
	line, err := said.ReadString('\n')
	_, at, ok := strings.Cut(strings.TrimSpace(line), " is listening on ")
	if !ok {
		_ = c.Process.Kill()
		t.Fatalf("dragoman shadow said %q, %v", line, err)
	}
	end := sync.OnceValue(func() (r shadow.Report) {
		if err := c.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		rest, _ := io.ReadAll(said)
		_ = c.Wait()
		text, err := os.ReadFile(report)
		if err == nil {
			err = json.Unmarshal(text, &r)
		}
		if status := c.ProcessState.ExitCode(); err != nil || (status != 0) != (r.Differ() > 0) {
			t.Errorf("dragoman shadow ended with %d, %v: %s", status, err, rest)
		}
		return r
	})
	t.Cleanup(func() { end() })
	return &front{m: m, dialect: dialect, url: at + parse(t, m.vendors[dialect].URL).Path, end: end}
}

// do sends a request through the shadow, or with base to another server.
func (f *front) do(t *testing.T, method, base, path, body string) (status int, header http.Header, answer []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+f.m.token)
	r.Header.Set("current-company-id", strconv.Itoa(vendortest.CompanyID))
	r.Header.Set("Content-Type", "application/json")
	a, err := f.m.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	answer, err = io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a.StatusCode, a.Header, answer
}

// list is the path of the list, and user that of a user by number.
func (f *front) list() string { return "/customers/" + f.m.vendors[f.dialect].Customer() + "/users" }

func (f *front) user(k int) string {
	p := vendortest.People(k, 1, f.m.server.Store.Catalogue())[0]
	return f.m.vendors[f.dialect].UserPath(&p)
}

// put is the body of an update that gives a user another name.
func (f *front) put(k int) (method, body string) { return f.update(k, "Renamed") }

func (f *front) update(k int, lastName string) (method, body string) {
	if f.dialect == "worth" {
		return http.MethodPatch, fmt.Sprintf(`{"last_name":%q}`, lastName)
	}
	p := vendortest.People(k, 1, f.m.server.Store.Catalogue())[0]
	authorities := []any{}
	for _, r := range f.m.server.Store.Catalogue().In(p.Roles) {
		authorities = append(authorities, map[string]any{"name": r.Name})
	}
	text, _ := json.Marshal(map[string]any{"name": p.FirstName, "surname": lastName, "username": p.Username, "email": p.Email, "enabled": p.Status == "ACTIVE",
		"accountNonExpired": p.AccountNonExpired, "accountNonLocked": p.AccountNonLocked, "credentialNonExpired": p.CredentialNonExpired, "authorities": authorities})
	return http.MethodPut, string(text)
}

// close ends the shadow and returns its report.
func (f *front) close() shadow.Report {
	if f.end != nil {
		return f.end()
	}
	f.server.Close()
	f.shadow.Close(context.Background())
	return f.shadow.Report()
}

func of(r shadow.Report, name string) shadow.Operation {
	for _, o := range r.Operations {
		if o.Name == name {
			return o
		}
	}
	return shadow.Operation{}
}

// TestMovingIn is the whole way: pull, merge, import, compare and shadow, with no difference, and then with some that are planted.
func TestMovingIn(t *testing.T) {
	t.Parallel()
	servertest.EachWith(t, server.Config{}, func(t *testing.T, s *servertest.Server) {
		n, long := users(t)
		m := newMove(t, s, n)
		for _, dialect := range dialects {
			if r := m.compare(t, dialect); r.Differences() || r.Equal != int64(n) || len(r.Noise) > 0 {
				var text bytes.Buffer
				_ = r.WriteText(&text)
				t.Errorf("%s: %s", dialect, &text)
			}
			m.load(t, dialect, n, long)
			m.plant(t, dialect, n)
			m.plantInLists(t, dialect)
		}
	})
}

// load asks a shadow for some of n users, and compares. The long form is by dragoman shadow itself, for a minute.
func (m *move) load(t *testing.T, dialect string, n int, long bool) {
	t.Helper()
	l := load{users: n / 10, requests: 200}
	if long {
		l.front, l.every, l.requests = m.process(t, dialect), 5*time.Millisecond, 60*200
	} else {
		l.front = m.shadow(t, dialect, nil)
	}
	took := l.run(t)
	report := l.front.close()
	var text bytes.Buffer
	_ = report.WriteText(&text)
	api := describe(t, dialect)
	direct, proxied := median(l.direct), median(l.proxied)
	rate := float64(l.requests) / took.Seconds()
	t.Logf("%.1f requests/s; p50 of %s is %s direct and %s through the shadow; the latest request began %s late\n%s", rate, api.Show, direct, proxied, l.late, &text)
	compared := int64(0)
	for _, o := range report.Operations {
		compared += o.Equal
	}
	lists, shown, updated := of(report, api.List).Equal, of(report, api.Show).Equal, of(report, api.Updates[0]).Equal
	if report.Differ() > 0 || compared != int64(l.requests) || lists == 0 || shown == 0 || updated != int64(l.writes()) {
		t.Errorf("%d of %d requests are equal and %d differ", compared, l.requests, report.Differ())
	}
	if v := m.vendors[dialect]; v.Requests(http.MethodPut)+v.Requests(http.MethodPatch) != l.writes() {
		t.Errorf("%d writes reached the source, not %d", v.Requests(http.MethodPut)+v.Requests(http.MethodPatch), l.writes())
	}
	if !long {
		return
	}
	if rate < 198 {
		t.Errorf("%.1f requests/s were answered, not 200", rate)
	}
	if proxied-direct >= time.Millisecond {
		t.Errorf("the shadow adds %s to the source's p50", proxied-direct)
	}
}

// load sends requests through a shadow, and reads of single users also to its source itself, so that the two can be compared.
type load struct {
	front    *front
	users    int           // how many users are read
	requests int           // through the shadow
	every    time.Duration // between two of them, whether or not earlier ones are answered; 0: some clients ask as soon as they are answered

	mu              sync.Mutex
	direct, proxied []time.Duration // how long the reads of single users took
	late            time.Duration   // how late after its time a request began, at most
}

// run returns how long it took until all were answered.
func (l *load) run(t *testing.T) time.Duration {
	var running errgroup.Group
	if l.every == 0 {
		running.SetLimit(clients)
	}
	began := time.Now()
	for i := range l.requests {
		if l.every > 0 {
			due := began.Add(time.Duration(i) * l.every)
			time.Sleep(time.Until(due))
			l.late = max(l.late, time.Since(due))
		} else if i == l.requests/2 {
			_ = running.Wait()
			l.front.drain(t) // lists are compared until the source is written
		}
		running.Go(func() error {
			l.request(t, i)
			return nil
		})
	}
	_ = running.Wait()
	return time.Since(began)
}

// isWrite reports whether a request is a write: one in ten of the second half.
func (l *load) isWrite(i int) bool { return i >= l.requests/2 && i%10 == 3 }

func (l *load) writes() (n int) {
	for i := range l.requests {
		if l.isWrite(i) {
			n++
		}
	}
	return n
}

// request sends the request of a number. In the first third a hundredth is for lists. As Testinium's has no pages, it is asked for more seldom.
// Each write is of another user, who is asked for nowhere else, and changes nothing.
func (l *load) request(t *testing.T, i int) {
	f := l.front
	first := i < l.requests/3
	switch {
	case l.isWrite(i):
		k := f.m.common + max(l.users, len(planted)) + (i-l.requests/2)/10
		method, body := f.update(k, vendortest.People(k, 1, f.m.server.Store.Catalogue())[0].LastName)
		if status, _, text := f.do(t, method, f.url, f.user(k), body); status != http.StatusOK {
			t.Errorf("user %d: %d %s", k, status, text)
		}
		return
	case first && f.dialect == "worth" && i%100 == 7:
		l.get(t, f.url, fmt.Sprintf("%s?page=%d&itemsPerPage=50", f.list(), 1+i/100))
		return
	case first && f.dialect == "testinium" && i%2000 == 7:
		l.get(t, f.url, f.list())
		return
	}
	path := f.user(f.m.common + i%l.users)
	bases := []string{f.m.vendors[f.dialect].URL, f.url}
	if i%2 == 1 {
		slices.Reverse(bases)
	}
	for _, base := range bases {
		took := l.get(t, base, path)
		l.mu.Lock()
		if base == f.url {
			l.proxied = append(l.proxied, took)
		} else {
			l.direct = append(l.direct, took)
		}
		l.mu.Unlock()
	}
}

// drain waits until all that was asked is compared.
func (f *front) drain(t *testing.T) {
	for slices.ContainsFunc(f.shadow.Report().Operations, func(o shadow.Operation) bool { return o.Queued > 0 }) {
		f.do(t, http.MethodGet, f.url, "/elsewhere", "")
	}
}

func (l *load) get(t *testing.T, base, path string) time.Duration {
	began := time.Now()
	if status, _, _ := l.front.do(t, http.MethodGet, base, path, ""); status != http.StatusOK {
		t.Errorf("%s: %d", path, status)
	}
	return time.Since(began)
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}
