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

// users is how many users each vendor has: MOVING_USERS, by default few. Seven tenths of them are at both.
func users(t testing.TB) int {
	text := os.Getenv("MOVING_USERS")
	if text == "" {
		return 60
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// move is a customer of two vendors who moves to a server.
type move struct {
	server  *servertest.Server
	token   string
	vendors map[string]*vendortest.Vendor
	common  int // the number of a person whom both vendors have
}

var dialects = []string{"worth", "testinium"}

// newMove pulls both vendors, merges, and imports into s.
func newMove(t *testing.T, s *servertest.Server, n int) *move {
	t.Helper()
	roles := s.Store.Catalogue()
	m := &move{server: s, token: s.Token(servertest.Manager()), vendors: map[string]*vendortest.Vendor{}, common: n/2 + 1}
	dir := t.TempDir()
	for i, dialect := range dialects {
		v := vendortest.New(t, dialect, roles, vendortest.People(i*n*3/10, n, roles))
		v.SetToken(m.token)
		m.vendors[dialect] = v
		p := pull.Pull{Client: m.client(t, dialect, v.URL), Dialect: dialect, Source: v.URL, Customer: v.Customer(), PageSize: 100,
			Refused: func(r pull.Refused) { t.Errorf("refused: %s", r) }}
		result, err := p.Run(t.Context(), func(write func(io.Writer) error) error { return userfile.WriteFile(filepath.Join(dir, dialect), write) })
		if err != nil || result.Written != int64(n) {
			t.Fatalf("pull %s: %+v, %v", dialect, result, err)
		}
	}
	merged := filepath.Join(dir, "merged.ndjson")
	err := userfile.WriteFile(merged, func(w io.Writer) error {
		result, err := merge.Merge{Worth: filepath.Join(dir, "worth"), Testinium: filepath.Join(dir, "testinium"), Roles: roles}.Run(w)
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

// client reads from an API with the token that both sides take.
func (m *move) client(t *testing.T, dialect, api string) *source.Client {
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
	c := compare.Compare{Dialect: dialect, Operation: describe(t, dialect).Show, Source: m.client(t, dialect, m.vendors[dialect].URL),
		Target: m.client(t, dialect, m.target(t, dialect).String()), Rules: difference.New(dialect, ignore), PageSize: 50, Workers: 4}
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
		Sample: 1, Workers: 8, Queue: 10000, MaxBody: 64 << 20, Timeout: time.Minute, ShowValues: true, Log: slog.New(slog.DiscardHandler)}
	if edit != nil {
		edit(&c)
	}
	s, err := shadow.New(c)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
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
	a, err := http.DefaultClient.Do(r)
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
	if f.dialect == "worth" {
		return f.list() + "/" + p.UUID.String()
	}
	return f.list() + "/" + strconv.FormatInt(p.ID, 10)
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

// TestMovingIn is the whole way: pull, merge, import, compare and shadow, with no difference.
func TestMovingIn(t *testing.T) {
	t.Parallel()
	servertest.EachWith(t, server.Config{}, func(t *testing.T, s *servertest.Server) {
		n := users(t)
		m := newMove(t, s, n)
		for _, dialect := range dialects {
			if r := m.compare(t, dialect); r.Differences() || r.Equal != int64(n) || len(r.Noise) > 0 {
				var text bytes.Buffer
				_ = r.WriteText(&text)
				t.Errorf("%s: %s", dialect, &text)
			}
			f := m.shadow(t, dialect, nil)
			var clients sync.WaitGroup
			seconds := max(1, min(n/100, 60))
			began := time.Now()
			for worker := range 8 {
				clients.Go(func() {
					for i := worker; i < seconds*200; i += 8 {
						time.Sleep(time.Until(began.Add(time.Duration(i) * 5 * time.Millisecond)))
						path := f.user(m.common + i%(n/10))
						if i%100 == 7 {
							path = f.list()
						}
						if status, _, _ := f.do(t, http.MethodGet, f.url, path, ""); status != http.StatusOK {
							t.Errorf("%s: %d", path, status)
						}
					}
				})
			}
			clients.Wait()
			report := f.close()
			var text bytes.Buffer
			_ = report.WriteText(&text)
			show := of(report, describe(t, dialect).Show)
			if report.Differ() > 0 || show.Equal < int64(seconds*198-seconds*2) {
				t.Error(text.String())
			}
			t.Log(text.String())
		}
		for _, v := range m.vendors {
			if writes := v.Requests(http.MethodPut) + v.Requests(http.MethodPatch) + v.Requests(http.MethodPost); writes > 0 {
				t.Errorf("a vendor was written %d times", writes)
			}
		}
	})
}

// show alters the member of what a GET answers for one user.
func show(alter func(user map[string]any)) func(string, http.Header, map[string]any) {
	return func(operation string, _ http.Header, body map[string]any) {
		if operation != "show" {
			return
		}
		if data, ok := body["data"].(map[string]any); ok {
			body = data
		}
		alter(body)
	}
}

// TestPlantedDifferences: whatever the vendor answers otherwise is found, and named by its field.
func TestPlantedDifferences(t *testing.T) {
	t.Parallel()
	m := newMove(t, servertest.Start(t), 20)
	for _, tc := range []struct {
		name, dialect string
		alter         func(operation string, header http.Header, body map[string]any)
		field, how    string
	}{
		{"a field dropped here", "worth", show(func(u map[string]any) { u["nickname"] = "x" }), "data.nickname", difference.Missing},
		{"a field added here", "worth", show(func(u map[string]any) { delete(u, "mobile") }), "data.mobile", difference.Added},
		{"a status changed", "worth", show(func(u map[string]any) { u["status"] = "INVITED" }), "data.status", difference.Differs},
		{"a name changed", "worth", show(func(u map[string]any) { u["first_name"] = "Ada " }), "data.first_name", difference.Differs},
		{"an e-mail in another case", "worth", show(func(u map[string]any) { u["email"] = strings.ToLower(u["email"].(string)) }), "data.email", difference.Differs},
		{"a subrole changed", "worth", show(func(u map[string]any) { u["subrole"].(map[string]any)["code"] = "owner" }), "data.subrole.code", difference.Differs},
		{"no subrole", "worth", show(func(u map[string]any) { u["subrole"] = nil }), "data.subrole", difference.Differs},
		{"a number as text", "worth", show(func(u map[string]any) { u["subrole"].(map[string]any)["role_id"] = "2" }), "data.subrole.role_id", difference.Type},
		{"a truth value as text", "worth", show(func(u map[string]any) { u["is_first_login"] = "false" }), "data.is_first_login", difference.Type},
		{"a creation a second later", "worth", show(func(u map[string]any) { u["created_at"] = "2024-02-12T14:16:50.053000" }), "data.created_at", difference.Differs},
		{"the customer's name", "worth", show(func(u map[string]any) { u["company_details"].(map[string]any)["name"] = "Other" }), "data.company_details.name", difference.Differs},
		{"the envelope's status", "worth", func(op string, _ http.Header, body map[string]any) {
			if op == "show" {
				body["status"] = "ok"
			}
		}, "status", difference.Differs},
		{"another HTTP status", "worth", func(op string, _ http.Header, body map[string]any) {
			if op == "show" {
				body["#status"] = 203
			}
		}, "status", difference.Differs},
		{"a header lost here", "worth", func(_ string, h http.Header, _ map[string]any) { h.Set("X-Total-Count", "7") }, "header X-Total-Count", difference.Missing},
		{"another media type", "worth", func(_ string, h http.Header, _ map[string]any) { h.Set("Content-Type", "application/vnd.worth") }, "header Content-Type", difference.Differs},
		{"no object", "worth", func(op string, _ http.Header, body map[string]any) {
			if op == "show" {
				body["#value"] = []any{}
			}
		}, "body", difference.Type},
		{"an id as text", "testinium", show(func(u map[string]any) { u["entityId"] = fmt.Sprint(u["entityId"]) }), "entityId", difference.Type},
		{"a role fewer here", "testinium", show(func(u map[string]any) {
			u["authorities"] = append(u["authorities"].([]any), map[string]any{"entityId": 5, "name": "ROLE_CHANGE_USER", "cleanName": nil})
		}), "authorities[ROLE_CHANGE_USER]", difference.Missing},
		{"a role more here", "testinium", show(func(u map[string]any) { u["authorities"] = []any{} }), "authorities[ROLE_USER]", difference.Added},
		{"a flag changed", "testinium", show(func(u map[string]any) { u["accountNonExpired"] = false }), "accountNonExpired", difference.Differs},
		{"a secret not there", "testinium", show(func(u map[string]any) { delete(u, "accessToken") }), "accessToken", difference.Added},
		{"another user", "testinium", show(func(u map[string]any) { u["username"] = "nobody" }), "username", difference.Differs},
		{"a time in seconds", "testinium", show(func(u map[string]any) { u["createdDate"] = u["createdDate"].(int64) / 1000 }), "createdDate", difference.Differs},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := m.vendors[tc.dialect]
			v.Alter = tc.alter
			defer func() { v.Alter = nil }()
			r := m.compare(t, tc.dialect)
			found := func(d difference.Difference) bool { return d.Field == tc.field && d.How == tc.how }
			if r.Differ != r.Listed || len(r.Users) == 0 || !slices.ContainsFunc(r.Users[0].Differences, found) {
				t.Errorf("compare: of %d users %d differ, %v, want %s %s", r.Listed, r.Differ, r.Users, tc.field, tc.how)
			}
			if ignored := m.compare(t, tc.dialect, tc.field, strings.ReplaceAll(tc.field, "[ROLE_USER]", ""), strings.ReplaceAll(tc.field, "[ROLE_CHANGE_USER]", "")); ignored.Differ > 0 && tc.field != "status" && tc.field != "body" {
				t.Errorf("compare --ignore %s: %v", tc.field, ignored.Users)
			}
			f := m.shadow(t, tc.dialect, nil)
			f.do(t, http.MethodGet, f.url, f.user(m.common), "")
			o := of(f.close(), describe(t, tc.dialect).Show)
			if o.Differ != 1 || o.Fields[tc.field] == 0 || len(o.Examples) != 1 || !slices.ContainsFunc(o.Examples[0].Differences, found) {
				t.Errorf("shadow: %+v, want %s %s", o, tc.field, tc.how)
			}
		})
	}
}

func TestMissingAndNoise(t *testing.T) {
	t.Parallel()
	m := newMove(t, servertest.Start(t), 20)
	v := m.vendors["worth"]
	v.Add(vendortest.People(900, 1, m.server.Store.Catalogue())[0])
	asked := 0
	var mu sync.Mutex
	v.Alter = show(func(u map[string]any) {
		mu.Lock()
		defer mu.Unlock()
		if strings.HasSuffix(u["email"].(string), ".5@Example.com") {
			if asked++; asked == 1 {
				u["mobile"] = "flickers"
			}
		}
	})
	r := m.compare(t, "worth")
	if r.Missing != 1 || r.Differ != 0 || r.Equal != 20 || r.Noise["data.mobile"] != 1 || len(r.Users) != 1 || r.Users[0].Differences[0].Field != "user" {
		t.Errorf("%+v", r)
	}
	for name, write := range map[string]func(io.Writer) error{"json": r.WriteJSON, "junit": r.WriteJUnit, "text": r.WriteText} {
		var b bytes.Buffer
		if err := write(&b); err != nil || !strings.Contains(b.String(), r.Users[0].ID) {
			t.Errorf("%s: %v %s", name, err, &b)
		}
	}
}

// TestShadowServesTheSource: answers pass as they are, also errors, and with the target dead.
func TestShadowServesTheSource(t *testing.T) {
	t.Parallel()
	m := newMove(t, servertest.Start(t), 20)
	for _, dialect := range dialects {
		alive := m.shadow(t, dialect, nil)
		dead := m.shadow(t, dialect, func(c *shadow.Config) { c.Target = parse(t, "http://127.0.0.1:1/x") })
		for _, path := range []string{alive.user(m.common), alive.list(), alive.list() + "/nobody", "/elsewhere?x=%zz;&y", alive.list() + "/a%2Fb"} {
			status, header, body := alive.do(t, http.MethodGet, m.vendors[dialect].URL, path, "")
			for name, f := range map[string]*front{"alive": alive, "dead": dead} {
				gotStatus, gotHeader, gotBody := f.do(t, http.MethodGet, f.url, path, "")
				header.Del("Date")
				gotHeader.Del("Date")
				if gotStatus != status || !bytes.Equal(gotBody, body) || fmt.Sprint(gotHeader) != fmt.Sprint(header) {
					t.Errorf("%s with the target %s: %d %v %s, not %d %v %s", path, name, gotStatus, gotHeader, gotBody, status, header, body)
				}
			}
		}
		if o := of(dead.close(), describe(t, dialect).Show); o.Unanswered == 0 || o.Differ != 0 {
			t.Errorf("%+v", o)
		}
		alive.close()
	}
}

// TestShadowOfWrites: a write reaches the source once and the target as a dry run, and what it changed is not compared any more.
func TestShadowOfWrites(t *testing.T) {
	t.Parallel()
	servertest.EachWith(t, server.Config{}, func(t *testing.T, s *servertest.Server) {
		m := newMove(t, s, 20)
		for _, dialect := range dialects {
			f := m.shadow(t, dialect, nil)
			api := describe(t, dialect)
			method, body := f.put(m.common)
			if status, _, answer := f.do(t, method, f.url, f.user(m.common), body); status != http.StatusOK {
				t.Fatalf("%d %s", status, answer)
			}
			if n := m.vendors[dialect].Requests(method); n != 1 {
				t.Errorf("the source was written %d times", n)
			}
			f.do(t, http.MethodGet, f.url, f.user(m.common), "")
			f.do(t, http.MethodGet, f.url, f.user(m.common+1), "")
			f.do(t, http.MethodGet, f.url, f.list(), "")
			r := f.close()
			update, show, list := of(r, api.Updates[0]), of(r, api.Show), of(r, api.List)
			if update.Equal != 1 || show.Equal != 1 || show.WrittenSince != 1 || list.WrittenSince != 1 || r.Differ() != 0 {
				t.Errorf("%s: %+v", dialect, r)
			}
		}
		p := vendortest.People(m.common, 1, s.Store.Catalogue())[0]
		if u := s.FindUser(t, p.ID); u.FirstName != p.FirstName || u.Version != 1 {
			t.Errorf("the target was written: %+v", u)
		}
	})
}

// TestShadowSeesWritesElsewhere: Worth's answer tells that a user was written since.
func TestShadowSeesWritesElsewhere(t *testing.T) {
	t.Parallel()
	m := newMove(t, servertest.Start(t), 20)
	f := m.shadow(t, "worth", nil)
	method, body := f.put(m.common)
	f.do(t, method, m.vendors["worth"].URL, f.user(m.common), body)
	f.do(t, http.MethodGet, f.url, f.user(m.common), "")
	if o := of(f.close(), describe(t, "worth").Show); o.WrittenSince != 1 || o.Differ != 0 {
		t.Errorf("%+v", o)
	}
}

func TestShadowHidesValues(t *testing.T) {
	t.Parallel()
	m := newMove(t, servertest.Start(t), 20)
	m.vendors["worth"].Alter = show(func(u map[string]any) { u["first_name"] = "Secretive" })
	f := m.shadow(t, "worth", func(c *shadow.Config) { c.ShowValues = false })
	f.do(t, http.MethodGet, f.url, f.user(m.common), "")
	r := f.close()
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String(), "Secretive") || !strings.Contains(text.String(), "data.first_name: the source has hmac:") {
		t.Error(text.String())
	}
}

// TestShadowIsBounded: a target that hangs costs the client nothing, and what does not fit is counted.
func TestShadowIsBounded(t *testing.T) {
	t.Parallel()
	m := newMove(t, servertest.Start(t), 20)
	hang := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	t.Cleanup(slow.Close)
	f := m.shadow(t, "worth", func(c *shadow.Config) { c.Target, c.Workers, c.Queue = parse(t, slow.URL), 1, 2 })
	for range 10 {
		if status, _, _ := f.do(t, http.MethodGet, f.url, f.user(m.common), ""); status != http.StatusOK {
			t.Errorf("status %d", status)
		}
	}
	if o := of(f.shadow.Report(), describe(t, "worth").Show); o.Dropped < 7 || o.Requests != 10 {
		t.Errorf("%+v", o)
	}
	close(hang)
	f.close()
}
