package conformance

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/dragoman-id/dragoman/server/description"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
)

// dialect is what the laws need to know of a dialect, from its description and document.
type dialect struct {
	description.API
	document *openapi3.T
	contract *contract

	show, list, update *description.Operation // nil if there is none
	// inUser is the member of show's answer that has the user; empty: the answer itself.
	inUser string
	// bookkeeping are members that every update changes.
	bookkeeping []string
	// members are those of the update, in the table's order.
	members []memberOf
	// request is the table of the update's body, shown that of show's answer.
	request, shown description.Body
	// whole says that an update must have every required member.
	whole bool
	// idMember is the member that has the user's id.
	idMember string
	// fixed are members that an update must have and that say nothing of the user.
	fixed object
	// flattened are the objects and arrays of a user that are taken apart; see [dialect.flat].
	flattened []string
	// naming are the members that name a role in an update.
	naming []description.Member
	// user, customer and company are the parameters that have their ids.
	user, customer, company *openapi3.Parameter
}

// newDialect reads a description and its document. The error says what they lack.
func newDialect(a description.API, update string) (*dialect, error) {
	if len(a.Updates) == 0 {
		return nil, fmt.Errorf("%s has no update to check: set --dialect to another", a.Name)
	}
	if update == "" {
		update = a.Updates[0]
	}
	if !slices.Contains(a.Updates, update) {
		return nil, fmt.Errorf("%s has no update %q: it has %s", a.Name, update, strings.Join(a.Updates, ", "))
	}
	document, err := a.Spec()
	if err != nil {
		return nil, fmt.Errorf("read the dialect's document: %w", err)
	}
	d := &dialect{API: a, document: document}
	for _, o := range a.OperationsOf(document) {
		for id, place := range map[string]**description.Operation{a.Show: &d.show, a.List: &d.list, update: &d.update} {
			if o.OperationID == id {
				*place = &o
			}
		}
	}
	if d.show == nil || d.update == nil {
		return nil, fmt.Errorf("the document of %s lacks %s or %s", a.Name, a.Show, update)
	}
	d.request, _ = a.Request(update)
	d.shown, _ = a.Answer(a.Show)
	d.inUser = strings.TrimSuffix(d.shown.User, ".")
	d.whole = d.request.Whole()
	d.bookkeeping = slices.Concat(a.NamesOf("UpdatedAt"), a.NamesOf("UpdatedBy"), a.NamesOf("Version"))
	d.addMembers()
	d.addFlattened()
	for _, field := range []string{"UUID", "ID"} {
		if m, ok := d.shown.Member(field); ok {
			d.idMember = d.inShown(m)
		}
	}
	one := description.Subject{Customer: 1, User: 1, Company: 1, CustomerUUID: uuid.NewString(), UserUUID: uuid.NewString()}
	for _, p := range d.update.Parameters {
		if write := a.Parameters[p.Name]; write != nil {
			otherUser, otherCustomer, otherCompany := one, one, one
			otherUser.User, otherUser.UserUUID = 2, uuid.NewString()
			otherCustomer.Customer, otherCustomer.CustomerUUID = 2, uuid.NewString()
			otherCompany.Company = 2
			for place, other := range map[**openapi3.Parameter]description.Subject{&d.user: otherUser, &d.customer: otherCustomer, &d.company: otherCompany} {
				if write(one) != write(other) {
					*place = p
				}
			}
		}
	}
	if d.idMember == "" || d.user == nil || d.customer == nil || len(d.members) < 2 {
		return nil, fmt.Errorf("the description of %s does not say how users are named: Show needs a member that is ID or UUID, Parameters the ids of user and customer, and the update two members", a.Name)
	}
	d.contract = newContract(d)
	return d, nil
}

// userSchema returns the schema of a user in show's answer.
func (d *dialect) userSchema() *openapi3.Schema {
	answer := description.JSONSchema(d.show.Responses.Status(http.StatusOK).Value.Content)
	if d.inUser == "" {
		return answer
	}
	return answer.Properties[d.inUser].Value
}

