package conformance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/conformance"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/google/uuid"
)

// around gives c a transport with f around it.
func around(t *testing.T, c conformance.Config, f func(*call) answer) conformance.Config {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	c.Transport = &faulty{next: transport, api: c.Dialect, fault: f, t: t}
	return c
}

// check runs c, which must be possible.
func check(t *testing.T, c conformance.Config) conformance.Report {
	t.Helper()
	report, err := conformance.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// asBefore fails the test unless the user is as before but for what any write changes.
func asBefore(t *testing.T, s *servertest.Server, before store.User) {
	t.Helper()
	after := s.FindUser(t, before.ID)
	after.Version, after.UpdatedAt, after.UpdatedBy = before.Version, before.UpdatedAt, before.UpdatedBy
	if differing := servertest.Differences(before, after); len(differing) > 0 {
		t.Errorf("the user has changed: %v", differing)
	}
}

// A server without Dragoman's additions only has to keep the laws of its vendor and HTTP.
func TestServerWithoutAdditions(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, dialect := range allDialects {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			c := config(s, dialect, newUser(t, s))
			c.Require = nil
			c = around(t, c, func(c *call) answer {
				switch m := c.members(); {
				case c.update() && len(m) > 0:
					c.body = []byte(encode(m)) // of two members the last
				case c.update() && c.Header.Get("Content-Type") == "":
					c.Header.Set("Content-Type", "text/plain")
				}
				a := plain(c)
				if a.status < http.StatusBadRequest {
					return a
				}
				return a.edit(func(m map[string]any) {
					inside, _, _ := strings.Cut(c.api.ErrorField, "[]")
					for outer, rest, more := strings.Cut(inside, "."); more && m != nil; outer, rest, more = strings.Cut(inside, ".") {
						m, _ = m[outer].(map[string]any)
						inside = rest
					}
					delete(m, inside)
				})
			})
			report := check(t, c)
			if len(report.Features) > 0 {
				t.Errorf("it offers %v", report.Features)
			}
			for _, r := range report.Results {
				if r.Outcome == conformance.Broken || r.Outcome == conformance.Unchecked {
					t.Errorf("%s: %s %s\n%s\n\n%s\nexpected %s, got %s", r.Name, r.Outcome, r.Reason, r.Request, r.Answer, r.Expected, r.Got)
				}
				switch want := map[string]conformance.Outcome{
					"repeated-members-are-refused":            conformance.Differs,
					"error-bodies-match-the-document":         conformance.Differs,
					"headers-match-the-document":              conformance.Differs,
					"if-match-with-a-stale-etag-is-412":       conformance.Skipped,
					"changed-lists-what-changed":              conformance.Skipped,
					"strict-handling-refuses-unknown-members": conformance.Skipped,
				}[r.Name]; want {
				case "", r.Outcome:
				default:
					t.Errorf("%s %s, want %s", r.Name, r.Outcome, want)
				}
			}
			c.Require, c.Only = []conformance.Feature{conformance.ETags, conformance.Rules}, []string{"if-match-*", "repeated-*"}
			if report := check(t, c); report.Count(conformance.Broken) != len(report.Results) {
				t.Errorf("of %d laws about what is required %d are broken", len(report.Results), report.Count(conformance.Broken))
			}
		})
	}
}

// changing tells whether a request gives the first name of a law's.
func changing(c *call) bool { return c.update() && bytes.Contains(c.body, []byte(`"Check `)) }

func TestUserIsRestoredAfterInterrupt(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for _, dialect := range dialects {
			before := newUser(t, s)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var changes atomic.Int64
			c := around(t, config(s, dialect, before), func(c *call) answer {
				a := c.send()
				if changing(c) && changes.Add(1) == 3 {
					cancel() // as Ctrl-C does, while the user is changed
				}
				return a
			})
			report, err := conformance.Run(ctx, c)
			if err != nil {
				t.Fatal(err)
			}
			if changes.Load() != 3 || report.Count(conformance.Unchecked) == 0 || report.Checked() {
				t.Errorf("after %d changes: %+v", changes.Load(), report)
			}
			if !report.Restoration.Done {
				t.Errorf("the user was not restored: %+v", report.Restoration)
			}
			asBefore(t, s, before)
		}
	})
}

