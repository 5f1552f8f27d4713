package conformance

import (
	"fmt"
	"net/http"
	"strings"
)

// emptiness are the laws about what is not there: null, empty texts, empty bodies; and about what should not be.
var emptiness = []Law{
	{Name: "null-is-refused", Grade: Own, check: nullIsRefused,
		Says: "null for a member that the document types without null is 400, each member alone.",
		Why:  "A server that takes null for absent ignores the client; one that stores it erases a value that must be there."},
	{Name: "empty-names-are-legal", Grade: Vendor, check: emptyNames,
		Says: "An empty text is a legal first and last name, and is shown as one.",
		Why:  "Empty is a value. A server that takes it for absent cannot clear a field."},
	{Name: "empty-mobile-is-none", Grade: Own, check: emptyMobile, of: both(partial, with(phone)),
		Says: "An empty mobile number is taken, and the user then has none: null.",
		Why:  "There is no other way to take a number away, as null is refused."},
	{Name: "empty-object-is-refused", Grade: Own, check: func(t *trial) { t.wantRefused(http.StatusBadRequest, "the body names nothing", "{}", " { } ") },
		Says: "{} is 400.",
		Why:  "An update that says nothing is a client's mistake, and a 200 hides it."},
	{Name: "missing-body-is-refused", Grade: Vendor, check: missingBody,
		Says: "An update without a body, or with one of white space alone, is 400.",
		Why:  "A body that got lost on the way must not read as success, let alone as null for everything."},
	{Name: "body-must-be-an-object", Grade: Vendor, check: bodyIsAnObject,
		Says: "A body that is an array, a text, a number, a boolean or null is 400.",
		Why:  "The document has an object there."},
	{Name: "unknown-members-are-ignored", Grade: Own, check: unknownMembers,
		Says:   "A member that the document does not name is ignored, beside others that are good.",
		Why:    "A client that was written for a newer or another edition keeps working.",
		Source: "SEMANTICS.md, Preconditions, and what changed"},
	{Name: "only-unknown-members-are-refused", Grade: Own, check: onlyUnknownMembers, of: partial,
		Says: "A PATCH whose members are all unknown is 400 and names them.",
		Why:  "It cannot mean anything, so a 200 would lie."},
	{Name: "read-only-members-are-ignored", Grade: Own, Changes: State, check: readOnlyMembers,
		Says:   "Members that are the server's are taken with any value, and stay what they were.",
		Why:    "Clients send back what they were shown; what only the server decides must not be theirs to set.",
		Source: "SEMANTICS.md, Preconditions, and what changed"},
	{Name: "read-only-members-cannot-be-set", Grade: Vendor, Changes: State, check: readOnlyCannotBeSet, of: partial,
		Says: "Members that a user is shown with and an update does not have are ignored or refused, and never set.",
		Why:  "A server that binds the whole body to its model lets a client verify its own e-mail, or be somebody else."},
	{Name: "ids-in-the-body-must-be-the-paths", Grade: Own, check: idsInBody, of: withIDsInBody,
		Says: "An id in the body is absent, null, or what the path says; anything else is 400.",
		Why:  "Two ids that disagree mean that the client edits another user than it believes."},
	{Name: "strict-handling-refuses-unknown-members", Grade: HTTP, Feature: Strict, check: strictHandling,
		Says:   "With Prefer: handling=strict a member that would be ignored is 400, and Preference-Applied says that it was asked for.",
		Why:    "A developer who misspells a member wants to be told.",
		Source: "RFC 7240, section 4.4"},
}

// settable gives the members that may be sent with a wrong value: those that may be changed, if the server should take it.
func (t *trial) settable() []memberOf {
	var all []memberOf
	for _, m := range t.d.members {
		if m.group == "" || t.allowed(m.group) {
			all = append(all, m)
		}
	}
	return all
}

func nullIsRefused(t *trial) {
	for _, m := range t.settable() {
		if m.nullable {
			continue
		}
		t.wantRefused(http.StatusBadRequest, m.name+" cannot be null", t.base().with(m.name, "null").String())
	}
	first, second := t.d.members[0], t.d.members[1]
	t.wantRefused(http.StatusBadRequest, first.name+" cannot be null, whatever else is good",
		t.change(second).with(first.name, "null").String())
}

func emptyNames(t *trial) {
	for _, m := range t.d.members[:2] {
		t.wantShown(t.update(t.base().with(m.name, `""`)), m.name, `""`)
	}
}

