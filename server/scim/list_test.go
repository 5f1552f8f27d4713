package scim_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

// listed is a page of users.
type listed struct {
	TotalResults, ItemsPerPage int
	StartIndex                 *int
	NextCursor                 *string
	Resources                  []struct{ ID, UserName string }
}

func (l listed) names() (all []string) {
	for _, u := range l.Resources {
		all = append(all, u.UserName)
	}
	return all
}

// list returns the page that a query asks for.
func list(t *testing.T, s *servertest.Server, query url.Values) (page listed) {
	t.Helper()
	a := ask(s, http.MethodGet, path+"/Users?"+query.Encode(), "")
	if a.Status != http.StatusOK {
		t.Fatalf("%v: %d %s", query, a.Status, a.Body)
	}
	a.Decode(t, &page)
	if page.ItemsPerPage != len(page.Resources) || !strings.Contains(a.Body, `"Resources":[`) {
		t.Errorf("%v: %s", query, a.Body)
	}
	return page
}

// crew creates users, and returns the names of all users in the order of lists.
func crew(t *testing.T, s *servertest.Server) []string {
	t.Helper()
	names := list(t, s, url.Values{}).names()
	for i := range 7 {
		name := fmt.Sprintf("crew%d", i)
		created(t, s, newUser(name, fmt.Sprintf(`,"externalId":"00u%d","active":%t`, i, i%2 == 0)))
		names = append(names, name)
	}
	return names
}

func TestList(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		names := crew(t, s)
		n := len(names)
		for query, want := range map[string][]string{
			"":                               names,
			"startIndex=2&count=3":           names[1:4],
			"startIndex=0&count=1":           names[:1],
			"startIndex=-5&count=1":          names[:1],
			"count=-1":                       nil,
			"count=0":                        nil,
			"count=100000":                   names,
			"startIndex=1000":                nil,
			"startIndex=9223372036854775807": nil,
			"sortBy=userName&sortOrder=descending&aadOptscim062020": names, // not supported, as the configuration says
		} {
			values, err := url.ParseQuery(query)
			if err != nil {
				t.Fatal(err)
			}
			page := list(t, s, values)
			if !slices.Equal(page.names(), want) || page.TotalResults != n || page.StartIndex == nil || page.NextCursor != nil {
				t.Errorf("%s: %+v, want %v", query, page, want)
			}
		}
		for filter, want := range map[string][]string{
			`userName eq "CREW3"`: {"crew3"},
			`emails[type eq "work"].value eq "Crew4@example.com"`: {"crew4"},
			`externalId eq 00u5`:                                                                      {"crew5"},
			`externalId eq "00U5"`:                                                                    nil,
			`userName sw "crew" and active eq "False"`:                                                {"crew1", "crew3", "crew5"},
			`externalId pr and not (active eq true or userName eq crew1)`:                             {"crew3", "crew5"},
			`userName eq "5a4bd9a5-0f18-4a30-a4ae-2f2f8b1c3a10"`:                                      nil,
			`id eq "` + list(t, s, url.Values{"filter": {"userName eq crew6"}}).Resources[0].ID + `"`: {"crew6"},
			`meta.created lt "2000-01-01T00:00:00Z"`:                                                  nil,
		} {
			page := list(t, s, url.Values{"filter": {filter}})
			if !slices.Equal(page.names(), want) || page.TotalResults != len(want) {
				t.Errorf("%s: %+v, want %v", filter, page, want)
			}
		}
		// A deleted user is in no list.
		gone := list(t, s, url.Values{"filter": {"userName eq crew0"}})
		if a := ask(s, http.MethodDelete, path+"/Users/"+gone.Resources[0].ID, ""); a.Status != http.StatusNoContent {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		for _, filter := range []string{"userName eq crew0", `externalId eq "00u0"`, "not (active eq true)", `emails co "crew0"`} {
			if page := list(t, s, url.Values{"filter": {filter}}); slices.Contains(page.names(), "crew0") {
				t.Errorf("%s finds a deleted user", filter)
			}
		}
		if page := list(t, s, url.Values{}); page.TotalResults != n-1 || len(page.Resources) != n-1 {
			t.Errorf("%d of %d, want %d", len(page.Resources), page.TotalResults, n-1)
		}
	})
}