func TestUserIsRestoredAfterFailure(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for name, fail := range map[string]func(*call) answer{
		"a panic in a law":     func(*call) answer { panic("on purpose") },
		"a lost connection":    func(*call) answer { panic(errors.New("connection reset")) },
		"nothing but failures": func(c *call) answer { return answer{status: 500, header: http.Header{}, body: []byte("x")} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := newUser(t, s)
			var changes atomic.Int64
			c := around(t, config(s, worth, before), func(c *call) answer {
				a := c.send()
				// The write is done; then the server fails for a while, with or without an answer.
				if n := changes.Load(); changing(c) || n > 0 && n < 8 {
					if changes.Add(1) < 8 {
						return fail(c)
					}
				}
				return a
			})
			c.Only = []string{"patch-keeps-absent-members", "update-*", "parallel-*"}
			report := check(t, c)
			if report.Count(conformance.Holds) == len(report.Results) {
				t.Errorf("all laws hold: %+v", report)
			}
			if !report.Restoration.Done {
				t.Errorf("the user was not restored: %+v", report.Restoration)
			}
			asBefore(t, s, before)
		})
	}
}

// A server that becomes read-only while the user is changed: the report has the request that restores the user.
func TestUnrestoredUserIsReported(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, dialect := range dialects {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			before := newUser(t, s)
			var changed atomic.Bool
			c := around(t, config(s, dialect, before), func(c *call) answer {
				if c.update() && changed.Load() {
					return answer{status: 503, header: http.Header{"Content-Type": {"application/json"}}, body: []byte(`{}`)}
				}
				changed.CompareAndSwap(false, changing(c))
				return c.send()
			})
			c.RestoreTimeout = 300 * time.Millisecond
			c.Only = []string{"update-sets-each-member"}
			report := check(t, c)
			if report.Restoration.Done || report.Checked() || !strings.Contains(report.Restoration.Reason, "503") {
				t.Fatalf("the restoration is %+v", report.Restoration)
			}
			var said strings.Builder
			conformance.Text{W: &said}.Alarm(report)
			for _, part := range []string{"THE USER WAS NOT RESTORED", report.Restoration.Request, report.Restoration.Body} {
				if !strings.Contains(said.String(), part) {
					t.Errorf("the alarm does not say %q:\n%s", part, said.String())
				}
			}
			method, url, _ := strings.Cut(report.Restoration.Request, " ")
			got := s.Ask(servertest.Manager(), servertest.Request{
				Method: method, Path: strings.TrimPrefix(url, s.URL), Body: report.Restoration.Body,
			})
			if got.Status != http.StatusOK {
				t.Errorf("the body to send gives %d %s", got.Status, got.Body)
			}
			asBefore(t, s, before)
		})
	}
}

// Every law writes only to the tested user, and nothing that cannot be reverted.
func TestOnlyTheUserIsWritten(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, dialect := range allDialects {
		for _, allow := range [][]conformance.Group{nil, conformance.Groups} {
			t.Run(fmt.Sprint(dialect, allow), func(t *testing.T) {
				t.Parallel()
				u := newUser(t, s)
				c := config(s, dialect, u)
				c.Allow = allow
				var mu sync.Mutex
				var wrong []string
				c = around(t, c, func(k *call) answer {
					if what := objection(k, c, u, len(allow) > 0); what != "" {
						mu.Lock()
						defer mu.Unlock()
						wrong = append(wrong, fmt.Sprintf("%s: %s %s %.300s", what, k.Method, k.URL, k.body))
					}
					return k.send()
				})
				report := check(t, c)
				if len(wrong) > 0 {
					t.Errorf("%s", strings.Join(wrong, "\n"))
				}
				if n := report.Count(conformance.Skipped); (n > 0) != (len(allow) == 0) {
					t.Errorf("%d laws were skipped", n)
				}
				asBefore(t, s, u)
			})
		}
	}
}

