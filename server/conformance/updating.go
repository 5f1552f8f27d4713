package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// updating are the laws about what an update does to the user.
var updating = []Law{
	{Name: "patch-keeps-absent-members", Grade: Vendor, check: patchKeepsAbsent, of: partial,
		Says: "A PATCH of one member leaves every other as it was, each member alone.",
		Why:  "A client that changes a name would erase a telephone number that it does not know of."},
	{Name: "update-sets-each-member", Grade: Vendor, check: updateSetsEach,
		Says: "Each member alone, given a new value, is shown with that value afterwards.",
		Why:  "An update that answers 200 and drops a member loses what a person typed."},
	{Name: "put-changes-only-what-differs", Grade: HTTP, check: putChangesOnly, of: whole,
		Says:   "A PUT of the present values but for one member changes that member alone.",
		Why:    "Get, edit one field, put is how every client works; anything else that moves is damage.",
		Source: "RFC 9110, section 9.3.4"},
	{Name: "put-does-not-merge", Grade: HTTP, check: putDoesNotMerge, of: whole,
		Says:   "A PUT without a member is refused, or the member is gone: its old value does not stay.",
		Why:    "PUT replaces. A server that merges turns a client's mistake into a state that neither side asked for.",
		Source: "RFC 9110, section 9.3.4"},
	{Name: "put-without-a-member-is-refused", Grade: Own, check: putWithoutMember, of: whole,
		Says: "A PUT that lacks one of the nine members is 400 and changes nothing.",
		Why:  "A forgotten flag would silently become null or false, which is a locked or disabled account."},
	{Name: "put-of-get-changes-nothing", Grade: HTTP, check: putOfGet, of: whole,
		Says:   "Putting back what GET shows, all of it, is taken and changes nothing.",
		Why:    "It is the round trip that every form makes when somebody presses save.",
		Source: "RFC 9110, section 9.3.4"},
	{Name: "put-of-list-entry-changes-nothing", Grade: Own, check: putOfListEntry, of: both(whole, withList),
		Says:   "Putting back what the list shows of the user is taken and changes nothing.",
		Why:    "Clients that edit in a table have the list's object and no other.",
		Source: "SEMANTICS.md, Principles"},
	{Name: "put-twice-is-put-once", Grade: HTTP, check: putTwice, of: whole,
		Says:   "The same PUT again is taken again and changes nothing more.",
		Why:    "PUT is idempotent: clients and proxies send it again when an answer is lost.",
		Source: "RFC 9110, section 9.2.2"},
	{Name: "update-answers-as-documented", Grade: Vendor, check: updateAnswer,
		Says: "The update's answer is the documented one: the user as GET then shows it, or always the same.",
		Why:  "Clients show the answer, or compare it, without another request."},
	{Name: "text-comes-back-as-it-was-sent", Grade: Vendor, check: textComesBack,
		Says: "Letters of any script, quotes, markup, escapes and spaces come back as they were sent.",
		Why:  "A name that is trimmed, escaped twice or cut is somebody else's name."},
	{Name: "long-texts-are-kept-whole-or-refused", Grade: Vendor, check: longTexts,
		Says: "A name of whatever length, in whatever script, comes back whole, or is 400 and changes nothing.",
		Why:  "Where the limit is is the server's to say, but a name that is cut in silence, perhaps within a letter, is lost."},
	{Name: "flags-change-both-ways", Grade: Vendor, Changes: State, check: flagsBothWays,
		Says: "Each flag, and the status, goes from true to false and back, alone.",
		Why:  "Code that takes false for absent can enable an account and never disable it, or the other way round."},
	{Name: "status-is-one-of-the-documented", Grade: Vendor, Changes: State, check: statusValues, of: with(status),
		Says: "A status other than ACTIVE and INACTIVE, exactly so written, is 400.",
		Why:  "A status that nobody knows is an account in no state."},
	{Name: "authorities-are-replaced", Grade: Vendor, Changes: Roles, check: authoritiesReplaced, of: cited,
		Says: "authorities are the whole set: one that is not among them is taken away, and what is put is shown.",
		Why:  "A set that is merged can never be taken from anybody."},
	{Name: "authorities-may-be-none", Grade: Own, Changes: Roles, check: authoritiesMayBeNone, of: cited,
		Says: "An empty list of authorities takes all of them away.",
		Why:  "A server that takes an empty list for an absent one leaves the last right with somebody."},
	{Name: "authorities-go-by-name", Grade: Vendor, Changes: Roles, check: authoritiesByName, of: cited,
		Says: "An authority is resolved by its name; the entityId of another service beside it counts for nothing.",
		Why:  "The documented call sends id 2 with ROLE_USER, and 2 is this service's company administrator."},
	{Name: "authorities-order-and-repetition-do-not-matter", Grade: Own, Changes: Roles, check: authoritiesAreASet, of: cited,
		Says: "The same authorities in another order, or one of them twice, change nothing.",
		Why:  "They are a set; a client may send them in any order."},
	{Name: "unknown-roles-are-refused", Grade: Own, Changes: Roles, check: unknownRoles, of: with(grants),
		Says: "A role or a subrole that does not exist, or that has no name, is 400.",
		Why:  "Dropping it silently leaves somebody without the rights that were just given."},
	{Name: "subrole-id-and-code-must-agree", Grade: Own, Changes: Roles, check: subroleAgrees, of: cited,
		Says: "A subrole is named by id, by code, or by both, which must then agree; a label alone names none.",
		Why:  "Of two that disagree the server would have to guess, and one of them may be the higher."},
}

