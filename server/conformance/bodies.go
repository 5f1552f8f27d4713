package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// emptiness are the laws about null, empty strings, empty bodies and unknown members.
var emptiness = []Law{
	{Name: "null-is-refused", Grade: Own, check: nullIsRefused,
		Says: "null for a member that is not nullable in the document is 400, for each member alone.",
		Why:  "A server that takes null for absent ignores the client; one that stores it erases a value that must be there."},
	{Name: "empty-names-are-legal", Grade: Vendor, check: emptyNames,
		Says: "An empty string is a valid first and last name, and is shown as one.",
		Why:  "Empty is a value. A server that treats it as absent cannot clear a field."},
	{Name: "empty-mobile-is-null", Grade: Own, check: emptyMobile, of: both(partial, with(phone)),
		Says: "An empty mobile number is accepted, and is then shown as null.",
		Why:  "There is no other way to remove a number, as null is rejected."},
	{Name: "empty-object-is-refused", Grade: Own, check: func(t *trial) { t.wantRefused(http.StatusBadRequest, "the body names nothing", "{}", " { } ") },
		Says: "{} is 400.",
		Why:  "An update without members is a client's mistake, and a 200 hides it."},
	{Name: "missing-body-is-refused", Grade: Vendor, check: missingBody,
		Says: "An update without a body, or with only white space, is 400.",
		Why:  "A body that was lost must not look like success, let alone like null for everything."},
	{Name: "body-must-be-an-object", Grade: Vendor, check: bodyIsAnObject,
		Says: "A body that is an array, a string, a number, a boolean or null is 400.",
		Why:  "The document requires an object."},
	{Name: "unknown-members-are-ignored", Grade: Own, check: unknownMembers,
		Says:   "A member that the document does not have is ignored, next to valid ones.",
		Why:    "A client that was written for another version keeps working.",
		Source: "SEMANTICS.md, Preconditions, and what changed"},
	{Name: "only-unknown-members-are-refused", Grade: Own, check: onlyUnknownMembers, of: partial,
		Says: "A PATCH whose members are all unknown is 400 and names them.",
		Why:  "It changes nothing, so a 200 would mislead."},
	{Name: "read-only-members-are-ignored", Grade: Own, Changes: State, check: readOnlyMembers,
		Says:   "Members that only the server sets are accepted with any value, and keep their values.",
		Why:    "Clients send back what they read, but must not set what only the server sets.",
		Source: "SEMANTICS.md, Preconditions, and what changed"},
	{Name: "read-only-members-cannot-be-set", Grade: Vendor, Changes: State, check: readOnlyCannotBeSet, of: partial,
		Says: "Members that an answer has and an update has not are ignored or rejected, and never set.",
		Why:  "A server that binds the whole body to its model lets a client verify its own e-mail, or impersonate another user."},
	{Name: "ids-in-the-body-must-be-the-paths", Grade: Own, check: idsInBody, of: withIDsInBody,
		Says: "An id in the body is absent, null, or the path's; anything else is 400.",
		Why:  "If the ids differ, the client edits another user than it intends."},
	{Name: "strict-handling-refuses-unknown-members", Grade: HTTP, Feature: Strict, check: strictHandling,
		Says:   "With Prefer: handling=strict a member that would be ignored is 400, and Preference-Applied confirms the preference.",
		Why:    "A developer who misspells a member wants an error.",
		Source: "RFC 7240, section 4.4"},
}

// settable returns the members that may be sent with an invalid value, as the server may accept it.
func (t *trial) settable() []memberOf {
	return slices.DeleteFunc(slices.Clone(t.d.members), func(m memberOf) bool { return m.group != "" && !t.allowed(m.group) })
}

