package cli

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/provisioning"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// TestRevocationReachesEveryReplica: a token that is revoked through another server of the directory, or by a command, is refused within five
// seconds, although the server has it in its cache and it is used all the time.
func TestRevocationReachesEveryReplica(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, database string) {
		one := servertest.StartWith(t, server.Config{Database: database})
		var passed atomic.Int64
		began := time.Now()
		two := servertest.StartWith(t, server.Config{Database: database, Now: func() time.Time { return began.Add(time.Duration(passed.Load())) }})
		const tokens = "/directory/v1/customers/3393/provisioning-tokens"
		variables := []string{"DRAGOMAN_DATABASE=" + database, "DRAGOMAN_SECRET_KEY=" + keyOfNow}
		for by, revoke := range map[string]func(id string){
			"HTTP": func(id string) {
				if a := one.Ask(servertest.Manager(), servertest.Request{Method: http.MethodDelete, Path: tokens + "/" + id}); a.Status != http.StatusNoContent {
					t.Errorf("%d %s", a.Status, a.Body)
				}
			},
			"the command": func(id string) {
				if status, out, said := configured(t, t.TempDir(), variables, "", "token", "revoke", id); status != 0 {
					t.Errorf("%d %s %s", status, out, said)
				}
			},
		} {
			var issued struct{ Token, ID string }
			one.Ask(servertest.Manager(), servertest.Request{Method: http.MethodPost, Path: tokens, Body: `{}`}).Decode(t, &issued)
			use := func(s *servertest.Server) int {
				return s.Send(servertest.Request{
					Method: http.MethodGet, Path: "/scim/v2/" + servertest.SandboxUUID.String() + "/Users?count=0", Header: http.Header{"Authorization": {"Bearer " + issued.Token}},
				}).Status
			}
			for name, s := range map[string]*servertest.Server{"one": one, "two": two} {
				if status := use(s); status != http.StatusOK {
					t.Fatalf("a new token at %s: %d", name, status)
				}
			}
			revoke(issued.ID)
			if status := use(two); status != http.StatusOK {
				t.Errorf("%s: a token that is cached: %d, so that nothing is tested", by, status)
			}
			for range 5 {
				passed.Add(int64(time.Second - 1))
				use(two)
			}
			passed.Add(5)
			if status := use(two); status != http.StatusUnauthorized {
				t.Errorf("%s: five seconds after the revocation: %d", by, status)
			}
		}
	})
}

// TestProvisioningTokens goes through the life of a token: created, listed, explained, used and revoked.
// TestFieldsOfTokenAreFlags: whatever may be wrong with a new token is said of the flag that sets it.
func TestFieldsOfTokenAreFlags(t *testing.T) {
	t.Parallel()
	for field, flag := range map[store.Field]string{
		store.FieldCustomer: "--customer", store.FieldTokenRole: "--role", store.FieldTokenNote: "--note", store.FieldTokenExpires: "--expires",
	} {
		err := fmt.Errorf("creating: %w", &store.FieldErrors{{Field: field, Reason: "must be another"}})
		if got := byFlags(err).Error(); got != flag+" must be another" {
			t.Errorf("%s: %s", field, got)
		}
	}
}

func TestProvisioningTokens(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, database string) {
		s := storetest.Open(t, database)
		storetest.Directory(t, s)
		dir := t.TempDir()
		variables := []string{"DRAGOMAN_DATABASE=" + database, "DRAGOMAN_SECRET_KEY=" + keyOfNow, "DRAGOMAN_JWT_SECRET=" + secretOfTokens}
		run := func(want int, input string, args ...string) (out, said string) {
			t.Helper()
			status, out, said := configured(t, dir, variables, input, args...)
			if status != want {
				t.Fatalf("%q: status %d, want %d\n%s%s", args, status, want, out, said)
			}
			return out, said
		}
		if out, _ := run(0, "", "token", "list"); out != "there are no tokens of provisioning clients\n" {
			t.Error(out)
		}
		out, said := run(0, "", "token", "create", "--scim", "--customer=3393", "--note=Okta")
		token, isLine := strings.CutSuffix(out, "\n")
		if !isLine || !provisioning.WellFormed(token) {
			t.Fatalf("printed %q", out)
		}
		id := regexp.MustCompile(`(?m)^id=(.*)$`).FindStringSubmatch(said)[1]
		row, err := s.FindProvisioningToken(t.Context(), provisioning.Hash(token))
		if err != nil || row.ID.String() != id || row.Role != "ROLE_USER" || row.Note != "Okta" || row.CreatedBy == "" {
			t.Errorf("%+v, %v", row, err)
		}
		if days := row.ExpiresAt.Sub(row.CreatedAt).Round(time.Hour).Hours() / 24; days != 365 {
			t.Errorf("valid for %v days", days)
		}
		other, _ := run(0, "", "token", "create", "--scim", "--customer=2E6438CB-ec3f-4e94-b5c9-8c058d2efaf1", "--role=ROLE_ADMIN", "--expires=1h")
		for _, args := range [][]string{
			{"token", "list"}, {"token", "list", "--customer=3393"}, {"token", "list", "--customer=2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1"},
		} {
			if out, _ := run(0, "", args...); strings.Count(out, "valid") != 2 || !strings.Contains(out, id) || strings.Contains(out, token) {
				t.Errorf("%q: %s", args, out)
			}
		}
		if out, _ := run(0, "", "token", "list", "--customer=3394"); !strings.HasPrefix(out, "there are no") {
			t.Error(out)
		}

		if out, _ := run(0, "Bearer "+token+"\n", "token", "explain"); !strings.Contains(out, "accepted below /scim") || strings.Contains(out, token) {
			t.Error(out)
		}
		if out, said := run(1, token+"x", "token", "explain"); !strings.Contains(out, "checksum") || strings.Contains(out+said, token) {
			t.Error(out, said)
		}

		v := provisioning.NewVerifier(s, nil, nil)
		if _, err := v.Verify(t.Context(), strings.TrimSpace(other)); err != nil {
			t.Error(err)
		}
		run(0, "", "token", "revoke", id)
		run(0, "", "token", "revoke", id)
		if _, err := v.Verify(t.Context(), token); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("revoked: %v", err)
		}
		if out, _ := run(0, "", "token", "list"); !strings.Contains(out, "revoked") {
			t.Error(out)
		}

		for _, bad := range []struct {
			said string
			args []string
		}{
			{"see --customer", []string{"token", "create", "--scim", "--customer=1"}},
			{"--customer must be", []string{"token", "create", "--scim", "--customer=x"}},
			{"--role must be", []string{"token", "create", "--scim", "--customer=3393", "--role=ROLE_OWNER"}},
			{"--expires must be", []string{"token", "create", "--scim", "--customer=3393", "--expires=17521h"}},
			{"--expires must be", []string{"token", "create", "--scim", "--customer=3393", "--expires=-1h"}},
			{"--note must", []string{"token", "create", "--scim", "--customer=3393", "--note=" + strings.Repeat("x", 2000)}},
			{"UUID", []string{"token", "revoke", "x"}},
			{"no such token", []string{"token", "revoke", "2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1"}},
		} {
			if _, said := run(2, "", bad.args...); !strings.Contains(said, bad.said) {
				t.Errorf("%q: %s", bad.args, said)
			}
		}
		run(80, "", "token", "create", "--customer=3393")
		run(80, "", "token", "create", "--scim")
		if out, _ := run(0, "", "token", "--customer=3393"); strings.Count(out, ".") != 2 {
			t.Errorf("no JWT: %s", out)
		}
	})
}