// inShown returns the path of a member within a user.
func (d *dialect) inShown(m description.Member) string {
	return strings.TrimPrefix(m.Path, d.shown.User)
}

// omits reports whether an answer lacks a member that is empty.
func (d *dialect) omits(name string) bool {
	i := slices.IndexFunc(d.shown.Members, func(m description.Member) bool { return d.inShown(m) == name })
	return i >= 0 && d.shown.Members[i].Sometimes
}

// shownAs returns the member that shows a field of a user, or "".
func (d *dialect) shownAs(field string) string {
	if m, ok := d.shown.Member(field); ok {
		return d.inShown(m)
	}
	return ""
}

// member returns the first member of a kind, and whether the update has one.
func (d *dialect) member(k kind) (memberOf, bool) {
	i := slices.IndexFunc(d.members, func(m memberOf) bool { return m.kind == k })
	if i < 0 {
		return memberOf{}, false
	}
	return d.members[i], true
}

// matching returns the members that must equal an id in the path.
func (d *dialect) matching() []string {
	var all []string
	for _, m := range d.request.Members {
		if m.Effect == description.Matches {
			all = append(all, m.Path)
		}
	}
	return all
}

// matchingIntegers returns those of the matching members that are integers.
func (d *dialect) matchingIntegers() []string {
	return slices.DeleteFunc(d.matching(), func(name string) bool { return !d.schemaOf(name).Type.Is("integer") })
}

// maxSafe is 2^53-1, the largest integer that every JSON parser keeps.
const maxSafe = 1<<53 - 1

// unknownSubject has unused ids: large numbers, as ids are assigned in ascending order, and random UUIDs.
func unknownSubject() description.Subject {
	number := int64(maxSafe - rand.IntN(1000)) // #nosec G404 -- no secret
	return description.Subject{Customer: number, User: number, Company: number, CustomerUUID: uuid.NewString(), UserUUID: uuid.NewString()}
}

// noSuchUser returns an unused id of a user.
func (d *dialect) noSuchUser() string { return d.Parameters[d.user.Name](unknownSubject()) }

// noSuchCustomer returns an unused id of a customer.
func (d *dialect) noSuchCustomer() string { return d.Parameters[d.customer.Name](unknownSubject()) }

// hasNumbers and hasUUIDs report how the dialect writes ids. Both are false if it adds something to them.
func (d *dialect) hasNumbers() bool {
	_, err := strconv.ParseInt(d.noSuchUser(), 10, 64)
	return err == nil
}
func (d *dialect) hasUUIDs() bool { return uuid.Validate(d.noSuchUser()) == nil }

// checkIDs checks that the ids of a Config have the dialect's format.
func (d *dialect) checkIDs(c *Config) error {
	ids := map[string]string{"customer": c.Customer, "user": c.User}
	if d.company != nil {
		ids["company"] = c.Company
	} else if c.Company != "" {
		return fmt.Errorf("there is no company in %s's API: leave out --company", d.Title)
	}
	parameters := map[string]*openapi3.Parameter{"customer": d.customer, "user": d.user, "company": d.company}
	for name, id := range ids {
		switch {
		case d.hasUUIDs():
			if u, err := uuid.Parse(id); err != nil || len(id) != 36 || u == uuid.Nil {
				return fmt.Errorf("the --%s of %s must be a UUID", name, d.Name)
			}
		case d.hasNumbers():
			if n, err := strconv.ParseInt(id, 10, 64); err != nil || n <= 0 || strconv.FormatInt(n, 10) != id {
				return fmt.Errorf("the --%s of %s must be a number above 0", name, d.Name)
			}
		default:
			if err := parameters[name].Schema.Value.VisitJSON(id); err != nil {
				return fmt.Errorf("the --%s of %s must be such as %s", name, d.Name, d.Parameters[parameters[name].Name](unknownSubject()))
			}
		}
	}
	return nil
}

