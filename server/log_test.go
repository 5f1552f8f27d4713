package server_test

import (
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
)

// journal is a log as JSON that a test reads.
type journal struct{ servertest.Log }

func (j *journal) log(level slog.Leveler) *slog.Logger {
	return slog.New(slog.NewJSONHandler(j, &slog.HandlerOptions{Level: level}))
}

// lines gives the lines with this message, each as its members.
func (j *journal) lines(t *testing.T, message string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(j.String()) {
		var members map[string]any
		if err := json.Unmarshal([]byte(line), &members); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if members["msg"] == message {
			all = append(all, members)
		}
	}
	return all
}

// request gives the line of the request of this id.
func (j *journal) request(t *testing.T, id string) map[string]any {
	t.Helper()
	for _, line := range j.lines(t, "request") {
		if line["request_id"] == id {
			return line
		}
	}
	t.Fatalf("no line has the request id %s", id)
	return nil
}

const (
	worthRoute     = "/auth/api/v1/customers/:customerID/users/:userID"
	testiniumRoute = "/account/api/v1/customers/:id/users/:userId"
)

// TestRequestLog holds all that the log says of requests, and that it says nothing else.
func TestRequestLog(t *testing.T) {
	t.Parallel()
	manager, actor := servertest.Manager(), servertest.GraceUUID.String()
	nameless := manager
	nameless.Subject, nameless.UserID = "grace.hopper@example.com", nil
	stranger := manager
	stranger.Customers = []string{"3394"}
	user := manager
	user.Permissions, user.Authorities = []auth.Permission{auth.PermissionWrite}, []string{"ROLE_USER"}
	for _, c := range []struct {
		id      string
		by      *auth.Claims
		request servertest.Request
		want    map[string]any
	}{
		{"patch", &manager, servertest.Request{Method: http.MethodPatch, Path: worthAda, Body: `{"first_name":"Augusta","mobile":"1"}`}, map[string]any{
			"level": "INFO", "method": "PATCH", "route": worthRoute, "status": 200.0, "dialect": "worth", "operation": "updateCustomerUser",
			"actor": actor, "customer": 3393.0, "changed": "first_name, mobile",
		}},
		{"unchanged", &manager, servertest.Request{Method: http.MethodPatch, Path: worthAda, Body: `{"first_name":"Augusta"}`}, map[string]any{
			"level": "INFO", "method": "PATCH", "route": worthRoute, "status": 200.0, "dialect": "worth", "operation": "updateCustomerUser",
			"actor": actor, "customer": 3393.0,
		}},
		{"get", &manager, servertest.Request{Method: http.MethodGet, Path: testiniumAda, Header: http.Header{"Current-Company-Id": {"5251"}}}, map[string]any{
			"level": "INFO", "method": "GET", "route": testiniumRoute, "status": 200.0, "dialect": "testinium", "operation": "getUser",
			"actor": actor, "customer": 3393.0,
		}},
		{"bad", &manager, servertest.Request{Method: http.MethodPatch, Path: worthAda, Body: `{"email":"x"}`}, map[string]any{
			"level": "INFO", "method": "PATCH", "route": worthRoute, "status": 400.0, "dialect": "worth", "operation": "updateCustomerUser",
			"actor": actor, "customer": 3393.0, "refusal": "invalid",
		}},
		{"stranger", &stranger, servertest.Request{Method: http.MethodGet, Path: worthAda}, map[string]any{
			"level": "INFO", "method": "GET", "route": worthRoute, "status": 403.0, "dialect": "worth", "operation": "getCustomerUser",
			"actor": actor, "refusal": "forbidden", "reason": "forbidden: the customer is not one of the token's",
		}},
		{"rank", &user, servertest.Request{Method: http.MethodPatch, Path: strings.Replace(worthAda, servertest.AdaUUID.String(), servertest.GraceUUID.String(), 1), Body: `{"first_name":"G"}`}, map[string]any{
			"level": "INFO", "method": "PATCH", "route": worthRoute, "status": 403.0, "dialect": "worth", "operation": "updateCustomerUser",
			"actor": actor, "customer": 3393.0, "refusal": "forbidden", "reason": "rank 1 may not write to a user with ROLE_COMPANY_ADMIN, of rank 2",
		}},
		{"wrong", &user, servertest.Request{Method: http.MethodPut, Path: testiniumAda, Header: http.Header{"Current-Company-Id": {"5251"}},
			Body: withPassword(putOfAda, `"newPassword":"pa55Word!","password":"Present!"`)}, map[string]any{
			"level": "INFO", "method": "PUT", "route": testiniumRoute, "status": 400.0, "dialect": "testinium", "operation": "updateUser",
			"actor": actor, "customer": 3393.0, "refusal": "wrong_password",
		}},
		{"expired", &manager, servertest.Request{Method: http.MethodGet, Path: worthAda}, map[string]any{
			"level": "INFO", "method": "GET", "route": worthRoute, "status": 401.0, "dialect": "worth", "operation": "getCustomerUser",
			"refusal": "token_expired", "reason": "unauthenticated: the token has expired",
		}},
		{"nowhere", nil, servertest.Request{Method: http.MethodGet, Path: "/elsewhere?q=" + queryValue}, map[string]any{
			"level": "INFO", "method": "GET", "route": "", "status": 404.0, "refusal": "route_not_found",
		}},
		{"odd", nil, servertest.Request{Method: "BREW", Path: worthAda}, map[string]any{
			"level": "INFO", "method": "other", "route": worthRoute, "status": 405.0, "refusal": "method_not_allowed",
		}},
		{"alive", nil, servertest.Request{Method: http.MethodGet, Path: "/livez"}, map[string]any{
			"level": "DEBUG", "method": "GET", "route": "/livez", "status": 200.0,
		}},
	} {
		t.Run(c.id, func(t *testing.T) {
			var j journal
			config := server.Config{Log: j.log(slog.LevelDebug)}
			if c.id == "expired" {
				config.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
			}
			s := servertest.StartWith(t, config)
			if c.id == "unchanged" {
				s.Ask(manager, c.request)
			}
			if c.request.Header == nil {
				c.request.Header = http.Header{}
			}
			c.request.Header.Set("X-Request-Id", c.id)
			if c.by != nil {
				s.Ask(*c.by, c.request)
			} else {
				s.Send(c.request)
			}
			line := j.request(t, c.id)
			if ms, ok := line["duration_ms"].(float64); !ok || ms < 0 {
				t.Errorf("it took %v", line["duration_ms"])
			}
			if bytes, ok := line["bytes"].(float64); !ok || bytes <= 0 {
				t.Errorf("it has %v bytes", line["bytes"])
			}
			for _, member := range []string{"time", "msg", "request_id", "duration_ms", "bytes"} {
				delete(line, member)
			}
			if !reflect.DeepEqual(line, c.want) {
				t.Errorf("the line says\n%v\nwant\n%v", line, c.want)
			}
		})
	}
}

