package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// syntax are the laws about JSON text.
var syntax = []Law{
	{Name: "malformed-json-is-refused", Grade: HTTP, check: malformedJSON,
		Says:   "A body that is no JSON is 400.",
		Why:    "What cannot be read cannot be done; a 500 says that the server is at fault, and a 200 that it was read.",
		Source: "RFC 8259, section 2"},
	{Name: "trailing-data-is-refused", Grade: Own, check: trailingData,
		Says:   "Anything but white space behind the object is 400.",
		Why:    "A second object that nobody reads is a request that was lost, or one that was smuggled in.",
		Source: "SEMANTICS.md, JSON"},
	{Name: "repeated-members-are-refused", Grade: Own, check: repeatedMembers,
		Says:   "A member that stands twice is 400, whether the values are equal or not.",
		Why:    "Two programs on the way may each take another one: one checks the first, the next stores the last.",
		Source: "SEMANTICS.md, JSON; RFC 7493, section 2.3"},
	{Name: "member-names-are-exact", Grade: Vendor, check: memberNamesAreExact,
		Says: "A member whose name differs in the case of a letter is another member, and never changes the user.",
		Why:  "A check that reads exact names and a decoder that does not see two different requests."},
	{Name: "escaped-member-names-are-the-same", Grade: HTTP, check: escapedNames,
		Says:   "A member's name with an escaped letter is that member.",
		Why:    "An escape is a way to write a letter, not another letter.",
		Source: "RFC 8259, section 8.3"},
	{Name: "invalid-utf-8-is-refused", Grade: Own, check: invalidUTF8,
		Says:   "Bytes that are no UTF-8 are 400.",
		Why:    "Replaced by question marks they are another name, and nobody knows that it happened.",
		Source: "SEMANTICS.md, JSON; RFC 8259, section 8.1"},
	{Name: "lone-surrogates-are-refused", Grade: Own, check: loneSurrogates,
		Says:   "Half of an escaped pair, such as \\ud800, is 400.",
		Why:    "It is no character, and the next program that reads it fails.",
		Source: "SEMANTICS.md, JSON; RFC 7493, section 2.1"},
	{Name: "nul-in-text-is-refused", Grade: Own, check: nulInText,
		Says:   "U+0000 in a text is 400.",
		Why:    "Some databases refuse it with 500, and some programs end the text there.",
		Source: "SEMANTICS.md, JSON"},
	{Name: "deep-nesting-is-refused", Grade: Own, check: deepNesting,
		Says:   "A body nested deeper than 32 is 400, also in a member that is ignored.",
		Why:    "Nesting costs a few bytes to send and a stack to read.",
		Source: "SEMANTICS.md, JSON"},
	{Name: "large-bodies-are-413", Grade: Own, check: largeBodies,
		Says:   "A body over 256 KiB is 413.",
		Why:    "A body without a bound is memory without a bound.",
		Source: "SEMANTICS.md, JSON; RFC 9110, section 15.5.14"},
}

func malformedJSON(t *trial) {
	good := t.renaming()
	text := good.String()
	first, value := encode(good[0].name), good[0].value
	t.wantRefused(http.StatusBadRequest, "the body is no JSON",
		text[:len(text)-1], text[1:], strings.TrimSuffix(text, "}")+",}", "{"+first+":}", "{"+first+" "+value+"}",
		strings.ReplaceAll(text, `"`, `'`), "{"+good[0].name+":"+value+"}", "/* x */"+text, "first=x&second=y",
		"{"+first+":NaN}", "{"+first+":undefined}", "{"+first+":01}", "{"+first+":\"a\nb\"}", `{"`, "\x00", "<a/>")
}

func trailingData(t *trial) {
	text := t.renaming().String()
	t.wantRefused(http.StatusBadRequest, "the body must end after its value", text+"x", text+"{}", text+text, text+"]", text+"\x00")
	t.updateRaw("\r\n\t " + text + " \r\n\t")
}

