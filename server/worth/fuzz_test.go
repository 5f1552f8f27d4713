package worth_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/servertest"
)

// FuzzWorthBody sends a body to both operations that take one. Whatever it is, it is done or refused, in the document's
// words; and what is done can be read.
func FuzzWorthBody(f *testing.F) {
	for _, seed := range []string{
		`{"first_name":"Ada"}`, `{"first_name":"Augusta","last_name":"","email":"ada@example.com","mobile":"+44 20 7946 0000","status":"INACTIVE"}`,
		`{"subrole":{"code":"risk_analyst"}}`, `{"subrole":{"id":"c","code":"cro","label":"CRO"}}`, `{"subrole":{"code":"owner"}}`, `{"subrole":{}}`,
		`{"first_name":"Edsger","last_name":"Dijkstra","email":"e@example.com","subrole":{"id":"a","code":"cro","label":"CRO"}}`,
		`{"email":"grace.hopper@example.com"}`, `{"email":"ADA.LOVELACE@EXAMPLE.COM"}`, `{"email":"a@b@c"}`, `{"mobile":""}`, `{"mobile":null}`,
		`{}`, `[]`, `null`, `"x"`, ``, `{`, `{"first_name":1}`, `{"first_name":"a","first_name":"b"}`, `{"First_Name":"x"}`, `{"":{"":[]}}`,
		"{\"first_name\":\"\u202e\ufffd\U0010ffff\"}", `{"first_name":"\ud800"}`, `{"first_name":"\u0000"}`, `{"unknown":[[[[1e400]]]]}`,
	} {
		f.Add(seed)
	}
	shared := servertest.Start(f)
	f.Fuzz(func(t *testing.T, body string) {
		s := shared.With(t)
		patched := s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodPatch, Path: adaPath, Body: body})
		created := s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodPost, Path: strings.TrimSuffix(listPath(""), "?"), Body: body})
		for _, a := range []servertest.Answer{patched, created} {
			if !slices.Contains([]int{http.StatusOK, http.StatusBadRequest, http.StatusForbidden, http.StatusRequestEntityTooLarge}, a.Status) {
				t.Errorf("%q is answered %d %s", body, a.Status, a.Body)
			}
		}
		if patched.Status != http.StatusOK {
			return
		}
		if a := s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodGet, Path: adaPath}); a.Status != http.StatusOK {
			t.Errorf("after %q the user is answered %d %s", body, a.Status, a.Body)
		}
	})
}

// FuzzListQuery asks for the list with whatever query a client can send.
func FuzzListQuery(f *testing.F) {
	for _, seed := range []string{
		"", "page=1&itemsPerPage=20", "page=0", "page=9223372036854775807&itemsPerPage=1000", "page=-1&page=2", "pagination=false", "pagination=maybe",
		"search=ada", "search=%25_%5C", "search=%00", "search=%ff", "search=%", "sort=-created_at", "sort=password", "sort=id;drop", "a;b", "&&=&",
		"status=ACTIVE&search_filter[status]=INACTIVE", "search_filter[subrole.code]=cro", "search_filter%5Bemail%5D=ADA.LOVELACE%40EXAMPLE.COM",
		"id=94520740-d63c-4e02-85ca-c4e138801e73", "id=1", "mobile=", "first_name=%F0%9F%A6%8B", "serach=x", "subrole.code=%27%20OR%201=1--",
	} {
		f.Add(seed)
	}
	shared := servertest.Start(f)
	f.Fuzz(func(t *testing.T, query string) {
		// What cannot be sent by HTTP's rules is refused before it is anybody's query.
		cannot := func(r rune) bool { return r <= ' ' || r == '#' || r == 0x7f }
		if _, err := url.Parse("?" + query); err != nil || strings.ContainsFunc(query, cannot) || len(query) > 32<<10 {
			t.Skip("it cannot be sent")
		}
		a := shared.With(t).Ask(servertest.Manager(), servertest.Request{Method: http.MethodGet, Path: listPath(query)})
		if a.Status != http.StatusOK && a.Status != http.StatusBadRequest {
			t.Errorf("%q is answered %d %s", query, a.Status, a.Body)
		}
	})
}
