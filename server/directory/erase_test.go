package directory_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/ledger"
	"github.com/dragoman-id/dragoman/store/storetest"
)

const (
	adasData   = "/directory/v1/customers/3393/users/6860/personal-data"
	gracesData = "/directory/v1/customers/3393/users/6861/personal-data"
	platform   = "platform administrator"
)

// eraseData asks to erase what a path names, with these headers, a name and a value each.
func eraseData(s *servertest.Server, who auth.Claims, path string, header ...string) servertest.Answer {
	return ask(s, who, http.MethodDelete, path, "", header...)
}

// adaErased is the answer to erasing Ada.
func adaErased(version, entries, subjects, answers int, fields ...string) string {
	list := ""
	if len(fields) > 0 {
		list = `"` + strings.Join(fields, `","`) + `"`
	}
	return fmt.Sprintf(`{"customer":3393,"user":6860,"uuid":"94520740-d63c-4e02-85ca-c4e138801e73","version":%d,"fields":[%s],"entries":%d,"subjects":%d,"answers":%d}`,
		version, list, entries, subjects, answers)
}

var adasFields = []string{"FirstName", "LastName", "Username", "Email", "Mobile", "Roles", "Status", "AccountNonExpired", "AccountNonLocked",
	"CredentialNonExpired", "AccessToken", "EmailVerified", "DeprovisionedAt"}

// eachWithLedger runs f against a server on each engine, and gives it the path of the server's ledger.
func eachWithLedger(t *testing.T, f func(t *testing.T, s *servertest.Server, list string)) {
	t.Helper()
	storetest.EachURL(t, func(t *testing.T, database string) {
		list := t.TempDir() + "/erasures"
		f(t, servertest.StartWith(t, server.Config{Database: database, ErasureLedger: list}), list)
	})
}

