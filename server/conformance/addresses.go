package conformance

import (
	"net/http"
	"slices"
	"strings"

	"github.com/dragoman-id/dragoman/server/description"
)

// addresses are the laws about paths, ids and methods.
var addresses = []Law{
	{Name: "ids-beyond-the-limits-are-404", Grade: Own, check: idsBeyondLimits, of: withNumbers,
		Says:   "Ids from 2^53-1 upwards, 0 and negative ids are 404.",
		Why:    "An id that overflows or is rounded names another user.",
		Source: "SEMANTICS.md, One user"},
	{Name: "malformed-ids-are-refused", Grade: Own, check: idsThatAreNone, of: withPlainIDs,
		Says:   "An id that the document does not allow is 400, or 404 if the operation's document types it as plain text.",
		Why:    "A server that parses a prefix takes 6860x for 6860.",
		Source: "SEMANTICS.md, Who may do what"},
	{Name: "uuids-are-the-same-in-any-case", Grade: HTTP, check: uuidCase, of: withUUIDs,
		Says:   "A UUID in upper case names the same user.",
		Why:    "Some systems write UUIDs in upper case.",
		Source: "RFC 9562, section 4"},
	{Name: "nil-uuid-is-unknown", Grade: Vendor, check: nilUUID, of: withUUIDs,
		Says: "The nil UUID is 404, or 400 if the server rejects it as an id.",
		Why:  "It is what a forgotten id looks like, and must not match a user."},
	{Name: "unknown-path-is-404", Grade: HTTP, check: unknownPath,
		Says:   "A path outside of the API is 404, with an error in the dialect's format.",
		Why:    "Clients parse every error with the same code.",
		Source: "RFC 9110, section 15.5.5"},
	{Name: "wrong-method-is-405-with-allow", Grade: HTTP, check: wrongMethod,
		Says:   "A method that a path does not have is 405, with the path's methods in Allow.",
		Why:    "HTTP requires the header; clients and gateways read from it which methods they may use.",
		Source: "RFC 9110, section 15.5.6"},
	{Name: "request-id-comes-back", Grade: Own, check: requestID,
		Says:   "X-Request-Id is in every answer: the request's own if it is well formed, otherwise the server's.",
		Why:    "It finds a failed call in the server's log; a hostile value must not get into the log.",
		Source: "SEMANTICS.md, Errors"},
}

// wantBoth requires these statuses from reading and from updating the user with an id.
func (t *trial) wantBoth(why, id string, read, update int) {
	t.want(t.send(t.showRequestOf(t.c.Customer, id)), why, read)
	t.want(t.send(t.updateRequestOf(t.c.Customer, id, t.idle().String())), why, update)
}

func idsBeyondLimits(t *trial) {
	for _, id := range []string{"9007199254740991", "9007199254740992", "9007199254740993", "9223372036854775807", "0", "-1", "-" + t.c.User, "-9223372036854775808"} {
		t.wantBoth("there is no such user", id, http.StatusNotFound, http.StatusNotFound)
	}
}

func idsThatAreNone(t *trial) {
	if t.d.hasNumbers() {
		for _, id := range []string{t.c.User + "x", t.c.User + ".0", "+" + t.c.User, "x", "%20" + t.c.User, t.c.User + "e0", "0x1ACC", "9223372036854775808", "%EF%BC%96", "null"} {
			t.wantBoth("this is no integer", id, http.StatusBadRequest, http.StatusBadRequest)
		}
		return
	}
	status := func(o *description.Operation) int {
		for _, p := range o.Parameters {
			if p.Name == t.d.user.Name && p.Schema.Value.Format == "" {
				return http.StatusNotFound // the document takes any text
			}
		}
		return http.StatusBadRequest
	}
	bare := strings.ReplaceAll(t.c.User, "-", "")
	for _, id := range []string{"x", "1", bare, "%7B" + t.c.User + "%7D", "urn:uuid:" + t.c.User, t.c.User + "x", t.c.User[:35], "%20" + t.c.User[1:], "null"} {
		t.wantBoth("this is no UUID", id, status(t.d.show), status(t.d.update))
	}
}

func uuidCase(t *trial) {
	for _, r := range []request{t.showRequestOf(t.c.Customer, strings.ToUpper(t.c.User)), t.showRequestOf(strings.ToUpper(t.c.Customer), t.c.User)} {
		x := t.send(r)
		t.want(x, "it is the same id", http.StatusOK)
		if u, ok := t.userIn(x); !ok || !same(u[t.d.idMember], t.found[t.d.idMember]) {
			t.broken(x, "the user", "another")
		}
	}
	m := t.d.members[0]
	body := t.change(m)
	x := t.send(t.updateRequestOf(t.c.Customer, strings.ToUpper(t.c.User), body.String()))
	t.want(x, "it is the same id", http.StatusOK)
	t.wantShown(x, m.name, body.value(m.name))
}

func nilUUID(t *trial) {
	const id = "00000000-0000-0000-0000-000000000000"
	for _, r := range []request{t.showRequestOf(t.c.Customer, id), t.updateRequestOf(t.c.Customer, id, t.idle().String())} {
		t.want(t.send(r), "no user has the nil UUID", http.StatusNotFound, http.StatusBadRequest)
	}
}

func unknownPath(t *trial) {
	for _, path := range []string{"/dragoman-check", t.userPath(t.c.Customer, t.c.User) + "/dragoman-check", "/" + strings.Split(t.userPath("", ""), "/")[1]} {
		x := t.send(t.request("", http.MethodGet, path))
		t.want(x, "there is no such path", http.StatusNotFound)
	}
}

func wrongMethod(t *trial) {
	// POST without a body to a user who does not exist: it is harmless even if the server accepts it.
	x := t.send(t.request("", http.MethodPost, t.userPath(t.c.Customer, t.d.noSuchUser())))
	t.want(x, "the path has no POST", http.StatusMethodNotAllowed)
	var allowed []string
	for _, line := range x.header.Values("Allow") {
		for method := range strings.SplitSeq(line, ",") {
			allowed = append(allowed, strings.TrimSpace(method))
		}
	}
	for _, method := range []string{http.MethodGet, t.d.update.Method} {
		if !slices.Contains(allowed, method) {
			t.broken(x, "Allow with GET and "+t.d.update.Method, "Allow: %s", strings.Join(allowed, ", "))
		}
	}
}

func requestID(t *trial) {
	const header = "X-Request-Id"
	requests := append(t.operations(), t.updateRequest("{"), t.showRequest().by(""), t.request("", http.MethodGet, "/dragoman-check"))
	for _, r := range requests {
		id := "dragoman.check_" + t.nonce
		if x := t.send(r.with(header, id)); x.header.Get(header) != id {
			t.broken(x, header+": "+id, "%s: %s", header, x.header.Get(header))
		}
	}
	for _, hostile := range []string{strings.Repeat("x", 65), "a b", "<script>", "é", `"`} {
		x := t.send(t.showRequest().with(header, hostile))
		if got := x.header.Get(header); got == "" || got == hostile {
			t.broken(x, "an id of the server's own", "%s: %s", header, printable(got))
		}
	}
}
