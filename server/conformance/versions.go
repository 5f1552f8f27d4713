package conformance

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/dragoman-id/dragoman/server/description"
)

// versions are the laws about entity tags. Those of HTTP only apply to servers that send an ETag.
var versions = []Law{
	{Name: "etag-is-well-formed", Grade: HTTP, Feature: ETags, check: etagWellFormed,
		Says:   "An ETag is a string in double quotes, prefixed by W/ if it is weak.",
		Why:    "Clients send it back unchanged, and proxies drop malformed ones.",
		Source: "RFC 9110, section 8.8.3"},
	{Name: "etag-is-strong", Grade: Own, Feature: ETags, check: etagStrong,
		Says:   "The ETag is strong, and an update's answer has the same ETag as the next GET.",
		Why:    "If-Match compares strongly, so a weak tag can never be used to write.",
		Source: "SEMANTICS.md, Preconditions, and what changed"},
	{Name: "etag-changes-with-the-user", Grade: HTTP, Feature: ETags, check: etagChanges,
		Says:   "When the user changes, the ETag changes to one that was not used before.",
		Why:    "Otherwise a client overwrites changes that it has not seen, and shows stale data.",
		Source: "RFC 9110, section 8.8.1"},
	{Name: "etag-stays-while-nothing-changes", Grade: Own, Feature: ETags, check: etagStays,
		Says:   "Reads, rejected updates, and updates that change nothing keep the ETag.",
		Why:    "A needless change makes the writes of other clients fail.",
		Source: "SEMANTICS.md, Preconditions, and what changed"},
	{Name: "if-match-with-the-present-etag-writes", Grade: HTTP, Feature: ETags, check: ifMatchPresent,
		Says:   "An update with the current ETag in If-Match succeeds.",
		Why:    "Otherwise the header could not be used.",
		Source: "RFC 9110, section 13.1.1"},
	{Name: "if-match-with-a-stale-etag-is-412", Grade: HTTP, Feature: ETags, check: ifMatchStale,
		Says:   "An update with a stale ETag in If-Match is 412 and changes nothing.",
		Why:    "The header exists to prevent this lost update.",
		Source: "RFC 9110, section 13.1.1"},
	{Name: "if-match-compares-strongly", Grade: HTTP, Feature: ETags, check: ifMatchStrong,
		Says:   "If-Match with the current ETag as a weak one, prefixed by W/, is 412.",
		Why:    "Equal weak ETags do not mean that the two states are identical.",
		Source: "RFC 9110, section 13.1.1"},
	{Name: "if-match-takes-a-list", Grade: HTTP, Feature: ETags, check: ifMatchList,
		Says:   "If-Match takes a list, in one line or several, that must have the current ETag.",
		Why:    "A server that compares the whole header rejects valid requests.",
		Source: "RFC 9110, sections 5.3 and 13.1.1"},
	{Name: "if-match-any-writes", Grade: HTTP, Feature: ETags, check: ifMatchAny,
		Says:   "If-Match: * is true for every user that exists.",
		Why:    "It means: update, but do not create.",
		Source: "RFC 9110, section 13.1.1"},
	{Name: "if-match-malformed-is-refused", Grade: Own, Feature: ETags, check: ifMatchMalformed,
		Says:   "An If-Match that is not a list of entity tags is 400.",
		Why:    "If it were ignored, the write would lack the protection that the client asked for.",
		Source: "SEMANTICS.md, Who may do what"},
	{Name: "if-none-match-with-the-present-etag-is-304", Grade: HTTP, Feature: ETags, check: ifNoneMatch,
		Says:   "GET with the current ETag in If-None-Match, also weak or in a list, or with *, is 304 with the ETag and without a body.",
		Why:    "A client asks with it whether anything has changed, without reading it again.",
		Source: "RFC 9110, sections 13.1.2 and 15.4.5"},
	{Name: "if-none-match-with-a-stale-etag-is-200", Grade: HTTP, Feature: ETags, check: ifNoneMatchStale,
		Says:   "GET with a stale ETag in If-None-Match shows the user.",
		Why:    "A 304 would leave the client with stale data.",
		Source: "RFC 9110, section 13.1.2"},
	{Name: "if-none-match-with-the-present-etag-on-an-update-is-412", Grade: Own, Feature: ETags, check: ifNoneMatchUpdate,
		Says:   "An update with the current ETag in If-None-Match, also weak, or with *, is 412 and changes nothing.",
		Why:    "Preconditions are evaluated on every method, and * means that the user must not exist yet.",
		Source: "SEMANTICS.md, Preconditions, and what changed"},
	{Name: "if-match-on-a-read-is-evaluated", Grade: Own, Feature: ETags, check: ifMatchRead,
		Says:   "GET with If-Match shows the user if the ETag is the current one or *, and is 412 otherwise.",
		Why:    "Preconditions are evaluated on every method. A client that continues with one version must not get another.",
		Source: "SEMANTICS.md, Preconditions, and what changed"},
	{Name: "answers-about-users-are-private", Grade: Own, Feature: Rules, check: answersPrivate,
		Says:   "Answers about users have Cache-Control: private, no-cache.",
		Why:    "A shared cache would show one caller the data of another.",
		Source: "SEMANTICS.md, Preconditions, and what changed"},
}

