package conformance

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dragoman-id/dragoman/server/description"
)

// reading are the laws about reading users.
var reading = []Law{
	{Name: "get-shows-the-user", Grade: Vendor, check: getShowsTheUser,
		Says: "GET of a user's path shows that user.",
		Why:  "A client that gets another user edits the wrong person."},
	{Name: "list-shows-what-get-shows", Grade: Vendor, check: listShowsWhatGetShows, of: withList,
		Says: "The list shows the user with the same values as GET, also right after an update.",
		Why:  "Otherwise two pages contradict each other, and clients edit and write back stale values of the list."},
	{Name: "times-are-in-the-documented-format", Grade: Vendor, check: timesAreInFormat,
		Says: "Times have the documented format: a date-time, or milliseconds since 1970.",
		Why:  "A time in another format is parsed wrongly, or not at all."},
	{Name: "times-have-milliseconds-in-utc", Grade: Own, check: timesHaveMilliseconds, of: withTextTimes,
		Says:   "Times are in UTC, with three digits of milliseconds.",
		Why:    "Times in one format can be compared and sorted as strings.",
		Source: "SEMANTICS.md, One user"},
	{Name: "company-is-the-customer", Grade: Own, check: companyIsCustomer, of: withCustomerUUID,
		Says:   "The customer's id in a user is the one in the path.",
		Why:    "A client that follows a user's company must find the same customer.",
		Source: "SEMANTICS.md, One user"},
	{Name: "passwords-are-never-shown", Grade: Vendor, check: noPasswordComesBack, of: cited,
		Says: "password and newPassword are null wherever a user is shown.",
		Why:  "A password that is shown is leaked."},
	{Name: "members-come-in-the-documented-order", Grade: Own, check: membersInOrder, of: cited,
		Says: "The members of a user come in the documented order.",
		Why:  "Order has no meaning in JSON, but people compare answers with the documented ones."},
	{Name: "list-answers-without-the-last-slash", Grade: Own, check: listWithoutSlash, of: cited,
		Says: "The list is also served without the trailing slash of its path.",
		Why:  "Many clients and proxies remove a trailing slash."},
	{Name: "subroles-are-a-bare-array-without-owner", Grade: Vendor, check: subrolesWithoutOwner, of: cited,
		Says: "The available subroles are an array in data, without the owner's.",
		Why:  "A menu with the owner's subrole would allow an account takeover."},
	{Name: "list-pages-have-the-size-asked-for", Grade: Own, check: listPages, of: cited,
		Says: "page and itemsPerPage are respected, no user is on two pages, total_pages and total_items are correct, and a page beyond the end is empty.",
		Why:  "A client that reads all pages would otherwise miss users, or never finish."},
	{Name: "list-page-bounds-are-enforced", Grade: Own, check: listPageBounds, of: cited,
		Says: "A page below 1, a size below 1 or above 1000, and values that are not integers are 400.",
		Why:  "A bound that is not enforced lets one request read the whole directory."},
	{Name: "list-unknown-parameters-are-refused", Grade: Own, check: listUnknownParameters, of: cited,
		Says: "An unknown or repeated query parameter is 400.",
		Why:  "With a mistyped filter a client would act on all users instead of some."},
	{Name: "list-filters-hold", Grade: Own, check: listFilters, of: cited,
		Says: "status=S and search_filter[status]=S list only users with that status; an id lists only that user.",
		Why:  "An ignored filter shows users that it should hide."},
}

func getShowsTheUser(t *trial) {
	u, x := t.show()
	if id := strings.Trim(u.json(t.d.idMember), `"`); !strings.EqualFold(id, t.c.User) {
		t.broken(x, t.d.idMember+" "+t.c.User, "%s", id)
	}
	if name := t.d.shownAs("CustomerID"); name != "" && t.d.hasNumbers() && u.json(name) != t.c.Customer {
		t.broken(x, "the customer "+t.c.Customer, "%s", u.json(name))
	}
}

