package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/dragoman-id/dragoman/server/description"
	"github.com/google/uuid"
)

// updating are the laws about the effect of an update.
var updating = []Law{
	{Name: "patch-keeps-absent-members", Grade: Vendor, check: patchKeepsAbsent, of: partial,
		Says: "A PATCH of one member leaves all others unchanged, for each member alone.",
		Why:  "Otherwise a client that changes a name erases a telephone number that it does not know of."},
	{Name: "update-sets-each-member", Grade: Vendor, check: updateSetsEach,
		Says: "Each member that is updated alone is then shown with its new value.",
		Why:  "An update that answers 200 and drops a member loses what a person typed."},
	{Name: "put-changes-only-what-differs", Grade: HTTP, check: putChangesOnly, of: whole,
		Says:   "A PUT of the current values with one change makes only that change.",
		Why:    "Clients get, edit one field and put; every other change is damage.",
		Source: "RFC 9110, section 9.3.4"},
	{Name: "put-does-not-merge", Grade: HTTP, check: putDoesNotMerge, of: whole,
		Says:   "A PUT without a member is rejected, or clears the member; it never keeps the old value.",
		Why:    "PUT replaces. Merging turns a client's mistake into a state that the client did not ask for.",
		Source: "RFC 9110, section 9.3.4"},
	{Name: "put-without-a-member-is-refused", Grade: Own, check: putWithoutMember, of: whole,
		Says: "A PUT that lacks a required member is 400 and changes nothing.",
		Why:  "A forgotten flag would silently become null or false, and lock or disable the account."},
	{Name: "put-of-get-changes-nothing", Grade: HTTP, check: putOfGet, of: whole,
		Says:   "A PUT of exactly what GET shows is accepted and changes nothing.",
		Why:    "Every form makes this round trip when it is saved.",
		Source: "RFC 9110, section 9.3.4"},
	{Name: "put-of-list-entry-changes-nothing", Grade: Own, check: putOfListEntry, of: both(whole, withList),
		Says:   "A PUT of exactly what the list shows of the user is accepted and changes nothing.",
		Why:    "Clients that edit in a table have only the list's object.",
		Source: "SEMANTICS.md, Principles"},
	{Name: "put-twice-is-put-once", Grade: HTTP, check: putTwice, of: whole,
		Says:   "A repeated PUT is accepted and changes nothing more.",
		Why:    "PUT is idempotent: clients and proxies repeat it when an answer is lost.",
		Source: "RFC 9110, section 9.2.2"},
	{Name: "update-answers-as-documented", Grade: Vendor, check: updateAnswer,
		Says: "The update's answer is the documented one: the user as GET then shows it, or a fixed message.",
		Why:  "Clients use the answer without another request."},
	{Name: "text-comes-back-as-it-was-sent", Grade: Vendor, check: textComesBack,
		Says: "Letters of any script, quotes, markup, escapes and spaces are shown as they were sent.",
		Why:  "A name that is trimmed, escaped twice or truncated is another name."},
	{Name: "long-texts-are-kept-whole-or-refused", Grade: Vendor, check: longTexts,
		Says: "A name of any length, in any script, is shown unchanged, or is 400 and changes nothing.",
		Why:  "The server may set a limit, but must not truncate a name silently, perhaps within a letter."},
	{Name: "flags-change-both-ways", Grade: Vendor, Changes: State, check: flagsBothWays,
		Says: "Each flag, and the status, can be changed alone, and changed back.",
		Why:  "Code that treats false as absent can enable an account and never disable it, or vice versa."},
	{Name: "status-is-one-of-the-documented", Grade: Vendor, Changes: State, check: statusValues, of: with(status),
		Says: "A status that is not exactly one of those that the update's document lists is 400.",
		Why:  "An unknown status leaves the account in an undefined state."},
	{Name: "authorities-are-replaced", Grade: Vendor, Changes: Roles, check: authoritiesReplaced, of: withManyRoles,
		Says: "The roles of an update replace the whole set: a missing one is revoked, and a present one is shown.",
		Why:  "If the server merged the set, no role could be revoked."},
	{Name: "authorities-may-be-empty", Grade: Own, Changes: Roles, check: authoritiesMayBeNone, of: withManyRoles,
		Says: "An empty list of roles revokes all of them.",
		Why:  "A server that treats an empty list as absent never revokes the last role."},
	{Name: "authorities-are-resolved-by-name", Grade: Vendor, Changes: Roles, check: authoritiesByName, of: cited,
		Says: "An authority is resolved by its name, and an entityId next to it is ignored.",
		Why:  "The documented call sends id 2 with ROLE_USER, and 2 is this service's company administrator."},
	{Name: "authorities-order-and-repetition-do-not-matter", Grade: Own, Changes: Roles, check: authoritiesAreASet, of: withManyRoles,
		Says: "The same roles in another order, or one of them twice, change nothing.",
		Why:  "They are a set, and clients may send them in any order."},
	{Name: "unknown-roles-are-refused", Grade: Own, Changes: Roles, check: unknownRoles, of: with(grants),
		Says: "A role that does not exist, or that has no name, is 400, also if another member of the body is valid.",
		Why:  "If it were dropped silently, the user would lack the role that was just granted."},
	{Name: "subrole-id-and-code-must-agree", Grade: Own, Changes: Roles, check: subroleAgrees, of: cited,
		Says: "A subrole is named by id, by code, or by both if they agree; a label alone is 400.",
		Why:  "If they disagree, the server would have to guess, and might grant the higher one."},
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
			continue // cleared and kept would look alike
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
		t.skip("every member that may be changed is empty, so that clearing it has no effect: take a user with a name")
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
	_, x := t.show()
	body := string(x.body)
	if t.d.inUser != "" {
		value, _ := decode(x.body)
		body = encode(memberOfObject(value, t.d.inUser))
	}
	t.wantUnchanged(t.updateRaw(body), t.found)
}