func repeatedMembers(t *trial) {
	m := t.d.members[0]
	value, once := t.fresh(m), t.base().with(m.name, t.found.json(m.name))
	t.wantRefused(http.StatusBadRequest, m.name+" is repeated",
		once.and(m.name, value).String(),
		once.before(m.name, value).String(),
		once.and(m.name, once.value(m.name)).String(),
		once.with("shoe_size", "38").and("shoe_size", "39").String(),
		once.with("shoe_size", `{"a":1,"a":2}`).String(),
		strings.Replace(once.and(m.name, value).String(), `"`+m.name, `"`+escaped(m.name), 1))
}

// escaped writes a name with its first letter as an escape.
func escaped(name string) string { return fmt.Sprintf(`\u%04x`, name[0]) + name[1:] }

func memberNamesAreExact(t *trial) {
	for _, m := range t.d.members[:2] {
		for _, name := range []string{strings.ToUpper(m.name), strings.ToUpper(m.name[:1]) + m.name[1:], strings.ReplaceAll(m.name, "s", "ſ")} {
			if name == m.name {
				continue
			}
			before, _ := t.show()
			x := t.send(t.updateRequest(t.idle().and(name, t.fresh(m)).String()))
			t.want(x, name+" is unknown: it is ignored, or refused", http.StatusOK, http.StatusBadRequest)
			t.wantUnchanged(x, before, name) // whether what is unknown is stored is another law's
			if t.d.whole {
				x := t.send(t.updateRequest(t.base().without(m.name).and(name, t.fresh(m)).String()))
				is, _ := t.show()
				if is.text(m.name) != before.text(m.name) && is[m.name] != nil && is[m.name] != "" {
					t.broken(x, name+" is no "+m.name, "it changed %s to %s", m.name, is.json(m.name))
				}
			}
		}
	}
}

func escapedNames(t *trial) {
	m := t.d.members[0]
	body := t.change(m)
	text := strings.Replace(body.String(), `"`+m.name+`"`, `"`+escaped(m.name)+`"`, 1)
	t.wantShown(t.updateRaw(text), m.name, body.value(m.name))
}

// texts that hold s where the first name belongs, and where an unknown member does.
func (t *trial) withText(s string) []string {
	m := t.d.members[0]
	return []string{t.base().with(m.name, `"`+s+`"`).String(), t.idle().with("shoe_size", `"`+s+`"`).String()}
}

func invalidUTF8(t *trial) {
	for _, bytes := range []string{"\xff", "a\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80"} {
		t.wantRefused(http.StatusBadRequest, "the body is no UTF-8", t.withText(bytes)...)
	}
	t.wantRefused(http.StatusBadRequest, "the body is no UTF-8", t.idle().String()+"\xff")
}

func loneSurrogates(t *trial) {
	for _, escape := range []string{`\ud800`, `\udc00`, `x\ud83dx`, `\udc00\ud800`} {
		t.wantRefused(http.StatusBadRequest, "half a pair is no character", t.withText(escape)...)
	}
	m := t.d.members[0]
	t.wantShown(t.updateRaw(t.base().with(m.name, `"\ud83d\ude00"`).String()), m.name, `"😀"`)
}

func nulInText(t *trial) {
	t.wantRefused(http.StatusBadRequest, "a text has no U+0000", t.withText(`a\u0000b`)...)
}

func deepNesting(t *trial) {
	deep := func(depth int, begin, end string) string {
		return t.idle().with("shoe_size", strings.Repeat(begin, depth)+"1"+strings.Repeat(end, depth)).String()
	}
	t.wantRefused(http.StatusBadRequest, "the body is nested too deep", deep(40, "[", "]"), deep(40, `{"a":`, "}"), deep(20000, "[", "]"))
	t.updateRaw(deep(8, "[", "]"))
}

// maxBody is how many bytes a body may have, by Dragoman's rules.
const maxBody = 256 << 10

