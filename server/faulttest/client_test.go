//go:build linux

package faulttest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// Paths of the sandbox in each dialect.
const (
	worthUsers     = "/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users"
	worthAda       = worthUsers + "/94520740-d63c-4e02-85ca-c4e138801e73"
	testiniumUsers = "/account/api/v1/customers/3393/users/"
	testiniumAda   = testiniumUsers + "6860"
	adaHistory     = "/directory/v1/customers/3393/users/6860/history"
)

// putAda returns a body that updates Ada in Testinium, with this surname.
func putAda(surname string) string {
	return `{"name":"Ada","surname":"` + surname + `","username":"adalovelace","email":"ada.lovelace@example.com","enabled":true,
		"accountNonExpired":true,"accountNonLocked":true,"credentialNonExpired":true,"authorities":[{"name":"ROLE_USER"}]}`
}

// client sends requests to a server.
type client struct {
	url   string
	token string
	http  *http.Client
}

func newClient(url string) client {
	return client{url, administrator(), &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: waitLimit}}
}

// as returns a client that sends another token, over the same connections.
func (c client) as(token string) client {
	c.token = token
	return c
}

func (c client) close() {
	if c.http != nil {
		c.http.CloseIdleConnections()
	}
}

type request struct {
	method, path, body string
	ifMatch            string
	key                string // Idempotency-Key
	id                 string // X-Request-Id; if empty the server chooses it
}

type answer struct {
	status int
	header http.Header
	body   string
	took   time.Duration
	closes bool // the connection is closed after it
}

func (a answer) String() string {
	return fmt.Sprintf("%d after %s: %s", a.status, a.took.Round(time.Millisecond), a.body)
}

// send sends a request and returns its response.
func (c client) send(ctx context.Context, r request) (answer, error) {
	start := time.Now()
	q, err := http.NewRequestWithContext(ctx, r.method, c.url+r.path, strings.NewReader(r.body))
	if err != nil {
		return answer{}, err
	}
	q.Header.Set("Authorization", "Bearer "+c.token)
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("current-company-id", "5251")
	if r.id != "" {
		q.Header.Set("X-Request-Id", r.id)
	}
	if r.key != "" {
		q.Header.Set("Idempotency-Key", r.key)
	}
	if r.ifMatch != "" {
		q.Header.Set("If-Match", r.ifMatch)
	}
	response, err := c.http.Do(q)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(body), time.Since(start), response.Close}, err
}

// ask is like send, and fails the test if there is no response.
func (c client) ask(t testing.TB, r request) answer {
	t.Helper()
	a, err := c.send(t.Context(), r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.method, r.path, err)
	}
	return a
}

// expect is like ask, and fails the test if the response has another status.
func (c client) expect(t testing.TB, status int, r request) answer {
	t.Helper()
	a := c.ask(t, r)
	if a.status != status {
		t.Fatalf("%s %s is answered %s; want %d", r.method, r.path, a, status)
	}
	return a
}

// succeeds returns a condition for within: the status is 200.
func (c client) succeeds(t testing.TB, r request) func() error {
	return func() error {
		a, err := c.send(t.Context(), r)
		if err != nil {
			return err
		}
		if a.status != http.StatusOK {
			return fmt.Errorf("%s %s is answered %s", r.method, r.path, a)
		}
		return nil
	}
}

// Requests that need the database.
var (
	reads = []request{
		{method: http.MethodGet, path: worthAda},
		{method: http.MethodGet, path: worthUsers},
		{method: http.MethodGet, path: testiniumAda},
		{method: http.MethodGet, path: testiniumUsers},
		{method: http.MethodGet, path: adaHistory},
		{method: http.MethodGet, path: "/directory/v1/changes"},
	}
	writes = []request{
		{method: http.MethodPatch, path: worthAda, body: `{"first_name":"Augusta"}`},
		{method: http.MethodPut, path: testiniumAda, body: putAda("King")},
		{method: http.MethodPost, path: worthUsers, body: `{"first_name":"Mary","last_name":"Somerville","email":"mary@example.com",
			"mobile":"+44 1","subrole":{"id":"6351c76f-76a3-4950-9cc4-cc37cdc05ec2","code":"risk_analyst","label":"Risk Analyst"}}`},
	}
)

// expectUnavailable sends the requests concurrently, and expects of each a 503 with Retry-After in the format of its dialect,
// within limit.
func (c client) expectUnavailable(t testing.TB, limit time.Duration, requests ...request) {
	t.Helper()
	type outcome struct {
		request
		answer
		err error
	}
	outcomes := make(chan outcome)
	for _, r := range requests {
		go func() {
			a, err := c.send(t.Context(), r)
			outcomes <- outcome{r, a, err}
		}()
	}
	for range requests {
		o := <-outcomes
		if o.err != nil {
			t.Errorf("%s %s: %v", o.method, o.path, o.err)
			continue
		}
		if o.status != http.StatusServiceUnavailable || o.header.Get("Retry-After") != "1" || !isDialectError(o.path, o.answer.body) {
			t.Errorf("%s %s is answered %s, Retry-After %q", o.method, o.path, o.answer, o.header.Get("Retry-After"))
		}
		if o.took > limit {
			t.Errorf("%s %s is answered after %s, later than %s", o.method, o.path, o.took, limit)
		}
	}
}

// isDialectError reports whether body is a 503 in the format of the dialect that serves path.
func isDialectError(path, body string) bool {
	var members map[string]any
	if json.Unmarshal([]byte(body), &members) != nil {
		return false
	}
	has := func(names ...string) bool { return slices.Equal(slices.Sorted(maps.Keys(members)), names) }
	switch {
	case strings.HasPrefix(path, "/auth/"):
		return has("data", "errorCode", "message", "status") && members["status"] == "error"
	case strings.HasPrefix(path, "/account/"):
		return has("description", "error", "errors", "message", "path", "status", "timestamp") && members["message"] == "SERVICE_UNAVAILABLE"
	}
	return members["status"] == 503.0
}

// expectHealth expects that /livez answers 200, and /readyz the status ready.
func (c client) expectHealth(t testing.TB, ready int) {
	t.Helper()
	c.expect(t, http.StatusOK, request{method: http.MethodGet, path: "/livez"})
	c.expect(t, ready, request{method: http.MethodGet, path: "/readyz"})
}

// expectNoFault expects no 500 and no panic in the log.
func (p *program) expectNoFault(t testing.TB) {
	t.Helper()
	for _, l := range p.log.find(func(l logLine) bool { return l["status"] == 500.0 || l["msg"] == "panic" }) {
		t.Errorf("answered 500: %v", l)
	}
}

// state is a user in both dialects and in the history.
type state struct {
	etag    string
	first   string // in Worth
	surname string // in Testinium
	history int    // number of changes
}

// look returns Ada's state.
func (c client) look(t testing.TB) state {
	t.Helper()
	var worth struct {
		Data struct {
			First string `json:"first_name"`
		}
	}
	var testinium struct{ Surname string }
	var history struct{ Changes []json.RawMessage }
	a := c.expect(t, http.StatusOK, request{method: http.MethodGet, path: worthAda})
	decode(t, a.body, &worth)
	decode(t, c.expect(t, http.StatusOK, request{method: http.MethodGet, path: testiniumAda}).body, &testinium)
	decode(t, c.expect(t, http.StatusOK, request{method: http.MethodGet, path: adaHistory}).body, &history)
	return state{a.header.Get("ETag"), worth.Data.First, testinium.Surname, len(history.Changes)}
}

func decode(t testing.TB, body string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), into); err != nil {
		t.Fatalf("decode %q: %v", body, err)
	}
}