func patchKeepsAbsent(t *trial) {
	for _, m := range t.changeable() {
		before, _ := t.show()
		t.wantUnchanged(t.update(t.change(m)), before, m.name)
	}
}

func updateSetsEach(t *trial) {
	for _, m := range t.changeable() {
		if m.kind == grants {
			continue
		}
		body := t.change(m)
		t.wantShown(t.update(body), m.name, body.value(m.name))
	}
}

func putChangesOnly(t *trial) {
	for _, m := range t.changeable() {
		x := t.update(t.change(m))
		t.wantUnchanged(x, t.found, m.name)
	}
}

func putDoesNotMerge(t *trial) {
	tried := false
	for _, m := range t.changeable() {
		if !m.required || t.found[m.name] == nil || t.found[m.name] == "" || m.kind == flag && t.found[m.name] == false {
			continue // gone and kept would look alike
		}
		tried = true
		other := t.renaming()
		if m.name == t.d.members[0].name {
			other = t.change(t.d.members[1])
		}
		x := t.send(t.updateRequest(other.without(m.name).String()))
		is, _ := t.show()
		if x.status < http.StatusBadRequest && same(is[m.name], t.found[m.name]) {
			t.broken(x, m.name+" is asked for, or replaced", "it was left as it was")
		}
	}
	if !tried {
		t.skip("every member that may be changed is empty, and would look the same if it were gone: take a user with a name")
	}
}

func putWithoutMember(t *trial) {
	for _, m := range t.changeable() {
		if !m.required {
			continue
		}
		t.wantRefused(http.StatusBadRequest, "a PUT must have "+m.name, t.base().without(m.name).String())
	}
	t.wantRefused(http.StatusBadRequest, "a PUT must have all required members", `{}`)
}

func putOfGet(t *trial) {
	u, x := t.show()
	body := string(x.body)
	if t.d.inUser != "" {
		body = encode(u)
	}
	t.wantUnchanged(t.updateRaw(body), t.found)
}

func putOfListEntry(t *trial) {
	e, _ := t.entryOf(t.c.User)
	t.wantUnchanged(t.updateRaw(encode(e)), t.found)
}

func putTwice(t *trial) {
	body := t.renaming()
	t.update(body)
	once, _ := t.show()
	t.wantUnchanged(t.update(body), once)
}