func emptyMobile(t *trial) {
	m, _ := t.d.member(phone)
	t.update(object{{m.name, `"+12025550100"`}})
	t.wantShown(t.update(object{{m.name, `""`}}), m.name, "null")
}

func missingBody(t *trial) {
	none := t.updateRequest("")
	none.hasBody = false
	t.wantRequestsRefused(http.StatusBadRequest, "the body is required", none, t.updateRequest(""), t.updateRequest(" \r\n\t"))
}

func bodyIsAnObject(t *trial) {
	t.wantRefused(http.StatusBadRequest, "the body must be an object",
		`[]`, `null`, `true`, `1`, `"text"`, "["+t.renaming().String()+"]", encode(t.renaming().String()))
}

func unknownMembers(t *trial) {
	m := t.d.members[0]
	body := t.change(m).with("shoe_size", "38").with("dragomanCheck", `{"a":[1,null,"x"]}`)
	x := t.update(body)
	t.wantShown(x, m.name, body.value(m.name))
	t.wantUnchanged(x, t.found, m.name)
}

func onlyUnknownMembers(t *trial) {
	t.wantRefused(http.StatusBadRequest, "no member is known", `{"shoe_size":38}`, `{"firstName":"x","lastName":"y"}`)
}

func readOnlyMembers(t *trial) {
	for _, m := range t.d.readOnly() {
		t.wantUnchanged(t.update(t.idle().with(m.name, m.value)), t.found)
	}
	body := t.idle()
	for _, m := range t.d.readOnly() {
		body = body.with(m.name, m.value)
	}
	t.wantUnchanged(t.update(body), t.found)
}

func readOnlyCannotBeSet(t *trial) {
	all := t.d.readOnly()
	for _, m := range t.d.readOnly() {
		if is, ok := t.found[m.name].(bool); ok {
			all = append(all, member{m.name, encode(!is)})
		}
	}
	for _, m := range all {
		x := t.send(t.updateRequest(t.idle().with(m.name, m.value).String()))
		t.want(x, m.name+" is ignored, or refused", http.StatusOK, http.StatusBadRequest)
		t.wantUnchanged(x, t.found)
	}
}

func idsInBody(t *trial) {
	for _, name := range t.d.matching() {
		t.wantUnchanged(t.update(t.base().with(name, "null")), t.found)
		t.wantUnchanged(t.update(t.base().with(name, t.found.json(name))), t.found)
		// An id that is nobody's, in case the server goes by the body.
		t.wantRefused(http.StatusBadRequest, name+" is not the path's", t.base().with(name, t.d.noSuchUser()).String())
	}
}

func strictHandling(t *trial) {
	for _, prefer := range []string{"handling=strict", "Handling=Strict", `handling="strict"`, "return=minimal, handling=strict; foo=bar"} {
		strict := t.updateRequest(t.idle().with("shoe_size", "38").String()).with("Prefer", prefer)
		before, _ := t.show()
		x := t.send(strict)
		t.want(x, "shoe_size would be ignored", http.StatusBadRequest)
		t.applied(x)
		t.wantUnchanged(x, before)
		x = t.send(t.updateRequest(t.idle().String()).with("Prefer", prefer))
		t.want(x, "nothing would be ignored", http.StatusOK)
		t.applied(x)
	}
	x := t.send(t.updateRequest(t.idle().with("shoe_size", "38").String()).with("Prefer", "handling=lenient"))
	t.want(x, "lenient handling was preferred", http.StatusOK)
}

// applied asks an answer to say that strict handling was applied.
func (t *trial) applied(x exchange) {
	if got := x.header.Get("Preference-Applied"); !strings.EqualFold(got, "handling=strict") {
		t.broken(x, "Preference-Applied: handling=strict", "Preference-Applied: %s", got)
	}
}