func nullIsRefused(t *trial) {
	for _, m := range t.settable() {
		if m.nullable {
			continue
		}
		t.wantRefused(http.StatusBadRequest, m.name+" cannot be null", t.base().with(m.name, "null").String())
	}
	i := slices.IndexFunc(t.settable(), func(m memberOf) bool { return !m.nullable })
	if i < 0 {
		t.skip("no member that may be changed refuses null")
	}
	first, second := t.settable()[i], t.d.members[0]
	if first.name == second.name {
		second = t.d.members[1]
	}
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
		// An unknown id, in case the server uses the body's.
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

// applied requires an answer to say that strict handling was applied.
func (t *trial) applied(x exchange) {
	if got := x.header.Get("Preference-Applied"); !strings.EqualFold(got, "handling=strict") {
		t.broken(x, "Preference-Applied: handling=strict", "Preference-Applied: %s", got)
	}
}

// types are the laws about JSON types.
var types = []Law{
	{Name: "wrong-types-are-refused", Grade: Vendor, check: wrongTypes,
		Says: "An array or an object instead of a string is 400, and so are values of other types instead of flags and roles.",
		Why:  "A server that converts stores \"[object Object]\" as people's names."},
	{Name: "numbers-and-booleans-are-no-text", Grade: Own, check: scalarsAreNoText,
		Says:   "A number or a boolean instead of a string is 400.",
		Why:    "A server that converts stores \"true\" as a person's name, and 0012 as 12.",
		Source: "SEMANTICS.md, JSON"},
	{Name: "strings-are-no-booleans", Grade: Own, check: stringsAreNoBooleans, of: with(flag),
		Says:   "\"true\", 1 and 0 instead of a boolean are 400.",
		Why:    "Whether \"false\" counts as true depends on the programming language, and an account must not depend on that.",
		Source: "SEMANTICS.md, JSON"},
	{Name: "strings-are-no-numbers", Grade: Own, check: stringsAreNoNumbers, of: withIntegersInBody,
		Says:   "An id in quotes instead of a number is 400.",
		Why:    "The document types ids as integers; a client that sends strings has lost digits or will.",
		Source: "SEMANTICS.md, JSON"},
	{Name: "integers-may-have-an-empty-fraction", Grade: Own, check: emptyFraction, of: withIntegersInBody,
		Says: "6860.0 and 6.86e3 are accepted as the integer 6860; 6860.5 and numbers beyond 64 bits are 400.",
		Why:  "JSON has one type of number. Some languages write every integer with a fraction."},
}

func wrongTypes(t *trial) {
	for _, m := range t.settable() {
		// A lenient server converts some of these to the current value, and so changes nothing.
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
		// The current value in another type: a server that converts it changes nothing.
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
	for _, name := range t.d.matchingIntegers() {
		t.wantRefused(http.StatusBadRequest, name+" must be a number", t.base().with(name, encode(t.found.json(name))).String())
	}
}

func emptyFraction(t *trial) {
	name := t.d.matchingIntegers()[0]
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
		Says:   "A string of the maximum length is accepted and shown unchanged; length counts characters, not bytes.",
		Why:    "Truncation, or a limit in bytes, affects people whose names are not in ASCII.",
		Source: "SEMANTICS.md, One user"},
	{Name: "texts-beyond-the-limit-are-refused", Grade: Own, check: textsBeyondLimit,
		Says:   "A string that is one character longer than the maximum is 400.",
		Why:    "An error is better than a name that the database truncates, or a 500.",
		Source: "SEMANTICS.md, One user"},
	{Name: "email-must-be-valid", Grade: Own, Changes: Identity, check: emailMustBeOne, of: with(mail),
		Says:   "An email that is not a valid address is 400.",
		Why:    "The user could neither receive mail there nor sign in with it.",
		Source: "SEMANTICS.md, One user"},
	{Name: "email-of-another-user-is-refused", Grade: Own, Changes: Identity, check: emailOfAnother, of: withList,
		Says:   "An email that another user has is 400, or 409 where the update's document has it.",
		Why:    "Two accounts would share one mailbox.",
		Source: "SEMANTICS.md, One user"},
	{Name: "email-of-another-user-is-refused-in-any-case", Grade: Own, Changes: Identity, check: emailOfAnotherInOtherCase, of: withList,
		Says:   "An email that another user has in another case is 400, or 409 where the update's document has it.",
		Why:    "Nearly every mail system delivers both to one mailbox.",
		Source: "SEMANTICS.md, One user"},
	{Name: "identity-keeps-its-case", Grade: Own, Changes: Identity, check: identityKeepsLetters,
		Says:   "An email and a username are shown with the case in which they were sent.",
		Why:    "A server that changes their case changes what a person typed, and clients that compare see an edit that was not made.",
		Source: "SEMANTICS.md, One user; RFC 5321, section 2.4"},
	{Name: "username-has-no-white-space", Grade: Own, Changes: Identity, check: usernameWithoutSpace, of: with(login),
		Says:   "A username that is empty or has white space is 400.",
		Why:    "It could not be typed at sign-in; the vendor calls it a bug.",
		Source: "SEMANTICS.md, One user"},
}

// long returns a valid value of n characters for a member, which no other user has.
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

// wantOthersEmailRefused requires another user's e-mail, changed by f, to be rejected.
func (t *trial) wantOthersEmailRefused(f func(string) string) {
	m := t.mayOrSkip(mail)
	records, _ := t.listed(t.d.page(1, 100))
	for _, r := range records {
		u, _ := t.d.flat(r)
		other := u.text(m.name)
		if other == "" || strings.EqualFold(other, t.found.text(m.name)) {
			continue
		}
		t.wantRefused(t.d.update.Taken(), "another user has the e-mail", t.base().with(m.name, encode(f(other))).String())
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