// etag returns an answer's ETag.
func etag(x exchange) string { return x.header.Get("ETag") }

// strong returns the current ETag, and skips the law if it is weak, since If-Match never matches a weak one.
func (t *trial) strong() string {
	_, x := t.show()
	tag := etag(x)
	if strings.HasPrefix(tag, "W/") {
		t.skip("the ETag is weak")
	}
	if tag == "" {
		t.broken(x, "an ETag", "none")
	}
	return tag
}

func wellFormed(tag string) bool {
	opaque := strings.TrimPrefix(tag, "W/")
	return len(opaque) >= 2 && opaque[0] == '"' && opaque[len(opaque)-1] == '"' && !strings.ContainsAny(opaque[1:len(opaque)-1], "\" \t")
}

func etagWellFormed(t *trial) {
	_, x := t.show()
	if !wellFormed(etag(x)) || len(x.header.Values("ETag")) != 1 {
		t.broken(x, `one ETag, such as "3"`, "ETag: %s", strings.Join(x.header.Values("ETag"), ", "))
	}
}

func etagStrong(t *trial) {
	_, x := t.show()
	if strings.HasPrefix(etag(x), "W/") {
		t.broken(x, "a strong ETag", "ETag: %s", etag(x))
	}
	for _, body := range []object{t.renaming(), t.idle()} {
		x = t.update(body)
		if _, then := t.show(); etag(x) != etag(then) {
			t.broken(x, "the ETag of the GET after it, "+etag(then), "ETag: %s", etag(x))
		}
	}
}

func etagChanges(t *trial) {
	_, x := t.show()
	seen := map[string]bool{etag(x): true}
	for _, m := range append(t.changeable(), t.d.members[0]) {
		x := t.update(t.change(m))
		_, then := t.show()
		if seen[etag(then)] {
			t.broken(x, "a GET then shows an ETag that was not there before", "ETag: %s", etag(then))
		}
		seen[etag(then)] = true
	}
}

func etagStays(t *trial) {
	_, first := t.show()
	wantSame := func(x exchange) {
		if _, then := t.show(); etag(then) != etag(first) {
			t.broken(x, "a GET then shows the ETag of before, "+etag(first), "ETag: %s", etag(then))
		}
	}
	wantSame(first)
	wantSame(t.update(t.idle()))
	wantSame(t.update(t.idle().with("shoe_size", "38")))
	wantSame(t.send(t.updateRequest("{")))
	wantSame(t.send(t.updateRequest(t.renaming().String()).by("")))
	m := t.d.members[0]
	body := t.change(m)
	t.update(body)
	_, first = t.show()
	wantSame(t.update(body))
}

// conditional returns an update of the first name with a precondition.
func (t *trial) conditional(header string, values ...string) request {
	return t.updateRequest(t.renaming().String()).with(header, values...)
}

func ifMatchPresent(t *trial) {
	for range 2 {
		m := t.d.members[0]
		body := t.change(m)
		x := t.send(t.updateRequest(body.String()).with("If-Match", t.strong()))
		t.want(x, "the user is at this version", http.StatusOK)
		t.wantShown(x, m.name, body.value(m.name))
	}
}

// another returns a tag that differs from this one.
func another(tag string) string { return `"dragoman-check-` + strings.Trim(tag, `W/"`) + `"` }

