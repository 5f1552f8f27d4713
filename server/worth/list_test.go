package worth_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/gen/worthclient"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// listPath is the path of the sandbox's users; the query is as it goes over the wire.
func listPath(query string) string {
	return "/auth/api/v1/customers/" + servertest.SandboxUUID.String() + "/users?" + query
}

// list asks for a list, which must be given.
func list(t rapid.TB, s *servertest.Server, query string) worthclient.UserPage {
	t.Helper()
	answer := s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodGet, Path: listPath(query)})
	if answer.Status != http.StatusOK {
		t.Fatalf("%s: %d %s", query, answer.Status, answer.Body)
	}
	var page worthclient.UserListAnswer
	answer.Decode(t, &page)
	return page.Data
}

func names(p worthclient.UserPage) []string {
	all := []string{}
	for _, r := range p.Records {
		all = append(all, r.FirstName)
	}
	return all
}

// refusedParameters is the answer to a list whose parameters are wrong.
func refusedParameters(fields ...servertest.FieldError) string {
	return servertest.WorthError(http.StatusBadRequest, "INVALID", "ValidationMiddlewareError", "", fields...)
}

func TestTheListShowsItsRecords(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		create(t, s, katherine())
		bare := katherine()
		bare.UUID, bare.Username, bare.Email = uuid.MustParse("4bd0c1ff-6b0b-4f0c-8f57-0d3c4f1b2a77"), "bare", "bare@example.com"
		bare.Mobile, bare.Roles, bare.CreatedBy, bare.UpdatedBy, bare.ExternalAuthID = nil, 0, nil, nil, nil
		bare.Status, bare.FirstLogin, bare.EmailVerified = store.StatusInvited, true, false
		create(t, s, bare)
		answer := s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodGet, Path: listPath("page=2&itemsPerPage=2")})
		answer.Expect(t, http.StatusOK, `{"status":"success","message":"Success","data":{"records":[`+
			`{"id":"3bd0c1ff-6b0b-4f0c-8f57-0d3c4f1b2a77","first_name":"Katherine","last_name":"Johnson",`+
			`"email":"Katherine.Johnson@example.com","mobile":"+1 202 555 0101","is_email_verified":true,"is_first_login":false,`+
			`"created_at":"2024-02-12T14:16:49.050Z","created_by":"0cfecc31-e3f4-4fce-9a27-f36ea6256a10",`+
			`"updated_at":"2024-02-12T15:16:49.050Z","updated_by":"94520740-d63c-4e02-85ca-c4e138801e73",`+
			`"ext_auth_ref_id":"5f0e3a52-7b07-4c51-9f0b-3d1f8a3d5e11",`+
			`"status":"ACTIVE","subrole":{"id":"e0d4970f-0f4d-4a0d-aaa6-681a048cb656","code":"cro","display_name":"CRO","label":"CRO","description":"CRO"}},`+
			`{"id":"4bd0c1ff-6b0b-4f0c-8f57-0d3c4f1b2a77","first_name":"Katherine","last_name":"Johnson",`+
			`"email":"bare@example.com","mobile":null,"is_email_verified":false,"is_first_login":true,`+
			`"created_at":"2024-02-12T14:16:49.050Z","created_by":null,"updated_at":"2024-02-12T15:16:49.050Z","updated_by":null,`+
			`"ext_auth_ref_id":null,"status":"INVITED","subrole":null}],`+
			`"total_pages":2,"total_items":"4"}}`)
		answer.ExpectHeader(t, "Cache-Control", "private, no-cache")
		answer.ExpectHeader(t, "Content-Type", "application/json; charset=utf-8")
		answer.ExpectHeader(t, "ETag")
	})
}

