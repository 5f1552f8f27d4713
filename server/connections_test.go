package server_test

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// endConnections ends all others of an application and returns when they are gone. It must not take long: connections that were
// idle for a second are looked at more closely.
const endConnections = `DO $$
BEGIN
	PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '%[1]s' AND pid <> pg_backend_pid();
	LOOP
		PERFORM pg_stat_clear_snapshot();
		EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = '%[1]s' AND pid <> pg_backend_pid());
		PERFORM pg_sleep(0.001);
	END LOOP;
END$$`

// TestEndedConnections has Postgres end every connection while it is idle: no request may notice.
func TestEndedConnections(t *testing.T) {
	t.Parallel()
	address, err := url.Parse(storetest.PostgresURL(t))
	if err != nil {
		t.Fatal(err)
	}
	parameters := address.Query()
	name := parameters.Get("search_path")
	parameters.Set("application_name", name)
	address.RawQuery = parameters.Encode()
	s := servertest.StartWith(t, server.Config{Database: address.String()})
	user := "/auth/api/v1/customers/" + servertest.SandboxUUID.String() + "/users"
	ada := user + "/" + servertest.AdaUUID.String()
	account := "/account/api/v1/customers/3393/users"
	token := "Bearer " + s.Token(servertest.Manager())
	kinds := []func(n int) servertest.Request{
		func(int) servertest.Request { return servertest.Request{Method: http.MethodGet, Path: ada} },
		func(int) servertest.Request { return servertest.Request{Method: http.MethodGet, Path: user} },
		func(int) servertest.Request {
			return servertest.Request{Method: http.MethodGet, Path: user + "?search=lovelace"}
		},
		func(int) servertest.Request {
			return servertest.Request{Method: http.MethodGet, Path: account + "/6860"}
		},
		func(n int) servertest.Request {
			return servertest.Request{Method: http.MethodPatch, Path: ada, Body: fmt.Sprintf(`{"first_name":"Ada %d"}`, n)}
		},
		func(n int) servertest.Request {
			return servertest.Request{Method: http.MethodPatch, Path: ada, Body: fmt.Sprintf(`{"email":"ada%d@example.com"}`, n)}
		},
		func(n int) servertest.Request {
			return servertest.Request{Method: http.MethodPut, Path: account + "/6861", Body: fmt.Sprintf(
				`{"name":"Grace %d","surname":"Hopper","username":"gracehopper","email":"grace.hopper@example.com","enabled":true,"accountNonExpired":true,`+
					`"accountNonLocked":true,"credentialNonExpired":true,"authorities":[{"name":"ROLE_COMPANY_ADMIN"},{"name":"ROLE_USER"}]}`, n)}
		},
		func(n int) servertest.Request {
			return servertest.Request{Method: http.MethodPost, Path: user, Body: fmt.Sprintf(
				`{"first_name":"New","last_name":"User","email":"new%d@example.com","subrole":{"id":"6351c76f-76a3-4950-9cc4-cc37cdc05ec2","code":"risk_analyst","label":"Risk Analyst"}}`, n)}
		},
		func(int) servertest.Request {
			return servertest.Request{Method: http.MethodGet, Path: "/directory/v1/customers/3393/users/6860/history"}
		},
		func(int) servertest.Request {
			return servertest.Request{Method: http.MethodGet, Path: "/readyz"}
		},
	}
	storm := func(round int) {
		var all sync.WaitGroup
		for n := range 8 * len(kinds) {
			r := kinds[n%len(kinds)](1000*round + n)
			r.Header = http.Header{"Authorization": {token}, "Current-Company-Id": {"5251"}}
			if r.Body != "" {
				r.Header.Set("Content-Type", "application/json")
			}
			all.Go(func() {
				if a := s.Send(r); a.Status/100 != 2 {
					t.Errorf("round %d: %s %s: %d %s", round, r.Method, r.Path, a.Status, a.Body)
				}
			})
		}
		all.Wait()
	}
	storm(0)
	for round := range 5 {
		storetest.PostgresExec(t, address.String(), fmt.Sprintf(endConnections, name))
		storm(round + 1)
	}
}
