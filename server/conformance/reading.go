package conformance

import (
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// reading are the laws about what is shown.
var reading = []entry{
	{
		Law: Law{
			Name: "get-shows-the-user", Grade: Vendor, hold: getShowsTheUser,
			Says: "GET of a user's path gives that user, of that customer.",
			Why:  "A client that is given another user edits the wrong person.",
		},
		worth: "Worth, Get Customer User By ID", testinium: "Testinium, Get User",
	},
	{
		Law: Law{
			Name: "list-shows-what-get-shows", Grade: Vendor, hold: listShowsWhatGetShows,
			Says: "The list has the user, with the values that GET shows, also right after an update.",
			Why:  "A page that lists users and a page that shows one would contradict each other; a stale list is edited and put back.",
		},
		worth: "Worth, Get Customer Users", testinium: "Testinium, List Users",
	},
	{
		Law: Law{
			Name: "times-are-in-the-documented-format", Grade: Vendor, hold: timesAreInFormat,
			Says: "Times are written as documented: RFC 3339 with a zone, or milliseconds since 1970.",
			Why:  "A time in another format is parsed into another time, or into none.",
		},
		worth: "Worth, Get Customer User By ID: date-time", testinium: "Testinium, Update User: createdDate",
	},
	{
		Law: Law{
			Name: "times-have-milliseconds-in-utc", Grade: Own, hold: timesHaveMilliseconds,
			Says: "Times are in UTC, with three digits of milliseconds.",
			Why:  "Texts of one form can be compared and sorted as texts.",
		},
		worth: "SEMANTICS.md, One user",
	},
	{
		Law: Law{
			Name: "no-password-comes-back", Grade: Vendor, hold: noPasswordComesBack,
			Says: "password and newPassword are null wherever a user is shown.",
			Why:  "A password that is shown is a password that is leaked.",
		},
		testinium: "Testinium, Get User: example",
	},
	{
		Law: Law{
			Name: "members-come-in-the-documented-order", Grade: Own, hold: membersInOrder,
			Says: "The 21 members of a user come in the documented order.",
			Why:  "JSON gives order no meaning, yet people compare answers with the documented ones.",
		},
		testinium: "SEMANTICS.md, Testinium's update: PUT",
	},
	{
		Law: Law{
			Name: "list-answers-without-the-last-slash", Grade: Own, hold: listWithoutSlash,
			Says: "The list is served without its path's last slash too.",
			Why:  "Many clients and proxies take the last slash away.",
		},
		testinium: "SEMANTICS.md, Testinium's other operations",
	},
	{
		Law: Law{
			Name: "subroles-are-a-bare-array-without-owner", Grade: Vendor, hold: subrolesWithoutOwner,
			Says: "The subroles to choose from are an array in data, and the owner's is not among them.",
			Why:  "A menu that offers the owner's subrole lets somebody take the account over.",
		},
		worth: "Worth, Get Customer Subroles",
	},
	{
		Law: Law{
			Name: "list-pages-have-the-size-asked-for", Grade: Own, hold: listPages,
			Says: "page and itemsPerPage are honoured, total_pages and total_items count what there is, and a page beyond the end is empty.",
			Why:  "A client that follows pages would miss users, or never end.",
		},
		worth: "SEMANTICS.md, Worth's other operations",
	},
	{
		Law: Law{
			Name: "list-page-bounds-are-enforced", Grade: Own, hold: listPageBounds,
			Says: "A page below 1, a size below 1 or above 1000, and one that is no integer are 400.",
			Why:  "A bound that is not enforced lets one request read the whole directory.",
		},
		worth: "SEMANTICS.md, Worth's other operations",
	},
	{
		Law: Law{
			Name: "list-unknown-parameters-are-refused", Grade: Own, hold: listUnknownParameters,
			Says: "A query parameter that is unknown or given twice is 400.",
			Why:  "A mistyped filter would show everybody, and whoever acts on the list would act on everybody.",
		},
		worth: "SEMANTICS.md, Worth's other operations",
	},
	{
		Law: Law{
			Name: "list-filters-hold", Grade: Own, hold: listFilters,
			Says: "status=S and search_filter[status]=S show users with that status and no others; an id finds that user alone.",
			Why:  "A filter that is ignored shows whom it should hide.",
		},
		worth: "SEMANTICS.md, Worth's other operations",
	},
}

func getShowsTheUser(t *trial) {
	u, x := t.show()
	if id := strings.Trim(u.json(t.d.idMember), `"`); !strings.EqualFold(id, t.c.User) {
		t.broken(x, t.d.idMember+" "+t.c.User, "%s", id)
	}
	customer := u.json("customer")
	if t.d.name == Worth {
		customer = strings.Trim(encode(memberOfObject(u["company_details"], "id")), `"`)
	}
	if !strings.EqualFold(customer, t.c.Customer) {
		t.broken(x, "the customer "+t.c.Customer, "%s", customer)
	}
}

// listRequest asks for the list, with a query if the dialect has one.
func (t *trial) listRequest(query string) request {
	r := t.request(t.d.list, http.MethodGet, t.listPath(t.c.Customer))
	if query != "" {
		r.path += "?" + query
	}
	return r
}

// listed asks for the list and gives its users.
func (t *trial) listed(query string) ([]any, exchange) {
	x := t.send(t.listRequest(query))
	t.want(x, "the list of users", http.StatusOK)
	value, err := decode(x.body)
	records, ok := t.d.records(value)
	if err != nil || !ok {
		t.broken(x, "a list of users", "something else")
	}
	return records, x
}

// maxPages is how many pages of a list are read in search of a user.
const maxPages = 40

// entryOf gives the user's entry in the list. Worth's list is read page by page.
func (t *trial) entryOf(id string) (user, exchange) {
	for page := 1; ; page++ {
		query := ""
		if t.d.name == Worth {
			query = fmt.Sprintf("page=%d&itemsPerPage=100", page)
		}
		records, x := t.listed(query)
		for _, r := range records {
			u, _ := r.(map[string]any)
			if strings.EqualFold(strings.Trim(encode(u[t.d.idMember]), `"`), id) {
				return u, x
			}
		}
		if query == "" || len(records) == 0 {
			t.broken(x, "the user in the list", "no entry with %s %s", t.d.idMember, id)
		}
		if page == maxPages {
			t.skip("the user is not on the first %d pages of the list", maxPages)
		}
	}
}

// perView are members whose value may depend on where a user is shown.
var perView = []string{"subrole", "companyName"}

func listShowsWhatGetShows(t *trial) {
	for range 2 {
		u, _ := t.show()
		e, x := t.entryOf(t.c.User)
		for name, shown := range e {
			if other, ok := u[name]; ok && !slices.Contains(perView, name) && !same(shown, other) {
				t.broken(x, fmt.Sprintf("%s %s, as GET shows it", name, encode(other)), "%s", encode(shown))
			}
		}
		if a, b := memberOfObject(e["subrole"], "code"), memberOfObject(u["subrole"], "code"); !same(a, b) {
			t.broken(x, "subrole.code "+encode(b)+", as GET shows it", "%s", encode(a))
		}
		t.update(t.renaming())
	}
}

// epochOfMilliseconds: a time before is likely one in seconds (2001 in milliseconds, 32000 years in seconds).
const epochOfMilliseconds = 1_000_000_000_000

func timesAreInFormat(t *trial) {
	u, x := t.show()
	for _, name := range []string{"created_at", "updated_at"} {
		if t.d.name != Worth {
			break
		}
		if _, err := time.Parse(time.RFC3339, u.text(name)); err != nil {
			t.broken(x, name+" in RFC 3339", "%s", u.json(name))
		}
	}
	if t.d.name == Testinium {
		if n, err := strconv.ParseInt(u.json("createdDate"), 10, 64); err != nil || n < epochOfMilliseconds {
			t.broken(x, "createdDate in milliseconds since 1970", "%s", u.json("createdDate"))
		}
	}
}

var milliseconds = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)