// TestActorHash: the sub of some identity providers is an e-mail address.
func TestActorHash(t *testing.T) {
	t.Parallel()
	var j journal
	s := servertest.StartWith(t, server.Config{Log: j.log(slog.LevelInfo)})
	ask := func(id, subject string) string {
		c := servertest.Manager()
		c.Subject, c.UserID = subject, nil
		s.Ask(c, servertest.Request{Method: http.MethodGet, Path: worthAda, Header: http.Header{"X-Request-Id": {id}}})
		actor, _ := j.request(t, id)["actor"].(string)
		return actor
	}
	grace, again, ada := ask("1", "grace.hopper@example.com"), ask("2", "grace.hopper@example.com"), ask("3", "ada.lovelace@example.com")
	if !regexp.MustCompile(`^sub:[0-9a-f]{16}$`).MatchString(grace) || grace != again || grace == ada {
		t.Errorf("the actors are %q, %q and %q", grace, again, ada)
	}
	if uuid := ask("4", servertest.AdaUUID.String()); uuid != servertest.AdaUUID.String() {
		t.Errorf("a sub that is a UUID is told as %q", uuid)
	}
	if strings.Contains(j.String(), "example.com") {
		t.Errorf("the log has an e-mail address: %s", &j)
	}
	if names := slices.Sorted(maps.Keys(j.request(t, "1"))); slices.Contains(names, "sub") {
		t.Errorf("the line has %q", names)
	}
}