// administrator returns the administrator's role of a user; empty: it has none.
func (d *dialect) administrator(u user) string {
	for field, roles := range map[string][]string{
		"Role.Name": {"ROLE_ADMIN", "ROLE_COMPANY_ADMIN"}, "Role.SubroleCode": {"owner", "cro", "admin"},
	} {
		for _, shown := range description.At(map[string]any(u), d.shownAs(field)) {
			if role, _ := shown.(string); slices.Contains(roles, role) || slices.Contains(roles, strings.ToLower(role)) {
				return "the role " + role
			}
		}
	}
	return ""
}

// records returns the users in a list's answer.
func (d *dialect) records(value any) ([]any, bool) {
	b, _ := d.Answer(d.List)
	list, _, _ := strings.Cut(strings.TrimSuffix(b.User, "."), "[]")
	if list != "" {
		found := description.At(value, list)
		if len(found) != 1 {
			return nil, false
		}
		value = found[0]
	}
	records, ok := value.([]any)
	return records, ok
}

// perView reports whether the list may show a member differently, as its rows in the two tables differ.
func (d *dialect) perView(name string) bool {
	listed, _ := d.Answer(d.List)
	return !reflect.DeepEqual(rowsOf(d.shown, name), rowsOf(listed, name))
}

// rowsOf returns the rows of a table about one member of a user.
func rowsOf(b description.Body, name string) []description.Member {
	var rows []description.Member
	for _, m := range b.Members {
		path, ok := strings.CutPrefix(m.Path, b.User)
		first, _, _ := strings.Cut(path, ".")
		if ok && strings.TrimSuffix(first, "[]") == name {
			m.Path = path
			rows = append(rows, m)
		}
	}
	return rows
}

// readOnly returns the members that only the server sets, with other values than they have. The access token is not among them: a
// server that stores it would break the clients that use the current one.
func (d *dialect) readOnly() object {
	var all object
	shown := d.userSchema()
	for _, m := range d.shown.Members {
		name, ofUser := strings.CutPrefix(m.Path, d.shown.User)
		i := slices.IndexFunc(d.request.Members, func(r description.Member) bool { return r.Path == name })
		owned := i < 0 || d.request.Members[i].Effect == description.Owned
		if !ofUser || strings.Contains(name, ".") || shown.Properties[name] == nil || m.Field == "AccessToken" || !owned {
			continue
		}
		schema := shown.Properties[name].Value
		if asked := d.schemaOf(name); asked.Type != nil {
			schema = asked
		}
		all = append(all, member{name, otherValue(schema)})
	}
	return all
}

// otherValue returns an unused value of a schema's type.
func otherValue(schema *openapi3.Schema) string {
	switch {
	case schema.Type.Is("integer"):
		return "981173106789"
	case schema.Type.Is("boolean"):
		return "null"
	case schema.Type.Is("object"), len(schema.AllOf) > 0:
		return `{"name":"x"}`
	case schema.Type.Is("array"):
		return "[]"
	case schema.Format == "uuid":
		return `"00000000-0000-4000-8000-000000000000"`
	case schema.Format == "date-time":
		return `"2001-02-03T04:05:06.789Z"`
	}
	return `"x"`
}

// base is the smallest update that changes nothing, from which others are made: empty if absent members stay unchanged.
func (d *dialect) base(u user) object {
	if !d.whole {
		return nil
	}
	o := slices.Clone(d.fixed)
	for _, m := range d.members {
		o = o.with(m.name, m.from(u))
	}
	return o
}

// from returns the JSON that sets the member to its value in u. An empty string stands for null, which is not nullable.
func (m memberOf) from(u user) string {
	if u[m.name] == nil && m.isText() {
		return `""`
	}
	return u.json(m.name)
}

// idle is an update that has a member and changes nothing.
func (d *dialect) idle(u user) object {
	if d.whole {
		return d.base(u)
	}
	name := d.members[0].name
	return object{{name, u.json(name)}}
}

