package mock_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/gen/worthclient"
	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/mock"
	"github.com/dragoman-id/dragoman/server/servertest"
)

const (
	worthUsers     = "/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users"
	worthAda       = worthUsers + "/94520740-d63c-4e02-85ca-c4e138801e73"
	testiniumUsers = "/account/api/v1/customers/3393/users/"
	changes        = "/directory/v1/changes"
	putAda         = `{"name":"Ada","surname":"King","username":"adalovelace","email":"ada.lovelace@example.com","enabled":true,` +
		`"accountNonExpired":true,"accountNonLocked":true,"credentialNonExpired":true,"authorities":[{"name":"ROLE_USER"},{"name":"ROLE_REPORT"}],` +
		`"newPassword":"Analytical-Engine"}`
	newUser = `{"first_name":"Mary","last_name":"Jackson","email":"mary.jackson@example.com","mobile":"",` +
		`"subrole":{"id":"6351c76f-76a3-4950-9cc4-cc37cdc05ec2","code":"risk_analyst","label":"Risk Analyst"}}`
)

var discard = slog.New(slog.DiscardHandler)

// spelledETag is the name of the header as the server spells it, which is not Go's canonical form.
var spelledETag = "ETag"

func newMock(t testing.TB, seed uint64) *mock.Server {
	t.Helper()
	return newMockWith(t, server.Config{}, seed)
}

func newMockWith(t testing.TB, c server.Config, seed uint64) *mock.Server {
	t.Helper()
	c.Log = discard
	m, err := mock.New(t.Context(), c, seed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// call is a request with the mock's own token.
type call struct{ method, path, match, prefer, body string }

func (c call) to(t testing.TB, m http.Handler) *http.Response {
	t.Helper()
	token, err := mock.Token()
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), c.method, c.path, strings.NewReader(c.body))
	r.Host = "localhost"
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Current-Company-Id", "5251")
	r.Header.Set("Content-Type", "application/json")
	for name, value := range map[string]string{"Prefer": c.prefer, "If-Match": c.match} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	return w.Result()
}

// session is a sequence of calls of a front end's test, with mistakes.
var session = []call{
	{method: http.MethodGet, path: worthUsers},
	{method: http.MethodGet, path: testiniumUsers},
	{method: http.MethodPost, path: worthUsers, body: newUser},
	{method: http.MethodPost, path: worthUsers, body: newUser},
	{method: http.MethodPost, path: worthUsers, body: strings.Replace(newUser, "mary.jackson", "dorothy.vaughan", 1)},
	{method: http.MethodPatch, path: worthAda, body: `{"first_name":"Augusta","shoe_size":38}`},
	{method: http.MethodPatch, path: worthAda, body: `{"email":"ada","status":"GONE","mobile":null,"subrole":{"code":"pilot"},"first_name":1}`},
	{method: http.MethodPut, path: testiniumUsers + "6860", body: putAda},
	{method: http.MethodPut, path: testiniumUsers + "6860", body: `{"name":1,"surname":null,"authorities":[{"name":"PILOT"}]}`},
	{method: http.MethodGet, path: testiniumUsers + "7003"},
	{method: http.MethodGet, path: testiniumUsers + "1"},
	{method: http.MethodGet, path: worthUsers + "?sort_by=nothing&page=0&pages=2"},
	{method: http.MethodPatch, path: worthAda, prefer: "code=503"},
	{method: http.MethodPatch, path: "/dry-run" + worthAda, body: `{"last_name":"Byron"}`},
	{method: http.MethodPost, path: "/dry-run" + worthUsers, body: strings.Replace(newUser, "mary.jackson", "katherine.johnson", 1)},
	{method: http.MethodPatch, path: worthAda, match: `"1"`, body: `{"first_name":"Adelaide"}`},
	{method: http.MethodPatch, path: worthAda, match: `"2"`, prefer: "merge=untouched, delay=1", body: `{"mobile":"1"}`},
	{method: http.MethodGet, path: "/account/api/v1/nothing"},
	{method: http.MethodGet, path: worthUsers},
	{method: http.MethodGet, path: changes},
	{method: http.MethodGet, path: changes + "?after=3"},
}

// play returns all answers to the session.
func play(t testing.TB, m http.Handler) string {
	t.Helper()
	var said strings.Builder
	for _, c := range session {
		fmt.Fprintf(&said, "%s %s\n", c.method, c.path)
		if err := c.to(t, m).Write(&said); err != nil {
			t.Fatal(err)
		}
		said.WriteString("\n\n")
	}
	return said.String()
}

