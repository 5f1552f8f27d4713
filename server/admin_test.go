package server_test

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// admin is a configuration with an admin listener.
func admin() server.Config {
	return server.Config{Admin: server.Admin{Listen: "127.0.0.1:0", Level: &slog.LevelVar{}}}
}

// askAdmin asks an admin listener.
func askAdmin(t *testing.T, admin http.Handler, method, path, body string) (status int, text string) {
	t.Helper()
	w := httptest.NewRecorder()
	admin.ServeHTTP(w, httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(body)))
	return w.Code, w.Body.String()
}

// scrape gives all series of a server, as text.
func scrape(t *testing.T, admin http.Handler) string {
	t.Helper()
	status, text := askAdmin(t, admin, http.MethodGet, "/metrics", "")
	if status != http.StatusOK {
		t.Fatalf("/metrics answers %d %s", status, text)
	}
	return text
}

// value gives the value of a series, or -1 if there is none.
func value(t *testing.T, metrics, series string) float64 {
	t.Helper()
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (.*)$`).FindStringSubmatch(metrics)
	if found == nil {
		return -1
	}
	v, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestMetricsCount does what each of the series counts, and holds by how much it then is.
func TestMetricsCount(t *testing.T) {
	t.Parallel()
	servertest.EachWith(t, admin(), func(t *testing.T, s *servertest.Server) {
		patch := func(name string) servertest.Request {
			return servertest.Request{Method: http.MethodPatch, Path: worthAda, Body: `{"first_name":"` + name + `"}`}
		}
		patchGrace := servertest.Request{Method: http.MethodPatch, Path: worthUser(servertest.GraceUUID.String()), Body: `{"first_name":"Rival"}`}
		conflicting := func(user int64, rival servertest.Request) {
			first := true
			_, _, err := s.Store.UpdateUser(t.Context(), store.UserByID(servertest.Sandbox, user), store.Change{Edit: func(u *store.User) error {
				if first {
					first = false
					s.Ask(servertest.Manager(), rival)
				}
				u.LastName = "Loser"
				return nil
			}})
			if err != nil {
				t.Error(err)
			}
		}
		writes := map[string]string{"sqlite": "commit", "postgres": "update"}[s.Store.EngineName()]
		for _, c := range []struct {
			name   string
			do     func()
			series map[string]float64
		}{
			{"a write", func() { s.Ask(servertest.Manager(), patch("Augusta")) }, map[string]float64{
				`dragoman_http_request_duration_seconds_count{dialect="worth",operation="updateCustomerUser",status="200"}`: 1,
				`dragoman_tokens_total{outcome="good"}`:                                            1,
				`dragoman_db_statement_duration_seconds_count{kind="` + writes + `",outcome="ok"}`: 1,
			}},
			{"a conflict", func() { conflicting(servertest.Grace, patchGrace) }, map[string]float64{`dragoman_db_update_retries_total{reason="conflict"}`: 1}},
			{"a conflict over a user who is remembered", func() { conflicting(servertest.Ada, patch("Rival")) },
				map[string]float64{`dragoman_db_update_retries_total{reason="stale"}`: 1}},
			{"no token", func() { s.Send(servertest.Request{Method: http.MethodGet, Path: worthAda}) }, map[string]float64{
				`dragoman_http_request_duration_seconds_count{dialect="worth",operation="getCustomerUser",status="401"}`: 1,
				`dragoman_http_refusals_total{dialect="worth",kind="unauthenticated"}`:                                   1,
				`dragoman_tokens_total{outcome="missing"}`:                                                               1,
			}},
			{"no route", func() { s.Send(health("/elsewhere")) }, map[string]float64{
				`dragoman_http_request_duration_seconds_count{dialect="none",operation="none",status="404"}`: 1,
				`dragoman_http_refusals_total{dialect="none",kind="route_not_found"}`:                        1,
			}},
			{"health", func() { s.Send(health("/readyz")) }, map[string]float64{
				`dragoman_http_request_duration_seconds_count{dialect="none",operation="readyz",status="200"}`: 1,
			}},
			{"a password", func() {
				r := servertest.Request{Method: http.MethodPut, Path: testiniumAda, Header: http.Header{"Current-Company-Id": {"5251"}},
					Body: withPassword(putOfAda, `"newPassword":"pa55Word!"`)}
				s.Ask(servertest.Manager(), r)
			}, map[string]float64{`dragoman_password_hashes_total`: 1}},
			{"a wrong present password", func() { guess(s, "Present?") }, map[string]float64{
				`dragoman_present_passwords_refused_total{reason="wrong"}`:                1,
				`dragoman_present_passwords_refused_total{reason="too_many"}`:             0,
				`dragoman_http_refusals_total{dialect="testinium",kind="wrong_password"}`: 1,
			}},
			{"the right one", func() { guess(s, "pa55Word!") }, map[string]float64{
				`dragoman_present_passwords_refused_total{reason="wrong"}`: 0,
			}},
			{"too many wrong ones", func() {
				for range 11 {
					guess(s, "Present?")
				}
			}, map[string]float64{
				`dragoman_present_passwords_refused_total{reason="wrong"}`:                9,
				`dragoman_present_passwords_refused_total{reason="too_many"}`:             2,
				`dragoman_http_refusals_total{dialect="testinium",kind="wrong_password"}`: 9,
				`dragoman_http_refusals_total{dialect="testinium",kind="rate_limited"}`:   2,
			}},
			{"a dry run", func() { trial(t, s, servertest.Manager(), patch("Dry")) }, map[string]float64{
				`dragoman_dry_runs_total{dialect="worth",operation="updateCustomerUser"}`: 1,
			}},
			{"a conflict with If-Match, tried and meant", func() {
				r := patch("Conflicting")
				r.Header = http.Header{"If-Match": {`"1"`}}
				trial(t, s, servertest.Manager(), r)
				s.Ask(servertest.Manager(), r)
			}, map[string]float64{`dragoman_conflicts_total{field="FirstName"}`: 1}},
			{"a merge, tried and meant", func() {
				r := servertest.Request{Method: http.MethodPatch, Path: worthUser(servertest.GraceUUID.String()), Body: `{"mobile":"1"}`,
					Header: http.Header{"If-Match": {`"1"`}, "Prefer": {"merge=untouched"}}}
				trial(t, s, servertest.Manager(), r)
				s.Ask(servertest.Manager(), r)
			}, map[string]float64{`dragoman_merges_total{dialect="worth",operation="updateCustomerUser"}`: 1}},
			{"a write that is sent three times", func() {
				r := patch("Repeated")
				r.Header = http.Header{"Idempotency-Key": {"counted"}}
				for range 3 {
					s.Ask(servertest.Manager(), r)
				}
				if _, err := s.Store.PruneRecords(t.Context()); err != nil {
					t.Error(err)
				}
			}, map[string]float64{
				`dragoman_idempotency_replays_total{dialect="worth",operation="updateCustomerUser"}`: 2,
				`dragoman_idempotency_records`: 1,
			}},
			{"a token that is known", func() { s.Ask(servertest.Manager(), patch("Augusta")) }, map[string]float64{`dragoman_tokens_total{outcome="good"}`: 1}},
		} {
			before := scrape(t, s.Admin)
			c.do()
			after := scrape(t, s.Admin)
			for series, by := range c.series {
				if grown := value(t, after, series) - max(value(t, before, series), 0); grown != by {
					t.Errorf("%s: %s grew by %v, want %v", c.name, series, grown, by)
				}
			}
		}
		metrics := scrape(t, s.Admin)
		for series, want := range map[string]float64{
			`dragoman_db_info{engine="` + s.Store.EngineName() + `"}`: 1,
			`dragoman_http_requests_in_flight`:                        0,
			`dragoman_http_panics_total`:                              0,
			`dragoman_draining`:                                       0,
			`dragoman_password_hashes_running`:                        0,
		} {
			if got := value(t, metrics, series); got != want {
				t.Errorf("%s is %v, want %v", series, got, want)
			}
		}
	})
}

// guess sets Ada's password with this one as the present one, as a caller who must give it.
func guess(s *servertest.Server, present string) {
	claims := servertest.Manager()
	claims.Permissions, claims.Authorities = []auth.Permission{auth.PermissionWrite}, []string{"ROLE_USER"}
	s.Ask(claims, servertest.Request{Method: http.MethodPut, Path: testiniumAda, Header: http.Header{"Current-Company-Id": {"5251"}},
		Body: withPassword(putOfAda, `"newPassword":"pa55Word!","password":"`+present+`"`)})
}

func TestLimitedRequestsAreCounted(t *testing.T) {
	t.Parallel()
	c := admin()
	c.Now = standstill()
	c.Limits.Address = dialect.Rate{PerSecond: 1, Burst: 3}
	c.Limits.Principal = dialect.Rate{PerSecond: 1, Burst: 1}
	s := servertest.StartWith(t, c)
	for range 5 {
		s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodGet, Path: worthAda})
	}
	metrics := scrape(t, s.Admin)
	for series, want := range map[string]float64{
		`dragoman_rate_limited_total{limit="address"}`:                      2,
		`dragoman_rate_limited_total{limit="principal"}`:                    2,
		`dragoman_http_refusals_total{dialect="worth",kind="rate_limited"}`: 2,
		`dragoman_http_refusals_total{dialect="none",kind="rate_limited"}`:  2,
	} {
		if got := value(t, metrics, series); got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
}

// TestSeriesAreBounded: whatever clients send, there are no more series than the server has words for.
func TestSeriesAreBounded(t *testing.T) {
	t.Parallel()
	s := servertest.StartWith(t, admin())
	odd := func(n int) {
		name := "odd" + strconv.Itoa(n)
		claims := servertest.Manager()
		claims.Subject = name
		s.Ask(claims, servertest.Request{Method: "ODD" + strconv.Itoa(n), Path: worthAda})
		s.Ask(claims, servertest.Request{Method: http.MethodGet, Path: "/" + name + "?" + name + "=1"})
		s.Ask(claims, servertest.Request{Method: http.MethodGet, Path: worthAda, Header: http.Header{"X-Request-Id": {name}, name: {name}}})
		s.Ask(claims, servertest.Request{Method: http.MethodGet, Path: "/account/api/v1/customers/" + strconv.Itoa(n) + "/users/" + name})
		s.Ask(claims, servertest.Request{Method: http.MethodPatch, Path: worthAda, Body: `{"` + name + `":"` + name + `"}`})
	}
	odd(0)
	once := strings.Count(scrape(t, s.Admin), "\ndragoman_")
	for n := 1; n < 20; n++ {
		odd(n)
	}
	metrics := scrape(t, s.Admin)
	if often := strings.Count(metrics, "\ndragoman_"); often != once {
		t.Errorf("%d series became %d", once, often)
	}
	if strings.Contains(strings.ToLower(metrics), "odd") {
		t.Errorf("a client's word is in the metrics: %s", metrics)
	}
}

// TestHistogramsAreNative where who asks can read that, and have buckets for all others.
func TestHistogramsAreNative(t *testing.T) {
	t.Parallel()
	s := servertest.StartWith(t, admin())
	s.Send(health("/livez"))
	if text := scrape(t, s.Admin); !strings.Contains(text, `dragoman_http_request_duration_seconds_bucket{dialect="none",operation="livez",status="200",le="0.005"}`) {
		t.Error("there are no buckets")
	}
	r := httptest.NewRequest(http.MethodGet, "http://localhost/metrics", nil)
	protobuf := expfmt.NewFormat(expfmt.TypeProtoDelim)
	r.Header.Set("Accept", string(protobuf))
	w := httptest.NewRecorder()
	s.Admin.ServeHTTP(w, r)
	decoder := expfmt.NewDecoder(w.Body, expfmt.ResponseFormat(w.Result().Header))
	for {
		var family dto.MetricFamily
		err := decoder.Decode(&family)
		if err == io.EOF {
			t.Fatal("there is no histogram of requests")
		}
		if err != nil {
			t.Fatal(err)
		}
		if family.GetName() == "dragoman_http_request_duration_seconds" {
			if h := family.GetMetric()[0].GetHistogram(); h.Schema == nil || len(h.GetPositiveSpan()) == 0 || h.GetSampleCount() != 1 {
				t.Errorf("it has no native buckets: %v", h)
			}
			return
		}
	}
}

func TestMetricsAreNotPublic(t *testing.T) {
	t.Parallel()
	s := servertest.StartWith(t, admin())
	for _, path := range []string{"/metrics", "/log-level", "/debug/pprof/"} {
		s.Send(health(path)).Expect(t, http.StatusNotFound, "Not Found")
	}
	if status, _ := askAdmin(t, servertest.Start(t).Admin, http.MethodGet, "/metrics", ""); status != http.StatusNotFound {
		t.Errorf("without an admin listener, there are metrics: %d", status)
	}
}

func TestLogLevel(t *testing.T) {
	t.Parallel()
	var j journal
	c := admin()
	c.Log = j.log(c.Admin.Level)
	s := servertest.StartWith(t, c)
	step := func(method, body string, status int, want string) {
		t.Helper()
		if got, text := askAdmin(t, s.Admin, method, "/log-level", body); got != status || text != want+"\n" {
			t.Errorf("%s %q: %d %q, want %d %q", method, body, got, text, status, want)
		}
	}
	get := servertest.Request{Method: http.MethodGet, Path: worthAda}
	step(http.MethodGet, "", http.StatusOK, "info")
	s.Ask(servertest.Manager(), get)
	if told := len(j.lines(t, "statement")); told != 0 {
		t.Errorf("%d statements are told of at the level info", told)
	}
	step(http.MethodPut, "debug\n", http.StatusOK, "debug")
	stranger := servertest.Manager()
	stranger.Subject = "stranger" // so that the customer of the token is looked for, too
	id := s.Ask(stranger, get).Header.Get("X-Request-Id")
	statements := j.lines(t, "statement")
	if len(statements) != 2 {
		t.Errorf("the statements told of are %v, not those of the customer and the user", statements)
	}
	for _, statement := range statements {
		if statement["kind"] != "select" || statement["outcome"] != "ok" || statement["request_id"] != id {
			t.Errorf("a statement of request %s is told of as %v", id, statement)
		}
	}
	step(http.MethodPut, "Error", http.StatusOK, "error")
	before := len(j.lines(t, "request"))
	s.Ask(servertest.Manager(), get)
	if after := len(j.lines(t, "request")); after != before {
		t.Error("at the level error, a good request is told of")
	}
	for _, bad := range []string{"", "loud", "info+2", strings.Repeat("x", 100)} {
		step(http.MethodPut, bad, http.StatusBadRequest, "the body must be debug, info, warn or error")
	}
	step(http.MethodGet, "", http.StatusOK, "error")
	if changes := len(j.lines(t, "log level changed")); changes != 2 {
		t.Errorf("%d changes are told of", changes)
	}
}

func TestProfiles(t *testing.T) {
	t.Parallel()
	for profiles, want := range map[bool]int{false: http.StatusNotFound, true: http.StatusOK} {
		c := admin()
		c.Admin.Profiles = profiles
		s := servertest.StartWith(t, c)
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/goroutine?debug=1"} {
			if status, _ := askAdmin(t, s.Admin, http.MethodGet, path, ""); status != want {
				t.Errorf("%v, %s: %d", profiles, path, status)
			}
		}
		if status, text := askAdmin(t, s.Admin, http.MethodGet, "/debug/pprof/cmdline", ""); status != http.StatusNotFound {
			t.Errorf("the command line is told: %d %q", status, text)
		}
	}
}

func TestAdminListenerHealth(t *testing.T) {
	t.Parallel()
	s := servertest.StartWith(t, admin())
	for _, want := range []int{http.StatusOK, http.StatusServiceUnavailable} {
		if status, _ := askAdmin(t, s.Admin, http.MethodGet, "/livez", ""); status != http.StatusOK {
			t.Errorf("alive: %d", status)
		}
		eventually(t, "the admin listener says whether the server is ready", func() bool {
			status, _ := askAdmin(t, s.Admin, http.MethodGet, "/readyz", "")
			return status == want
		})
		if want == http.StatusOK {
			if err := s.Store.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if text := scrape(t, s.Admin); !strings.Contains(text, "go_goroutines ") || !strings.Contains(text, "process_open_fds ") {
		t.Error("without a database there are no metrics")
	}
}

// TestAdminListenerServesUntilShutdown: the last metrics of a server that stops can still be had.
func TestAdminListenerServesUntilShutdown(t *testing.T) {
	t.Parallel()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	c := admin()
	c.Admin.Listen, c.Timeouts.Drain = address, time.Hour
	l, stop, ended := serving(t, c)
	ask := func() (string, error) {
		answer, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			return "", err
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		return string(text), err
	}
	eventually(t, "the admin listener answers", func() bool { _, err := ask(); return err == nil })
	stop()
	eventually(t, "the metrics say that the server drains", func() bool {
		text, err := ask()
		return err == nil && value(t, text, "dragoman_draining") == 1
	})
	l.Close()
	<-ended
	if _, err := ask(); err == nil {
		t.Error("the server has stopped, and its admin listener has not")
	}
}

// eventually fails the test if what is to be does not come to be.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for began := time.Now(); !is(); {
		if time.Since(began) > waitLimit {
			t.Fatalf("it does not come to be that %s", what)
		}
	}
}

func TestTokenFaultsAreCounted(t *testing.T) {
	t.Parallel()
	s := servertest.StartWith(t, admin())
	for fault, header := range map[auth.TokenFault]string{
		auth.FaultMalformed: "Bearer x", auth.FaultSignature: "Bearer " + s.Token(servertest.Manager()) + "x",
	} {
		s.Send(servertest.Request{Method: http.MethodGet, Path: worthAda, Header: http.Header{"Authorization": {header}}})
		if got := value(t, scrape(t, s.Admin), `dragoman_tokens_total{outcome="`+string(fault)+`"}`); got != 1 {
			t.Errorf("%s: %v", fault, got)
		}
	}
}