func ifMatchStale(t *trial) {
	stale := t.strong()
	t.update(t.renaming())
	t.wantRequestsRefused(http.StatusPreconditionFailed, "the user is not at this version",
		t.conditional("If-Match", stale), t.conditional("If-Match", another(stale)))
}

func ifMatchStrong(t *trial) {
	t.wantRequestsRefused(http.StatusPreconditionFailed, "a weak tag is never the same", t.conditional("If-Match", "W/"+t.strong()))
}

func ifMatchList(t *trial) {
	for _, around := range []func(tag string) []string{
		func(tag string) []string { return []string{another(tag) + ", " + tag} },
		func(tag string) []string { return []string{tag + "," + another(tag)} },
		func(tag string) []string { return []string{another(tag), tag} },
		func(tag string) []string { return []string{", " + tag + " ,"} },
	} {
		t.want(t.send(t.conditional("If-Match", around(t.strong())...)), "one of the tags is the current one", http.StatusOK)
	}
	tag := t.strong()
	t.wantRequestsRefused(http.StatusPreconditionFailed, "none of the tags is the current one", t.conditional("If-Match", another(tag)+", W/"+tag))
}

func ifMatchAny(t *trial) {
	t.strong()
	t.want(t.send(t.conditional("If-Match", "*")), "the user is there", http.StatusOK)
}

func ifMatchMalformed(t *trial) {
	bare := strings.Trim(t.strong(), `"`)
	var requests []request
	for _, value := range []string{bare, `"` + bare, "'" + bare + "'", `"` + bare + `" "x"`, "*, *"} {
		requests = append(requests, t.conditional("If-Match", value))
	}
	t.wantRequestsRefused(http.StatusBadRequest, "it is not a list of entity tags", requests...)
}

func ifNoneMatch(t *trial) {
	_, x := t.show()
	tag := etag(x)
	for _, value := range []string{tag, "W/" + strings.TrimPrefix(tag, "W/"), another(tag) + ", " + tag, "*"} {
		x := t.send(t.showRequest().with("If-None-Match", value))
		t.want(x, "the user has not changed", http.StatusNotModified)
		if len(x.body) > 0 {
			t.broken(x, "no body", "%d bytes", len(x.body))
		}
		if etag(x) != tag {
			t.broken(x, "ETag: "+tag, "ETag: %s", etag(x))
		}
	}
}

func ifNoneMatchStale(t *trial) {
	_, x := t.show()
	tag := etag(x)
	t.want(t.send(t.showRequest().with("If-None-Match", another(tag))), "the client does not have this version", http.StatusOK)
	t.update(t.renaming())
	t.want(t.send(t.showRequest().with("If-None-Match", tag)), "the client has an older version", http.StatusOK)
}

func ifNoneMatchUpdate(t *trial) {
	_, x := t.show()
	tag := etag(x)
	t.wantRequestsRefused(http.StatusPreconditionFailed, "the user is at this version",
		t.conditional("If-None-Match", tag), t.conditional("If-None-Match", "W/"+strings.TrimPrefix(tag, "W/")), t.conditional("If-None-Match", "*"))
}

func ifMatchRead(t *trial) {
	tag := t.strong()
	for _, value := range []string{tag, "*"} {
		t.want(t.send(t.showRequest().with("If-Match", value)), "the user is at this version", http.StatusOK)
	}
	t.want(t.send(t.showRequest().with("If-Match", another(tag))), "the user is not at this version", http.StatusPreconditionFailed)
}

func answersPrivate(t *trial) {
	_, x := t.show()
	answers := []exchange{x, t.update(t.idle())}
	if t.d.list != nil {
		_, listed := t.entryOf(t.c.User)
		answers = append(answers, listed)
	}
	for _, answer := range answers {
		if got := answer.header.Get("Cache-Control"); got != "private, no-cache" {
			t.broken(answer, "Cache-Control: private, no-cache", "Cache-Control: %s", got)
		}
	}
}