func TestAListHasPages(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for i := range 23 {
			create(t, s, store.User{
				CustomerID: servertest.Sandbox, FirstName: "same", Status: store.StatusActive,
				Username: fmt.Sprint("user", i), Email: fmt.Sprintf("user%d@example.com", i),
			})
		}
		for query, want := range map[string]struct {
			records int
			pages   int64
		}{
			"":                            {20, 2},
			"page=2":                      {5, 2},
			"page=3":                      {0, 2},
			"page=9223372036854775807":    {0, 2},
			"itemsPerPage=1000":           {25, 1},
			"itemsPerPage=25":             {25, 1},
			"itemsPerPage=24":             {24, 2},
			"itemsPerPage=1&page=25":      {1, 25},
			"itemsPerPage=1&page=26":      {0, 25},
			"pagination=true":             {20, 2},
			"pagination=false":            {25, 1},
			"pagination=false&page=7":     {25, 1},
			"first_name=same":             {20, 2},
			"first_name=nobody":           {0, 0},
			"pagination=false&search=xyz": {0, 0},
			"page=9223372036854775807&itemsPerPage=1000": {0, 1},
		} {
			p := list(t, s, query)
			total := "25"
			switch {
			case strings.Contains(query, "nobody"), strings.Contains(query, "xyz"):
				total = "0"
			case strings.Contains(query, "same"):
				total = "23"
			}
			if len(p.Records) != want.records || p.TotalPages != want.pages || p.TotalItems != total {
				t.Errorf("%q: %d records, %d pages, %s items", query, len(p.Records), p.TotalPages, p.TotalItems)
			}
		}
		rapid.Check(t, func(t *rapid.T) {
			size := rapid.Int64Range(1, 30).Draw(t, "itemsPerPage")
			sort := rapid.SampledFrom([]string{"", "first_name", "-first_name", "-created_at", "status", "email"}).Draw(t, "sort")
			seen := map[worthclient.UserID]bool{}
			pages := int64(1)
			for number := int64(1); number <= pages; number++ {
				query := fmt.Sprintf("page=%d&itemsPerPage=%d", number, size)
				if sort != "" {
					query += "&sort=" + sort
				}
				p := list(t, s, query)
				pages = p.TotalPages
				for _, r := range p.Records {
					if seen[r.ID] {
						t.Fatalf("%s is on two pages", r.ID)
					}
					seen[r.ID] = true
				}
			}
			if len(seen) != 25 || pages != (25+size-1)/size {
				t.Errorf("%d users on %d pages of %d", len(seen), pages, size)
			}
		})
	})
}

func TestUnpagedListIsBounded(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for i := range 998 {
		create(t, s, store.User{
			CustomerID: servertest.Sandbox, Status: store.StatusActive,
			Username: fmt.Sprint("user", i), Email: fmt.Sprintf("user%d@example.com", i),
		})
	}
	if p := list(t, s, "pagination=false"); len(p.Records) != 1000 || p.TotalPages != 1 || p.TotalItems != "1000" {
		t.Errorf("%d records, %d pages, %s items", len(p.Records), p.TotalPages, p.TotalItems)
	}
	create(t, s, katherine())
	s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodGet, Path: listPath("pagination=false")}).
		Expect(t, http.StatusBadRequest, refusedParameters(servertest.FieldError{
			"pagination", "pagination may be false for at most 1000 records: ask for pages",
		}))
	if p := list(t, s, "pagination=false&first_name=Katherine"); len(p.Records) != 1 {
		t.Errorf("%d records of those that the filter finds", len(p.Records))
	}
	if p := list(t, s, "itemsPerPage=1000&page=2"); len(p.Records) != 1 || p.TotalPages != 2 || p.TotalItems != "1001" {
		t.Errorf("%d records, %d pages, %s items", len(p.Records), p.TotalPages, p.TotalItems)
	}
}