func TestCursors(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		names := crew(t, s)
		var seen []string
		query := url.Values{"cursor": {""}, "count": {"3"}}
		var first string
		for pages := 0; ; pages++ {
			page := list(t, s, query)
			if page.TotalResults != len(names) || page.StartIndex != nil || pages > len(names) {
				t.Fatalf("page %d: %+v", pages, page)
			}
			seen = append(seen, page.names()...)
			if page.NextCursor == nil {
				break
			}
			if strings.Trim(*page.NextCursor, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") != "" {
				t.Errorf("the cursor %s has other characters than RFC 9865 allows", *page.NextCursor)
			}
			if first == "" {
				first = *page.NextCursor
			}
			query.Set("cursor", *page.NextCursor)
		}
		if !slices.Equal(seen, names) {
			t.Errorf("%v, want %v", seen, names)
		}
		// The same query by a body, which has the same cursors.
		body := func(cursor string) string {
			return fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],"count":3,"cursor":%q,"filter":null}`, cursor)
		}
		for _, at := range []string{"/Users/.search", "/.search"} {
			a := ask(s, http.MethodPost, path+at, body(first))
			var page listed
			a.Decode(t, &page)
			if a.Status != http.StatusOK || !slices.Equal(page.names(), names[3:6]) || page.NextCursor == nil {
				t.Errorf("%s: %d %s", at, a.Status, a.Body)
			}
		}
		// It tells nothing of the user at the end of the page.
		users, err := s.Store.UsersWith(t.Context(), servertest.Sandbox, store.FieldUsername, names[2])
		if err != nil || len(users) != 1 {
			t.Fatal(users, err)
		}
		raw, err := base64.RawURLEncoding.DecodeString(first)
		if id := binary.BigEndian.AppendUint64(nil, uint64(users[0].ID)); err != nil || bytes.Contains(raw, id[5:]) || bytes.Contains(raw, users[0].UUID[:]) {
			t.Errorf("%x, %v, has the id %x", raw, err, id)
		}
		invalid := []url.Values{
			{"cursor": {first[:len(first)-2]}}, {"cursor": {first[:len(first)-4]}}, {"cursor": {first + "AAAA"}}, {"cursor": {first + "="}},
			{"cursor": {"AAAA"}}, {"cursor": {"!"}}, {"cursor": {"0"}}, {"cursor": {strings.Repeat("A", 512)}}, {"cursor": {" "}},
			{"cursor": {first}, "filter": {"active eq true"}}, {"cursor": {first}, "filter": {`userName sw "crew"`}},
			{"cursor": {first}, "attributes": {"userName"}}, {"cursor": {first}, "excludedAttributes": {"userName"}},
		}
		for i := range first {
			altered := []byte(first)
			if altered[i]++; altered[i] == '{' || altered[i] == '[' || altered[i] == ':' {
				altered[i] = 'A'
			}
			invalid = append(invalid, url.Values{"cursor": {string(altered)}})
		}
		for _, query := range invalid {
			expectError(t, ask(s, http.MethodGet, path+"/Users?"+query.Encode(), ""), http.StatusBadRequest, "invalidCursor", "cursor must be empty")
		}
		expectError(t, ask(s, http.MethodPost, path+"/Users/.search", strings.Replace(body(first), `"filter":null`, `"filter":"active eq true"`, 1)),
			http.StatusBadRequest, "invalidCursor", "cursor must be empty")
		for _, count := range []string{"0", "-1"} {
			expectError(t, ask(s, http.MethodGet, path+"/Users?cursor=&count="+count, ""), http.StatusBadRequest, "invalidCount", "count must be at least 1")
		}
		expectError(t, ask(s, http.MethodGet, path+"/Users?cursor=&startIndex=1", ""), http.StatusBadRequest, "invalidValue", "exclude each other")
		// That of another customer.
		elsewhere := strings.Replace(path, "2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1", servertest.ElsewhereUUID.String(), 1)
		claims := servertest.Administrator()
		claims.Customers = []string{servertest.ElsewhereUUID.String()}
		expectError(t, s.Ask(claims, servertest.Request{Method: http.MethodGet, Path: elsewhere + "/Users?cursor=" + first}), http.StatusBadRequest, "invalidCursor", "")
	})
}

func TestInvalidFiltersAreRefused(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for filter, detail := range map[string]string{
		"":                       "character 1",
		"userName":               "operator is expected",
		`title eq "x"`:           "at character 1: this is not an attribute",
		`password eq "x"`:        "see /Schemas",
		`meta.version eq "x"`:    "see /Schemas",
		`roles[primary eq true]`: "see /Schemas",
		`active eq "yes"`:        "compare it with true or false",
		strings.Repeat("(", 400): "are nested",
		`active pr` + strings.Repeat(" and active pr", 8):                              "more than 8 comparisons",
		`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq "x"`: "see /Schemas",
		"userName eq \"a\\u0000\"":                                                     "no text can have",
	} {
		query := url.Values{"filter": {filter}}
		expectError(t, ask(s, http.MethodGet, path+"/Users?"+query.Encode(), ""), http.StatusBadRequest, "invalidFilter", detail)
		body := fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],"filter":%s}`, servertest.Encode(t, filter))
		expectError(t, ask(s, http.MethodPost, path+"/.search", body), http.StatusBadRequest, "invalidFilter", detail)
	}
	long := url.Values{"filter": {`userName eq "` + strings.Repeat("x", 512) + `"`}}
	expectError(t, ask(s, http.MethodGet, path+"/Users?"+long.Encode(), ""), http.StatusBadRequest, "invalidFilter", "512 characters")
}
