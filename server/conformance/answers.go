package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// answers are the laws about all answers of the run, so they are checked last.
var answers = []Law{
	{Name: "errors-name-the-member", Grade: Own, check: errorsNameMember,
		Says:   "A 400 about members lists every invalid member by its path, with a message.",
		Why:    "A form can then show each error beside its field, and all of them at once.",
		Source: "SEMANTICS.md, Errors"},
	{Name: "errors-hide-internals", Grade: Own, check: errorsTellNothing,
		Says:   "No error contains messages of a database, a stack trace or a programming language.",
		Why:    "It helps only attackers, and clients begin to depend on it.",
		Source: "SEMANTICS.md, Errors"},
	{Name: "no-request-makes-the-server-fail", Grade: HTTP, check: ofAspect(aspectFailure),
		Says:   "No request of the run is answered with 500, 501, 502 or 504.",
		Why:    "A 5xx says that the server is at fault: clients retry, and an operator is paged.",
		Source: "RFC 9110, section 15.6"},
	{Name: "statuses-are-in-the-document", Grade: Vendor, check: ofAspect(aspectStatus),
		Says: "The status of every answer is documented for the operation.",
		Why:  "A generated client has no code for any other."},
	{Name: "answers-are-json", Grade: Vendor, check: ofAspect(aspectType),
		Says: "The body of every answer is JSON in UTF-8 with the matching Content-Type, and repeats no member.",
		Why:  "A client that decodes by Content-Type fails on an HTML error page, and misreads names in another charset."},
	{Name: "bodies-match-the-document", Grade: Vendor, check: ofAspect(aspectBody),
		Says: "The body of every success has the members and types of the document.",
		Why:  "A generated client fails to decode it, or decodes it wrongly."},
	{Name: "errors-are-the-documented", Grade: Vendor, check: ofAspect(aspectError),
		Says: "Every error has what the vendor documents for errors, such as a code.",
		Why:  "Clients make decisions by it."},
	{Name: "error-bodies-match-the-document", Grade: Own, check: ofAspect(aspectWhole),
		Says: "Every error has all the members and types of Dragoman's document, on every path.",
		Why:  "A client can then parse all errors in the same way."},
	{Name: "headers-match-the-document", Grade: Own, check: ofAspect(aspectHeaders),
		Says: "Every answer has the headers that the document says it has.",
		Why:  "A client may depend on any of them."},
}

// tour requests an answer of each kind, in case these laws are checked alone.
func (t *trial) tour() {
	for _, r := range t.operations() {
		t.send(r)
		t.send(r.by(""))
	}
	t.send(t.updateRequest(t.base().with(t.d.members[0].name, "1").String()))
	t.send(t.updateRequest("{"))
	t.send(t.showRequestOf(t.c.Customer, t.d.noSuchUser()))
	for _, r := range t.elsewhere(t.d.noSuchCustomer()) {
		t.send(r)
	}
}

// ofAspect returns the check that no answer of the run has a fault of an aspect.
func ofAspect(a aspect) func(*trial) {
	return func(t *trial) {
		t.tour()
		found := distinct(t.client.faultsOf(a))
		if len(found) == 0 {
			return
		}
		first := found[0]
		more := ""
		if n := len(found) - 1; n > 0 {
			more = fmt.Sprintf(" (and %d more)", n)
		}
		t.broken(first.exchange, first.expected, "%s%s", first.got, more)
	}
}

func errorsNameMember(t *trial) {
	first, second := t.d.members[0], t.d.members[1]
	x := t.send(t.updateRequest(t.base().with(first.name, "1").with(second.name, "[]").String()))
	t.want(x, "two members are of another type", http.StatusBadRequest)
	value, _ := decode(x.body)
	var fields []string
	named, messages := t.d.ErrorsIn(value)
	for i, name := range named {
		field, _ := name.(string)
		if i >= len(messages) || messages[i] == nil || messages[i] == "" {
			t.broken(x, "a message with each error", "none for %s", printable(field))
		}
		fields = append(fields, field)
	}
	slices.Sort(fields)
	wanted := []string{first.name, second.name}
	if around := t.d.request.Within; around != "" { // where nothing more can be said
		around = strings.ReplaceAll(around, "[]", ".0")
		wanted = []string{around, around}
	}
	slices.Sort(wanted)
	if !slices.Equal(fields, wanted) {
		t.broken(x, "errors for "+list(wanted), "errors for %s", printable(list(fields)))
	}
}

// inside are texts that reveal how a server is implemented.
var inside = []string{"SQLSTATE", "SQLITE", "sqlite", "pq:", "pgx", "gorm", "panic", "goroutine", "runtime error", ".go:", "java.", "org.springframework",
	"Traceback", "node_modules", "at Object.", "duplicate key", "UNIQUE constraint", "cannot unmarshal", "Unexpected token"}

func errorsTellNothing(t *trial) {
	m := t.d.members[0]
	requests := []request{
		t.updateRequest("{"), t.updateRequest(t.base().with(m.name, "1").String()), t.updateRequest(t.base().with(m.name, `"\u0000"`).String()),
		t.updateRequest(t.base().with(m.name, encode(strings.Repeat("x", 5000))).String()),
		t.showRequestOf(t.c.Customer, "%27%20OR%201%3D1--"), t.showRequestOf("%27%20OR%201%3D1--", t.c.User),
		t.showRequest().by("Bearer a.b.c"),
	}
	for _, r := range requests {
		x := t.send(r)
		if x.status < http.StatusBadRequest {
			continue
		}
		for _, text := range inside {
			if strings.Contains(string(x.body), text) {
				t.broken(x, "an error without internals", "it has %q in it", text)
			}
		}
	}
}