func updateAnswer(t *trial) {
	x := t.update(t.renaming())
	table, _ := t.d.Answer(t.d.update.OperationID)
	if table.Shows() || table.User != "" {
		answered, ok := t.userIn(x)
		if !ok {
			t.broken(x, "the user", "something else")
		}
		is, _ := t.show()
		if differing := differences(answered, is); len(differing) > 0 {
			t.broken(x, "the user as GET then shows it", "%s", changes(differing, answered, is))
		}
		return
	}
	var wanted object
	for _, m := range table.Members {
		wanted = append(wanted, member{m.Path, m.Always})
	}
	value, _ := decode(x.body)
	if documented, err := decode([]byte(wanted.String())); err != nil || !same(value, documented) {
		t.broken(x, wanted.String(), "something else")
	}
}

// trickyTexts are what careless code changes.
var trickyTexts = []string{
	"Žofia Łęcka-Ødegård",
	"山田 太郎",
	"أحمد",
	"O'Brien \"Bob\" \\ / <b>&amp;</b> %s ${x} {{y}}",
	"👩‍👩‍👧‍👦",
	" leading and trailing ",
	"tab\tand\nline",
	"e\u0301 is not \u00e9",
	"null",
	"0012",
}

func textComesBack(t *trial) {
	for _, value := range trickyTexts {
		for _, m := range t.d.members[:2] {
			t.wantShown(t.update(t.base().with(m.name, encode(value))), m.name, encode(value))
		}
	}
}

// lengths are around the limits, in characters, bytes and UTF-16 code units, that columns and buffers often have.
var lengths = []int{64, 86, 128, 255, 256, 1000, 5000}

func longTexts(t *trial) {
	first, second := t.d.members[0], t.d.members[1]
	for _, of := range []struct {
		member memberOf
		letter string
	}{{first, "x"}, {first, "é"}, {first, "中"}, {first, "😀"}, {second, "x"}} {
		for _, n := range lengths {
			before, _ := t.show()
			value := encode(strings.Repeat(of.letter, n-1) + "y")
			x := t.send(t.updateRequest(t.base().with(of.member.name, value).String()))
			t.want(x, "the text is taken whole, or refused", http.StatusOK, http.StatusBadRequest, http.StatusRequestEntityTooLarge)
			if x.status != http.StatusOK {
				t.wantUnchanged(x, before)
				break // what is longer is refused too
			}
			t.wantShown(x, of.member.name, value)
		}
	}
}

func flagsBothWays(t *trial) {
	reason := ""
	tried := 0
	for _, m := range t.d.members {
		if m.kind != flag && m.kind != status {
			continue
		}
		if why := t.may(m); why != "" {
			reason = why
			t.note(m.name, why)
			continue
		}
		tried++
		before, _ := t.show()
		there, back := t.fresh(m), before.json(m.name)
		x := t.update(t.base().with(m.name, there))
		t.wantShown(x, m.name, there)
		t.wantUnchanged(x, before, m.name)
		x = t.update(t.base().with(m.name, back))
		t.wantShown(x, m.name, back)
		t.wantUnchanged(x, before)
	}
	if tried == 0 {
		t.skip("%s", reason)
	}
}

func statusValues(t *trial) {
	m := t.mayOrSkip(status)
	for _, value := range []string{"active", "Inactive", "INVITED", "DELETED", "", " ACTIVE"} {
		t.wantRefused(http.StatusBadRequest, "the status is ACTIVE or INACTIVE", object{{m.name, encode(value)}}.String())
	}
}

// authorities gives the JSON of authorities with these names.
func authorities(names ...string) string {
	all := []any{}
	for _, n := range names {
		all = append(all, map[string]any{"name": n})
	}
	return encode(all)
}

// wantRoles asks that the user is shown with exactly these roles.
func (t *trial) wantRoles(x exchange, names ...string) {
	is, _ := t.show()
	shown := t.d.roleNames(is)
	slices.Sort(shown)
	names = slices.Clone(names)
	slices.Sort(names)
	if !slices.Equal(shown, names) {
		t.broken(x, "authorities "+fmt.Sprint(names), "%v", shown)
	}
}