func timesHaveMilliseconds(t *trial) {
	u, x := t.show()
	for _, name := range []string{"created_at", "updated_at"} {
		if !milliseconds.MatchString(u.text(name)) {
			t.broken(x, name+" such as 2026-01-02T03:04:05.678Z", "%s", u.json(name))
		}
	}
}

func noPasswordComesBack(t *trial) {
	u, x := t.show()
	e, y := t.entryOf(t.c.User)
	for _, name := range []string{"password", "newPassword"} {
		if u[name] != nil {
			t.broken(x, name+" null", "something else")
		}
		if e[name] != nil {
			t.broken(y, name+" null", "something else")
		}
	}
}

// documented are the members of Testinium's user in their order.
var documented = []string{"userType", "verificationToken", "resetPasswordToken", "entityId", "name", "surname", "username", "email",
	"password", "newPassword", "accessToken", "companyName", "enabled", "accountNonExpired", "accountNonLocked",
	"credentialNonExpired", "createdDate", "customer", "lastPasswordResetDate", "authorities", "vcsPassword"}

func membersInOrder(t *trial) {
	_, x := t.show()
	at := -1
	for _, name := range documented {
		next := strings.Index(string(x.body), `"`+name+`":`)
		if next <= at {
			t.broken(x, "the members in the order "+list(documented), "%s stands elsewhere, or is not there", name)
		}
		at = next
	}
}