// types are the laws about JSON's types.
var types = []Law{
	{Name: "wrong-types-are-refused", Grade: Vendor, check: wrongTypes,
		Says: "An array or an object where a text belongs is 400, and so is each of the other kind elsewhere.",
		Why:  "A server that converts stores \"[object Object]\" as people's names."},
	{Name: "numbers-and-booleans-are-no-text", Grade: Own, check: scalarsAreNoText,
		Says:   "A number or a boolean where a text belongs is 400.",
		Why:    "A server that converts stores \"true\" as a person's name, and 0012 as 12.",
		Source: "SEMANTICS.md, JSON"},
	{Name: "strings-are-no-booleans", Grade: Own, check: stringsAreNoBooleans, of: with(flag),
		Says:   "\"true\", 1 and 0 are no booleans: 400.",
		Why:    "Whether \"false\" is true depends on the language; nobody should find out with an account.",
		Source: "SEMANTICS.md, JSON"},
	{Name: "strings-are-no-numbers", Grade: Own, check: stringsAreNoNumbers, of: withIDsInBody,
		Says:   "An id in quotes is no number: 400.",
		Why:    "The document types ids as integers, and a client that sends text has lost digits already or will.",
		Source: "SEMANTICS.md, JSON"},
	{Name: "integers-may-have-an-empty-fraction", Grade: Own, check: emptyFraction, of: withIDsInBody,
		Says: "6860.0 and 6.86e3 are the integer 6860; 6860.5 is none, and neither is one beyond 64 bits.",
		Why:  "JSON has one kind of number. Some languages write every integer with a fraction."},
}

func wrongTypes(t *trial) {
	for _, m := range t.settable() {
		// A value that a lenient server would convert is the present one, so that nothing is changed by it.
		var wrong []string
		switch m.kind {
		case grants:
			wrong = []string{`1`, `true`, `"x"`, `[1]`, `["x"]`, `[[]]`}
			if t.d.grantsMany() {
				wrong = append(wrong, `{}`)
			} else {
				wrong = append(wrong, `[]`, `{"code":1}`, `{"id":null}`)
			}
		case flag:
			wrong = []string{`[]`, `{}`, `"x"`, `2.5`}
		default:
			wrong = []string{`[]`, `{}`, `["x"]`, `{"a":"x"}`}
		}
		for _, value := range wrong {
			t.wantRefused(http.StatusBadRequest, fmt.Sprintf("%s is of another type", m.name), t.base().with(m.name, value).String())
		}
	}
}

func scalarsAreNoText(t *trial) {
	for _, m := range t.settable() {
		for _, value := range []string{`1`, `0.5`, `true`, `false`} {
			if m.isText() || m.kind == status {
				t.wantRefused(http.StatusBadRequest, m.name+" is a text", t.base().with(m.name, value).String())
			}
		}
	}
}

func stringsAreNoBooleans(t *trial) {
	for _, m := range t.d.members {
		if m.kind != flag {
			continue
		}
		// What it is now, in other words: a server that converts changes nothing.
		wrong := []string{`"true"`, `1`, `"TRUE"`}
		if t.found[m.name] == false {
			wrong = []string{`"false"`, `0`, `""`}
		}
		for _, value := range wrong {
			t.wantRefused(http.StatusBadRequest, m.name+" must be true or false", t.base().with(m.name, value).String())
		}
	}
}

func stringsAreNoNumbers(t *trial) {
	for _, name := range t.d.matching() {
		t.wantRefused(http.StatusBadRequest, name+" must be a number", t.base().with(name, encode(t.found.json(name))).String())
	}
}

func emptyFraction(t *trial) {
	name := t.d.matching()[0]
	id := t.found.json(name)
	for _, value := range []string{id + ".0", id + ".000", id + "e0", id + "0e-1"} {
		t.wantUnchanged(t.update(t.base().with(name, value)), t.found)
	}
	for _, value := range []string{id + ".5", id + "e-400", "9223372036854775808", "1e400", "-" + id} {
		t.wantRefused(http.StatusBadRequest, name+" is not this integer", t.base().with(name, value).String())
	}
}