func putOfListEntry(t *trial) {
	e, _ := t.recordOf(t.c.User)
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

// trickyTexts are names that careless code changes.
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

// lengths are around common limits in characters, bytes and UTF-16 code units.
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
				break // longer ones are rejected too
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
	tried := []any{"", "dragoman-check"}
	var allowed []string
	for _, value := range m.values {
		text := fmt.Sprint(value)
		allowed = append(allowed, text)
		tried = append(tried, strings.ToLower(text), strings.ToUpper(text), " "+text)
	}
	if shown := t.d.userSchema().Properties[m.name]; shown != nil {
		tried = append(tried, shown.Value.Enum...)
	}
	for _, value := range tried {
		if !m.allows(value) {
			t.wantRefused(http.StatusBadRequest, "the "+m.name+" is "+strings.Join(allowed, " or "), t.base().with(m.name, encode(value)).String())
		}
	}
}

// grantsOf returns the objects that name the user's roles, where the member of roles is an array.
func (t *trial) grantsOf(u user) []object {
	m, _ := t.d.member(grants)
	items, _ := u[m.name].([]any)
	var all []object
	for _, item := range items {
		var o object
		for _, naming := range t.d.naming {
			o = append(o, member{nameIn(naming), encode(memberOfObject(item, nameIn(naming)))})
		}
		all = append(all, o)
	}
	return all
}

// array returns the JSON of an array of objects.
func array(objects ...object) string {
	var items []string
	for _, o := range objects {
		items = append(items, o.String())
	}
	return "[" + strings.Join(items, ",") + "]"
}

// granting is an update that sets the roles, where their member is an array.
func (t *trial) granting(roles ...object) object {
	m, _ := t.d.member(grants)
	return t.base().with(m.name, array(roles...))
}

// wantRoles requires that a read shows exactly these roles.
func (t *trial) wantRoles(x exchange, roles ...object) {
	is, _ := t.show()
	sorted := func(all []object) []string {
		var texts []string
		for _, o := range all {
			texts = append(texts, o.String())
		}
		slices.Sort(texts)
		return texts
	}
	if wanted, shown := sorted(roles), sorted(t.grantsOf(is)); !slices.Equal(shown, wanted) {
		t.broken(x, fmt.Sprint("the roles ", wanted), "%v", shown)
	}
}

func authoritiesReplaced(t *trial) {
	had := t.grantsOf(t.found)
	if len(had) < 2 {
		t.skip("it revokes and restores a role: take a user with two roles")
	}
	t.wantRoles(t.update(t.granting(had[0])), had[0])
	t.wantRoles(t.update(t.granting(had...)), had...)
}

func authoritiesMayBeNone(t *trial) {
	had := t.grantsOf(t.found)
	if len(had) == 0 {
		t.skip("it revokes and restores roles: take a user with a role")
	}
	t.wantRoles(t.update(t.granting()))
	t.wantRoles(t.update(t.granting(had...)), had...)
}

func authoritiesByName(t *trial) {
	if !slices.Contains(t.d.roleNames(t.found), "ROLE_USER") {
		t.skip("it grants no role that the user does not have: take a user with ROLE_USER")
	}
	body := t.base().with("authorities", `[{"entityId":2,"name":"ROLE_USER","cleanName":"ROLE USER","checked":true,"disabled":true}]`)
	t.wantRoles(t.update(body), object{{"name", `"ROLE_USER"`}})
}

func authoritiesAreASet(t *trial) {
	had := t.grantsOf(t.found)
	if len(had) == 0 {
		t.skip("it grants no role that the user does not have: take a user with a role")
	}
	if len(had) == 1 {
		t.note("another order", "take a user with two roles")
	}
	slices.Reverse(had)
	t.wantUnchanged(t.update(t.granting(append(had, had[0])...)), t.found)
}

func unknownRoles(t *trial) {
	m, _ := t.d.member(grants)
	refused := func(why string, values ...string) {
		var bodies []string
		for _, value := range values {
			// A new name is valid: without it a server that drops the role would find nothing to change, and answer 400 for that.
			bodies = append(bodies, t.renaming().with(m.name, value).String())
		}
		t.wantRefused(http.StatusBadRequest, why, bodies...)
	}
	for _, naming := range t.d.naming {
		unknown := encode("DRAGOMAN_CHECK")
		if strings.HasSuffix(naming.Field, "UUID") {
			unknown = encode(uuid.NewString())
		}
		named := func(value string) object { return object{{nameIn(naming), value}} }
		if !t.d.grantsMany() {
			refused("there is no such role", named(unknown).String(), named(`""`).String())
			continue
		}
		had := t.grantsOf(t.found)
		with := func(o object) string { return array(append(slices.Clone(had), o)...) }
		refused("this names no role", `[null]`, `[{}]`, array(named("null")), array(named("1")))
		refused("there is no such role", with(named(unknown)), with(named(`""`)))
		for _, name := range description.At(map[string]any(t.found), naming.Path) {
			text, _ := name.(string)
			if lower := strings.ToLower(text); lower != text && !strings.HasSuffix(naming.Field, "UUID") {
				refused("the case of letters matters in the name of a role", array(named(encode(lower))))
			}
		}
	}
}

func subroleAgrees(t *trial) {
	has, _ := t.found["subrole"].(map[string]any)
	if has == nil {
		t.skip("it grants no subrole that the user does not have: take a user with a subrole")
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
