package testinium_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/gen/testiniumclient"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

func TestListIsBareArrayWithAndWithoutSlash(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		create(t, s, dorothy())
		for _, path := range []string{listPath, strings.TrimSuffix(listPath, "/")} {
			answer := ask(s, servertest.Manager(), path, nil)
			if answer.Status != http.StatusOK || !strings.HasPrefix(answer.Body, "[{") ||
				!strings.HasSuffix(answer.Body, ","+shownDorothy(`"0123456789abcdef0123456789abcdef"`, `"Sandbox"`)+"]\n") {
				t.Errorf("%s: %d %s", path, answer.Status, answer.Body)
			}
			answer.ExpectHeader(t, "Cache-Control", "private, no-cache")
			answer.ExpectHeader(t, "Content-Type", "application/json")
			answer.ExpectHeader(t, "ETag")
			var users []testiniumclient.User
			answer.Decode(t, &users)
			var ids []int64
			for _, u := range users {
				ids = append(ids, int64(u.EntityID))
			}
			if !slices.Equal(ids, []int64{servertest.Ada, servertest.Grace, 7300}) {
				t.Errorf("%s: %v", path, ids)
			}
		}
		sdk, err := s.Testinium(servertest.Manager()).ListUsersWithResponse(context.Background(), servertest.Sandbox,
			&testiniumclient.ListUsersParams{CurrentCompanyID: servertest.Company})
		if err != nil {
			t.Fatal(err)
		}
		if sdk.JSON200 == nil || len(*sdk.JSON200) != 3 {
			t.Errorf("the SDK: %d %s", sdk.StatusCode(), sdk.Body)
		}
	})
}

func TestListOfEmptyCustomer(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		if err := s.Store.CreateCustomer(context.Background(), &store.Customer{ID: 40, Name: "Empty"}); err != nil {
			t.Fatal(err)
		}
		if err := s.Store.CreateCompany(context.Background(), &store.Company{ID: 41, CustomerID: 40, Name: "Empty"}); err != nil {
			t.Fatal(err)
		}
		claims := servertest.Manager()
		claims.Customers = []string{"40"}
		ask(s, claims, "/account/api/v1/customers/40/users/", http.Header{"Current-Company-Id": {"41"}}).Expect(t, http.StatusOK, "[]")
	})
}

func TestCompanyNameInListAlone(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for company, name := range map[string]string{"5251": "Sandbox", "5267": "Sandbox Labs"} {
			header := http.Header{"Current-Company-Id": {company}}
			var users []testiniumclient.User
			ask(s, servertest.Manager(), listPath, header).Decode(t, &users)
			for _, u := range users {
				if u.CompanyName == nil || *u.CompanyName != name {
					t.Errorf("in the list of %s: %v", company, u.CompanyName)
				}
			}
			if got := ask(s, servertest.Manager(), userPath(servertest.Ada), header); !strings.Contains(got.Body, `"companyName":null`) {
				t.Errorf("%s", got.Body)
			}
			put := s.Ask(servertest.Manager(), servertest.Request{
				Method: http.MethodPut, Path: userPath(servertest.Ada), Header: header,
				Body: ask(s, servertest.Manager(), userPath(servertest.Ada), header).Body,
			})
			if !strings.Contains(put.Body, `"companyName":null`) {
				t.Errorf("%s", put.Body)
			}
		}
	})
}

func TestListTenantIsolation(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		claims := servertest.Administrator()
		claims.Customers = []string{auth.AllCustomers}
		for path, c := range map[string]struct {
			company string
			ids     []int64
		}{
			"3393": {"5251", []int64{servertest.Ada, servertest.Grace}}, "3394": {"2760", []int64{servertest.Alan}},
		} {
			var users []testiniumclient.User
			ask(s, claims, fmt.Sprintf("/account/api/v1/customers/%s/users/", path), http.Header{"Current-Company-Id": {c.company}}).Decode(t, &users)
			var ids []int64
			for _, u := range users {
				ids = append(ids, int64(u.EntityID))
			}
			if !slices.Equal(ids, c.ids) {
				t.Errorf("%s: %v", path, ids)
			}
		}
	})
}

// A list has no filters: a query is nobody's business.
func TestTheListLeavesAQueryAlone(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	want := ask(s, servertest.Manager(), listPath, nil)
	for _, query := range []string{"?page=0", "?x=%zz", "?%00", "?a;b"} {
		ask(s, servertest.Manager(), listPath+query, nil).Expect(t, http.StatusOK, strings.TrimSuffix(want.Body, "\n"))
	}
}

func TestListPathMethods(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, path := range []string{listPath, strings.TrimSuffix(listPath, "/")} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
			answer := s.Ask(servertest.Manager(), servertest.Request{Method: method, Path: path})
			answer.Expect(t, http.StatusMethodNotAllowed, servertest.TestiniumError(http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED",
				"The path does not support this method.", path))
			if allow := answer.Header.Get("Allow"); !strings.Contains(allow, "GET") || strings.Contains(allow, "PUT") {
				t.Errorf("%s %s: Allow is %q", method, path, allow)
			}
		}
	}
}
