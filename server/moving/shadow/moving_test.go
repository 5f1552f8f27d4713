package shadow_test

import (
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
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

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
		return 60, false
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

// clients is how many clients a shadow has at a time.
const clients = 8

// newMove pulls both vendors, merges, and imports into s.
func newMove(t *testing.T, s *servertest.Server, n int) *move {
	t.Helper()
	roles := s.Store.Catalogue()
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	t.Cleanup(transport.CloseIdleConnections)
	m := &move{server: s, token: s.Token(servertest.Manager()), vendors: map[string]*vendortest.Vendor{}, common: n/2 + 1, client: &http.Client{Transport: transport}}
	dir := t.TempDir()
	for i, dialect := range dialects {
		v := vendortest.New(t, dialect, roles, vendortest.People(i*n*3/10, n, roles))
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
}

func (m *move) shadow(t *testing.T, dialect string, edit func(*shadow.Config)) *front {
	t.Helper()
	c := shadow.Config{Dialect: describe(t, dialect), Source: parse(t, m.vendors[dialect].URL), Target: m.target(t, dialect), Rules: difference.New(dialect, nil),
		Sample: 1, Workers: 8, Queue: 10000, MaxBody: 64 << 20, MaxMemory: 256 << 20, Timeout: time.Minute, ShowValues: true, Log: slog.New(slog.DiscardHandler)}
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
	return &front{m, dialect, h.URL + parse(t, m.vendors[dialect].URL).Path, s, h}
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
func (f *front) put(k int) (method, body string) {
	if f.dialect == "worth" {
		return http.MethodPatch, `{"first_name":"Renamed"}`
	}
	p := vendortest.People(k, 1, f.m.server.Store.Catalogue())[0]
	authorities := []any{}
	for _, r := range f.m.server.Store.Catalogue().In(p.Roles) {
		authorities = append(authorities, map[string]any{"name": r.Name})
	}
	text, _ := json.Marshal(map[string]any{"name": "Renamed", "surname": p.LastName, "username": p.Username, "email": p.Email, "enabled": p.Status == "ACTIVE",
		"accountNonExpired": p.AccountNonExpired, "accountNonLocked": p.AccountNonLocked, "credentialNonExpired": p.CredentialNonExpired, "authorities": authorities})
	return http.MethodPut, string(text)
}

// close ends the shadow and returns its report.
func (f *front) close() shadow.Report {
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
			f := m.shadow(t, dialect, nil)
			l := load{front: f, users: n / 10}
			if long {
				l.every, l.requests = 5*time.Millisecond, 60*200
			} else {
				l.requests = 200
			}
			l.run(t)
			report := f.close()
			var text bytes.Buffer
			_ = report.WriteText(&text)
			direct, proxied := median(l.direct), median(l.proxied)
			t.Logf("p50 of %s is %s direct and %s through the shadow\n%s", describe(t, dialect).Show, direct, proxied, &text)
			compared := int64(0)
			for _, o := range report.Operations {
				compared += o.Equal
			}
			if report.Differ() > 0 || compared != int64(l.requests) {
				t.Errorf("%d of %d requests are equal and %d differ", compared, l.requests, report.Differ())
			}
			if long && proxied-direct >= time.Millisecond {
				t.Errorf("the shadow adds %s to the source's p50", proxied-direct)
			}
			m.plant(t, dialect, n)
		}
		for _, v := range m.vendors {
			if writes := v.Requests(http.MethodPut) + v.Requests(http.MethodPatch) + v.Requests(http.MethodPost); writes > 0 {
				t.Errorf("a vendor was written %d times", writes)
			}
		}
	})
}

// load sends requests through a shadow, and those for single users also to its source itself, so that the two can be compared.
type load struct {
	front    *front
	users    int           // how many users are asked for
	requests int           // through the shadow
	every    time.Duration // between two of them; 0: none

	mu              sync.Mutex
	direct, proxied []time.Duration // how long the requests for single users took
}

func (l *load) run(t *testing.T) {
	var running sync.WaitGroup
	began := time.Now()
	for client := range clients {
		running.Go(func() {
			for i := client; i < l.requests; i += clients {
				if l.every > 0 {
					time.Sleep(time.Until(began.Add(time.Duration(i) * l.every)))
				}
				l.request(t, i)
			}
		})
	}
	running.Wait()
}

// request sends the request of a number. A hundredth of all are for lists. As Testinium's has no pages, it is asked for more seldom.
func (l *load) request(t *testing.T, i int) {
	f := l.front
	switch {
	case f.dialect == "worth" && i%100 == 7:
		l.get(t, f.url, fmt.Sprintf("%s?page=%d&itemsPerPage=50", f.list(), 1+i/100))
		return
	case f.dialect == "testinium" && i%2000 == 7:
		l.get(t, f.url, f.list())
		return
	}
	path := f.user(f.m.common + i%l.users)
	bases := []string{f.m.vendors[f.dialect].URL, f.url}
	if i/clients%2 == 1 {
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
