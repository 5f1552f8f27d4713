package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// syntax are the laws about JSON syntax.
var syntax = []Law{
	{Name: "malformed-json-is-refused", Grade: HTTP, check: malformedJSON,
		Says:   "A body that is not JSON is 400.",
		Why:    "A 500 would say that the server is at fault, and a 200 that the body was understood.",
		Source: "RFC 8259, section 2"},
	{Name: "trailing-data-is-refused", Grade: Own, check: trailingData,
		Says:   "Anything but white space after the object is 400.",
		Why:    "A second object that is not read is a lost request, or a smuggled one.",
		Source: "SEMANTICS.md, JSON"},
	{Name: "repeated-members-are-refused", Grade: Own, check: repeatedMembers,
		Says:   "A repeated member is 400, whether the values are equal or not.",
		Why:    "A proxy may check the first value while the server stores the last.",
		Source: "SEMANTICS.md, JSON; RFC 7493, section 2.3"},
	{Name: "member-names-are-exact", Grade: Vendor, check: memberNamesAreExact,
		Says: "A member whose name differs in case is unknown, and never changes the user.",
		Why:  "A check of exact names and a decoder that ignores case see two different requests."},
	{Name: "escaped-member-names-are-the-same", Grade: HTTP, check: escapedNames,
		Says:   "A member's name may be written with escapes.",
		Why:    "An escape is another spelling of the same letter.",
		Source: "RFC 8259, section 8.3"},
	{Name: "invalid-utf-8-is-refused", Grade: Own, check: invalidUTF8,
		Says:   "A body that is not UTF-8 is 400.",
		Why:    "Replacing the bytes by question marks changes a name without notice.",
		Source: "SEMANTICS.md, JSON; RFC 8259, section 8.1"},
	{Name: "lone-surrogates-are-refused", Grade: Own, check: loneSurrogates,
		Says:   "An unpaired surrogate, such as \\ud800, is 400.",
		Why:    "It is not a character, and other programs fail to read it.",
		Source: "SEMANTICS.md, JSON; RFC 7493, section 2.1"},
	{Name: "nul-in-text-is-refused", Grade: Own, check: nulInText,
		Says:   "U+0000 in a string is 400.",
		Why:    "Some databases fail on it, and some programs end the string there.",
		Source: "SEMANTICS.md, JSON"},
	{Name: "deep-nesting-is-refused", Grade: Own, check: deepNesting,
		Says:   "A body nested deeper than 32 levels is 400, even in an ignored member.",
		Why:    "Nesting costs the client a few bytes and the server a stack.",
		Source: "SEMANTICS.md, JSON"},
	{Name: "large-bodies-are-413", Grade: Own, check: largeBodies,
		Says:   "A body over 256 KiB is 413.",
		Why:    "An unbounded body needs unbounded memory.",
		Source: "SEMANTICS.md, JSON; RFC 9110, section 15.5.14"},
}

func malformedJSON(t *trial) {
	good := t.renaming()
	text := good.String()
	first, value := encode(good[0].name), good[0].value
	t.wantRefused(http.StatusBadRequest, "the body is not JSON",
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
		strings.Replace(once.and(m.name, value).String(), `"`+m.leaf(), `"`+escaped(m.leaf()), 1))
}

// escaped returns a name with its first letter escaped.
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
			t.wantUnchanged(x, before, name) // another law checks whether unknown members are stored
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
	text := strings.Replace(body.String(), `"`+m.leaf()+`"`, `"`+escaped(m.leaf())+`"`, 1)
	t.wantShown(t.updateRaw(text), m.name, body.value(m.name))
}

// withText returns updates that have s in the first name, and in an unknown member.
func (t *trial) withText(s string) []string {
	m := t.d.members[0]
	return []string{t.base().with(m.name, `"`+s+`"`).String(), t.idle().with("shoe_size", `"`+s+`"`).String()}
}

func invalidUTF8(t *trial) {
	for _, bytes := range []string{"\xff", "a\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80"} {
		t.wantRefused(http.StatusBadRequest, "the body is not UTF-8", t.withText(bytes)...)
	}
	t.wantRefused(http.StatusBadRequest, "the body is not UTF-8", t.idle().String()+"\xff")
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

// maxBody is Dragoman's limit of a body, in bytes.
const maxBody = 256 << 10

func largeBodies(t *trial) {
	padded := func(size int) string {
		text := t.idle().with("shoe_size", `""`).String()
		return text[:len(text)-2] + strings.Repeat("x", size-len(t.d.request.Around(text))) + text[len(text)-2:]
	}
	t.updateRaw(padded(maxBody))
	t.wantRefused(http.StatusRequestEntityTooLarge, "the body has more than 256 KiB", padded(maxBody+1))
}

// media are the laws about the Content-Type.
var media = []Law{
	{Name: "curls-form-type-is-read-as-json", Grade: Vendor, check: curlsFormType, of: cited,
		Says: "A body with curl's default Content-Type, application/x-www-form-urlencoded, is read as JSON.",
		Why:  "The documented call sends this header."},
	{Name: "content-type-may-be-absent", Grade: Own, check: noContentType,
		Says: "A body without a Content-Type is read as JSON.",
		Why:  "It cannot be anything else."},
	{Name: "content-type-may-have-parameters", Grade: HTTP, check: contentTypeParameters,
		Says:   "application/json is accepted in any case, and with a charset or another parameter.",
		Why:    "Many HTTP libraries add a charset.",
		Source: "RFC 9110, section 8.3.1; RFC 8259, section 11"},
	{Name: "body-without-a-length-is-read", Grade: HTTP, check: bodyWithoutLength,
		Says:   "A chunked body without a Content-Length is read like any other, or is 411.",
		Why:    "Clients that stream and some proxies send such bodies. A server that relies on the length treats them as empty.",
		Source: "RFC 9112, sections 6.3 and 7.1"},
	{Name: "other-content-types-are-415", Grade: Own, check: otherContentTypes,
		Says: "text/plain, XML, a patch format, a malformed type, and a Content-Encoding are 415.",
		Why:  "A browser may send text/plain to any host without a preflight request, and null in a merge patch has another meaning."},
}

func bodyWithoutLength(t *trial) {
	m := t.d.members[0]
	body := t.change(m)
	r := t.updateRequest(body.String())
	r.streamed = true
	x := t.send(r)
	t.want(x, "the body is complete without a Content-Length", http.StatusOK, http.StatusLengthRequired)
	if x.status == http.StatusOK {
		t.wantShown(x, m.name, body.value(m.name))
	}
}

// takes requires an update with this Content-Type to succeed; with none if contentType is empty.
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