// objection says what is wrong with a request of the kit.
func objection(k *call, c conformance.Config, u store.User, all bool) string {
	switch {
	case k.Method == http.MethodGet:
		return ""
	case k.Method == http.MethodPost && len(k.body) == 0 && !strings.HasSuffix(k.URL.Path, c.User):
		return "" // how the law about methods asks
	case !k.update():
		return "a method that is not the dialect's"
	}
	for _, other := range []string{"/" + servertest.GraceUUID.String(), "/" + servertest.AdaUUID.String(), fmt.Sprint("/", servertest.Grace), fmt.Sprint("/", servertest.Ada)} {
		if strings.HasSuffix(strings.ToLower(k.URL.Path), other) {
			return "another user is written to"
		}
	}
	m := k.members()
	for _, name := range []string{"password", "newPassword", "vcsPassword"} {
		if m[name] != nil && string(m[name]) != "null" {
			return "a secret is sent"
		}
	}
	if token := m["accessToken"]; token != nil && string(token) != `"`+u.AccessToken+`"` {
		return "an access token is sent that is not the user's"
	}
	for _, role := range []string{"ROLE_ADMIN", "ROLE_COMPANY_ADMIN", "owner"} {
		if bytes.Contains(k.body, []byte(`"`+role+`"`)) {
			return "a role is given that is above the user's"
		}
	}
	if all {
		return ""
	}
	for _, row := range k.table().Members {
		sent := m[row.Path]
		if sent == nil {
			continue
		}
		var text string
		isText := json.Unmarshal(sent, &text) == nil
		var changed bool
		switch row.Field {
		case "Email":
			changed = isText && text != u.Email
		case "Username":
			changed = isText && text != u.Username
		case "Status":
			if _, flag := k.api.Samples("x")[row.Path].(bool); flag {
				changed = string(sent) == "false"
			} else {
				changed = string(sent) != `"ACTIVE"`
			}
		case "AccountNonExpired", "AccountNonLocked", "CredentialNonExpired":
			changed = string(sent) == "false"
		case "Roles":
			changed = !bytes.Contains(sent, []byte("ROLE_"))
		}
		if changed {
			return row.Path + " is changed without leave"
		}
	}
	return ""
}

func TestUnsafeUsersAreRejected(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for name, who := range map[string]func(c *conformance.Config, own store.User){
		"an administrator": func(c *conformance.Config, own store.User) {
			c.User = config(s, c.Dialect.Name, store.User{ID: servertest.Grace, UUID: servertest.GraceUUID}).User
		},
		"the token's own user": func(c *conformance.Config, own store.User) {
			claims := servertest.Manager()
			claims.UserID = &own.UUID
			if uuid.Validate(c.User) != nil {
				claims.UserID, claims.Subject = nil, strings.ToUpper(own.Email)
			}
			c.Token = s.Token(claims)
		},
	} {
		for _, dialect := range allDialects {
			if d := describe(dialect); name == "an administrator" && len(slices.Concat(d.NamesOf("Role.Name"), d.NamesOf("Role.SubroleCode"))) == 0 {
				continue // the dialect does not show who is one
			}
			t.Run(name+" "+dialect, func(t *testing.T) {
				t.Parallel()
				own := newUser(t, s)
				c := config(s, dialect, own)
				who(&c, own)
				var written sync.Once
				c = around(t, c, func(k *call) answer {
					if k.Method != http.MethodGet {
						written.Do(func() { t.Errorf("%s was sent", k.Method) })
					}
					return k.send()
				})
				if _, err := conformance.Run(t.Context(), c); !errors.Is(err, conformance.ErrUnsafe) {
					t.Errorf("the error is %v", err)
				}
			})
		}
	}
}

func TestUncheckableServer(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	u := newUser(t, s)
	closed := httptest.NewServer(nil)
	closed.Close()
	var followed atomic.Bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Store(true) }))
	t.Cleanup(elsewhere.Close)
	redirecting := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusFound))
	t.Cleanup(redirecting.Close)
	for name, c := range map[string]struct {
		change func(*conformance.Config)
		want   error
	}{
		"nothing listens":   {func(c *conformance.Config) { c.Target = closed.URL }, conformance.ErrUnreachable},
		"it redirects":      {func(c *conformance.Config) { c.Target = redirecting.URL }, conformance.ErrUnreachable},
		"no such user":      {func(c *conformance.Config) { c.User = "aaaaaaaa-0000-4000-8000-000000000000" }, conformance.ErrUnreachable},
		"no good token":     {func(c *conformance.Config) { c.Token = "secret.token.text" }, conformance.ErrUnreachable},
		"no such dialect":   {func(c *conformance.Config) { c.Dialect = description.API{Name: "latin"} }, conformance.ErrConfig},
		"no target":         {func(c *conformance.Config) { c.Target = "" }, conformance.ErrConfig},
		"no URL":            {func(c *conformance.Config) { c.Target = "localhost:8080" }, conformance.ErrConfig},
		"a URL with a user": {func(c *conformance.Config) { c.Target = "http://a:b@localhost" }, conformance.ErrConfig},
		"no user":           {func(c *conformance.Config) { c.User = "" }, conformance.ErrConfig},
		"a user in digits":  {func(c *conformance.Config) { c.User = "6860" }, conformance.ErrConfig},
		"a path for a user": {func(c *conformance.Config) { c.User = "../../../x" }, conformance.ErrConfig},
		"a company":         {func(c *conformance.Config) { c.Company = "5251" }, conformance.ErrConfig},
		"one token twice":   {func(c *conformance.Config) { c.OtherToken = c.Token }, conformance.ErrConfig},
		"no such law":       {func(c *conformance.Config) { c.Only = []string{"if-match-wek"} }, conformance.ErrConfig},
		"no law left":       {func(c *conformance.Config) { c.Skip = []string{"*"} }, conformance.ErrConfig},
		"no such group":     {func(c *conformance.Config) { c.Allow = []conformance.Group{"everything"} }, conformance.ErrConfig},
		"no such feature":   {func(c *conformance.Config) { c.Require = []conformance.Feature{"tags"} }, conformance.ErrConfig},
		"too many writers":  {func(c *conformance.Config) { c.Writers = 1000 }, conformance.ErrConfig},
		"a negative rate":   {func(c *conformance.Config) { c.Rate = -1 }, conformance.ErrConfig},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := config(s, worth, u)
			c.change(&config)
			_, err := conformance.Run(t.Context(), config)
			if !errors.Is(err, c.want) {
				t.Fatalf("the error is %v, want %v", err, c.want)
			}
			if config.Token != "" && strings.Contains(err.Error(), config.Token) {
				t.Errorf("the error tells the token: %v", err)
			}
		})
	}
	if followed.Load() {
		t.Error("a redirect was followed")
	}
}