func largeBodies(t *trial) {
	padded := func(size int) string {
		text := t.idle().with("shoe_size", `""`).String()
		return text[:len(text)-2] + strings.Repeat("x", size-len(text)) + text[len(text)-2:]
	}
	t.updateRaw(padded(maxBody))
	t.wantRefused(http.StatusRequestEntityTooLarge, "the body has more than 256 KiB", padded(maxBody+1))
}

// media are the laws about what a body says it is.
var media = []Law{
	{Name: "curls-form-type-is-read-as-json", Grade: Vendor, check: curlsFormType, of: cited,
		Says: "A body with curl's default Content-Type, application/x-www-form-urlencoded, is read as JSON.",
		Why:  "The documented call sends it so."},
	{Name: "content-type-may-be-absent", Grade: Own, check: noContentType,
		Says: "A body without a Content-Type is read as JSON.",
		Why:  "There is nothing else that it could be."},
	{Name: "content-type-may-have-parameters", Grade: HTTP, check: contentTypeParameters,
		Says:   "application/json in any case of letters, with a charset or another parameter, is application/json.",
		Why:    "Many HTTP libraries add a charset by themselves.",
		Source: "RFC 9110, section 8.3.1; RFC 8259, section 11"},
	{Name: "body-without-a-length-is-read", Grade: HTTP, check: bodyWithoutLength,
		Says:   "A body that comes without a Content-Length, in chunks, is read like another, or is 411.",
		Why:    "Clients that stream, and some proxies, send it so. A server that goes by the length takes it for empty.",
		Source: "RFC 9112, sections 6.3 and 7.1"},
	{Name: "other-content-types-are-415", Grade: Own, check: otherContentTypes,
		Says: "text/plain, XML, a patch format, a malformed type, and a Content-Encoding are 415.",
		Why:  "A browser may send text/plain to any host without asking; and a merge patch means something else by null."},
}

func bodyWithoutLength(t *trial) {
	m := t.d.members[0]
	body := t.change(m)
	r := t.updateRequest(body.String())
	r.streamed = true
	x := t.send(r)
	t.want(x, "the body is there, though its length is not told", http.StatusOK, http.StatusLengthRequired)
	if x.status == http.StatusOK {
		t.wantShown(x, m.name, body.value(m.name))
	}
}

// takes asks for a renaming with this Content-Type to be taken; none if it is empty.
func (t *trial) takes(contentType ...string) {
	m := t.d.members[0]
	body := t.change(m)
	x := t.send(t.updateRequest(body.String()).with("Content-Type", contentType...))
	t.want(x, "the body is JSON", http.StatusOK)
	t.wantShown(x, m.name, body.value(m.name))
}

func curlsFormType(t *trial) { t.takes("application/x-www-form-urlencoded") }
func noContentType(t *trial) { t.takes() }

func contentTypeParameters(t *trial) {
	for _, contentType := range []string{"application/json;charset=utf-8", "Application/JSON; charset=UTF-8", `application/json; charset="utf-8"`, "application/json; q=1"} {
		t.takes(contentType)
	}
}

func otherContentTypes(t *trial) {
	types := []string{"text/plain", "text/plain; charset=utf-8", "application/xml", "application/merge-patch+json", "multipart/form-data; boundary=x", "json", "application/jsonp"}
	if t.d.Vendor.Laws["curls-form-type-is-read-as-json"].Source == "" {
		types = append(types, "application/x-www-form-urlencoded")
	}
	var requests []request
	for _, contentType := range types {
		requests = append(requests, t.updateRequest(t.renaming().String()).with("Content-Type", contentType))
	}
	requests = append(requests, t.updateRequest(t.renaming().String()).with("Content-Encoding", "gzip"))
	t.wantRequestsRefused(http.StatusUnsupportedMediaType, "the body is not said to be JSON", slices.Clip(requests)...)
}