func listWithoutSlash(t *trial) {
	r := t.listRequest("")
	r.path = strings.TrimSuffix(r.path, "/")
	t.want(t.send(r), "the list", http.StatusOK)
}

func (t *trial) subroles() ([]any, exchange) {
	x := t.send(t.request("listCustomerSubroles", http.MethodGet, t.listPath(t.c.Customer)[:len(t.listPath(t.c.Customer))-len("users")]+"subroles"))
	t.want(x, "the subroles", http.StatusOK)
	value, _ := decode(x.body)
	all, ok := memberOfObject(value, "data").([]any)
	if !ok {
		t.broken(x, "an array in data", "something else")
	}
	return all, x
}

func subrolesWithoutOwner(t *trial) {
	all, x := t.subroles()
	for _, s := range all {
		if memberOfObject(s, "code") == "owner" {
			t.broken(x, "no subrole with the code owner", "one")
		}
	}
}

// pageCounts gives a page's total_items and total_pages.
func (t *trial) pageCounts(x exchange) (items, pages int) {
	value, _ := decode(x.body)
	data := memberOfObject(value, "data")
	text, _ := memberOfObject(data, "total_items").(string)
	items, err := strconv.Atoi(text)
	if err != nil {
		t.broken(x, "total_items of digits, as a text", "%s", encode(memberOfObject(data, "total_items")))
	}
	pages, err = strconv.Atoi(encode(memberOfObject(data, "total_pages")))
	if err != nil {
		t.broken(x, "total_pages, an integer", "%s", encode(memberOfObject(data, "total_pages")))
	}
	return items, pages
}

func listPages(t *trial) {
	const size = 2
	records, x := t.listed("page=1&itemsPerPage=" + strconv.Itoa(size))
	items, pages := t.pageCounts(x)
	if len(records) != min(size, items) {
		t.broken(x, fmt.Sprintf("%d records", min(size, items)), "%d", len(records))
	}
	if wanted := int(math.Ceil(float64(items) / size)); pages != wanted {
		t.broken(x, fmt.Sprintf("total_pages %d", wanted), "%d", pages)
	}
	if records, x = t.listed(fmt.Sprintf("page=%d&itemsPerPage=%d", pages+1000, size)); len(records) > 0 {
		t.broken(x, "an empty page beyond the end", "%d records", len(records))
	}
}

func (t *trial) listRefuses(why string, queries ...string) {
	for _, query := range queries {
		t.want(t.send(t.listRequest(query)), why, http.StatusBadRequest)
	}
}

func listPageBounds(t *trial) {
	t.listRefuses("the page or its size is out of bounds", "page=0", "page=-1", "page=x", "page=1.5", "page=", "itemsPerPage=0", "itemsPerPage=1001", "itemsPerPage=x")
	t.want(t.send(t.listRequest("itemsPerPage=1000")), "a page may have 1000 records", http.StatusOK)
}

func listUnknownParameters(t *trial) {
	t.listRefuses("the parameter is unknown", "shoe_size=38", "Page=1", "search_filter[shoe_size]=38")
	t.listRefuses("the parameter is given twice", "page=1&page=2", "status=ACTIVE&status=INACTIVE")
}

func listFilters(t *trial) {
	u, _ := t.show()
	for _, query := range []string{"id=" + t.c.User, "search_filter[id]=" + t.c.User} {
		records, x := t.listed(query)
		if len(records) != 1 || !same(memberOfObject(records[0], "id"), u["id"]) {
			t.broken(x, "the user alone", "%d records", len(records))
		}
	}
	for _, query := range []string{"status=INACTIVE", "search_filter[status]=INACTIVE", "status=ACTIVE"} {
		records, x := t.listed(query)
		_, wanted, _ := strings.Cut(query, "=")
		for _, r := range records {
			if memberOfObject(r, "status") != wanted {
				t.broken(x, "records with the status "+wanted, "%s", encode(memberOfObject(r, "status")))
			}
		}
	}
}