// limits are the laws about lengths and formats.
var limits = []Law{
	{Name: "texts-up-to-the-limit-are-kept-whole", Grade: Own, check: textsUpToLimit,
		Says:   "A text of the greatest length is taken and comes back whole; length counts characters, not bytes.",
		Why:    "A text that is cut, or a limit in bytes, hits people whose names are not in ASCII.",
		Source: "SEMANTICS.md, One user"},
	{Name: "texts-beyond-the-limit-are-refused", Grade: Own, check: textsBeyondLimit,
		Says:   "A text that is one character longer is 400.",
		Why:    "A database that cuts it, or fails with 500, is worse than being told.",
		Source: "SEMANTICS.md, One user"},
	{Name: "email-must-be-one", Grade: Own, Changes: Identity, check: emailMustBeOne, of: with(mail),
		Says:   "An email that is no e-mail address is 400.",
		Why:    "Nobody can be written to at it, or sign in with it.",
		Source: "SEMANTICS.md, One user"},
	{Name: "email-of-another-user-is-refused", Grade: Own, Changes: Identity, check: emailOfAnother, of: withList,
		Says:   "An email that another user has is 400.",
		Why:    "Two users with one address are one inbox for two accounts.",
		Source: "SEMANTICS.md, One user"},
	{Name: "email-of-another-user-is-refused-in-any-case", Grade: Own, Changes: Identity, check: emailOfAnotherInOtherCase, of: withList,
		Says:   "An email that another user has in other letters, upper for lower, is 400.",
		Why:    "Nearly every mail system takes the two for one inbox.",
		Source: "SEMANTICS.md, One user"},
	{Name: "identity-keeps-its-letters", Grade: Own, Changes: Identity, check: identityKeepsLetters,
		Says:   "An email and a username come back with the upper and lower case that they were sent with.",
		Why:    "A server that lower-cases them changes what a person typed, and a client that compares sees an edit that nobody made.",
		Source: "SEMANTICS.md, One user; RFC 5321, section 2.4"},
	{Name: "username-has-no-white-space", Grade: Own, Changes: Identity, check: usernameWithoutSpace, of: with(login),
		Says:   "A username that is empty or has white space is 400.",
		Why:    "It could not be typed where people sign in; the vendor calls it a bug.",
		Source: "SEMANTICS.md, One user"},
}

// long gives a text of n characters that is good for a member, and nobody else's.
func (t *trial) long(m memberOf, letter string, n int) string {
	switch m.kind {
	case mail:
		const domain = "@example.com"
		return encode(t.nonce + strings.Repeat("d", n-len(t.nonce+domain)) + domain)
	case login:
		return encode(t.nonce + strings.Repeat("d", n-len(t.nonce)))
	case phone:
		return encode(strings.Repeat("7", n))
	default:
		return encode(strings.Repeat(letter, n))
	}
}

func textsUpToLimit(t *trial) {
	for _, m := range t.texts() {
		for _, letter := range []string{"x", "ß", "中", "😀"} {
			value := t.long(m, letter, m.limit)
			t.wantShown(t.update(t.base().with(m.name, value)), m.name, value)
			if m.kind != text {
				break
			}
		}
	}
}

func textsBeyondLimit(t *trial) {
	for _, m := range t.texts() {
		t.wantRefused(http.StatusBadRequest, fmt.Sprintf("%s has more than %d characters", m.name, m.limit),
			t.base().with(m.name, t.long(m, "x", m.limit+1)).String(),
			t.base().with(m.name, t.long(m, "x", 10*m.limit)).String())
	}
}

func emailMustBeOne(t *trial) {
	m := t.mayOrSkip(mail)
	for _, value := range []string{"", "dragoman", "dragoman@", "@example.com", "dragoman check@example.com", "dragoman@check@example.com", "dragoman@-example.com "} {
		t.wantRefused(http.StatusBadRequest, m.name+" must be an e-mail address", t.base().with(m.name, encode(value)).String())
	}
}

func emailOfAnother(t *trial) { t.wantOthersEmailRefused(func(email string) string { return email }) }

func emailOfAnotherInOtherCase(t *trial) { t.wantOthersEmailRefused(strings.ToUpper) }

// wantOthersEmailRefused asks for another user's e-mail, as f writes it, to be refused.
func (t *trial) wantOthersEmailRefused(f func(string) string) {
	m := t.mayOrSkip(mail)
	records, _ := t.listed(t.d.page(1, 100))
	for _, r := range records {
		other, _ := memberOfObject(r, m.name).(string)
		if other == "" || strings.EqualFold(other, t.found.text(m.name)) {
			continue
		}
		t.wantRefused(http.StatusBadRequest, "another user has the e-mail", t.base().with(m.name, encode(f(other))).String())
		return
	}
	t.skip("there is no other user in the list")
}

func identityKeepsLetters(t *trial) {
	tried := false
	for _, m := range t.texts() {
		if m.kind != mail && m.kind != login {
			continue
		}
		tried = true
		value := strings.Replace(t.fresh(m), "dragoman-check", "Dragoman-CHECK", 1)
		t.wantShown(t.update(t.base().with(m.name, value)), m.name, value)
	}
	if !tried {
		t.skip("%s", strings.Join(t.untried, "; "))
	}
}

func usernameWithoutSpace(t *trial) {
	m := t.mayOrSkip(login)
	for _, value := range []string{"", " ", "dragoman check", "dragoman\tcheck", "dragoman\u00a0check", "dragoman\u2003check"} {
		t.wantRefused(http.StatusBadRequest, m.name+" has no white space, and is not empty", t.base().with(m.name, encode(value)).String())
	}
}