func TestRequestsAreBounded(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	u := newUser(t, s)
	c := config(s, worth, u)
	c.MaxRequests = 30
	report := check(t, c)
	if report.Requests > c.MaxRequests+10 || report.Count(conformance.Unchecked) == 0 || !report.Restoration.Done {
		t.Errorf("%d requests: %+v", report.Requests, report.Restoration)
	}
	asBefore(t, s, u)
}

// A server may limit the rate with Retry-After.
func TestRetryAfterIsRespected(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	u := newUser(t, s)
	var requests atomic.Int64
	c := around(t, config(s, worth, u), func(c *call) answer {
		if n := requests.Add(1); n%4 == 0 {
			return answer{
				status: []int{http.StatusTooManyRequests, http.StatusServiceUnavailable}[n/4%2],
				header: http.Header{"Retry-After": {"0"}, "Content-Type": {"text/html"}, "X-Request-Id": {c.Header.Get("X-Request-Id")}},
				body:   []byte(`<h1>Later</h1>`), // as gateways say it
			}
		}
		return c.send()
	})
	c.Only = []string{"patch-*", "if-match-*", "parallel-*", "answers-*", "headers-*", "errors-are-*"}
	report := check(t, c)
	for _, r := range report.Results {
		if r.Outcome != conformance.Holds {
			t.Errorf("%s: %s %s expected %s, got %s", r.Name, r.Outcome, r.Reason, r.Expected, r.Got)
		}
	}
}

// Reports may end up in public logs.
func TestReportsHideSecrets(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	u := newUser(t, s)
	c := config(s, testinium, u)
	// Everything is at fault, and what it is asked comes back with it.
	var begun atomic.Int64
	c = around(t, c, func(c *call) answer {
		if begun.Add(1) < 5 {
			return c.send()
		}
		a := c.send()
		a.status, a.header = http.StatusTeapot, http.Header{"X-Echo": {c.Header.Get("Authorization")}}
		a.body = slices.Concat(a.body, []byte(c.Header.Get("Authorization")))
		return a
	})
	c.RestoreTimeout = 200 * time.Millisecond
	report := check(t, c)
	var all strings.Builder
	text := conformance.Text{W: &all, Colours: true}
	text.Began(report)
	for _, r := range report.Results {
		text.Result(r)
	}
	text.Ended(report)
	text.Alarm(report)
	if err := errors.Join(report.WriteJSON(&all), report.WriteJUnit(&all)); err != nil {
		t.Fatal(err)
	}
	if report.Count(conformance.Holds) > 0 || !strings.Contains(all.String(), "***") {
		t.Errorf("%d laws hold", report.Count(conformance.Holds))
	}
	// The header of a token is no secret.
	for _, secret := range slices.Concat([]string{u.AccessToken}, strings.Split(c.Token, ".")[1:], strings.Split(c.OtherToken, ".")[1:]) {
		if strings.Contains(all.String(), secret) {
			t.Errorf("a report contains %s", secret)
		}
	}
}