// restoring is the update that resets a user from is to found.
func (d *dialect) restoring(found, is user) object {
	if d.whole {
		return d.base(found)
	}
	var o object
	for _, name := range differences(found, is) {
		i := slices.IndexFunc(d.members, func(m memberOf) bool { return m.name == name })
		if i < 0 {
			continue
		}
		m := d.members[i]
		value := m.from(found)
		switch {
		case value == "null" || !m.allows(found[name]):
			continue // an update cannot set it
		case m.kind == grants && !d.grantsMany():
			value = d.grantOf(found).String()
		}
		o = o.with(name, value)
	}
	return o
}

// grantsMany reports whether the member of roles is an array.
func (d *dialect) grantsMany() bool {
	return slices.ContainsFunc(d.naming, func(m description.Member) bool { return strings.Contains(m.Path, "[]") })
}

// nameIn returns the last name in the path of a member that names a role.
func nameIn(m description.Member) string { return m.Path[strings.LastIndex(m.Path, ".")+1:] }

// grantOf returns the object that names the user's one role.
func (d *dialect) grantOf(u user) object {
	var o object
	for _, m := range d.naming {
		value := any(nil)
		if found := description.At(map[string]any(u), m.Path); len(found) == 1 {
			value = found[0]
		}
		o = append(o, member{nameIn(m), encode(value)})
	}
	return o
}

// roleNames returns the names of all roles of a user.
func (d *dialect) roleNames(u user) []string {
	var names []string
	for _, m := range d.naming {
		for _, name := range description.At(map[string]any(u), m.Path) {
			if text, ok := name.(string); ok {
				names = append(names, text)
			}
		}
	}
	return names
}

// written returns the part of a member's value that an update can set; of a role not its label.
func (d *dialect) written(u user, m memberOf) string {
	switch {
	case m.kind != grants:
		return u.json(m.name)
	case d.grantsMany():
		names := d.roleNames(u)
		slices.Sort(names)
		return encode(names)
	}
	return d.grantOf(u).String()
}

// restorable reports whether an update can reset a member that differs.
func (d *dialect) restorable(name string, found, is user) bool {
	return slices.ContainsFunc(d.members, func(m memberOf) bool { return m.name == name && d.written(found, m) != d.written(is, m) })
}

// unrestored returns the members in which a user differs from found, except those in besides. An empty string instead of null does
// not count, since an update cannot set null.
func (d *dialect) unrestored(found, is user, besides []string) []string {
	var names []string
	for _, name := range differences(found, is, besides...) {
		member := slices.ContainsFunc(d.members, func(m memberOf) bool { return m.name == name && m.isText() })
		if member && found[name] == nil && is[name] == "" {
			continue
		}
		names = append(names, name)
	}
	return names
}

// vendorError says how an error differs from what the vendor documents; empty: it does not.
func (d *dialect) vendorError(x exchange, value any) string {
	for _, path := range d.Vendor.ErrorTexts {
		if found := description.At(value, path); len(found) != 1 || found[0] == "" || reflect.TypeOf(found[0]) != reflect.TypeFor[string]() {
			return "no " + strings.Join(d.Vendor.ErrorTexts, " and ") + " that are text"
		}
	}
	known, ok := d.Vendor.ErrorCodes[x.status]
	switch {
	case !ok:
		return ""
	case d.Vendor.ErrorCode != "":
		code, _ := description.At(value, d.Vendor.ErrorCode)[0].(string)
		if !slices.Contains(known, code) {
			return fmt.Sprintf("the %s %s: documented for %d is %s", d.Vendor.ErrorCode, printable(code), x.status, strings.Join(known, " or "))
		}
	case !hasText(value, known):
		return fmt.Sprintf("no member that is %s, which is documented for %d", strings.Join(known, " or "), x.status)
	}
	return ""
}

// hasText reports whether one of these texts is anywhere in a value.
func hasText(value any, texts []string) bool {
	among := func(v any) bool { return hasText(v, texts) }
	switch v := value.(type) {
	case string:
		return slices.Contains(texts, v)
	case []any:
		return slices.ContainsFunc(v, among)
	case map[string]any:
		for _, member := range v {
			if among(member) {
				return true
			}
		}
	}
	return false
}

func memberOfObject(value any, name string) any {
	o, _ := value.(map[string]any)
	return o[name]
}