// people are users whom the filters tell apart.
func people(t testing.TB, s *servertest.Server) {
	t.Helper()
	for i, u := range []store.User{
		{FirstName: "Ada", LastName: "Straße", Mobile: new("+44 20"), Roles: store.Roles(1, 2, 3), Status: store.StatusInvited},
		{FirstName: "ada", LastName: "STRASSE", Roles: store.Roles(2, 3), Status: store.StatusInactive},
		{FirstName: "100%", LastName: "a_b", Mobile: new("%"), Roles: store.Roles(2, 11), Status: store.StatusInvited},
		{FirstName: `back\slash`, LastName: "axb", Roles: store.Roles(3), Status: store.StatusInactive},
		{FirstName: "ΟΔΥΣΣΕΎΣ", LastName: "1000", Roles: store.Roles(4), Status: store.StatusInvited},
	} {
		u.CustomerID = servertest.Sandbox
		u.Email = fmt.Sprintf("Person%d+x@Example.com", i)
		u.Username = fmt.Sprint("person", i)
		u.UUID = uuid.MustParse(fmt.Sprintf("%08d-0000-4000-8000-00000000000a", i))
		create(t, s, u)
	}
}

// everyone is those of people and those of the sandbox, by their first names, in the order of their creation.
var everyone = []string{"Ada", "Grace", "Ada", "ada", "100%", `back\slash`, "ΟΔΥΣΣΕΎΣ"}

func TestFiltersAreExactUnderBothNames(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		people(t, s)
		for _, c := range []struct {
			field, value string
			found        []string
		}{
			{"id", "00000002-0000-4000-8000-00000000000a", []string{"100%"}},
			{"id", "00000002-0000-4000-8000-00000000000A", []string{"100%"}},
			{"id", servertest.AlanUUID.String(), []string{}},
			{"first_name", "Ada", []string{"Ada", "Ada"}},
			{"first_name", "ada", []string{"ada"}},
			{"first_name", "Ad", []string{}},
			{"first_name", "100%", []string{"100%"}},
			{"first_name", "%", []string{}},
			{"first_name", "", []string{}},
			{"last_name", "Straße", []string{"Ada"}},
			{"last_name", "a_b", []string{"100%"}},
			{"email", "PERSON1+X@EXAMPLE.COM", []string{"ada"}},
			{"email", "person1", []string{}},
			{"mobile", "+44 20", []string{"Ada"}},
			{"mobile", "%", []string{"100%"}},
			{"mobile", "", []string{"Ada", "Grace", "ada", `back\slash`, "ΟΔΥΣΣΕΎΣ"}},
			{"status", "ACTIVE", []string{"Ada", "Grace"}},
			{"status", "INACTIVE", []string{"ada", `back\slash`}},
			{"status", "INVITED", []string{"Ada", "100%", "ΟΔΥΣΣΕΎΣ"}},
			{"subrole.code", "owner", []string{"Ada"}},
			{"subrole.code", "cro", []string{"Grace", "ada", "100%"}},
			{"subrole.code", "risk_analyst", []string{"Ada", `back\slash`}},
			{"subrole.code", "CRO", []string{}},
			{"subrole.code", "", []string{}},
		} {
			for _, name := range []string{c.field, "search_filter[" + c.field + "]"} {
				for _, query := range []string{name + "=" + url.QueryEscape(c.value), url.Values{name: {c.value}}.Encode()} {
					p := list(t, s, query)
					if got := names(p); !slices.Equal(got, c.found) || p.TotalItems != strconv.Itoa(len(c.found)) {
						t.Errorf("%s: %q", query, got)
					}
				}
			}
		}
	})
}

func TestSeveralFiltersMustAllHold(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		people(t, s)
		for query, want := range map[string][]string{
			"status=ACTIVE&first_name=Ada":                         {"Ada"},
			"status=ACTIVE&search_filter[status]=ACTIVE":           {"Ada", "Grace"},
			"status=ACTIVE&search_filter[status]=INACTIVE":         {},
			"first_name=Ada&search_filter%5Bfirst_name%5D=ada":     {},
			"subrole.code=cro&search_filter[subrole.code]=owner":   {},
			"id=" + servertest.AdaUUID.String() + "&search=grace":  {},
			"id=" + servertest.AdaUUID.String() + "&search=ADA":    {"Ada"},
			"search=person&status=INVITED&subrole.code=cro&page=1": {"100%"},
		} {
			if got := names(list(t, s, query)); !slices.Equal(got, want) {
				t.Errorf("%s: %q", query, got)
			}
		}
	})
}