// changeHeaders are the laws about the headers in which an update lists what it changed and ignored.
var changeHeaders = []Law{
	{Name: "changed-lists-what-changed", Grade: Own, Feature: Changed, check: changedLists,
		Says:   "Dragoman-Changed lists exactly the members that an update changed.",
		Why:    "Clients show what was saved, and audits what was done.",
		Source: "SEMANTICS.md, Preconditions, and what changed"},
	{Name: "changed-is-empty-when-nothing-changes", Grade: Own, Feature: Changed, check: changedEmpty,
		Says:   "An update that changes nothing is 200, and its Dragoman-Changed is empty.",
		Why:    "Saving twice is not a change.",
		Source: "SEMANTICS.md, Preconditions, and what changed"},
	{Name: "ignored-lists-what-was-ignored", Grade: Own, Feature: Changed, check: ignoredLists,
		Says:   "Dragoman-Ignored lists the ignored members, and is absent if there are none.",
		Why:    "A misspelled member that is ignored silently is a bug that is hard to find.",
		Source: "SEMANTICS.md, Preconditions, and what changed"},
	{Name: "ignored-is-bounded-and-encoded", Grade: Own, Feature: Changed, check: ignoredBounded,
		Says:   "Dragoman-Ignored lists at most 32 names of at most 64 characters, and percent-encodes what a header may not have.",
		Why:    "The client chooses the names: they must not be able to inject a header.",
		Source: "SEMANTICS.md, Preconditions, and what changed"},
}

func (t *trial) wantHeader(x exchange, name, value string) {
	got, ok := x.header[name]
	switch {
	case !ok:
		t.broken(x, name+": "+value, "no such header")
	case strings.Join(got, ", ") != value:
		t.broken(x, name+": "+value, "%s: %s", name, strings.Join(got, ", "))
	}
}

func changedLists(t *trial) {
	for _, m := range t.changeable() {
		if m.kind == grants && len(t.d.roleNames(t.found)) == 0 {
			t.note(m.name, "take a user with a role")
			continue
		}
		t.wantHeader(t.update(t.change(m)), "Dragoman-Changed", m.header())
		t.wantHeader(t.update(t.base().with(m.name, t.foundAs(m))), "Dragoman-Changed", m.header())
	}
	first, second := t.d.members[0], t.d.members[1]
	x := t.update(t.base().with(first.name, t.fresh(first)).with(second.name, t.fresh(second)))
	names := strings.Split(x.header.Get("Dragoman-Changed"), ", ")
	if len(names) != 2 || !strings.Contains(x.header.Get("Dragoman-Changed"), first.name) || !strings.Contains(x.header.Get("Dragoman-Changed"), second.name) {
		t.broken(x, "Dragoman-Changed: "+first.name+", "+second.name, "Dragoman-Changed: %s", x.header.Get("Dragoman-Changed"))
	}
}

func changedEmpty(t *trial) {
	x := t.update(t.idle())
	t.wantHeader(x, "Dragoman-Changed", "")
	body := t.renaming()
	t.update(body)
	t.wantHeader(t.update(body), "Dragoman-Changed", "")
}

func ignoredLists(t *trial) {
	x := t.update(t.idle())
	if got, ok := x.header["Dragoman-Ignored"]; ok {
		t.broken(x, "no Dragoman-Ignored, as nothing was", "Dragoman-Ignored: %s", strings.Join(got, ", "))
	}
	t.wantHeader(t.update(t.idle().with("shoe_size", "38")), "Dragoman-Ignored", "shoe_size")
	t.wantHeader(t.update(t.idle().with("b", "1").with("a", "null")), "Dragoman-Ignored", "a, b")
	for _, m := range t.d.request.Members {
		if m.Effect == description.Owned && m.Field == "CreatedAt" {
			t.wantHeader(t.update(t.idle().with(m.Path, otherValue(t.d.schemaOf(m.Path)))), "Dragoman-Ignored", m.Path)
		}
	}
}

func ignoredBounded(t *trial) {
	name := "x\r\nEvil: 1, \"é\""
	t.wantHeader(t.update(t.idle().with(name, "1")), "Dragoman-Ignored", "x%0D%0AEvil%3A%201%2C%20%22%C3%A9%22")
	body := t.idle()
	for i := range 40 {
		body = body.with(fmt.Sprintf("m%02d", i)+strings.Repeat("m", 100), "1")
	}
	x := t.update(body)
	names := strings.Split(x.header.Get("Dragoman-Ignored"), ", ")
	if len(names) != 33 || names[32] != "..." {
		t.broken(x, "32 names, then ...", "%d: %s", len(names), printable(x.header.Get("Dragoman-Ignored")))
	}
	for _, n := range names {
		if len(n) > 64 {
			t.broken(x, "names of 64 characters at most", "%d", len(n))
		}
	}
}