func TestAnswersFollowFromSeed(t *testing.T) {
	t.Parallel()
	m := newMock(t, 7)
	first := play(t, m)
	if second := play(t, newMock(t, 7)); first != second {
		t.Errorf("a second mock of the seed says\n%s\nand the first said\n%s", second, first)
	}
	if answer := (call{method: http.MethodPost, path: "/mock/reset"}).to(t, m); answer.StatusCode != http.StatusNoContent {
		t.Fatal(answer.Status)
	}
	if again := play(t, m); first != again {
		t.Errorf("after a reset the mock says\n%s\nand it said\n%s", again, first)
	}
	if strings.Contains(first, "500 Internal") || !strings.Contains(first, "Date: Thu, 01 Jan 2026 00:00:00 GMT") ||
		!strings.Contains(first, `"2026-01-01T00:00:00.003Z"`) {
		t.Errorf("the session is not what it was made for:\n%s", first)
	}
	for line := range strings.Lines(play(t, newMock(t, 8))) {
		if (strings.HasPrefix(line, "X-Request-Id") || strings.Contains(line, `"user_id"`)) && strings.Contains(first, line) {
			t.Errorf("another seed gives the same %s", line)
		}
	}
}

// TestOtherRequestsChangeNothing checks that health checks and preflights in between do not change the answers.
func TestOtherRequestsChangeNothing(t *testing.T) {
	t.Parallel()
	watched := newMock(t, 7)
	for _, c := range []call{
		{method: http.MethodGet, path: "/readyz"}, {method: http.MethodGet, path: "/livez"}, {method: http.MethodOptions, path: worthAda},
		{method: http.MethodGet, path: "/openapi/worth.yaml"},
	} {
		if answer := c.to(t, watched); answer.StatusCode >= http.StatusBadRequest || answer.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s %s: %s with the id %q", c.method, c.path, answer.Status, answer.Header.Get("X-Request-Id"))
		}
	}
	if got, want := play(t, watched), play(t, newMock(t, 7)); got != want {
		t.Errorf("a mock that was looked at says\n%s\nand one that was not\n%s", got, want)
	}
}

func TestMocksShareNoData(t *testing.T) {
	t.Parallel()
	one, other := newMock(t, 1), newMock(t, 1)
	one200(t, call{method: http.MethodPatch, path: worthAda, body: `{"first_name":"Augusta"}`}.to(t, one))
	if etag := one200(t, call{method: http.MethodGet, path: worthAda}.to(t, other)).Header[spelledETag][0]; etag != `"1"` {
		t.Errorf("a write to one mock made a version %s in another", etag)
	}
}

func one200(t testing.TB, answer *http.Response) *http.Response {
	t.Helper()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("the answer is %s", answer.Status)
	}
	return answer
}

// TestResetUnderLoad checks that no request after a reset reads earlier data.
func TestResetUnderLoad(t *testing.T) {
	t.Parallel()
	m := newMock(t, 1)
	running, stop := context.WithCancel(t.Context())
	defer stop()
	var busy sync.WaitGroup
	for n := range 6 {
		busy.Go(func() {
			for running.Err() == nil {
				one200(t, call{method: http.MethodPatch, path: worthAda, body: fmt.Sprintf(`{"mobile":"+44 20 7946 %04d"}`, n)}.to(t, m))
				one200(t, call{method: http.MethodGet, path: testiniumUsers}.to(t, m))
			}
		})
	}
	for range 10 {
		if answer := (call{method: http.MethodPost, path: "/mock/reset"}).to(t, m); answer.StatusCode != http.StatusNoContent {
			t.Errorf("reset: %s", answer.Status)
		}
	}
	stop()
	busy.Wait()
	if answer := (call{method: http.MethodPost, path: "/mock/reset"}).to(t, m); answer.StatusCode != http.StatusNoContent {
		t.Errorf("reset: %s", answer.Status)
	}
	if got, want := play(t, m), play(t, newMock(t, 1)); got != want {
		t.Errorf("the mock says\n%s\nwhere a new one says\n%s", got, want)
	}
	if n := m.Requests(); n != 0 {
		t.Errorf("%d requests are still counted", n)
	}
}