func TestSearchIgnoresCase(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		people(t, s)
		for text, want := range map[string][]string{
			"":                      everyone,
			"aDA":                   {"Ada", "Ada", "ada"},
			"straße":                {"Ada", "ada"},
			"STRASSE":               {"Ada", "ada"},
			"asse":                  {"Ada", "ada"},
			"οδυσσεύς":              {"ΟΔΥΣΣΕΎΣ"},
			"%":                     {"100%"},
			"_":                     {"100%"},
			"a_b":                   {"100%"},
			`\`:                     {`back\slash`},
			`k\S`:                   {`back\slash`},
			"00":                    {"100%", "ΟΔΥΣΣΕΎΣ"},
			"3+X@EXAMPLE.COM":       {`back\slash`},
			"alan":                  {},
			"adalovelace":           {},
			"'; DROP TABLE users--": {},
		} {
			if got := names(list(t, s, url.Values{"search": {text}}.Encode())); !slices.Equal(got, want) {
				t.Errorf("%q: %q", text, got)
			}
		}
	})
}

func TestEveryFieldSortsBothWays(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		people(t, s)
		keys := map[string]func(worthclient.UserRecord) string{
			"id":         func(r worthclient.UserRecord) string { return string(r.ID) },
			"first_name": func(r worthclient.UserRecord) string { return store.Fold(r.FirstName) },
			"last_name":  func(r worthclient.UserRecord) string { return store.Fold(r.LastName) },
			"email":      func(r worthclient.UserRecord) string { return store.Fold(r.Email) },
			"mobile": func(r worthclient.UserRecord) string {
				if r.Mobile == nil {
					return ""
				}
				return *r.Mobile
			},
			"status":     func(r worthclient.UserRecord) string { return string(r.Status) },
			"created_at": func(r worthclient.UserRecord) string { return r.CreatedAt.Format("2006-01-02T15:04:05.000") },
			"updated_at": func(r worthclient.UserRecord) string { return r.UpdatedAt.Format("2006-01-02T15:04:05.000") },
		}
		unsorted := list(t, s, "").Records
		for field, key := range keys {
			want := slices.SortedStableFunc(slices.Values(unsorted), func(a, b worthclient.UserRecord) int { return strings.Compare(key(a), key(b)) })
			ascending, descending := list(t, s, "sort="+field).Records, list(t, s, "sort=-"+field).Records
			if !slices.EqualFunc(ascending, want, same) {
				t.Errorf("by %s: %v", field, ascending)
			}
			slices.Reverse(want)
			if !slices.EqualFunc(descending, want, same) {
				t.Errorf("by -%s: %v", field, descending)
			}
		}
	})
}

func same(a, b worthclient.UserRecord) bool { return a.ID == b.ID }

func TestUnknownParameterSuggestsNearest(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	const sorts = "must be one of id, first_name, last_name, email, mobile, status, created_at and updated_at, or one of them behind a -"
	unknown := func(name, nearest string) servertest.FieldError {
		return servertest.FieldError{name, name + " is not a parameter, the nearest is " + nearest}
	}
	long := strings.Repeat("x", 300)
	for query, fields := range map[string][]servertest.FieldError{
		"items_per_page=5":            {unknown("items_per_page", "itemsPerPage")},
		"Page=1":                      {unknown("Page", "page")},
		"limit=1":                     {unknown("limit", "sort")},
		"firstname=Ada":               {unknown("firstname", "first_name")},
		"search_filter[nope]=1":       {unknown("search_filter[nope]", "search_filter[id]")},
		"search_filter[Status]=1":     {unknown("search_filter[Status]", "search_filter[status]")},
		"search_filter=1":             {unknown("search_filter", "search_filter[id]")},
		"search_filter[]=1":           {unknown("search_filter[]", "search_filter[id]")},
		"status[]=ACTIVE":             {unknown("status[]", "status")},
		"subrole[code]=cro":           {unknown("subrole[code]", "subrole.code")},
		"=1":                          {unknown(`""`, "id")},
		"sorting=id&pages=1":          {unknown("pages", "page"), unknown("sorting", "sort")},
		"page=x&pages=1":              {{"page", "page must be an integer"}, unknown("pages", "page")},
		"page=0":                      {{"page", "page must be at least 1"}},
		"page=-1":                     {{"page", "page must be at least 1"}},
		"page=1.0":                    {{"page", "page must be an integer"}},
		"page=%2B1":                   {{"page", "page must be an integer"}},
		"page=":                       {{"page", "page must be an integer"}},
		"page":                        {{"page", "page must be an integer"}},
		"page=9223372036854775808":    {{"page", "page must be an integer"}},
		"page=1e3":                    {{"page", "page must be an integer"}},
		"page=0x1":                    {{"page", "page must be an integer"}},
		"page=%D9%A1":                 {{"page", "page must be an integer"}},
		"itemsPerPage=0":              {{"itemsPerPage", "itemsPerPage must be at least 1"}},
		"itemsPerPage=1001":           {{"itemsPerPage", "itemsPerPage must be at most 1000"}},
		"itemsPerPage=-9999999999":    {{"itemsPerPage", "itemsPerPage must be at least 1"}},
		"itemsPerPage=1" + long:       nil, // below
		"pagination=0":                {{"pagination", "pagination must be true or false"}},
		"pagination=FALSE":            {{"pagination", "pagination must be true or false"}},
		"pagination=":                 {{"pagination", "pagination must be true or false"}},
		"page=1&page=1":               {{"page", "page must be given once"}},
		"status=ACTIVE&status=ACTIVE": {{"status", "status must be given once"}},
		"sort=id&sort=-id":            {{"sort", "sort must be given once"}},
		"search=a&search=b":           {{"search", "search must be given once"}},
		"status=active":               {{"status", "status must be one of ACTIVE, INACTIVE, INVITED"}},
		"status=":                     {{"status", "status must be one of ACTIVE, INACTIVE, INVITED"}},
		"search_filter[status]=x":     {{"search_filter[status]", "search_filter[status] must be one of ACTIVE, INACTIVE, INVITED"}},
		"id=6860":                     {{"id", "id must be a UUID"}},
		"search_filter[id]=":          {{"search_filter[id]", "search_filter[id] must be a UUID"}},
		"sort=":                       {{"sort", "sort " + sorts}},
		"sort=--id":                   {{"sort", "sort " + sorts}},
		"sort=subrole.code":           {{"sort", "sort " + sorts}},
		"sort=id,email":               {{"sort", "sort " + sorts}},
		"sort=id%0A":                  {{"sort", "sort " + sorts}},
		"sort=id;+DROP+TABLE+users":   {{"", "the query is not well formed"}},
		"sort=id%3B":                  {{"sort", "sort " + sorts}},
		"first_name=" + long:          {{"first_name", "first_name must have at most 255 characters"}},
		"search=" + long:              {{"search", "search must have at most 255 characters"}},
		"email=" + long:               {{"email", "email must have at most 254 characters"}},
		"mobile=" + long:              {{"mobile", "mobile must have at most 64 characters"}},
		"first_name=a%00b":            {{"first_name", "first_name must be valid UTF-8 without U+0000"}},
		"search=%00":                  {{"search", "search must be valid UTF-8 without U+0000"}},
		"search_filter[email]=%00":    {{"search_filter[email]", "search_filter[email] must be valid UTF-8 without U+0000"}},
		"last_name=%FF":               {{"last_name", "last_name must be valid UTF-8 without U+0000"}},
		"search=%ED%A0%80":            {{"search", "search must be valid UTF-8 without U+0000"}},
		"search=%zz":                  {{"", "the query is not well formed"}},
		"search=%":                    {{"", "the query is not well formed"}},
		"a=1;b=2":                     {{"", "the query is not well formed"}},
	} {
		if fields == nil {
			fields = []servertest.FieldError{{"itemsPerPage", "itemsPerPage must be an integer"}}
		}
		s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodGet, Path: listPath(query)}).
			Expect(t, http.StatusBadRequest, refusedParameters(fields...))
	}
}

func TestListErrorsAsDocumented(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		forbidden := servertest.WorthError(http.StatusForbidden, "ERR_FORBIDDEN", "AccessMiddlewareError", "Forbidden")
		const nowhere = "5d2b1c9e-31a5-4c39-8c1a-4a3f7cf4f0aa"
		path := func(customer string) string { return "/auth/api/v1/customers/" + customer + "/users" }
		stranger, writer := servertest.Manager(), servertest.Manager()
		stranger.Customers = []string{nowhere}
		writer.Permissions, writer.Authorities = []auth.Permission{auth.PermissionWrite, auth.PermissionCreate}, nil
		platform := servertest.Administrator()
		platform.Customers = []string{auth.AllCustomers}
		unknown := servertest.WorthError(http.StatusBadRequest, "INVALID", "CustomersApiError", "",
			servertest.FieldError{"customerID", "Customer does not exists"})
		for _, c := range []struct {
			claims auth.Claims
			path   string
			status int
			body   string
		}{
			{servertest.Manager(), path(servertest.ElsewhereUUID.String()), 403, forbidden},
			{servertest.Manager(), path(nowhere), 403, forbidden},
			{writer, path(servertest.SandboxUUID.String()), 403, forbidden},
			{stranger, path(nowhere), 400, unknown},
			{platform, path(nowhere), 400, unknown},
			{servertest.Manager(), path("3393"), 400, refusedParameters(servertest.FieldError{"customerID", "customerID must be a UUID"})},
			{servertest.Manager(), path("3393") + "?page=0", 400, refusedParameters(
				servertest.FieldError{"customerID", "customerID must be a UUID"}, servertest.FieldError{"page", "page must be at least 1"})},
			{servertest.Manager(), path(nowhere) + "?page=0", 400, refusedParameters(servertest.FieldError{"page", "page must be at least 1"})},
		} {
			s.Ask(c.claims, servertest.Request{Method: http.MethodGet, Path: c.path}).Expect(t, c.status, c.body)
		}
		s.Send(servertest.Request{Method: http.MethodGet, Path: listPath("page=0")}).
			Expect(t, 401, servertest.WorthError(http.StatusUnauthorized, "ERR_UNAUTHORIZED", "AuthenticationMiddlewareError", "Unauthorized"))
	})
}

func TestListTenantIsolation(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for _, query := range []string{"", "pagination=false", "search=alan", "email=alan.turing@example.com", "id=" + servertest.AlanUUID.String(), "status=ACTIVE"} {
			for _, r := range list(t, s, query).Records {
				if string(r.ID) != servertest.AdaUUID.String() && string(r.ID) != servertest.GraceUUID.String() {
					t.Errorf("%q shows %s", query, r.Email)
				}
			}
		}
		everybody := servertest.Administrator()
		everybody.Customers = []string{auth.AllCustomers}
		var there worthclient.UserListAnswer
		s.Ask(everybody, servertest.Request{Method: http.MethodGet, Path: "/auth/api/v1/customers/" + servertest.ElsewhereUUID.String() + "/users"}).Decode(t, &there)
		if len(there.Data.Records) != 1 || string(there.Data.Records[0].ID) != servertest.AlanUUID.String() {
			t.Errorf("elsewhere: %v", there.Data.Records)
		}
	})
}