func listed(t *testing.T, list string) int {
	t.Helper()
	all, err := ledger.At(list).Entries()
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func TestErasePersonalData(t *testing.T) {
	t.Parallel()
	eachWithLedger(t, func(t *testing.T, s *servertest.Server, list string) {
		const patch = "/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users/94520740-d63c-4e02-85ca-c4e138801e73"
		write := s.Ask(who["company administrator"], servertest.Request{Method: http.MethodPatch, Path: patch, Body: `{"mobile":"+44 20 7946 0000"}`,
			Header: http.Header{"Idempotency-Key": {"k"}}})
		if write.Status != http.StatusOK {
			t.Fatal(write)
		}
		herself := who["company administrator"]
		herself.UserID = &servertest.AdaUUID
		if a := s.Ask(herself, servertest.Request{Method: http.MethodPatch, Path: strings.Replace(patch, servertest.AdaUUID.String(), servertest.GraceUUID.String(), 1),
			Body: `{"mobile":"+1 202 555 0100"}`}); a.Status != http.StatusOK {
			t.Fatal(a)
		}

		// A dry run tells the same, and does nothing.
		for range 2 {
			a := eraseData(s, who[platform], "/dry-run"+adasData+"?reason=case+4711", "If-Match", `"2"`)
			shows(t, a, adaErased(3, 2, 1, 1, adasFields...))
			a.ExpectHeader(t, "ETag")
			a.ExpectHeader(t, "Dragoman-Changed", strings.Join(adasFields, ", "))
			a.ExpectHeader(t, "Dragoman-Dry-Run", "true")
		}
		if u := s.FindUser(t, servertest.Ada); u.Version != 2 || listed(t, list) != 0 {
			t.Fatalf("a dry run has erased: %+v", u)
		}

		a := eraseData(s, who[platform], adasData+"?reason=case+4711", "If-Match", `"2"`)
		shows(t, a, adaErased(3, 2, 1, 1, adasFields...))
		a.ExpectHeader(t, "ETag", `"3"`)
		a.ExpectHeader(t, "Dragoman-Changed", strings.Join(adasFields, ", "))
		u := s.FindUser(t, servertest.Ada)
		if !u.Erased() || u.Version != 3 || listed(t, list) != 1 {
			t.Errorf("%+v, %d in the ledger", u, listed(t, list))
		}
		last := history(t, s, store.UserByID(servertest.Sandbox, servertest.Ada))[2]
		if last.Operation != store.OperationErased || last.Dialect != "directory" || last.Subject != "root" || last.RequestID == "" {
			t.Errorf("%+v", last)
		}
		// Again it is done already, whoever asks, by whatever version.
		for _, header := range [][]string{nil, {"If-Match", `"2"`}, {"If-Match", `"3"`}, {"Idempotency-Key", "k"}} {
			a := eraseData(s, who[platform], adasData+"?reason=another", header...)
			shows(t, a, adaErased(3, 0, 0, 0))
			a.ExpectHeader(t, "ETag", `"3"`)
			a.ExpectHeader(t, "Dragoman-Changed", "")
			a.ExpectHeader(t, "Idempotency-Replayed")
			shows(t, eraseData(s, who[platform], "/dry-run"+adasData, header...), adaErased(3, 0, 0, 0))
		}
		refuses(t, eraseData(s, who[platform], adasData, "If-None-Match", "*"), 412, "A precondition of the request is false.")
		if listed(t, list) != 1 || s.FindUser(t, servertest.Ada).Version != 3 {
			t.Error("it was erased twice")
		}
	})
}

// TestErasureIsForThePlatform: no administrator of a company erases, whatever its customers are.
func TestErasureIsForThePlatform(t *testing.T) {
	t.Parallel()
	eachWithLedger(t, func(t *testing.T, s *servertest.Server, list string) {
		for name, claims := range who {
			for _, prefix := range []string{"", "/dry-run"} {
				if name == platform {
					continue
				}
				for _, path := range []string{adasData, "/directory/v1/customers/3393/users/4711/personal-data", "/directory/v1/customers/4711/users/1/personal-data"} {
					refuses(t, eraseData(s, claims, prefix+path), 403, forbidden)
				}
			}
		}
		if u := s.FindUser(t, servertest.Ada); u.Version != 1 || listed(t, list) != 0 {
			t.Errorf("%+v", u)
		}
		for _, path := range []string{
			"/directory/v1/customers/3393/users/4711/personal-data", "/directory/v1/customers/3393/users/7001/personal-data",
			"/directory/v1/customers/4711/users/6860/personal-data", "/directory/v1/customers/3393/users/0/personal-data",
			"/directory/v1/customers/3393/users/9223372036854775807/personal-data",
		} {
			refuses(t, eraseData(s, who[platform], path, "If-Match", `"9"`), 404, noUser)
			refuses(t, eraseData(s, who[platform], "/dry-run"+path), 404, noUser)
		}
		// A user of another customer, by that customer's path.
		there := store.User{CustomerID: servertest.Elsewhere, Username: "there", Email: "there@example.com", Status: store.StatusActive}
		if err := s.Store.CreateUser(context.Background(), &there); err != nil {
			t.Fatal(err)
		}
		if a := eraseData(s, who[platform], fmt.Sprintf("/directory/v1/customers/3394/users/%d/personal-data", there.ID)); a.Status != http.StatusOK {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	})
}

func TestRefusedErasures(t *testing.T) {
	t.Parallel()
	type told = servertest.FieldError
	eachWithLedger(t, func(t *testing.T, s *servertest.Server, list string) {
		both := func(status int, detail, path string, header []string, fields ...told) {
			t.Helper()
			refuses(t, eraseData(s, who[platform], path, header...), status, detail, fields...)
			refuses(t, eraseData(s, who[platform], "/dry-run"+path, header...), status, detail, fields...)
		}
		both(400, refused, gracesData, nil, told{"Status", "Status must leave the customer an active administrator"})
		both(400, refused, adasData+"?reason=as+LOVELACE+asked", nil, told{"reason", "reason must not have a value that the user has or had, as it is kept"})
		both(400, refused, gracesData+"?reason=Hopper", nil, told{"reason", "reason must not have a value that the user has or had, as it is kept"},
			told{"Status", "Status must leave the customer an active administrator"})
		both(400, invalid, adasData+"?reason="+strings.Repeat("x", 501), nil, told{"reason", "reason must have at most 500 characters"})
		both(400, invalid, adasData+"?reason=%00", nil, told{"reason", "reason must be valid UTF-8 without U+0000"})
		both(400, invalid, adasData+"?reason=a&reason=b", nil, told{"reason", "reason must be given once"})
		both(400, invalid, adasData+"?because=a", nil, told{"because", "because is not a parameter, the nearest is reason"})
		both(400, invalid, adasData, []string{"If-Match", "1"}, told{"If-Match", "If-Match must be * or entity tags in double quotes"})
		for _, header := range [][]string{{"If-Match", `"2"`}, {"If-Match", `W/"1"`}, {"If-None-Match", `"1"`}, {"If-None-Match", "*"}} {
			// Before the rules.
			for _, path := range []string{adasData + "?reason=Lovelace", "/dry-run" + adasData} {
				a := eraseData(s, who[platform], path, header...)
				refuses(t, a, 412, "A precondition of the request is false.")
				a.ExpectHeader(t, "ETag", `"1"`)
			}
		}
		key := store.UserByID(servertest.Sandbox, servertest.Ada)
		if _, _, err := s.Store.SetLegalHold(context.Background(), key, true, nil); err != nil {
			t.Fatal(err)
		}
		both(400, refused, adasData, nil, told{"LegalHoldAt", "LegalHoldAt must be lifted before the user can be erased"})
		if u := s.FindUser(t, servertest.Ada); u.Erased() || u.Version != 2 || listed(t, list) != 0 {
			t.Errorf("%+v", u)
		}
		if _, _, err := s.Store.SetLegalHold(context.Background(), key, false, nil); err != nil {
			t.Fatal(err)
		}
		// The longest reason, in letters of several bytes, and a body, which has no meaning.
		a := s.Ask(who[platform], servertest.Request{Method: http.MethodDelete, Path: adasData + "?reason=" + url.QueryEscape(strings.Repeat("ß", 500)),
			Header: http.Header{"Content-Type": {"text/html"}}, Body: "<reason>Lovelace</reason>"})
		if a.Status != http.StatusOK || listed(t, list) != 1 {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	})
}

// TestErasureWithoutLedger: a server on PostgreSQL that has no ledger erases nobody, and says which setting it lacks.
func TestErasureWithoutLedger(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, database string) {
		s := servertest.StartWith(t, server.Config{Database: database, ErasureLedger: servertest.DefaultLedger})
		path, isFile := strings.CutPrefix(database, "sqlite:")
		if isFile {
			if a := eraseData(s, who[platform], adasData); a.Status != http.StatusOK || listed(t, path+".erasures") != 1 {
				t.Errorf("%d %s", a.Status, a.Body)
			}
			return
		}
		for _, prefix := range []string{"", "/dry-run"} {
			refuses(t, eraseData(s, who[platform], prefix+adasData), 400, refused, servertest.FieldError{"", store.ErrNoLedger.Error()})
			refuses(t, eraseData(s, who[platform], prefix+"/directory/v1/customers/3393/users/4711/personal-data"), 404, noUser)
		}
		if !strings.Contains(store.ErrNoLedger.Error(), "--erasure-ledger (DRAGOMAN_ERASURE_LEDGER)") {
			t.Error(store.ErrNoLedger)
		}
		if u := s.FindUser(t, servertest.Ada); u.Version != 1 {
			t.Errorf("%+v", u)
		}
	})
}

func TestMethodsOfPersonalData(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch} {
		a := s.Ask(who[platform], servertest.Request{Method: method, Path: adasData})
		if a.Status != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d %s", method, a.Status, a.Body)
		}
		a.ExpectHeader(t, "Allow", "OPTIONS, DELETE")
	}
	a := s.Send(servertest.Request{Method: http.MethodOptions, Path: adasData})
	if a.Status != http.StatusNoContent {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	a.ExpectHeader(t, "Allow", "OPTIONS, DELETE")
}