// TestRequestFinishesInItsSandbox checks that a slow write from before a reset changes nothing after it.
func TestRequestFinishesInItsSandbox(t *testing.T) {
	t.Parallel()
	m := newMock(t, 1)
	slow := make(chan *http.Response)
	go func() {
		slow <- call{method: http.MethodPatch, path: worthAda, prefer: "delay=300", body: `{"first_name":"Augusta"}`}.to(t, m)
	}()
	for m.Requests() == 0 {
		time.Sleep(time.Millisecond)
	}
	if answer := (call{method: http.MethodPost, path: "/mock/reset"}).to(t, m); answer.StatusCode != http.StatusNoContent {
		t.Errorf("reset: %s", answer.Status)
	}
	if answer := one200(t, <-slow); answer.Header[spelledETag][0] != `"2"` {
		t.Errorf("the slow write made version %s", answer.Header[spelledETag][0])
	}
	if etag := one200(t, call{method: http.MethodGet, path: worthAda}.to(t, m)).Header[spelledETag][0]; etag != `"1"` {
		t.Errorf("a write of before the reset made version %s after it", etag)
	}
}

// TestConcurrentWrites checks that the directory in memory loses no write.
func TestConcurrentWrites(t *testing.T) {
	t.Parallel()
	m := newMock(t, 1)
	const writers, each = 8, 10
	var busy sync.WaitGroup
	for n := range writers {
		busy.Go(func() {
			for i := range each {
				one200(t, call{method: http.MethodPatch, path: worthAda, body: fmt.Sprintf(`{"first_name":"Ada %d %d"}`, n, i)}.to(t, m))
			}
		})
	}
	busy.Wait()
	want := fmt.Sprintf("%q", fmt.Sprint(1+writers*each))
	if etag := one200(t, call{method: http.MethodGet, path: worthAda}.to(t, m)).Header[spelledETag][0]; etag != want {
		t.Errorf("the user is at version %s, want %s", etag, want)
	}
}

// TestSDKsAgainstMock also checks every answer against the documents.
func TestSDKsAgainstMock(t *testing.T) {
	t.Parallel()
	s := servertest.Mock(t, newMock(t, 1), mock.Secret)
	sdk := s.Worth(servertest.Manager())
	patched, err := sdk.UpdateCustomerUserWithResponse(t.Context(), worthclient.CustomerID(servertest.SandboxUUID.String()), worthclient.UserID(servertest.AdaUUID.String()), nil,
		worthclient.UserPatch{FirstName: new("Augusta")})
	if err != nil || patched.JSON200 == nil {
		t.Fatalf("%v: %s", err, patched.Body)
	}
	for _, c := range session {
		s.Ask(servertest.Manager(), servertest.Request{
			Method: c.method, Path: c.path, Body: c.body, Header: http.Header{"Prefer": {c.prefer}, "Content-Type": {"application/json"}},
		})
	}
	// An expired token is refused, although the mock's clock is earlier.
	late := servertest.Manager()
	late.Expires = time.Second
	expired := s.TokenOf(late, time.Now().Add(-time.Minute))
	answer := s.Send(servertest.Request{Method: http.MethodGet, Path: worthUsers, Header: http.Header{"Authorization": {"Bearer " + expired}}})
	if answer.Status != http.StatusUnauthorized || !strings.Contains(answer.Body, "TokenExpiredError") {
		t.Errorf("an expired token: %d %s", answer.Status, answer.Body)
	}
}

func TestClosedMockRefuses(t *testing.T) {
	t.Parallel()
	m := newMock(t, 1)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if answer := (call{method: http.MethodGet, path: worthUsers}).to(t, m); answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a closed mock answers %s", answer.Status)
	}
}

// TestAllowedOriginsMayReset checks CORS for what a mock has beside the server.
func TestAllowedOriginsMayReset(t *testing.T) {
	t.Parallel()
	const origin = "http://localhost:5173"
	m := newMockWith(t, server.Config{CORS: []string{origin}}, 1)
	for _, test := range []struct{ method, path, header, may string }{
		{http.MethodPatch, worthAda, "prefer", "Access-Control-Allow-Headers: Prefer"},
		{http.MethodPost, "/mock/reset", "", "Access-Control-Allow-Methods: POST"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodOptions, test.path, nil)
		r.Header.Set("Origin", origin)
		r.Header.Set("Access-Control-Request-Method", test.method)
		w := httptest.NewRecorder()
		m.ServeHTTP(w, r)
		name, value, _ := strings.Cut(test.may, ": ")
		if !strings.Contains(w.Header().Get(name), value) || w.Header().Get("Access-Control-Allow-Origin") != origin {
			t.Errorf("%s %s is allowed %v", test.method, test.path, w.Header())
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, worthUsers, nil)
	r.Header.Set("Origin", origin)
	r.Header.Set("Prefer", "code=503")
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	if shown := w.Header().Get("Access-Control-Expose-Headers"); !strings.Contains(shown, "Preference-Applied") {
		t.Errorf("a script sees %s", shown)
	}
}