func companyIsCustomer(t *trial) {
	u, x := t.show()
	path := t.d.shownAs("Customer.UUID")
	if found := description.At(map[string]any(u), path); len(found) != 1 || !strings.EqualFold(fmt.Sprint(found[0]), t.c.Customer) {
		t.broken(x, path+" "+t.c.Customer, "%s", printable(fmt.Sprint(found...)))
	}
}

// listRequest returns a request for the list, with a query if there is one.
func (t *trial) listRequest(query string) request {
	r := t.request(t.d.List, http.MethodGet, t.listPath(t.c.Customer))
	if query != "" {
		r.path += "?" + query
	}
	return r
}

// listed requests the list and returns its users.
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

// maxPages is the number of pages in which a user is searched.
const maxPages = 40

// page returns the query of a page of the list; empty if the list has no pages.
func (d *dialect) page(number, size int) string {
	if d.Page == nil {
		return ""
	}
	return d.Page(number, size)
}

// entryOf returns the user's entry in the list, which it reads page by page.
func (t *trial) entryOf(id string) (user, exchange) {
	raw, x := t.recordOf(id)
	u, _ := t.d.flat(raw)
	return u, x
}

// recordOf is entryOf as the list has the user.
func (t *trial) recordOf(id string) (map[string]any, exchange) {
	for page := 1; ; page++ {
		query := t.d.page(page, 100)
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

func listShowsWhatGetShows(t *trial) {
	for range 2 {
		u, _ := t.show()
		e, x := t.entryOf(t.c.User)
		for name, shown := range e {
			if other, ok := u[name]; ok && !t.d.perView(name) && !sameShown(t.d, name, shown, other) {
				t.broken(x, fmt.Sprintf("%s %s, as GET shows it", name, encode(other)), "%s", encode(shown))
			}
		}
		if m, ok := t.d.member(grants); ok && t.d.written(e, m) != t.d.written(u, m) {
			t.broken(x, m.name+" "+t.d.written(u, m)+", as GET shows it", "%s", t.d.written(e, m))
		}
		t.update(t.renaming())
	}
}

// epochOfMilliseconds is in 2001; a smaller time is probably in seconds.
const epochOfMilliseconds = 1_000_000_000_000

// readTime parses a time in RFC 3339, or without a zone, as in the examples of a vendor.
func readTime(text string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

// sameShown reports whether two views of a user show the same value. Times may differ in precision and zone, as in the examples of a
// vendor.
func sameShown(d *dialect, name string, a, b any) bool {
	if same(a, b) {
		return true
	}
	if !slices.Contains(d.times("string"), name) {
		return false
	}
	first, ok := readTime(fmt.Sprint(a))
	second, too := readTime(fmt.Sprint(b))
	return ok && too && first.Sub(second).Abs() < time.Millisecond
}

// times returns the members of a JSON type that show when a user was created and updated.
func (d *dialect) times(of string) []string {
	shown := d.userSchema()
	var all []string
	for _, field := range []string{"CreatedAt", "UpdatedAt"} {
		if name := d.shownAs(field); name != "" && description.PropertyAt(shown, name).Type.Is(of) {
			all = append(all, name)
		}
	}
	return all
}

func timesAreInFormat(t *trial) {
	u, x := t.show()
	for _, name := range t.d.times("string") {
		if _, ok := readTime(u.text(name)); !ok {
			t.broken(x, name+" in RFC 3339", "%s", u.json(name))
		}
	}
	for _, name := range t.d.times("integer") {
		if n, err := strconv.ParseInt(u.json(name), 10, 64); err != nil || n < epochOfMilliseconds {
			t.broken(x, name+" in milliseconds since 1970", "%s", u.json(name))
		}
	}
}

var milliseconds = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)

func timesHaveMilliseconds(t *trial) {
	u, x := t.show()
	for _, name := range t.d.times("string") {
		if !milliseconds.MatchString(u.text(name)) {
			t.broken(x, name+" such as 2026-01-02T03:04:05.678Z", "%s", u.json(name))
		}
	}
}

// passwords returns the members of the update that set a password.
func (d *dialect) passwords() []string {
	var all []string
	for _, m := range d.request.Members {
		if m.Field == "PasswordHash" {
			all = append(all, m.Path)
		}
	}
	return all
}

func noPasswordComesBack(t *trial) {
	u, x := t.show()
	e, y := t.entryOf(t.c.User)
	for _, name := range t.d.passwords() {
		if u[name] != nil {
			t.broken(x, name+" null", "something else")
		}
		if e[name] != nil {
			t.broken(y, name+" null", "something else")
		}
	}
}

func membersInOrder(t *trial) {
	_, x := t.show()
	var names []string
	for _, m := range t.d.shown.Members {
		if name := t.d.inShown(m); !strings.Contains(name, ".") {
			names = append(names, name)
		}
	}
	at := -1
	for _, name := range names {
		next := strings.Index(string(x.body), `"`+name+`":`)
		if next <= at {
			t.broken(x, "the members in the order "+list(names), "%s stands elsewhere, or is not there", name)
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

// pageCounts returns a page's total_items and total_pages.
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

// pageSize is small, so that even a small directory has several pages.
const pageSize = 2

// page reads a page, and checks that it has as many records as its own counts say.
func (t *trial) page(number int) (records []any, x exchange, items, pages int) {
	records, x = t.listed(t.d.page(number, pageSize))
	items, pages = t.pageCounts(x)
	if wanted := (items + pageSize - 1) / pageSize; pages != wanted {
		t.broken(x, fmt.Sprintf("total_pages %d", wanted), "%d", pages)
	}
	if wanted := max(0, min(pageSize, items-(number-1)*pageSize)); len(records) != wanted {
		t.broken(x, fmt.Sprintf("%d records", wanted), "%d", len(records))
	}
	return records, x, items, pages
}

func listPages(t *trial) {
	for range maxTries {
		if t.pagesAreDistinct() {
			return
		}
	}
	t.skip("users come and go while the list is read")
}

// pagesAreDistinct requires that no user is twice on the first two pages, the last two and one beyond the end. It returns false if
// the number of users changed meanwhile, since pages may then overlap.
func (t *trial) pagesAreDistinct() bool {
	_, _, items, pages := t.page(1)
	numbers := []int{1, 2, pages - 1, pages, pages + 1000}
	slices.Sort(numbers)
	seen := map[string]bool{}
	for _, number := range slices.Compact(numbers) {
		if number < 1 {
			continue
		}
		records, x, now, _ := t.page(number)
		if now != items {
			return false
		}
		for _, r := range records {
			id := encode(memberOfObject(r, "id"))
			if seen[id] {
				t.broken(x, "users who are on no other page", "%s again", id)
			}
			seen[id] = true
		}
	}
	return true
}

func (t *trial) wantListRefused(why string, queries ...string) {
	for _, query := range queries {
		t.want(t.send(t.listRequest(query)), why, http.StatusBadRequest)
	}
}

func listPageBounds(t *trial) {
	t.wantListRefused("the page or its size is out of bounds", "page=0", "page=-1", "page=x", "page=1.5", "page=", "itemsPerPage=0", "itemsPerPage=1001", "itemsPerPage=x")
	t.want(t.send(t.listRequest("itemsPerPage=1000")), "a page may have 1000 records", http.StatusOK)
}

func listUnknownParameters(t *trial) {
	t.wantListRefused("the parameter is unknown", "shoe_size=38", "Page=1", "search_filter[shoe_size]=38")
	t.wantListRefused("the parameter is given twice", "page=1&page=2", "status=ACTIVE&status=INACTIVE")
}

func listFilters(t *trial) {
	u, _ := t.show()
	for _, query := range []string{"id=" + t.c.User, "search_filter[id]=" + t.c.User} {
		records, x := t.listed(query)
		if len(records) != 1 || !same(memberOfObject(records[0], "id"), u["id"]) {
			t.broken(x, "the user alone", "%d records", len(records))
		}
	}
	if records, x := t.listed("status=" + u.text("status") + "&id=" + t.c.User); len(records) != 1 {
		t.broken(x, "the user, who has that status", "%d records", len(records))
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
