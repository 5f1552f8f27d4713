package server_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// TestErasureIsSeenAtOnce erases a user through one of two servers, after both have cached what they cache of a user, and looks through
// all dialects of both.
func TestErasureIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	eachPair(t, func(t *testing.T, servers []*servertest.Server) {
		ask := func(s *servertest.Server, who auth.Claims, method, path, body string, header http.Header) servertest.Answer {
			t.Helper()
			return s.Ask(who, servertest.Request{Method: method, Path: path, Body: body, Header: header})
		}
		const scimUsers = "/scim/v2/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/Users"
		herself := servertest.Manager()
		herself.Subject, herself.UserID = "ada", &servertest.AdaUUID
		external := ask(servers[0], servertest.Manager(), http.MethodPatch, scimUsers+"/"+servertest.AdaUUID.String(),
			`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"add","path":"externalId","value":"ada-at-okta"}]}`, nil)
		if external.Status != http.StatusOK {
			t.Fatal(external)
		}
		for i, s := range servers {
			// The cache of users, of callers, and an answer that is kept.
			for _, who := range []auth.Claims{servertest.Manager(), herself} {
				a := ask(s, who, http.MethodPatch, worthAda, fmt.Sprintf(`{"mobile":"+44 20 7946 %04d"}`, i), keyed(fmt.Sprint("k", i)))
				if a.Status != http.StatusOK {
					t.Fatal(a)
				}
			}
		}
		platform := servertest.Administrator()
		platform.Customers = []string{auth.AllCustomers}
		if a := ask(servers[0], platform, http.MethodDelete, "/directory/v1/customers/3393/users/6860/personal-data", "", nil); a.Status != http.StatusOK {
			t.Fatal(a)
		}

		spoken := servertest.Dialects()
		for i, s := range servers {
			told := func(what string, a servertest.Answer) {
				t.Helper()
				for _, text := range []string{"Lovelace", "lovelace", "20 7946", "207946", "ada-at-okta"} {
					if strings.Contains(a.Body, text) {
						t.Errorf("server %d: %s tells %s: %s", i, what, text, a.Body)
					}
				}
			}
			for _, d := range spoken {
				operations, err := d.Operations()
				if err != nil {
					t.Fatal(err)
				}
				for _, o := range operations {
					if description.IsSafe(o.Method) {
						path, header := o.About(servertest.AdaSubject)
						told(o.OperationID, ask(s, platform, o.Method, path, "", header))
					}
				}
				for _, id := range d.Updates {
					o := servertest.Operation(t, d.API, id)
					path, header := o.About(servertest.AdaSubject)
					header.Set("Content-Type", "application/json")
					a := ask(s, platform, o.Method, path, servertest.Encode(t, d.Everything(id, "again")), header)
					if d.Name == "scim" {
						if a.Status != http.StatusNotFound { // as for every user who is not there for it
							t.Errorf("server %d: %s answers %d %s", i, id, a.Status, a.Body)
						}
						continue
					}
					if !strings.Contains(a.Body, store.ErrErased.Error()) || a.Status != http.StatusBadRequest {
						t.Errorf("server %d: %s answers %d %s", i, id, a.Status, a.Body)
					}
				}
			}
			for _, path := range []string{scimUsers + "/" + servertest.AdaUUID.String()} {
				for _, method := range []string{http.MethodGet, http.MethodDelete} {
					if a := ask(s, servertest.Manager(), method, path, "", nil); a.Status != http.StatusNotFound {
						t.Errorf("server %d: SCIM shows the user: %d %s", i, a.Status, a.Body)
					}
				}
			}
			for _, filter := range []string{`userName+eq+%22adalovelace%22`, `externalId+eq+%22ada-at-okta%22`, `id+eq+%22` + servertest.AdaUUID.String() + `%22`} {
				a := ask(s, servertest.Manager(), http.MethodGet, scimUsers+"?filter="+filter, "", nil)
				if !strings.Contains(a.Body, `"totalResults":0`) {
					t.Errorf("server %d: SCIM finds by %s: %s", i, filter, a.Body)
				}
			}
			// What was kept under a key is not repeated.
			a := ask(s, servertest.Manager(), http.MethodPatch, worthAda, `{"mobile":"+44 20 7946 0000"}`, keyed("k0"))
			told("a repeated write", a)
			if a.Status != http.StatusBadRequest {
				t.Errorf("server %d: a repeated write: %d %s", i, a.Status, a.Body)
			}
		}
		// The server itself knows at once that the caller is none any more, and the other one within five seconds; see the store's TestStandingSeesOtherWritersInTime.
		if a := ask(servers[0], herself, http.MethodPatch, worthUser(servertest.GraceUUID.String()), `{"mobile":"1"}`, nil); a.Status != http.StatusForbidden {
			t.Errorf("the erased user writes: %d %s", a.Status, a.Body)
		}
		// All names are free, also for a provisioning client, which makes another user.
		a := ask(servers[1], servertest.Manager(), http.MethodPost, scimUsers, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"adalovelace",`+
			`"externalId":"ada-at-okta","name":{"givenName":"A","familyName":"L"},"emails":[{"value":"ada.lovelace@example.com"}]}`, nil)
		if a.Status != http.StatusCreated || strings.Contains(a.Body, servertest.AdaUUID.String()) {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	})
}

// TestErasureUnderLoad erases a user while others write to it and read it: whoever wins, nothing remains.
func TestErasureUnderLoad(t *testing.T) {
	t.Parallel()
	eachPair(t, func(t *testing.T, servers []*servertest.Server) {
		platform := servertest.Administrator()
		platform.Customers = []string{auth.AllCustomers}
		erased := make(chan struct{})
		done := make(chan []int, 4)
		for w := range cap(done) {
			go func() {
				var after []int
				for i := 0; len(after) < 3; i++ {
					over := false
					select {
					case <-erased:
						over = true
					default:
					}
					a := servers[(w+i)%2].Ask(servertest.Administrator(), servertest.Request{Method: http.MethodPatch, Path: worthAda, Body: fmt.Sprintf(`{"first_name":"Augusta %d %d"}`, w, i)})
					if over {
						after = append(after, a.Status)
					}
				}
				done <- after
			}()
		}
		for deadline := time.Now().Add(waitLimit); ; {
			a := servers[0].Ask(platform, servertest.Request{Method: http.MethodDelete, Path: "/directory/v1/customers/3393/users/6860/personal-data"})
			if a.Status == http.StatusOK {
				break
			}
			if a.Status != http.StatusServiceUnavailable || time.Now().After(deadline) {
				t.Errorf("%d %s", a.Status, a.Body)
				break
			}
		}
		close(erased)
		for range cap(done) {
			if after := <-done; !slices.Equal(after, []int{400, 400, 400}) {
				t.Errorf("writes after the erasure are answered %v", after)
			}
		}
		changes, err := servers[1].Store.UserHistory(t.Context(), store.UserByID(servertest.Sandbox, servertest.Ada), 0, 100_000)
		if err != nil {
			t.Fatal(err)
		}
		if text := servertest.Encode(t, changes); strings.Contains(text, "Augusta") || changes[len(changes)-1].Operation != store.OperationErased {
			t.Errorf("the history has %s", text)
		}
	})
}

// TestServedHistoryGrowsOld: a server that is served erases old values by itself, and counts them.
func TestServedHistoryGrowsOld(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, database string) {
		retention, err := store.ParseAge("2y")
		if err != nil {
			t.Fatal(err)
		}
		storetest.Directory(t, storetest.Open(t, database))
		s, err := server.New(t.Context(), server.Config{
			Database: database, SecretKey: storetest.Key, Auth: auth.Config{Issuers: []auth.Issuer{{Secret: servertest.Secret}}}, Log: slog.New(slog.DiscardHandler),
			HistoryRetention: retention, Now: func() time.Time { return time.Now().AddDate(3, 0, 0) }, Listen: "127.0.0.1:0",
			ErasureLedger: t.TempDir() + "/erasures", Admin: server.Admin{Listen: "127.0.0.1:0", Level: new(slog.LevelVar)},
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Store().NumberChanges(t.Context()); err != nil {
			t.Fatal(err)
		}
		l, err := s.Listen()
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		served := make(chan error, 1)
		go func() { served <- errors.Join(s.Serve(ctx, l), s.Close()) }()
		for deadline := time.Now().Add(waitLimit); s.Store().OldHistoryErased() < 3 && time.Now().Before(deadline); {
			runtime.Gosched()
		}
		if metrics := scrape(t, s.Admin()); !strings.Contains(metrics, "dragoman_history_erased_entries_total 3") {
			t.Errorf("the metrics are %s", metrics)
		}
		changes, err := s.Store().UserHistory(t.Context(), store.UserByID(servertest.Sandbox, servertest.Ada), 0, 10)
		if err != nil || changes[0].Fields[0] != (store.FieldChange{Field: store.FieldFirstName, New: "erased"}) {
			t.Errorf("%+v, %v", changes, err)
		}
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}