func authoritiesReplaced(t *trial) {
	had := t.d.roleNames(t.found)
	if len(had) < 2 {
		t.skip("it takes a role away and gives it back: take a user with two roles")
	}
	t.wantRoles(t.update(t.base().with("authorities", authorities(had[0]))), had[0])
	t.wantRoles(t.update(t.base().with("authorities", authorities(had...))), had...)
}

func authoritiesMayBeNone(t *trial) {
	had := t.d.roleNames(t.found)
	if len(had) == 0 {
		t.skip("it takes roles away and gives them back: take a user with a role")
	}
	t.wantRoles(t.update(t.base().with("authorities", `[]`)))
	t.wantRoles(t.update(t.base().with("authorities", authorities(had...))), had...)
}

func authoritiesByName(t *trial) {
	if !slices.Contains(t.d.roleNames(t.found), "ROLE_USER") {
		t.skip("it gives no role that the user does not have: take a user with ROLE_USER")
	}
	body := t.base().with("authorities", `[{"entityId":2,"name":"ROLE_USER","cleanName":"ROLE USER","checked":true,"disabled":true}]`)
	t.wantRoles(t.update(body), "ROLE_USER")
}

func authoritiesAreASet(t *trial) {
	had := t.d.roleNames(t.found)
	if len(had) == 0 {
		t.skip("it gives no role that the user does not have: take a user with a role")
	}
	if len(had) == 1 {
		t.note("another order", "take a user with two roles")
	}
	slices.Reverse(had)
	t.wantUnchanged(t.update(t.base().with("authorities", authorities(append(had, had[0])...))), t.found)
}

func unknownRoles(t *trial) {
	why := "there is no such role"
	m, _ := t.d.member(grants)
	if !t.d.grantsMany() {
		for _, naming := range t.d.naming {
			value := `"dragoman_check"`
			if strings.HasSuffix(naming.Field, "UUID") {
				value = encode(uuid.NewString())
			}
			t.wantRefused(http.StatusBadRequest, why, object{{m.name, object{{nameIn(naming), value}}.String()}}.String(), object{{m.name, object{{nameIn(naming), `""`}}.String()}}.String())
		}
		return
	}
	had := t.d.roleNames(t.found)
	for _, value := range []string{`[null]`, `[{}]`, `[{"name":null}]`, `[{"name":1}]`} {
		t.wantRefused(http.StatusBadRequest, "this names no role", t.base().with("authorities", value).String())
	}
	t.wantRefused(http.StatusBadRequest, why,
		t.base().with("authorities", authorities(append(had, "ROLE_DRAGOMAN_CHECK")...)).String(),
		t.base().with("authorities", authorities(append(had, "")...)).String())
	if len(had) > 0 {
		t.wantRefused(http.StatusBadRequest, why, t.base().with("authorities", authorities(strings.ToLower(had[0]))).String())
	}
}

func subroleAgrees(t *trial) {
	has, _ := t.found["subrole"].(map[string]any)
	if has == nil {
		t.skip("it gives no subrole that the user does not have: take a user with a subrole")
	}
	id, code := encode(has["id"]), encode(has["code"])
	for _, good := range []object{
		{{"code", code}}, {{"id", id}}, {{"id", id}, {"code", code}}, {{"id", id}, {"code", code}, {"label", `"Something else"`}},
	} {
		t.wantUnchanged(t.update(object{{"subrole", good.String()}}), t.found)
	}
	t.wantRefused(http.StatusBadRequest, "a label names no subrole", `{"subrole":{"label":`+encode(has["label"])+`}}`, `{"subrole":{}}`)
	all, _ := t.subroles()
	for _, other := range all {
		if same(memberOfObject(other, "id"), has["id"]) {
			continue
		}
		body := object{{"id", id}, {"code", encode(memberOfObject(other, "code"))}}
		t.wantRefused(http.StatusBadRequest, "id and code name two subroles", object{{"subrole", body.String()}}.String())
		return
	}
	t.note("an id and a code that disagree", "a second subrole to choose from")
}
